//! TUN: the client's packet travels unchanged inside one from the director to the real server, which takes it out and
//! answers the client itself. IP in IP (RFC 2003, 4213, 2473), GRE (RFC 2784) or generic UDP encapsulation, each in all
//! four pairs of families.
//!
//! ```text
//!  before                           | IP CIP > VIP | TCP … |
//!  ipip    | IP DIP > RIP           | IP CIP > VIP | TCP … |      protocol 4 or 41
//!  gre     | IP DIP > RIP | GRE     | IP CIP > VIP | TCP … |      protocol 47
//!  gue     | IP DIP > RIP | UDP GUE | IP CIP > VIP | TCP … |      protocol 17
//!            TTL    = inner, after it was decremented
//!            TOS    = inner; CE becomes ECT(0): congestion is the inner packet's story (RFC 3168, section 9.1.1)
//!            DF     = inner IPv4's, if path MTU discovery is on; else clear, and so with IPv6 inside
//!            id     = 0 if DF is set (RFC 6864: nothing will be reassembled), else as given
//!            flow label 0
//!
//!  GRE     | C=checksum | protocol 0800 or 86dd |   checksum | 0   |       4 bytes, 8 with a checksum
//!  UDP GUE | source: the flow's | port | length | checksum | 0 | 4 or 41 | 0 |     8 + 4 bytes
//! ```

use std::fmt;
use zerocopy::IntoBytes;

use crate::wire::checksum;
use crate::wire::{Ipv4, Ipv6, Udp, ethernet, protocol};

/// What a packet travels in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Tunnel {
    /// IP in IP.
    #[default]
    Ipip,
    /// GRE.
    Gre {
        /// With a checksum over header and inner packet.
        csum: bool,
    },
    /// Generic UDP encapsulation.
    Gue {
        /// UDP port at the real server.
        port: u16,
        /// What becomes of UDP's checksum.
        csum: GueChecksum,
    },
}

impl fmt::Display for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tunnel::Ipip => f.write_str("ipip"),
            Tunnel::Gre { csum } => write!(f, "gre{}", if *csum { "+csum" } else { "" }),
            Tunnel::Gue { port, csum } => {
                let csum = match csum {
                    GueChecksum::None => "",
                    GueChecksum::Full => "+csum",
                    GueChecksum::Remote => "+remcsum",
                };
                write!(f, "gue:{port}{csum}")
            }
        }
    }
}

/// The checksum of a GUE tunnel's UDP header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum GueChecksum {
    /// 0: none, in IPv6 too (RFC 6935).
    #[default]
    None,
    /// Over all that it carries.
    Full,
    /// Remote checksum offload. The kernel uses it for packets of its own host that have no checksum yet; what it forwards
    /// has one, and goes with [`GueChecksum::Full`] (recorded).
    Remote,
}

/// UDP's header and GUE's.
const GUE_BYTES: usize = Udp::BYTES + 4;
const GRE_BYTES: usize = 4;
const GRE_CHECKSUM_BYTES: usize = 4;

impl Tunnel {
    /// Bytes between the outer IP header and the inner one.
    pub const fn bytes(self) -> usize {
        match self {
            Tunnel::Ipip => 0,
            Tunnel::Gre { csum: false } => GRE_BYTES,
            Tunnel::Gre { csum: true } => GRE_BYTES + GRE_CHECKSUM_BYTES,
            Tunnel::Gue { .. } => GUE_BYTES,
        }
    }

    /// Bytes that outer header and tunnel header take. An inner packet fits if it is no longer than the path's MTU less
    /// this: at MTU 1500 with IPv4 outside, 1480 for IP in IP, 1476 for GRE, 1468 for GUE; 20 less with IPv6 outside.
    #[inline]
    pub const fn outer_bytes(self, is_outer_ipv6: bool) -> usize {
        (if is_outer_ipv6 { Ipv6::BYTES } else { Ipv4::BYTES }) + self.bytes()
    }

    /// The longest inner packet that goes through a path of that MTU in one piece. It is what "fragmentation needed" says.
    #[inline]
    pub const fn inner_bytes_max(self, path_mtu: usize, is_outer_ipv6: bool) -> usize {
        path_mtu.saturating_sub(self.outer_bytes(is_outer_ipv6))
    }

    fn protocol(self, inner: &Inner) -> u8 {
        match self {
            Tunnel::Ipip => inner.protocol,
            Tunnel::Gre { .. } => protocol::GRE,
            Tunnel::Gue { .. } => protocol::UDP,
        }
    }

    /// Writes the tunnel's header, if it has one, without its checksum, in front of the inner packet. `bytes` is the length of both.
    #[inline(always)]
    fn write(self, header: &mut [u8], bytes: usize, inner: &Inner, source_port: u16) {
        match self {
            Tunnel::Ipip => {}
            Tunnel::Gre { csum } => {
                let kind = if inner.protocol == protocol::IPIP { ethernet::IPV4 } else { ethernet::IPV6 };
                header[..2].copy_from_slice(&if csum { [0x80, 0] } else { [0, 0] });
                header[2..4].copy_from_slice(&kind.to_be_bytes());
                if csum {
                    header[4..8].fill(0);
                }
            }
            Tunnel::Gue { port, .. } => {
                let udp = Udp::new(source_port, port, bytes - Udp::BYTES);
                header[..Udp::BYTES].copy_from_slice(udp.as_bytes());
                header[Udp::BYTES..GUE_BYTES].copy_from_slice(&[0, inner.protocol, 0, 0]);
            }
        }
    }

    /// The checksum of the tunnel's header, and where it belongs: none, if it has none. `l3` begins with the outer IP header,
    /// behind which the tunnel's stands at `at`; `rest` is what lies in further segments.
    pub fn checksum<'a>(self, l3: &'a [u8], at: usize, rest: impl Iterator<Item = &'a [u8]>) -> Option<(usize, u16)> {
        let parts = std::iter::once(l3.get(at..)?).chain(rest);
        match self {
            Tunnel::Gre { csum: true } => {
                let mut sum = checksum::Sum::default();
                parts.for_each(|part| sum.add(part));
                Some((at + GRE_BYTES, sum.checksum()))
            }
            Tunnel::Gue { csum: GueChecksum::Full | GueChecksum::Remote, .. } => {
                let bytes = Udp::of(&l3[at..])?.total_bytes() as u32;
                Some((at + Udp::CHECKSUM_AT, checksum::udp(l3, bytes, parts)))
            }
            _ => None,
        }
    }
}

/// What an outer header is told beside the tunnel.
#[derive(Clone, Copy, Debug)]
pub struct Outer<'a> {
    /// The director's address, of the family of the real server's.
    pub source: &'a [u8],
    /// The real server's.
    pub destination: &'a [u8],
    /// DF is copied from an inner IPv4 header.
    pub pmtu_discovery: bool,
    /// IPv4's id, used if DF stays clear.
    pub id: u16,
    /// GUE's source port: the same for all packets of a flow, so that routers keep them on one path.
    pub source_port: u16,
}

/// Writes the outer headers into the first [`Tunnel::outer_bytes`] of `packet`; the inner packet, with its TTL decremented,
/// follows them, together `total_bytes`, of which some may lie in further segments. A checksum of the tunnel's own is left 0:
/// [`Tunnel::checksum`] gives it. False, and nothing changed, if the inner packet is none, the ends are of two families, or the outer packet
/// would be longer than 65535.
#[inline]
pub fn encapsulate(packet: &mut [u8], total_bytes: usize, tunnel: Tunnel, outer: Outer<'_>) -> bool {
    if let (Ok(source), Ok(destination)) = (outer.source.try_into(), outer.destination.try_into()) {
        let Some(inner) = packet.get(tunnel.outer_bytes(false)..).and_then(Inner::of) else { return false };
        if total_bytes > usize::from(u16::MAX) {
            return false;
        }
        let dont_fragment = inner.dont_fragment && outer.pmtu_discovery;
        let mut header = Ipv4::new(tunnel.protocol(&inner), source, destination, total_bytes - Ipv4::BYTES);
        header.set_tos(inner.tos);
        header.set_ttl(inner.ttl);
        header.set_dont_fragment(dont_fragment);
        header.set_id(if dont_fragment { 0 } else { outer.id });
        header.fill_checksum();
        let (outer_header, rest) = packet.split_at_mut(Ipv4::BYTES);
        outer_header.copy_from_slice(header.as_bytes());
        tunnel.write(rest, total_bytes - Ipv4::BYTES, &inner, outer.source_port);
        true
    } else if let (Ok(source), Ok(destination)) = (outer.source.try_into(), outer.destination.try_into()) {
        let Some(inner) = packet.get(tunnel.outer_bytes(true)..).and_then(Inner::of) else { return false };
        if total_bytes - Ipv6::BYTES > usize::from(u16::MAX) {
            return false;
        }
        let mut header = Ipv6::new(tunnel.protocol(&inner), source, destination, total_bytes - Ipv6::BYTES);
        header.set_traffic_class(inner.tos);
        header.set_hop_limit(inner.ttl);
        let (outer_header, rest) = packet.split_at_mut(Ipv6::BYTES);
        outer_header.copy_from_slice(header.as_bytes());
        tunnel.write(rest, total_bytes - Ipv6::BYTES, &inner, outer.source_port);
        true
    } else {
        false
    }
}

/// The source port of a flow's GUE packets: of Linux's ephemeral range, as the kernel takes it. `hash` is the flow's.
#[inline]
pub fn source_port(hash: u64) -> u16 {
    const FIRST: u64 = 32_768;
    const COUNT: u64 = 28_232;
    (FIRST + hash % COUNT) as u16
}

/// What an outer header takes over from the inner packet.
struct Inner {
    protocol: u8,
    tos: u8,
    ttl: u8,
    dont_fragment: bool,
}

impl Inner {
    #[inline]
    fn of(packet: &[u8]) -> Option<Inner> {
        match packet.first()? >> 4 {
            4 => {
                let ip = Ipv4::of(packet)?;
                let tos = outer_tos(ip.tos());
                Some(Inner { protocol: protocol::IPIP, tos, ttl: ip.ttl(), dont_fragment: ip.dont_fragment() })
            }
            6 => {
                let ip = Ipv6::of(packet)?;
                let tos = outer_tos(ip.traffic_class());
                Some(Inner { protocol: protocol::IPV6, tos, ttl: ip.hop_limit(), dont_fragment: false })
            }
            _ => None,
        }
    }
}

/// DSCP and ECN of an outer header. An inner CE mark travels inside; outside, the tunnel's routers begin with ECT(0).
#[inline]
fn outer_tos(inner: u8) -> u8 {
    const CONGESTION_EXPERIENCED: u8 = 0b11;
    const CAPABLE_0: u8 = 0b10;
    if inner & 0b11 == CONGESTION_EXPERIENCED { inner & !0b11 | CAPABLE_0 } else { inner }
}

/// Where the inner packet begins in a tunnel packet, perhaps a quoted and so shortened one. None if it is no tunnel packet,
/// or if so little of the inner one is there that nobody could tell its flow. Whether a UDP
/// packet to `is_gue`'s ports is one of ours only the caller knows.
pub fn inner_at(outer: &[u8], is_gue: impl Fn(u16) -> bool) -> Option<usize> {
    let (kind, at) = match outer.first()? >> 4 {
        4 => {
            let ip = Ipv4::of(outer)?;
            // The first fragment of a tunnel packet tells all (recorded).
            let is_start = ip.fragment_offset_bytes() == 0 && ip.header_bytes() >= Ipv4::BYTES;
            (ip.protocol(), is_start.then_some(ip.header_bytes())?)
        }
        6 => (Ipv6::of(outer)?.next_header(), Ipv6::BYTES),
        _ => return None,
    };
    let (inner_protocol, at) = match kind {
        protocol::IPIP | protocol::IPV6 => (kind, at),
        protocol::GRE => gre_inner(outer, at)?,
        protocol::UDP => gue_inner(outer, at, is_gue)?,
        _ => return None,
    };
    let inner = outer.get(at..)?;
    // Of IPv4 the ports are enough (recorded).
    let (version, header_bytes, needed) = match inner_protocol {
        protocol::IPIP => (4, Ipv4::of(inner)?.header_bytes(), 4),
        protocol::IPV6 => (6, Ipv6::BYTES, 8),
        _ => return None,
    };
    (inner.first()? >> 4 == version && inner.len() >= header_bytes + needed).then_some(at)
}

/// RFC 2784: no key, no sequence number, no routing.
fn gre_inner(outer: &[u8], at: usize) -> Option<(u8, usize)> {
    let [flags, version, kind @ ..] = *outer.get(at..)?.first_chunk::<4>()?;
    let bytes = match (flags, version) {
        (0, 0) => GRE_BYTES,
        (0x80, 0) => GRE_BYTES + GRE_CHECKSUM_BYTES,
        _ => return None,
    };
    match u16::from_be_bytes(kind) {
        ethernet::IPV4 => Some((protocol::IPIP, at + bytes)),
        ethernet::IPV6 => Some((protocol::IPV6, at + bytes)),
        _ => None,
    }
}

/// A data message of version 0; its length field counts words of optional fields.
fn gue_inner(outer: &[u8], at: usize, is_gue: impl Fn(u16) -> bool) -> Option<(u8, usize)> {
    let udp = Udp::of(outer.get(at..)?)?;
    let [first, protocol, ..] = *outer.get(at + Udp::BYTES..)?.first_chunk::<4>()?;
    let is_data = first & 0xe0 == 0;
    (is_data && is_gue(udp.destination_port())).then(|| (protocol, at + GUE_BYTES + 4 * usize::from(first & 0x1f)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::build::Frame;

    const DIRECTOR: [u8; 4] = [172, 16, 0, 1];
    const SERVER: [u8; 4] = [172, 16, 0, 2];

    fn outer(destination: &[u8], pmtu_discovery: bool) -> Outer<'_> {
        Outer { source: &DIRECTOR, destination, pmtu_discovery, id: 0x098b, source_port: 53_255 }
    }

    /// Outer headers of the kernel's tunnels (recorded in tun_ipip/udp and tun_ipip_to_v4/tcp_odd).
    #[test]
    fn outer_headers_are_the_kernels() {
        let client = || Frame::between("10.1.2.3", "10.99.0.1").ttl(63);
        let plain = client().udp(20002, 80, &[0x71; 20]);
        let marked = client().tos(0x03).udp(20002, 80, &[0x71; 33]);
        let fragmentable = client().dont_fragment(false).udp(20002, 80, &[0x71; 20]);
        let six = Frame::between("fd10::1", "fd99::1").ttl(63).tcp((1, 2), (3, 4), 0x12, &[]);
        let rows: [(&str, Vec<u8>, bool, [u8; 12]); 5] = [
            ("DF", plain.clone(), true, [0x45, 0, 0, 0x44, 0, 0, 0x40, 0, 0x3f, 4, 0xe3, 0x92]),
            ("CE becomes ECT(0)", marked, true, [0x45, 2, 0, 0x51, 0, 0, 0x40, 0, 0x3f, 4, 0xe3, 0x83]),
            ("DF clear", fragmentable, true, [0x45, 0, 0, 0x44, 0x09, 0x8b, 0, 0, 0x3f, 4, 0x1a, 0x08]),
            ("no path MTU discovery", plain, false, [0x45, 0, 0, 0x44, 0x09, 0x8b, 0, 0, 0x3f, 4, 0x1a, 0x08]),
            ("IPv6 inside", six, true, [0x45, 0, 0, 0x50, 0x09, 0x8b, 0, 0, 0x3f, 41, 0x19, 0xd7]),
        ];
        for (name, frame, pmtu_discovery, expect) in rows {
            let mut packet = [&[0; 20], &frame[14..]].concat();
            let total = packet.len();
            assert!(encapsulate(&mut packet, total, Tunnel::Ipip, outer(&SERVER, pmtu_discovery)), "{name}");
            assert_eq!(packet[..12], expect, "{name}");
            assert_eq!(packet[20..], frame[14..], "{name}");
        }
    }

    #[test]
    fn what_cannot_be_carried_is_refused() {
        let mut inner = Frame::between("10.1.2.3", "10.99.0.1").udp(1, 2, &[0; 65507])[14..].to_vec();
        assert_eq!(inner.len(), 65535);
        inner.splice(0..0, [0; 20]);
        assert!(!encapsulate(&mut inner, 65555, Tunnel::Ipip, outer(&SERVER, true)), "65555 bytes");
        assert!(!encapsulate(&mut [0; 60], 60, Tunnel::Ipip, outer(&SERVER, true)), "no IP packet");
        assert!(!encapsulate(&mut [0x45; 60], 60, Tunnel::Ipip, outer(&[0xfd; 16], true)), "ends of two families");
        assert!(!encapsulate(&mut [0x45; 30], 30, Tunnel::Ipip, outer(&SERVER, true)), "cut off");
    }

    #[test]
    fn the_longest_inner_packet_fits_the_path() {
        let gue = Tunnel::Gue { port: 6080, csum: GueChecksum::None };
        for (tunnel, mtu, is_outer_ipv6, expect) in [
            (Tunnel::Ipip, 1500, false, 1480),
            (Tunnel::Ipip, 1500, true, 1460),
            (Tunnel::Ipip, 1400, false, 1380),
            (Tunnel::Ipip, 10, true, 0),
            (Tunnel::Gre { csum: false }, 1500, false, 1476),
            (Tunnel::Gre { csum: true }, 1500, true, 1452),
            (gue, 1500, false, 1468),
            (gue, 1500, true, 1448),
        ] {
            assert_eq!(tunnel.inner_bytes_max(mtu, is_outer_ipv6), expect, "{tunnel:?}");
        }
    }

    /// Recorded in tun_gre/udp, tun_gre_csum/udp, tun_gue/udp, tun_gue_remcsum/udp.
    #[test]
    fn tunnel_headers_are_the_kernels() {
        let inner = Frame::between("10.1.2.3", "10.99.0.1").id(0x1234).ttl(63).udp(20002, 80, &[0x71; 20]);
        let gue = |csum| Tunnel::Gue { port: 6080, csum };
        let rows: [(Tunnel, &[u8], &[u8]); 5] = [
            (Tunnel::Gre { csum: false }, &[0x3f, 47, 0xe3, 0x63], &[0, 0, 8, 0]),
            (Tunnel::Gre { csum: true }, &[0x3f, 47, 0xe3, 0x5f], &[0x80, 0, 8, 0, 0x8e, 0x94, 0, 0]),
            (gue(GueChecksum::None), &[0x3f, 17, 0xe3, 0x79], &[0xd0, 7, 0x17, 0xc0, 0, 0x3c, 0, 0, 0, 4, 0, 0]),
            (gue(GueChecksum::Full), &[0x3f, 17, 0xe3, 0x79], &[0xd0, 7, 0x17, 0xc0, 0, 0x3c, 0xd6, 0x1b, 0, 4, 0, 0]),
            (
                gue(GueChecksum::Remote),
                &[0x3f, 17, 0xe3, 0x79],
                &[0xd0, 7, 0x17, 0xc0, 0, 0x3c, 0xd6, 0x1b, 0, 4, 0, 0],
            ),
        ];
        for (tunnel, ip, header) in rows {
            let mut packet = [&vec![0; tunnel.outer_bytes(false)], &inner[14..]].concat();
            let total = packet.len();
            let ends = Outer { source_port: 0xd007, ..outer(&SERVER, true) };
            assert!(encapsulate(&mut packet, total, tunnel, ends), "{tunnel:?}");
            if let Some((at, sum)) = tunnel.checksum(&packet, 20, std::iter::empty()) {
                packet[at..at + 2].copy_from_slice(&sum.to_be_bytes());
            }
            assert_eq!((&packet[8..12], &packet[20..20 + header.len()]), (ip, header), "{tunnel:?}");
            assert_eq!(inner_at(&packet, |port| port == 6080), Some(tunnel.outer_bytes(false)), "{tunnel:?}");
            // Of its 28 bytes behind the IP header the ports are there, and then not all of them.
            for (cut, expect) in [(24, Some(tunnel.outer_bytes(false))), (25, None)] {
                assert_eq!(inner_at(&packet[..packet.len() - cut], |_| true), expect, "{tunnel:?} without {cut} bytes");
            }
        }
    }
}
