//! The 802.1Q tag of a frame, put on and taken off in software. Everything between receiving and transmitting sees frames
//! without it; which interface a tag means is the worker's knowledge.
//!
//! ```text
//!  | destination 6 | source 6 |                      | ethertype 2 | …
//!  | destination 6 | source 6 | 0x8100 | priority, id | ethertype 2 | …
//! ```

use super::Frame;

/// The ethertype that a tag begins with (IEEE 802.1Q).
const TAGGED: [u8; 2] = [0x81, 0x00];
/// Bytes of a tag.
pub const TAG_BYTES: usize = 4;
/// Bytes of both MACs, in front of the tag.
const MACS_BYTES: usize = 12;
/// The id within the 16 bits behind the ethertype; the others are priority, which means nothing here.
pub const ID_MASK: u16 = 0x0fff;

/// Takes the tag off and gives its id. None: there is none.
#[inline]
pub fn untag<F: Frame>(frame: &mut F) -> Option<u16> {
    let bytes = frame.bytes_mut();
    let tag: &[u8; TAG_BYTES] = bytes.get(MACS_BYTES..)?.first_chunk()?;
    if tag[..2] != TAGGED {
        return None;
    }
    let id = u16::from_be_bytes([tag[2], tag[3]]) & ID_MASK;
    bytes.copy_within(..MACS_BYTES, TAG_BYTES);
    frame.trim_front(TAG_BYTES);
    Some(id)
}

/// Puts a tag on. False, and nothing changed, if there is no room in front.
#[inline]
pub fn tag<F: Frame>(frame: &mut F, id: u16) -> bool {
    if !frame.prepend(TAG_BYTES) {
        return false;
    }
    let bytes = frame.bytes_mut();
    bytes.copy_within(TAG_BYTES..TAG_BYTES + MACS_BYTES, 0);
    bytes[MACS_BYTES..MACS_BYTES + 2].copy_from_slice(&TAGGED);
    bytes[MACS_BYTES + 2..MACS_BYTES + TAG_BYTES].copy_from_slice(&id.to_be_bytes());
    true
}
