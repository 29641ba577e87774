//! Listings of conns that are under way: control asks a worker for a part of its table and shows it when it comes back. The
//! buffers are few, so a listing of a million conns takes constant memory.

use crate::worker::rings::Listing;
use control::{ConnFilter, Cursor};

/// Parts that may be under way or waiting to be fetched at once.
const PARTS_MAX: usize = 32;
/// A part that did not come back in this time is asked for again.
const PATIENCE_MS: u64 = 1_000;

struct Part {
    cursor: Cursor,
    filter: ConnFilter,
    asked_ms: u64,
    listing: Option<Box<Listing>>,
}

impl Part {
    fn is_of(&self, filter: &ConnFilter, cursor: Cursor) -> bool {
        self.cursor == cursor && self.filter == *filter
    }
}

/// The parts.
#[derive(Default)]
pub struct Listings(Vec<Part>);

/// A place in the tables of all workers: the worker in the upper half, the place in the lower.
pub fn cursor(worker: usize, from: usize) -> Cursor {
    Cursor((worker as u64) << 32 | from as u64)
}

/// The worker and the place that a cursor names.
pub fn place(cursor: Cursor) -> (usize, usize) {
    ((cursor.0 >> 32) as usize, cursor.0 as u32 as usize)
}

impl Listings {
    /// The part from this cursor, if it has come.
    pub fn take(&mut self, filter: &ConnFilter, cursor: Cursor) -> Option<Box<Listing>> {
        let i = self.0.iter().position(|part| part.is_of(filter, cursor) && part.listing.is_some())?;
        self.0.swap_remove(i).listing
    }

    /// Is the part from this cursor still to be asked for? Then it counts as asked for from now on.
    pub fn ask(&mut self, filter: &ConnFilter, cursor: Cursor, now_ms: u64) -> bool {
        self.0.retain(|part| now_ms.saturating_sub(part.asked_ms) < PATIENCE_MS);
        let ask = self.0.len() < PARTS_MAX && self.0.iter().all(|part| !part.is_of(filter, cursor));
        if ask {
            self.0.push(Part { cursor, filter: *filter, asked_ms: now_ms, listing: None });
        }
        ask
    }

    /// A part came back.
    pub fn put(&mut self, listing: Box<Listing>) {
        let asked = cursor(listing.worker, listing.asked_from);
        if let Some(part) = self.0.iter_mut().find(|part| part.is_of(&listing.filter, asked)) {
            part.listing = Some(listing);
        }
    }
}
