//! Netlink messages: a header each, several to a datagram, padded to four bytes.
//!
//! ```text
//!   0         4      6       8          12      16      17        18       20
//!   ┌─────────┬──────┬───────┬──────────┬───────┬───────┬─────────┬────────┬────────────┐
//!   │ length  │ type │ flags │ sequence │ port  │ cmd   │ version │ 0      │ attributes │
//!   └─────────┴──────┴───────┴──────────┴───────┴───────┴─────────┴────────┴────────────┘
//!    └──────────── netlink header ─────────────┘ └─ generic netlink ──────┘
//! ```
//!
//! The ACK of a request that has a reply is a packet of its own: libnl reads no further than the reply it waits for, drops the rest
//! of the datagram and would wait for the ACK for ever.

use netlink_packet_core::{
    Emitable, NLM_F_ACK, NLM_F_CAPPED, NLM_F_DUMP, NLM_F_MULTIPART, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR,
    NetlinkBuffer, NetlinkHeader,
};
use rustix::io::Errno;

use crate::attribute::{Attributes, Made};
use crate::family::NEWFAMILY;

/// The longest datagram that is taken.
pub const DATAGRAM_BYTES_MAX: usize = 65_536;
/// Types below are netlink's own: they ask for nothing.
const TYPE_MIN: u16 = 0x10;
const NETLINK_HEADER_LEN: usize = 16;
const GENERIC_HEADER_LEN: usize = 4;
/// As the kernel says it in all its replies.
const GENERIC_VERSION: u8 = 1;
const CONTROLLER_VERSION: u8 = 2;

/// A request as it came: its header, and all of its bytes without padding.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    pub kind: u16,
    flags: u16,
    sequence: u32,
    port: u32,
    bytes: &'a [u8],
}

impl<'a> Message<'a> {
    /// The message at the front of a datagram, and where the next one begins. None: there is no whole one.
    pub fn first(datagram: &'a [u8]) -> Option<(Message<'a>, usize)> {
        let buffer = NetlinkBuffer::new_checked(datagram).ok()?;
        let length = buffer.length() as usize;
        let message = Message {
            kind: buffer.message_type(),
            flags: buffer.flags(),
            sequence: buffer.sequence_number(),
            port: buffer.port_number(),
            bytes: datagram.get(..length)?,
        };
        Some((message, padded(length).min(datagram.len())))
    }

    /// Does it ask for anything?
    pub fn is_request(&self) -> bool {
        self.flags & NLM_F_REQUEST != 0 && self.kind >= TYPE_MIN
    }

    pub fn wants_dump(&self) -> bool {
        self.flags & NLM_F_DUMP == NLM_F_DUMP
    }

    pub fn wants_ack(&self) -> bool {
        self.flags & NLM_F_ACK != 0
    }

    /// Command and attributes of generic netlink.
    pub fn generic(&self) -> Result<(u8, Attributes<'a>), Errno> {
        let body = self.bytes.get(NETLINK_HEADER_LEN..).unwrap_or_default();
        let (header, attributes) = body.split_at_checked(GENERIC_HEADER_LEN).ok_or(Errno::INVAL)?;
        Ok((header[0], Attributes::new(attributes)))
    }

    /// Where answers to it go.
    pub fn asker(&self) -> Asker {
        Asker { kind: self.kind, sequence: self.sequence, port: self.port }
    }

    /// Refuses it: the error, then the whole request.
    pub fn refuse(&self, error: Errno, out: &mut Vec<u8>) {
        self.asker().put(NLMSG_ERROR, 0, &[&(-error.raw_os_error()).to_ne_bytes(), self.bytes], out);
    }

    /// Says that it was done: no error, then the request's header.
    pub fn acknowledge(&self, out: &mut Vec<u8>) {
        let header = &self.bytes[..NETLINK_HEADER_LEN];
        self.asker().put(NLMSG_ERROR, NLM_F_CAPPED, &[&0i32.to_ne_bytes(), header], out);
    }
}

/// Whom an answer is for: who sent a request echoes in it what he was told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    kind: u16,
    sequence: u32,
    port: u32,
}

impl Asker {
    /// Appends a reply.
    pub fn reply(&self, command: u8, attributes: &Made, out: &mut Vec<u8>) {
        self.put(self.kind, 0, &[&[command, GENERIC_VERSION, 0, 0], attributes.bytes()], out);
    }

    /// Appends the controller's reply, which has a version of its own.
    pub fn reply_of_controller(&self, attributes: &Made, out: &mut Vec<u8>) {
        self.put(self.kind, 0, &[&[NEWFAMILY, CONTROLLER_VERSION, 0, 0], attributes.bytes()], out);
    }

    /// Appends one of several replies.
    pub fn part(&self, command: u8, attributes: &Made, out: &mut Vec<u8>) {
        self.put(self.kind, NLM_F_MULTIPART, &[&[command, GENERIC_VERSION, 0, 0], attributes.bytes()], out);
    }

    /// Says that all replies have been sent.
    pub fn done(&self, out: &mut Vec<u8>) {
        self.put(NLMSG_DONE, NLM_F_MULTIPART, &[&0i32.to_ne_bytes()], out);
    }

    fn put(&self, kind: u16, flags: u16, parts: &[&[u8]], out: &mut Vec<u8>) {
        put(header(kind, flags, self.sequence, self.port), parts, out);
    }
}

/// Appends a request to the family, which wants an ACK.
pub(crate) fn put_request(kind: u16, sequence: u32, command: u8, attributes: &Made, out: &mut Vec<u8>) {
    let header = header(kind, NLM_F_REQUEST | NLM_F_ACK, sequence, 0);
    put(header, &[&[command, GENERIC_VERSION, 0, 0], attributes.bytes()], out);
}

fn header(kind: u16, flags: u16, sequence: u32, port: u32) -> NetlinkHeader {
    let mut header = NetlinkHeader::default();
    (header.message_type, header.flags) = (kind, flags);
    (header.sequence_number, header.port_number) = (sequence, port);
    header
}

fn put(mut header: NetlinkHeader, parts: &[&[u8]], out: &mut Vec<u8>) {
    let start = out.len();
    let length = NETLINK_HEADER_LEN + parts.iter().map(|part| part.len()).sum::<usize>();
    header.length = length as u32;
    out.resize(start + NETLINK_HEADER_LEN, 0);
    header.emit(&mut out[start..]);
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out.resize(start + padded(length), 0);
}

fn padded(length: usize) -> usize {
    length.saturating_add(3) & !3
}
