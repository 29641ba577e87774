//! FullNAT: both ends of the packet change, so that the real server answers to the director without routes of its
//! own. Both addresses and both ports lie next to each other, so one pass replaces them and one delta carries each
//! checksum along.
//!
//! ```text
//!  inbound    | src CIP | dst VIP | cport | vport | …   →   | src LIP | dst RIP | lport | rport | …
//!  outbound   | src RIP | dst LIP | rport | lport | …   →   | src VIP | dst CIP | vport | cport | …
//! ```

use super::Endpoint;
use super::nat::{addresses_at, carry_header, carry_transport, is_family};
use crate::wire::checksum::{self, Delta};
use crate::wire::protocol;

/// Replaces source and destination, addresses and ports. Nothing changes if their family is not the packet's.
#[inline]
pub fn translate(l3: &mut [u8], l4: usize, protocol: u8, source: Endpoint<'_>, destination: Endpoint<'_>) {
    let ports = (source.port, destination.port);
    if let (Ok(source), Ok(destination)) = (source.address.try_into(), destination.address.try_into()) {
        translate_family::<4>(l3, l4, protocol, (source, destination), ports);
    } else if let (Ok(source), Ok(destination)) = (source.address.try_into(), destination.address.try_into()) {
        translate_family::<16>(l3, l4, protocol, (source, destination), ports);
    }
}

#[inline(always)]
fn translate_family<const N: usize>(
    l3: &mut [u8],
    l4: usize,
    protocol: u8,
    addresses: (&[u8; N], &[u8; N]),
    ports: (u16, u16),
) {
    let Some((header, segment)) = l3.split_at_mut_checked(l4) else { return };
    let at = addresses_at::<N>();
    if !is_family::<N>(header) {
        return;
    }
    let Some((source, rest)) = header.get_mut(at..).and_then(|rest| rest.split_first_chunk_mut::<N>()) else { return };
    let Some(destination) = rest.first_chunk_mut::<N>() else { return };
    let mut delta = Delta::default();
    delta.replace_address(source, addresses.0);
    delta.replace_address(destination, addresses.1);
    (*source, *destination) = (*addresses.0, *addresses.1);
    carry_header::<N>(header, delta);
    if let Some(words) = segment.first_chunk_mut::<4>() {
        let ([a, b], [c, d]) = (ports.0.to_be_bytes(), ports.1.to_be_bytes());
        delta.replace_two_words(*words, [a, b, c, d]);
        *words = [a, b, c, d];
    }
    if protocol == protocol::SCTP {
        return checksum::fill_sctp(segment);
    }
    if !carry_transport(segment, protocol, delta) {
        checksum::fill_transport(l3, l4, protocol);
    }
}
