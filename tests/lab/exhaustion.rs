//! Everything that is bounded, full: the conn table, local ports, the ring to control. A named drop, no harm to what there is
//! already, and all is well when room comes back. (Templates: `persistence`; held frames: `neighbors`; devices: `mtu`.)

use crate::kit::{Lab, port_mac};
use crate::network::*;
use crate::show;
use std::collections::HashSet;
use std::net::Ipv4Addr;
use uvs::pipeline::Reason;
use uvs::wire::build::Frame;
use uvs::wire::{arp, tcp};

/// The n-th of many clients' endpoints.
fn endpoint_of(n: u32) -> (Ipv4Addr, u16) {
    (Ipv4Addr::from(0xcb00_7100 + n / 50_000), (10_000 + n % 50_000) as u16)
}

fn datagram(n: u32, service_port: u16) -> Vec<u8> {
    let (client, port) = endpoint_of(n);
    Frame::new(client.into(), ip(VIP)).macs(mac(ROUTER), port_mac(WAN)).udp(port, service_port, b"x")
}

/// Sends the datagrams of so many clients to a service; gives how many left.
fn flood(lab: &mut Lab, clients: std::ops::Range<u32>, service_port: u16) -> usize {
    let mut left = 0;
    let mut clients = clients.peekable();
    while clients.peek().is_some() {
        clients.by_ref().take(5_000).for_each(|n| lab.cables[WAN].put(&datagram(n, service_port)));
        left += lab.settle().len();
    }
    left
}

#[test]
fn a_full_table_refuses_and_recovers() {
    for (protocol, method) in [("udp", "nat"), ("udp", "dr"), ("udp", "fullnat"), ("tcp", "nat")] {
        let config = network("conns_max = 100") + "[timeouts]\nudp = \"10s\"\ntcp_syn_recv = \"10s\"\n";
        let mut lab =
            Lab::new(&(config + &service(protocol, "198.51.100.10:80", "") + &server("10.0.0.11:80", method)));
        let first = |n: u16| match protocol {
            "udp" => V4.client_sends().udp(20_000 + n, 80, b"x"),
            _ => V4.client_sends().tcp((20_000 + n, 80), (1, 0), tcp::SYN, b""),
        };
        for n in 0..100 {
            one(&mut lab, WAN, &first(n), LAN);
        }
        for n in 100..150 {
            nothing(&mut lab, WAN, &first(n));
        }
        assert_eq!((lab.dropped(Reason::TableFull), lab.conns().len()), (50, 100), "{protocol} {method}");
        // The conns that there are work, in both directions, and live on.
        lab.advance_in_steps(8_000, 1_000);
        for n in 0..10 {
            one(&mut lab, WAN, &first(n), LAN);
        }
        if method == "nat" && protocol == "udp" {
            one(&mut lab, LAN, &V4.server_sends(CLIENT).udp(80, 20_000, b"x"), WAN);
        }
        // The others end, and there is room for so many.
        lab.advance_in_steps(3_000, 100);
        assert_eq!(lab.workers[0].shard().table.len(), 10, "{protocol} {method}");
        for n in 200..290 {
            one(&mut lab, WAN, &first(n), LAN);
        }
        nothing(&mut lab, WAN, &first(290));
        assert_eq!(lab.dropped(Reason::TableFull), 51, "{protocol} {method}");
        let (active, inactive) = counts(&lab);
        assert_eq!(active + inactive, 100);
    }
}

const SERVERS: usize = 3;

/// FullNAT with one local address: a service with three servers (port 80), one with a fourth (81), one with a fifth (82).
fn fullnat() -> Lab {
    let mut config = network("conns_max = 300000") + "[timeouts]\nudp = \"60s\"\n";
    config += &service("udp", "198.51.100.10:80", "scheduler = \"rr\"");
    for n in 0..SERVERS {
        config += &server(&format!("10.0.0.{}:80", 11 + n), "fullnat");
    }
    config += &(service("udp", "198.51.100.10:81", "") + &server("10.0.0.21:81", "fullnat"));
    config += &(service("udp", "198.51.100.10:82", "") + &server("10.0.0.22:82", "fullnat"));
    Lab::new(&config)
}

/// A local port is used again towards each server: one address carries far more than 64 k conns, all different.
#[test]
fn one_local_address_carries_more_conns_than_it_has_ports() {
    let conns = 150_000;
    let mut lab = fullnat();
    assert_eq!(flood(&mut lab, 0..conns, 80), conns as usize);
    assert_eq!(lab.control.counts(0).dropped_total(), 0);
    let listed = lab.conns();
    assert_eq!(listed.len(), conns as usize);
    let replies: HashSet<_> = listed.iter().map(|conn| (conn.real_server(), conn.local())).collect();
    assert_eq!(replies.len(), conns as usize, "no two conns have the same reply");
    let ports: HashSet<_> = listed.iter().map(|conn| conn.local().1).collect();
    assert!(ports.len() <= 64_512 && ports.iter().all(|port| *port >= 1024));
    // Each reply finds its own client.
    for conn in listed.iter().step_by(9_973) {
        let ((rip, rport), (lip, lport)) = (conn.real_server(), conn.local());
        let reply = Frame::new(rip, lip).macs(crate::kit::host_mac(rip), port_mac(LAN)).udp(rport, lport, b"y");
        let (client, port) = conn.client();
        let expected = Frame::new(ip(VIP), client).macs(port_mac(WAN), mac(ROUTER)).ttl(63).udp(80, port, b"y");
        becomes(&mut lab, LAN, &reply, WAN, &expected);
    }
}

/// Towards one server the ports run out: a drop that names local address and server. Other servers go on, and so does the
/// one when conns have ended.
#[test]
fn local_ports_run_out_and_come_back() {
    let mut lab = fullnat();
    let sent = 70_000;
    let left = flood(&mut lab, 0..sent, 81) as u32;
    let refused = lab.dropped(Reason::LocalPorts) as u32;
    assert_eq!(left + refused, sent);
    // 64512 ports; nearly all of them are found by a bounded search.
    assert!((60_000..=64_512).contains(&left), "{left} conns");
    lab.advance(200);
    let exhausted = show::drops(&mut lab).local_ports;
    assert_eq!(exhausted.len(), 1);
    assert_eq!((exhausted[0].local, exhausted[0].server), (ip(V4.lip), Some("10.0.0.21:81".parse().unwrap())));
    assert_eq!(exhausted[0].times, u64::from(refused));
    // No count is kept of what was refused, and nobody else suffers.
    assert_eq!(lab.conns().len() as u32, left);
    assert_eq!(flood(&mut lab, 0..1_000, 82), 1_000);
    assert_eq!(flood(&mut lab, 0..3_000, 80), 3_000);
    assert_eq!(flood(&mut lab, 0..1_000, 81), 1_000, "conns that there are work");
    lab.advance_in_steps(62_000, 100);
    assert_eq!(lab.workers[0].shard().table.len(), 0);
    assert_eq!(flood(&mut lab, 0..10_000, 81), 10_000);
    assert_eq!(lab.dropped(Reason::LocalPorts) as u32, refused);
}

/// ARP that comes faster than control hears it is dropped by name, and packets go on.
#[test]
fn a_flood_of_arp() {
    let config = network("conns_max = 100") + &service("udp", "198.51.100.10:80", "");
    let mut lab = Lab::new(&(config + &server("10.0.0.11:80", "nat")));
    let asker = Ipv4Addr::new(192, 0, 2, 77);
    let question = arp::request((mac("192.0.2.77"), asker), Ipv4Addr::new(192, 0, 2, 1));
    let now = lab.now();
    let before = lab.control.counts(0).consumed;
    for _ in 0..50 {
        (0..32).for_each(|_| lab.cables[WAN].put(&question));
        lab.workers[0].turn(now);
    }
    let counts = lab.control.counts(0);
    assert_eq!(counts.consumed - before + lab.dropped(Reason::ControlBusy), 1_600);
    assert!(lab.dropped(Reason::ControlBusy) > 0);
    lab.settle();
    one(&mut lab, WAN, &V4.client_sends().udp(1, 80, b"x"), LAN);
}
