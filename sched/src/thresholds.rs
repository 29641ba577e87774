//! When a real server counts as overloaded. A pure rule; the forwarder keeps the flag beside the server's counters.
//!
//! ```text
//!   total   0 ······ lower ············ upper ······
//!   flag    cleared  |  stays as it was  |  set
//! ```
//!
//! The kernel looks only when a mark is crossed (and at edits), which is why a bind and an unbind have a rule each.

/// The marks of one real server, in conns; 0 = not given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Thresholds {
    /// With so many conns the server is overloaded; 0: never.
    pub upper: u32,
    /// Below so many it no longer is; 0: three quarters of `upper`.
    pub lower: u32,
}

impl Thresholds {
    /// The flag after a conn was bound to the server, which now has `total`.
    #[must_use]
    pub fn after_bind(&self, total: u32, was: bool) -> bool {
        if self.upper != 0 && total == self.upper { total >= self.lower_mark() } else { was }
    }

    /// The flag after a conn left the server, which had `total_before` with it.
    #[must_use]
    pub fn after_unbind(&self, total_before: u32, was: bool) -> bool {
        if total_before == self.lower_mark() { self.upper != 0 && total_before > self.upper } else { was }
    }

    /// The flag after the thresholds were edited to these.
    #[must_use]
    pub fn after_edit(&self, total: u32, was: bool) -> bool {
        self.upper != 0 && (total >= self.upper || was && total >= self.lower_mark())
    }

    fn lower_mark(&self) -> u32 {
        if self.lower == 0 { self.upper - self.upper / 4 } else { self.lower }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_is_set_at_the_upper_mark_and_cleared_below_the_lower() {
        // upper, lower, conns bound one by one, conns left one by one → flag
        for (upper, lower, bound, left, flag) in [
            (4, 0, 3, 0, false),
            (4, 0, 4, 0, true),
            (4, 0, 4, 1, true), // 3 left: the default mark is 4 − 4 / 4 = 3, and 3 is not below it
            (4, 0, 4, 2, false),
            (10, 2, 10, 8, true),
            (10, 2, 10, 9, false),
            (10, 10, 10, 1, false),
            (0, 0, 1000, 3, false),
            (0, 5, 7, 3, false),
        ] {
            let marks = Thresholds { upper, lower };
            let mut now = false;
            for total in 1..=bound {
                now = marks.after_bind(total, now);
            }
            for gone in 0..left {
                now = marks.after_unbind(bound - gone, now);
            }
            assert_eq!(now, flag, "upper {upper} lower {lower} bound {bound} left {left}");
        }
    }

    #[test]
    fn an_edit_judges_at_once_and_keeps_the_flag_between_the_marks() {
        for (upper, lower, total, was, flag) in [
            (4, 0, 4, false, true),
            (4, 0, 3, false, false),
            (4, 0, 3, true, true),
            (4, 0, 2, true, false),
            (0, 0, 9, true, false),
            (0, 3, 9, true, false),
            (8, 1, 1, true, true),
            (8, 1, 0, true, false),
            (1, 0, 9, false, true),
        ] {
            assert_eq!(Thresholds { upper, lower }.after_edit(total, was), flag, "{upper} {lower} {total} {was}");
        }
    }
}
