//! What an ICMP error is about: the flow of the packet that it quotes, ends exchanged, so the flow in the error's own direction;
//! and whether it is to be believed.

use super::Parsed;
use super::classify::has_ports;
use crate::rewrite::tun;
use crate::wire::{checksum, ipv6};
use conntrack::Key;

/// What an ICMP error with a wrong checksum signals.
pub const WRONG_CHECKSUM: u8 = 1;

/// The flow of the IPv4 packet in a quoted IPv4 tunnel packet. About any other tunnel the kernel tells nobody (recorded).
/// Whether the tunnel is the director's own is seen when there is a conn.
pub(super) fn tunnelled_v4(packet: &[u8]) -> Option<Key> {
    let inner = packet.get(tun::inner_at(packet, |_| true)?..)?;
    let header = inner.first_chunk::<20>().filter(|header| header[0] >> 4 == 4 && packet[0] >> 4 == 4)?;
    let header_bytes = usize::from(header[0] & 15) * 4;
    // What is no header of ours by its checksum is payload of some other protocol.
    if header_bytes < 20 || inner.len() < header_bytes || checksum::of(&inner[..header_bytes]) != 0 {
        return None;
    }
    quoted_v4(inner).map(|exchanged| exchanged.reversed())
}

/// The flow of a quoted packet, ends exchanged. Eight bytes behind its IP header should be there (RFC 792); the ports are enough (recorded).
pub(super) fn quoted_v4(packet: &[u8]) -> Option<Key> {
    let header = packet.first_chunk::<20>()?;
    let header_bytes = usize::from(header[0] & 15) * 4;
    let first_fragment = u16::from_be_bytes([header[6], header[7]]) & 0x1fff == 0;
    if header[0] >> 4 != 4 || header_bytes < 20 || !first_fragment || !has_ports(header[9]) {
        return None;
    }
    let ports = packet.get(header_bytes..)?.first_chunk::<4>()?;
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

pub(super) fn quoted_v6(packet: &[u8]) -> Option<Key> {
    let header = packet.first_chunk::<40>()?;
    if header[0] >> 4 != 6 {
        return None;
    }
    let upper = ipv6::upper_layer(packet)?;
    let later_fragment = upper.fragment.is_some_and(|part| part.offset_bytes != 0);
    let protocol = upper.protocol;
    if later_fragment || !has_ports(protocol) {
        return None;
    }
    let ports = packet.get(upper.offset..)?.first_chunk::<4>()?;
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

/// Whether an ICMP error's checksum is right. Of one that came in fragments only the first segment is here, and nobody asks.
pub(super) fn signal_of_error(l3: &[u8], body: &[u8], parsed: &Parsed) -> u8 {
    let end = parsed.ip_bytes();
    let header_bytes = parsed.header_bytes();
    let is_whole = header_bytes + body.len() == end;
    let is_wrong = is_whole && !checksum::transport_is_right(&l3[..end], header_bytes, parsed.protocol);
    if is_wrong { WRONG_CHECKSUM } else { 0 }
}
