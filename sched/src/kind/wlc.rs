//! Weighted least connection: the least overhead for the server's weight.

use super::lc::overhead;
use crate::order::{Measure, Ratio};
use crate::{Load, Server};

/// Measures overhead / weight.
pub struct Wlc;

impl Measure for Wlc {
    fn ratio(server: &Server, load: &Load) -> Ratio {
        if load.overloaded { Ratio::NEVER } else { Ratio::new(overhead(load), server.weight) }
    }
}
