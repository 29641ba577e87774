//! Packets in fragments, in and out: whatever the order, the method, the family and the worker that they arrive at, the packet
//! that leaves is the one that would have left whole.

mod limits;
mod pieces;
mod workers;
mod wrong;

use crate::kit::{Lab, Left};
use crate::mtu::every_method;
use crate::network::*;
pub use pieces::{joined, piece, pieces};
use uvs::pipeline::Reason;
use uvs::wire::build::Frame;
use uvs::wire::{Ipv4, checksum, ipv4, ipv6, protocol};

const CPORT: u16 = 40_000;

/// FullNAT's, of IPv4.
const LOCAL: [u8; 4] = [10, 0, 0, 240];

/// Two packets are equal, but for the id that a tunnel over IPv4, and FullNAT's fragments, take anew.
fn assert_same(one: &[u8], other: &[u8], what: &str) {
    let plain = |frame: &[u8]| {
        let mut frame = frame.to_vec();
        let tunnel = matches!(frame[23], protocol::IPIP | protocol::IPV6);
        if frame[14] >> 4 == 4 && (tunnel || frame[26..30] == LOCAL) {
            frame[18..20].fill(0);
            ipv4::fill_checksum(&mut frame[14..]);
        }
        frame
    };
    assert_eq!(plain(one), plain(other), "{what}");
}

fn config(family: Family, method: &str, server_family: Family, director: &str, mtu: u16) -> String {
    let ports = network(director).replace("name = \"", &format!("mtu = {mtu}\n        name = \""));
    ports + &service("udp", &endpoint(family.vip, 80), "") + &server(&endpoint(server_family.rip, 80), method)
}

fn lab(family: Family, method: &str, server_family: Family) -> Lab {
    Lab::new(&config(family, method, server_family, "conns_max = 500", 1_500))
}

/// A datagram of that much data, no two of which are alike.
fn datagram(frame: Frame, ports: (u16, u16), bytes: usize, id: u16) -> Vec<u8> {
    let data: Vec<u8> = (0..bytes).map(|at| (at * 7 + at / 251 + usize::from(id)) as u8).collect();
    frame.dont_fragment(false).id(id).udp(ports.0, ports.1, &data)
}

fn put_all(lab: &mut Lab, port: usize, frames: &[Vec<u8>]) -> Vec<Left> {
    frames.iter().for_each(|frame| lab.cables[port].put(frame));
    lab.settle()
}

/// Every method, family and order of arrival: what leaves is what would have left whole, and no longer than what came.
#[test]
fn whatever_the_order_the_packet_is_the_same() {
    for (family, method, server_family) in every_method() {
        // With a long MTU both ways are possible: whole, and in fragments.
        let mut lab = Lab::new(&config(family, method, server_family, "conns_max = 500", 9_000));
        let sent = datagram(family.client_sends(), (CPORT, 80), 1_800, 1);
        let whole = one(&mut lab, WAN, &sent, LAN);
        let orders: [(&str, &[usize]); 5] = [
            ("in order", &[0, 1, 2]),
            ("reversed", &[2, 1, 0]),
            ("the middle last", &[2, 0, 1]),
            ("duplicated", &[0, 0, 1, 1, 2]),
            ("the last one twice first", &[2, 2, 0, 1]),
        ];
        for (n, (order, places)) in orders.into_iter().enumerate() {
            let what = format!("{} {method} to {}: {order}", family.name, server_family.name);
            let parts = pieces(&sent, &[800, 600], if family.name == "IPv4" { 1 } else { 50 + n as u32 });
            let frames: Vec<_> = places.iter().map(|at| parts[*at].clone()).collect();
            let left = put_all(&mut lab, WAN, &frames);
            assert!(left.iter().all(|left| left.port == LAN), "{what}");
            assert_same(&joined(&left), &whole, &what);
            if family.name == server_family.name {
                assert!(left.len() >= 2, "{what}: it leaves in fragments as it came");
            }
        }
        let (conn, held) = (conn(&lab), lab.control.counts(0).held);
        assert_eq!((conn.client_port(), held, lab.dropped(Reason::FragmentDuplicate)), (CPORT, 0, 3));
        if !matches!(method, "nat" | "fullnat") {
            continue;
        }
        let (local, local_port) = match method {
            "fullnat" => conn.local(),
            _ => conn.client(),
        };
        let reply = datagram(family.server_sends(&local.to_string()), (80, local_port), 1_800, 9);
        let whole = one(&mut lab, LAN, &reply, WAN);
        let mut parts = pieces(&reply, &[600, 800], 9);
        parts.swap(0, 2);
        let left = put_all(&mut lab, LAN, &parts);
        assert_eq!(left.len(), 3);
        assert_same(&joined(&left), &whole, &format!("{} {method}, the reply", family.name));
    }
}

/// RFC 6864, section 5.3.1: fragments of two clients, who chose one identification, reach the server from one local address.
#[test]
fn fragments_from_a_local_address_have_identifications_of_their_own() {
    for (method, anew) in [("fullnat", true), ("nat", false)] {
        let mut lab = lab(V4, method, V4);
        let ids = ["203.0.113.7", "203.0.113.8"].map(|client| {
            let sent = datagram(V4.client_at(client), (CPORT, 80), 1_800, 77);
            let whole = joined(&put_all(&mut lab, WAN, &pieces(&sent, &[1_200], 77)));
            Ipv4::of(&whole[14..]).unwrap().id()
        });
        assert_eq!(ids.contains(&77), !anew, "{method}: {ids:?}");
        assert_eq!(ids[0] != ids[1], anew, "{method}: {ids:?}");
    }
}

/// A datagram counts as one packet with its whole length.
#[test]
fn traffic_counts_whole_packets() {
    for family in FAMILIES {
        let mut lab = lab(family, "nat", family);
        let sent = datagram(family.client_sends(), (CPORT, 80), 20_000, 1);
        let left = put_all(&mut lab, WAN, &pieces(&sent, &[1_440; 13], 1));
        assert_eq!(joined(&left).len(), sent.len());
        let traffic = lab.workers[0].shard().traffic[conn(&lab).server as usize].counts();
        assert_eq!((traffic.in_packets, traffic.in_bytes), (1, sent.len() as u64 - 14), "{}", family.name);
    }
}

/// Headers that lie in several fragments are found all the same, and the longest packet that there is passes.
#[test]
fn the_smallest_fragments_and_the_longest_packet() {
    for family in FAMILIES {
        let mut lab = lab(family, "nat", family);
        let sent = datagram(family.client_sends(), (CPORT, 80), 400, 1);
        let left = put_all(&mut lab, WAN, &pieces(&sent, &[8; 50], 1));
        assert_eq!(joined(&left)[14 + family.header_bytes + 8..], sent[14 + family.header_bytes + 8..]);
        let longest = 65_535 - if family.name == "IPv4" { 28 } else { 8 };
        let sent = datagram(family.client_sends(), (CPORT, 80), longest, 2);
        let left = put_all(&mut lab, WAN, &pieces(&sent, &[1_440; 45], 2));
        assert_eq!(joined(&left).len(), sent.len(), "{}", family.name);
        assert_eq!(lab.control.counts(0).dropped_total(), 0);
    }
}

/// A UDP datagram without a checksum gets one from NAT, over all its fragments.
#[test]
fn a_missing_checksum_is_made() {
    for method in ["nat", "fullnat"] {
        let mut lab = lab(V4, method, V4);
        let mut sent = datagram(V4.client_sends(), (CPORT, 80), 2_001, 1);
        sent[40..42].fill(0);
        let whole = joined(&put_all(&mut lab, WAN, &pieces(&sent, &[1_200], 1)));
        assert_ne!(whole[40..42], [0, 0]);
        assert!(checksum::transport_is_right(&whole[14..], 20, protocol::UDP), "{method}");
    }
}

#[test]
fn a_long_ping_is_answered() {
    for family in FAMILIES {
        let mut lab = lab(family, "dr", family);
        let data = vec![0x77; 4_000];
        let ask = family.client_sends().dont_fragment(false).echo_request(7, 1, &data);
        let left = put_all(&mut lab, WAN, &pieces(&ask, &[1_208, 1_208, 1_208], 1));
        assert_eq!(left.len(), 3, "as few as the way takes");
        let kind = if family.name == "IPv4" { 0 } else { 129 };
        let id = u16::from_be_bytes([left[0].frame[18], left[0].frame[19]]);
        let expected = family.client_gets(family.vip).dont_fragment(false).id(id).icmp(kind, 0, 7 << 16 | 1, &data);
        assert_eq!(joined(&left), expected, "{}", family.name);
    }
}

/// The congestion mark of one is that of all, unless others say that they cannot be marked (RFC 3168).
#[test]
fn marks_and_the_wish_not_to_be_cut() {
    for family in FAMILIES {
        for (marks, expect) in
            [((2, 3), Some(3)), ((3, 2), Some(3)), ((0, 3), None), ((2, 1), Some(2)), ((0xb8, 0), Some(0xb8))]
        {
            let mut lab = lab(family, "dr", family);
            let of = |tos| pieces(&datagram(family.client_sends().tos(tos), (CPORT, 80), 1_600, 1), &[1_000], 1);
            let left = put_all(&mut lab, WAN, &[of(marks.0)[0].clone(), of(marks.1)[1].clone()]);
            let found = left.first().map(|left| {
                let l3 = &left.frame[14..];
                if family.name == "IPv4" { l3[1] } else { l3[0] << 4 | l3[1] >> 4 }
            });
            assert_eq!(found, expect, "{} {marks:x?}", family.name);
        }
    }
    // If the longest fragment may not be fragmented, the packet may not: its sender looks for the path's MTU by it.
    for (dont, told) in [([true, true], true), ([true, false], true), ([false, true], false)] {
        let mut lab = lab(V4, "nat", V4);
        let mut parts = pieces(&datagram(V4.client_sends(), (CPORT, 80), 2_000, 1), &[1_200], 1);
        for (part, dont) in parts.iter_mut().zip(dont) {
            part[20] |= if dont { 0x40 } else { 0 };
            ipv4::fill_checksum(&mut part[14..34]);
        }
        let left = put_all(&mut lab, WAN, &parts);
        assert_eq!((lab.dropped(Reason::TooBig), left[0].port), if told { (1, WAN) } else { (0, LAN) });
    }
}
