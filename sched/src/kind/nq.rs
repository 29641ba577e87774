//! Never queue: the first server without active conns, however light; else as sed.

use super::sed::Sed;
use crate::order::{Measure, Ratio};
use crate::{Load, Server};

/// Measures the expected delay, which an idle server does not have.
pub struct Nq;

impl Measure for Nq {
    fn ratio(server: &Server, load: &Load) -> Ratio {
        let idle = load.active == 0 && server.weight > 0 && !load.overloaded;
        if idle { Ratio::new(0, 1) } else { Sed::ratio(server, load) }
    }
}
