//! A worker's counters. The worker counts in plain fields and publishes a consistent copy once a turn; control reads that
//! copy at any time. So the identity
//!
//! received + handed_in + created = sent + passed + handed_out + consumed + dropped + held
//!
//! holds for whoever looks, whenever, and counting costs no shared cache line per frame.

use crate::pipeline::{Fate, Reason};
use std::sync::atomic::{AtomicU64, Ordering, fence};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

const REASONS: usize = Reason::ALL.len();

/// What one worker has counted since its start. `held`, `conns` and `defenses` are gauges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Counts {
    /// Frames that devices gave.
    pub received: u64,
    /// Frames that other workers gave.
    pub handed_in: u64,
    /// Frames made here: ICMP, RST, echo replies, reassembled packets, fragments, what control sends, and what the host sends.
    /// What was due and could not be made is here, too, and dropped.
    pub created: u64,
    /// Frames that devices took.
    pub sent: u64,
    /// Frames given to the host interface.
    pub passed: u64,
    /// Frames given to other workers.
    pub handed_out: u64,
    /// Frames used up here.
    pub consumed: u64,
    /// Frames that wait for a next hop, or for other fragments, now.
    pub held: u64,
    /// Frames dropped, by reason.
    pub dropped: [u64; REASONS],
    /// Conns in the table now.
    pub conns: u64,
    /// Conns made since the start.
    pub conns_made: u64,
    /// Passes of the worker's loop.
    pub turns: u64,
    /// Passes that found a frame to work on.
    pub busy_turns: u64,
    /// Times the worker slept because it had nothing to do.
    pub sleeps: u64,
    /// Which defences are up now: the bits of [`Up`](crate::pipeline::defense::Up).
    pub defenses: u64,
}

const WORDS: usize = size_of::<Counts>() / size_of::<u64>();

impl Default for Counts {
    fn default() -> Self {
        Self::new_zeroed()
    }
}

impl Counts {
    /// Counts the end of one frame.
    #[inline]
    pub fn count(&mut self, fate: Fate) {
        match fate {
            Fate::Sent => self.sent += 1,
            Fate::Passed => self.passed += 1,
            Fate::HandedOut => self.handed_out += 1,
            Fate::Consumed => self.consumed += 1,
            Fate::Held => self.held += 1,
            Fate::Dropped(reason) => self.dropped[reason as usize] += 1,
        }
    }

    /// Frames dropped, for whatever reason.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().sum()
    }

    /// Does every frame that came have its fate?
    pub fn identity_holds(&self) -> bool {
        self.received + self.handed_in + self.created
            == self.sent + self.passed + self.handed_out + self.consumed + self.dropped_total() + self.held
    }
}

/// Where a worker leaves its counts for others to read: a sequence lock over plain atomics. One writer, never waits.
pub struct Published {
    /// Odd while the writer is at it.
    version: AtomicU64,
    words: [AtomicU64; WORDS],
}

impl Default for Published {
    fn default() -> Self {
        Self { version: AtomicU64::new(0), words: std::array::from_fn(|_| AtomicU64::new(0)) }
    }
}

impl Published {
    /// Leaves a copy. Only the worker that owns it calls this.
    pub fn publish(&self, counts: &Counts) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        let source: &[u64; WORDS] = zerocopy::transmute_ref!(counts);
        for (word, value) in self.words.iter().zip(source) {
            word.store(*value, Ordering::Relaxed);
        }
        self.version.store(version + 2, Ordering::Release);
    }

    /// The last copy left, whole. Tries again while the writer is at it, which it is for some 50 ns a turn.
    pub fn read(&self) -> Counts {
        loop {
            let before = self.version.load(Ordering::Acquire);
            let words: [u64; WORDS] = std::array::from_fn(|i| self.words[i].load(Ordering::Relaxed));
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && before == self.version.load(Ordering::Relaxed) {
                return zerocopy::transmute!(words);
            }
            std::hint::spin_loop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Reason;

    #[test]
    fn a_reader_never_sees_half_a_copy() {
        let published = Published::default();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut counts = Counts::default();
                for i in 0..200_000u64 {
                    counts.received += 1;
                    counts.count(if i % 3 == 0 { Fate::Sent } else { Fate::Dropped(Reason::NoServer) });
                    published.publish(&counts);
                }
            });
            while !writer.is_finished() {
                assert!(published.read().identity_holds());
            }
        });
        assert_eq!(published.read().received, 200_000);
    }

    #[test]
    fn the_identity_notices_a_lost_frame() {
        let mut counts = Counts { received: 2, ..Counts::default() };
        counts.count(Fate::Consumed);
        assert!(!counts.identity_holds());
        counts.count(Fate::Held);
        assert!(counts.identity_holds());
    }
}
