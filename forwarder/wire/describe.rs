//! A frame in one line, for the messages of tests that fail: who to whom, what, and what is wrong with it.

use std::fmt::Write;
use std::net::IpAddr;

use super::{Arp, Ethernet, Icmp, Ipv4, Ipv6, Tcp, Udp, arp, checksum, ethernet, icmp, ipv4, ipv6, nd, protocol};

/// Packets in packets that are described before it is enough.
const NESTING_MAX: usize = 3;

/// Bytes of a frame that `excerpt` shows.
const EXCERPT_BYTES: usize = 24;

/// The frame in one line. Wrong checksums and cut-off headers are said.
pub fn describe(frame: &[u8]) -> String {
    let mut text = String::new();
    let Some(header) = Ethernet::of(frame) else { return format!("cut off: {} bytes of Ethernet", frame.len()) };
    let _ = write!(text, "{} > {} ", header.source(), header.destination());
    let body = &frame[Ethernet::BYTES..];
    match header.ether_type() {
        ethernet::IPV4 | ethernet::IPV6 => packet(&mut text, body, 0),
        ethernet::ARP => match Arp::of(body) {
            Some(arp) if arp.operation() == arp::REQUEST => {
                let _ = write!(text, "ARP who has {}, tell {}", arp.target(), arp.sender());
            }
            Some(arp) => {
                let _ = write!(text, "ARP {} is at {}", arp.sender(), arp.sender_mac());
            }
            None => text.push_str("ARP, cut off"),
        },
        other => {
            let _ = write!(text, "ether type {other:04x}, {} bytes", body.len());
        }
    }
    text
}

/// The packet whose first byte is an IP header's, in one line.
pub fn describe_packet(l3: &[u8]) -> String {
    let mut text = String::new();
    packet(&mut text, l3, 0);
    text
}

/// Some bytes from here on, in hex.
pub fn excerpt(frame: &[u8], from: usize) -> String {
    let bytes = frame.get(from..).unwrap_or_default();
    format!("{:02x?}", &bytes[..bytes.len().min(EXCERPT_BYTES)])
}

fn packet(text: &mut String, l3: &[u8], depth: usize) {
    if depth > NESTING_MAX {
        return text.push('…');
    }
    match l3.first().map(|first| first >> 4) {
        Some(4) => packet_v4(text, l3, depth),
        Some(6) => packet_v6(text, l3, depth),
        _ => {
            let _ = write!(text, "no IP packet: {} bytes", l3.len());
        }
    }
}

fn packet_v4(text: &mut String, l3: &[u8], depth: usize) {
    let Some(ip) = Ipv4::of(l3) else { return text.push_str("IPv4, cut off") };
    let l4 = ip.header_bytes();
    let whole = ip.total_bytes().min(l3.len()).max(l4.min(l3.len()));
    let ends = (IpAddr::V4(ip.source()), IpAddr::V4(ip.destination()));
    if ip.fragment_offset_bytes() != 0 {
        let _ = write!(text, "{} > {} protocol {}", ends.0, ends.1, ip.protocol());
    } else {
        // What an error quotes is shorter than it says; its transport checksum covers bytes that are not there.
        let complete = ip.total_bytes() <= l3.len() && !ip.is_fragment();
        transport(text, &l3[..whole], l4, ip.protocol(), ends, complete, depth);
    }
    let _ = write!(text, " ttl {} len {}", ip.ttl(), ip.total_bytes());
    if ip.is_fragment() {
        let more = if ip.more_fragments() { "+" } else { "" };
        let _ = write!(text, " frag {:04x}@{}{more}", ip.id(), ip.fragment_offset_bytes());
    }
    let _ = if ip.dont_fragment() { write!(text, " DF") } else { Ok(()) };
    let _ = if ip.tos() != 0 { write!(text, " tos {:02x}", ip.tos()) } else { Ok(()) };
    let _ = if ipv4::checksum_is_right(l3) { Ok(()) } else { write!(text, " WRONG HEADER CHECKSUM") };
}

fn packet_v6(text: &mut String, l3: &[u8], depth: usize) {
    let Some(ip) = Ipv6::of(l3) else { return text.push_str("IPv6, cut off") };
    let whole = &l3[..ip.total_bytes().min(l3.len())];
    let ends = (IpAddr::V6(ip.source()), IpAddr::V6(ip.destination()));
    let upper = ipv6::upper_layer(whole);
    match upper {
        None => {
            let _ = write!(text, "{} > {} extension headers, cut off", ends.0, ends.1);
        }
        Some(at) if at.fragment.is_some_and(|part| part.offset_bytes != 0) => {
            let _ = write!(text, "{} > {} protocol {}", ends.0, ends.1, at.protocol);
        }
        Some(at) => {
            let complete = ip.total_bytes() <= l3.len() && at.fragment.is_none();
            transport(text, whole, at.offset, at.protocol, ends, complete, depth);
        }
    }
    let _ = write!(text, " hops {} len {}", ip.hop_limit(), ip.total_bytes());
    if let Some(part) = upper.and_then(|at| at.fragment) {
        let _ = write!(text, " frag {:08x}@{}{}", part.id, part.offset_bytes, if part.more { "+" } else { "" });
    }
    let _ = if ip.traffic_class() != 0 { write!(text, " tos {:02x}", ip.traffic_class()) } else { Ok(()) };
}

fn transport(
    text: &mut String,
    l3: &[u8],
    l4: usize,
    protocol: u8,
    (from, to): (IpAddr, IpAddr),
    complete: bool,
    depth: usize,
) {
    let segment = l3.get(l4..).unwrap_or_default();
    let ports = |source: u16, destination: u16| {
        if from.is_ipv4() {
            format!("{from}:{source} > {to}:{destination}")
        } else {
            format!("[{from}]:{source} > [{to}]:{destination}")
        }
    };
    let _ = match (protocol, Tcp::of(segment), Udp::of(segment), Icmp::of(segment)) {
        (protocol::TCP, Some(tcp), ..) => write!(
            text,
            "{} TCP {} seq {} ack {} win {} data {}",
            ports(tcp.source_port(), tcp.destination_port()),
            flags(tcp.flags()),
            tcp.sequence(),
            tcp.acknowledgement(),
            tcp.window(),
            segment.len().saturating_sub(tcp.header_bytes()),
        ),
        (protocol::TCP | protocol::UDP, _, Some(udp), _) => {
            let name = if protocol == protocol::UDP { "UDP" } else { "TCP, cut off" };
            let data = segment.len() - Udp::BYTES;
            write!(text, "{} {name} data {data}", ports(udp.source_port(), udp.destination_port()))
        }
        (protocol::ICMP | protocol::ICMPV6, _, _, Some(message)) => {
            let name = if protocol == protocol::ICMP { "ICMP" } else { "ICMPv6" };
            let _ = write!(text, "{from} > {to} {name} {}/{}", message.kind(), message.code());
            icmp_body(text, l3, segment, protocol, depth)
        }
        (protocol::IPIP | protocol::IPV6, ..) => {
            let _ = write!(text, "{from} > {to} tunnel [");
            packet(text, segment, depth + 1);
            write!(text, "]")
        }
        _ => write!(text, "{from} > {to} protocol {protocol}, {} bytes", segment.len()),
    };
    if complete && !segment.is_empty() && !checksum::transport_is_right(l3, l4, protocol) {
        text.push_str(" WRONG CHECKSUM");
    }
}

fn icmp_body(text: &mut String, l3: &[u8], segment: &[u8], protocol: u8, depth: usize) -> std::fmt::Result {
    let Some(message) = Icmp::of(segment) else { return Ok(()) };
    let body = &segment[Icmp::BYTES..];
    let is_error =
        if protocol == protocol::ICMP { icmp::is_error_v4(message.kind()) } else { icmp::is_error_v6(message.kind()) };
    if is_error {
        let _ = if message.rest() != 0 { write!(text, " {}", message.rest()) } else { Ok(()) };
        text.push_str(" about [");
        packet(text, body, depth + 1);
        return write!(text, "]");
    }
    match nd::parse(l3) {
        Some(nd::Message::Solicitation { target, .. }) => write!(text, " who has {target}"),
        Some(nd::Message::Advertisement { target, target_mac, .. }) => match target_mac {
            Some(mac) => write!(text, " {target} is at {mac}"),
            None => write!(text, " {target} is there"),
        },
        None => write!(text, " id {} seq {} data {}", message.identifier(), message.sequence(), body.len()),
    }
}

fn flags(flags: u8) -> String {
    let letters = "FSRPAUEC".char_indices().filter(|(bit, _)| flags >> bit & 1 != 0).map(|(_, letter)| letter);
    let text: String = letters.collect();
    if text.is_empty() { "-".into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::build::Frame;
    use crate::wire::{Mac, tcp};

    #[test]
    fn frames_in_one_line() {
        let client = Frame::between("10.1.2.3", "10.99.0.1");
        let syn = client.tcp((20001, 80), (1000, 0), tcp::SYN | tcp::ACK, b"x");
        let mut bad = client.udp(1, 2, b"x");
        bad[42] = b'y';
        let error = Frame::between("10.99.0.1", "10.1.2.3").icmp(3, 4, 1480, &syn[14..42]);
        let six = Frame::between("fd10::1", "fd99::1").udp(1, 2, &[]);
        let ends = "02:00:00:00:00:01 > 02:00:00:00:00:02";
        for (frame, expect) in [
            (
                syn,
                format!("{ends} 10.1.2.3:20001 > 10.99.0.1:80 TCP SA seq 1000 ack 0 win 65535 data 1 ttl 64 len 41 DF"),
            ),
            (bad, format!("{ends} 10.1.2.3:1 > 10.99.0.1:2 UDP data 1 WRONG CHECKSUM ttl 64 len 29 DF")),
            (
                error,
                format!(
                    "{ends} 10.99.0.1 > 10.1.2.3 ICMP 3/4 1480 about [10.1.2.3:20001 > 10.99.0.1:80 TCP, \
                     cut off data 0 ttl 64 len 41 DF] ttl 64 len 56 DF"
                ),
            ),
            (six, format!("{ends} [fd10::1]:1 > [fd99::1]:2 UDP data 0 hops 64 len 48")),
            (
                arp::request((Mac([2; 6]), [10, 0, 0, 1].into()), [10, 0, 0, 2].into()),
                "02:02:02:02:02:02 > ff:ff:ff:ff:ff:ff ARP who has 10.0.0.2, tell 10.0.0.1".into(),
            ),
            (vec![1, 2, 3], "cut off: 3 bytes of Ethernet".into()),
        ] {
            assert_eq!(describe(&frame), expect);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            mut bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..120),
            version in 0..4usize,
            kind in 0..8usize,
        ) {
            if bytes.len() > 24 {
                bytes[12..14].copy_from_slice(&[[8, 0], [0x86, 0xdd], [8, 6], [0, 0]][version]);
                bytes[14] = [0x45, 0x60, 0x4f, 0x40][version];
                let at = if version == 1 { 20 } else { 23 };
                bytes[at] = [1, 4, 6, 17, 41, 44, 58, 0][kind];
            }
            describe(&bytes);
        }
    }
}
