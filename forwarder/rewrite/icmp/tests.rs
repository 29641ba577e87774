//! Rows of ICMP as the kernel sent it (recorded; the golden tests hold many more), and the law of translated errors:
//! they equal errors built anew.

use proptest::prelude::*;

use super::*;
use crate::rewrite::tun::Tunnel;
use crate::rewrite::{Endpoint, ttl, tun};
use crate::wire::build::Frame;
use crate::wire::describe::describe_packet;
use crate::wire::{checksum, ipv4, protocol, tcp};

const VIP: [u8; 4] = [10, 99, 0, 1];
const RIP: [u8; 4] = [172, 16, 0, 2];

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|c| !c.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

fn made(packet: &[u8], cause: Cause, source: &[u8], id: u16) -> Option<Vec<u8>> {
    let mut room = [0xaa; ERROR_BYTES_MAX];
    error(&mut room, packet, cause, source, id).map(|length| room[..length].to_vec())
}

#[test]
fn errors_are_the_kernels() {
    let udp = Frame::between("10.1.2.3", "10.99.0.1").udp(20002, 80, &[0x71; 5])[14..].to_vec();
    let expect = hex("45c0003d7bdd00004001e7bb 0a630001 0a010203 03031383 00000000");
    let found = made(&udp, Cause::PortUnreachable, &VIP, 0x7bdd).unwrap();
    assert_eq!((&found[..28], &found[28..]), (&expect[..], &udp[..]), "no server takes it");

    let last = Frame::between("10.1.2.3", "10.99.0.1").ttl(1).udp(20002, 80, &[0x71; 20])[14..].to_vec();
    let expect = hex("45c0004c3ced00004001269d 0a630001 0a010203 0b000b95 00000000");
    let found = made(&last, Cause::TimeExceeded, &VIP, 0x3ced).unwrap();
    assert_eq!((&found[..28], &found[28..]), (&expect[..], &last[..]), "TTL 1");

    let mut long = Frame::between("10.1.2.3", "10.99.0.1").udp(20002, 80, &[0x71; 1460])[14..].to_vec();
    assert!(ttl::decrement(&mut long));
    let expect = hex("45c00240428f000040011f07 0a630001 0a010203 030459af 000005c8");
    let mtu = Tunnel::Ipip.inner_bytes_max(1500, false) as u32;
    let found = made(&long, Cause::TooBig { mtu }, &VIP, 0x428f).unwrap();
    assert_eq!((&found[..28], &found[28..]), (&expect[..], &long[..548]), "1488 bytes for a tunnel");

    let six = Frame::between("fd10::1:2:3", "fd99::1").udp(20002, 80, &[0x71; 5])[14..].to_vec();
    let expect =
        hex("60000000003d3a40 fdc00000000000000000000000000001 fd100000000000000000000100020003 0104927c 00000000");
    let source = hex("fdc00000000000000000000000000001");
    let found = made(&six, Cause::PortUnreachable, &source, 0).unwrap();
    assert_eq!((&found[..48], &found[48..]), (&expect[..], &six[..]), "no server takes it, IPv6");

    let long = Frame::between("fd10::1:2:3", "fd99::1").ttl(63).udp(20002, 80, &[0x71; 1440])[14..].to_vec();
    let found = made(&long, Cause::TooBig { mtu: 1400 }, &source, 0).unwrap();
    assert_eq!((found.len(), &found[40..48], &found[48..]), (1280, &hex("0200402700000578")[..], &long[..1232]));
}

#[test]
fn a_tunnels_error_is_relayed() {
    let inner = Frame::between("10.1.2.3", "10.99.0.1").ttl(63).udp(20002, 80, &[0x71; 40])[14..].to_vec();
    let tunnel = Frame::between("172.16.0.1", "172.16.0.2").ttl(63).id(0).packet(protocol::IPIP, &inner)[14..].to_vec();
    let from_router = Frame::between("172.16.0.9", "172.16.0.1").icmp(3, 4, 1400, &tunnel)[14..].to_vec();
    let quoted = quoted(&from_router, 20).unwrap();
    assert_eq!(quoted, Quoted { l3: 28, l4: 48, protocol: protocol::IPIP, is_later_fragment: false });
    let at = quoted.l3 + tun::inner_at(&from_router[quoted.l3..], |_| false).unwrap();
    let found = made(&from_router[at..], Cause::Relayed { kind: 3, code: 4, rest: 1380 }, &VIP, 0x4617).unwrap();
    let expect = Frame::between("10.99.0.1", "10.1.2.3").tos(0xc0).id(0x4617).dont_fragment(false);
    assert_eq!(describe_packet(&found), describe_packet(&expect.icmp(3, 4, 1380, &inner)[14..]));
    assert_eq!(tun::inner_at(&from_router[28..56], |_| false), None, "only eight bytes of the inner packet");
}

#[test]
fn what_must_not_be_answered_is_not() {
    let v4 = Frame::between("10.1.2.3", "10.99.0.1");
    let v6 = Frame::between("fd10::1", "fd99::1");
    let quote = &v4.udp(1, 2, &[])[14..];
    let edit = |mut frame: Vec<u8>, at: usize, byte: u8| {
        frame[14 + at] = byte;
        frame
    };
    for (name, frame, expect) in [
        ("UDP", v4.udp(1, 2, &[]), true),
        ("echo request", v4.echo_request(1, 1, &[]), true),
        ("ICMP error", v4.icmp(3, 3, 0, quote), false),
        ("ICMP redirect", v4.icmp(5, 1, 0, quote), false),
        ("ICMP without a type", v4.packet(protocol::ICMP, &[]), false),
        ("first fragment", edit(v4.udp(1, 2, &[]), 6, 0x20), true),
        ("later fragment", edit(v4.udp(1, 2, &[]), 7, 0x01), false),
        ("to a group", Frame::between("10.1.2.3", "224.0.0.1").udp(1, 2, &[]), false),
        ("to all", Frame::between("10.1.2.3", "255.255.255.255").udp(1, 2, &[]), false),
        ("from nobody", Frame::between("0.0.0.0", "10.99.0.1").udp(1, 2, &[]), false),
        ("from a group", Frame::between("239.1.1.1", "10.99.0.1").udp(1, 2, &[]), false),
        ("from itself", Frame::between("127.0.0.1", "10.99.0.1").udp(1, 2, &[]), false),
        ("IPv6 UDP", v6.udp(1, 2, &[]), true),
        ("IPv6 echo request", v6.echo_request(1, 1, &[]), true),
        ("ICMPv6 error", v6.icmp(1, 4, 0, &[]), false),
        ("ICMPv6 redirect", v6.icmp(137, 0, 0, &[]), false),
        ("IPv6 later fragment", v6.packet(protocol::FRAGMENT, &[17, 0, 0, 8, 0, 0, 0, 1, 0]), false),
        ("IPv6 to a group", Frame::between("fd10::1", "ff02::1").udp(1, 2, &[]), false),
        ("IPv6 from nobody", Frame::between("::", "fd99::1").udp(1, 2, &[]), false),
        ("IPv6 from a group", Frame::between("ff02::1", "fd99::1").udp(1, 2, &[]), false),
    ] {
        let source = if frame[14] >> 4 == 4 { &VIP[..] } else { &[0xfd; 16] };
        assert_eq!(may_answer(&frame[14..]), expect, "{name}");
        assert_eq!(made(&frame[14..], Cause::PortUnreachable, source, 1).is_some(), expect, "{name}");
    }
}

#[test]
fn causes_have_their_types_in_both_families() {
    let rows = [
        (Cause::TimeExceeded, (11, 0, 0), (3, 0, 0)),
        (Cause::PortUnreachable, (3, 3, 0), (1, 4, 0)),
        (Cause::HostUnreachable, (3, 1, 0), (1, 3, 0)),
        (Cause::NetworkUnreachable, (3, 0, 0), (1, 0, 0)),
        (Cause::ProtocolUnreachable, (3, 2, 0), (4, 1, 40)),
        (Cause::Prohibited, (3, 13, 0), (1, 1, 0)),
        (Cause::TooBig { mtu: 0x1_0000 }, (3, 4, 0xffff), (2, 0, 0x1_0000)),
    ];
    let v4 = Frame::between("10.1.2.3", "10.99.0.1").packet(99, &[1])[14..].to_vec();
    let v6 = Frame::between("fd10::1", "fd99::1").packet(protocol::DESTINATION_OPTIONS, &[99, 0, 1, 4, 0, 0, 0, 0])
        [14..]
        .to_vec();
    for (cause, expect_v4, expect_v6) in rows {
        for (packet, source, l4, expect) in [(&v4, &VIP[..], 20, expect_v4), (&v6, &[0xfd; 16][..], 40, expect_v6)] {
            let found = made(packet, cause, source, 0).unwrap();
            let message = crate::wire::Icmp::of(&found[l4..]).unwrap();
            assert_eq!((message.kind(), message.code(), message.rest()), expect, "{cause:?}");
            let protocol = if l4 == 20 { protocol::ICMP } else { protocol::ICMPV6 };
            assert!(checksum::transport_is_right(&found, l4, protocol), "{cause:?}");
        }
    }
}

#[test]
fn echo_is_the_kernels() {
    let mut l3 = Frame::between("10.1.2.3", "10.99.0.1").echo_request(0x1122, 1, &b"ping".repeat(8))[14..].to_vec();
    assert_eq!(echo_reply(&mut l3, 0, 20, 0xc53f), Some(60));
    assert_eq!(l3[..28], hex("4500003cc53f000040019f1a 0a630001 0a010203 0000f855 11220001"));
    let mut l3 = Frame::between("fd10::1:2:3", "fd99::1").echo_request(0x1122, 1, &b"ping".repeat(8))[14..].to_vec();
    assert_eq!(echo_reply(&mut l3, 0, 40, 0), Some(80));
    let expect =
        hex("6000000000283a40 fd990000000000000000000000000001 fd100000000000000000000100020003 81007c41 11220001");
    assert_eq!(l3[..48], expect);
    assert_eq!(echo_reply(&mut l3, 0, 40, 0), None, "a reply is not answered");
}

#[test]
fn echo_leaves_options_and_extensions_out() {
    let request = Frame::between("10.1.2.3", "10.99.0.1").tos(0xb8).options(&[131, 7, 4, 9, 9, 9, 9, 0]);
    let mut l3 = request.echo_request(1, 2, b"odd")[14..].to_vec();
    let length = echo_reply(&mut l3, 0, 28, 7).unwrap();
    let expect = Frame::between("10.99.0.1", "10.1.2.3").tos(0xb8).id(7).dont_fragment(false);
    assert_eq!(l3[..length], expect.icmp(0, 0, 0x0001_0002, b"odd")[14..]);

    let plain = Frame::between("fd10::1", "fd99::1").echo_request(1, 2, b"odd")[14..].to_vec();
    let mut l3 = [&plain[..40], &[protocol::ICMPV6, 0, 1, 4, 0, 0, 0, 0], &plain[40..]].concat();
    (l3[5], l3[6]) = (l3[5] + 8, protocol::HOP_BY_HOP);
    let length = echo_reply(&mut l3, 0, 48, 7).unwrap();
    assert_eq!(l3[..length], Frame::between("fd99::1", "fd10::1").icmp(129, 0, 0x0001_0002, b"odd")[14..]);
}

/// Port unreachable of a client about a reply, fragmentation needed of a server-side router about a request:
/// masq/icmp_errors.
#[test]
fn translated_errors_are_the_kernels() {
    let mut inbound = hex("45000038123440003f01132a 0a010203 0a630001 03037d2300000000 \
         45000058123440004011 11fa 0a6300010a010203 00504e2200443123");
    let to_server = Translation {
        destination: Some(&RIP),
        quoted_source: Some(Endpoint { address: &RIP, port: 8080 }),
        ..Translation::default()
    };
    assert!(translate(&mut inbound, 20, &to_server));
    let expect = hex("45000038123440003f01717b 0a010203 ac100002 03035de300000000 \
         45000058123440004011 704b ac1000020a010203 1f904e2200443123");
    assert_eq!(inbound, expect);

    let mut outbound = hex("45000058123440003f017154 ac100009 0a010203 03047669000004b0 \
         45000044123440003f11 715f 0a010203ac100002 4e221f900030fce8");
    outbound.extend([0x71; 32]);
    let to_client = Translation {
        source: Some(&VIP),
        quoted_destination: Some(Endpoint { address: &VIP, port: 80 }),
        ..Translation::default()
    };
    assert!(translate(&mut outbound, 20, &to_client));
    let mut expect = hex("45000058123440003f01130a 0a630001 0a010203 030495a9000004b0 \
         45000044123440003f11 130e 0a0102030a630001 4e2200500030fce8");
    expect.extend([0x71; 32]);
    assert_eq!(outbound, expect);
}

#[test]
fn what_is_no_error_about_a_flow_is_not_translated() {
    let v4 = Frame::between("10.1.2.3", "10.99.0.1");
    let v6 = Frame::between("fd10::1", "fd99::1");
    let quote = v4.udp(1, 2, &[])[14..].to_vec();
    let mut later = quote.clone();
    later[7] = 1;
    for (name, frame) in [
        ("echo", v4.echo_request(1, 1, &quote)),
        ("three bytes quoted", v4.icmp(3, 3, 0, &quote[..23])),
        ("later fragment", v4.icmp(3, 3, 0, &later)),
        ("ICMP quoted", v4.icmp(3, 3, 0, &v4.echo_request(1, 1, &[])[14..])),
        ("the other family quoted", v4.icmp(3, 3, 0, &v6.udp(1, 2, &[])[14..])),
        ("header length 16", v4.icmp(3, 3, 0, &[&[0x44], &quote[1..]].concat())),
    ] {
        let mut l3 = frame[14..].to_vec();
        let translation = Translation { destination: Some(&RIP), ..Translation::default() };
        assert!(!translate(&mut l3, 20, &translation), "{name}");
        assert_eq!(l3, frame[14..], "{name}");
    }
}

proptest! {
    #[test]
    fn a_translated_error_equals_one_built_anew(
        is_ipv6: bool,
        is_tcp: bool,
        addresses in any::<[[u8; 16]; 8]>(),
        ports in any::<[u16; 4]>(),
        which in 0..16u8,
        quoted_bytes in 8..=70usize,
        rest: u32,
    ) {
        let address = |n: usize| -> (Vec<u8>, std::net::IpAddr) {
            let four: [u8; 4] = addresses[n][..4].try_into().unwrap();
            if is_ipv6 { (addresses[n].to_vec(), addresses[n].into()) } else { (four.to_vec(), four.into()) }
        };
        let protocol = if is_tcp { protocol::TCP } else { protocol::UDP };
        let about = |source: usize, destination: usize, ports: (u16, u16)| {
            let frame = Frame::new(address(source).1, address(destination).1).ttl(61);
            match is_tcp {
                true => frame.tcp(ports, (1, 2), tcp::ACK, &[7; 50])[14..].to_vec(),
                false => frame.udp(ports.0, ports.1, &[7; 62])[14..].to_vec(),
            }
        };
        let (l4, kind) = if is_ipv6 { (40, 2) } else { (20, 3) };
        let field = l4 + checksum::transport_checksum_at(protocol).unwrap();
        let old = about(0, 1, (ports[0], ports[1]));
        let pick = |bit: u8, old: usize, new: usize| if which >> bit & 1 != 0 { new } else { old };
        let (source, destination) = (pick(0, 0, 4), pick(1, 1, 5));
        let new_ports = (ports[pick(0, 0, 2)], ports[pick(1, 1, 3)]);
        let mut new = about(source, destination, new_ports);
        new[field..field + 2].copy_from_slice(&old[field..field + 2]);
        let error = |quote: &[u8], source: usize, destination: usize| {
            let frame = Frame::new(address(source).1, address(destination).1);
            frame.icmp(kind, 0, rest, &quote[..l4 + quoted_bytes])[14..].to_vec()
        };
        let mut found = error(&old, 2, 3);
        let expect = error(&new, pick(2, 2, 6), pick(3, 3, 7));
        let news: Vec<Vec<u8>> = (0..8).map(|n| address(n).0).collect();
        let translation = Translation {
            source: (which & 4 != 0).then_some(&news[6]),
            destination: (which & 8 != 0).then_some(&news[7]),
            quoted_source: (which & 1 != 0).then_some(Endpoint { address: &news[4], port: ports[2] }),
            quoted_destination: (which & 2 != 0).then_some(Endpoint { address: &news[5], port: ports[3] }),
        };
        prop_assert!(translate(&mut found, l4, &translation));
        prop_assert!(found == expect, "found {}\nexpect {}", describe_packet(&found), describe_packet(&expect));
        prop_assert!(is_ipv6 || (ipv4::checksum_is_right(&found) && ipv4::checksum_is_right(&found[28..])));
    }
}
