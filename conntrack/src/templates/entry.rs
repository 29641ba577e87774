//! One client's template while its shard is locked: look, pick a server, insert, attach the conn, let go.

use std::sync::MutexGuard;
use std::sync::atomic::Ordering;

use super::shard::Shard;
use super::{Template, TemplateId, TemplateKey, Templates, TemplatesFull};
use crate::tick::Tick;

/// A client's template, or the place where it would be. Holds the shard's lock.
pub struct Entry<'a> {
    templates: &'a Templates,
    shard: MutexGuard<'a, Shard>,
    number: usize,
    key: TemplateKey,
    hash: u64,
    now: Tick,
    place: Option<u32>,
}

impl<'a> Entry<'a> {
    pub(super) fn new(templates: &'a Templates, key: TemplateKey, now: Tick) -> Entry<'a> {
        let hash = templates.seed.hash(&key.0);
        let number = (hash >> 32) as usize & (templates.shards.len() - 1);
        let shard = templates.lock(number);
        let place = shard.find(hash, &key);
        let mut entry = Entry { templates, shard, number, key, hash, now, place };
        entry.settle();
        entry
    }

    /// The template, if there is a live one.
    pub fn template(&self) -> Option<Template> {
        self.place.map(|place| self.templates.view(&self.shard, self.number, place, self.now))
    }

    /// Makes a template that sends the client to `server` for `timeout` ticks, instead of the one there may be.
    pub fn insert(&mut self, server: u32, timeout: u32) -> Result<(), TemplatesFull> {
        self.invalidate();
        self.templates.reserve()?;
        self.place = self.shard.add(self.hash, self.key, server, timeout, self.now);
        if self.place.is_none() {
            self.templates.unreserve();
            return Err(TemplatesFull);
        }
        Ok(())
    }

    /// Its server takes no more of the client's conns: the template sends nobody any more. The conns that it controls live on, and
    /// it is shown until its time is over. Where templates take up most of the room, one without conns makes place at once.
    pub fn invalidate(&mut self) {
        if self.templates.is_short() {
            return self.forget();
        }
        if let Some(place) = self.place.take() {
            self.shard.invalidate(place);
        }
    }

    fn forget(&mut self) {
        let Some(place) = self.place.take() else { return };
        self.templates.forget(&mut self.shard, self.number, place, self.now);
    }

    /// One more conn is controlled by the template, which lives its time-out again. `None` when there is no template.
    ///
    /// The conn keeps the id and whoever takes the conn out gives it to [`Templates::release`].
    pub fn attach(&mut self) -> Option<TemplateId> {
        let place = self.place?;
        self.shard.rearm(place, self.now);
        let id = self.templates.base(self.number) + place;
        self.templates.controls[id as usize].fetch_add(1, Ordering::Relaxed);
        Some(TemplateId(id))
    }

    /// Does to a template past its deadline what the wheel would have done had it come by.
    fn settle(&mut self) {
        let Some(place) = self.place else { return };
        if self.now.since(self.shard.slot(place).deadline) < 0 {
            return;
        }
        if self.templates.controls(self.templates.base(self.number) + place) > 0 {
            self.shard.prolong(place, self.now);
        } else {
            self.forget();
        }
    }
}
