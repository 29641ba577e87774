//! Source hashing: 256 buckets dealt to the servers in list order, as many at once as the weight says; the client names
//! the bucket. A server of weight 0 still gets one bucket a round.

use crate::hash::{fold, hash_8};
use crate::order::Reach;
use crate::{Flags, Flow, Moment, Scheduler, Servers, Settings};

const BUCKETS: usize = 256;

/// Whose each bucket is; empty without servers.
pub struct Sh {
    buckets: Vec<u32>,
    flags: Flags,
    reach: Reach,
}

impl Scheduler for Sh {
    fn new(servers: &Servers, settings: &Settings) -> Self {
        let round = || servers.listed().iter().zip(0..).flat_map(|(server, index)| turns(server.weight, index));
        let deal = std::iter::repeat_with(round).take(BUCKETS).flatten().take(BUCKETS);
        Sh { buckets: deal.collect(), flags: settings.flags, reach: Reach::of(servers) }
    }

    fn pick(&mut self, servers: &Servers, flow: &Flow, _: &Moment) -> Option<usize> {
        let port = if self.flags.port { flow.client_port } else { 0 };
        let hash = hash_8(fold(flow.client).wrapping_add(port.into()));
        let owner = *self.buckets.get(hash)? as usize;
        if servers.is_usable(owner) {
            return Some(owner);
        }
        if !self.flags.fallback || self.reach.max() == 0 {
            return None;
        }
        // The kernel adds the hash twice: to find where to begin, and again as the hash of what it tries.
        let mut others = (0..BUCKETS).map(|offset| self.buckets[(offset + hash + hash) % BUCKETS] as usize);
        others.find(|&other| servers.is_usable(other))
    }

    fn load_changed(&mut self, servers: &Servers, index: usize) {
        self.reach.update(servers, index);
    }
}

fn turns(weight: u32, index: u32) -> impl Iterator<Item = u32> {
    std::iter::repeat_n(index, weight.clamp(1, BUCKETS as u32) as usize)
}
