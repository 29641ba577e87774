//! No scheduler, which the kernel's tools call by the name `none`: whatever servers there are, no new conn gets one. What knows its server
//! already (conns, templates) goes on, so it takes a whole service out of use, or holds it back until its servers are all there.

use crate::{Flow, Moment, Scheduler, Servers, Settings};

/// Picks nobody.
pub struct NoOne;

impl Scheduler for NoOne {
    fn new(_: &Servers, _: &Settings) -> Self {
        NoOne
    }

    fn pick(&mut self, _: &Servers, _: &Flow, _: &Moment) -> Option<usize> {
        None
    }
}
