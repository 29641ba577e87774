//! Next hops: frames wait while one is asked for, in order and bounded; a MAC that changes is followed; who does not answer
//! costs its own packets only.

use crate::kit::{Lab, Left, port_mac};
use crate::network::*;
use uvs::pipeline::Reason;
use uvs::wire::build::Frame;
use uvs::wire::{Mac, arp, nd};
use uvs::worker::held::{HELD_MAX, HELD_MS_MAX, HELD_PER_HOP_MAX};

const PORT: u16 = 80;
const ELSEWHERE: Mac = Mac([2, 0x77, 0, 0, 0, 1]);

fn config(family: Family, director: &str) -> String {
    network(director)
        + &service("udp", &endpoint(family.vip, PORT), "scheduler = \"rr\"")
        + &server(&endpoint(family.rip, PORT), "nat")
}

/// A director that has not heard of its only real server, which does not answer.
fn silent(family: Family) -> Lab {
    let mut lab = Lab::unstarted(&config(family, "conns_max = 1000"), 0);
    lab.moved.insert(ip(family.rip), None);
    lab.settle();
    lab
}

fn datagram(family: Family, client_port: u16) -> Vec<u8> {
    family.client_sends().udp(client_port, PORT, b"hello")
}

fn source_port(left: &Left, family: Family) -> u16 {
    u16::from_be_bytes([left.frame[14 + family.header_bytes], left.frame[15 + family.header_bytes]])
}

fn held(lab: &Lab) -> u64 {
    lab.control.counts(0).held
}

#[test]
fn frames_wait_in_order_until_the_server_answers() {
    for family in FAMILIES {
        let mut lab = silent(family);
        for port in 0..20 {
            nothing(&mut lab, WAN, &datagram(family, 30_000 + port));
        }
        assert_eq!(held(&lab), 20, "{}", family.name);
        assert!(lab.advance(500).is_empty());
        lab.moved.clear();
        // The next request is answered; what waited leaves as it would have left before, and nothing else.
        let left = lab.advance(1_000);
        let ports: Vec<_> = left.iter().map(|left| source_port(left, family)).collect();
        assert_eq!(ports, (30_000..30_020).collect::<Vec<_>>(), "{}", family.name);
        let expected = family.server_gets(family.client, family.rip).ttl(63).udp(30_000, PORT, b"hello");
        assert_eq!((left[0].port, &left[0].frame), (LAN, &expected), "{}", family.name);
        assert_eq!((held(&lab), lab.control.counts(0).dropped_total()), (0, 0), "{}", family.name);
    }
}

#[test]
fn what_waits_is_bounded_per_next_hop() {
    for family in FAMILIES {
        let mut lab = silent(family);
        for port in 0..HELD_PER_HOP_MAX as u16 + 10 {
            nothing(&mut lab, WAN, &datagram(family, 30_000 + port));
        }
        assert_eq!((held(&lab), lab.dropped(Reason::HeldFull)), (HELD_PER_HOP_MAX as u64, 10), "{}", family.name);
        lab.moved.clear();
        assert_eq!(lab.advance(1_000).len(), HELD_PER_HOP_MAX, "{}", family.name);
    }
}

#[test]
fn what_waits_is_bounded_in_all() {
    let servers = 20;
    let mut config = network("conns_max = 1000") + &service("udp", "198.51.100.10:80", "scheduler = \"rr\"");
    for n in 0..servers {
        config += &server(&format!("10.0.0.{}:80", 20 + n), "nat");
    }
    let mut lab = Lab::unstarted(&config, 0);
    lab.hosts_answer = false;
    lab.settle();
    for port in 0..servers * HELD_PER_HOP_MAX as u16 {
        nothing(&mut lab, WAN, &datagram(V4, 30_000 + port));
    }
    let too_many = u64::from(servers) * HELD_PER_HOP_MAX as u64 - HELD_MAX as u64;
    assert_eq!((held(&lab), lab.dropped(Reason::HeldFull)), (HELD_MAX as u64, too_many));
    lab.hosts_answer = true;
    assert_eq!(lab.advance(1_500).len(), HELD_MAX);
    assert_eq!(held(&lab), 0);
}

/// Three requests a second apart, then the neighbour has failed: what waits for it goes, and what comes is dropped at once
/// until it answers.
#[test]
fn a_server_that_does_not_answer_fails_and_comes_back() {
    for family in FAMILIES {
        let mut lab = silent(family);
        nothing(&mut lab, WAN, &datagram(family, 30_000));
        lab.advance(2_900);
        assert_eq!((held(&lab), lab.dropped(Reason::NeighborFailed)), (1, 0), "{}", family.name);
        lab.advance(200);
        assert_eq!((held(&lab), lab.dropped(Reason::NeighborFailed)), (0, 1), "{}", family.name);
        nothing(&mut lab, WAN, &datagram(family, 30_001));
        assert_eq!((held(&lab), lab.dropped(Reason::NeighborFailed)), (0, 2), "{}", family.name);
        lab.moved.clear();
        // The frame that was dropped made control ask again.
        lab.advance(1_100);
        let left = one(&mut lab, WAN, &datagram(family, 30_002), LAN);
        assert_eq!(left[..6], mac(family.rip).0, "{}", family.name);
    }
}

/// A frame for whom there is no room among the neighbours waits its time and goes.
#[test]
fn a_frame_waits_its_time_at_most() {
    let mut lab = Lab::new(&config(V4, "conns_max = 1000\nneighbors_max = 1"));
    // Two clients on the link; the first one takes the only entry and stays busy.
    let ask = |client: &str| Frame::between(client, VIP).macs(mac(client), port_mac(WAN)).udp(30_000, PORT, b"ask");
    let answer = |client: &str| V4.server_sends(client).udp(PORT, 30_000, b"answer");
    for client in ["192.0.2.71", "192.0.2.72"] {
        one(&mut lab, WAN, &ask(client), LAN);
    }
    one(&mut lab, LAN, &answer("192.0.2.71"), WAN);
    nothing(&mut lab, LAN, &answer("192.0.2.72"));
    assert_eq!(held(&lab), 1);
    lab.advance(HELD_MS_MAX - 100);
    assert_eq!((held(&lab), lab.dropped(Reason::HeldTooLong)), (1, 0));
    lab.advance(200);
    assert_eq!((held(&lab), lab.dropped(Reason::HeldTooLong)), (0, 1));
}

#[test]
fn a_mac_that_is_announced_is_followed_at_once() {
    for family in FAMILIES {
        let mut lab = Lab::new(&config(family, "conns_max = 1000"));
        assert_eq!(one(&mut lab, WAN, &datagram(family, 30_000), LAN)[..6], mac(family.rip).0);
        let announcement = match ip(family.rip) {
            std::net::IpAddr::V4(rip) => arp::request((ELSEWHERE, rip), rip),
            std::net::IpAddr::V6(rip) => nd::announcement((ELSEWHERE, rip), nd::OVERRIDE),
        };
        lab.moved.insert(ip(family.rip), Some(ELSEWHERE));
        lab.send(LAN, &announcement);
        // The conn that there is follows, too.
        for port in [30_000, 30_001] {
            assert_eq!(one(&mut lab, WAN, &datagram(family, port), LAN)[..6], ELSEWHERE.0, "{}", family.name);
        }
    }
}

#[test]
fn a_mac_that_changes_unsaid_is_found_out_without_loss() {
    for family in FAMILIES {
        let mut lab = Lab::new(&config(family, "conns_max = 1000"));
        lab.moved.insert(ip(family.rip), Some(ELSEWHERE));
        let mut macs = Vec::new();
        for _ in 0..60 {
            lab.advance(1_000);
            macs.push(one(&mut lab, WAN, &datagram(family, 30_000), LAN)[..6].to_vec());
        }
        let followed_after = macs.iter().position(|mac| *mac == ELSEWHERE.0).expect("never followed");
        // 30 s it is believed, then it is asked three times at the old place; with the sweeps of a second between.
        assert!((25..40).contains(&followed_after), "{}: after {followed_after} s", family.name);
        assert!(macs[followed_after..].iter().all(|mac| *mac == ELSEWHERE.0));
    }
}

#[test]
fn a_static_neighbor_is_never_asked_and_never_moves() {
    for family in FAMILIES {
        let neighbor = format!("[[neighbor]]\naddress = {:?}\nmac = \"02:00:00:00:00:aa\"\n", family.rip);
        let config = config(family, "conns_max = 1000").replacen("[fullnat]", &format!("{neighbor}[fullnat]"), 1);
        let mut lab = Lab::new(&config);
        lab.moved.insert(ip(family.rip), None);
        let announcement = match ip(family.rip) {
            std::net::IpAddr::V4(rip) => arp::request((ELSEWHERE, rip), rip),
            std::net::IpAddr::V6(rip) => nd::announcement((ELSEWHERE, rip), nd::OVERRIDE),
        };
        lab.send(LAN, &announcement);
        for _ in 0..50 {
            lab.advance(1_000);
            assert_eq!(
                one(&mut lab, WAN, &datagram(family, 30_000), LAN)[..6],
                [2, 0, 0, 0, 0, 0xaa],
                "{}",
                family.name
            );
        }
    }
}

/// A client on the link is answered directly, with or without a gateway; one beyond the link has no way back without one.
#[test]
fn clients_on_the_link_need_no_gateway() {
    for (family, neighbor) in [(V4, "192.0.2.77"), (V6, "2001:db8::77")] {
        let lines = [format!("gateway = \"{ROUTER}\""), format!("gateway6 = \"{ROUTER6}\"")];
        let config = config(family, "conns_max = 1000");
        let without = lines.iter().fold(config.clone(), |config, line| config.replacen(line, "", 1));
        for config in [config, without.clone()] {
            let mut lab = Lab::new(&config);
            let ask = Frame::between(neighbor, family.vip).macs(mac(neighbor), port_mac(WAN)).udp(30_000, PORT, b"ask");
            one(&mut lab, WAN, &ask, LAN);
            let answer = family.server_sends(neighbor).udp(PORT, 30_000, b"answer");
            let back = Frame::between(family.vip, neighbor).macs(port_mac(WAN), mac(neighbor)).ttl(63);
            // Held for the moment that it takes to ask for the client.
            becomes(&mut lab, LAN, &answer, WAN, &back.udp(PORT, 30_000, b"answer"));
        }
        let mut lab = Lab::new(&without);
        one(&mut lab, WAN, &datagram(family, 30_000), LAN);
        let answer = family.server_sends(family.client).udp(PORT, 30_000, b"answer");
        lab.send(LAN, &answer);
        assert_eq!(lab.dropped(Reason::NoRoute), 1, "{}", family.name);
    }
}

/// Whoever asks for an address of the director gets the port's MAC; whoever asks for another one gets nothing.
#[test]
fn own_addresses_are_answered() {
    for (address, answered) in [(V4.wan, true), (V4.lan, true), (VIP, true), (V4.lip, true), ("192.0.2.9", false)] {
        let mut lab = Lab::new(&config(V4, "conns_max = 10"));
        let (std::net::IpAddr::V4(asker), std::net::IpAddr::V4(target)) = (ip("192.0.2.77"), ip(address)) else {
            panic!()
        };
        lab.cables[WAN].put(&arp::request((mac("192.0.2.77"), asker), target));
        lab.hosts_answer = false;
        let reply = arp::reply((port_mac(WAN), target), (mac("192.0.2.77"), asker));
        assert_eq!(talk(&mut lab).contains(&reply), answered, "{address}");
    }
    for (address, answered) in [(V6.wan, true), (VIP6, true), (V6.lip, true), ("2001:db8::9", false)] {
        let mut lab = Lab::new(&config(V6, "conns_max = 10"));
        let (std::net::IpAddr::V6(asker), std::net::IpAddr::V6(target)) = (ip("2001:db8::77"), ip(address)) else {
            panic!()
        };
        lab.cables[WAN].put(&nd::solicitation((mac("2001:db8::77"), asker), target));
        let flags = nd::SOLICITED | nd::OVERRIDE | nd::ROUTER;
        let reply = nd::advertisement((port_mac(WAN), target), (mac("2001:db8::77"), asker), flags);
        assert_eq!(talk(&mut lab).contains(&reply), answered, "{address}");
    }
}

/// Everything that leaves in a few turns, ARP and neighbour discovery included.
fn talk(lab: &mut Lab) -> Vec<Vec<u8>> {
    let now = lab.now();
    for _ in 0..4 {
        lab.workers[0].turn(now);
        lab.control.turn(now);
    }
    lab.cables[WAN].take()
}
