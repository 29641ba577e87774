//! Packets in fragments, in and out: whatever the order, the method, the family and the worker that they arrive at, the packet
//! that leaves is the one that would have left whole. What is wrong with fragments has its name; nobody takes all places.

use crate::kit::{Lab, Left};
use crate::mtu::every_method;
use crate::network::*;
use std::collections::BTreeMap;
use uvs::fragments::waiting::{FRAGMENTS_MAX, PACKETS_MAX, SHARE};
use uvs::pipeline::Reason;
use uvs::wire::build::Frame;
use uvs::wire::{Ipv4, Ipv6, checksum, ipv4, ipv6, protocol};

const CPORT: u16 = 40_000;
/// Ports of a worker.
const PORTS: usize = 2;

fn header_bytes(frame: &[u8]) -> usize {
    if frame[14] >> 4 == 4 { usize::from(frame[14] & 15) * 4 } else { 40 }
}

/// A frame's packet in fragments of that much payload; what is left makes the last one.
pub fn pieces(frame: &[u8], bytes: &[usize], id: u32) -> Vec<Vec<u8>> {
    let payload = &frame[14 + header_bytes(frame)..];
    let ends = (1..=bytes.len()).map(|count| bytes[..count].iter().sum()).chain([payload.len()]);
    let mut from = 0;
    let part = |to: usize| {
        let part = piece(frame, from, &payload[from..to], to < payload.len(), id);
        from = to;
        part
    };
    ends.map(part).collect()
}

/// One fragment of a frame's packet.
pub fn piece(frame: &[u8], offset: usize, part: &[u8], more: bool, id: u32) -> Vec<u8> {
    let head = &frame[..14 + header_bytes(frame)];
    if frame[14] >> 4 == 6 {
        let [high, low] = (offset as u16 | u16::from(more)).to_be_bytes();
        let header = [&[frame[20], 0, high, low], &id.to_be_bytes()[..]].concat();
        let mut made = [head, &header, part].concat();
        made[20] = protocol::FRAGMENT;
        Ipv6::of_mut(&mut made[14..]).unwrap().set_payload_bytes(8 + part.len());
        return made;
    }
    let mut made = [head, part].concat();
    let l3 = &mut made[14..];
    let ip = Ipv4::of_mut(l3).unwrap();
    ip.set_total_bytes(ip.header_bytes() + part.len());
    ip.set_id(id as u16);
    ip.set_fragment(offset, more);
    ipv4::fill_checksum(l3);
    made
}

/// The packet that these frames, in order, are the fragments of; each is right in itself.
pub fn joined(left: &[Left]) -> Vec<u8> {
    let mut whole: Vec<u8> = Vec::new();
    let mut ids = std::collections::BTreeSet::new();
    for (at, Left { frame, .. }) in left.iter().enumerate() {
        let l3 = &frame[14..];
        let (id, offset, more, payload) = if l3[0] >> 4 == 4 {
            assert!(ipv4::checksum_is_right(l3), "{:?}", shown(left));
            let ip = Ipv4::of(l3).unwrap();
            assert_eq!(ip.total_bytes(), l3.len());
            (u32::from(ip.id()), ip.fragment_offset_bytes(), ip.more_fragments(), ip.header_bytes())
        } else {
            assert_eq!(Ipv6::of(l3).unwrap().total_bytes(), l3.len());
            let upper = ipv6::upper_layer(l3).unwrap();
            match upper.fragment {
                Some(part) => (part.id, part.offset_bytes, part.more, 48),
                None => (0, 0, false, 40),
            }
        };
        ids.insert(id);
        let before = if whole.is_empty() { 0 } else { whole.len() - 14 - header_bytes(&whole) };
        assert_eq!((offset, more), (before, at + 1 < left.len()), "{:?}", shown(left));
        if whole.is_empty() {
            whole = frame[..14 + header_bytes(frame)].to_vec();
        }
        whole.extend(&l3[payload..]);
        if at == 0 && payload == 48 {
            whole[20] = l3[40];
        }
    }
    assert_eq!(ids.len(), 1, "fragments of one packet have one id: {:?}", shown(left));
    let l3 = &mut whole[14..];
    let bytes = l3.len();
    if l3[0] >> 4 == 4 {
        let ip = Ipv4::of_mut(l3).unwrap();
        ip.set_total_bytes(bytes);
        ip.set_fragment(0, false);
        ipv4::fill_checksum(l3);
    } else {
        Ipv6::of_mut(l3).unwrap().set_payload_bytes(bytes - 40);
    }
    whole
}

/// Two packets are equal, but for the id that a tunnel over IPv4 takes anew.
fn assert_same(one: &[u8], other: &[u8], what: &str) {
    let plain = |frame: &[u8]| {
        let mut frame = frame.to_vec();
        if frame[14] >> 4 == 4 && matches!(frame[23], protocol::IPIP | protocol::IPV6) {
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

/// Description, what goes in, whether the packet leaves all the same, drops by reason.
type Row = (&'static str, Vec<Vec<u8>>, bool, Vec<(Reason, u64)>);

/// What is wrong with fragments. In the end nothing waits any more.
#[test]
fn what_is_wrong_has_its_name() {
    for family in FAMILIES {
        let sent = datagram(family.client_sends(), (CPORT, 80), 2_000, 1);
        let good = pieces(&sent, &[800, 800], 1);
        let cut = |from: usize, to: usize, more| {
            let payload = &sent[14 + family.header_bytes..];
            piece(&sent, from, &payload[from..to], more, 1)
        };
        let v4 = family.name == "IPv4";
        let far = |offset, more| piece(&sent, offset, &[0x79; 80], more, 1);
        let rows: Vec<Row> = vec![
            ("twice", [&good[..], &good[..1]].concat(), true, vec![]),
            (
                "contained in what is there",
                vec![good[0].clone(), good[1].clone(), cut(720, 880, true), good[2].clone()],
                true,
                vec![(Reason::FragmentDuplicate, 1)],
            ),
            (
                "overlap behind",
                vec![good[0].clone(), cut(792, 1_600, true), good[2].clone()],
                false,
                vec![(Reason::FragmentOverlap, 2)],
            ),
            (
                "overlap before",
                vec![good[1].clone(), good[2].clone(), cut(0, 808, true)],
                false,
                vec![(Reason::FragmentOverlap, 3)],
            ),
            (
                "no multiple of eight",
                vec![cut(0, 801, true), good[0].clone(), good[1].clone(), good[2].clone()],
                true,
                vec![(Reason::BadFragment, 1)],
            ),
            (
                "empty",
                vec![good[0].clone(), cut(800, 800, true), good[1].clone(), good[2].clone()],
                !v4,
                vec![(Reason::BadFragment, if v4 { 2 } else { 1 })],
            ),
            (
                "beyond the longest packet",
                vec![good[0].clone(), far(65_520, false), good[1].clone(), good[2].clone()],
                !v4,
                vec![(Reason::BadFragment, if v4 { 2 } else { 1 })],
            ),
            (
                "two ends",
                vec![good[2].clone(), far(2_400, false), good[0].clone(), good[1].clone()],
                !v4,
                vec![(Reason::BadFragment, if v4 { 2 } else { 1 })],
            ),
            (
                "more behind the end",
                vec![good[2].clone(), far(2_400, true), good[0].clone(), good[1].clone()],
                !v4,
                vec![(Reason::BadFragment, if v4 { 2 } else { 1 })],
            ),
            (
                "an end before what is there",
                vec![far(2_400, true), good[2].clone(), good[0].clone(), good[1].clone()],
                false,
                vec![(Reason::BadFragment, if v4 { 2 } else { 1 })],
            ),
            ("the first is missing", good[1..].to_vec(), false, vec![]),
        ];
        for (what, frames, passes, drops) in rows {
            let mut lab = lab(family, "nat", family);
            let left = put_all(&mut lab, WAN, &frames);
            assert_eq!(!left.is_empty(), passes, "{} {what}: {:?}", family.name, shown(&left));
            if passes {
                assert_eq!(joined(&left).len(), sent.len(), "{} {what}", family.name);
            }
            for (reason, count) in drops {
                assert_eq!(lab.dropped(reason), count, "{} {what}", family.name);
            }
            lab.advance(61_000);
            assert_eq!(lab.control.counts(0).held, 0, "{} {what}", family.name);
        }
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

/// Fragments that wait too long: the sender of the first one is told, from the address that it wrote to.
#[test]
fn time_runs_out() {
    for (family, wait_ms, kind) in [(V4, 30_000, 11), (V6, 60_000, 3)] {
        let parts = pieces(&datagram(family.client_sends(), (CPORT, 80), 2_000, 1), &[800, 800], 1);
        let mut lab = lab(family, "nat", family);
        assert!(put_all(&mut lab, WAN, &[parts[2].clone(), parts[0].clone()]).is_empty());
        assert!(lab.advance(wait_ms - 1_000).is_empty(), "{}", family.name);
        assert_eq!(lab.control.counts(0).held, 2);
        let left = lab.advance(2_000);
        assert_eq!(left.len(), 1, "{}: {:?}", family.name, shown(&left));
        let v4 = family.name == "IPv4";
        let quote = &parts[0][14..];
        let expected = if v4 {
            let id = u16::from_be_bytes([left[0].frame[18], left[0].frame[19]]);
            let from = family.client_gets(family.vip).tos(0xc0).dont_fragment(false).id(id);
            from.icmp(kind, 1, 0, &quote[..548])
        } else {
            family.client_gets(family.wan).icmp(kind, 1, 0, quote)
        };
        assert_eq!(left[0].frame, expected, "{}", family.name);
        assert_eq!((lab.dropped(Reason::FragmentTimeout), lab.control.counts(0).held), (2, 0));
        // The rest comes too late, and without the first nobody is told.
        assert!(put_all(&mut lab, WAN, &parts[1..2]).is_empty());
        assert!(lab.advance(wait_ms + 1_000).is_empty());
        assert_eq!(lab.dropped(Reason::FragmentTimeout), 3);
    }
}

/// A flood of first fragments from one sender costs that sender's packets, and nobody else's.
#[test]
fn one_sender_cannot_take_all_places() {
    for family in FAMILIES {
        let mut lab = lab(family, "nat", family);
        let other = if family.name == "IPv4" { "203.0.113.66" } else { "2001:db8:c::66" };
        let flood = |n: u32| {
            let sent = datagram(family.client_at(other), (9, 80), 2_000, n as u16);
            pieces(&sent, &[1_208], 0x10000 + n)[0].clone()
        };
        let sent = datagram(family.client_sends(), (CPORT, 80), 20_000, 1);
        let parts = pieces(&sent, &[1_440; 13], 1);
        let mut left = Vec::new();
        for (n, part) in parts.iter().enumerate() {
            let wave: Vec<_> = (0..100).map(|at| flood(n as u32 * 100 + at)).collect();
            put_all(&mut lab, WAN, &wave);
            left.extend(put_all(&mut lab, WAN, std::slice::from_ref(part)));
        }
        assert_eq!(joined(&left).len(), sent.len(), "{}", family.name);
        let share = (PACKETS_MAX / SHARE) as u64;
        assert_eq!(lab.control.counts(0).held, share, "{}", family.name);
        assert_eq!(lab.dropped(Reason::FragmentsFull), 14 * 100 - share);
        lab.advance(61_000);
        assert_eq!(lab.control.counts(0).held, 0);
    }
}

/// Many senders fill all places: the oldest go, and a packet whose fragments come close together passes.
#[test]
fn the_oldest_make_room() {
    let mut lab = lab(V4, "nat", V4);
    let from = |n: usize| datagram(V4.client_at(&format!("198.18.{}.{}", n / 250, 1 + n % 250)), (9, 80), 2_000, 1);
    for n in 0..2 * PACKETS_MAX {
        lab.cables[WAN].put(&pieces(&from(n), &[1_200], 1)[0]);
    }
    assert!(lab.settle().is_empty());
    assert_eq!(lab.control.counts(0).held, PACKETS_MAX as u64);
    assert_eq!(lab.dropped(Reason::FragmentsFull), PACKETS_MAX as u64);
    let parts = pieces(&datagram(V4.client_sends(), (CPORT, 80), 2_000, 1), &[800, 800], 1);
    assert_eq!(put_all(&mut lab, WAN, &parts).len(), 3);
    // Many fragments each: the places for fragments are full before those for packets.
    for n in 0..40 {
        let parts = pieces(&from(n), &[16; 60], 7);
        put_all(&mut lab, WAN, &parts[..60]);
    }
    let held = lab.control.counts(0).held as usize;
    assert!((FRAGMENTS_MAX - 60..=FRAGMENTS_MAX).contains(&held), "{held}");
}

/// A packet waits for its next hop in one piece, and leaves in fragments when the neighbour has answered; when the pool is
/// dry it is dropped by its name.
#[test]
fn next_hops_and_pools() {
    let mut lab = Lab::unstarted(&config(V4, "nat", V4, "conns_max = 500", 1_500), 0);
    lab.hosts_answer = false;
    let sent = datagram(V4.client_sends(), (CPORT, 80), 4_000, 1);
    let parts = pieces(&sent, &[1_200, 1_200, 1_200], 1);
    assert!(put_all(&mut lab, WAN, &parts).is_empty());
    assert_eq!(lab.control.counts(0).held, 1);
    lab.hosts_answer = true;
    assert_eq!(joined(&lab.advance(3_000)).len(), sent.len());
    // The fragments that come take buffers, too.
    lab.pool.set_free(parts.len() + 2);
    assert_eq!(put_all(&mut lab, WAN, &parts).len(), 2);
    assert_eq!(lab.dropped(Reason::NoBuffer), 1);
}

/// Errors about fragments find their conn by the first one; about a later one, nobody can say whose it is.
#[test]
fn errors_about_fragments() {
    for family in FAMILIES {
        let mut lab = lab(family, "nat", family);
        one(&mut lab, WAN, &family.client_sends().udp(CPORT, 80, b""), LAN);
        let reply = Frame::between(family.vip, family.client).dont_fragment(false).udp(80, CPORT, &[1; 2_000]);
        let parts = pieces(&reply, &[1_200], 5);
        let (kind, code) = if family.name == "IPv4" { (11, 1) } else { (3, 1) };
        let left = one(&mut lab, WAN, &family.client_sends().icmp(kind, code, 0, &parts[0][14..214]), LAN);
        let quoted = &left[14 + family.header_bytes + 8..];
        let source = if family.name == "IPv4" { &quoted[12..16] } else { &quoted[8..24] };
        let rip: Vec<u8> = match ip(family.rip) {
            std::net::IpAddr::V4(rip) => rip.octets().to_vec(),
            std::net::IpAddr::V6(rip) => rip.octets().to_vec(),
        };
        assert_eq!(source, rip, "{}", family.name);
        nothing(&mut lab, WAN, &family.client_sends().icmp(kind, code, 0, &parts[1][14..214]));
        assert_eq!(lab.dropped(Reason::IcmpUnmatched), 1, "{}", family.name);
        // Nor is anything within fragments a fragment, or neighbour discovery (RFC 6980).
        if family.name == "IPv6" {
            let hidden =
                family.client_sends().packet(protocol::FRAGMENT, &[17, 0, 0, 1, 0, 0, 0, 9, 1, 1, 1, 1, 1, 1, 1, 1]);
            put_all(&mut lab, WAN, &pieces(&hidden, &[8], 6));
            let message = family.client_sends().icmp(136, 0, 0, &[0; 16]);
            put_all(&mut lab, WAN, &pieces(&message, &[16], 7));
            assert_eq!(lab.dropped(Reason::BadFragment), 2);
        }
    }
}

/// Datagrams of many clients, their fragments spread over workers' queues in random order, between turns in random order.
fn run(workers: usize, seed: u64) -> BTreeMap<Vec<u8>, usize> {
    let lcores: Vec<String> = (1..=workers).map(|lcore| lcore.to_string()).collect();
    let director = format!("workers = [{}]\nconns_max = 2000", lcores.join(", "));
    let text = FAMILIES.map(|family| {
        let methods = ["nat", "dr", "tun"].into_iter().enumerate();
        let of = |(at, method): (usize, &str)| {
            let port = 80 + at as u16;
            service("udp", &endpoint(family.vip, port), "") + &server(&endpoint(family.rip, port), method)
        };
        methods.map(of).collect::<String>()
    });
    let mut lab = Lab::new(&(network(&director) + &text.concat()));
    let mut random = fastrand::Rng::with_seed(seed);
    let mut frames = Vec::new();
    for n in 0..60u16 {
        let family = FAMILIES[usize::from(n) % 2];
        let sent = datagram(family.client_sends(), (CPORT + n, 80 + n % 3), 500 + 97 * usize::from(n), n);
        frames.extend(pieces(&sent, &vec![400; sent.len() / 450], u32::from(n)));
    }
    random.shuffle(&mut frames);
    let mut left = Vec::new();
    for frame in frames {
        lab.cables[random.usize(..workers) * PORTS + WAN].put(&frame);
        if random.u8(..) < 40 {
            let now = lab.now();
            lab.workers[random.usize(..workers)].turn(now);
            lab.check_accounts();
        }
    }
    left.extend(lab.settle());
    assert_eq!(lab.conns().len(), 60, "{workers} workers, seed {seed}");
    // Of each packet that left: its fragments stand together, for one worker made them.
    let mut packets: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    let mut fragments: Vec<Left> = Vec::new();
    for frame in left {
        let l3 = &frame.frame[14..];
        let more = if l3[0] >> 4 == 4 {
            Ipv4::of(l3).unwrap().more_fragments()
        } else {
            ipv6::upper_layer(l3).unwrap().fragment.is_some_and(|part| part.more)
        };
        fragments.push(frame);
        if !more {
            let mut whole = joined(&std::mem::take(&mut fragments));
            if whole[14] >> 4 == 4 && whole[23] == protocol::IPIP {
                whole[18..20].fill(0);
                ipv4::fill_checksum(&mut whole[14..]);
            }
            *packets.entry(whole).or_default() += 1;
        }
    }
    packets
}

#[test]
fn any_worker_may_get_any_fragment() {
    let expected = run(1, 1);
    assert_eq!(expected.values().sum::<usize>(), 60);
    for workers in 1..=4 {
        for seed in 0..4 {
            assert!(run(workers, seed) == expected, "{workers} workers, seed {seed}");
        }
    }
}
