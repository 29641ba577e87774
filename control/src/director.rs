//! The questions that a director answers. It answers at once from what it has at hand: a call must not block, because the control
//! thread that makes it also resolves neighbours.

use crate::filter::ConnFilter;
use crate::show::{Conn, Drops, Neighbors, Ports, Reloaded, Routes, Services, Version, Workers};

/// What the admin socket asks. The director implements it; so does a mock in tests.
pub trait Director {
    /// Which director this is.
    fn version(&self) -> Version;
    /// Its virtual services.
    fn services(&self) -> Services;
    /// Its ports.
    fn ports(&self) -> Ports;
    /// Its workers.
    fn workers(&self) -> Workers;
    /// Its reasons to drop frames.
    fn drops(&self) -> Drops;
    /// Its neighbours.
    fn neighbors(&self) -> Neighbors;
    /// Its routes.
    fn routes(&self) -> Routes;

    /// Reads the configuration file again, in later turns. What this gives names the request.
    fn reload(&mut self) -> ReloadId;

    /// What became of a request to reload; `None` while the file is read.
    fn reloaded(&mut self, id: ReloadId) -> Option<Reloaded>;

    /// The next conns that the filter takes, at most `limit` of them, from `cursor` on.
    ///
    /// A director that must ask a worker first answers an empty chunk with `next` at the same cursor, and is asked again in a later
    /// turn. Several clients may list at once, each with its own cursor. A conn that lives through the whole listing is in it once; one
    /// that is made or ends meanwhile may be missing.
    fn conns(&mut self, filter: &ConnFilter, cursor: Cursor, limit: usize) -> ConnChunk;
}

/// One request to reload. Its meaning is the director's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReloadId(pub u64);

/// A place in the listing of conns. Its meaning is the director's own, such as worker and slab index; 0 is the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Cursor(pub u64);

impl Cursor {
    /// Before the first conn.
    pub const START: Cursor = Cursor(0);
}

/// A part of the listing of conns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnChunk {
    /// Some conns, perhaps none.
    pub conns: Vec<Conn>,
    /// Where to go on; `None`: that was all.
    pub next: Option<Cursor>,
}
