//! ICMP (RFC 792) and ICMPv6 (RFC 4443): eight bytes that look alike in both, then the packet that an error is about.

use zerocopy::byteorder::network_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// ICMP message types and codes.
pub mod v4 {
    /// Echo reply.
    pub const ECHO_REPLY: u8 = 0;
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 3;
    /// Code of unreachable: no route.
    pub const NETWORK: u8 = 0;
    /// Code of unreachable: the next hop does not answer.
    pub const HOST: u8 = 1;
    /// Code of unreachable: the host does not speak the protocol.
    pub const PROTOCOL: u8 = 2;
    /// Code of unreachable: nobody listens.
    pub const PORT: u8 = 3;
    /// Code of unreachable: too big for the next link, and must not be fragmented (RFC 1191).
    pub const FRAGMENTATION_NEEDED: u8 = 4;
    /// Code of unreachable: an administrator forbids it (RFC 1812).
    pub const PROHIBITED: u8 = 13;
    /// Source quench; obsolete, still an error.
    pub const SOURCE_QUENCH: u8 = 4;
    /// Redirect.
    pub const REDIRECT: u8 = 5;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 8;
    /// Time exceeded.
    pub const TIME_EXCEEDED: u8 = 11;
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: u8 = 12;
}

/// ICMPv6 message types and codes.
pub mod v6 {
    /// Destination unreachable.
    pub const UNREACHABLE: u8 = 1;
    /// Code of unreachable: no route.
    pub const NO_ROUTE: u8 = 0;
    /// Code of unreachable: an administrator forbids it.
    pub const PROHIBITED: u8 = 1;
    /// Code of unreachable: the next hop does not answer.
    pub const ADDRESS: u8 = 3;
    /// Code of unreachable: nobody listens.
    pub const PORT: u8 = 4;
    /// Packet too big.
    pub const TOO_BIG: u8 = 2;
    /// Time exceeded.
    pub const TIME_EXCEEDED: u8 = 3;
    /// Parameter problem.
    pub const PARAMETER_PROBLEM: u8 = 4;
    /// Code of parameter problem: unknown next header.
    pub const UNKNOWN_NEXT_HEADER: u8 = 1;
    /// Code of parameter problem: unknown option.
    pub const UNKNOWN_OPTION: u8 = 2;
    /// Echo request.
    pub const ECHO_REQUEST: u8 = 128;
    /// Echo reply.
    pub const ECHO_REPLY: u8 = 129;
    /// Router solicitation, the first of the neighbour discovery messages (RFC 4861).
    pub const ROUTER_SOLICITATION: u8 = 133;
    /// Router advertisement.
    pub const ROUTER_ADVERTISEMENT: u8 = 134;
    /// Neighbour solicitation.
    pub const NEIGHBOR_SOLICITATION: u8 = 135;
    /// Neighbour advertisement.
    pub const NEIGHBOR_ADVERTISEMENT: u8 = 136;
    /// Redirect, the last of the neighbour discovery messages.
    pub const REDIRECT: u8 = 137;
}

/// The first eight bytes of an ICMP or ICMPv6 message.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
pub struct Icmp {
    kind: u8,
    code: u8,
    checksum: [u8; 2],
    rest: U32,
}

view!(Icmp, 8);

impl Icmp {
    /// Where the checksum lies, from the header's first byte.
    pub const CHECKSUM_AT: usize = 2;

    /// A message without checksum.
    pub fn new(kind: u8, code: u8, rest: u32) -> Icmp {
        Icmp { kind, code, checksum: [0; 2], rest: rest.into() }
    }

    /// The message type: see [`v4`] and [`v6`].
    #[inline]
    pub fn kind(&self) -> u8 {
        self.kind
    }

    /// What kind of the type.
    #[inline]
    pub fn code(&self) -> u8 {
        self.code
    }

    /// The checksum as it stands.
    #[inline]
    pub fn checksum(&self) -> u16 {
        u16::from_be_bytes(self.checksum)
    }

    /// The four bytes whose meaning depends on the type: identifier and sequence number, MTU, pointer.
    #[inline]
    pub fn rest(&self) -> u32 {
        self.rest.get()
    }

    /// Identifier of an echo.
    #[inline]
    pub fn identifier(&self) -> u16 {
        (self.rest() >> 16) as u16
    }

    /// Sequence number of an echo.
    #[inline]
    pub fn sequence(&self) -> u16 {
        self.rest() as u16
    }

    /// The MTU of an ICMP "fragmentation needed" (RFC 1191: the low half; 0 from routers that do not know it).
    #[inline]
    pub fn mtu_v4(&self) -> u16 {
        self.rest() as u16
    }

    /// The MTU of an ICMPv6 "packet too big".
    #[inline]
    pub fn mtu_v6(&self) -> u32 {
        self.rest()
    }

    /// Whether it is an ICMP error, and so followed by the packet it is about.
    #[inline]
    pub fn is_error_v4(&self) -> bool {
        is_error_v4(self.kind)
    }

    /// Whether it is an ICMPv6 error, and so followed by the packet it is about.
    #[inline]
    pub fn is_error_v6(&self) -> bool {
        is_error_v6(self.kind)
    }
}

/// Whether an ICMP type is an error's (RFC 1122, section 3.2.2).
#[inline]
pub fn is_error_v4(kind: u8) -> bool {
    matches!(kind, v4::UNREACHABLE | v4::SOURCE_QUENCH | v4::REDIRECT | v4::TIME_EXCEEDED | v4::PARAMETER_PROBLEM)
}

/// Whether an ICMPv6 type is an error's (RFC 4443, section 2.1: the high bit is clear).
#[inline]
pub fn is_error_v6(kind: u8) -> bool {
    kind < 128
}
