//! ICMP errors that the director makes about a packet it does not forward.
//!
//! ```text
//!  IPv4   | IP src → CIP, TTL 64, TOS 0xc0 | type | code | sum | MTU or 0 | the packet, as much as fits 576 bytes |
//!  IPv6   | IP src → CIP, hops 64          | type | code | sum | MTU or 0 | the packet, as much as fits 1280 bytes |
//! ```
//!
//! The packet is quoted as the caller has it. The kernel quotes a client's packet that is too big with its TTL decremented,
//! and a server's, one that no server takes, or whose TTL ran out, as it came.

use zerocopy::IntoBytes;

use crate::rewrite::room;
use crate::wire::icmp::{is_error_v4, is_error_v6, v4, v6};
use crate::wire::{Icmp, Ipv4, Ipv6, ipv6, protocol};

/// Bytes of the longest error, to be had in `room`.
pub const ERROR_BYTES_MAX: usize = IPV6_BYTES_MAX;

/// RFC 1812, section 4.3.2.3: as much as possible without exceeding 576 bytes.
pub(super) const IPV4_BYTES_MAX: usize = 576;
/// RFC 4443, section 2.4 (c): as much as possible without exceeding the minimum IPv6 MTU.
pub(super) const IPV6_BYTES_MAX: usize = 1280;
/// RFC 1812, section 4.3.2.5: errors go with precedence 6, internetwork control.
pub(super) const INTERNETWORK_CONTROL: u8 = 0xc0;

/// Code of "time exceeded" in both families: while fragments were waited for (RFC 792, RFC 4443, section 3.3).
const REASSEMBLY: u8 = 1;

/// Why a packet is not forwarded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// No hop is left. 11/0, IPv6 3/0.
    TimeExceeded,
    /// Not all fragments came in time. 11/1, IPv6 3/1.
    ReassemblyTimeExceeded,
    /// Nobody listens, or no real server takes the flow. 3/3, IPv6 1/4.
    PortUnreachable,
    /// The next hop does not answer. 3/1, IPv6 1/3.
    HostUnreachable,
    /// No route. 3/0, IPv6 1/0.
    NetworkUnreachable,
    /// The protocol is not spoken here. 3/2, IPv6 parameter problem 4/1 with a pointer to the next header field.
    ProtocolUnreachable,
    /// An administrator forbids it. 3/13, IPv6 1/1.
    Prohibited,
    /// Longer than the path takes in one piece. 3/4 with the MTU (RFC 1191), IPv6 2/0.
    TooBig {
        /// The longest packet that fits.
        mtu: u32,
    },
    /// Another router's error about a tunnel, told to the tunnelled packet's sender with the same type.
    Relayed {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
        /// The four bytes behind the checksum: an MTU, less the tunnel's own header, or 0.
        rest: u32,
    },
}

impl Cause {
    fn message(self, packet: &[u8]) -> Icmp {
        let (kind, code, rest) = match (self, packet[0] >> 4 == 4) {
            (Cause::TimeExceeded, true) => (v4::TIME_EXCEEDED, 0, 0),
            (Cause::TimeExceeded, false) => (v6::TIME_EXCEEDED, 0, 0),
            (Cause::ReassemblyTimeExceeded, true) => (v4::TIME_EXCEEDED, REASSEMBLY, 0),
            (Cause::ReassemblyTimeExceeded, false) => (v6::TIME_EXCEEDED, REASSEMBLY, 0),
            (Cause::PortUnreachable, true) => (v4::UNREACHABLE, v4::PORT, 0),
            (Cause::PortUnreachable, false) => (v6::UNREACHABLE, v6::PORT, 0),
            (Cause::HostUnreachable, true) => (v4::UNREACHABLE, v4::HOST, 0),
            (Cause::HostUnreachable, false) => (v6::UNREACHABLE, v6::ADDRESS, 0),
            (Cause::NetworkUnreachable, true) => (v4::UNREACHABLE, v4::NETWORK, 0),
            (Cause::NetworkUnreachable, false) => (v6::UNREACHABLE, v6::NO_ROUTE, 0),
            (Cause::ProtocolUnreachable, true) => (v4::UNREACHABLE, v4::PROTOCOL, 0),
            (Cause::ProtocolUnreachable, false) => {
                let pointer = ipv6::upper_layer(packet).map_or(6, |at| at.named_at);
                (v6::PARAMETER_PROBLEM, v6::UNKNOWN_NEXT_HEADER, pointer as u32)
            }
            (Cause::Prohibited, true) => (v4::UNREACHABLE, v4::PROHIBITED, 0),
            (Cause::Prohibited, false) => (v6::UNREACHABLE, v6::PROHIBITED, 0),
            // The IPv4 message has 16 bits for the MTU; a longer path never makes one.
            (Cause::TooBig { mtu }, true) => (v4::UNREACHABLE, v4::FRAGMENTATION_NEEDED, mtu.min(0xffff)),
            (Cause::TooBig { mtu }, false) => (v6::TOO_BIG, 0, mtu),
            (Cause::Relayed { kind, code, rest }, _) => (kind, code, rest),
        };
        Icmp::new(kind, code, rest)
    }
}

/// Writes the error that tells the sender of `packet` why it was not forwarded, from `source`, an address of the
/// packet's family, and gives its length. `id` is the IPv4 identification. None if RFCs forbid to answer: see
/// [`may_answer`].
pub fn error(room: &mut [u8], packet: &[u8], cause: Cause, source: &[u8], id: u16) -> Option<usize> {
    if !may_answer(packet) {
        return None;
    }
    let (sender, _) = room::addresses(packet)?;
    let (bytes_max, header_bytes, tos) = match sender.len() {
        // Precedence is replaced, the TOS bits stay.
        4 => (IPV4_BYTES_MAX, Ipv4::BYTES, packet[1] & 0x1e | INTERNETWORK_CONTROL),
        _ => (IPV6_BYTES_MAX, Ipv6::BYTES, 0),
    };
    let quote = &packet[..packet.len().min(bytes_max - header_bytes - Icmp::BYTES)];
    let message = cause.message(packet);
    let header = room::Header { protocol: room::icmp_protocol(sender), tos, dont_fragment: false, id };
    room::write(room, header, source, sender, [message.as_bytes(), quote])
}

/// Whether an error about `packet` may be sent at all (RFC 1122, section 3.2.2; RFC 4443, section 2.4 (e)): never
/// about an ICMP error, a later fragment, a packet from or to a group, or from nobody. That it was not an Ethernet
/// broadcast, and not to a subnet's broadcast address, is for the caller to know.
pub fn may_answer(packet: &[u8]) -> bool {
    let Some((source, destination)) = room::addresses(packet) else { return false };
    if !room::are_answerable(source, destination) {
        return false;
    }
    let (is_icmp, l4, is_later_fragment) = if source.len() == 4 {
        let Some(ip) = Ipv4::of(packet) else { return false };
        (ip.protocol() == protocol::ICMP, ip.header_bytes(), ip.fragment_offset_bytes() != 0)
    } else {
        let Some(at) = ipv6::upper_layer(packet) else { return false };
        let is_later_fragment = at.fragment.is_some_and(|part| part.offset_bytes != 0);
        (at.protocol == protocol::ICMPV6, at.offset, is_later_fragment)
    };
    let is_icmp_error = is_icmp
        && match packet.get(l4) {
            Some(kind) if source.len() == 4 => is_error_v4(*kind),
            Some(kind) => is_error_v6(*kind) || *kind == v6::REDIRECT,
            // Who cannot see the type must take it for an error.
            None => true,
        };
    !is_later_fragment && !is_icmp_error
}
