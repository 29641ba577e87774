//! Frames to the host and from it.

use super::*;
use crate::fragments::pieces;
use uvs::host::ring::FRAME_BYTES_MAX;
use uvs::pipeline::Reason;
use uvs::wire::{Mac, arp, nd, tcp};

const CPORT: u16 = 40_000;
const VRRP: u8 = 112;

/// What becomes of a frame.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The host has it, byte for byte, and nothing left.
    Host,
    /// The director answers, or forwards; the host has nothing.
    Left,
    /// Dropped.
    Dropped(Reason),
    /// Kept until the rest of its packet comes.
    Waits,
}

fn ended(lab: &mut Lab, port: usize, frame: &[u8]) -> End {
    let dropped = |lab: &Lab| Reason::ALL.iter().map(|reason| lab.dropped(*reason)).collect::<Vec<_>>();
    let before = dropped(lab);
    let left = everything_left(lab, port, frame);
    let got = lab.host_got();
    let reason = Reason::ALL.iter().zip(before.iter().zip(dropped(lab))).find(|(_, (before, after))| *before != after);
    match (&got[..], left.is_empty(), reason) {
        ([one], true, None) if one.port == port && one.frame == frame => End::Host,
        ([], false, None) => End::Left,
        ([], true, Some((reason, _))) => End::Dropped(*reason),
        ([], true, None) => End::Waits,
        other => panic!("several fates: {other:?}"),
    }
}

/// A multicast or broadcast MAC as destination.
fn to_group(mut frame: Vec<u8>, mac: [u8; 6]) -> Vec<u8> {
    frame[..6].copy_from_slice(&mac);
    frame
}

#[test]
fn what_goes_to_the_host_and_what_does_not() {
    for family in FAMILIES {
        let own = host_address(family);
        let to = |address: &str| to(family, address);
        let group = if family.name == "IPv4" { "224.0.0.18" } else { "ff02::12" };
        let group_mac = if family.name == "IPv4" { [1, 0, 0x5e, 0, 0, 18] } else { [0x33, 0x33, 0, 0, 0, 0x12] };
        let quoted = Frame::between(own, family.client).tcp((22, CPORT), (1, 1), tcp::ACK, b"");
        let too_big = if family.name == "IPv4" { (3, 4) } else { (2, 0) };
        let lldp = [&[1, 0x80, 0xc2, 0, 0, 14, 2, 0, 0, 0, 0, 9, 0x88, 0xcc][..], &[0; 46]].concat();
        let first_part = |frame: &[u8]| pieces(frame, &[400], 9).remove(0);
        let syn = |address: &str, port: u16| to(address).tcp((CPORT, port), (1, 0), tcp::SYN, b"");
        let mut elsewhere = syn(own, 22);
        elsewhere[..6].copy_from_slice(&[2, 0, 0, 0, 9, 9]);
        let rows: Vec<(&str, usize, Vec<u8>, End)> = vec![
            ("TCP to the host", WAN, syn(own, 22), End::Host),
            ("a segment of its conn", WAN, to(own).tcp((CPORT, 179), (7, 8), tcp::ACK, b"bgp"), End::Host),
            ("UDP", WAN, to(own).udp(CPORT, 53, b"?"), End::Host),
            ("ping", WAN, to(own).echo_request(1, 2, b"ping"), End::Host),
            ("a protocol that the director does not speak", WAN, to(own).packet(VRRP, &[0x21; 20]), End::Host),
            (
                "an ICMP error about the host's conn",
                WAN,
                to(own).icmp(too_big.0, too_big.1, 1400, &quoted[14..]),
                End::Host,
            ),
            ("VRRP", WAN, to_group(to(group).ttl(255).packet(VRRP, &[0x31; 20]), group_mac), End::Host),
            (
                "the same by a port without",
                LAN,
                to_group(to(group).packet(VRRP, &[0x31; 20]), group_mac),
                End::Dropped(Reason::Multicast),
            ),
            ("LLDP", WAN, lldp.clone(), End::Host),
            ("the same by a port without", LAN, lldp, End::Dropped(Reason::OtherEtherType)),
            ("a fragment", WAN, first_part(&to(own).udp(CPORT, 53, &[7; 600])), End::Host),
            (
                "a fragment for the file's address",
                WAN,
                first_part(&to(family.wan).udp(CPORT, 53, &[7; 600])),
                End::Waits,
            ),
            ("TCP to the file's address", WAN, syn(family.wan, 22), End::Left),
            ("ping of it", WAN, to(family.wan).echo_request(1, 2, b"ping"), End::Left),
            ("UDP to the VIP, where nothing serves", WAN, to(family.vip).udp(CPORT, 53, b"?"), End::Left),
            ("a service", WAN, syn(family.vip, 80), End::Left),
            (
                "to the host, by the port without",
                LAN,
                to(own).macs(mac(family.rip), port_mac(LAN)).udp(1, 2, b""),
                End::Left,
            ),
            ("to another station", WAN, elsewhere, End::Dropped(Reason::OtherMac)),
            ("for another host", WAN, to(family.rip).udp(1, 2, b""), End::Left),
        ];
        for (what, port, frame, expected) in rows {
            let mut lab = lab();
            lab.host_got();
            assert_eq!(ended(&mut lab, port, &frame), expected, "{}: {what}", family.name);
        }
    }
}

/// A VIP that the host carries is still the director's where a service is, for packets that start no conn too.
#[test]
fn what_is_a_services_is_not_the_hosts() {
    for family in FAMILIES {
        let mut lab = lab();
        let vip = format!("{}/{}", family.vip, if family.name == "IPv4" { 32 } else { 128 });
        lab.host_has(carrying(&[&vip]));
        lab.host_got();
        let rows = [
            ("a stray segment", family.client_sends().tcp((CPORT, 80), (5, 5), tcp::ACK, b""), End::Left),
            ("a new conn", family.client_sends().tcp((CPORT, 80), (5, 0), tcp::SYN, b""), End::Left),
            ("another port", family.client_sends().tcp((CPORT, 22), (5, 0), tcp::SYN, b""), End::Host),
            ("ping", family.client_sends().echo_request(1, 2, b"ping"), End::Host),
        ];
        for (what, frame, expected) in rows {
            assert_eq!(ended(&mut lab, WAN, &frame), expected, "{}: {what}", family.name);
        }
    }
}

/// Nobody here needs the host's own packets whole; those to a VIP are put together, for a conn may be theirs, and are the host's
/// if none is.
#[test]
fn fragments_reach_the_host_as_they_came_or_whole() {
    for (family, workers) in FAMILIES.into_iter().flat_map(|family| [(family, "[1]"), (family, "[1, 2, 3]")]) {
        let mut lab = Lab::new(&config_with(&format!("workers = {workers}\nconns_max = 500"), ""));
        let [bits, own_bits] = if family.name == "IPv4" { [32, 24] } else { [128, 64] };
        let vip = format!("{}/{bits}", family.vip);
        lab.host_has(carrying(&[&vip, &format!("{}/{own_bits}", host_address(family))]));
        lab.host_got();
        let mut parts_got = |ask: &[u8]| {
            let parts = pieces(ask, &[1_208, 1_208], 9);
            parts.iter().for_each(|part| lab.cables[WAN].put(part));
            let left = lab.settle();
            let got: Vec<_> = lab.host_got().into_iter().map(|got| got.frame).collect();
            (parts, left.len(), got, lab.dropped(Reason::HostTooLong))
        };
        let ping =
            |address: &str, bytes| to(family, address).dont_fragment(false).id(9).echo_request(1, 2, &vec![7; bytes]);
        let (parts, left, got, _) = parts_got(&ping(host_address(family), 3_000));
        assert_eq!((left, got), (0, parts), "{}: the host's own address", family.name);
        let whole = ping(family.vip, 3_000);
        let (_, left, got, _) = parts_got(&whole);
        assert_eq!((left, got), (0, vec![whole]), "{}: a VIP that the host carries", family.name);
        let too_long = ping(family.vip, FRAME_BYTES_MAX);
        let (_, left, got, dropped) = parts_got(&too_long);
        assert_eq!((left, got, dropped), (0, vec![], 1), "{}: longer than the host takes", family.name);
        let (_, left, _, _) = parts_got(&ping(family.wan, 3_000));
        assert!(left > 1, "{}: the file's address is answered", family.name);
        lab.check_accounts();
    }
}

/// Requests for own addresses are control's to answer; everything else both hear.
#[test]
fn arp_and_neighbour_discovery_reach_who_needs_them() {
    const OTHER: Mac = Mac([2, 0, 0, 0, 0, 0x77]);
    for family in FAMILIES {
        let asker = if family.name == "IPv4" { "192.0.2.77" } else { "2001:db8::77" };
        let asks = |target: &str| match (ip(asker), ip(target)) {
            (std::net::IpAddr::V4(asker), std::net::IpAddr::V4(target)) => arp::request((OTHER, asker), target),
            (std::net::IpAddr::V6(asker), std::net::IpAddr::V6(target)) => nd::solicitation((OTHER, asker), target),
            _ => unreachable!("two families"),
        };
        let tells = match ip(asker) {
            std::net::IpAddr::V4(v4) => arp::reply((OTHER, v4), (port_mac(WAN), "192.0.2.2".parse().unwrap())),
            std::net::IpAddr::V6(v6) => {
                let to = (port_mac(WAN), "2001:db8::2".parse().unwrap());
                nd::advertisement((OTHER, v6), to, nd::SOLICITED | nd::OVERRIDE)
            }
        };
        let rows = [
            ("who has the host's address", asks(host_address(family)), End::Left),
            ("who has the file's", asks(family.wan), End::Left),
            ("who has the VIP", asks(family.vip), End::Left),
            ("who has somebody else's", asks(family.router), End::Host),
            ("an answer", tells, End::Host),
        ];
        for (what, frame, expected) in rows {
            let mut lab = lab();
            lab.host_got();
            assert_eq!(ended(&mut lab, WAN, &frame), expected, "{}: {what}", family.name);
        }
    }
    // A router's advertisement: control has no use for it, the host may.
    let source = "fe80::9".parse::<std::net::IpAddr>().unwrap();
    let advertisement = Frame::new(source, ip("ff02::1")).macs(OTHER, Mac([0x33, 0x33, 0, 0, 0, 1])).ttl(255);
    let advertisement = advertisement.icmp(134, 0, 0, &[0; 8]);
    let mut lab = lab();
    lab.host_got();
    assert_eq!(ended(&mut lab, WAN, &advertisement), End::Host);
}

#[test]
fn what_the_host_sends_leaves_as_it_is() {
    for workers in ["[1]", "[1, 2, 3]"] {
        let mut lab = Lab::new(&config_with(&format!("workers = {workers}\nconns_max = 500"), ""));
        let frame =
            |number: u16| Frame::between("192.0.2.2", ROUTER).macs(port_mac(WAN), mac(ROUTER)).udp(number, 179, b"");
        let frames: Vec<_> = (0..100).map(frame).collect();
        assert!(frames.iter().all(|frame| lab.host_sends(WAN, frame)));
        let left: Vec<_> = lab.settle().into_iter().map(|left| (left.port, left.frame)).collect();
        assert_eq!(left, frames.into_iter().map(|frame| (WAN, frame)).collect::<Vec<_>>(), "in their order");
        let created = (0..lab.workers.len()).map(|worker| lab.control.counts(worker).created).sum::<u64>();
        assert!(created >= 100, "{created}");
    }
}

#[test]
fn a_dry_pool_is_a_drop_with_a_name() {
    let mut lab = lab();
    lab.pool.set_free(2);
    let frame = Frame::between("192.0.2.2", ROUTER).macs(port_mac(WAN), mac(ROUTER)).udp(1, 179, b"");
    (0..5).for_each(|_| assert!(lab.host_sends(WAN, &frame)));
    assert_eq!(lab.settle().len(), 2);
    assert_eq!(lab.dropped(Reason::NoBuffer), 3);
}

/// Whichever worker a frame for the host comes by, the host gets it.
#[test]
fn every_worker_gives_to_the_host() {
    let mut lab = Lab::new(&config_with("workers = [1, 2, 3, 4]\nconns_max = 500", ""));
    lab.host_has(carrying(&["192.0.2.2/24"]));
    lab.host_got();
    for worker in 0..4 {
        for port in 0..8 {
            let frame = to(V4, "192.0.2.2").tcp((CPORT, 22 + port), (1, 0), tcp::SYN, b"");
            lab.cables[worker * 2 + WAN].put(&frame);
        }
    }
    lab.settle();
    assert_eq!(lab.host_got().len(), 32);
    let passed: Vec<_> = (0..4).map(|worker| lab.control.counts(worker).passed).collect();
    assert!(passed.iter().filter(|count| **count > 0).count() >= 2, "{passed:?}");
}

/// Turns that are full of work: a flood to the host, and the host sending all it can, cost the conns' frames nothing.
#[test]
fn a_flood_of_the_host_leaves_the_data_plane_as_it_is() {
    const CONNS: u16 = 16;
    const TURNS: usize = 600;
    for family in FAMILIES {
        let mut lab = lab();
        let segment = |port: u16, flags: u8| family.client_sends().tcp((CPORT + port, 80), (1, 0), flags, b"x");
        (0..CONNS).for_each(|port| assert_eq!(lab.send(WAN, &segment(port, tcp::SYN)).len(), 1));
        lab.host_got();
        let (before, full_before) = (lab.control.counts(0), lab.dropped(Reason::HostFull));
        let flood = to(family, host_address(family)).udp(CPORT, 9, &[0; 400]);
        let sent_by_host =
            Frame::between(host_address(family), family.router).macs(port_mac(WAN), mac(family.router)).udp(9, 9, b"");
        let (mut forwarded, mut for_host) = (0, 0);
        for _ in 0..TURNS {
            // A burst, half of it conns', in every turn: the worker never catches up.
            for port in 0..CONNS {
                lab.cables[WAN].put(&segment(port, tcp::ACK));
                lab.cables[WAN].put(&flood);
            }
            while lab.host_sends(WAN, &sent_by_host) {}
            let now = lab.now();
            lab.workers[0].turn(now);
            let left = taken(&lab);
            forwarded += left.iter().filter(|left| left.port == LAN).count();
            let of_host = left.iter().filter(|left| left.port == WAN).count();
            assert!(of_host <= 4, "{of_host} frames of the host in a full turn");
            for_host += of_host;
        }
        let (counts, full) = (lab.workers[0].shard().counts, lab.dropped(Reason::HostFull));
        let flooded = TURNS as u64 * u64::from(CONNS);
        assert_eq!(forwarded, TURNS * usize::from(CONNS), "{}: every conn's frame in its turn", family.name);
        assert_eq!(for_host, TURNS * 4, "{}: the host gets its share", family.name);
        let now_full = counts.dropped[Reason::HostFull as usize] - before.dropped[Reason::HostFull as usize];
        assert!(full >= full_before && now_full > 0, "{}: the ring is full, and that is counted", family.name);
        assert_eq!(
            counts.passed - before.passed + now_full,
            flooded,
            "{}: each of the flood has its fate",
            family.name
        );
        assert_eq!(lab.host_got().len() as u64, counts.passed - before.passed);
        lab.check_accounts();
        // With room again the host gets frames again.
        lab.send(WAN, &flood);
        assert_eq!(lab.host_got().len(), 1);
        while !lab.settle().is_empty() {}
    }
}
