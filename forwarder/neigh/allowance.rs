//! So many per stretch of time, and no more. What strangers can make us do or log passes one of these.

/// At most `count_max` in each window of `window_ms`.
#[derive(Debug)]
pub struct Allowance {
    count_max: u32,
    window_ms: u64,
    window_ends_ms: u64,
    count: u32,
}

impl Allowance {
    /// None taken yet.
    pub fn new(count_max: u32, window_ms: u64) -> Allowance {
        Allowance { count_max, window_ms, window_ends_ms: 0, count: 0 }
    }

    /// Whether there is one left; takes it.
    pub fn take(&mut self, now_ms: u64) -> bool {
        if now_ms >= self.window_ends_ms {
            (self.window_ends_ms, self.count) = (now_ms + self.window_ms, 0);
        }
        let left = self.count < self.count_max;
        self.count += u32::from(left);
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_allows_so_many_and_the_next_one_again() {
        let mut allowance = Allowance::new(2, 1_000);
        let rows = [
            (5, true),
            (6, true),
            (7, false),
            (1_004, false),
            (1_005, true),
            (9_000, true),
            (9_001, true),
            (9_002, false),
        ];
        for (now_ms, expected) in rows {
            assert_eq!(allowance.take(now_ms), expected, "at {now_ms} ms");
        }
    }
}
