//! Destination hashing: 256 buckets dealt to the servers in list order; the destination address names the bucket.

use crate::hash::{fold, hash_8};
use crate::{Flow, Moment, Scheduler, Servers, Settings};

const BUCKETS: usize = 256;

/// Whose each bucket is; empty without servers.
pub struct Dh {
    buckets: Vec<u32>,
}

impl Scheduler for Dh {
    fn new(servers: &Servers, _: &Settings) -> Self {
        let deal = (0..servers.len() as u32).cycle().take(BUCKETS);
        Dh { buckets: deal.collect() }
    }

    fn pick(&mut self, servers: &Servers, flow: &Flow, _: &Moment) -> Option<usize> {
        let owner = *self.buckets.get(hash_8(fold(flow.vip)))? as usize;
        servers.is_usable(owner).then_some(owner)
    }
}
