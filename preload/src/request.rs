//! The little of netlink that must be understood here: does a datagram ask for the family "IPVS", and does one end an answer?
//! Pure functions on bytes that may be anything; `tests/request.rs` gives them anything.
//!
//! ```text
//!  0       4      6       8     12    16       20                              host order
//!  | len   | type | flags | seq | pid | genl: command, version, 0 | attributes: len, type, value, padding to 4
//! ```

/// Bytes of nlmsghdr.
pub const HEADER_BYTES: usize = 16;
/// So much of a request is looked at. One that asks for a family's id has 32 bytes.
pub const LOOKED_AT_BYTES: usize = 128;

const TYPE_ERROR: u16 = 2;
const TYPE_DONE: u16 = 3;
/// GENL_ID_CTRL. Of route netlink it is RTM_NEWLINK: who asks must know which protocol the socket speaks.
const TYPE_CONTROLLER: u16 = 0x10;
const COMMAND_GETFAMILY: u8 = 3;
const ATTRIBUTE_FAMILY_NAME: u16 = 2;
/// Without the bits for "nested" and "network order".
const ATTRIBUTE_TYPE_MASK: u16 = 0x3fff;
const ATTRIBUTES_AT: usize = 20;
const FLAG_MULTI: u16 = 2;
const FLAG_ACK: u16 = 4;
const FLAG_DUMP: u16 = 0x300;
const FLAG_CAPPED: u16 = 0x100;

/// The header of a request that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header(pub [u8; HEADER_BYTES]);

impl Header {
    /// Of the first message of a datagram.
    pub fn of(datagram: &[u8]) -> Option<Header> {
        datagram.first_chunk().copied().map(Header)
    }

    /// As it is kept in two words.
    pub fn halves(self) -> [u64; 2] {
        let Header(bytes) = self;
        let half =
            |at: usize| bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().map_or(0, u64::from_ne_bytes);
        [half(0), half(8)]
    }

    /// The other way.
    pub fn from_halves([first, second]: [u64; 2]) -> Header {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&first.to_ne_bytes());
        bytes[8..].copy_from_slice(&second.to_ne_bytes());
        Header(bytes)
    }

    fn kind(self) -> u16 {
        u16_at(&self.0, 4).unwrap_or(0)
    }

    fn flags(self) -> u16 {
        u16_at(&self.0, 6).unwrap_or(0)
    }

    fn sequence(self) -> u32 {
        u32_at(&self.0, 8).unwrap_or(0)
    }

    /// Whether it is for the controller, which tells families' ids.
    pub fn is_for_controller(self) -> bool {
        self.kind() == TYPE_CONTROLLER
    }

    /// Whether this received datagram has the last that will be said about the request: an error or acknowledgement, the end of a
    /// dump, or the one message of a request that wanted no acknowledgement.
    pub fn is_answered_by(self, datagram: &[u8]) -> bool {
        let one_message = self.flags() & FLAG_ACK == 0 && self.flags() & FLAG_DUMP != FLAG_DUMP;
        let mut rest = datagram;
        while let Some(header) = Header::of(rest) {
            if header.sequence() == self.sequence() {
                let ends = matches!(header.kind(), TYPE_ERROR | TYPE_DONE);
                if ends || (one_message && header.flags() & FLAG_MULTI == 0) {
                    return true;
                }
            }
            let length = u32_at(rest, 0).unwrap_or(0) as usize;
            match rest.get(padded(length)..) {
                Some(next) if length >= HEADER_BYTES => rest = next,
                _ => return false,
            }
        }
        false
    }

    /// The NLMSG_ERROR that answers it: a header with its sequence number and port, the error, its own header again.
    pub fn refused(self, errno: i32) -> [u8; 36] {
        let mut message = [0; 36];
        message[0..4].copy_from_slice(&36u32.to_ne_bytes());
        message[4..6].copy_from_slice(&TYPE_ERROR.to_ne_bytes());
        message[6..8].copy_from_slice(&FLAG_CAPPED.to_ne_bytes());
        message[8..16].copy_from_slice(&self.0[8..16]);
        message[16..20].copy_from_slice(&errno.wrapping_neg().to_ne_bytes());
        message[20..36].copy_from_slice(&self.0);
        message
    }
}

/// Whether the datagram is CTRL_CMD_GETFAMILY with the name "IPVS".
pub fn asks_for_ipvs(datagram: &[u8]) -> bool {
    let Some(header) = Header::of(datagram) else { return false };
    if !header.is_for_controller() || datagram.get(HEADER_BYTES) != Some(&COMMAND_GETFAMILY) {
        return false;
    }
    let length = (u32_at(datagram, 0).unwrap_or(0) as usize).min(datagram.len());
    let mut rest = datagram.get(ATTRIBUTES_AT..length).unwrap_or(&[]);
    while let (Some(length), Some(kind)) = (u16_at(rest, 0), u16_at(rest, 2)) {
        let length = usize::from(length);
        let Some(value) = rest.get(4..length) else { return false };
        if kind & ATTRIBUTE_TYPE_MASK == ATTRIBUTE_FAMILY_NAME {
            return value == b"IPVS\0" || value == b"IPVS";
        }
        rest = rest.get(padded(length)..).unwrap_or(&[]);
    }
    false
}

/// Netlink pads everything to four bytes.
fn padded(length: usize) -> usize {
    length.saturating_add(3) & !3
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
}
