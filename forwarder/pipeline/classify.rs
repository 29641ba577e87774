//! The first stage: bytes → offsets, flow key, and what kind of packet it is. Everything later stages rely on is checked
//! here once: header lengths, total length, the IPv4 header checksum.
//!
//! ```text
//! 0            l3                l4                         end
//! | Ethernet 14 | IPv4 / IPv6 (+) | TCP / UDP / ICMP, payload | padding |
//! ```
//!
//! A fragment has no flow until its packet is whole: it gets a key of its own, by which it finds the other fragments. The
//! reassembled packet comes by here again, as a chain of which only the first segment is looked at.

use super::Reason;
use super::options::is_source_routed;
use super::quoted::{quoted_v4, quoted_v6, signal_of_error, tunnelled_v4};
use crate::wire::{checksum, protocol};
use conntrack::Key;
use conntrack::states::sctp::Event;

/// Length of an Ethernet header without VLAN tag.
pub const ETHERNET_BYTES: usize = 14;
/// Extension headers that are walked in an IPv6 packet; a longer chain is refused.
const EXTENSIONS_MAX: usize = 8;

/// Length of the IPv6 fragment header.
pub const FRAGMENT_HEADER_BYTES: usize = 8;

const SYN: u8 = 0x02;
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
    /// An ICMP error about what may be a tunnel packet of the director's own: its key is that of the packet in the tunnel.
    TunnelError,
    /// An IP packet of any other kind: nothing but an address of the director's own can take it.
    Other,
    /// A part of a packet: its key says of which, source, destination, identification and protocol.
    Fragment,
    /// ARP or neighbour discovery: control's business.
    Neighbor,
    /// Not to be looked at further.
    Refused(Reason),
}

/// What is known of a frame after this stage. Offsets count from the frame's first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parsed {
    /// Where the IP header starts.
    pub l3: u8,
    /// Where the TCP, UDP, SCTP or ICMP header starts; in a fragment, its part of the payload.
    pub l4: u16,
    /// Where the IP packet ends, in a chain as if it were one segment.
    pub end: u32,
    /// The port it came by.
    pub port: u8,
    /// IPv6?
    pub v6: bool,
    /// TTL or hop limit.
    pub ttl: u8,
    /// IP protocol number of what starts at `l4`.
    pub protocol: u8,
    /// What the transport header says to the conn's state: the TCP flags, the type of SCTP's first chunk that counts. Of an ICMP
    /// error: [`super::quoted::WRONG_CHECKSUM`], if it is. Else 0.
    pub signal: u8,
    /// It asks for a new conn, even if there is one: TCP's SYN, SCTP's INIT.
    pub opens: bool,
    /// What kind.
    pub class: Class,
    /// Bytes of the longest fragment that it came in, IP header included. 0: it came in one piece.
    pub longest_fragment: u16,
}

const _: () = assert!(size_of::<Parsed>() == 16, "written and copied at once");

impl Parsed {
    /// Nothing is known yet but the port.
    pub const NOTHING: Parsed = Parsed {
        l3: 0,
        l4: 0,
        end: 0,
        port: 0,
        v6: false,
        ttl: 0,
        protocol: 0,
        signal: 0,
        opens: false,
        class: Class::Neighbor,
        longest_fragment: 0,
    };

    /// Bytes of the IP packet, header included.
    pub fn ip_bytes(&self) -> usize {
        self.end as usize - usize::from(self.l3)
    }

    /// Bytes before the transport header: the IP header and what follows it.
    pub fn header_bytes(&self) -> usize {
        usize::from(self.l4) - usize::from(self.l3)
    }

    /// Whether it leaves in fragments because it came so: with so many bytes around it, it is longer than any of them was. (A
    /// fragment that was all of an IPv6 packet has lost its fragment header, and needs another one in a tunnel only: recorded.)
    pub fn leaves_in_fragments(&self, around_bytes: usize) -> bool {
        self.longest_fragment != 0 && self.ip_bytes() + around_bytes > usize::from(self.longest_fragment)
    }
}

/// A port's MAC as the first six bytes of a frame are compared with it: one load, one compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StationMac(u64);

impl StationMac {
    const MASK: u64 = (1 << 48) - 1;

    /// Of the MAC's bytes.
    pub fn new(mac: [u8; 6]) -> Self {
        let [a, b, c, d, e, f] = mac;
        Self(u64::from_le_bytes([a, b, c, d, e, f, 0, 0]))
    }

    /// The MAC's bytes.
    pub fn bytes(self) -> [u8; 6] {
        let [a, b, c, d, e, f, ..] = self.0.to_le_bytes();
        [a, b, c, d, e, f]
    }

    #[inline(always)]
    fn is_destination(self, ethernet: &[u8; ETHERNET_BYTES]) -> bool {
        let [a, b, c, d, e, f, g, h, ..] = *ethernet;
        u64::from_le_bytes([a, b, c, d, e, f, g, h]) & Self::MASK == self.0
    }
}

/// Looks at one frame that came by the port with this MAC. `key` is written if the frame has a flow. `rest_bytes` are in
/// further segments, 0 for a received frame.
///
/// What is found is written field by field where later stages read it: a struct that is built elsewhere and copied makes
/// the CPU wait for its own stores.
#[inline(always)]
pub fn classify(frame: &[u8], rest_bytes: usize, mac: StationMac, parsed: &mut Parsed, key: &mut Key) {
    if let Err(reason) = parse(frame, rest_bytes, mac, parsed, key) {
        parsed.class = Class::Refused(reason);
    }
}

/// A burst's keys start as this: no conn has it.
pub fn no_key() -> Key {
    Key::v4([0; 4], [0; 4], 0, 0, 0)
}

#[inline(always)]
fn parse(frame: &[u8], rest_bytes: usize, mac: StationMac, parsed: &mut Parsed, key: &mut Key) -> Result<(), Reason> {
    let Some((ethernet, l3)) = frame.split_first_chunk::<ETHERNET_BYTES>() else { return Err(Reason::Truncated) };
    let ethertype = u16::from_be_bytes([ethernet[12], ethernet[13]]);
    let to_us = mac.is_destination(ethernet);
    if !to_us && ethernet[0] & 1 == 0 {
        return Err(Reason::OtherMac);
    }
    match ethertype {
        ETHERTYPE_IPV4 if to_us => packet_v4(l3, rest_bytes, parsed, key),
        ETHERTYPE_IPV6 => packet_v6(l3, rest_bytes, to_us, parsed, key),
        ETHERTYPE_ARP => {
            parsed.class = Class::Neighbor;
            Ok(())
        }
        ETHERTYPE_IPV4 => Err(Reason::Multicast),
        _ => Err(Reason::OtherEtherType),
    }
}

/// RFC 791 §3.1, RFC 1122 §3.2.1.
#[inline(always)]
fn packet_v4(l3: &[u8], rest_bytes: usize, parsed: &mut Parsed, key: &mut Key) -> Result<(), Reason> {
    let Some(header) = l3.first_chunk::<20>() else { return Err(Reason::Truncated) };
    let header_bytes = usize::from(header[0] & 15) * 4;
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if header[0] >> 4 != 4 || header_bytes < 20 || total < header_bytes {
        return Err(Reason::BadHeader);
    }
    if total > l3.len() + rest_bytes || header_bytes > l3.len() {
        return Err(Reason::Truncated);
    }
    // Nearly every header is 20 bytes long, and a sum of a known length has no loop.
    let sum = if header_bytes == 20 { checksum::of(header) } else { checksum::of(&l3[..header_bytes]) };
    if sum != 0 {
        return Err(Reason::BadChecksum);
    }
    if header_bytes > 20 && is_source_routed(&l3[20..header_bytes]) {
        return Err(Reason::Unroutable);
    }
    let source = [header[12], header[13], header[14], header[15]];
    let destination = [header[16], header[17], header[18], header[19]];
    if is_martian_v4(source) {
        return Err(Reason::Martian);
    }
    if destination[0] >= 224 {
        return Err(Reason::Multicast);
    }
    parsed.l3 = ETHERNET_BYTES as u8;
    parsed.l4 = (ETHERNET_BYTES + header_bytes) as u16;
    parsed.end = (ETHERNET_BYTES + total) as u32;
    parsed.v6 = false;
    parsed.ttl = header[8];
    parsed.protocol = header[9];
    // More fragments follow, or this one does not start the packet.
    if u16::from_be_bytes([header[6], header[7]]) & 0x3fff != 0 {
        parsed.class = Class::Fragment;
        *key = Key::v4(source, destination, u16::from_be_bytes([header[4], header[5]]), 0, header[9]);
        return Ok(());
    }
    parsed.class = Class::Flow;
    let body = &l3[header_bytes..total.min(l3.len())];
    match Ports::of(body, header[9]) {
        Some(ports) => {
            *key = Key::v4(source, destination, ports.source, ports.destination, header[9]);
            (parsed.signal, parsed.opens) = (ports.signal, ports.opens);
            Ok(())
        }
        None => without_ports(l3, body, parsed, key),
    }
}

/// RFC 8200 §3, §4.
#[inline(always)]
fn packet_v6(l3: &[u8], rest_bytes: usize, to_us: bool, parsed: &mut Parsed, key: &mut Key) -> Result<(), Reason> {
    let Some(header) = l3.first_chunk::<40>() else { return Err(Reason::Truncated) };
    if header[0] >> 4 != 6 {
        return Err(Reason::BadHeader);
    }
    let total = 40 + usize::from(u16::from_be_bytes([header[4], header[5]]));
    if total > l3.len() + rest_bytes {
        return Err(Reason::Truncated);
    }
    let l3 = &l3[..total.min(l3.len())];
    let (protocol, header_bytes) = extensions(l3)?;
    let body = &l3[header_bytes..];
    parsed.l3 = ETHERNET_BYTES as u8;
    parsed.l4 = (ETHERNET_BYTES + header_bytes) as u16;
    parsed.end = (ETHERNET_BYTES + total) as u32;
    parsed.v6 = true;
    parsed.ttl = header[7];
    parsed.protocol = protocol;
    parsed.class = Class::Flow;
    // Router solicitation to redirect. Before the source is judged: duplicate address detection asks from ::.
    if protocol == protocol::ICMPV6 && body.first().is_some_and(|kind| (133..=137).contains(kind)) {
        parsed.class = Class::Neighbor;
        return Ok(());
    }
    let source: [u8; 16] = *header[8..].first_chunk().ok_or(Reason::Truncated)?;
    let destination: [u8; 16] = *header[24..].first_chunk().ok_or(Reason::Truncated)?;
    if destination[0] == 0xff || !to_us {
        return Err(Reason::Multicast);
    }
    if source[0] == 0xff || u128::from_be_bytes(source) <= 1 {
        return Err(Reason::Martian);
    }
    if protocol == protocol::FRAGMENT {
        return fragment_v6(source, destination, body, parsed, key);
    }
    match Ports::of(body, protocol) {
        Some(ports) => {
            *key = Key::v6(source, destination, ports.source, ports.destination, protocol);
            (parsed.signal, parsed.opens) = (ports.signal, ports.opens);
            Ok(())
        }
        None => without_ports(l3, body, parsed, key),
    }
}

/// RFC 8200 §4.5. Source, destination and identification say which packet it is a part of; that the parts agree in what
/// comes behind the header is not asked, the first one's word counts.
#[cold]
fn fragment_v6(
    source: [u8; 16],
    destination: [u8; 16],
    body: &[u8],
    parsed: &mut Parsed,
    key: &mut Key,
) -> Result<(), Reason> {
    let Some(&[next, _, _, _, a, b, c, d]) = body.first_chunk::<FRAGMENT_HEADER_BYTES>() else {
        return Err(Reason::Truncated);
    };
    parsed.l4 += FRAGMENT_HEADER_BYTES as u16;
    parsed.protocol = next;
    parsed.class = Class::Fragment;
    let [high, low] = [[a, b], [c, d]].map(u16::from_be_bytes);
    *key = Key::v6(source, destination, high, low, protocol::FRAGMENT);
    Ok(())
}

/// What classify wants of a TCP, UDP or SCTP header.
struct Ports {
    source: u16,
    destination: u16,
    signal: u8,
    opens: bool,
}

impl Ports {
    /// None: another protocol, or the header is not whole.
    #[inline(always)]
    fn of(body: &[u8], protocol: u8) -> Option<Ports> {
        let header_bytes = match protocol {
            protocol::TCP => 20,
            protocol::UDP => 8,
            protocol::SCTP => 12,
            _ => return None,
        };
        if body.len() < header_bytes {
            return None;
        }
        let (signal, opens) = match protocol {
            protocol::TCP => (body[13], body[13] & SYN != 0),
            protocol::SCTP => sctp(body),
            _ => (0, false),
        };
        let port = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
        Some(Ports { source: port(0), destination: port(2), signal, opens })
    }
}

/// What the first chunk says, and whether it asks for an association. An ABORT behind a cookie counts more than the cookie
/// (RFC 9260, section 6.10, lets others be bundled).
#[cold]
fn sctp(body: &[u8]) -> (u8, bool) {
    const CHUNKS_AT: usize = 12;
    let chunk = |at: usize| body.get(at..).and_then(|rest| rest.first_chunk::<4>());
    let Some(first) = chunk(CHUNKS_AT) else { return (0, false) };
    let length = usize::from(u16::from_be_bytes([first[2], first[3]]));
    let is_cookie = matches!(Event::of(first[0]), Event::CookieEcho | Event::CookieAck);
    let next = if is_cookie && length >= 4 { chunk(CHUNKS_AT + length.next_multiple_of(4)) } else { None };
    let signal = next.filter(|next| Event::of(next[0]) == Event::Abort).map_or(first[0], |abort| abort[0]);
    (signal, Event::of(signal) == Event::Init)
}

/// ICMP, a protocol without flows, or a header that is cut off.
#[cold]
fn without_ports(l3: &[u8], body: &[u8], parsed: &mut Parsed, key: &mut Key) -> Result<(), Reason> {
    parsed.class = Class::Other;
    let icmp = if parsed.v6 { protocol::ICMPV6 } else { protocol::ICMP };
    if parsed.protocol != icmp {
        return if has_ports(parsed.protocol) { Err(Reason::Truncated) } else { Ok(()) };
    }
    let Some((message, quoted)) = body.split_first_chunk::<8>() else { return Err(Reason::Truncated) };
    // A parameter problem concerns no conn: the kernel routes it like any packet, or it is the host's (recorded).
    let is_error_v4 = !parsed.v6 && matches!(message[0], 3 | 4 | 11);
    if is_error_v4 && let Some(flow) = tunnelled_v4(quoted) {
        *key = flow;
        parsed.class = Class::TunnelError;
        parsed.signal = signal_of_error(l3, body, parsed);
        return Ok(());
    }
    let flow = match (parsed.v6, message[0]) {
        (false, _) if is_error_v4 => quoted_v4(quoted),
        (true, 1..=4) => quoted_v6(quoted),
        _ => None,
    };
    if let Some(flow) = flow {
        *key = flow;
        parsed.class = Class::IcmpError;
        parsed.signal = signal_of_error(l3, body, parsed);
    }
    Ok(())
}

pub(super) fn has_ports(protocol: u8) -> bool {
    matches!(protocol, protocol::TCP | protocol::UDP | protocol::SCTP)
}

/// Walks the extension headers of an IPv6 packet, up to a fragment header. Gives the protocol behind them and where it starts.
#[inline(always)]
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
