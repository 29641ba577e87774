//! NAT: one end of the packet becomes another one. The same two functions serve both directions: inbound the
//! destination changes from VIP to real server, outbound the source changes back.
//!
//! ```text
//!  inbound    | src CIP | dst VIP | cport | vport | …   →   | src CIP | dst RIP | cport | rport | …
//!  outbound   | src RIP | dst CIP | rport | cport | …   →   | src VIP | dst CIP | vport | cport | …
//! ```
//!
//! Checksums are carried along (RFC 1624): the IPv4 header's by the address, TCP's and UDP's by address (it is in
//! their pseudo header) and port. A UDP datagram without a checksum gets one, as the kernel gives it one (recorded),
//! at the cost of reading it. SCTP's CRC32c covers no addresses but the ports, and is not a sum: where a port changes
//! it is computed anew.

use crate::wire::checksum::{self, Delta};
use crate::wire::{Tcp, Udp, protocol};

/// Replaces destination address and port. Nothing changes if the family of `address` is not the packet's.
#[inline]
pub fn translate_destination(l3: &mut [u8], l4: usize, protocol: u8, address: &[u8], port: u16) {
    if let Ok(address) = address.try_into() {
        translate::<4>(l3, l4, protocol, End::Destination, address, port);
    } else if let Ok(address) = address.try_into() {
        translate::<16>(l3, l4, protocol, End::Destination, address, port);
    }
}

/// Replaces source address and port. Nothing changes if the family of `address` is not the packet's.
#[inline]
pub fn translate_source(l3: &mut [u8], l4: usize, protocol: u8, address: &[u8], port: u16) {
    if let Ok(address) = address.try_into() {
        translate::<4>(l3, l4, protocol, End::Source, address, port);
    } else if let Ok(address) = address.try_into() {
        translate::<16>(l3, l4, protocol, End::Source, address, port);
    }
}

/// Which end of a packet.
#[derive(Clone, Copy)]
pub(super) enum End {
    Source,
    Destination,
}

/// Where source and destination address of a family with addresses of `N` bytes lie: one behind the other, at the
/// header's end.
pub(super) const fn addresses_at<const N: usize>() -> usize {
    if N == 4 { 12 } else { 8 }
}

/// Whether the packet's family has addresses of `N` bytes.
#[inline]
pub(super) fn is_family<const N: usize>(header: &[u8]) -> bool {
    header.first().is_some_and(|first| first >> 4 == if N == 4 { 4 } else { 6 })
}

#[inline(always)]
fn translate<const N: usize>(l3: &mut [u8], l4: usize, protocol: u8, end: End, address: &[u8; N], port: u16) {
    let Some((header, segment)) = l3.split_at_mut_checked(l4) else { return };
    if !is_family::<N>(header) {
        return;
    }
    let Some(addresses) = replace_address(header, end, address) else { return };
    carry_header::<N>(header, addresses);
    if protocol == protocol::SCTP {
        return translate_sctp(segment, end, port);
    }
    let ports = replace_port(segment, end, port);
    if !carry_transport(segment, protocol, addresses.and(ports)) {
        checksum::fill_transport(l3, l4, protocol);
    }
}

#[cold]
fn translate_sctp(segment: &mut [u8], end: End, port: u16) {
    let before = segment.first_chunk::<4>().copied();
    replace_port(segment, end, port);
    if segment.first_chunk() != before.as_ref() {
        checksum::fill_sctp(segment);
    }
}

/// Writes an address; none if the header is too short.
#[inline]
pub(super) fn replace_address<const N: usize>(header: &mut [u8], end: End, address: &[u8; N]) -> Option<Delta> {
    let at = match end {
        End::Source => addresses_at::<N>(),
        End::Destination => addresses_at::<N>() + N,
    };
    let field: &mut [u8; N] = header.get_mut(at..at + N)?.try_into().ok()?;
    let mut delta = Delta::default();
    delta.replace_address(field, address);
    *field = *address;
    Some(delta)
}

/// Writes a port; TCP, UDP and SCTP have both ports at their beginning.
#[inline]
pub(super) fn replace_port(segment: &mut [u8], end: End, port: u16) -> Delta {
    let mut delta = Delta::default();
    if let Some(ports) = segment.first_chunk_mut::<4>() {
        let [high, low] = port.to_be_bytes();
        // Both ports are written as one word: the CPU would wait to read a word of which half was just written.
        let new = match end {
            End::Source => [high, low, ports[2], ports[3]],
            End::Destination => [ports[0], ports[1], high, low],
        };
        delta.replace_two_words(*ports, new);
        *ports = new;
    }
    delta
}

/// Carries the IPv4 header checksum along; IPv6 has none.
#[inline]
pub(super) fn carry_header<const N: usize>(header: &mut [u8], delta: Delta) {
    if N == 4
        && let Some(checksum) = header.get_mut(10..12)
    {
        let carried = delta.apply([checksum[0], checksum[1]]);
        checksum.copy_from_slice(&carried);
    }
}

/// Carries the checksum of TCP or UDP along. False if there was none to be carried: UDP may go without (RFC 768).
#[inline]
pub(super) fn carry_transport(segment: &mut [u8], protocol: u8, delta: Delta) -> bool {
    let at = match protocol {
        protocol::TCP => Tcp::CHECKSUM_AT,
        protocol::UDP => Udp::CHECKSUM_AT,
        _ => return true,
    };
    let Some(checksum) = segment.get_mut(at..at + 2) else { return true };
    let before = [checksum[0], checksum[1]];
    let carried = if protocol == protocol::UDP { delta.apply_udp(before) } else { delta.apply(before) };
    checksum.copy_from_slice(&carried);
    protocol != protocol::UDP || before != [0, 0]
}
