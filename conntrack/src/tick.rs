//! Time inside the conn table: hundredths of a second in 32 bits that wrap after 497 days.
//!
//! Four bytes keep a conn's hot line small. Ticks may only be compared when they are less than half the range apart,
//! which [`Tick::DISTANCE_MAX`] guarantees for every time-out.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A moment, in units of 10 ms since an arbitrary start; wraps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct Tick(pub u32);

impl Tick {
    /// Ticks in a second.
    pub const PER_SECOND: u32 = 100;
    /// The longest time-out that can be kept, 124 days: longer ones are cut to it.
    pub const DISTANCE_MAX: u32 = 1 << 30;

    /// The tick of a monotonic clock in milliseconds.
    pub const fn from_ms(now_ms: u64) -> Tick {
        Tick((now_ms / 10) as u32)
    }

    /// This moment and `ticks` more.
    #[inline(always)]
    #[must_use]
    pub const fn after(self, ticks: u32) -> Tick {
        Tick(self.0.wrapping_add(ticks))
    }

    /// Ticks from `earlier` to this moment; negative if `earlier` is later.
    #[inline(always)]
    pub const fn since(self, earlier: Tick) -> i32 {
        self.0.wrapping_sub(earlier.0) as i32
    }

    /// Seconds as ticks, cut to [`Tick::DISTANCE_MAX`].
    pub const fn of_seconds(seconds: u32) -> u32 {
        let ticks = seconds as u64 * Self::PER_SECOND as u64;
        if ticks > Self::DISTANCE_MAX as u64 { Self::DISTANCE_MAX } else { ticks as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_survive_the_wrap() {
        let late = Tick(u32::MAX - 5);
        assert_eq!(late.after(10), Tick(4));
        assert_eq!(late.after(10).since(late), 10);
        assert_eq!(late.since(late.after(10)), -10);
    }

    #[test]
    fn seconds_are_cut_to_what_can_be_compared() {
        assert_eq!(Tick::of_seconds(900), 90_000);
        assert_eq!(Tick::of_seconds(u32::MAX), Tick::DISTANCE_MAX);
        assert_eq!(Tick::from_ms(12_345), Tick(1234));
    }
}
