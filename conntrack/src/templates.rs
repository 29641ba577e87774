//! Persistence templates: which real server a client's next conns go to. Shared by all workers.
//!
//! A fixed number of templates in sharded locks. A worker locks the shard of a client while it picks a server and inserts, so
//! that two workers cannot send one client to two servers. How many conns a template controls is counted without a lock:
//! a conn's end only subtracts. A template that still controls conns is not forgotten: it re-arms for a minute, as in the
//! kernel; and its place is not used again, so a conn's [`TemplateId`] never names another client's template. One whose server
//! takes no more conns is invalid from the next conn on: nobody is sent by it, but it is there until its time is over (recorded).

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::seed::Seed;
use crate::tick::Tick;

mod entry;
mod key;
mod shard;
#[cfg(test)]
mod tests;

pub use entry::Entry;
pub use key::{Netmask, Service, TemplateKey};
use shard::{Freed, Shard, Standing};

/// The place of a template; what a conn remembers of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TemplateId(pub(crate) u32);

/// A template as it is at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Template {
    /// Which clients of which service.
    pub key: TemplateKey,
    /// The real server, by the caller's number.
    pub server: u32,
    /// Ticks it lives after its last use.
    pub timeout: u32,
    /// Ticks until it ends.
    pub ticks_left: u32,
    /// Conns that it controls.
    pub controls: u32,
    /// Whether one of them was established: shown as ASSURED, else NONE.
    pub assured: bool,
    /// Whether its clients' next conns go by it. One that is not valid only waits for its end.
    pub valid: bool,
}

/// `templates_max` templates are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TemplatesFull;

impl fmt::Display for TemplatesFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("all persistence templates are in use")
    }
}

impl std::error::Error for TemplatesFull {}

/// All persistence templates.
pub struct Templates {
    shards: Box<[Mutex<Shard>]>,
    /// By template id: conns controlled, and [`ASSURED`].
    controls: Box<[AtomicU32]>,
    shard_places: u32,
    used: AtomicU32,
    templates_max: u32,
    seed: Seed,
}

/// How long a template that came to its end lives on while it controls conns (recorded: `tests/golden/timers`).
const REARM_SECONDS: u32 = 60;
/// In [`Templates::controls`], beside the count.
const ASSURED: u32 = 1 << 31;
const SHARDS_MAX: usize = 64;
/// Beyond so many quarters of `templates_max` there is no room for those that only wait for their end.
const ROOMY_QUARTERS: u64 = 3;
/// Templates for which a shard of their own is worth its wheel of 16 KB.
const SHARD_TEMPLATES_MIN: usize = 1024;

impl Templates {
    /// Room for `templates_max` templates (at most 2^30), allocated now.
    pub fn new(templates_max: usize, seed: Seed, now: Tick) -> Templates {
        assert!(templates_max <= 1 << 30, "templates_max: {templates_max}, must be 0 to 2^30");
        let shard_count = (templates_max / SHARD_TEMPLATES_MIN).next_power_of_two().min(SHARDS_MAX);
        let even = templates_max.div_ceil(shard_count);
        // Keys fall into shards at random: six standard deviations above the mean, so that the sum refuses, not one shard.
        let spread = if shard_count == 1 { 0 } else { 6 * even.isqrt() + 16 };
        let places = even + spread;
        Templates {
            shards: (0..shard_count).map(|_| Mutex::new(Shard::new(places, now))).collect(),
            controls: (0..places * shard_count).map(|_| AtomicU32::new(0)).collect(),
            shard_places: places as u32,
            used: AtomicU32::new(0),
            templates_max: templates_max as u32,
            seed,
        }
    }

    /// Locks the key's shard and looks for its template. The lock is held until the entry is dropped.
    pub fn entry(&self, key: TemplateKey, now: Tick) -> Entry<'_> {
        Entry::new(self, key, now)
    }

    /// One conn less is controlled. To be called once for each [`Entry::attach`], by whoever takes the conn out; takes no lock.
    #[inline]
    pub fn release(&self, id: TemplateId) {
        let before = self.controls[id.0 as usize].fetch_sub(1, Ordering::Release);
        debug_assert!(before & !ASSURED != 0, "template {} was released more often than attached", id.0);
    }

    /// A conn that is controlled was established. Takes no lock.
    #[inline]
    pub fn assure(&self, id: TemplateId) {
        self.controls[id.0 as usize].fetch_or(ASSURED, Ordering::Relaxed);
    }

    /// Does it control no conn, and did it never control one that was established? Takes no lock.
    #[inline]
    pub fn is_idle(&self, id: TemplateId) -> bool {
        self.controls[id.0 as usize].load(Ordering::Relaxed) == 0
    }

    /// Takes such a template out.
    pub fn drop_idle(&self, id: TemplateId, now: Tick) {
        let (number, place) = ((id.0 / self.shard_places) as usize, id.0 % self.shard_places);
        let mut shard = self.lock(number);
        if shard.holds(place) && self.is_idle(id) {
            self.forget(&mut shard, number, place, now);
        }
    }

    /// Places of templates, used or not.
    pub fn places(&self) -> usize {
        self.shards.len() * self.shard_places as usize
    }

    /// Templates in use, those included that nobody is sent by any more.
    pub fn len(&self) -> usize {
        self.used.load(Ordering::Relaxed) as usize
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bound.
    pub fn templates_max(&self) -> usize {
        self.templates_max as usize
    }

    /// Ends templates whose time has come, looking at `budget` per shard at most. Returns how many it looked at.
    pub fn expire(&self, now: Tick, budget: usize) -> usize {
        (0..self.shards.len()).map(|number| self.lock(number).expire(self, self.base(number), now, budget)).sum()
    }

    /// Shows every live template, one locked shard after another.
    pub fn visit(&self, now: Tick, mut show: impl FnMut(&Template)) {
        (0..self.shards.len()).for_each(|number| _ = self.visit_shard(number, 0..u32::MAX, now, &mut show));
    }

    /// Shows the live templates among some places from `from` on, `count` at most: a listing that must be short goes on where
    /// this says. `None`: there are no more.
    pub fn visit_places(&self, from: usize, count: usize, now: Tick, show: impl FnMut(&Template)) -> Option<usize> {
        let (number, places) = self.part(from, count)?;
        let end = self.visit_shard(number, places.clone(), now, show);
        self.behind(number, &places, end)
    }

    /// Takes out the templates among some places from `from` on, `count` at most, that control no conn and are not `wanted`.
    /// Gives where to go on. `None`: there are no more places.
    pub fn drop_places(
        &self,
        from: usize,
        count: usize,
        now: Tick,
        mut wanted: impl FnMut(&Template) -> bool,
    ) -> Option<usize> {
        let (number, places) = self.part(from, count)?;
        let mut shard = self.lock(number);
        let end = places.end.min(shard.len());
        for place in places.start..end {
            if !shard.holds(place) {
                continue;
            }
            let template = self.view(&shard, number, place, now);
            if template.controls == 0 && !wanted(&template) {
                self.forget(&mut shard, number, place, now);
            }
        }
        self.behind(number, &places, end)
    }

    /// Takes a template out of its shard, which is locked. One that controls conns keeps its place until they have ended.
    fn forget(&self, shard: &mut Shard, number: usize, place: u32, now: Tick) {
        let id = self.base(number) + place;
        if shard.forget(place, self.controls(id), now) == Freed::Now {
            self.controls[id as usize].store(0, Ordering::Relaxed);
            self.unreserve();
        }
    }

    /// The shard that these places begin in, and those that are in it.
    fn part(&self, from: usize, count: usize) -> Option<(usize, Range<u32>)> {
        let per_shard = self.shard_places as usize;
        let (number, start) = (from / per_shard, from % per_shard);
        (number < self.shards.len()).then(|| (number, start as u32..(start + count).min(per_shard) as u32))
    }

    /// The first place behind those that were looked at; the next shard's, if `end` says that this one had no more.
    fn behind(&self, number: usize, asked: &Range<u32>, end: u32) -> Option<usize> {
        let per_shard = self.shard_places as usize;
        let next = if end == asked.end { number * per_shard + end as usize } else { (number + 1) * per_shard };
        (next < self.places()).then_some(next)
    }

    /// Gives the end of the places it looked at.
    fn visit_shard(&self, number: usize, places: Range<u32>, now: Tick, mut show: impl FnMut(&Template)) -> u32 {
        let shard = self.lock(number);
        let end = places.end.min(shard.len());
        for place in (places.start..end).filter(|place| shard.holds(*place)) {
            let template = self.view(&shard, number, place, now);
            if template.ticks_left > 0 || template.controls > 0 {
                show(&template);
            }
        }
        end
    }

    fn lock(&self, number: usize) -> MutexGuard<'_, Shard> {
        self.shards[number].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn base(&self, number: usize) -> u32 {
        number as u32 * self.shard_places
    }

    fn controls(&self, id: u32) -> u32 {
        self.controls[id as usize].load(Ordering::Acquire) & !ASSURED
    }

    fn view(&self, shard: &Shard, number: usize, place: u32, now: Tick) -> Template {
        let slot = shard.slot(place);
        let counter = self.controls[(self.base(number) + place) as usize].load(Ordering::Relaxed);
        Template {
            key: slot.key,
            server: slot.server,
            timeout: slot.timeout,
            ticks_left: slot.deadline.since(now).max(0) as u32,
            controls: counter & !ASSURED,
            assured: counter & ASSURED != 0,
            valid: slot.standing == Standing::Valid,
        }
    }

    /// Takes one of `templates_max`.
    fn reserve(&self) -> Result<(), TemplatesFull> {
        let one_more = |used: u32| (used < self.templates_max).then_some(used + 1);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).map(drop).map_err(|_| TemplatesFull)
    }

    /// Is there no room for templates that nobody is sent by?
    fn is_short(&self) -> bool {
        u64::from(self.used.load(Ordering::Relaxed)) * 4 > u64::from(self.templates_max) * ROOMY_QUARTERS
    }

    fn unreserve(&self) {
        self.used.fetch_sub(1, Ordering::Relaxed);
    }
}
