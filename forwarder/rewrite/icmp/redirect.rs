//! Redirects: what a router tells a host that could have sent its packet to a better next hop on the same link.
//!
//! ```text
//!  IPv4   | IP router → host, TOS 0xc0     | 5 | 1 | sum | next hop | the packet, as much as fits 576 bytes |
//!  IPv6   | IP router → host, hops 255     | 137 | 0 | sum | 0 | next hop 16 | destination 16
//!         | option 2: MAC of the next hop  | option 4: the packet, as much as fits 1280 bytes |
//! ```
//!
//! RFC 792 and 1812, section 5.2.7.2: for the host, not its network. RFC 4861, sections 4.5 and 8.2.

use super::error::{INTERNETWORK_CONTROL, IPV4_BYTES_MAX, IPV6_BYTES_MAX, may_answer};
use crate::rewrite::room;
use crate::wire::icmp::{v4, v6};
use crate::wire::{Icmp, Ipv4, Ipv6, protocol};
use zerocopy::IntoBytes;

/// Code of an IPv4 redirect: for this destination host.
const FOR_HOST: u8 = 1;
/// Neighbour discovery is believed only from next door, which 255 hops prove.
const HOPS: u8 = 255;
/// The option that holds the target's MAC.
const TARGET_LINK_LAYER: u8 = 2;
/// The option that holds the packet.
const REDIRECTED: u8 = 4;
/// Bytes of the option before the packet, and the unit of its length.
const OPTION_BYTES: usize = 8;

/// Writes the redirect about `packet` and gives its length; `id` is the IPv4 identification. None: RFCs forbid to answer.
pub fn redirect_v4(room: &mut [u8], packet: &[u8], router: [u8; 4], target: [u8; 4], id: u16) -> Option<usize> {
    if !may_answer(packet) {
        return None;
    }
    let (host, _) = room::addresses(packet)?;
    let quote = &packet[..packet.len().min(IPV4_BYTES_MAX - Ipv4::BYTES - Icmp::BYTES)];
    let message = Icmp::new(v4::REDIRECT, FOR_HOST, u32::from_be_bytes(target));
    let tos = packet[1] & 0x1e | INTERNETWORK_CONTROL;
    let header = room::Header { protocol: protocol::ICMP, tos, dont_fragment: false, id };
    room::write(room, header, &router, host, [message.as_bytes(), quote])
}

/// Writes the redirect about `packet`, from the router's link-local address, and gives its length. None: RFCs forbid to answer.
pub fn redirect_v6(
    room: &mut [u8],
    packet: &[u8],
    router: [u8; 16],
    target: [u8; 16],
    target_mac: [u8; 6],
) -> Option<usize> {
    const FIXED: usize = Icmp::BYTES + 16 + 16 + 8 + OPTION_BYTES;
    if !may_answer(packet) {
        return None;
    }
    let (host, destination) = room::addresses(packet)?;
    // An option is a multiple of 8 bytes; of a packet that is not, the end is left out rather than made up.
    let quote_bytes = packet.len().min(IPV6_BYTES_MAX - Ipv6::BYTES - FIXED) / OPTION_BYTES * OPTION_BYTES;
    let mut message = [0; FIXED];
    let (icmp, rest) = message.split_at_mut(Icmp::BYTES);
    icmp.copy_from_slice(Icmp::new(v6::REDIRECT, 0, 0).as_bytes());
    rest[..16].copy_from_slice(&target);
    rest[16..32].copy_from_slice(destination);
    rest[32..34].copy_from_slice(&[TARGET_LINK_LAYER, 1]);
    rest[34..40].copy_from_slice(&target_mac);
    rest[40..42].copy_from_slice(&[REDIRECTED, ((quote_bytes + OPTION_BYTES) / OPTION_BYTES) as u8]);
    let header = room::Header { protocol: protocol::ICMPV6, tos: 0, dont_fragment: false, id: 0 };
    let bytes = room::write(room, header, &router, host, [&message, &packet[..quote_bytes]])?;
    // No part of any checksum.
    Ipv6::of_mut(room)?.set_hop_limit(HOPS);
    Some(bytes)
}
