//! What one fragment says of itself.

use crate::pipeline::Parsed;
use crate::pipeline::classify::FRAGMENT_HEADER_BYTES;
use crate::wire::{ipv4, protocol};

/// Longest IPv4 packet, and longest payload of an IPv6 one.
const LENGTH_MAX: usize = 65_535;

/// Why a fragment cannot be part of any packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Impossible {
    /// More follows, but not at a multiple of eight bytes.
    Odd,
    /// It has no bytes.
    Empty,
    /// RFC 8200, section 4.5: the first one has not all headers.
    Headless,
    /// It reaches beyond the longest packet that there is.
    Reach,
}

/// A fragment's part of the packet, in bytes of the payload that was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Where it begins.
    pub start: u32,
    /// Where it ends.
    pub end: u32,
    /// Whether more follows behind it.
    pub more: bool,
}

impl Piece {
    /// Of a frame that classify found to be a fragment.
    pub fn of(frame: &[u8], parsed: &Parsed) -> Result<Piece, Impossible> {
        let (l3, payload) = (usize::from(parsed.l3), usize::from(parsed.l4));
        let bytes = parsed.end as usize - payload;
        let (start, more, before) = if parsed.v6 {
            // RFC 8200, section 4.5: offset in eights, two reserved bits, "more".
            let word = word(frame, payload - FRAGMENT_HEADER_BYTES + 2);
            (usize::from(word & !7), word & 1 != 0, payload - FRAGMENT_HEADER_BYTES - l3 - 40)
        } else {
            let word = word(frame, l3 + 6);
            (usize::from(word & 0x1fff) * 8, word & ipv4::MORE_FRAGMENTS != 0, payload - l3)
        };
        let end = start + bytes;
        if before + end > LENGTH_MAX {
            return Err(Impossible::Reach);
        }
        if bytes == 0 {
            return Err(Impossible::Empty);
        }
        if more && !bytes.is_multiple_of(8) {
            return Err(Impossible::Odd);
        }
        if parsed.v6 && start == 0 && !has_all_headers(&frame[payload..parsed.end as usize], parsed.protocol) {
            return Err(Impossible::Headless);
        }
        Ok(Piece { start: start as u32, end: end as u32, more })
    }
}

/// Whether everything up to the transport header is there, that as a whole if it is one of those that the kernel knows (recorded).
fn has_all_headers(mut part: &[u8], mut next: u8) -> bool {
    loop {
        let bytes = match next {
            protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION_OPTIONS => {
                let Some(&[following, length]) = part.first_chunk::<2>() else { return false };
                let Some(rest) = part.get((usize::from(length) + 1) * 8..) else { return false };
                (next, part) = (following, rest);
                continue;
            }
            protocol::TCP => 20,
            protocol::UDP | protocol::ICMPV6 => 8,
            _ => 1,
        };
        return part.len() >= bytes;
    }
}

fn word(frame: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([frame[at], frame[at + 1]])
}
