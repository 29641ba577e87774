//! Frames that nobody sane sends. Each has one fate with one reason; nothing panics, grows, or changes what is known.

use crate::fragments::pieces;
use crate::kit::{Lab, Left, port_mac};
use crate::network::*;
use uvs::pipeline::Reason;
use uvs::wire::build::Frame;
use uvs::wire::{Mac, arp, ethernet, ipv4, nd, protocol, tcp};

/// Services of every method, family and protocol, small tables.
pub fn everything() -> String {
    let director = "conns_max = 2000\ntemplates_max = 200\nneighbors_max = 100";
    let mut config = network(director) + "[timeouts]\nudp = \"20s\"\ntcp = \"30s\"\n";
    for family in FAMILIES {
        for (n, method) in ["nat", "dr", "tun", "fullnat"].into_iter().enumerate() {
            let port = 80 + n as u16;
            for protocol in ["tcp", "udp"] {
                let rest =
                    if method == "dr" { "scheduler = \"sh\"\npersistent = \"10s\"" } else { "scheduler = \"lc\"" };
                config += &service(protocol, &endpoint(family.vip, port), rest);
                config += &server(&endpoint(family.rip, port), method);
            }
        }
    }
    config
}

/// One valid frame of each kind, with the port that it comes by.
pub fn valid_frames() -> Vec<(usize, Vec<u8>)> {
    let mut frames = Vec::new();
    for family in FAMILIES {
        let (client, server) = (family.client_sends(), family.server_sends(family.client));
        for port in 80..84 {
            for flags in [tcp::SYN, tcp::ACK, tcp::FIN | tcp::ACK, tcp::RST] {
                frames.push((WAN, client.tcp((40_000, port), (1, 1), flags, b"data")));
                frames.push((LAN, server.tcp((port, 40_000), (1, 1), flags, b"data")));
            }
            frames.push((WAN, client.udp(40_000, port, b"data")));
            frames.push((LAN, server.udp(port, 40_000, b"data")));
            let v4 = family.name == "IPv4";
            let quote = Frame::between(family.vip, family.client).tcp((port, 40_000), (1, 1), tcp::ACK, b"data");
            frames.push((WAN, client.icmp(if v4 { 3 } else { 1 }, 3, 0, &quote[14..])));
        }
        frames.push((WAN, client.echo_request(1, 1, b"ping")));
        // For others: next door, by a router, back by the port it came from.
        let (next_door, beyond) =
            if family.name == "IPv4" { ("10.0.0.22", "198.18.0.9") } else { ("fd00:1::22", "2001:db8:18::9") };
        let for_others = |from: &str, to: &str, port| Frame::between(from, to).macs(mac(from), port_mac(port));
        frames.push((WAN, for_others(family.client, next_door, WAN).udp(1, 2, b"data")));
        frames.push((LAN, for_others(family.rip, beyond, LAN).tcp((1, 2), (1, 1), tcp::ACK, b"data")));
        frames.push((LAN, for_others(next_door, beyond, LAN).echo_request(1, 1, b"ping")));
        frames.push((LAN, for_others(next_door, family.rip, LAN).udp(1, 2, b"redirect me")));
        frames.push((WAN, client.packet(protocol::SCTP, &[0, 7, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0])));
    }
    let extensions = [protocol::DESTINATION_OPTIONS, 0, 1, 4, 0, 0, 0, 0, protocol::UDP, 0, 1, 4, 0, 0, 0, 0];
    let udp = V6.client_sends().udp(40_000, 80, b"data")[54..].to_vec();
    frames.push((WAN, V6.client_sends().packet(protocol::HOP_BY_HOP, &[&extensions[..], &udp].concat())));
    frames.push((WAN, V4.client_sends().options(&[7, 7, 4, 0, 0, 0, 0, 0]).udp(40_000, 80, b"data")));
    for family in FAMILIES {
        let (client, server) = (family.client_sends(), family.server_sends(family.client));
        let datagram = client.dont_fragment(false).udp(40_000, 80, &[7; 600]);
        frames.extend(pieces(&datagram, &[200, 200], 1).into_iter().map(|piece| (WAN, piece)));
        let reply = server.dont_fragment(false).udp(80, 40_000, &[7; 300]);
        frames.extend(pieces(&reply, &[200], 1).into_iter().map(|piece| (LAN, piece)));
        let ping = family.client_sends().dont_fragment(false).echo_request(1, 1, &[7; 400]);
        frames.extend(pieces(&ping, &[304], 2).into_iter().map(|piece| (WAN, piece)));
        let segment = family.client_sends().dont_fragment(false).tcp((40_001, 80), (1, 1), tcp::SYN, b"data");
        frames.extend(pieces(&segment, &[8, 8], 3).into_iter().map(|piece| (WAN, piece)));
    }
    let (std::net::IpAddr::V4(host), std::net::IpAddr::V4(own)) = (ip("192.0.2.77"), ip(V4.wan)) else { panic!() };
    let (std::net::IpAddr::V6(host6), std::net::IpAddr::V6(own6)) = (ip("2001:db8::77"), ip(V6.wan)) else { panic!() };
    frames.push((WAN, arp::request((mac("192.0.2.77"), host), own)));
    frames.push((WAN, arp::reply((mac("192.0.2.77"), host), (port_mac(WAN), own))));
    frames.push((WAN, nd::solicitation((mac("2001:db8::77"), host6), own6)));
    frames.push((WAN, nd::advertisement((mac("2001:db8::77"), host6), (port_mac(WAN), own6), nd::OVERRIDE)));
    frames
}

/// Puts frames in, many at once; every turn sees that none is lost.
fn put_all(lab: &mut Lab, frames: impl Iterator<Item = (usize, Vec<u8>)>) {
    for (n, (port, frame)) in frames.enumerate() {
        lab.cables[port].put(&frame);
        if n % 256 == 255 {
            lab.settle();
        }
    }
    lab.settle();
}

#[test]
fn frames_cut_off_at_every_length() {
    let mut lab = Lab::new(&everything());
    for (port, frame) in valid_frames() {
        put_all(&mut lab, (0..frame.len()).map(|length| (port, frame[..length].to_vec())));
    }
    // Nothing that was cut off within its IP packet made a conn.
    assert_eq!((lab.conns().len(), lab.control.counts(0).conns_made), (0, 0));
}

#[test]
fn every_bit_flipped() {
    let mut lab = Lab::new(&everything());
    let step = if cfg!(debug_assertions) { 3 } else { 1 };
    for (port, frame) in valid_frames() {
        let flipped = |bit: usize| {
            let mut frame = frame.clone();
            frame[bit / 8] ^= 1 << (bit % 8);
            (port, frame)
        };
        put_all(&mut lab, (0..frame.len() * 8).step_by(step).map(flipped));
    }
    lab.check_live();
}

/// Every word of every frame, in turn, says something absurd; with right checksums, so that it is believed further on.
#[test]
fn absurd_words() {
    let mut lab = Lab::new(&everything());
    for (port, frame) in valid_frames() {
        let absurd = |(at, word): (usize, u16)| {
            let mut frame = frame.clone();
            frame[at..at + 2].copy_from_slice(&word.to_be_bytes());
            if frame.len() >= 34 && frame[14] == 0x45 {
                ipv4::fill_checksum(&mut frame[14..34]);
            }
            (port, frame)
        };
        let words = [0, 1, 0x0fff, 0x7fff, 0x8000, 0xfffe, 0xffff];
        let places = (12..frame.len() - 1).flat_map(|at| words.map(|word| (at, word)));
        put_all(&mut lab, places.map(absurd));
    }
    lab.check_live();
}

/// Frames as long as no device gives them, and IP lengths up to the last number.
#[test]
fn frames_longer_than_any() {
    let mut lab = Lab::new(&everything());
    for length in [1_515, 9_000, 65_535 - 48, 65_535 - 28] {
        put_all(
            &mut lab,
            [
                (WAN, V4.client_sends().udp(1, 80, &vec![0; length])),
                (WAN, V4.client_sends().udp(1, 82, &vec![0; length])),
            ]
            .into_iter(),
        );
    }
    for total in [65_500u16, 65_520, 65_521, 65_522, 65_535] {
        let mut v4 = V4.client_sends().udp(1, 80, &[0; 40]);
        v4.resize(14 + 65_535, 0);
        v4[16..18].copy_from_slice(&total.to_be_bytes());
        ipv4::fill_checksum(&mut v4[14..34]);
        let mut v6 = V6.client_sends().udp(1, 80, &[0; 40]);
        v6.resize(14 + 40 + 65_535, 0);
        v6[18..20].copy_from_slice(&total.to_be_bytes());
        put_all(&mut lab, [(WAN, v4), (WAN, v6)].into_iter());
    }
}

/// The frame with one change, its IPv4 header checksum right again.
fn changed(mut frame: Vec<u8>, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    change(&mut frame);
    if frame.len() >= 34 && frame[12..14] == [8, 0] {
        let header_bytes = (usize::from(frame[14] & 15) * 4).clamp(20, frame.len() - 14);
        frame[24..26].fill(0);
        let sum = uvs::wire::checksum::of(&frame[14..14 + header_bytes]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
    }
    frame
}

fn udp4() -> Vec<u8> {
    V4.client_sends().udp(40_000, 80, b"data")
}

fn udp6() -> Vec<u8> {
    V6.client_sends().udp(40_000, 80, b"data")
}

fn from4(source: &str) -> Vec<u8> {
    V4.client_at(source).udp(40_000, 80, b"data")
}

fn from6(source: &str) -> Vec<u8> {
    V6.client_at(source).udp(40_000, 80, b"data")
}

fn to(destination: &str) -> Vec<u8> {
    let family = if destination.contains(':') { V6 } else { V4 };
    Frame::between(family.client, destination).macs(mac(family.router), port_mac(WAN)).udp(40_000, 80, b"data")
}

#[test]
fn each_defect_has_its_reason() {
    let extension_chain = |count: usize| {
        let mut chain = [protocol::DESTINATION_OPTIONS, 0, 1, 4, 0, 0, 0, 0].repeat(count);
        let last = chain.len() - 8;
        chain[last] = protocol::UDP;
        V6.client_sends().packet(protocol::DESTINATION_OPTIONS, &[&chain[..], &udp6()[54..]].concat())
    };
    let rows: Vec<(&str, Vec<u8>, Reason)> = vec![
        ("nothing", vec![], Reason::Truncated),
        ("half an Ethernet header", udp4()[..13].to_vec(), Reason::Truncated),
        ("no IP header", udp4()[..14].to_vec(), Reason::Truncated),
        ("half an IP header", udp4()[..33].to_vec(), Reason::Truncated),
        ("half an IPv6 header", udp6()[..53].to_vec(), Reason::Truncated),
        ("version 5", changed(udp4(), |f| f[14] = 0x55), Reason::BadHeader),
        ("IPv6 that says 4", changed(udp6(), |f| f[14] = 0x40), Reason::BadHeader),
        ("IPv4 that says 6", changed(udp4(), |f| f[14] = 0x65), Reason::BadHeader),
        ("a header of 16 bytes", changed(udp4(), |f| f[14] = 0x44), Reason::BadHeader),
        ("a header longer than the packet", changed(udp4(), |f| f[14] = 0x4f), Reason::BadHeader),
        ("total length within the header", changed(udp4(), |f| f[17] = 19), Reason::BadHeader),
        ("total length beyond the frame", changed(udp4(), |f| f[16] = 1), Reason::Truncated),
        ("payload length beyond the frame", changed(udp6(), |f| f[18] = 1), Reason::Truncated),
        (
            "a wrong header checksum",
            {
                let mut f = udp4();
                f[24] ^= 1;
                f
            },
            Reason::BadChecksum,
        ),
        ("half a UDP header", changed(udp4(), |f| f[17] = 27), Reason::Truncated),
        (
            "half a TCP header",
            changed(V4.client_sends().tcp((1, 80), (1, 0), 2, b""), |f| f[17] = 39),
            Reason::Truncated,
        ),
        ("half an ICMP header", changed(V4.client_sends().icmp(8, 0, 0, b""), |f| f[17] = 27), Reason::Truncated),
        ("half a UDP header, IPv6", changed(udp6(), |f| f[19] = 7), Reason::Truncated),
        ("another station's", V4.client_sends().macs(mac(ROUTER), mac(CLIENT)).udp(1, 80, b""), Reason::OtherMac),
        ("broadcast", V4.client_sends().macs(mac(ROUTER), Mac::BROADCAST).udp(1, 80, b""), Reason::Multicast),
        ("broadcast, IPv6", V6.client_sends().macs(mac(ROUTER6), Mac::BROADCAST).udp(1, 80, b""), Reason::Multicast),
        ("to a group", to("224.0.0.5"), Reason::Multicast),
        ("to everybody", to("255.255.255.255"), Reason::Multicast),
        ("to an IPv6 group", to("ff02::1"), Reason::Multicast),
        ("from nobody", from4("0.0.0.0"), Reason::Martian),
        ("from this network", from4("0.1.2.3"), Reason::Martian),
        ("from loopback", from4("127.0.0.1"), Reason::Martian),
        ("from a group", from4("224.0.0.1"), Reason::Martian),
        ("from a reserved address", from4("250.0.0.1"), Reason::Martian),
        ("from everybody", from4("255.255.255.255"), Reason::Martian),
        ("from ::", from6("::"), Reason::Martian),
        ("from ::1", from6("::1"), Reason::Martian),
        ("from an IPv6 group", from6("ff02::1"), Reason::Martian),
        ("a VLAN tag", changed(udp4(), |f| drop(f.splice(12..12, [0x81, 0, 0, 7]))), Reason::OtherEtherType),
        ("LLDP", changed(udp4(), |f| f[12..14].copy_from_slice(&[0x88, 0xcc])), Reason::OtherEtherType),
        ("802.3 length", changed(udp4(), |f| f[12..14].copy_from_slice(&[0, 46])), Reason::OtherEtherType),
        ("ten extension headers", extension_chain(10), Reason::BadHeader),
        (
            "an extension header beyond the packet",
            V6.client_sends().packet(protocol::ROUTING, &[17, 9, 0, 0, 0, 0, 0, 0]),
            Reason::Truncated,
        ),
        ("half an extension header", V6.client_sends().packet(protocol::HOP_BY_HOP, &[17]), Reason::Truncated),
        ("ICMP over IPv6", V6.client_sends().packet(protocol::ICMP, &[]), Reason::OtherProtocol),
        ("ICMPv6 over IPv4", V4.client_sends().packet(protocol::ICMPV6, &[]), Reason::OtherProtocol),
        (
            "ICMPv6 echo over IPv4",
            V4.client_sends().packet(protocol::ICMPV6, &[8, 0, 0, 0, 0, 0, 0, 0]),
            Reason::OtherProtocol,
        ),
        ("no next header", V6.client_sends().packet(protocol::NO_NEXT_HEADER, &[0; 8]), Reason::OtherProtocol),
        (
            "the VIP speaks to itself",
            Frame::between(VIP, VIP).macs(mac(ROUTER), port_mac(WAN)).icmp(8, 0, 0, b""),
            Reason::AnswerLimited,
        ),
    ];
    for (what, frame, reason) in rows {
        let mut lab = Lab::new(&everything());
        let left = lab.send(WAN, &frame);
        let told = usize::from(reason == Reason::OtherProtocol);
        assert_eq!(left.len(), told, "{what}: {:?}", shown(&left));
        let counted: Vec<_> = Reason::ALL.iter().filter(|reason| lab.dropped(**reason) > 0).collect();
        assert_eq!(counted, [&reason], "{what}");
        assert_eq!(lab.conns().len(), 0, "{what}");
    }
    // Eight of them are walked.
    let mut lab = Lab::new(&everything());
    one(&mut lab, WAN, &extension_chain(8), LAN);
}

/// Lies in ARP and neighbour discovery change nothing: what is known stays, and packets go where they went.
#[test]
fn lies_about_neighbors() {
    let (std::net::IpAddr::V4(rip), std::net::IpAddr::V4(lan)) = (ip(RIP), ip(V4.lan)) else { panic!() };
    let (std::net::IpAddr::V4(vip), std::net::IpAddr::V6(vip6)) = (ip(VIP), ip(VIP6)) else { panic!() };
    let (std::net::IpAddr::V6(rip6), std::net::IpAddr::V6(lan6)) = (ip(RIP6), ip(V6.lan)) else { panic!() };
    let liar = Mac([2, 0x66, 0, 0, 0, 1]);
    let claims = |claim: (Mac, std::net::Ipv4Addr)| arp::reply(claim, (port_mac(LAN), lan));
    let advertises = |mac: Mac, of, flags| nd::advertisement((mac, of), (port_mac(LAN), lan6), flags);
    let rows: Vec<(&str, Vec<u8>)> = vec![
        ("an own address", claims((liar, lan))),
        ("the VIP", claims((liar, vip))),
        ("a group MAC", claims((Mac([1, 0, 0x5e, 0, 0, 1]), rip))),
        ("the broadcast MAC", claims((Mac::BROADCAST, rip))),
        ("no MAC", claims((Mac::ZERO, rip))),
        ("the director's own MAC", claims((port_mac(LAN), rip))),
        ("another hardware", changed(claims((liar, rip)), |f| f[15] = 6)),
        ("another protocol", changed(claims((liar, rip)), |f| f[16] = 9)),
        ("another length", changed(claims((liar, rip)), |f| f[18] = 8)),
        ("another operation", changed(claims((liar, rip)), |f| f[21] = 9)),
        ("cut off", claims((liar, rip))[..40].to_vec()),
        ("the VIP, IPv6", advertises(liar, vip6, nd::OVERRIDE)),
        ("a group MAC, IPv6", advertises(Mac([0x33, 0x33, 0, 0, 0, 1]), rip6, nd::OVERRIDE)),
        ("from far away", changed(advertises(liar, rip6, nd::OVERRIDE), |f| f[21] = 254)),
        ("a wrong checksum", changed(advertises(liar, rip6, nd::OVERRIDE), |f| f[56] ^= 1)),
        ("without override", advertises(liar, rip6, 0)),
        ("cut off, IPv6", advertises(liar, rip6, nd::OVERRIDE)[..70].to_vec()),
    ];
    for (what, frame) in rows {
        let mut lab = Lab::new(&everything());
        // Whoever really has the address keeps answering.
        lab.send(LAN, &frame);
        for (family, frame) in [(V4, udp4()), (V6, udp6())] {
            assert_eq!(one(&mut lab, WAN, &frame, LAN)[..6], mac(family.rip).0, "{what}");
        }
        let answer: Vec<Left> = lab.send(WAN, &V4.client_sends().icmp(8, 0, 0, b""));
        assert_eq!(answer.len(), 1, "{what}: the VIP still answers");
    }
    assert_eq!(ethernet::ARP, 0x0806);
}
