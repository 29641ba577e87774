//! expire_nodest_conn, a worker's part: soon after a real server was removed the conns of all that are removed end by themselves
//! (recorded), and not only with their next packet. The worker goes through its table in parts, one a turn, so that a million of
//! them cost each burst the same small share; a server that is back by then keeps what is left of its conns.

use super::{Now, Shard};
use crate::services::ServerId;
use arrayvec::ArrayVec;
use conntrack::{Conn, ConnId};

/// Places that one turn looks at: they lie one behind the other, so that takes about a microsecond.
const PLACES_PER_TURN: usize = 256;
/// Conns that one turn ends: less than a burst costs.
const ENDS_PER_TURN: usize = 16;

/// How far one worker has come.
#[derive(Clone, Copy, Debug, Default)]
pub struct Orphans {
    /// Places that held a conn when the last order came. Who came to others since has a server that is there.
    places: usize,
    /// The next place to look at.
    from: usize,
    /// From there on so many are still to be looked at; the first comes after the last.
    left: usize,
}

impl Shard {
    /// Servers were removed: every conn is to be looked at from now on.
    pub fn begin_to_end_orphans(&mut self) {
        let places = self.table.places();
        self.orphans = Orphans { places, left: places, ..self.orphans };
    }

    /// A turn's part. True: there is more.
    #[inline]
    pub fn end_orphans(&mut self, now: Now) -> bool {
        self.orphans.left > 0 && self.end_orphans_of_part(now)
    }

    #[cold]
    fn end_orphans_of_part(&mut self, now: Now) -> bool {
        let Orphans { places, from, left } = self.orphans;
        let end = places.min(from + left.min(PLACES_PER_TURN));
        let live = &self.shared.live;
        let is_orphan = |(_, conn): &(ConnId, &Conn)| !live.is_available(ServerId(conn.server));
        let mut ending = ArrayVec::<ConnId, ENDS_PER_TURN>::new();
        let mut next = end;
        for (id, conn) in self.table.listing(from, end - from, now.tick).filter(is_orphan) {
            if ending.is_full() {
                next = id.0 as usize;
                break;
            }
            // What taking it out will touch is on its way when the others were looked at.
            self.table.prefetch_key(&conn.inbound_key());
            conn.outbound_key().inspect(|key| _ = self.table.prefetch_key(key));
            ending.push(id);
        }
        for id in ending {
            self.end_now(id);
        }
        self.orphans = Orphans { places, from: if next == places { 0 } else { next }, left: left - (next - from) };
        self.orphans.left > 0
    }
}
