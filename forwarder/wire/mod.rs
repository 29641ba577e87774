//! Headers as they are on the wire. A view is laid over the bytes and its methods speak host order: this folder is
//! the one border between network order and ours. Views do not judge: whether lengths agree is classify's question.
//!
//! ```text
//!  frame  | Ethernet 14 | IPv4 20..60 or IPv6 40 + extensions | TCP 20..60, UDP 8, ICMP 8 | payload | padding |
//!                       ^ l3                                  ^ l3 + l4
//! ```

/// Gives a view its length and its two ways to be laid over the front of some bytes.
macro_rules! view {
    ($name:ident, $bytes:literal) => {
        const _: () = assert!(size_of::<$name>() == $bytes);

        impl $name {
            /// Length on the wire, in bytes.
            pub const BYTES: usize = $bytes;

            /// The header at the front of `bytes`; none if they are shorter than it.
            #[inline]
            pub fn of(bytes: &[u8]) -> Option<&Self> {
                Self::ref_from_prefix(bytes).ok().map(|(view, _)| view)
            }

            /// The header at the front of `bytes`, to be written; none if they are shorter than it.
            #[inline]
            pub fn of_mut(bytes: &mut [u8]) -> Option<&mut Self> {
                Self::mut_from_prefix(bytes).ok().map(|(view, _)| view)
            }
        }
    };
}

pub mod arp;
pub mod build;
pub mod checksum;
pub mod describe;
pub mod ethernet;
pub mod icmp;
pub mod ipv4;
pub mod ipv6;
pub mod nd;
pub mod tcp;
pub mod udp;

pub use arp::Arp;
pub use describe::{describe, excerpt};
pub use ethernet::{Ethernet, Mac};
pub use icmp::Icmp;
pub use ipv4::Ipv4;
pub use ipv6::Ipv6;
pub use tcp::Tcp;
pub use udp::Udp;

/// IP protocol numbers (IPv6: next header values) that the director knows.
pub mod protocol {
    /// IPv6 hop-by-hop options.
    pub const HOP_BY_HOP: u8 = 0;
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// GRE.
    pub const GRE: u8 = 47;
    /// IPv4 in IP (RFC 2003, RFC 2473).
    pub const IPIP: u8 = 4;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// IPv6 in IP (RFC 4213, RFC 2473).
    pub const IPV6: u8 = 41;
    /// IPv6 routing header.
    pub const ROUTING: u8 = 43;
    /// IPv6 fragment header.
    pub const FRAGMENT: u8 = 44;
    /// IPv6 authentication header.
    pub const AUTHENTICATION: u8 = 51;
    /// ICMPv6.
    pub const ICMPV6: u8 = 58;
    /// IPv6 "nothing follows".
    pub const NO_NEXT_HEADER: u8 = 59;
    /// IPv6 destination options.
    pub const DESTINATION_OPTIONS: u8 = 60;
    /// SCTP.
    pub const SCTP: u8 = 132;
}
