//! The fragments of a packet become one chain under one header, as if the packet had never been cut.
//!
//! ```text
//!   | Ethernet | IP | part 1 |   | Ethernet | IP | part 2 |   | Ethernet | IP | part 3 |
//!   | Ethernet | IP'| part 1 ─────────────────────▶ part 2 ─────────────────────▶ part 3 |
//!                     └ at least FIRST_BYTES in the first segment: headers are read and written there only
//! ```

use super::waiting::PIECES_MAX;
use crate::pipeline::classify::FRAGMENT_HEADER_BYTES;
use crate::pipeline::{Parsed, Reason};
use crate::port::Frame;
use crate::wire::{Ipv4, Ipv6, ipv4, protocol};
use arrayvec::ArrayVec;

/// Payload that the first segment has, if the packet is that long: a TCP header with options and an IPv4 packet that an ICMP
/// error quotes fit, so do usual extension headers. Whoever cuts within them gets them copied together.
const FIRST_BYTES: usize = 256;

/// The fragments of one packet, in order.
pub(super) type Parts<F> = ArrayVec<(F, Parsed), PIECES_MAX>;

/// A packet of which all parts are there.
pub struct Joined<F> {
    /// The packet: a chain, or one segment.
    pub frame: F,
    /// How many fragments it was made of.
    pub fragments: u64,
    /// Bytes of the longest of them, IP header included.
    pub longest: u16,
}

/// Joins them. All of them are there, and none overlaps another.
pub(super) fn join<F: Frame>(mut parts: Parts<F>) -> Result<Joined<F>, Reason> {
    let fragments = parts.len() as u64;
    let longest = parts.iter().map(|(_, parsed)| parsed.ip_bytes()).max().unwrap_or_default() as u16;
    let tos = congestion(&parts).ok_or(Reason::BadFragment)?;
    let dont_fragment = longest_says_dont_fragment(&parts);
    let bytes = parts.iter().map(|(_, parsed)| payload_bytes(parsed)).sum();
    let (mut first, parsed) = parts.remove(0);
    first.truncate(parsed.end as usize);
    head(&mut first, &parsed, bytes, tos, dont_fragment);
    let mut rest: ArrayVec<F, PIECES_MAX> = ArrayVec::new();
    let mut in_first = payload_bytes(&parsed);
    for (mut frame, parsed) in parts {
        frame.truncate(parsed.end as usize);
        frame.trim_front(usize::from(parsed.l4));
        if in_first < FIRST_BYTES && rest.is_empty() {
            if !first.push(frame.bytes()) {
                return Err(Reason::BadFragment);
            }
            in_first += frame.bytes().len();
        } else {
            rest.push(frame);
        }
    }
    // From the end, for a chain grows at its front.
    let behind = rest.into_iter().rev().reduce(|chain, mut frame| {
        frame.chain(chain);
        frame
    });
    if let Some(chain) = behind {
        first.chain(chain);
    }
    Ok(Joined { frame: first, fragments, longest })
}

fn payload_bytes(parsed: &Parsed) -> usize {
    parsed.end as usize - usize::from(parsed.l4)
}

/// TOS or traffic class: the first fragment's, with the congestion mark of any (RFC 3168, section 5.3). None: some say that
/// they cannot be marked, and others are marked.
fn congestion<F: Frame>(parts: &Parts<F>) -> Option<u8> {
    const MARKED: u8 = 0b11;
    let tos = |(frame, parsed): &(F, Parsed)| {
        let l3 = &frame.bytes()[usize::from(parsed.l3)..];
        if parsed.v6 { l3[0] << 4 | l3[1] >> 4 } else { l3[1] }
    };
    let first = tos(&parts[0]);
    let any = |ecn: u8| parts.iter().any(|part| tos(part) & MARKED == ecn);
    match (any(MARKED), any(0)) {
        (true, true) => None,
        (true, false) => Some(first | MARKED),
        _ => Some(first),
    }
}

/// An IPv4 packet may not be fragmented if the longest fragment may not: its sender looks for the path's MTU by it.
fn longest_says_dont_fragment<F: Frame>(parts: &Parts<F>) -> bool {
    let said = |(frame, parsed): &(F, Parsed)| {
        let l3 = &frame.bytes()[usize::from(parsed.l3)..];
        !parsed.v6 && Ipv4::of(l3).is_some_and(Ipv4::dont_fragment)
    };
    let longest = parts.iter().map(|(_, parsed)| parsed.ip_bytes()).max();
    parts.iter().any(|part| Some(part.1.ip_bytes()) == longest && said(part))
}

/// Writes the header of the whole: `bytes` of payload.
fn head<F: Frame>(first: &mut F, parsed: &Parsed, bytes: usize, tos: u8, dont_fragment: bool) {
    let l3 = usize::from(parsed.l3);
    let payload = usize::from(parsed.l4);
    if !parsed.v6 {
        let l3 = &mut first.bytes_mut()[l3..];
        if let Some(ip) = Ipv4::of_mut(l3) {
            ip.set_total_bytes(ip.header_bytes() + bytes);
            ip.set_dont_fragment(dont_fragment);
            ip.set_tos(tos);
        }
        ipv4::fill_checksum(l3);
        return;
    }
    // The fragment header goes: what stands before it moves up, and what named it names what it named.
    let at = payload - FRAGMENT_HEADER_BYTES;
    let frame = first.bytes_mut();
    let named = named_at(&frame[l3..at]);
    frame[l3 + named] = parsed.protocol;
    if let Some(ip) = Ipv6::of_mut(&mut frame[l3..]) {
        ip.set_payload_bytes(at - l3 - Ipv6::BYTES + bytes);
        ip.set_traffic_class(tos);
    }
    frame.copy_within(..at, FRAGMENT_HEADER_BYTES);
    first.trim_front(FRAGMENT_HEADER_BYTES);
}

/// Where the byte is that names the header behind these IPv6 headers.
fn named_at(headers: &[u8]) -> usize {
    let (mut named, mut at) = (6, Ipv6::BYTES);
    while at < headers.len() && headers[named] != protocol::FRAGMENT {
        named = at;
        at += 8 * (usize::from(headers[at + 1]) + 1);
    }
    named
}
