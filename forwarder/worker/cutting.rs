//! Packets that do not leave as one frame: they came in fragments, or are longer than their way takes. How each is cut, who is
//! told instead, and the checksum of a datagram that lies in several segments.

use super::Worker;
use super::forward::Refusal;
use crate::fragments::cut::before_fragment;
use crate::fragments::{CameIn, Cut};
use crate::pipeline::classify::{ETHERNET_BYTES, FRAGMENT_HEADER_BYTES};
use crate::pipeline::{Batch, Class, Parsed, Reason, Shard, Step, Tell};
use crate::port::{Burst, Frame, Port};
use crate::rewrite::tun::Tunnel;
use crate::wire::{Ipv6, Udp, checksum, protocol};
use conntrack::{Conn, Direction, Method};

/// RFC 8200 §5: every IPv6 link takes that much.
pub(super) const IPV6_MTU_MIN: usize = 1280;
/// Of the byte that has an IPv4 packet's flags.
const DONT_FRAGMENT: u8 = 0x40;

impl<P: Port> Worker<P> {
    /// A NAT server's reply that is too long for its way to the client goes no further, and its conn does not hear of it: the
    /// kernel's router refuses it before IPVS sees it (recorded). So this comes before track.
    #[inline]
    pub(super) fn refuse_long_replies(&mut self, batch: &mut Batch, frames: &Burst<P::Frame>) {
        let mtu_min = usize::from(self.shard.next_hops.mtu_min());
        if batch.end_max as usize > ETHERNET_BYTES + mtu_min {
            self.refuse_those_that_do_not_fit(batch, frames, mtu_min);
        }
    }

    #[cold]
    fn refuse_those_that_do_not_fit(&mut self, batch: &mut Batch, frames: &Burst<P::Frame>, mtu_min: usize) {
        for ((frame, parsed), step) in frames.iter().zip(&batch.parsed).zip(&mut batch.steps) {
            if let Step::Forward(hit) = *step
                && hit.direction == Direction::Outbound
                && matches!(parsed.class, Class::Flow | Class::IcmpError)
                && parsed.ip_bytes() > mtu_min
                // Fragments of IPv4 pass the router one by one: what they are together is found too long behind track.
                && (parsed.v6 || parsed.longest_fragment == 0)
                // That it has no hop left counts more.
                && parsed.ttl > 1
                && let Ok(way) = self.shard.way(hit)
                && parsed.ip_bytes() > usize::from(way.mtu)
            {
                let mtu = usize::from(way.mtu);
                if let Err((reason, tell)) = self.shard.cut(frame, parsed, None, mtu, mtu, 0) {
                    *step = Step::Refuse(reason, tell);
                }
            }
        }
    }
}

impl Shard {
    /// How a packet is cut that came in fragments, or is longer than `longest`, which would fit. Refused if its sender does
    /// not want it cut.
    #[cold]
    pub(super) fn cut<F: Frame>(
        &self,
        frame: &F,
        parsed: &Parsed,
        outer: Option<(Tunnel, bool)>,
        mtu: usize,
        longest: usize,
        id: u32,
    ) -> Result<Cut, Refusal> {
        let (tunnel, outer_v6) = (outer.is_some(), outer.map_or(parsed.v6, |(_, v6)| v6));
        let came = Some(usize::from(parsed.longest_fragment)).filter(|longest| *longest > 0);
        let l3 = &frame.bytes()[usize::from(parsed.l3)..];
        // A sender that cuts IPv6 packets itself has seen to it that the parts fit.
        let (whole, may_fragment) = match parsed.v6 {
            true => (came.unwrap_or(parsed.ip_bytes()), false),
            // Without path MTU discovery a tunnel header has no DF, whatever is inside: it may go in fragments.
            false => (parsed.ip_bytes(), l3[6] & DONT_FRAGMENT == 0 || tunnel && !self.services.policy.pmtu_disc),
        };
        if whole > longest && !may_fragment {
            // Through a tunnel of IPv4 that may be less than the 1280 that an IPv6 sender heeds (recorded).
            return Err((Reason::TooBig, Some(Tell::TooBig(longest as u16))));
        }
        // As recorded: no fragment is longer than the longest that came, unless the family changes on the way.
        let came = came.filter(|_| outer_v6 == parsed.v6);
        let limit = came.map_or(mtu, |came| mtu.min(if outer_v6 { came.max(IPV6_MTU_MIN) } else { came }));
        // And if that lets it through in one piece, it goes so.
        let outer_bytes = outer.map_or(0, |(tunnel, v6)| tunnel.outer_bytes(v6));
        let in_one_piece = came.is_none() && parsed.ip_bytes() + outer_bytes <= mtu;
        let atomic = came.is_some() && parsed.leaves_in_fragments(outer_bytes);
        // GRE and GUE around another family are put together and cut anew (recorded).
        let crossing = outer.is_some_and(|(tunnel, v6)| tunnel != Tunnel::Ipip && v6 != parsed.v6);
        let as_it_came = (!(in_one_piece || crossing)).then(|| came_in(l3, parsed, outer));
        Ok(Cut { bytes_max: limit as u16, as_it_came, atomic, id })
    }
}

/// An IPv4 packet that came in fragments which must not be cut. The kernel has put it together to see whose it is, and then
/// forwards no more of it but to real servers (recorded).
pub(super) fn must_not_be_cut_again(l3: &[u8], parsed: &Parsed) -> bool {
    parsed.longest_fragment != 0 && !parsed.v6 && l3[6] & DONT_FRAGMENT != 0
}

/// The parts that a packet came in, the tunnel's headers in front of the first.
fn came_in(l3: &[u8], parsed: &Parsed, outer: Option<(Tunnel, bool)>) -> CameIn {
    let header_bytes = match parsed.v6 {
        true => before_fragment(l3).map_or(Ipv6::BYTES, |(_, end)| end),
        false => parsed.header_bytes(),
    };
    let around_bytes = header_bytes + if parsed.v6 { FRAGMENT_HEADER_BYTES } else { 0 };
    let longest = usize::from(parsed.longest_fragment).saturating_sub(around_bytes);
    let further = if parsed.leaves_in_fragments(0) { longest & !7 } else { longest };
    let in_front = outer.map_or(0, |(tunnel, _)| header_bytes + tunnel.bytes());
    CameIn { first: (in_front + further) as u16, further: further as u16 }
}

/// Whether a rewrite cannot carry the checksum of a chain along, of which it sees the first segment only: of a UDP datagram
/// without one, which NAT gives one, as the kernel does; and of an SCTP packet whose ports change.
#[cold]
pub(super) fn must_be_summed(l3: &[u8], l4: usize, parsed: &Parsed, conn: &Conn) -> bool {
    let at = l4 + Udp::CHECKSUM_AT;
    match (parsed.class, parsed.protocol) {
        (Class::Flow, protocol::UDP) => l3.get(at..at + 2) == Some(&[0, 0]),
        (Class::Flow, protocol::SCTP) => conn.method() == Method::FullNat || conn.vip_port() != conn.server_port(),
        _ => false,
    }
}

/// Computes the checksum of the UDP datagram or SCTP packet in a chain.
#[cold]
pub(super) fn sum_whole<F: Frame>(frame: &mut F, parsed: &Parsed) {
    let (l3, l4) = (usize::from(parsed.l3), usize::from(parsed.l4));
    let sctp = parsed.protocol == protocol::SCTP;
    let (at, bytes) = if sctp { (l4 + checksum::SCTP_CRC.start, 4) } else { (l4 + Udp::CHECKSUM_AT, 2) };
    let Some(field) = frame.bytes_mut().get_mut(at..at + bytes) else { return };
    field.fill(0);
    let pieces = std::iter::once(&frame.bytes()[l4..]).chain(frame.segments().skip(1));
    match sctp {
        true => {
            let crc = checksum::sctp(pieces);
            frame.bytes_mut()[at..at + 4].copy_from_slice(&crc);
        }
        false => {
            let sum = checksum::udp(&frame.bytes()[l3..], parsed.end - u32::from(parsed.l4), pieces);
            frame.bytes_mut()[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        }
    }
}
