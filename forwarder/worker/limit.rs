//! How many packets of its own a worker may make: ICMP errors, RSTs, echo replies. A token bucket, so that a flood of
//! packets that deserve an answer is not answered with a flood.

/// Answers a second, and how many may come at once. The kernel's icmp_msgs_per_sec and icmp_msgs_burst are 1000 and 50; the
/// burst here is larger because a worker sees bursts of 32 packets.
pub const ANSWERS_PER_S: u64 = 1_000;
/// Answers at once.
pub const ANSWERS_BURST: u64 = 250;

/// A token bucket in thousandths of an answer.
pub struct AnswerLimit {
    per_s: u64,
    burst: u64,
    millis: u64,
    filled_ms: u64,
}

impl AnswerLimit {
    /// A full bucket. `per_s` 0: no limit.
    pub fn new(per_s: u64, burst: u64) -> Self {
        Self { per_s, burst, millis: burst * 1000, filled_ms: 0 }
    }

    /// May one more answer be made now?
    pub fn allows(&mut self, now_ms: u64) -> bool {
        if self.per_s == 0 {
            return true;
        }
        let elapsed_ms = now_ms.saturating_sub(self.filled_ms);
        self.filled_ms = now_ms.max(self.filled_ms);
        self.millis = self.millis.saturating_add(elapsed_ms.saturating_mul(self.per_s)).min(self.burst * 1000);
        let allowed = self.millis >= 1000;
        if allowed {
            self.millis -= 1000;
        }
        allowed
    }

    /// The answer that was allowed last was not made.
    pub fn give_back(&mut self) {
        self.millis += 1000;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let mut limit = AnswerLimit::new(ANSWERS_PER_S, ANSWERS_BURST);
        assert_eq!((0..10_000).filter(|_| limit.allows(5_000)).count() as u64, ANSWERS_BURST);
        assert_eq!((0..10_000).filter(|_| limit.allows(5_100)).count() as u64, ANSWERS_PER_S / 10);
        assert!(!limit.allows(5_050), "a clock that steps back gives nothing");
    }

    #[test]
    fn zero_is_no_limit() {
        let mut limit = AnswerLimit::new(0, ANSWERS_BURST);
        assert!((0..10_000).all(|_| limit.allows(0)));
    }
}
