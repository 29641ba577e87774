//! Ethernet II. No VLAN tags: a tagged frame has an ether type that nobody here serves, and is counted as such.

use std::fmt;
use std::str::FromStr;

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Ether type of IPv4.
pub const IPV4: u16 = 0x0800;
/// Ether type of ARP.
pub const ARP: u16 = 0x0806;
/// Ether type of a frame with an 802.1Q tag.
pub const VLAN: u16 = 0x8100;
/// Ether type of IPv6.
pub const IPV6: u16 = 0x86dd;

/// A hardware address.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// All stations.
    pub const BROADCAST: Mac = Mac([0xff; 6]);
    /// No address, as in an ARP request's target.
    pub const ZERO: Mac = Mac([0; 6]);

    /// A group address: broadcast or multicast.
    pub fn is_group(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// The group address of an IPv6 multicast address (RFC 2464, section 7).
    pub fn of_ipv6_group(group: [u8; 16]) -> Mac {
        Mac([0x33, 0x33, group[12], group[13], group[14], group[15]])
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Mac {
    type Err = String;

    fn from_str(text: &str) -> Result<Mac, String> {
        let wrong =
            || format!("hardware address {text:?}: must be six bytes in hexadecimal, such as 02:00:00:00:00:01");
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().ok_or_else(wrong)?;
            let is_hex = (1..=2).contains(&part.len()) && part.bytes().all(|c| c.is_ascii_hexdigit());
            *byte = u8::from_str_radix(part, 16).ok().filter(|_| is_hex).ok_or_else(wrong)?;
        }
        if parts.next().is_some() { Err(wrong()) } else { Ok(Mac(bytes)) }
    }
}

/// The Ethernet header.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
pub struct Ethernet {
    destination: Mac,
    source: Mac,
    ether_type: U16,
}

view!(Ethernet, 14);

impl Ethernet {
    /// A header to be put in front of a packet.
    pub fn new(destination: Mac, source: Mac, ether_type: u16) -> Ethernet {
        Ethernet { destination, source, ether_type: ether_type.into() }
    }

    /// Whom it is for.
    #[inline]
    pub fn destination(&self) -> Mac {
        self.destination
    }

    /// Who sent it.
    #[inline]
    pub fn source(&self) -> Mac {
        self.source
    }

    /// What follows: [`IPV4`], [`IPV6`], [`ARP`].
    #[inline]
    pub fn ether_type(&self) -> u16 {
        self.ether_type.get()
    }

    /// Addresses the frame to a station.
    #[inline]
    pub fn set_destination(&mut self, mac: Mac) {
        self.destination = mac;
    }

    /// Says who sends the frame.
    #[inline]
    pub fn set_source(&mut self, mac: Mac) {
        self.source = mac;
    }

    /// Says what follows.
    #[inline]
    pub fn set_ether_type(&mut self, ether_type: u16) {
        self.ether_type = ether_type.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_addresses_as_text() {
        for (text, expect) in [
            ("02:00:00:0c:00:fe", Some(Mac([2, 0, 0, 0x0c, 0, 0xfe]))),
            ("2:0:0:c:0:FE", Some(Mac([2, 0, 0, 0x0c, 0, 0xfe]))),
            ("02:00:00:0c:00", None),
            ("02:00:00:0c:00:fe:01", None),
            ("02:00:00:0c:00:+f", None),
            ("02:00:00:0c:00:1fe", None),
            ("", None),
        ] {
            assert_eq!(text.parse::<Mac>().ok(), expect, "{text:?}");
        }
        assert_eq!(Mac([2, 0, 0, 0x0c, 0, 0xfe]).to_string(), "02:00:00:0c:00:fe");
    }

    #[test]
    fn fields_lie_where_the_wire_has_them() {
        let frame = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 7, 0x08, 0x06, 0];
        let header = Ethernet::of(&frame).unwrap();
        assert_eq!(header.destination(), Mac::BROADCAST);
        assert!(header.destination().is_group() && !header.source().is_group());
        assert_eq!((header.source(), header.ether_type()), (Mac([2, 0, 0, 0, 0, 7]), ARP));
        assert!(Ethernet::of(&frame[..13]).is_none());
    }
}
