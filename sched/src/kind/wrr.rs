//! Weighted round robin: turns around the list on falling levels of weight.
//!
//! ```text
//!   level 3   A · ·        weights A 3, B 1, C 2; each turn serves those with at least the level's weight,
//!   level 2   A · C        so a cycle is A A C A B C: every server as often as its weight, spread out
//!   level 1   A B C        (levels fall in steps of the weights' greatest common divisor)
//! ```
//!
//! The rules are the kernel's, also where nobody would look: a pick that finds nobody on any level gives up where it
//! began, on the lowest level.

use crate::order::Reach;
use crate::{Change, Flow, Moment, Scheduler, Servers, Settings};

/// Where the turn stands.
pub struct Wrr {
    /// Who took the last conn of this turn; none: the turn starts at the head of the list.
    last: Option<usize>,
    level: i64,
    /// The highest level; 0: every weight is 0.
    top: i64,
    /// The greatest common divisor of the weights.
    step: i64,
    reach: Reach,
}

impl Scheduler for Wrr {
    fn new(servers: &Servers, _: &Settings) -> Self {
        let weights = || servers.listed().iter().map(|server| i64::from(server.weight));
        let step = weights().fold(0, greatest_common_divisor).max(1);
        let top = weights().max().unwrap_or(0) - (step - 1);
        Wrr { last: None, level: top, top, step, reach: Reach::of(servers) }
    }

    fn pick(&mut self, _: &Servers, _: &Flow, _: &Moment) -> Option<usize> {
        if self.top == 0 {
            return None;
        }
        let began_at = self.last;
        let mut from = began_at.map_or(0, |last| last + 1);
        let mut give_up_at = None;
        let (mut on_lowest, mut wrapped) = (false, false);
        loop {
            let found = self.reach.first(from, self.level as u32);
            if let Some(end) = give_up_at
                && found.is_none_or(|found| found > end)
            {
                self.last = give_up_at;
                return None;
            }
            if found.is_some() {
                self.last = found;
                return found;
            }

            from = 0;
            self.level -= self.step * self.steps_down();
            if self.level <= 0 {
                self.level = self.top;
                if on_lowest || began_at.is_none() {
                    self.last = None;
                    return None;
                }
                wrapped = true;
            }
            on_lowest = self.level <= self.step;
            if on_lowest && wrapped {
                give_up_at = began_at;
            }
        }
    }

    fn load_changed(&mut self, servers: &Servers, index: usize) {
        self.reach.update(servers, index);
    }

    /// A change of servers starts the turn anew, near the old level.
    fn inherit(&mut self, old: &mut Self, was: &Servers, is: &Servers, change: Change) {
        if change == Change::Service && was.listed() == is.listed() {
            (self.last, self.level) = (old.last, old.level);
        } else if old.level > 0 && old.level <= self.top {
            self.level = if self.step > 1 { old.level / self.step * self.step + 1 } else { old.level };
        }
    }
}

impl Wrr {
    /// How many steps lead to the next level on which a server takes conns. Levels between serve nobody (the heaviest
    /// may be overloaded, and its levels millions), but the lowest is always visited: there a pick gives up.
    fn steps_down(&self) -> i64 {
        let to_somebody = (self.level - i64::from(self.reach.max()) + self.step - 1) / self.step;
        let to_lowest = (self.level - 1) / self.step;
        to_somebody.min(to_lowest).max(1)
    }
}

fn greatest_common_divisor(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}
