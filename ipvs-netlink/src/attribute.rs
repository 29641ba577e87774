//! Netlink attributes: a length, a type and a value each, padded to four bytes, some of them nested.
//!
//! ```text
//!   0        2        4                       length           padded to 4
//!   ┌────────┬────────┬────────────────────────┬ ─ ─ ─ ─ ─ ─ ─┐
//!   │ length │ type   │ value                  │ zeros
//!   └────────┴────────┴────────────────────────┴ ─ ─ ─ ─ ─ ─ ─┘
//! ```
//!
//! Numbers are in host order but where the protocol says otherwise. Attributes behind one that is cut off are not looked at, and of two
//! with one type the last counts: so does the kernel.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_core::{DefaultNla, Emitable, NlasIterator};
use rustix::io::Errno;

use crate::service::Family;

/// The attributes of one nest, by type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attributes<'a> {
    bytes: &'a [u8],
}

impl<'a> Attributes<'a> {
    pub fn new(bytes: &'a [u8]) -> Attributes<'a> {
        Attributes { bytes }
    }

    /// The value of an attribute, if it is there.
    pub fn get(&self, kind: u16) -> Option<&'a [u8]> {
        let whole = NlasIterator::new(self.bytes).map_while(Result::ok);
        let last = whole.filter(|attribute| attribute.kind() == kind).last()?;
        let length = usize::from(last.length());
        last.into_inner().get(HEADER_BYTES..length)
    }

    pub fn need(&self, kind: u16) -> Result<&'a [u8], Errno> {
        self.get(kind).ok_or(Errno::INVAL)
    }

    /// The attributes inside one.
    pub fn nest(&self, kind: u16) -> Result<Attributes<'a>, Errno> {
        self.need(kind).map(Attributes::new)
    }

    /// The first bytes of a value; longer ones are cut.
    fn array<const N: usize>(&self, kind: u16) -> Result<[u8; N], Errno> {
        self.need(kind)?.first_chunk().copied().ok_or(Errno::INVAL)
    }

    pub fn u8(&self, kind: u16) -> Result<u8, Errno> {
        self.array(kind).map(u8::from_ne_bytes)
    }

    pub fn u16(&self, kind: u16) -> Result<u16, Errno> {
        self.array(kind).map(u16::from_ne_bytes)
    }

    /// In network order.
    pub fn port(&self, kind: u16) -> Result<u16, Errno> {
        self.array(kind).map(u16::from_be_bytes)
    }

    pub fn u32(&self, kind: u16) -> Result<u32, Errno> {
        self.array(kind).map(u32::from_ne_bytes)
    }

    /// In network order.
    pub fn u32_be(&self, kind: u16) -> Result<u32, Errno> {
        self.array(kind).map(u32::from_be_bytes)
    }

    /// Two numbers side by side.
    pub fn u32_pair(&self, kind: u16) -> Result<[u32; 2], Errno> {
        let bytes: [u8; 8] = self.array(kind)?;
        let [a, b, c, d, e, f, g, h] = bytes;
        Ok([u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f, g, h])])
    }

    /// An address of this family. One of IPv4 is in the first four of sixteen bytes, or of four.
    pub fn address(&self, kind: u16, family: Family) -> Result<IpAddr, Errno> {
        Ok(match family {
            Family::V4 => Ipv4Addr::from(self.array::<4>(kind)?).into(),
            Family::V6 => Ipv6Addr::from(self.array::<16>(kind)?).into(),
        })
    }

    /// A text that ends with a zero, of at most `bytes_max` bytes.
    pub fn text(&self, kind: u16, bytes_max: usize) -> Result<&'a str, Errno> {
        let value = self.need(kind)?;
        let end = value.iter().position(|byte| *byte == 0).ok_or(Errno::INVAL)?;
        if end > bytes_max {
            return Err(Errno::RANGE);
        }
        std::str::from_utf8(&value[..end]).map_err(|_| Errno::INVAL)
    }
}

/// Length and type.
const HEADER_BYTES: usize = 4;

/// Attributes to be sent.
#[derive(Debug, Default)]
pub(crate) struct Made(Vec<u8>);

impl Made {
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn put(mut self, kind: u16, value: Vec<u8>) -> Made {
        let attribute = DefaultNla::new(kind, value);
        let start = self.0.len();
        self.0.resize(start + attribute.buffer_len(), 0);
        attribute.emit(&mut self.0[start..]);
        self
    }

    pub fn u8(self, kind: u16, value: u8) -> Made {
        self.put(kind, vec![value])
    }

    pub fn u16(self, kind: u16, value: u16) -> Made {
        self.put(kind, value.to_ne_bytes().to_vec())
    }

    pub fn port(self, kind: u16, value: u16) -> Made {
        self.put(kind, value.to_be_bytes().to_vec())
    }

    pub fn u32(self, kind: u16, value: u32) -> Made {
        self.put(kind, value.to_ne_bytes().to_vec())
    }

    pub fn u32_be(self, kind: u16, value: u32) -> Made {
        self.put(kind, value.to_be_bytes().to_vec())
    }

    pub fn u32_pair(self, kind: u16, [first, second]: [u32; 2]) -> Made {
        self.put(kind, [first.to_ne_bytes(), second.to_ne_bytes()].concat())
    }

    pub fn u64(self, kind: u16, value: u64) -> Made {
        self.put(kind, value.to_ne_bytes().to_vec())
    }

    /// Always sixteen bytes.
    pub fn address(self, kind: u16, address: IpAddr) -> Made {
        let mut bytes = match address {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        bytes.resize(16, 0);
        self.put(kind, bytes)
    }

    pub fn text(self, kind: u16, text: &str) -> Made {
        self.put(kind, [text.as_bytes(), &[0]].concat())
    }

    pub fn nest(self, kind: u16, inside: Made) -> Made {
        self.put(kind, inside.0)
    }
}
