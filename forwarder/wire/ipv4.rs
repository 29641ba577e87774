//! The IPv4 header (RFC 791).

use std::net::Ipv4Addr;

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::checksum;

/// Flag "don't fragment" of the word that also holds the fragment offset.
pub const DONT_FRAGMENT: u16 = 0x4000;
/// Flag "more fragments" of the same word.
pub const MORE_FRAGMENTS: u16 = 0x2000;

/// The fixed part of an IPv4 header; options follow it.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
pub struct Ipv4 {
    version_ihl: u8,
    tos: u8,
    total_length: U16,
    id: U16,
    flags_offset: U16,
    ttl: u8,
    protocol: u8,
    checksum: [u8; 2],
    source: [u8; 4],
    destination: [u8; 4],
}

view!(Ipv4, 20);

impl Ipv4 {
    /// A header without options, TTL 64, no flags, id 0; the checksum is still to be filled.
    pub fn new(protocol: u8, source: [u8; 4], destination: [u8; 4], payload_bytes: usize) -> Ipv4 {
        Ipv4 {
            version_ihl: 0x45,
            tos: 0,
            total_length: ((Ipv4::BYTES + payload_bytes) as u16).into(),
            id: 0.into(),
            flags_offset: 0.into(),
            ttl: 64,
            protocol,
            checksum: [0; 2],
            source,
            destination,
        }
    }

    /// 4, if it is one.
    #[inline]
    pub fn version(&self) -> u8 {
        self.version_ihl >> 4
    }

    /// Length with options, in bytes: 20 to 60 in a valid header.
    #[inline]
    pub fn header_bytes(&self) -> usize {
        usize::from(self.version_ihl & 0x0f) * 4
    }

    /// DSCP and ECN.
    #[inline]
    pub fn tos(&self) -> u8 {
        self.tos
    }

    /// Header and payload, in bytes.
    #[inline]
    pub fn total_bytes(&self) -> usize {
        self.total_length.get().into()
    }

    /// Identification, for reassembly.
    #[inline]
    pub fn id(&self) -> u16 {
        self.id.get()
    }

    /// Whether routers must not fragment it.
    #[inline]
    pub fn dont_fragment(&self) -> bool {
        self.flags_offset.get() & DONT_FRAGMENT != 0
    }

    /// Whether fragments follow this one.
    #[inline]
    pub fn more_fragments(&self) -> bool {
        self.flags_offset.get() & MORE_FRAGMENTS != 0
    }

    /// Where the fragment's payload begins in the whole payload, in bytes.
    #[inline]
    pub fn fragment_offset_bytes(&self) -> usize {
        usize::from(self.flags_offset.get() & 0x1fff) * 8
    }

    /// Whether it is only a part of a packet.
    #[inline]
    pub fn is_fragment(&self) -> bool {
        self.flags_offset.get() & (MORE_FRAGMENTS | 0x1fff) != 0
    }

    /// Hops that are left.
    #[inline]
    pub fn ttl(&self) -> u8 {
        self.ttl
    }

    /// What the payload is: see [`protocol`](super::protocol).
    #[inline]
    pub fn protocol(&self) -> u8 {
        self.protocol
    }

    /// The header checksum as it stands.
    #[inline]
    pub fn checksum(&self) -> u16 {
        u16::from_be_bytes(self.checksum)
    }

    /// Source address.
    #[inline]
    pub fn source(&self) -> Ipv4Addr {
        self.source.into()
    }

    /// Destination address.
    #[inline]
    pub fn destination(&self) -> Ipv4Addr {
        self.destination.into()
    }

    /// Source address, as the bytes that keys are made of.
    #[inline]
    pub fn source_bytes(&self) -> &[u8; 4] {
        &self.source
    }

    /// Destination address, as the bytes that keys are made of.
    #[inline]
    pub fn destination_bytes(&self) -> &[u8; 4] {
        &self.destination
    }

    /// Sets DSCP and ECN.
    #[inline]
    pub fn set_tos(&mut self, tos: u8) {
        self.tos = tos;
    }

    /// Sets the whole packet's length.
    #[inline]
    pub fn set_total_bytes(&mut self, bytes: usize) {
        self.total_length = (bytes as u16).into();
    }

    /// Sets the identification.
    #[inline]
    pub fn set_id(&mut self, id: u16) {
        self.id = id.into();
    }

    /// Makes it a whole packet that may, or may not, be fragmented on its way.
    #[inline]
    pub fn set_dont_fragment(&mut self, dont_fragment: bool) {
        self.flags_offset = if dont_fragment { DONT_FRAGMENT } else { 0 }.into();
    }

    /// Makes it a fragment whose payload begins there. Whether it may be fragmented further stays.
    #[inline]
    pub fn set_fragment(&mut self, offset_bytes: usize, more: bool) {
        let flags = self.flags_offset.get() & DONT_FRAGMENT | if more { MORE_FRAGMENTS } else { 0 };
        self.flags_offset = (flags | (offset_bytes / 8) as u16).into();
    }

    /// Sets the hops that are left.
    #[inline]
    pub fn set_ttl(&mut self, ttl: u8) {
        self.ttl = ttl;
    }

    /// Computes the checksum of a header without options.
    #[inline]
    pub fn fill_checksum(&mut self) {
        self.checksum = [0; 2];
        self.checksum = checksum::of(self.as_bytes()).to_be_bytes();
    }
}

/// Whether the header at the front of `l3`, with its options, has the right checksum.
pub fn checksum_is_right(l3: &[u8]) -> bool {
    let length = Ipv4::of(l3).map_or(0, Ipv4::header_bytes);
    length >= Ipv4::BYTES && l3.get(..length).is_some_and(|header| checksum::of(header) == 0)
}

/// Computes the checksum of the header at the front of `l3`, with its options.
pub fn fill_checksum(l3: &mut [u8]) {
    let length = Ipv4::of(l3).map_or(0, Ipv4::header_bytes).max(Ipv4::BYTES);
    if let Some(header) = l3.get_mut(..length) {
        header[10..12].fill(0);
        let checksum = checksum::of(header);
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A UDP packet that the kernel sent, with one of its NOP NOP NOP EOL options.
    const HEADER: [u8; 24] = [
        0x46, 0x00, 0x00, 0x34, 0x12, 0x34, 0x40, 0x00, 0x40, 0x11, 0x0f, 0x1d, 0x0a, 0x01, 0x02, 0x03, 0x0a, 0x63,
        0x00, 0x01, 0x01, 0x01, 0x01, 0x00,
    ];

    #[test]
    fn fields_lie_where_the_wire_has_them() {
        let header = Ipv4::of(&HEADER).unwrap();
        assert_eq!((header.version(), header.header_bytes(), header.total_bytes()), (4, 24, 52));
        assert_eq!((header.id(), header.ttl(), header.protocol(), header.checksum()), (0x1234, 64, 17, 0x0f1d));
        assert!(header.dont_fragment() && !header.more_fragments() && !header.is_fragment());
        assert_eq!(header.source(), Ipv4Addr::new(10, 1, 2, 3));
        assert_eq!(header.destination(), Ipv4Addr::new(10, 99, 0, 1));
    }

    #[test]
    fn checksum_covers_the_options() {
        assert!(checksum_is_right(&HEADER));
        let mut header = HEADER;
        header[23] = 1;
        assert!(!checksum_is_right(&header));
        fill_checksum(&mut header);
        assert!(checksum_is_right(&header));
        assert!(!checksum_is_right(&HEADER[..22]), "an option is cut off");
    }

    #[test]
    fn fragments_are_told_apart() {
        for (word, more, offset_bytes, fragment) in [
            (0x4000u16, false, 0, false),
            (0x2000, true, 0, true),
            (0x2001, true, 8, true),
            (0x1fff, false, 65528, true),
            (0x0000, false, 0, false),
        ] {
            let mut bytes = HEADER;
            bytes[6..8].copy_from_slice(&word.to_be_bytes());
            let header = Ipv4::of(&bytes).unwrap();
            let found = (header.more_fragments(), header.fragment_offset_bytes(), header.is_fragment());
            assert_eq!(found, (more, offset_bytes, fragment), "{word:04x}");
        }
    }
}
