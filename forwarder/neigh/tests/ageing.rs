//! What the clock does: requests again, giving up, believing an answer for a while.

use super::*;

/// The request to everybody and the one to the host alone, per family.
fn requests(who: &str) -> (String, String) {
    let (group, own) = match address(who) {
        IpAddr::V4(_) => ("ff:ff:ff:ff:ff:ff", "10.0.0.1"),
        IpAddr::V6(_) => ("33:33:ff:00:00:07", "fd00::1"),
    };
    (format!("1 {group}: {own} asks {who}"), format!("1 {HOST}: {own} asks {who}"))
}

fn resolved(who: &str) -> Director {
    let mut director = Director::quiet(100);
    director.want(who);
    director.hear(LAN, &answer_of(who, HOST));
    director.pass(0);
    director
}

fn state(director: &Director, who: &str) -> State {
    director.known(who).unwrap().0
}

#[test]
fn who_does_not_answer_three_requests_has_failed() {
    for who in FREE {
        let (to_all, _) = requests(who);
        let mut director = Director::quiet(100);
        director.want(who);
        for second in 0..3 {
            let sent = director.pass(if second == 0 { 0 } else { 1 });
            assert_eq!(sent, std::slice::from_ref(&to_all), "{who}: second {second}");
            director.want(who);
            assert_eq!(director.pass(999), [""; 0], "not more often than once a second");
            assert_eq!(director.hop(who).unwrap().state, NextHopState::Waiting);
        }
        assert_eq!(director.pass(1), [""; 0]);
        assert_eq!(director.hop(who).unwrap().state, NextHopState::Failed);
        assert_eq!(director.neighbors.counters().failed, 1);
        // Nobody wants it: nobody asks. The next packet does.
        assert_eq!(director.pass(20_000), [""; 0]);
        director.want(who);
        assert_eq!(director.pass(0), [to_all]);
        assert_eq!(director.hop(who).unwrap().state, NextHopState::Waiting);
        // A late answer, or any other word of it, brings it back.
        director.hear(LAN, &announces(who, HOST));
        director.pass(0);
        assert_eq!(director.hop(who).unwrap().state, NextHopState::Ready);
    }
}

#[test]
fn an_answer_is_believed_for_thirty_seconds() {
    for who in FREE {
        let mut director = resolved(who);
        director.pass(29_999);
        assert_eq!(state(&director, who), State::Reachable);
        director.pass(1);
        assert_eq!(state(&director, who), State::Stale);
        // Idle: it may be wrong for all we care.
        assert_eq!(director.pass(60_000), [""; 0]);
        assert_eq!(director.hop(who).unwrap().state, NextHopState::Ready);
    }
}

#[test]
fn a_used_neighbour_is_probed_and_fails_after_six_requests() {
    for who in FREE {
        let (to_all, to_it) = requests(who);
        let mut director = resolved(who);
        director.pass(40_000);
        assert_eq!(state(&director, who), State::Stale);
        assert!(director.send(who));
        let mut sent = Vec::new();
        for _ in 0..6 {
            sent.extend(director.pass(1_000));
            assert!(director.send(who), "workers go on sending while it is probed");
        }
        assert_eq!(sent, [to_it.clone(), to_it.clone(), to_it, to_all.clone(), to_all.clone(), to_all]);
        assert_eq!(director.pass(1_000), [""; 0]);
        assert!(!director.send(who));
        assert_eq!(state(&director, who), State::Failed);
    }
}

#[test]
fn a_used_neighbour_that_answers_never_stops_being_ready() {
    for who in FREE {
        let (_, to_it) = requests(who);
        let mut director = resolved(who);
        let mut asked = 0;
        for second in 0..300 {
            assert!(director.send(who), "second {second}");
            for line in director.pass(1_000) {
                if line.contains(&format!("asks {who}")) {
                    assert_eq!(line, to_it);
                    asked += 1;
                    director.hear(LAN, &answer_of(who, HOST));
                }
            }
        }
        assert_eq!(asked, 10, "{who}: once in thirty seconds");
    }
}

#[test]
fn servers_and_gateways_are_asked_before_a_packet_needs_them() {
    let mut director = Director::new(100);
    director.neighbors.servers(["10.0.0.7", "fd00::7", "203.0.113.9", "198.51.100.1"].map(address));
    let mut asked: Vec<String> = director.pass(0).into_iter().filter(|line| line.contains("asks")).collect();
    asked.sort();
    let (v4, v6) = (requests("10.0.0.7").0, requests("fd00::7").0);
    let gateways = [
        "0 33:33:ff:00:00:fe: fe80::ff:fe00:100 asks fe80::fe".to_string(),
        "0 ff:ff:ff:ff:ff:ff: 192.0.2.1 asks 192.0.2.254".to_string(),
    ];
    assert_eq!(asked, [&gateways[..], &[v6, v4.clone()]].concat());
    assert_eq!(director.neighbors.next_hop_of(address("198.51.100.1")), None, "a server that is the director itself");
    let gateway = director.neighbors.next_hop_of(address("192.0.2.254"));
    assert_eq!(director.neighbors.next_hop_of(address("203.0.113.9")), gateway);
    // A dead server is asked again now and then without any packet, and workers drop meanwhile.
    for _ in 0..3 {
        director.pass(1_000);
    }
    assert_eq!(director.hop("10.0.0.7").unwrap().state, NextHopState::Failed);
    assert!(director.pass(9_999).is_empty());
    assert!(director.pass(1).contains(&v4));
    assert_eq!(director.hop("10.0.0.7").unwrap().state, NextHopState::Failed);
    director.hear(LAN, &answer_of("10.0.0.7", HOST));
    director.pass(0);
    assert!(director.send("10.0.0.7"));
}

#[test]
fn a_dead_server_is_asked_once_a_second_at_most_whoever_wants_it() {
    type Wish = fn(&mut Director);
    let wishes: [(&str, Wish); 2] = [
        ("a packet", |director| director.want("10.0.0.7")),
        ("a reload", |director| {
            director.neighbors.servers([]);
            director.neighbors.servers(["10.0.0.7"].map(address));
        }),
    ];
    for (what, wish) in wishes {
        let mut director = Director::quiet(100);
        director.neighbors.servers(["10.0.0.7"].map(address));
        for ms in [0, 1_000, 1_000, 1_000] {
            director.pass(ms);
        }
        assert_eq!(director.pass(10_000), [requests("10.0.0.7").0], "its own time to be asked again");
        director.pass(300);
        wish(&mut director);
        assert_eq!(director.pass(699), [""; 0], "{what}");
        assert_eq!(director.pass(1), [requests("10.0.0.7").0], "{what}");
    }
}

#[test]
fn a_snapshot_is_made_when_workers_would_see_a_difference() {
    let who = "10.0.0.7";
    let mut director = resolved(who);
    assert!(director.neighbors.snapshot().is_none());
    director.hear(LAN, &announces(who, HOST));
    director.hear(LAN, &asks("10.0.0.8", HOST, "10.0.0.9"));
    assert!(director.neighbors.snapshot().is_none(), "nothing new in it");
    assert!(director.send(who));
    director.hear(LAN, &announces(who, OTHER));
    let next = director.neighbors.snapshot().expect("another MAC");
    let Route::Via(id) = next.route(address(who)) else { panic!("{who} has a slot") };
    assert_eq!(Route::Via(id), director.hops.route(address(who)), "the id stays when the MAC changes");
    assert!(next.get(id).unwrap().take_used(), "a mark that was set before is not lost");
}
