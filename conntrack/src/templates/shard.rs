//! The templates behind one lock: a map to places, the places, and a wheel.

use std::sync::atomic::Ordering;

use hashbrown::HashTable;

use super::{REARM_SECONDS, TemplateKey, Templates};
use crate::tick::Tick;
use crate::timers::{Links, Timed, Wheel};

pub(super) struct Shard {
    map: HashTable<u32>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    wheel: Wheel,
    places: usize,
}

pub(super) struct Slot {
    pub(super) key: TemplateKey,
    hash: u64,
    pub(super) server: u32,
    pub(super) timeout: u32,
    pub(super) deadline: Tick,
    /// It was prolonged for conns that may have been over themselves: looked at again then.
    check: Option<Tick>,
    links: Links,
    pub(super) standing: Standing,
}

/// What a place holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing.
    Free,
    /// A template that its clients are sent by; the map leads to it.
    Valid,
    /// One that nobody is sent by any more. It waits for its time, and for its conns to end.
    Invalid,
}

impl Timed for Slot {
    fn deadline(&self) -> Tick {
        self.check.unwrap_or(self.deadline)
    }

    fn links(&mut self) -> &mut Links {
        &mut self.links
    }
}

impl Shard {
    pub(super) fn new(places: usize, now: Tick) -> Shard {
        Shard {
            map: HashTable::with_capacity(places),
            slots: Vec::with_capacity(places),
            free: Vec::with_capacity(places),
            wheel: Wheel::new(now),
            places,
        }
    }

    pub(super) fn slot(&self, place: u32) -> &Slot {
        &self.slots[place as usize]
    }

    /// Places that were ever given.
    pub(super) fn len(&self) -> u32 {
        self.slots.len() as u32
    }

    /// Whether there is a template at this place.
    pub(super) fn holds(&self, place: u32) -> bool {
        self.slot(place).standing != Standing::Free
    }

    pub(super) fn find(&self, hash: u64, key: &TemplateKey) -> Option<u32> {
        self.map.find(hash, |&place| self.slots[place as usize].key == *key).copied()
    }

    /// Adds a template; `None` when every place is taken.
    pub(super) fn add(&mut self, hash: u64, key: TemplateKey, server: u32, timeout: u32, now: Tick) -> Option<u32> {
        let timeout = timeout.min(Tick::DISTANCE_MAX);
        let links = Links::NONE;
        let deadline = now.after(timeout);
        let slot = Slot { key, hash, server, timeout, deadline, check: None, links, standing: Standing::Valid };
        let place = match self.free.pop() {
            Some(place) => {
                self.slots[place as usize] = slot;
                place
            }
            None if self.slots.len() < self.places => {
                self.slots.push(slot);
                self.slots.len() as u32 - 1
            }
            None => return None,
        };
        self.wheel.link(&mut self.slots, place);
        let slots = &self.slots;
        self.map.insert_unique(hash, place, |&place| slots[place as usize].hash);
        Some(place)
    }

    /// The template lives its time-out again; the wheel finds the later deadline by itself.
    pub(super) fn rearm(&mut self, place: u32, now: Tick) {
        let slot = &mut self.slots[place as usize];
        slot.deadline = now.after(slot.timeout);
        slot.check = None;
    }

    /// The template came to its end but controls conns: from here on it lives a minute at a time.
    pub(super) fn prolong(&mut self, place: u32, now: Tick) {
        self.slots[place as usize].timeout = Tick::of_seconds(REARM_SECONDS);
        self.rearm(place, now);
    }

    /// The same, but a conn that ends together with its template counts as ended first (recorded): conns are counted until the
    /// wheel of their table has come by, so that is known a second later.
    fn prolong_to_check(&mut self, place: u32, now: Tick) {
        self.prolong(place, now);
        self.slots[place as usize].check = Some(now.after(Tick::of_seconds(COUNTED_LATE_SECONDS)));
    }

    /// Nobody is sent by the template any more; it lives as long as it would have.
    pub(super) fn invalidate(&mut self, place: u32) {
        self.unmap(place);
        self.slots[place as usize].standing = Standing::Invalid;
    }

    /// Takes the template out; its place is free at once or, if it controls conns, when they have ended.
    pub(super) fn forget(&mut self, place: u32, controls: u32, now: Tick) -> Freed {
        if controls == 0 {
            self.free_place(place);
            return Freed::Now;
        }
        self.invalidate(place);
        self.wheel.unlink(&mut self.slots, place);
        self.prolong(place, now);
        self.wheel.link(&mut self.slots, place);
        Freed::Later
    }

    fn free_place(&mut self, place: u32) {
        self.unmap(place);
        self.wheel.unlink(&mut self.slots, place);
        self.slots[place as usize].standing = Standing::Free;
        self.free.push(place);
    }

    /// The map does not lead to this place any more.
    fn unmap(&mut self, place: u32) {
        let hash = self.slots[place as usize].hash;
        if let Ok(found) = self.map.find_entry(hash, |&other| other == place) {
            found.remove();
        }
    }

    pub(super) fn expire(&mut self, all: &Templates, base: u32, now: Tick, budget: usize) -> usize {
        let mut steps = self.wheel.begin(now);
        let mut seen = 0;
        while seen < budget {
            let Some(place) = self.wheel.pop(&mut self.slots, now, &mut steps) else { break };
            seen += 1;
            let controls = all.controls(base + place);
            let slot = &self.slots[place as usize];
            let due = now.since(slot.deadline()) >= 0;
            let over = due && controls == 0;
            if due && controls > 0 {
                let checked = slot.check.is_some();
                match checked {
                    true => self.slots[place as usize].check = None,
                    false => self.prolong_to_check(place, now),
                }
            }
            self.wheel.link(&mut self.slots, place);
            if over {
                self.forget(place, 0, now);
                all.controls[(base + place) as usize].store(0, Ordering::Relaxed);
                all.unreserve();
            }
        }
        seen
    }
}

/// A conn past its time is counted so long at most.
const COUNTED_LATE_SECONDS: u32 = 1;

/// When a forgotten template's place can be used again.
#[derive(PartialEq, Eq)]
pub(super) enum Freed {
    Now,
    Later,
}
