//! The IPv6 header and the way past its extension headers (RFC 8200).

use std::net::Ipv6Addr;

use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::protocol;

/// Extension headers that are walked before a packet counts as absurd: a chain costs the director, not its sender.
pub const EXTENSIONS_MAX: usize = 8;

/// The IPv6 header; extension headers may follow it.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
pub struct Ipv6 {
    version_class_label: U32,
    payload_length: U16,
    next_header: u8,
    hop_limit: u8,
    source: [u8; 16],
    destination: [u8; 16],
}

view!(Ipv6, 40);

impl Ipv6 {
    /// A header with hop limit 64, traffic class 0, flow label 0.
    pub fn new(next_header: u8, source: [u8; 16], destination: [u8; 16], payload_bytes: usize) -> Ipv6 {
        Ipv6 {
            version_class_label: 0x6000_0000.into(),
            payload_length: (payload_bytes as u16).into(),
            next_header,
            hop_limit: 64,
            source,
            destination,
        }
    }

    /// 6, if it is one.
    #[inline]
    pub fn version(&self) -> u8 {
        (self.version_class_label.get() >> 28) as u8
    }

    /// DSCP and ECN.
    #[inline]
    pub fn traffic_class(&self) -> u8 {
        (self.version_class_label.get() >> 20) as u8
    }

    /// Flow label, 20 bits.
    #[inline]
    pub fn flow_label(&self) -> u32 {
        self.version_class_label.get() & 0x000f_ffff
    }

    /// What follows this header, extension headers included, in bytes.
    #[inline]
    pub fn payload_bytes(&self) -> usize {
        self.payload_length.get().into()
    }

    /// Header and payload, in bytes.
    #[inline]
    pub fn total_bytes(&self) -> usize {
        Ipv6::BYTES + self.payload_bytes()
    }

    /// What follows: see [`protocol`]. Possibly an extension header: [`upper_layer`] walks them.
    #[inline]
    pub fn next_header(&self) -> u8 {
        self.next_header
    }

    /// Hops that are left.
    #[inline]
    pub fn hop_limit(&self) -> u8 {
        self.hop_limit
    }

    /// Source address.
    #[inline]
    pub fn source(&self) -> Ipv6Addr {
        self.source.into()
    }

    /// Destination address.
    #[inline]
    pub fn destination(&self) -> Ipv6Addr {
        self.destination.into()
    }

    /// Source address, as the bytes that keys are made of.
    #[inline]
    pub fn source_bytes(&self) -> &[u8; 16] {
        &self.source
    }

    /// Destination address, as the bytes that keys are made of.
    #[inline]
    pub fn destination_bytes(&self) -> &[u8; 16] {
        &self.destination
    }

    /// Sets DSCP and ECN.
    #[inline]
    pub fn set_traffic_class(&mut self, class: u8) {
        let word = self.version_class_label.get() & !0x0ff0_0000 | u32::from(class) << 20;
        self.version_class_label = word.into();
    }

    /// Sets the flow label, of which the low 20 bits count.
    #[inline]
    pub fn set_flow_label(&mut self, label: u32) {
        let word = self.version_class_label.get() & !0x000f_ffff | label & 0x000f_ffff;
        self.version_class_label = word.into();
    }

    /// Sets the hops that are left.
    #[inline]
    pub fn set_hop_limit(&mut self, hops: u8) {
        self.hop_limit = hops;
    }

    /// Sets the length of what follows this header.
    #[inline]
    pub fn set_payload_bytes(&mut self, bytes: usize) {
        self.payload_length = (bytes as u16).into();
    }
}

/// Where the extension headers end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UpperLayer {
    /// What is there: TCP, UDP, ICMPv6, or what the walk does not know.
    pub protocol: u8,
    /// Where it begins, from the first byte of the IPv6 header.
    pub offset: usize,
    /// Where the byte is that names it, for an ICMPv6 parameter problem.
    pub named_at: usize,
    /// It is a part of a packet. If it is not the first part, `offset` points at payload, not at a header.
    pub fragment: Option<Fragment>,
}

/// What a fragment header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fragment {
    /// Identification, for reassembly.
    pub id: u32,
    /// Where the part begins in the fragmentable part, in bytes.
    pub offset_bytes: usize,
    /// Whether parts follow.
    pub more: bool,
}

/// Walks the extension headers of the packet at the front of `l3`. None if one is cut off or there are more than
/// [`EXTENSIONS_MAX`]. The walk ends behind the header of a later fragment, whose next bytes are payload.
///
/// A fragment header that says "all of it" (RFC 6946, an atomic fragment) is passed like any extension header.
#[inline]
pub fn upper_layer(l3: &[u8]) -> Option<UpperLayer> {
    let mut at = UpperLayer { protocol: Ipv6::of(l3)?.next_header, offset: Ipv6::BYTES, named_at: 6, fragment: None };
    for _ in 0..=EXTENSIONS_MAX {
        let length = match at.protocol {
            protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION_OPTIONS => {
                8 + 8 * usize::from(*l3.get(at.offset + 1)?)
            }
            // RFC 4302, section 2.2: in words of four bytes, less two.
            protocol::AUTHENTICATION => 8 + 4 * usize::from(*l3.get(at.offset + 1)?),
            protocol::FRAGMENT => 8,
            _ => return Some(at),
        };
        let extension = l3.get(at.offset..at.offset + length)?;
        if at.protocol == protocol::FRAGMENT {
            let word = u16::from_be_bytes([extension[2], extension[3]]);
            let id = u32::from_be_bytes([extension[4], extension[5], extension[6], extension[7]]);
            let part = Fragment { id, offset_bytes: usize::from(word & !7), more: word & 1 != 0 };
            if part.more || part.offset_bytes != 0 {
                at.fragment = Some(part);
            }
        }
        (at.protocol, at.named_at) = (extension[0], at.offset);
        at.offset += length;
        if at.fragment.is_some_and(|part| part.offset_bytes != 0) {
            return Some(at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(next_header: u8, rest: &[u8]) -> Vec<u8> {
        let header = Ipv6::new(next_header, [0xfd; 16], [0xfe; 16], rest.len());
        [header.as_bytes(), rest].concat()
    }

    #[test]
    fn fields_lie_where_the_wire_has_them() {
        let mut bytes = packet(17, &[0; 9]);
        bytes[..4].copy_from_slice(&[0x6a, 0xb4, 0xe6, 0x4b]);
        let header = Ipv6::of_mut(&mut bytes).unwrap();
        assert_eq!((header.version(), header.traffic_class(), header.flow_label()), (6, 0xab, 0x4e64b));
        assert_eq!((header.payload_bytes(), header.total_bytes(), header.hop_limit()), (9, 49, 64));
        header.set_traffic_class(0x1c);
        header.set_flow_label(0xfff0_0001);
        assert_eq!(bytes[..4], [0x61, 0xc0, 0x00, 0x01]);
    }

    #[test]
    fn extension_headers_are_walked() {
        let hop = [protocol::FRAGMENT, 0, 1, 4, 0, 0, 0, 0];
        let fragment = |word: u16| {
            let [high, low] = word.to_be_bytes();
            [protocol::UDP, 0, high, low, 0, 0, 0, 7]
        };
        let part = |offset_bytes, more| Some(Fragment { id: 7, offset_bytes, more });
        let options16 = [6, 1, 1, 4, 0, 0, 0, 0, 1, 4, 0, 0, 0, 0, 0, 0];
        let rows = [
            ("none", packet(6, &[]), Some((6, 40, 6, None))),
            ("options of 16 bytes", packet(60, &options16), Some((6, 56, 40, None))),
            ("options cut off", packet(60, &options16[..15]), None),
            ("first fragment", packet(0, &[hop, fragment(1)].concat()), Some((17, 56, 48, part(0, true)))),
            ("later fragment", packet(44, &fragment(0x5a8)), Some((17, 48, 40, part(1448, false)))),
            ("atomic fragment", packet(44, &fragment(0)), Some((17, 48, 40, None))),
            ("authentication", packet(51, &[17, 4, 0, 0].repeat(6)), Some((17, 64, 40, None))),
            ("endless", packet(0, &[0; 8 * 12]), None),
        ];
        for (name, bytes, expect) in rows {
            let found = upper_layer(&bytes).map(|at| (at.protocol, at.offset, at.named_at, at.fragment));
            assert_eq!(found, expect, "{name}");
        }
    }
}
