//! Least connection: the server with the least overhead. Weights do not count, but a weight of 0 takes no conns.

use crate::order::{Measure, Ratio};
use crate::{Load, Server};

/// Measures overhead.
pub struct Lc;

impl Measure for Lc {
    fn ratio(server: &Server, load: &Load) -> Ratio {
        let takes_conns = server.weight > 0 && !load.overloaded;
        if takes_conns { Ratio::new(overhead(load), 1) } else { Ratio::NEVER }
    }
}

/// What the kernel counts for a server's conns: an active one as 257, an inactive one as 1.
pub fn overhead(load: &Load) -> u64 {
    256 * u64::from(load.active) + u64::from(load.total)
}
