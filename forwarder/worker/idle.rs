//! What a worker does between turns that found nothing: poll on for a while, then sleep, longer each time. So a director
//! without traffic leaves its core to others, and one with traffic never sleeps.

use config::Idle;
use std::time::Duration;

/// Empty turns in a row before the first sleep: some 100 µs on a NIC, shorter than the gap between two bursts of any load
/// that matters.
const SPIN_TURNS: u32 = 2_000;
/// First sleep.
const SLEEP_FIRST: Duration = Duration::from_micros(20);
/// Longest sleep: the stated time within which an idle worker wakes (plus the kernel's timer slack of some 50 µs).
pub const SLEEP_MAX: Duration = Duration::from_micros(500);

/// Decides when to sleep.
pub struct IdleWait {
    mode: Idle,
    empty_turns: u32,
    sleep: Duration,
}

impl IdleWait {
    /// Nothing has happened yet.
    pub fn new(mode: Idle) -> Self {
        Self { mode, empty_turns: 0, sleep: SLEEP_FIRST }
    }

    /// After a turn: how long to sleep now, if at all.
    #[inline]
    pub fn after(&mut self, busy: bool) -> Option<Duration> {
        if busy {
            self.empty_turns = 0;
            self.sleep = SLEEP_FIRST;
            return None;
        }
        if self.mode == Idle::Busy || self.empty_turns < SPIN_TURNS {
            self.empty_turns = self.empty_turns.saturating_add(1);
            return None;
        }
        let sleep = self.sleep;
        self.sleep = (sleep * 2).min(SLEEP_MAX);
        Some(sleep)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleeps_longer_and_longer_but_never_past_the_stated_time() {
        let mut wait = IdleWait::new(Idle::Adaptive);
        let sleeps: Vec<_> = (0..SPIN_TURNS + 20).filter_map(|_| wait.after(false)).collect();
        assert_eq!(sleeps.len(), 20);
        assert!(sleeps.is_sorted() && sleeps[0] == SLEEP_FIRST && sleeps[19] == SLEEP_MAX);
        assert_eq!(wait.after(true), None);
        assert_eq!(wait.after(false), None, "a busy turn starts the count again");
    }

    #[test]
    fn busy_never_sleeps() {
        let mut wait = IdleWait::new(Idle::Busy);
        assert!((0..SPIN_TURNS * 3).all(|_| wait.after(false).is_none()));
    }
}
