//! The neighbours by slot and by (port, address). Slots keep their place, so that a conn can hold the number; a slot that gets
//! another owner gets another generation. Bounded: dynamic entries by `neighbors_max`, all of them by the slot's 16 bits.

use super::entry::{Entry, Kind, NEVER, State};
use super::next_hops::{NextHopId, SLOTS_MAX};
use hashbrown::HashMap;
use std::collections::VecDeque;
use std::net::IpAddr;

/// An entry that was used this recently is not evicted: with a table full of those, newcomers are refused instead.
pub(super) const BUSY_MS: u64 = 10_000;

pub(super) struct Table {
    slots: Vec<Slot>,
    /// Vacant slots, the one that is vacant longest first: so generations last.
    vacant: VecDeque<u16>,
    index: HashMap<(u16, IpAddr), NextHopId>,
    dynamic: usize,
    dynamic_max: usize,
    /// Nothing is due before. May be too early, never too late.
    pub(super) due_ms: u64,
    /// Something that workers see has changed.
    pub(super) changed: bool,
}

struct Slot {
    generation: u16,
    entry: Option<Entry>,
}

impl Table {
    pub(super) fn new(dynamic_max: usize) -> Table {
        let (slots, vacant, index) = (Vec::new(), VecDeque::new(), HashMap::new());
        Table { slots, vacant, index, dynamic: 0, dynamic_max, due_ms: NEVER, changed: true }
    }

    pub(super) fn find(&self, port: u16, address: IpAddr) -> Option<NextHopId> {
        self.index.get(&(port, address)).copied()
    }

    pub(super) fn get(&self, id: NextHopId) -> Option<&Entry> {
        let slot = self.slots.get(id.slot()).filter(|slot| slot.generation == id.generation())?;
        slot.entry.as_ref()
    }

    /// Lets `change` change an entry, and notes what that means for the clock and for workers. None: no such entry.
    pub(super) fn change<T>(&mut self, id: NextHopId, change: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        let slot = self.slots.get_mut(id.slot()).filter(|slot| slot.generation == id.generation())?;
        let entry = slot.entry.as_mut()?;
        let before = (entry.hop_state(), entry.mac);
        let result = change(entry);
        self.changed |= before != (entry.hop_state(), entry.mac);
        self.due_ms = self.due_ms.min(entry.due_ms);
        Some(result)
    }

    /// Adds an entry for a pair that has none. If the table is full, the dynamic entry that is missed least makes room: one that
    /// failed or was never used, the oldest first; then, unless the newcomer was never used itself, an idle one. None: no room.
    pub(super) fn insert(&mut self, entry: Entry, now_ms: u64) -> Option<NextHopId> {
        debug_assert!(self.find(entry.port, entry.address).is_none(), "one entry per neighbour");
        if entry.kind == Kind::Dynamic && self.dynamic >= self.dynamic_max {
            let victim = self.victim(entry.used, now_ms)?;
            self.remove(victim);
        }
        let slot = match self.vacant.pop_front() {
            Some(slot) => slot,
            None if self.slots.len() < SLOTS_MAX => {
                self.slots.push(Slot { generation: 1, entry: None });
                (self.slots.len() - 1) as u16
            }
            None => return None,
        };
        let id = NextHopId::new(slot, self.slots[usize::from(slot)].generation);
        self.index.insert((entry.port, entry.address), id);
        self.dynamic += usize::from(entry.kind == Kind::Dynamic);
        self.due_ms = self.due_ms.min(entry.due_ms);
        self.slots[usize::from(slot)].entry = Some(entry);
        self.changed = true;
        Some(id)
    }

    pub(super) fn remove(&mut self, id: NextHopId) {
        let Some(slot) = self.slots.get_mut(id.slot()).filter(|slot| slot.generation == id.generation()) else {
            return;
        };
        let Some(entry) = slot.entry.take() else { return };
        slot.generation = next_generation(slot.generation);
        self.vacant.push_back(id.slot() as u16);
        self.index.remove(&(entry.port, entry.address));
        self.dynamic -= usize::from(entry.kind == Kind::Dynamic);
        self.changed = true;
    }

    /// Another entry for the same neighbour, in the same slot.
    pub(super) fn replace(&mut self, id: NextHopId, entry: Entry) {
        let dynamic = |kind: Kind| usize::from(kind == Kind::Dynamic);
        let new = dynamic(entry.kind);
        if let Some(before) = self.change(id, |old| std::mem::replace(old, entry).kind) {
            self.dynamic = self.dynamic + new - dynamic(before);
        }
    }

    /// Gives an entry another id: whoever holds the one it had finds nothing and asks for the way again.
    pub(super) fn renumber(&mut self, id: NextHopId) {
        let Some(slot) = self.slots.get_mut(id.slot()).filter(|slot| slot.generation == id.generation()) else {
            return;
        };
        let Some(entry) = &slot.entry else { return };
        slot.generation = next_generation(slot.generation);
        self.index.insert((entry.port, entry.address), NextHopId::new(id.slot() as u16, slot.generation));
        self.changed = true;
    }

    /// A dynamic entry is from now on never evicted, and asked for even if it failed.
    pub(super) fn pin(&mut self, id: NextHopId, now_ms: u64) {
        if self.get(id).is_none_or(|entry| entry.kind != Kind::Dynamic) {
            return;
        }
        self.change(id, |entry| entry.pin(now_ms));
        self.dynamic -= 1;
    }

    /// A pinned entry becomes one of many; if there are enough of those, it goes.
    pub(super) fn unpin(&mut self, id: NextHopId) {
        self.let_go(id, Kind::Pinned);
    }

    /// The same for an entry that was static.
    pub(super) fn loosen(&mut self, id: NextHopId) {
        self.let_go(id, Kind::Static);
    }

    fn let_go(&mut self, id: NextHopId, kind: Kind) {
        if self.get(id).is_none_or(|entry| entry.kind != kind) {
            return;
        }
        if self.dynamic >= self.dynamic_max {
            return self.remove(id);
        }
        self.change(id, |entry| entry.kind = Kind::Dynamic);
        self.dynamic += 1;
    }

    /// All entries with their ids, in the order of their slots.
    pub(super) fn iter(&self) -> impl Iterator<Item = (NextHopId, &Entry)> {
        self.slots.iter().enumerate().filter_map(|(number, slot)| {
            let entry = slot.entry.as_ref()?;
            Some((NextHopId::new(number as u16, slot.generation), entry))
        })
    }

    /// The entries that are due. The next time is then that of the others; `change` adds those of these.
    pub(super) fn take_due(&mut self, now_ms: u64) -> Vec<NextHopId> {
        let later = self.iter().map(|(_, entry)| entry.due_ms).filter(|due_ms| *due_ms > now_ms).min();
        self.due_ms = later.unwrap_or(NEVER);
        self.iter().filter(|(_, entry)| entry.due_ms <= now_ms).map(|(id, _)| id).collect()
    }

    pub(super) fn slots_end(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn index(&self) -> &HashMap<(u16, IpAddr), NextHopId> {
        &self.index
    }

    pub(super) fn dynamic(&self) -> usize {
        self.dynamic
    }

    fn victim(&self, for_used: bool, now_ms: u64) -> Option<NextHopId> {
        let value = |entry: &Entry| match entry.used && entry.state != State::Failed {
            false => Some((0, entry.touched_ms)),
            true if for_used && now_ms.saturating_sub(entry.touched_ms) >= BUSY_MS => Some((1, entry.touched_ms)),
            true => None,
        };
        let dynamic = self.iter().filter(|(_, entry)| entry.kind == Kind::Dynamic);
        dynamic.filter_map(|(id, entry)| Some((value(entry)?, id))).min_by_key(|(value, _)| *value).map(|(_, id)| id)
    }
}

/// Generation 0 would make an id of 0.
fn next_generation(generation: u16) -> u16 {
    generation.checked_add(1).unwrap_or(1)
}
