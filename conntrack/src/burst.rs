//! Look-ups for a whole burst, in stages, so that the cache misses of its packets overlap instead of following each other.
//!
//! ```text
//!  hash all, prefetch buckets → compare tags, prefetch conns → verify keys
//! ```

use crate::conn::{Conn, Direction};
use crate::index::{Glance, Pointer};
use crate::key::Key;
use crate::processor::prefetch;
use crate::table::{Hit, Table};
use crate::tick::Tick;

/// Most keys that one pass of the stages takes. Longer slices are cut into passes.
pub const BURST: usize = 32;

impl Table {
    /// The newest live conn of each key, as [`Table::find`] would say. `hits` must be as long as `keys`.
    pub fn find_burst(&self, keys: &[Key], now: Tick, hits: &mut [Option<Hit>]) {
        assert_eq!(keys.len(), hits.len(), "a place for each key's answer");
        let mut hashes = [0; BURST];
        for (keys, hits) in keys.chunks(BURST).zip(hits.chunks_mut(BURST)) {
            let hashes = &mut hashes[..keys.len()];
            self.hash_burst(keys, hashes);
            self.look_up(keys, hashes, now, hits);
        }
    }

    /// Hashes each key and starts to load its bucket: the first stage by itself, for a caller that needs the hashes too.
    #[inline]
    pub fn hash_burst(&self, keys: &[Key], hashes: &mut [u64]) {
        for (key, hash) in keys.iter().zip(hashes) {
            *hash = self.hash(key);
            self.index.prefetch_home(*hash);
        }
    }

    /// [`Table::find_burst`] with the hashes that [`Table::hash_burst`] gave.
    pub fn find_burst_hashed(&self, keys: &[Key], hashes: &[u64], now: Tick, hits: &mut [Option<Hit>]) {
        assert_eq!((keys.len(), keys.len()), (hits.len(), hashes.len()), "a hash and a place for each key");
        for ((keys, hashes), hits) in keys.chunks(BURST).zip(hashes.chunks(BURST)).zip(hits.chunks_mut(BURST)) {
            self.look_up(keys, hashes, now, hits);
        }
    }

    /// Which keys no live conn has, bit 0 for the first of at most 32: the search for a free port asks for a group at a time.
    pub fn probe_burst(&self, keys: &[Key], now: Tick) -> u32 {
        assert!(keys.len() <= BURST, "{} keys, at most {BURST} fit the mask", keys.len());
        let mut hits = [None; BURST];
        self.find_burst(keys, now, &mut hits[..keys.len()]);
        hits[..keys.len()].iter().enumerate().map(|(i, hit)| u32::from(hit.is_none()) << i).sum()
    }

    #[inline]
    fn look_up(&self, keys: &[Key], hashes: &[u64], now: Tick, hits: &mut [Option<Hit>]) {
        let conns = self.conns.all();
        let mut glances = [Glance::Absent; BURST];
        for ((key, hash), glance) in keys.iter().zip(hashes).zip(&mut glances) {
            *glance = self.index.glance(*hash);
            if let Glance::Candidate(pointer) = *glance {
                let conn = &conns[pointer.id().0 as usize];
                prefetch(conn);
                if key.is_v6() {
                    prefetch(conn.v6_pair(pointer.direction()));
                }
            }
        }
        for (((key, hash), glance), hit) in keys.iter().zip(hashes).zip(&glances).zip(hits) {
            *hit = match *glance {
                Glance::Candidate(pointer) if is_it(conns, pointer, key, now) => {
                    Some(Hit { id: pointer.id(), direction: pointer.direction() })
                }
                Glance::Absent => None,
                _ => self.find_hashed(key, *hash, now),
            };
        }
    }
}

#[inline(always)]
fn is_it(conns: &[Conn], pointer: Pointer, key: &Key, now: Tick) -> bool {
    let conn = &conns[pointer.id().0 as usize];
    conn.matches(key, pointer.direction()) && !conn.is_dead(now)
}

const _: () = assert!(Direction::Inbound as usize == 0 && size_of::<Option<Hit>>() == 8);
