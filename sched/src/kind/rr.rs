//! Round robin: the next server of the list that takes conns, weights apart.

use crate::order::Reach;
use crate::{Change, Flow, Moment, Scheduler, Servers, Settings};

/// Remembers who took the last conn; none: the next one comes from the head of the list.
pub struct Rr {
    last: Option<usize>,
    reach: Reach,
}

impl Scheduler for Rr {
    fn new(servers: &Servers, _: &Settings) -> Self {
        Rr { last: None, reach: Reach::of(servers) }
    }

    fn pick(&mut self, _: &Servers, _: &Flow, _: &Moment) -> Option<usize> {
        let behind_last = self.last.map_or(0, |last| last + 1);
        let next = self.reach.first(behind_last, 1).or_else(|| self.reach.first(0, 1))?;
        self.last = Some(next);
        Some(next)
    }

    fn load_changed(&mut self, servers: &Servers, index: usize) {
        self.reach.update(servers, index);
    }

    /// When the last one was removed, its predecessor stands for it, so that its successor is next.
    fn inherit(&mut self, old: &mut Self, was: &Servers, is: &Servers, _: Change) {
        let up_to_last = old.last.map_or(0, |last| last + 1);
        self.last = was.listed()[..up_to_last].iter().rev().find_map(|server| is.listed_place_of(server.id));
    }
}
