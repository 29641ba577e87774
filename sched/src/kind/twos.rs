//! Power of two choices: two servers are drawn by lot in proportion to weight, and the one with less overhead for its
//! weight takes the conn; between equals, the first drawn.
//!
//! Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", IEEE TPDS 12 (2001): the second draw takes the
//! worst queue from log n / log log n to log log n, without one pick looking at all servers. Debian's kernel is built
//! without it, so nothing of it is recorded; as it is random, it promises shares, not decisions.

use super::wlc::Wlc;
use crate::order::{Measure, Share};
use crate::{Flow, Moment, Scheduler, Servers, Settings};

/// The weights to draw by.
pub struct Twos {
    share: Share,
}

impl Scheduler for Twos {
    fn new(servers: &Servers, _: &Settings) -> Self {
        Twos { share: Share::of(servers) }
    }

    fn pick(&mut self, servers: &Servers, _: &Flow, at: &Moment) -> Option<usize> {
        let first = self.share.draw(scramble(at.random))?;
        let second = self.share.draw(scramble(!at.random))?;
        let ratio = |index| Wlc::ratio(servers.server(index), servers.load(index));
        Some(if ratio(second).is_less_than(ratio(first)) { second } else { first })
    }

    fn load_changed(&mut self, servers: &Servers, index: usize) {
        self.share.update(servers, index);
    }
}

/// Two numbers that know nothing of each other out of one: the finalizer of SplitMix64 (Steele and others, "Fast
/// Splittable Pseudorandom Number Generators", OOPSLA 2014).
fn scramble(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
