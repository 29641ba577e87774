//! Whom the director remembers, and whose MAC it follows.

use super::*;

const STALE: Option<(State, Option<Mac>)> = Some((State::Stale, Some(HOST)));
const REACHABLE: Option<(State, Option<Mac>)> = Some((State::Reachable, Some(HOST)));

#[test]
fn who_asks_for_us_is_remembered_others_are_not() {
    let rows = [
        ("a request for us", LAN, "10.0.0.7", asks("10.0.0.7", HOST, "10.0.0.1"), STALE),
        ("a request for a VIP", LAN, "10.0.0.7", asks("10.0.0.7", HOST, "198.51.100.1"), STALE),
        ("a solicitation for us", LAN, "fd00::7", asks("fd00::7", HOST, "fd00::1"), STALE),
        ("a link-local asker", LAN, "fe80::7", asks("fe80::7", HOST, "fd00::1"), STALE),
        ("a request for another", LAN, "10.0.0.7", asks("10.0.0.7", HOST, "10.0.0.8"), None),
        ("a reply nobody asked for", LAN, "10.0.0.7", answer_of("10.0.0.7", HOST), None),
        ("an advertisement nobody asked for", LAN, "fd00::7", answer_of("fd00::7", HOST), None),
        ("a gratuitous ARP", LAN, "10.0.0.7", announces("10.0.0.7", HOST), None),
        ("an asker of another subnet", LAN, "192.0.2.7", asks("192.0.2.7", HOST, "10.0.0.1"), None),
        ("an IPv6 asker of another subnet", LAN, "2001:db8::7", asks("2001:db8::7", HOST, "fd00::1"), None),
        ("a subnet's broadcast address", LAN, "10.0.0.255", asks("10.0.0.255", HOST, "10.0.0.1"), None),
        ("a multicast address", LAN, "224.0.0.1", asks("224.0.0.1", HOST, "10.0.0.1"), None),
        ("a probe", LAN, "0.0.0.0", asks("0.0.0.0", HOST, "10.0.0.1"), None),
        ("an own address", LAN, "10.0.0.240", asks("10.0.0.240", HOST, "10.0.0.1"), None),
    ];
    for (what, port, who, frame, expected) in rows {
        let mut director = Director::quiet(100);
        director.hear(port, &frame);
        director.pass(0);
        assert_eq!(director.known(who), expected, "{what}");
    }
}

#[test]
fn an_answer_that_was_wanted_is_taken_from_any_message() {
    for who in FREE {
        let rows =
            [(answer_of(who, HOST), REACHABLE), (announces(who, HOST), STALE), (asks(who, HOST, own_of(who)), STALE)];
        for (row, (frame, expected)) in rows.into_iter().enumerate() {
            let mut director = Director::quiet(100);
            director.want(who);
            director.pass(0);
            assert_eq!(director.hop(who).unwrap().state, NextHopState::Waiting);
            director.hear(LAN, &frame);
            director.pass(0);
            assert_eq!(director.known(who), expected, "{who} row {row}");
            let hop = director.hop(who).unwrap();
            assert_eq!((hop.state, hop.port, hop.mtu), (NextHopState::Ready, LAN, 1500));
            assert_eq!(hop.header, [HOST.0, LAN_MAC.0].concat()[..]);
        }
    }
}

#[test]
fn a_neighbour_that_moves_is_followed() {
    let moved = Some((State::Stale, Some(OTHER)));
    let confirmed = Some((State::Reachable, Some(OTHER)));
    for who in FREE {
        let mut rows = vec![
            ("announced", announces(who, OTHER), moved),
            ("a reply", answer_of(who, OTHER), confirmed),
            ("asks for us", asks(who, OTHER, own_of(who)), moved),
            ("the same MAC again", announces(who, HOST), REACHABLE),
            ("a multicast MAC", announces(who, Mac([3; 6])), REACHABLE),
            ("our MAC", announces(who, WAN_MAC), REACHABLE),
        ];
        match address(who) {
            IpAddr::V4(v4) => {
                rows.push(("asks for another", asks(who, OTHER, "10.0.0.9"), moved));
                // Gratuitous, though it is a reply and goes to us alone: it answers nothing.
                rows.push(("a reply about nobody else", arp::reply((OTHER, v4), (LAN_MAC, v4)), moved));
            }
            IpAddr::V6(v6) => {
                // RFC 4861, section 7.2.5: doubt what is known, but do not take the other.
                rows.push(("without override", nd::announcement((OTHER, v6), 0), STALE));
                rows.push(("asks for another", asks(who, OTHER, "fd00::9"), REACHABLE));
            }
        }
        for (what, frame, expected) in rows {
            let mut director = Director::quiet(100);
            director.want(who);
            director.hear(LAN, &answer_of(who, HOST));
            director.pass(0);
            assert_eq!(director.known(who), REACHABLE);
            director.hear(LAN, &frame);
            director.pass(0);
            assert_eq!(director.known(who), expected, "{who}: {what}");
            let hop = director.hop(who).unwrap();
            assert_eq!(hop.header[..6], expected.unwrap().1.unwrap().0, "{who}: {what}: what workers send to");
        }
    }
}

#[test]
fn a_static_neighbour_is_neither_asked_nor_changed() {
    let mut director = Director::quiet(100);
    let who = "10.0.0.250";
    for frame in [announces(who, HOST), answer_of(who, HOST), asks(who, HOST, "10.0.0.1")] {
        director.hear(LAN, &frame);
    }
    assert!(director.send(who));
    director.want(who);
    for _ in 0..100 {
        let sent = director.pass(1_000);
        assert!(sent.iter().all(|line| !line.contains("asks 10.0.0.250")), "{sent:?}");
        assert!(director.send(who));
    }
    assert_eq!(director.hop(who).unwrap().header[..6], OTHER.0);
    // The file's word outlives a while as an own address.
    director.neighbors.set_local([address(who)], []);
    director.pass(0);
    assert_eq!(director.hops.route(address(who)), Route::Local);
    director.neighbors.set_local([], []);
    director.pass(0);
    assert_eq!(director.hop(who).unwrap().header[..6], OTHER.0);
}

#[test]
fn who_claims_an_own_address_is_counted_and_ignored() {
    let mut director = Director::quiet(100);
    let frames = [
        (announces("198.51.100.1", HOST), true),
        (asks("10.0.0.1", HOST, "10.0.0.9"), true),
        (announces("fd99::1", HOST), true),
        (announces("10.0.0.1", LAN_MAC), false),
        (announces("10.0.0.2", HOST), false),
    ];
    let mut expected = 0;
    for (frame, conflict) in frames {
        director.hear(LAN, &frame);
        expected += u64::from(conflict);
        assert_eq!(director.neighbors.counters().conflicts, expected);
    }
    assert_eq!(director.pass(0), Vec::<String>::new());
}

fn own_of(who: &str) -> &'static str {
    if address(who).is_ipv4() { "10.0.0.1" } else { "fd00::1" }
}
