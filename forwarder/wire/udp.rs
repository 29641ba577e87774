//! The UDP header (RFC 768).

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The UDP header.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
pub struct Udp {
    source_port: U16,
    destination_port: U16,
    length: U16,
    checksum: U16,
}

view!(Udp, 8);

impl Udp {
    /// Where the checksum lies, from the header's first byte.
    pub const CHECKSUM_AT: usize = 6;

    /// A header without checksum.
    pub fn new(source_port: u16, destination_port: u16, payload_bytes: usize) -> Udp {
        Udp {
            source_port: source_port.into(),
            destination_port: destination_port.into(),
            length: ((Udp::BYTES + payload_bytes) as u16).into(),
            checksum: 0.into(),
        }
    }

    /// Source port.
    #[inline]
    pub fn source_port(&self) -> u16 {
        self.source_port.get()
    }

    /// Destination port.
    #[inline]
    pub fn destination_port(&self) -> u16 {
        self.destination_port.get()
    }

    /// Header and payload, in bytes, as the sender says.
    #[inline]
    pub fn total_bytes(&self) -> usize {
        self.length.get().into()
    }

    /// The checksum as it stands; 0 is "none".
    #[inline]
    pub fn checksum(&self) -> u16 {
        self.checksum.get()
    }
}
