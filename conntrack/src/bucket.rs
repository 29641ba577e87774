//! One cache line of the index: eight tags, eight entries, and a count of those that found no room here.
//!
//! ```text
//!  0               16                              48          52        64
//!  | 8 × u16 tag   | 8 × u32 entry                 | overflow  | unused  |
//! ```
//!
//! A tag of 0 is an empty slot. `overflow` counts entries that passed this bucket on their way to a later one: a look-up
//! goes on only while it is above 0, so deletion leaves no tombstones.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::processor::equal_lanes;

/// Eight slots of the index.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(64))]
pub(crate) struct Bucket {
    pub(crate) tags: [u16; 8],
    pub(crate) entries: [u32; 8],
    pub(crate) overflow: u32,
    unused: [u32; 3],
}

const _: () = assert!(size_of::<Bucket>() == 64);

/// Slots of a bucket.
pub(crate) const SLOTS: usize = 8;
const EMPTY: u16 = 0;

/// The tag of a hash: its low bits, never the one that means empty.
#[inline(always)]
pub(crate) fn tag_of(hash: u64) -> u16 {
    (hash as u16).max(1)
}

impl Bucket {
    /// The slots that hold `tag`, bit 0 for the first.
    #[inline(always)]
    pub(crate) fn with_tag(&self, tag: u16) -> u32 {
        equal_lanes(&self.tags, tag)
    }

    /// The slots that hold `tag` or nothing.
    #[inline(always)]
    pub(crate) fn with_tag_or_empty(&self, tag: u16) -> u32 {
        equal_lanes(&self.tags, tag) | equal_lanes(&self.tags, EMPTY)
    }

    #[inline(always)]
    pub(crate) fn is_empty(&self, slot: usize) -> bool {
        self.tags[slot] == EMPTY
    }

    #[inline(always)]
    pub(crate) fn clear(&mut self, slot: usize) {
        self.tags[slot] = EMPTY;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_hash_gives_the_empty_tag() {
        assert_eq!(tag_of(0xabcd_0000_0000_0000), 1);
        assert_eq!(tag_of(0x1234), 0x1234);
    }
}
