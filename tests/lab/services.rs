//! Services of other kinds: each datagram for itself, every port of an address, firewall marks.

use crate::kit::Lab;
use crate::network::*;
use uvs::pipeline::Reason;
use uvs::services::book::{Listed, ServerSpec};
use uvs::wire::build::Frame;
use uvs::wire::tcp;

const CPORT: u16 = 40_000;

/// What a listed server was told.
pub fn spec_of(listed: &Listed) -> ServerSpec {
    let server = listed.server;
    ServerSpec {
        method: server.method,
        weight: server.weight,
        thresholds: listed.thresholds,
        tunnel: Default::default(),
        next_hop: None,
    }
}

fn servers(rest: &str) -> String {
    network("conns_max = 100") + rest + &server("10.0.0.11:53", "nat") + &server("10.0.0.12:53", "nat")
}

/// Where an IPv4 frame goes.
fn destination(frame: &[u8]) -> [u8; 4] {
    [frame[30], frame[31], frame[32], frame[33]]
}

/// Each datagram of one socket is scheduled anew and leaves no conn; replies find none and are not translated.
#[test]
fn one_packet_scheduling() {
    let mut lab = Lab::new(&servers(&service("udp", "198.51.100.10:53", "scheduler = \"rr\"\none_packet = true")));
    let ask = V4.client_sends().udp(CPORT, 53, b"name?");
    let mut picked = Vec::new();
    for _ in 0..3 {
        picked.push(destination(&one(&mut lab, WAN, &ask, LAN)));
        assert_eq!((lab.conns().len(), counts_of(&lab, 0), counts_of(&lab, 1)), (0, (0, 0), (0, 0)));
    }
    // In one burst, too.
    (0..3).for_each(|_| lab.cables[WAN].put(&ask));
    picked.extend(lab.settle().iter().map(|left| destination(&left.frame)));
    assert_eq!(picked.len(), 6);
    assert!(picked.windows(2).all(|pair| pair[0] != pair[1]), "rr among two: {picked:?}");
    let routed = V4.client_gets(RIP).ttl(63).udp(53, CPORT, b"answer");
    becomes(&mut lab, LAN, &V4.server_sends(CLIENT).udp(53, CPORT, b"answer"), WAN, &routed);
    assert_eq!(lab.control.counts(0).conns_made, 6);
}

/// A service of port 0 takes every port that has no service of its own, and keeps the port.
#[test]
fn port_0_takes_every_other_port() {
    let config = network("conns_max = 100")
        + &service("tcp", "198.51.100.10:0", "persistent = \"1m\"")
        + &server("10.0.0.11:0", "nat")
        + &service("tcp", "198.51.100.10:80", "")
        + &server("10.0.0.12:8080", "nat");
    let mut lab = Lab::new(&config);
    for (port, rip, rport) in [(80, "10.0.0.12", 8080), (22, "10.0.0.11", 22), (65_535, "10.0.0.11", 65_535)] {
        let build = |frame: Frame, to| frame.tcp((CPORT, to), (1, 0), tcp::SYN, b"");
        let expected = Frame::between(CLIENT, rip).macs(crate::kit::port_mac(LAN), mac(rip)).ttl(63);
        becomes(&mut lab, WAN, &build(V4.client_sends(), port), LAN, &build(expected, rport));
    }
    // Another protocol is not the service's.
    let left = one(&mut lab, WAN, &V4.client_sends().udp(CPORT, 22, b""), WAN);
    assert_eq!(left[34..36], [3, 3]);
}

const MARKS: &str = r#"
    [[mark]]
    source = "203.0.113.0/24"
    destination = "198.51.100.16/28"
    protocol = "tcp"
    destination_ports = "8000-8010"
    mark = 5
    [[mark]]
    destination = "198.51.100.16/28"
    protocol = "udp"
    mark = 5
    [[service]]
    fwmark = 5
    scheduler = "rr"
    [[service.real_server]]
    address = "10.0.0.11:0"
    method = "dr"
    "#;

/// A marked service takes what the rules mark, whatever the address and port; the rest is not for us.
#[test]
fn marks_select_a_service() {
    let mut lab = Lab::new(&(network("conns_max = 100\nforward = false") + MARKS));
    let syn = |from: &str, to: &str, port| {
        Frame::between(from, to).macs(mac(ROUTER), crate::kit::port_mac(WAN)).tcp((CPORT, port), (1, 0), tcp::SYN, b"")
    };
    let rows = [
        ("first port of the range", syn(CLIENT, "198.51.100.17", 8000), true),
        ("last port of the range", syn(CLIENT, "198.51.100.30", 8010), true),
        ("a port beyond", syn(CLIENT, "198.51.100.17", 8011), false),
        ("another source", syn("203.0.114.7", "198.51.100.17", 8000), false),
        ("another destination", syn(CLIENT, "198.51.100.32", 8000), false),
        (
            "the second rule",
            Frame::between("203.0.114.7", "198.51.100.17").macs(mac(ROUTER), crate::kit::port_mac(WAN)).udp(1, 2, b""),
            true,
        ),
    ];
    for (what, frame, taken) in rows {
        let before = lab.dropped(Reason::NotForUs);
        let left = lab.send(WAN, &frame);
        assert_eq!(left.len(), usize::from(taken), "{what}");
        assert_eq!(lab.dropped(Reason::NotForUs) - before, u64::from(!taken), "{what}");
        if taken {
            // DR: nothing but MAC and TTL changed.
            assert_eq!((left[0].port, &left[0].frame[..6]), (LAN, &mac(RIP).0[..]), "{what}");
            assert_eq!(left[0].frame[26..], frame[26..], "{what}");
        }
    }
    assert_eq!(lab.conns().len(), 3);
}

/// Weight 0 takes no new conns and keeps those that it has.
#[test]
fn weight_0_drains() {
    let mut lab = Lab::new(&servers(&service("udp", "198.51.100.10:53", "scheduler = \"rr\"")));
    let ask = |port| V4.client_sends().udp(port, 53, b"name?");
    let first = destination(&one(&mut lab, WAN, &ask(1), LAN));
    let (service, listed) = lab.control.book().list().next().unwrap();
    let drained = listed.iter().find(|listed| listed.server.address == std::net::IpAddr::from(first)).unwrap();
    let (key, address, spec) = (service.key, drained.address(), spec_of(drained));
    lab.control.edit_server(key, address, ServerSpec { weight: 0, ..spec }).unwrap();
    lab.settle();
    for port in 2..10 {
        assert_ne!(destination(&one(&mut lab, WAN, &ask(port), LAN)), first);
    }
    assert_eq!(destination(&one(&mut lab, WAN, &ask(1), LAN)), first, "the conn stays");
    lab.control.edit_server(key, address, spec).unwrap();
    lab.settle();
    let picked: Vec<_> = (20..24).map(|port| destination(&one(&mut lab, WAN, &ask(port), LAN))).collect();
    assert_eq!(picked.iter().filter(|picked| **picked == first).count(), 2, "back in turn: {picked:?}");
}
