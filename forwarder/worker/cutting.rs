//! Packets that do not leave as one frame: they came in fragments, or are longer than their way takes. How each is cut, who is
//! told instead, and the checksum of a datagram that lies in several segments.

use super::forward::Refusal;
use crate::fragments::Cut;
use crate::pipeline::classify::FRAGMENT_HEADER_BYTES;
use crate::pipeline::{Class, Parsed, Reason, Shard, Tell};
use crate::port::Frame;
use crate::rewrite::tun::Tunnel;
use crate::wire::{Udp, checksum, protocol};
use conntrack::{Conn, Method};

/// RFC 8200 §5: every IPv6 link takes that much.
const IPV6_MTU_MIN: usize = 1280;
/// Of the byte that has an IPv4 packet's flags.
const DONT_FRAGMENT: u8 = 0x40;

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
        let came = longest_fragment(frame, parsed);
        let l3 = &frame.bytes()[usize::from(parsed.l3)..];
        // A sender that cuts IPv6 packets itself has seen to it that the parts fit.
        let (whole, may_fragment) = match parsed.v6 {
            true => (came.unwrap_or(parsed.ip_bytes()), false),
            // Without path MTU discovery a tunnel header has no DF, whatever is inside: it may go in fragments.
            false => (parsed.ip_bytes(), l3[6] & DONT_FRAGMENT == 0 || tunnel && !self.services.policy.pmtu_disc),
        };
        if whole > longest && !may_fragment {
            // RFC 8200 §5: no IPv6 link is narrower than 1280; whoever is told less would fragment down to that.
            let longest = if parsed.v6 { longest.max(IPV6_MTU_MIN) } else { longest };
            return Err((Reason::TooBig, Some(Tell::TooBig(longest as u16))));
        }
        // As recorded: no fragment is longer than the longest that came, unless the family changes on the way.
        let came = came.filter(|_| outer_v6 == parsed.v6);
        let limit = came.map_or(mtu, |came| mtu.min(if outer_v6 { came.max(IPV6_MTU_MIN) } else { came }));
        // And if that lets it through in one piece, it goes so.
        let outer_bytes = outer.map_or(0, |(tunnel, v6)| tunnel.outer_bytes(v6));
        let in_one_piece = came.is_none() && parsed.ip_bytes() + outer_bytes <= mtu;
        // GRE and GUE around another family are put together and cut anew (recorded).
        let crossing = outer.is_some_and(|(tunnel, v6)| tunnel != Tunnel::Ipip && v6 != parsed.v6);
        Ok(Cut { bytes_max: limit as u16, as_it_came: !(in_one_piece || crossing), atomic: came.is_some(), id })
    }
}

/// The longest fragment that a chain came in, IP header included. None: it came in one piece.
fn longest_fragment<F: Frame>(frame: &F, parsed: &Parsed) -> Option<usize> {
    let around = usize::from(parsed.l4 - parsed.l3) + if parsed.v6 { FRAGMENT_HEADER_BYTES } else { 0 };
    let first = frame.bytes().len() - usize::from(parsed.l4);
    let further = frame.segments().skip(1).map(<[u8]>::len).max()?;
    Some(around + further.max(first))
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
