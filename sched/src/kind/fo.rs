//! Weighted fail over: the heaviest server that takes conns; conns do not count.

use crate::order::{Measure, Ratio};
use crate::{Load, Server};

/// Measures lightness.
pub struct Fo;

impl Measure for Fo {
    fn ratio(server: &Server, load: &Load) -> Ratio {
        if load.overloaded { Ratio::NEVER } else { Ratio::new(1, server.weight) }
    }
}
