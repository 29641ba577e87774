//! The timer wheel: which conns (or templates) may have expired.
//!
//! A packet only writes `last_seen`. The wheel keeps each item in a slot at or before its deadline; when the slot comes up
//! and the deadline has moved, the item moves on to a later slot. A deadline that comes nearer must be relinked at once.
//! Items are never early and at most a slot late. Slots are intrusive lists, so nothing is allocated, and a long slot is
//! drained over several calls. A deadline beyond the wheel's 21 minutes waits in the last slot and moves on from there.
//!
//! ```text
//!  heads   [ cursor ][ +1 ][ +2 ] …  SLOTS        prev of a slot's first item = HEAD | slot
//!             │ draining
//!             ▼
//!            item ⇄ item ⇄ item
//! ```

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::processor::prefetch;
use crate::tick::Tick;

/// What becomes of an item whose deadline has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It ends now.
    End,
    /// It lives on for so many ticks.
    Keep(u32),
}

/// An item's place in its slot's list.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Links {
    pub(crate) next: u32,
    pub(crate) prev: u32,
}

impl Links {
    pub(crate) const NONE: Links = Links { next: NIL, prev: NIL };
}

/// What the wheel needs of an item.
pub(crate) trait Timed {
    fn deadline(&self) -> Tick;
    fn links(&mut self) -> &mut Links;
}

/// The wheel of one table. Items live in the caller's slice.
pub(crate) struct Wheel {
    heads: Box<[u32]>,
    /// The moment of the slot that is being drained; a multiple of [`SLOT_TICKS`].
    cursor: Tick,
}

/// A slot is 0.32 s wide: the most that an item is late.
const SLOT_TICKS: u32 = 32;
const SLOTS: u32 = 4096;
/// No item.
pub(crate) const NIL: u32 = u32::MAX;
/// Marks a `prev` that names a slot instead of an item.
const HEAD: u32 = 1 << 31;
/// Empty slots that one call steps over at most.
const STEPS_MAX: u32 = 256;

impl Wheel {
    pub(crate) fn new(now: Tick) -> Wheel {
        Wheel { heads: vec![NIL; SLOTS as usize].into(), cursor: floor(now) }
    }

    pub(crate) const fn memory_bytes() -> usize {
        SLOTS as usize * size_of::<u32>()
    }

    /// Links an item that is in no slot into the slot of its deadline.
    pub(crate) fn link<T: Timed>(&mut self, items: &mut [T], id: u32) {
        let slot = self.slot_of(items[id as usize].deadline());
        let next = std::mem::replace(&mut self.heads[slot as usize], id);
        *items[id as usize].links() = Links { next, prev: HEAD | slot };
        if next != NIL {
            items[next as usize].links().prev = id;
        }
    }

    /// Takes an item out of its slot.
    pub(crate) fn unlink<T: Timed>(&mut self, items: &mut [T], id: u32) {
        let Links { next, prev } = std::mem::replace(items[id as usize].links(), Links::NONE);
        if prev & HEAD != 0 {
            self.heads[(prev & !HEAD) as usize] = next;
        } else {
            items[prev as usize].links().next = next;
        }
        if next != NIL {
            items[next as usize].links().prev = prev;
        }
    }

    /// Takes one item out of the slots that have come up. `None`: there is none, or `steps` empty slots were passed.
    ///
    /// The item may have a later deadline by now: then the caller links it again.
    pub(crate) fn pop<T: Timed>(&mut self, items: &mut [T], now: Tick, steps: &mut Steps) -> Option<u32> {
        loop {
            let id = self.heads[self.slot(self.cursor) as usize];
            if id != NIL {
                self.unlink(items, id);
                let next = self.heads[self.slot(self.cursor) as usize];
                if next != NIL {
                    prefetch(&items[next as usize]);
                }
                return Some(id);
            }
            if now.since(self.cursor) < SLOT_TICKS as i32 || steps.0 == 0 {
                return None;
            }
            steps.0 -= 1;
            self.cursor = self.cursor.after(SLOT_TICKS);
        }
    }

    /// The bound on one call, and the leap that it may begin with: after more than a whole turn without a call every slot
    /// has come up, so one more turn sees everything.
    pub(crate) fn begin(&mut self, now: Tick) -> Steps {
        if now.since(self.cursor) > (SLOTS * SLOT_TICKS) as i32 {
            self.cursor = Tick(floor(now).0.wrapping_sub((SLOTS - 1) * SLOT_TICKS));
        }
        Steps(STEPS_MAX)
    }

    /// Ticks that the wheel is behind the clock.
    pub(crate) fn behind(&self, now: Tick) -> u32 {
        now.since(self.cursor).max(0) as u32
    }

    /// The first slot that comes up at or after `deadline`, within the turn that lies ahead; never the one being drained,
    /// or an item that is kept would be met again at once.
    fn slot_of(&self, deadline: Tick) -> u32 {
        let ahead = floor(deadline.after(SLOT_TICKS - 1)).since(self.cursor);
        let ahead = ahead.clamp(SLOT_TICKS as i32, ((SLOTS - 1) * SLOT_TICKS) as i32);
        self.slot(self.cursor.after(ahead as u32))
    }

    fn slot(&self, moment: Tick) -> u32 {
        moment.0 / SLOT_TICKS % SLOTS
    }
}

/// Empty slots that may still be stepped over in this call.
pub(crate) struct Steps(u32);

fn floor(moment: Tick) -> Tick {
    Tick(moment.0 & !(SLOT_TICKS - 1))
}
