//! A flow's 5-tuple, of either family, as it stands in a packet's headers.
//!
//! Plain data of 40 bytes: a burst of keys lies in one array. Addresses keep the network's byte order, ports the host's.
//! An IPv4 key uses the first eight address bytes and leaves the others zero, so that hashing and comparing it touch two words.
//!
//! ```text
//!  IPv4  | src 4 | dst 4 |            zero 24            | sport 2 | dport 2 | protocol | family | zero 2 |
//!  IPv6  |        src 16         |        dst 16         | sport 2 | dport 2 | protocol | family | zero 2 |
//! ```

use std::fmt;
use std::net::IpAddr;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Source, destination, ports and protocol of one direction of a flow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(8))]
pub struct Key {
    pub(crate) addresses: [u8; 32],
    pub(crate) ports: [u16; 2],
    pub(crate) protocol: u8,
    pub(crate) family: u8,
    zero: [u8; 2],
}

const V4: u8 = 4;
const V6: u8 = 6;

impl Key {
    /// A key of IPv4 header fields.
    #[inline(always)]
    pub fn v4(src: [u8; 4], dst: [u8; 4], sport: u16, dport: u16, protocol: u8) -> Key {
        let mut addresses = [0; 32];
        addresses[..4].copy_from_slice(&src);
        addresses[4..8].copy_from_slice(&dst);
        Key { addresses, ports: [sport, dport], protocol, family: V4, zero: [0; 2] }
    }

    /// A key of IPv6 header fields.
    #[inline(always)]
    pub fn v6(src: [u8; 16], dst: [u8; 16], sport: u16, dport: u16, protocol: u8) -> Key {
        let mut addresses = [0; 32];
        addresses[..16].copy_from_slice(&src);
        addresses[16..].copy_from_slice(&dst);
        Key { addresses, ports: [sport, dport], protocol, family: V6, zero: [0; 2] }
    }

    /// A key of two endpoints of one family; `None` when the families differ.
    pub fn of(src: (IpAddr, u16), dst: (IpAddr, u16), protocol: u8) -> Option<Key> {
        match (src.0, dst.0) {
            (IpAddr::V4(s), IpAddr::V4(d)) => Some(Key::v4(s.octets(), d.octets(), src.1, dst.1, protocol)),
            (IpAddr::V6(s), IpAddr::V6(d)) => Some(Key::v6(s.octets(), d.octets(), src.1, dst.1, protocol)),
            _ => None,
        }
    }

    pub(crate) fn from_pairs(v6: bool, v4_pair: &[u8; 8], v6_pair: &[u8; 32], ports: [u16; 2], protocol: u8) -> Key {
        let mut addresses = [0; 32];
        if v6 {
            addresses = *v6_pair;
        } else {
            addresses[..8].copy_from_slice(v4_pair);
        }
        Key { addresses, ports, protocol, family: if v6 { V6 } else { V4 }, zero: [0; 2] }
    }

    /// Whether the addresses are IPv6.
    #[inline(always)]
    pub fn is_v6(&self) -> bool {
        self.family == V6
    }

    /// The source address.
    pub fn src(&self) -> IpAddr {
        address(self.src_bytes())
    }

    /// The destination address.
    pub fn dst(&self) -> IpAddr {
        address(self.dst_bytes())
    }

    /// The source address as it stands in the header: 4 or 16 bytes.
    #[inline(always)]
    pub fn src_bytes(&self) -> &[u8] {
        if self.is_v6() { &self.addresses[..16] } else { &self.addresses[..4] }
    }

    /// The destination address as it stands in the header: 4 or 16 bytes.
    #[inline(always)]
    pub fn dst_bytes(&self) -> &[u8] {
        if self.is_v6() { &self.addresses[16..] } else { &self.addresses[4..8] }
    }

    /// The source port.
    #[inline(always)]
    pub fn sport(&self) -> u16 {
        self.ports[0]
    }

    /// The destination port.
    #[inline(always)]
    pub fn dport(&self) -> u16 {
        self.ports[1]
    }

    /// The IP protocol number.
    #[inline(always)]
    pub fn protocol(&self) -> u8 {
        self.protocol
    }

    /// The same key with another destination port: what the probe for a free local port tries one after another.
    #[inline(always)]
    #[must_use]
    pub fn with_dport(mut self, dport: u16) -> Key {
        self.ports[1] = dport;
        self
    }

    /// The key of a packet that goes the other way.
    #[must_use]
    pub fn reversed(&self) -> Key {
        let half = if self.is_v6() { 16 } else { 4 };
        let mut turned = *self;
        turned.addresses[..half].copy_from_slice(self.dst_bytes());
        turned.addresses[half..2 * half].copy_from_slice(self.src_bytes());
        turned.ports = [self.ports[1], self.ports[0]];
        turned
    }
}

/// The address in `bytes`, which are 4 or 16.
pub(crate) fn address(bytes: &[u8]) -> IpAddr {
    match <[u8; 4]>::try_from(bytes) {
        Ok(four) => IpAddr::from(four),
        Err(_) => IpAddr::from(<[u8; 16]>::try_from(bytes).expect("an address has 4 or 16 bytes")),
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} > {}:{} protocol {}", self.src(), self.sport(), self.dst(), self.dport(), self.protocol)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    #[test]
    fn both_ways_of_building_agree() {
        let built = Key::of(("10.0.0.1".parse().unwrap(), 1), ("10.0.0.2".parse().unwrap(), 2), 6).unwrap();
        assert_eq!(built, Key::v4([10, 0, 0, 1], [10, 0, 0, 2], 1, 2, 6));
        let src: Ipv6Addr = "2001:db8::1".parse().unwrap();
        let dst: Ipv6Addr = "2001:db8::2".parse().unwrap();
        let built = Key::of((src.into(), 1), (dst.into(), 2), 17).unwrap();
        assert_eq!(built, Key::v6(src.octets(), dst.octets(), 1, 2, 17));
        assert_eq!((built.src(), built.dst()), (src.into(), dst.into()));
        assert!(Key::of((src.into(), 1), ("10.0.0.2".parse().unwrap(), 2), 17).is_none());
    }

    #[test]
    fn reversing_exchanges_the_ends() {
        let key = Key::v4([10, 0, 0, 1], [10, 0, 0, 2], 1, 2, 6);
        assert_eq!(key.reversed(), Key::v4([10, 0, 0, 2], [10, 0, 0, 1], 2, 1, 6));
        let key = Key::v6([1; 16], [2; 16], 1, 2, 6);
        assert_eq!(key.reversed(), Key::v6([2; 16], [1; 16], 2, 1, 6));
    }
}
