//! Locality-based least connection with replication: a destination has a set of servers and goes to the least busy of
//! them. When that one has more active conns than weight while another server has less than half of its own, wlc's
//! choice joins the set; a set that did not change for the expiration time loses its busiest server.

use arrayvec::ArrayVec;

use super::cache::Cache;
use super::lc::overhead;
use super::wlc::Wlc;
use crate::order::{Least, Measure, Ratio, Slack};
use crate::{Change, Flow, Moment, Scheduler, Servers, Settings};

/// Servers in one destination's set: a pick walks the set. In a full one the newest takes the place of the oldest; the
/// kernel has no limit.
pub const SET_SERVERS_MAX: usize = 32;

/// Which servers each destination has.
pub struct Lblcr {
    destinations: Cache<Set>,
    expiration_ms: u64,
    least: Least<Wlc>,
    slack: Slack,
}

/// The servers of a destination by id, the newest first. Removed ones stay, as they may come back.
struct Set {
    ids: ArrayVec<u32, SET_SERVERS_MAX>,
    changed_ms: u64,
}

impl Scheduler for Lblcr {
    fn new(servers: &Servers, settings: &Settings) -> Self {
        let expiration_ms = settings.lblcr_expiration_ms;
        let destinations = Cache::new(expiration_ms);
        Lblcr { destinations, expiration_ms, least: Least::of(servers), slack: Slack::of(servers) }
    }

    fn pick(&mut self, servers: &Servers, flow: &Flow, at: &Moment) -> Option<usize> {
        let Some(set) = self.destinations.get(flow.vip, at.now_ms) else {
            let index = self.least.first()?;
            let mut set = Set { ids: ArrayVec::new(), changed_ms: at.now_ms };
            set.ids.push(servers.server(index).id);
            self.destinations.insert(flow.vip, set, at.now_ms);
            return Some(index);
        };
        set.forget_the_gone(servers);
        // Chosen before the set shrinks: this conn may be the last that the busiest one gets.
        let least = set.least(servers);
        if at.now_ms > set.changed_ms.saturating_add(self.expiration_ms) {
            set.shrink(servers, at.now_ms);
        }
        if let Some(index) = least
            && !self.slack.should_leave(servers, index)
        {
            return Some(index);
        }
        let index = self.least.first()?;
        set.join(servers.server(index).id, at.now_ms);
        Some(index)
    }

    fn load_changed(&mut self, servers: &Servers, index: usize) {
        self.least.update(servers, index);
        self.slack.update(servers, index);
    }

    fn inherit(&mut self, old: &mut Self, before: &Servers, now: &Servers, _: Change) {
        self.destinations.inherit(&mut old.destinations);
        // The id of one that is gone for good may be another's.
        if now.has_new(before) {
            self.destinations.for_each(|set| set.ids.retain(|id| !now.is_new(*id, before)));
        }
    }
}

impl Set {
    /// The first server with the least overhead for its weight of those that take conns.
    fn least(&self, servers: &Servers) -> Option<usize> {
        let listed = self.ids.iter().filter_map(|&id| servers.listed_place_of(id));
        let ratios = listed.map(|index| (index, Wlc::ratio(servers.server(index), servers.load(index))));
        let usable = ratios.filter(|(_, ratio)| ratio.is_finite());
        usable.reduce(|least, next| if next.1.is_less_than(least.1) { next } else { least }).map(|(index, _)| index)
    }

    /// Takes out the first server with the most overhead for its weight, be it overloaded or removed.
    fn shrink(&mut self, servers: &Servers, now_ms: u64) {
        if self.ids.len() < 2 {
            return;
        }
        let places = self.ids.iter().enumerate().filter_map(|(at, &id)| Some((at, servers.place_of(id)?)));
        let ratios = places.map(|(at, place)| {
            let (server, load) = (servers.server(place), servers.load(place));
            (at, Ratio::new(overhead(load), server.weight))
        });
        let weighted = ratios.filter(|(_, ratio)| ratio.is_finite());
        let most = weighted.reduce(|most, next| if most.1.is_less_than(next.1) { next } else { most });
        if let Some((at, _)) = most {
            self.ids.remove(at);
            self.changed_ms = now_ms;
        }
    }

    fn join(&mut self, id: u32, now_ms: u64) {
        if self.ids.contains(&id) {
            return;
        }
        if self.ids.is_full() {
            self.ids.pop();
        }
        self.ids.insert(0, id);
        self.changed_ms = now_ms;
    }

    /// Servers that are neither listed nor departed cannot come back.
    fn forget_the_gone(&mut self, servers: &Servers) {
        self.ids.retain(|id| servers.place_of(*id).is_some());
    }
}
