//! Locality-based least connection: a destination keeps its server, so that caches behind it stay warm, until that
//! server has more active conns than weight while another has less than half of its own; then wlc chooses a new one.

use super::cache::Cache;
use super::wlc::Wlc;
use crate::order::{Least, Slack};
use crate::{Change, Flow, Moment, Scheduler, Servers, Settings};

/// No server has this id: who had the destination is gone for good, and its id may be another's.
const NOBODY: u32 = u32::MAX;

/// Which server each destination has, by id: a removed server that comes back has its destinations again.
pub struct Lblc {
    destinations: Cache<u32>,
    least: Least<Wlc>,
    slack: Slack,
}

impl Scheduler for Lblc {
    fn new(servers: &Servers, settings: &Settings) -> Self {
        let destinations = Cache::new(settings.lblc_expiration_ms);
        Lblc { destinations, least: Least::of(servers), slack: Slack::of(servers) }
    }

    fn pick(&mut self, servers: &Servers, flow: &Flow, at: &Moment) -> Option<usize> {
        let known = self.destinations.get(flow.vip, at.now_ms).and_then(|&mut id| servers.listed_place_of(id));
        if let Some(index) = known
            && servers.server(index).weight > 0
            && !self.slack.should_leave(servers, index)
        {
            return Some(index); // Even if it is overloaded: the kernel does not ask.
        }
        let index = self.least.first()?;
        self.destinations.insert(flow.vip, servers.server(index).id, at.now_ms);
        Some(index)
    }

    fn load_changed(&mut self, servers: &Servers, index: usize) {
        self.least.update(servers, index);
        self.slack.update(servers, index);
    }

    fn inherit(&mut self, old: &mut Self, before: &Servers, now: &Servers, _: Change) {
        self.destinations.inherit(&mut old.destinations);
        if now.has_new(before) {
            self.destinations.for_each(|id| {
                if now.is_new(*id, before) {
                    *id = NOBODY;
                }
            });
        }
    }
}
