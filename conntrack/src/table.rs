//! Conn table of one worker. Fixed size; it refuses when full and never grows: a SYN flood costs a counter, not memory.
//!
//! A slab of conns, an index with one entry per key (two for a translated conn), and a wheel. All memory is mapped at start.
//! A conn past its deadline is dead to look-ups and listings whether or not the wheel has come by.

use std::{fmt, io};

use crate::conn::{Conn, ConnId, Direction};
use crate::index::{Index, Pointer};
use crate::key::Key;
use crate::mapped::Mapped;
use crate::processor::prefetch;
use crate::seed::Seed;
use crate::tick::Tick;
use crate::timers::{Links, NIL, Timed, Verdict, Wheel};

/// What a look-up found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The conn.
    pub id: ConnId,
    /// Which of its keys it was.
    pub direction: Direction,
}

/// `conns_max` conns are in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableFull;

impl fmt::Display for TableFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the conn table is full")
    }
}

impl std::error::Error for TableFull {}

/// The conns of one worker.
pub struct Table {
    pub(crate) conns: Mapped<Conn>,
    pub(crate) index: Index,
    seed: Seed,
    wheel: Wheel,
    conns_max: u32,
    len: u32,
    /// Places from here on were never used.
    fresh: u32,
    /// The last place that was freed; the others hang behind it.
    free: u32,
}

/// Most conns a table can have: an index entry keeps one bit for the direction, a wheel link one for the slot.
const CONNS_LIMIT: usize = 1 << 30;
/// Conns that [`Table::expire`] takes out together, so that their index misses overlap.
const GROUP: usize = 16;

impl Table {
    /// A table for at most `conns_max` conns, its memory mapped (see [`Table::populate`]), its timers starting at `now`.
    ///
    /// Fails when the system has no memory, or `conns_max` is not in 1 to 2^30.
    pub fn new(conns_max: usize, seed: Seed, now: Tick) -> io::Result<Table> {
        if conns_max == 0 || conns_max > CONNS_LIMIT {
            let why = format!("conns_max: {conns_max}, must be 1 to {CONNS_LIMIT}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        Ok(Table {
            conns: Mapped::new(conns_max)?,
            index: Index::new(2 * conns_max)?,
            seed,
            wheel: Wheel::new(now),
            conns_max: conns_max as u32,
            len: 0,
            fresh: 0,
            free: NIL,
        })
    }

    /// Bytes that a table of `conns_max` takes, index and timers included.
    pub const fn memory_bytes(conns_max: usize) -> usize {
        conns_max * size_of::<Conn>() + Index::memory_bytes(2 * conns_max) + Wheel::memory_bytes()
    }

    /// Takes all memory from the system now. Without it, pages arrive as they are first used.
    pub fn populate(&self) -> io::Result<()> {
        self.conns.populate()?;
        self.index.populate()
    }

    /// Conns in the table, those that are dead but not yet taken out included.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether no conn is in the table.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the next insert is refused.
    pub fn is_full(&self) -> bool {
        self.len == self.conns_max
    }

    /// The bound that the table was made with.
    pub fn conns_max(&self) -> usize {
        self.conns_max as usize
    }

    /// Places that ever held a conn: a walk through all conns ends there.
    pub fn places(&self) -> usize {
        self.fresh as usize
    }

    /// The hash by which this table finds `key`.
    #[inline(always)]
    pub fn hash(&self, key: &Key) -> u64 {
        self.seed.hash(key)
    }

    /// The newest live conn with `key`.
    pub fn find(&self, key: &Key, now: Tick) -> Option<Hit> {
        self.find_hashed(key, self.hash(key), now)
    }

    /// [`Table::find`] with the hash at hand.
    #[inline]
    pub fn find_hashed(&self, key: &Key, hash: u64, now: Tick) -> Option<Hit> {
        let conns = self.conns.all();
        let is_it = |pointer: Pointer| {
            let conn = &conns[pointer.id().0 as usize];
            conn.matches(key, pointer.direction()) && !conn.is_dead(now)
        };
        let pointer = self.index.find(hash, is_it)?;
        Some(Hit { id: pointer.id(), direction: pointer.direction() })
    }

    /// Adds a conn, last seen `now`. It is found before older ones with equal keys.
    pub fn insert(&mut self, mut conn: Conn, now: Tick) -> Result<ConnId, TableFull> {
        let id = self.take_place().ok_or(TableFull)?;
        conn.touch(now);
        self.conns.all_mut()[id.0 as usize] = conn;
        self.wheel.link(self.conns.all_mut(), id.0);
        for (key, direction) in keys(&conn) {
            let hash = self.hash(&key);
            let conns = self.conns.all();
            let same = |other: Pointer| conns[other.id().0 as usize].matches(&key, other.direction());
            self.index.insert(hash, Pointer::new(id, direction), same);
        }
        Ok(id)
    }

    /// Takes a conn out and returns what it was.
    pub fn remove(&mut self, id: ConnId) -> Conn {
        let conn = *self.conn(id);
        self.wheel.unlink(self.conns.all_mut(), id.0);
        for (key, direction) in keys(&conn) {
            self.index.remove(self.seed.hash(&key), Pointer::new(id, direction));
        }
        self.free_place(id);
        conn
    }

    /// A conn of this table. Panics if the id is not one of a conn that is in it.
    #[inline(always)]
    pub fn conn(&self, id: ConnId) -> &Conn {
        let conn = &self.conns.all()[id.0 as usize];
        debug_assert!(conn.is_in_use(), "{id:?} names a free place");
        conn
    }

    /// A conn of this table, to be changed. A new time-out goes through [`Table::set_timeout`].
    #[inline(always)]
    pub fn conn_mut(&mut self, id: ConnId) -> &mut Conn {
        let conn = &mut self.conns.all_mut()[id.0 as usize];
        debug_assert!(conn.is_in_use(), "{id:?} names a free place");
        conn
    }

    /// Starts to load a conn's first line.
    #[inline(always)]
    pub fn prefetch(&self, id: ConnId) {
        prefetch(&self.conns.all()[id.0 as usize]);
    }

    /// Starts to load what an insert of a conn with `key` needs: admit asks for a whole burst's keys before it inserts.
    /// Returns the key's hash.
    #[inline(always)]
    pub fn prefetch_key(&self, key: &Key) -> u64 {
        let hash = self.hash(key);
        self.index.prefetch_home(hash);
        hash
    }

    /// Gives a conn another time-out, counted from `now`. A shorter one is relinked at once; a longer one costs a store.
    pub fn set_timeout(&mut self, id: ConnId, ticks: u32, now: Tick) {
        let conn = self.conn_mut(id);
        let before = conn.timeout();
        conn.set_timer(now, ticks);
        if ticks < before {
            self.wheel.unlink(self.conns.all_mut(), id.0);
            self.wheel.link(self.conns.all_mut(), id.0);
        }
    }

    /// Looks at conns whose time may have come, `budget` at most, and asks `judge` about those that are past their deadline.
    /// Returns how many it looked at: as many as `budget` means that there are more.
    pub fn expire(&mut self, now: Tick, budget: usize, judge: &mut impl FnMut(ConnId, &Conn) -> Verdict) -> usize {
        let mut steps = self.wheel.begin(now);
        let mut seen = 0;
        while seen < budget {
            let mut ending = [(ConnId(NIL), 0, 0); GROUP];
            let (mut ends, mut drained) = (0, false);
            while ends < GROUP && seen < budget {
                let conns = self.conns.all_mut();
                let Some(place) = self.wheel.pop(conns, now, &mut steps) else {
                    drained = true;
                    break;
                };
                seen += 1;
                let (id, conn) = (ConnId(place), &mut conns[place as usize]);
                if conn.is_dead(now) {
                    match judge(id, conn) {
                        Verdict::End => {
                            ending[ends] = self.prefetch_entries(id);
                            ends += 1;
                            continue;
                        }
                        Verdict::Keep(ticks) => conn.set_timer(now, ticks.max(1)),
                    }
                }
                self.wheel.link(self.conns.all_mut(), place);
            }
            for &(id, inbound, outbound) in &ending[..ends] {
                self.index.remove(inbound, Pointer::new(id, Direction::Inbound));
                if self.conn(id).has_outbound_entry() {
                    self.index.remove(outbound, Pointer::new(id, Direction::Outbound));
                }
                self.free_place(id);
            }
            if drained {
                break;
            }
        }
        seen
    }

    /// Ticks that [`Table::expire`] is behind the clock: above a second, it should be called more often.
    pub fn expire_behind(&self, now: Tick) -> u32 {
        self.wheel.behind(now)
    }

    /// The live conns among the places `from..from + count`: a listing goes through the table in bounded steps and ends
    /// when `from` is [`Table::conns_max`].
    pub fn listing(&self, from: usize, count: usize, now: Tick) -> impl Iterator<Item = (ConnId, &Conn)> {
        let end = from.saturating_add(count).min(self.fresh as usize);
        let places = self.conns.all().get(from..end).unwrap_or(&[]);
        let live = move |conn: &Conn| conn.is_in_use() && !conn.is_dead(now);
        places.iter().zip(from as u32..).filter(move |(conn, _)| live(conn)).map(|(conn, place)| (ConnId(place), conn))
    }

    fn prefetch_entries(&self, id: ConnId) -> (ConnId, u64, u64) {
        let mut hashes = [0; 2];
        for (key, direction) in keys(self.conn(id)) {
            let hash = self.seed.hash(&key);
            self.index.prefetch_home(hash);
            hashes[direction as usize] = hash;
        }
        (id, hashes[0], hashes[1])
    }

    fn take_place(&mut self) -> Option<ConnId> {
        let place = if self.free != NIL {
            let place = self.free;
            self.free = self.conns.all_mut()[place as usize].links().next;
            if self.free != NIL {
                // The next insert begins by reading it.
                self.prefetch(ConnId(self.free));
            }
            place
        } else if self.fresh < self.conns_max {
            self.fresh += 1;
            self.fresh - 1
        } else {
            return None;
        };
        self.len += 1;
        Some(ConnId(place))
    }

    fn free_place(&mut self, id: ConnId) {
        let conn = &mut self.conns.all_mut()[id.0 as usize];
        conn.clear();
        *conn.links() = Links { next: self.free, prev: NIL };
        self.free = id.0;
        self.len -= 1;
    }
}

fn keys(conn: &Conn) -> impl Iterator<Item = (Key, Direction)> {
    let outbound = conn.outbound_key().map(|key| (key, Direction::Outbound));
    std::iter::once((conn.inbound_key(), Direction::Inbound)).chain(outbound)
}
