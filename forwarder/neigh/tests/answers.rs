//! Who is answered, and what is said unasked.

use super::*;

#[test]
fn own_addresses_are_answered_and_no_others() {
    let at_wan = |text: &str| vec![format!("0 {HOST}: {text} is at {WAN_MAC}")];
    let at_lan = |text: &str| vec![format!("1 {HOST}: {text} is at {LAN_MAC}")];
    let to_all = |port: u16, text: &str| vec![format!("{port} 33:33:00:00:00:01: announces {text}")];
    let dad = |text: &str| solicitation_by_nobody(text.parse().unwrap(), HOST);
    let rows = [
        ("an interface's address", LAN, asks("10.0.0.7", HOST, "10.0.0.1"), at_lan("10.0.0.1")),
        ("a VIP, outside all subnets", WAN, asks("192.0.2.7", HOST, "198.51.100.1"), at_wan("198.51.100.1")),
        ("a VIP on another port", LAN, asks("10.0.0.7", HOST, "198.51.100.1"), at_lan("198.51.100.1")),
        ("a local address of FullNAT", LAN, asks("10.0.0.7", HOST, "10.0.0.240"), at_lan("10.0.0.240")),
        ("another port's address", LAN, asks("10.0.0.7", HOST, "192.0.2.1"), at_lan("192.0.2.1")),
        ("an asker of another subnet", LAN, asks("172.16.0.1", HOST, "10.0.0.1"), at_lan("10.0.0.1")),
        ("an ARP probe", LAN, asks(&nobody_v4(), HOST, "10.0.0.1"), at_lan("10.0.0.1")),
        ("somebody else's address", LAN, asks("10.0.0.7", HOST, "10.0.0.8"), vec![]),
        ("an interface's IPv6 address", LAN, asks("fd00::7", HOST, "fd00::1"), at_lan("fd00::1")),
        ("an IPv6 VIP", WAN, asks("2001:db8::7", HOST, "fd99::1"), at_wan("fd99::1")),
        ("an IPv6 local address", LAN, asks("fe80::7", HOST, "fd00::240"), at_lan("fd00::240")),
        ("a link-local address", LAN, asks("fe80::7", HOST, "fe80::ff:fe00:101"), at_lan("fe80::ff:fe00:101")),
        ("another port's link-local address", LAN, asks("fe80::7", HOST, "fe80::ff:fe00:100"), vec![]),
        ("somebody else's IPv6 address", LAN, asks("fd00::7", HOST, "fd00::8"), vec![]),
        ("duplicate address detection", LAN, dad("fd00::1"), to_all(LAN, "fd00::1")),
        ("an asker who says it is us", LAN, asks("198.51.100.1", HOST, "10.0.0.1"), vec![]),
        ("our own frame, back", LAN, asks("192.0.2.1", WAN_MAC, "10.0.0.1"), vec![]),
        ("our own probe, back", LAN, asks(&nobody_v4(), WAN_MAC, "10.0.0.1"), vec![]),
        ("a multicast asker", LAN, asks("10.0.0.7", Mac([1, 0, 0x5e, 0, 0, 1]), "10.0.0.1"), vec![]),
        ("an asker without MAC", LAN, asks("10.0.0.7", Mac::ZERO, "10.0.0.1"), vec![]),
        ("an unknown port", 9, asks("10.0.0.7", HOST, "10.0.0.1"), vec![]),
    ];
    for (what, port, frame, expected) in rows {
        let mut director = Director::quiet(100);
        director.hear(port, &frame);
        assert_eq!(director.pass(0), expected, "{what}");
    }
}

#[test]
fn what_must_not_be_believed_is_not_answered() {
    let solicitation = asks("fd00::7", HOST, "fd00::1");
    let request = asks("10.0.0.7", HOST, "10.0.0.1");
    let rows = [
        ("hop limit 64: it came through a router", &solicitation, 14 + 7, 64),
        ("a wrong checksum", &solicitation, 14 + 42, solicitation[14 + 42] ^ 1),
        ("a multicast target", &solicitation, 14 + 48, 0xff),
        ("code 1", &solicitation, 14 + 41, 1),
        ("an option of length 0", &solicitation, 14 + 65, 0),
        ("an option past the end", &solicitation, 14 + 65, 2),
        ("ARP for other hardware", &request, 14, 1),
        ("ARP for other addresses", &request, 14 + 5, 16),
        ("ARP operation 9", &request, 14 + 7, 9),
    ];
    for (what, frame, at, byte) in rows {
        let mut director = Director::quiet(100);
        let mut frame = frame.clone();
        assert_ne!(frame[at], byte, "{what}: the row changes nothing");
        frame[at] = byte;
        director.hear(LAN, &frame);
        assert_eq!(director.pass(0), Vec::<String>::new(), "{what}");
        assert_eq!(director.neighbors.counters().answered, 0, "{what}");
    }
    for cut in 0..request.len() {
        let mut director = Director::quiet(100);
        director.hear(LAN, &request[..cut]);
        assert_eq!(director.pass(0), Vec::<String>::new(), "ARP cut to {cut} bytes");
    }
}

#[test]
fn own_addresses_are_announced_twice_where_their_subnet_is() {
    let mut director = Director::new(100);
    let announced = |lines: Vec<String>| {
        let mut lines: Vec<String> = lines.into_iter().filter(|line| line.contains("announces")).collect();
        lines.sort();
        lines
    };
    let all = [
        "0 33:33:00:00:00:01: announces 2001:db8::1",
        "0 33:33:00:00:00:01: announces fe80::ff:fe00:100",
        "0 ff:ff:ff:ff:ff:ff: announces 192.0.2.1",
        "1 33:33:00:00:00:01: announces fd00::1",
        "1 33:33:00:00:00:01: announces fd00::240",
        "1 33:33:00:00:00:01: announces fe80::ff:fe00:101",
        "1 ff:ff:ff:ff:ff:ff: announces 10.0.0.1",
        "1 ff:ff:ff:ff:ff:ff: announces 10.0.0.240",
    ];
    assert_eq!(announced(director.pass(0)), all);
    assert_eq!(announced(director.pass(1_999)), [""; 0]);
    assert_eq!(announced(director.pass(1)), all);
    assert_eq!(announced(director.pass(10_000)), [""; 0]);
    // New addresses are announced when they come; one that goes again is not.
    director.neighbors.set_local(["10.0.0.241", "10.0.0.242"].map(address), []);
    director.neighbors.set_local(["10.0.0.242"].map(address), []);
    assert_eq!(announced(director.pass(1)), ["1 ff:ff:ff:ff:ff:ff: announces 10.0.0.242"]);
    // A wire that is another one: what is told there is told again, twice, and nothing elsewhere.
    director.pass(10_000);
    director.neighbors.announce(0);
    assert_eq!(announced(director.pass(1)), all[..3]);
    assert_eq!(announced(director.pass(2_000)), all[..3]);
    assert_eq!(announced(director.pass(10_000)), [""; 0]);
}
