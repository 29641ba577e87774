//! expire_nodest_conn, control's part: it tells the workers that conns of removed servers are to end, and ends the persistence
//! templates that lead to such servers. As in the kernel (recorded) that comes a moment after the removal, concerns all servers
//! that are removed by then, whenever they were, and none that is back.
//!
//! ```text
//!  removal ── a moment ──▶ order to each worker ── no removed server has conns ──▶ templates, a part a turn
//! ```

use super::Control;
use crate::services::ServerId;
use crate::worker::rings::Order;

/// From a removal to its order. One program's edits in a row are through by then.
const DELAY_MS: u64 = 4;
/// Templates wait so long at most for the workers.
const PATIENCE_MS: u64 = 2_000;
/// One turn of a walk through all templates looks at so many parts of so many places: a part holds a lock that workers take for
/// new conns.
pub(super) const TEMPLATE_PARTS_PER_TURN: usize = 16;
pub(super) const TEMPLATE_PLACES_PER_PART: usize = 256;

/// What is still to be done.
#[derive(Default)]
pub(super) struct Orphans {
    /// When orders are due.
    due_ms: Option<u64>,
    /// Workers whose ring of orders had no room yet.
    unordered: Vec<usize>,
    templates: Option<Templates>,
}

/// The walk through the templates.
#[derive(Clone, Copy)]
struct Templates {
    from: usize,
    /// It begins then at the latest.
    latest_ms: u64,
}

impl Control {
    /// A turn's part.
    pub(super) fn end_orphans(&mut self) {
        let now_ms = self.now.ms;
        if self.book.take_orphans() {
            self.orphans.due_ms.get_or_insert(now_ms + DELAY_MS);
        }
        if self.orphans.due_ms.take_if(|due_ms| now_ms >= *due_ms).is_some() {
            self.orphans.unordered = (0..self.workers.len()).collect();
            self.orphans.templates = Some(Templates { from: 0, latest_ms: now_ms + PATIENCE_MS });
        }
        let workers = &mut self.workers;
        self.orphans.unordered.retain(|worker| workers[*worker].rings.orders.push(Order::EndOrphans).is_err());
        if let Some(walk) = self.orphans.templates {
            self.orphans.templates = self.end_orphaned_templates(walk);
        }
    }

    /// None: that was the last part.
    fn end_orphaned_templates(&self, walk: Templates) -> Option<Templates> {
        let live = &self.shared.live;
        let have_ended = || self.book.all_removed().all(|(id, ..)| live.has_no_conns(id));
        if walk.from == 0 && self.now.ms < walk.latest_ms && !have_ended() {
            return Some(walk);
        }
        let is_wanted = |template: &conntrack::Template| live.is_available(ServerId(template.server));
        let mut from = walk.from;
        for _ in 0..TEMPLATE_PARTS_PER_TURN {
            from = self.shared.templates.drop_places(from, TEMPLATE_PLACES_PER_PART, self.now.tick, is_wanted)?;
        }
        Some(Templates { from, ..walk })
    }
}
