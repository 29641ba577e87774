//! A packet that the director makes, written into room that the caller has: workers do not allocate.

use zerocopy::IntoBytes;

use crate::wire::{Ipv4, Ipv6, checksum, protocol};

/// What the header of a made packet says beside addresses and length.
pub(super) struct Header {
    pub protocol: u8,
    pub tos: u8,
    pub dont_fragment: bool,
    pub id: u16,
}

/// Writes an IP packet with TTL 64 whose transport part is `parts`, with its checksum, and gives its length. The
/// addresses say the family. None, if the room is too small or the addresses are of no family.
pub(super) fn write(
    room: &mut [u8],
    header: Header,
    source: &[u8],
    destination: &[u8],
    parts: [&[u8]; 2],
) -> Option<usize> {
    let payload_bytes = parts[0].len() + parts[1].len();
    let l4 = if let (Ok(source), Ok(destination)) = (source.try_into(), destination.try_into()) {
        let mut ip = Ipv4::new(header.protocol, source, destination, payload_bytes);
        ip.set_tos(header.tos);
        ip.set_dont_fragment(header.dont_fragment);
        ip.set_id(header.id);
        ip.fill_checksum();
        ip.write_to_prefix(room).ok()?;
        Ipv4::BYTES
    } else {
        let mut ip = Ipv6::new(header.protocol, source.try_into().ok()?, destination.try_into().ok()?, payload_bytes);
        ip.set_traffic_class(header.tos);
        ip.write_to_prefix(room).ok()?;
        Ipv6::BYTES
    };
    let l3 = room.get_mut(..l4 + payload_bytes)?;
    let (head, tail) = l3[l4..].split_at_mut(parts[0].len());
    head.copy_from_slice(parts[0]);
    tail.copy_from_slice(parts[1]);
    checksum::fill_transport(l3, l4, header.protocol);
    Some(l3.len())
}

/// The two addresses of a packet, source first.
pub(super) fn addresses(l3: &[u8]) -> Option<(&[u8], &[u8])> {
    match l3.first()? >> 4 {
        4 => Some((l3.get(12..16)?, l3.get(16..20)?)),
        6 => Some((l3.get(8..24)?, l3.get(24..40)?)),
        _ => None,
    }
}

/// Whether an answer to a packet with these addresses would reach one host that asked for it. RFC 1122, section 3.2.2
/// and RFC 4443, section 2.4 (e): nothing is answered to a group, to nobody, or about a packet to a group. The caller
/// knows the subnets' broadcasts.
pub(super) fn are_answerable(source: &[u8], destination: &[u8]) -> bool {
    match (source, destination) {
        // Unspecified, loopback, multicast, reserved and broadcast.
        (&[a, ..], &[b, ..]) if source.len() == 4 => a != 0 && a != 127 && a < 224 && b < 224,
        (&[a, ..], &[b, ..]) => {
            let (last, rest) = source.split_last().unwrap_or((&0, &[]));
            let is_unspecified_or_loopback = *last <= 1 && rest.iter().all(|byte| *byte == 0);
            a != 0xff && b != 0xff && !is_unspecified_or_loopback
        }
        _ => false,
    }
}

/// The protocol number of ICMP in the packet's family.
pub(super) fn icmp_protocol(address: &[u8]) -> u8 {
    if address.len() == 4 { protocol::ICMP } else { protocol::ICMPV6 }
}
