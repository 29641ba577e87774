//! ICMP errors about conns: translated inside and out with NAT and FullNAT, from whichever side they come; sent on with DR and
//! TUN; dropped by name when they are about no conn.

use crate::kit::{Lab, port_mac};
use crate::network::*;
use uvs::pipeline::Reason;
use uvs::wire::build::Frame;
use uvs::wire::{protocol, tcp};

const CPORT: u16 = 40_000;
const RPORT: u16 = 8080;
/// A router in front of the real server, which has nothing of the conn.
const INNER_ROUTER: [&str; 2] = ["10.0.0.254", "fd00:1::fe"];

fn lab(family: Family, method: &str) -> Lab {
    let port = if matches!(method, "dr" | "tun") { 80 } else { RPORT };
    let config = network("conns_max = 100") + &service("tcp", &endpoint(family.vip, 80), "");
    Lab::new(&(config + &server(&endpoint(family.rip, port), method)))
}

fn syn(family: Family) -> Vec<u8> {
    family.client_sends().tcp((CPORT, 80), (7, 0), tcp::SYN, b"")
}

fn inner_router(family: Family) -> &'static str {
    INNER_ROUTER[usize::from(family.name == "IPv6")]
}

/// Each family's type, code and rest of: port unreachable, fragmentation needed with MTU 1400, time exceeded.
fn kinds(family: Family) -> [(u8, u8, u32); 3] {
    if family.name == "IPv4" { [(3, 3, 0), (3, 4, 1400), (11, 0, 0)] } else { [(1, 4, 0), (2, 0, 1400), (3, 0, 0)] }
}

/// A packet with another one's transport checksum: a quoted one stays as it was.
fn with_checksum_of(mut packet: Vec<u8>, other: &[u8], family: Family) -> Vec<u8> {
    let at = family.header_bytes + 16;
    packet[at..at + 2].copy_from_slice(&other[at..at + 2]);
    packet
}

/// Quoted whole, or the shortest that routers quote.
fn cuts(family: Family) -> [usize; 2] {
    [family.header_bytes + 20, family.header_bytes + 8]
}

/// From the server's side: the real server itself, or a router before it, about a packet of the client.
#[test]
fn errors_from_the_servers_side_reach_the_client() {
    for family in FAMILIES {
        for method in ["nat", "fullnat"] {
            for (kind, code, rest) in kinds(family) {
                for speaker in [family.rip, inner_router(family)] {
                    for cut in cuts(family) {
                        let mut lab = lab(family, method);
                        let reached = one(&mut lab, WAN, &syn(family), LAN)[14..].to_vec();
                        let peer = if method == "nat" { family.client } else { family.lip };
                        let error = Frame::between(speaker, peer).macs(mac(speaker), port_mac(LAN));
                        let told =
                            Frame::between(family.client, family.vip).ttl(63).tcp((CPORT, 80), (7, 0), tcp::SYN, b"");
                        let told = with_checksum_of(told[14..].to_vec(), &reached, family);
                        let expected = family.client_gets(family.vip).ttl(63);
                        becomes(
                            &mut lab,
                            LAN,
                            &error.icmp(kind, code, rest, &reached[..cut]),
                            WAN,
                            &expected.icmp(kind, code, rest, &told[..cut]),
                        );
                        assert_eq!((state(&lab), counts(&lab)), ("SYN_RECV", (1, 0)), "an error changes no state");
                    }
                }
            }
        }
    }
}

/// From the client's side: the client, or a router on the way to it, about a packet of the real server.
#[test]
fn errors_from_the_clients_side_reach_the_server() {
    for family in FAMILIES {
        for method in ["nat", "fullnat"] {
            for (kind, code, rest) in kinds(family) {
                for speaker in [family.client, "203.0.113.1", "2001:db8:c::1"] {
                    if ip(speaker).is_ipv4() != ip(family.client).is_ipv4() {
                        continue;
                    }
                    for cut in cuts(family) {
                        let mut lab = lab(family, method);
                        one(&mut lab, WAN, &syn(family), LAN);
                        let (peer, port) = match method {
                            "nat" => (family.client, CPORT),
                            _ => (family.lip, conn(&lab).local().1),
                        };
                        let flags = tcp::SYN | tcp::ACK;
                        let reply = family.server_sends(peer).tcp((RPORT, port), (9, 8), flags, b"");
                        let reached = one(&mut lab, LAN, &reply, WAN)[14..].to_vec();
                        let told = Frame::between(family.rip, peer).ttl(63).tcp((RPORT, port), (9, 8), flags, b"");
                        let told = with_checksum_of(told[14..].to_vec(), &reached, family);
                        let error = Frame::between(speaker, family.vip).macs(mac(family.router), port_mac(WAN));
                        let from = if method == "nat" { speaker } else { family.lip };
                        let expected = family.server_gets(from, family.rip).ttl(63);
                        becomes(
                            &mut lab,
                            WAN,
                            &error.icmp(kind, code, rest, &reached[..cut]),
                            LAN,
                            &expected.icmp(kind, code, rest, &told[..cut]),
                        );
                    }
                }
            }
        }
    }
}

/// With DR and TUN the real server has the VIP: the error goes there as it is, where the client's packets go.
#[test]
fn errors_go_along_with_dr_and_tun() {
    for family in FAMILIES {
        for method in ["dr", "tun"] {
            let mut lab = lab(family, method);
            one(&mut lab, WAN, &syn(family), LAN);
            let reply = Frame::between(family.vip, family.client).ttl(62).tcp((80, CPORT), (9, 8), tcp::ACK, b"data")
                [14..]
                .to_vec();
            let (kind, code, rest) = kinds(family)[1];
            let error = |frame: Frame| frame.icmp(kind, code, rest, &reply);
            let sent = error(Frame::between(family.client, family.vip).macs(mac(family.router), port_mac(WAN)));
            let left = one(&mut lab, WAN, &sent, LAN);
            let hop = |source, destination| family.server_gets(source, destination).ttl(63);
            let expected = if method == "dr" {
                error(hop(family.client, family.vip))
            } else {
                let inner = error(Frame::between(family.client, family.vip).ttl(63))[14..].to_vec();
                let v4 = family.name == "IPv4";
                let outer = hop(family.lan, family.rip).id(0);
                outer.packet(if v4 { protocol::IPIP } else { protocol::IPV6 }, &inner)
            };
            assert_eq!(left, expected, "{} {method}", family.name);
        }
    }
}

/// An error does not prolong the conn that it is about.
#[test]
fn an_error_is_no_sign_of_life() {
    let mut lab = lab(V4, "nat");
    let reached = one(&mut lab, WAN, &syn(V4), LAN)[14..].to_vec();
    lab.advance_in_steps(59_000, 1_000);
    lab.send(LAN, &V4.server_sends(CLIENT).icmp(3, 3, 0, &reached));
    lab.advance_in_steps(1_000, 10);
    assert_eq!(lab.conns().len(), 0);
}

#[test]
fn errors_about_nothing_are_dropped_by_name() {
    for family in FAMILIES {
        let (kind, code, rest) = kinds(family)[0];
        let packet =
            |from: &str, to: &str, ports| Frame::between(from, to).tcp(ports, (1, 1), tcp::ACK, b"")[14..].to_vec();
        let to_vip = |quote: &[u8]| family.client_sends().icmp(kind, code, rest, quote);
        let known = packet(family.vip, family.client, (80, CPORT));
        let mut fragment = known.clone();
        if family.name == "IPv4" {
            fragment[7] = 5;
        }
        let rows: [(&str, usize, Vec<u8>, Reason); 5] = [
            (
                "another client's port",
                WAN,
                to_vip(&packet(family.vip, family.client, (80, CPORT + 1))),
                Reason::IcmpUnmatched,
            ),
            (
                "the ends as the client sees them",
                WAN,
                to_vip(&packet(family.client, family.vip, (CPORT, 80))),
                Reason::IcmpUnmatched,
            ),
            ("nothing quoted", WAN, to_vip(b""), Reason::IcmpUnmatched),
            ("no ports quoted", WAN, to_vip(&known[..family.header_bytes + 3]), Reason::IcmpUnmatched),
            ("garbage quoted", WAN, to_vip(&[0x5a; 48]), Reason::IcmpUnmatched),
        ];
        for (what, port, frame, reason) in rows {
            let mut lab = lab(family, "nat");
            one(&mut lab, WAN, &syn(family), LAN);
            nothing(&mut lab, port, &frame);
            assert_eq!(lab.dropped(reason), 1, "{}: {what}", family.name);
        }
        if family.name == "IPv4" {
            let mut lab = lab(family, "nat");
            one(&mut lab, WAN, &syn(family), LAN);
            nothing(&mut lab, WAN, &to_vip(&fragment));
            assert_eq!(lab.dropped(Reason::IcmpUnmatched), 1, "a later fragment quoted");
        }
    }
}
