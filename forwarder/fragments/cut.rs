//! A packet becomes fragments: a reassembled one, because it came so, or one that is longer than its way takes.
//!
//! ```text
//!   | Ethernet | IP             | payload ────────────────────────────────────────────────▶ |
//!   | Ethernet | IP' (Fragment) | part 1 |   | Ethernet | IP' (Fragment) | part 2 |   …
//!                offset, "more", length, IPv4 checksum; the identification is the packet's, IPv6's a new one
//! ```
//!
//! A reassembled packet leaves in the parts that it came in, if they still fit, and else in equal ones no longer than the
//! longest that came (recorded): whoever sent them may have known why.

use crate::pipeline::classify::{ETHERNET_BYTES, FRAGMENT_HEADER_BYTES};
use crate::port::Frame;
use crate::wire::{Ipv4, Ipv6, ipv4, protocol};

/// How a packet is to be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Longest fragment, IP header included.
    pub bytes_max: u16,
    /// Keep the parts that the packet came in, if all of them fit.
    pub as_it_came: Option<CameIn>,
    /// IPv6: a fragment header even if it all fits in one: the kernel leaves it on (recorded, RFC 6946).
    pub atomic: bool,
    /// Identification of IPv6 fragments.
    pub id: u32,
}

/// The parts that a packet came in, as far as its segments do not show them: small parts lie together in the first one. All
/// but the last are as long as the longest, or nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CameIn {
    /// Bytes of the first part, with the headers that it got in a tunnel.
    pub first: u16,
    /// Bytes of every further one.
    pub further: u16,
}

/// A packet on its way to become fragments.
pub struct Cutter<'a, S> {
    cut: Cut,
    /// Ethernet and IP header, as far as each fragment has it.
    head: &'a [u8],
    v6: bool,
    /// Where the byte is that names what follows the head (IPv6).
    named_at: usize,
    /// Payload of one fragment; none: each takes what is left of a segment.
    part_bytes: Option<usize>,
    /// The first one has so many more.
    first_more: usize,
    segments: S,
    /// What is left of the segment that is being cut.
    segment: &'a [u8],
    offset: usize,
    total: usize,
}

/// What comes next.
pub enum Next<F> {
    /// A fragment.
    Fragment(F),
    /// That was the last one.
    Done,
    /// No buffer could be had, or it was too small.
    NoBuffer,
}

impl Cut {
    /// Begins to cut a packet that is finished, its Ethernet header included. None: the header alone is too long.
    pub fn begin<F: Frame>(self, packet: &F) -> Option<Cutter<'_, impl Iterator<Item = &[u8]>>> {
        let first = packet.bytes();
        let l3 = first.get(ETHERNET_BYTES..)?;
        let v6 = l3.first()? >> 4 == 6;
        let (named_at, header_bytes) = if v6 { before_fragment(l3)? } else { (0, Ipv4::of(l3)?.header_bytes()) };
        let (head, segment) = first.split_at_checked(ETHERNET_BYTES + header_bytes)?;
        let around = header_bytes + if v6 { FRAGMENT_HEADER_BYTES } else { 0 };
        let part_max = usize::from(self.bytes_max).checked_sub(around).filter(|bytes| *bytes >= 8)?;
        let parts = || std::iter::once(segment).chain(packet.segments().skip(1)).map(<[u8]>::len);
        let (count, total) = (parts().count(), parts().sum());
        let fits = |(at, bytes): (usize, usize)| bytes <= part_max && (bytes % 8 == 0 || at + 1 == count);
        let joined = self.as_it_came.map(CameIn::usize).filter(|(first, _)| *first < segment.len());
        let as_joined = joined.filter(|(first, further)| {
            *first <= part_max && *first >= *further && first % 8 == 0 && *further > 0 && further % 8 == 0
        });
        let as_it_came = self.as_it_came.is_some() && joined.is_none() && count > 1 && parts().enumerate().all(fits);
        Some(Cutter {
            cut: self,
            head,
            v6,
            named_at,
            part_bytes: match (as_joined, header_bytes + total <= usize::from(self.bytes_max)) {
                _ if as_it_came => None,
                (Some((_, further)), _) => Some(further),
                (None, true) => Some(total),
                (None, false) => Some(part_max & !7),
            },
            first_more: as_joined.map_or(0, |(first, further)| first - further),
            segments: packet.segments().skip(1),
            segment,
            offset: 0,
            total,
        })
    }
}

impl CameIn {
    fn usize(self) -> (usize, usize) {
        (self.first.into(), self.further.into())
    }
}

impl<'a, S: Iterator<Item = &'a [u8]>> Cutter<'a, S> {
    /// The next fragment, in a frame that `make` makes of its first bytes.
    pub fn next<F: Frame>(&mut self, make: impl FnOnce(&[u8]) -> Option<F>) -> Next<F> {
        if self.offset >= self.total {
            return Next::Done;
        }
        self.fragment(make).map_or(Next::NoBuffer, Next::Fragment)
    }

    fn fragment<F: Frame>(&mut self, make: impl FnOnce(&[u8]) -> Option<F>) -> Option<F> {
        self.refill();
        let first_more = if self.offset == 0 { self.first_more } else { 0 };
        let bytes = self.part_bytes.map_or(self.segment.len(), |part| part + first_more).min(self.total - self.offset);
        let more = self.offset + bytes < self.total;
        let mut frame = make(self.head)?;
        let header_bytes = self.head.len() - ETHERNET_BYTES;
        // It came in fragments, but of the other family, within a tunnel: this one needs none.
        let whole = bytes == self.total && !self.cut.atomic;
        if self.v6 && !whole {
            let [high, low] = (self.offset as u16 | u16::from(more)).to_be_bytes();
            let [a, b, c, d] = self.cut.id.to_be_bytes();
            let next = self.head[ETHERNET_BYTES + self.named_at];
            frame.push(&[next, 0, high, low, a, b, c, d]).then_some(())?;
        }
        let mut missing = bytes;
        while missing > 0 {
            self.refill();
            let (part, rest) = self.segment.split_at(missing.min(self.segment.len()));
            frame.push(part).then_some(())?;
            self.segment = rest;
            missing -= part.len();
        }
        let l3 = &mut frame.bytes_mut()[ETHERNET_BYTES..];
        if self.v6 && !whole {
            l3[self.named_at] = protocol::FRAGMENT;
            if let Some(ip) = Ipv6::of_mut(l3) {
                ip.set_payload_bytes(header_bytes - Ipv6::BYTES + FRAGMENT_HEADER_BYTES + bytes);
            }
        } else if !self.v6 {
            if self.offset > 0 {
                blank_options(&mut l3[Ipv4::BYTES..header_bytes]);
            }
            if let Some(ip) = Ipv4::of_mut(l3) {
                ip.set_total_bytes(header_bytes + bytes);
                ip.set_fragment(self.offset, more);
            }
            ipv4::fill_checksum(l3);
        }
        self.offset += bytes;
        Some(frame)
    }

    /// Goes on to the next segment, if this one is used up.
    fn refill(&mut self) {
        while self.segment.is_empty()
            && let Some(segment) = self.segments.next()
        {
            self.segment = segment;
        }
    }
}

/// Where the fragment header goes: behind what every router must see (RFC 8200, section 4.5), and behind destination options
/// unless a routing header says that they are for the last destination only (recorded). Gives where the byte is that names
/// what follows, and where that begins.
pub(crate) fn before_fragment(l3: &[u8]) -> Option<(usize, usize)> {
    let (mut named, mut at) = (6, Ipv6::BYTES);
    let mut routed = false;
    loop {
        match *l3.get(named)? {
            protocol::ROUTING => routed = true,
            protocol::HOP_BY_HOP => {}
            protocol::DESTINATION_OPTIONS if !routed => {}
            _ => return (at <= l3.len()).then_some((named, at)),
        }
        let length = 8 * (usize::from(*l3.get(at + 1)?) + 1);
        (named, at) = (at, at + length);
    }
}

/// IPv4 options that only the first fragment has become padding in the others (RFC 791, section 3.1, "copied").
fn blank_options(options: &mut [u8]) {
    const END: u8 = 0;
    const NO_OPERATION: u8 = 1;
    const COPIED: u8 = 0x80;
    let mut at = 0;
    while at < options.len() && options[at] != END {
        let length = match options[at] {
            NO_OPERATION => 1,
            _ => options.get(at + 1).map_or(0, |length| usize::from(*length)),
        };
        if length == 0 || at + length > options.len() {
            return;
        }
        if options[at] & COPIED == 0 {
            options[at..at + length].fill(NO_OPERATION);
        }
        at += length;
    }
}
