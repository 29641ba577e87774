//! Weighted overflow: the heaviest server until its active conns pass its weight, then the next.
//! A server with as many active conns as weight still takes one more.

use super::fo::Fo;
use crate::order::{Measure, Ratio};
use crate::{Load, Server};

/// Measures lightness of the servers that do not overflow.
pub struct Ovf;

impl Measure for Ovf {
    fn ratio(server: &Server, load: &Load) -> Ratio {
        if load.active > server.weight { Ratio::NEVER } else { Fo::ratio(server, load) }
    }
}
