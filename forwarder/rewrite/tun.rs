//! TUN by IP in IP: the client's packet travels unchanged inside one from the director to the real server, which
//! takes it out and answers the client itself. All four pairs of families: IPv4 in IPv4 (RFC 2003), IPv6 in IPv4 (RFC
//! 4213), both in IPv6 (RFC 2473).
//!
//! ```text
//!  before                     | IP CIP > VIP | TCP … |
//!  after   | IP DIP > RIP     | IP CIP > VIP | TCP … |
//!            protocol 4 or 41
//!            TTL    = inner, after it was decremented
//!            TOS    = inner; CE becomes ECT(0): congestion is the inner packet's story (RFC 3168, section 9.1.1)
//!            DF     = inner IPv4's, if path MTU discovery is on; else clear, and so with IPv6 inside
//!            id     = 0 if DF is set (RFC 6864: nothing will be reassembled), else as given
//!            flow label 0
//! ```

use zerocopy::IntoBytes;

use crate::wire::{Ipv4, Ipv6, protocol};

/// Bytes that an outer header takes. An inner packet fits if it is no longer than the path's MTU less this: at MTU
/// 1500, 1480 to an IPv4 real server and 1460 to an IPv6 one.
#[inline]
pub const fn outer_bytes(is_outer_ipv6: bool) -> usize {
    if is_outer_ipv6 { Ipv6::BYTES } else { Ipv4::BYTES }
}

/// The longest inner packet that goes through a path of that MTU in one piece. It is what "fragmentation needed" says.
#[inline]
pub const fn inner_bytes_max(path_mtu: usize, is_outer_ipv6: bool) -> usize {
    path_mtu.saturating_sub(outer_bytes(is_outer_ipv6))
}

/// Writes the outer header into the first [`outer_bytes`] of `packet`; the inner packet, with its TTL decremented,
/// follows them, together `total_bytes`, of which some may lie in further segments. Source and destination are the director's and the real server's addresses, of one family, which is
/// the outer header's. `id` is used if DF stays clear. False, and nothing changed, if the inner packet is none or the
/// outer one would be longer than 65535.
#[inline]
pub fn encapsulate(
    packet: &mut [u8],
    total_bytes: usize,
    source: &[u8],
    destination: &[u8],
    pmtu_discovery: bool,
    id: u16,
) -> bool {
    if let (Ok(source), Ok(destination)) = (source.try_into(), destination.try_into()) {
        let Some((outer, inner)) = packet.split_first_chunk_mut::<{ Ipv4::BYTES }>() else { return false };
        let Some(inner) = Inner::of(inner) else { return false };
        if total_bytes > usize::from(u16::MAX) {
            return false;
        }
        let dont_fragment = inner.dont_fragment && pmtu_discovery;
        let mut header = Ipv4::new(inner.protocol, source, destination, total_bytes - Ipv4::BYTES);
        header.set_tos(inner.tos);
        header.set_ttl(inner.ttl);
        header.set_dont_fragment(dont_fragment);
        header.set_id(if dont_fragment { 0 } else { id });
        header.fill_checksum();
        outer.copy_from_slice(header.as_bytes());
        true
    } else if let (Ok(source), Ok(destination)) = (source.try_into(), destination.try_into()) {
        let Some((outer, inner)) = packet.split_first_chunk_mut::<{ Ipv6::BYTES }>() else { return false };
        let Some(inner) = Inner::of(inner) else { return false };
        if total_bytes - Ipv6::BYTES > usize::from(u16::MAX) {
            return false;
        }
        let mut header = Ipv6::new(inner.protocol, source, destination, total_bytes - Ipv6::BYTES);
        header.set_traffic_class(inner.tos);
        header.set_hop_limit(inner.ttl);
        outer.copy_from_slice(header.as_bytes());
        true
    } else {
        false
    }
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

/// Where the inner packet begins in a tunnel packet, perhaps a quoted and so shortened one. None if it is no whole
/// IP-in-IP packet, or if less than a header and eight bytes of the inner one is there, so that nobody could tell its
/// flow.
pub fn inner_at(outer: &[u8]) -> Option<usize> {
    let (protocol, at) = match outer.first()? >> 4 {
        4 => {
            let ip = Ipv4::of(outer)?;
            (ip.protocol(), (!ip.is_fragment() && ip.header_bytes() >= Ipv4::BYTES).then_some(ip.header_bytes())?)
        }
        6 => (Ipv6::of(outer)?.next_header(), Ipv6::BYTES),
        _ => return None,
    };
    let inner = outer.get(at..)?;
    let (version, header_bytes) = match protocol {
        protocol::IPIP => (4, Ipv4::of(inner)?.header_bytes()),
        protocol::IPV6 => (6, Ipv6::BYTES),
        _ => return None,
    };
    (inner.first()? >> 4 == version && inner.len() >= header_bytes + 8).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::build::Frame;

    const DIRECTOR: [u8; 4] = [172, 16, 0, 1];
    const SERVER: [u8; 4] = [172, 16, 0, 2];

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
            assert!(encapsulate(&mut packet, total, &DIRECTOR, &SERVER, pmtu_discovery, 0x098b), "{name}");
            assert_eq!(packet[..12], expect, "{name}");
            assert_eq!(packet[20..], frame[14..], "{name}");
        }
    }

    #[test]
    fn what_cannot_be_carried_is_refused() {
        let mut inner = Frame::between("10.1.2.3", "10.99.0.1").udp(1, 2, &[0; 65507])[14..].to_vec();
        assert_eq!(inner.len(), 65535);
        inner.splice(0..0, [0; 20]);
        assert!(!encapsulate(&mut inner, 65555, &DIRECTOR, &SERVER, true, 0), "65555 bytes");
        assert!(!encapsulate(&mut [0; 60], 60, &DIRECTOR, &SERVER, true, 0), "no IP packet");
        assert!(!encapsulate(&mut [0x45; 60], 60, &DIRECTOR, &[0xfd; 16], true, 0), "ends of two families");
        assert!(!encapsulate(&mut [0x45; 30], 30, &DIRECTOR, &SERVER, true, 0), "cut off");
    }

    #[test]
    fn the_longest_inner_packet_fits_the_path() {
        for (mtu, is_outer_ipv6, expect) in
            [(1500, false, 1480), (1500, true, 1460), (1400, false, 1380), (10, true, 0)]
        {
            assert_eq!(inner_bytes_max(mtu, is_outer_ipv6), expect);
        }
    }
}
