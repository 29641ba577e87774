//! drop_entry, control's part: while it is up at a worker, one of 32 places of persistence templates is looked at each second, and
//! what controls no conn there and never controlled one that was established ends (measured: `tests/oracle/scenarios/drop_entry.py`).

use super::Control;
use super::orphans::{TEMPLATE_PARTS_PER_TURN, TEMPLATE_PLACES_PER_PART};
use crate::pipeline::defense::Up;

/// Milliseconds between two looks.
const LOOK_MS: u64 = 1_000;
/// One of so many places a second.
const SHARE: usize = 32;

/// This second's places.
pub(super) struct IdleTemplates {
    random: fastrand::Rng,
    from: usize,
    left: usize,
    look_ms: u64,
}

impl IdleTemplates {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: fastrand::Rng::with_seed(seed), from: 0, left: 0, look_ms: 0 }
    }
}

impl Control {
    /// A turn's part.
    pub(super) fn drop_idle_templates(&mut self) {
        let templates = &self.shared.templates;
        if self.now.ms >= self.idle_templates.look_ms {
            let is_up = |worker| Up::of_bits(self.counts(worker).defenses).drop_entry;
            let up = !templates.is_empty() && (0..self.workers.len()).any(is_up);
            let idle = &mut self.idle_templates;
            idle.look_ms = self.now.ms + LOOK_MS;
            idle.from = idle.random.usize(..templates.places());
            idle.left = if up { templates.places().div_ceil(SHARE) } else { 0 };
        }
        let idle = &mut self.idle_templates;
        for _ in 0..TEMPLATE_PARTS_PER_TURN {
            if idle.left == 0 {
                break;
            }
            let count = TEMPLATE_PLACES_PER_PART.min(idle.left);
            let next = templates.drop_places(idle.from, count, self.now.tick, |template| template.assured);
            // A part ends with its lock's places, and behind the last come the first.
            let end = next.unwrap_or(templates.places());
            idle.left = idle.left.saturating_sub(end - idle.from);
            idle.from = next.unwrap_or(0);
        }
    }
}
