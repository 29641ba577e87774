//! Rates as the kernel's IPVS estimates them (recorded): every two seconds a quarter of the difference between what was counted
//! in that time and the estimate so far. So half of a change is seen after some 5 seconds, nine tenths after 16.
//!
//! ```text
//! conns, packets   rate = counted << 9     (2^10 a second)      estimate += (rate - estimate) >> 2     shown: (estimate + 511) >> 10
//! bytes            rate = counted << 4     (2^5 a second)                                              shown: (estimate + 15) >> 5
//! ```

use super::live::TrafficCounts;

/// Milliseconds between two looks at the counters.
pub const TICK_MS: u64 = 2_000;

/// Scales: two seconds' count shifted so is a second's, in the estimate's fractions.
const COUNT_SHIFT: u32 = 9;
const BYTES_SHIFT: u32 = 4;
/// How much of the difference a tick takes over.
const WEIGHT_SHIFT: u32 = 2;

/// What was counted up to the last tick, and the estimates. The words of [`TrafficCounts`] are scaled as above.
#[derive(Debug, Clone, Copy, Default)]
pub struct Estimator {
    last: TrafficCounts,
    estimate: TrafficCounts,
}

impl Estimator {
    /// Two seconds are over.
    pub fn tick(&mut self, now: TrafficCounts) {
        let (last, estimate) = (self.last, &mut self.estimate);
        let ways = [
            (now.conns, last.conns, &mut estimate.conns, COUNT_SHIFT),
            (now.in_packets, last.in_packets, &mut estimate.in_packets, COUNT_SHIFT),
            (now.out_packets, last.out_packets, &mut estimate.out_packets, COUNT_SHIFT),
            (now.in_bytes, last.in_bytes, &mut estimate.in_bytes, BYTES_SHIFT),
            (now.out_bytes, last.out_bytes, &mut estimate.out_bytes, BYTES_SHIFT),
        ];
        for (now, last, estimate, shift) in ways {
            // Counters of a service go back when one of its servers is forgotten while it is gone.
            let rate = (now.saturating_sub(last) << shift) as i64;
            *estimate = estimate.wrapping_add_signed((rate - *estimate as i64) >> WEIGHT_SHIFT);
        }
        self.last = now;
    }

    /// Each second, rounded as the kernel does.
    pub fn rates(&self) -> TrafficCounts {
        let TrafficCounts { conns, in_packets, in_bytes, out_packets, out_bytes } = self.estimate;
        let count = |scaled: u64| (scaled + (1 << COUNT_SHIFT) - 1) >> (COUNT_SHIFT + 1);
        let bytes = |scaled: u64| (scaled + (1 << BYTES_SHIFT) - 1) >> (BYTES_SHIFT + 1);
        TrafficCounts {
            conns: count(conns),
            in_packets: count(in_packets),
            in_bytes: bytes(in_bytes),
            out_packets: count(out_packets),
            out_bytes: bytes(out_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(of: [u64; 5]) -> TrafficCounts {
        let [conns, in_packets, out_packets, in_bytes, out_bytes] = of;
        TrafficCounts { conns, in_packets, in_bytes, out_packets, out_bytes }
    }

    /// What `ipvsadm -Ln --stats --exact` and `--rate --exact` showed of a service, tick by tick: a steady load, silence, another load,
    /// and, after a while without estimation, a tick that has to do with all of that while.
    #[test]
    fn as_the_kernel_estimates() {
        let rows = [
            ([30, 30, 30, 3840, 3840], [4, 4, 4, 480, 480]),
            ([110, 110, 110, 14080, 14080], [13, 13, 13, 1640, 1640]),
            ([170, 170, 170, 21760, 21760], [17, 17, 17, 2190, 2190]),
            ([210, 210, 210, 26880, 26880], [18, 18, 18, 2282, 2282]),
            ([250, 250, 250, 32000, 32000], [18, 18, 18, 2352, 2352]),
            ([250, 250, 250, 32000, 32000], [14, 14, 14, 1764, 1764]),
            ([250, 250, 250, 32000, 32000], [10, 10, 10, 1323, 1323]),
            ([250, 250, 250, 32000, 32000], [8, 8, 8, 992, 992]),
            ([250, 250, 250, 32000, 32000], [6, 6, 6, 744, 744]),
            ([250, 250, 250, 32000, 32000], [4, 4, 4, 558, 558]),
            ([250, 250, 250, 32000, 32000], [3, 3, 3, 419, 419]),
            ([262, 262, 286, 44336, 69008], [4, 4, 7, 1856, 4940]),
            ([277, 277, 331, 59756, 115268], [5, 5, 11, 3319, 9487]),
            ([286, 286, 358, 69008, 143024], [5, 5, 12, 3646, 10585]),
            ([301, 301, 403, 84428, 189284], [5, 5, 14, 4662, 13721]),
        ];
        let mut estimator = Estimator::default();
        for (counted, expected) in rows {
            estimator.tick(counts(counted));
            assert_eq!(estimator.rates(), counts(expected), "after {counted:?}");
        }
    }

    #[test]
    fn counters_that_go_back_are_no_rate() {
        let mut estimator = Estimator::default();
        estimator.tick(counts([100; 5]));
        estimator.tick(counts([0; 5]));
        assert!(estimator.rates().conns < 25);
        (0..100).for_each(|_| estimator.tick(counts([0; 5])));
        assert_eq!(estimator.rates(), TrafficCounts::default());
    }
}
