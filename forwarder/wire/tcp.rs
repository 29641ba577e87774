//! The TCP header (RFC 9293, section 3.1).

use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// No more data from the sender.
pub const FIN: u8 = 0x01;
/// Synchronise sequence numbers.
pub const SYN: u8 = 0x02;
/// The connection is gone.
pub const RST: u8 = 0x04;
/// Push.
pub const PSH: u8 = 0x08;
/// The acknowledgement number means something.
pub const ACK: u8 = 0x10;
/// Urgent pointer means something.
pub const URG: u8 = 0x20;

/// The fixed part of a TCP header; options follow it.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
pub struct Tcp {
    source_port: U16,
    destination_port: U16,
    sequence: U32,
    acknowledgement: U32,
    data_offset: u8,
    flags: u8,
    window: U16,
    checksum: U16,
    urgent: U16,
}

view!(Tcp, 20);

impl Tcp {
    /// Where the checksum lies, from the header's first byte.
    pub const CHECKSUM_AT: usize = 16;

    /// A header without options, window 0, without checksum.
    pub fn new(source_port: u16, destination_port: u16, sequence: u32, acknowledgement: u32, flags: u8) -> Tcp {
        Tcp {
            source_port: source_port.into(),
            destination_port: destination_port.into(),
            sequence: sequence.into(),
            acknowledgement: acknowledgement.into(),
            data_offset: 5 << 4,
            flags,
            window: 0.into(),
            checksum: 0.into(),
            urgent: 0.into(),
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

    /// Sequence number of the first byte.
    #[inline]
    pub fn sequence(&self) -> u32 {
        self.sequence.get()
    }

    /// The next sequence number that the sender expects; means something with [`ACK`].
    #[inline]
    pub fn acknowledgement(&self) -> u32 {
        self.acknowledgement.get()
    }

    /// Length with options, in bytes: 20 to 60 in a valid header.
    #[inline]
    pub fn header_bytes(&self) -> usize {
        usize::from(self.data_offset >> 4) * 4
    }

    /// [`SYN`], [`ACK`], …
    #[inline]
    pub fn flags(&self) -> u8 {
        self.flags
    }

    /// Receive window, not scaled.
    #[inline]
    pub fn window(&self) -> u16 {
        self.window.get()
    }

    /// The checksum as it stands.
    #[inline]
    pub fn checksum(&self) -> u16 {
        self.checksum.get()
    }

    /// Sets the receive window.
    pub fn set_window(&mut self, window: u16) {
        self.window = window.into();
    }

    /// Sets the length with options.
    pub fn set_header_bytes(&mut self, bytes: usize) {
        self.data_offset = ((bytes / 4) as u8) << 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_lie_where_the_wire_has_them() {
        let segment = [
            0x4e, 0x21, 0x00, 0x50, 0x00, 0x00, 0x03, 0xe8, 0x00, 0x00, 0x01, 0xf5, 0xa0, 0x12, 0xff, 0xfe, 0xe1, 0x46,
            0, 0,
        ];
        let tcp = Tcp::of(&segment).unwrap();
        assert_eq!((tcp.source_port(), tcp.destination_port()), (20001, 80));
        assert_eq!((tcp.sequence(), tcp.acknowledgement()), (1000, 501));
        assert_eq!((tcp.header_bytes(), tcp.flags(), tcp.window(), tcp.checksum()), (40, SYN | ACK, 0xfffe, 0xe146));
    }
}
