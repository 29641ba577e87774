//! The first stage: bytes → offsets, flow key, and what kind of packet it is. Everything later stages rely on is checked
//! here once: header lengths, total length, the IPv4 header checksum.
//!
//! ```text
//! 0            l3                l4                         end
//! | Ethernet 14 | IPv4 / IPv6 (+) | TCP / UDP / ICMP, payload | padding |
//! ```

use super::Reason;
use crate::wire::{checksum, protocol};
use conntrack::Key;

/// Length of an Ethernet header without VLAN tag.
pub const ETHERNET_BYTES: usize = 14;
/// Extension headers that are walked in an IPv6 packet; a longer chain is refused.
const EXTENSIONS_MAX: usize = 8;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_IPV6: u16 = 0x86dd;

/// What kind of frame it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A TCP, UDP or SCTP packet: its key is that of its flow.
    Flow,
    /// An ICMP error: its key is that of the quoted packet with its ends exchanged, the flow in the error's own direction.
    IcmpError,
    /// An IP packet of any other kind: nothing but an address of the director's own can take it.
    Other,
    /// ARP or neighbour discovery: control's business.
    Neighbor,
    /// Not to be looked at further.
    Refused(Reason),
}

/// What is known of a frame after this stage. Offsets count from the frame's first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parsed {
    /// Where the IP header starts.
    pub l3: u16,
    /// Where the TCP, UDP, SCTP or ICMP header starts.
    pub l4: u16,
    /// Where the IP packet ends.
    pub end: u16,
    /// IPv6?
    pub v6: bool,
    /// IP protocol number of what starts at `l4`.
    pub protocol: u8,
    /// The TCP flags, 0 for other protocols.
    pub tcp_flags: u8,
    /// What kind.
    pub class: Class,
}

impl Parsed {
    /// A frame that goes no further.
    pub const fn refused(reason: Reason) -> Self {
        Self { l3: 0, l4: 0, end: 0, v6: false, protocol: 0, tcp_flags: 0, class: Class::Refused(reason) }
    }

    /// Bytes of the IP packet, header included.
    pub fn ip_bytes(&self) -> usize {
        usize::from(self.end - self.l3)
    }
}

/// Looks at one frame that came by the port with this MAC.
#[inline]
pub fn classify(frame: &[u8], mac: &[u8; 6]) -> (Parsed, Key) {
    match parse(frame, mac) {
        Ok(parsed) => parsed,
        Err(reason) => (Parsed::refused(reason), no_key()),
    }
}

/// The key of a frame that has no flow: no conn has it.
fn no_key() -> Key {
    Key::v4([0; 4], [0; 4], 0, 0, 0)
}

type Outcome = Result<(Parsed, Key), Reason>;

#[inline]
fn parse(frame: &[u8], mac: &[u8; 6]) -> Outcome {
    let Some((ethernet, l3)) = frame.split_first_chunk::<ETHERNET_BYTES>() else { return Err(Reason::Truncated) };
    let ethertype = u16::from_be_bytes([ethernet[12], ethernet[13]]);
    let to_us = ethernet[..6] == mac[..];
    if !to_us && ethernet[0] & 1 == 0 {
        return Err(Reason::OtherMac);
    }
    match ethertype {
        ETHERTYPE_IPV4 if to_us => ipv4(l3),
        ETHERTYPE_IPV6 => ipv6(l3, to_us),
        ETHERTYPE_ARP => Ok((Parsed { class: Class::Neighbor, ..Parsed::refused(Reason::BadHeader) }, no_key())),
        ETHERTYPE_IPV4 => Err(Reason::Multicast),
        _ => Err(Reason::OtherEtherType),
    }
}

/// RFC 791 §3.1, RFC 1122 §3.2.1.
#[inline]
fn ipv4(l3: &[u8]) -> Outcome {
    let Some(header) = l3.first_chunk::<20>() else { return Err(Reason::Truncated) };
    let header_bytes = usize::from(header[0] & 15) * 4;
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if header[0] >> 4 != 4 || header_bytes < 20 || total < header_bytes {
        return Err(Reason::BadHeader);
    }
    if total > l3.len() {
        return Err(Reason::Truncated);
    }
    if checksum::of(&l3[..header_bytes]) != 0 {
        return Err(Reason::BadChecksum);
    }
    let source = [header[12], header[13], header[14], header[15]];
    let destination = [header[16], header[17], header[18], header[19]];
    if is_martian_v4(source) {
        return Err(Reason::Martian);
    }
    if destination[0] >= 224 {
        return Err(Reason::Multicast);
    }
    // More fragments follow, or this one does not start the packet.
    if u16::from_be_bytes([header[6], header[7]]) & 0x3fff != 0 {
        return Err(Reason::Fragment);
    }
    let protocol = header[9];
    let body = &l3[header_bytes..total];
    let parsed = Parsed {
        l3: ETHERNET_BYTES as u16,
        l4: (ETHERNET_BYTES + header_bytes) as u16,
        end: (ETHERNET_BYTES + total) as u16,
        v6: false,
        protocol,
        tcp_flags: 0,
        class: Class::Other,
    };
    transport(body, parsed, |source_port, destination_port| {
        Key::v4(source, destination, source_port, destination_port, protocol)
    })
    .or_else(|| icmp_error(body, parsed, |kind| matches!(kind, 3 | 4 | 11 | 12), quoted_v4))
    .map_or_else(|| other(body, parsed), Ok)
}

/// RFC 8200 §3, §4.
#[inline]
fn ipv6(l3: &[u8], to_us: bool) -> Outcome {
    let Some(header) = l3.first_chunk::<40>() else { return Err(Reason::Truncated) };
    if header[0] >> 4 != 6 {
        return Err(Reason::BadHeader);
    }
    let total = 40 + usize::from(u16::from_be_bytes([header[4], header[5]]));
    if total > l3.len() {
        return Err(Reason::Truncated);
    }
    let source: [u8; 16] = std::array::from_fn(|i| header[8 + i]);
    let destination: [u8; 16] = std::array::from_fn(|i| header[24 + i]);
    let (protocol, header_bytes) = extensions(&l3[..total])?;
    let body = &l3[header_bytes..total];
    let mut parsed = Parsed {
        l3: ETHERNET_BYTES as u16,
        l4: (ETHERNET_BYTES + header_bytes) as u16,
        // An IPv6 packet is at most 40 + 65535 bytes and a frame is shorter than that: checked against l3.len() above.
        end: u16::try_from(ETHERNET_BYTES + total).map_err(|_| Reason::BadHeader)?,
        v6: true,
        protocol,
        tcp_flags: 0,
        class: Class::Other,
    };
    // Router solicitation to redirect. Before the source is judged: duplicate address detection asks from ::.
    if protocol == protocol::ICMPV6 && body.first().is_some_and(|kind| (133..=137).contains(kind)) {
        parsed.class = Class::Neighbor;
        return Ok((parsed, no_key()));
    }
    if destination[0] == 0xff || !to_us {
        return Err(Reason::Multicast);
    }
    if source[0] == 0xff || source[..15] == [0; 15] && source[15] <= 1 {
        return Err(Reason::Martian);
    }
    transport(body, parsed, |source_port, destination_port| {
        Key::v6(source, destination, source_port, destination_port, protocol)
    })
    .or_else(|| icmp_error(body, parsed, |kind| (1..=4).contains(&kind), quoted_v6))
    .map_or_else(|| other(body, parsed), Ok)
}

/// A packet of TCP, UDP or SCTP whose header is whole.
#[inline(always)]
fn transport(body: &[u8], mut parsed: Parsed, key: impl FnOnce(u16, u16) -> Key) -> Option<(Parsed, Key)> {
    let header_bytes = match parsed.protocol {
        protocol::TCP => 20,
        protocol::UDP => 8,
        protocol::SCTP => 12,
        _ => return None,
    };
    if body.len() < header_bytes {
        return None;
    }
    if parsed.protocol == protocol::TCP {
        parsed.tcp_flags = body[13];
    }
    parsed.class = Class::Flow;
    Some((parsed, key(u16::from_be_bytes([body[0], body[1]]), u16::from_be_bytes([body[2], body[3]]))))
}

/// An ICMP error that quotes enough of a packet to tell its flow.
fn icmp_error(
    body: &[u8],
    mut parsed: Parsed,
    is_error: impl FnOnce(u8) -> bool,
    quoted: impl FnOnce(&[u8]) -> Option<Key>,
) -> Option<(Parsed, Key)> {
    let icmp = if parsed.v6 { protocol::ICMPV6 } else { protocol::ICMP };
    if parsed.protocol != icmp || body.len() < 8 || !is_error(body[0]) {
        return None;
    }
    parsed.class = Class::IcmpError;
    quoted(&body[8..]).map(|key| (parsed, key))
}

/// The flow of a quoted packet, ends exchanged. Only the first 8 bytes behind its IP header are sure to be there.
fn quoted_v4(packet: &[u8]) -> Option<Key> {
    let header = packet.first_chunk::<20>()?;
    let header_bytes = usize::from(header[0] & 15) * 4;
    let first_fragment = u16::from_be_bytes([header[6], header[7]]) & 0x1fff == 0;
    if header[0] >> 4 != 4 || header_bytes < 20 || !first_fragment || !has_ports(header[9]) {
        return None;
    }
    let ports = packet.get(header_bytes..)?.first_chunk::<8>()?;
    let source = [header[12], header[13], header[14], header[15]];
    let destination = [header[16], header[17], header[18], header[19]];
    Some(Key::v4(
        destination,
        source,
        u16::from_be_bytes([ports[2], ports[3]]),
        u16::from_be_bytes([ports[0], ports[1]]),
        header[9],
    ))
}

fn quoted_v6(packet: &[u8]) -> Option<Key> {
    let header = packet.first_chunk::<40>()?;
    if header[0] >> 4 != 6 {
        return None;
    }
    let (protocol, header_bytes) = extensions(packet).ok()?;
    if !has_ports(protocol) {
        return None;
    }
    let ports = packet.get(header_bytes..)?.first_chunk::<8>()?;
    let source: [u8; 16] = std::array::from_fn(|i| header[8 + i]);
    let destination: [u8; 16] = std::array::from_fn(|i| header[24 + i]);
    Some(Key::v6(
        destination,
        source,
        u16::from_be_bytes([ports[2], ports[3]]),
        u16::from_be_bytes([ports[0], ports[1]]),
        protocol,
    ))
}

fn has_ports(protocol: u8) -> bool {
    matches!(protocol, protocol::TCP | protocol::UDP | protocol::SCTP)
}

/// What is left: too short for its protocol, or of a protocol that has no flows.
fn other(body: &[u8], parsed: Parsed) -> Outcome {
    let header_bytes = match parsed.protocol {
        protocol::ICMP | protocol::ICMPV6 => 8,
        protocol if has_ports(protocol) => return Err(Reason::Truncated),
        _ => 0,
    };
    if body.len() < header_bytes {
        return Err(Reason::Truncated);
    }
    Ok((Parsed { class: Class::Other, ..parsed }, no_key()))
}

/// Walks the extension headers of an IPv6 packet. Gives the protocol behind them and where it starts.
#[inline]
fn extensions(packet: &[u8]) -> Result<(u8, usize), Reason> {
    let mut next = packet[6];
    let mut offset = 40;
    for _ in 0..=EXTENSIONS_MAX {
        match next {
            protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION_OPTIONS => {
                let Some(&[following, length]) = packet.get(offset..).and_then(|rest| rest.first_chunk::<2>()) else {
                    return Err(Reason::Truncated);
                };
                next = following;
                offset += (usize::from(length) + 1) * 8;
                if offset > packet.len() {
                    return Err(Reason::Truncated);
                }
            }
            protocol::FRAGMENT => return Err(Reason::Fragment),
            _ => return Ok((next, offset)),
        }
    }
    Err(Reason::BadHeader)
}

/// 0.0.0.0/8, 127.0.0.0/8 and 224.0.0.0/3 send nothing (RFC 1122 §3.2.1.3).
#[inline]
fn is_martian_v4(source: [u8; 4]) -> bool {
    source[0] == 0 || source[0] == 127 || source[0] >= 224
}
