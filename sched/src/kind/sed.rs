//! Shortest expected delay: the least (active + 1) / weight, which is what the server would have with this conn.

use crate::order::{Measure, Ratio};
use crate::{Load, Server};

/// Measures the delay that a new conn should expect.
pub struct Sed;

impl Measure for Sed {
    fn ratio(server: &Server, load: &Load) -> Ratio {
        if load.overloaded { Ratio::NEVER } else { Ratio::new(u64::from(load.active) + 1, server.weight) }
    }
}
