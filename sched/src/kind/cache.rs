//! What lblc and lblcr remember of destinations. Room for a fixed number is taken at the start and never more.
//!
//! The kernel's cache grows, and a timer weeds it: every half hour what was not used for the expiration time goes.
//! Here nothing sweeps. An entry that the last such check would have taken is dead to look-ups, which is the same to
//! whoever asks. When the cache is full, the least recently used of a few entries makes room; the kernel, at the same
//! size, begins to weed entries that were idle for six minutes.

use std::hash::BuildHasher;
use std::net::IpAddr;

use foldhash::fast::RandomState;

/// Destinations that one service remembers.
pub const ADDRESSES_MAX: usize = 16_384;

/// From one check to the next.
const CHECK_EVERY_MS: u64 = 30 * 60 * 1000;
/// Entries that are looked at for the least recently used one.
const CANDIDATES: usize = 8;
const NONE: u32 = u32::MAX;

/// A value for each address, found by chains from a table of buckets.
pub struct Cache<V> {
    buckets: Vec<u32>,
    entries: Vec<Entry<V>>,
    hasher: RandomState,
    expiration_ms: u64,
    /// When the first address was asked for: checks are counted from there.
    start_ms: Option<u64>,
    /// The next entry to be looked at for making room.
    hand: usize,
}

struct Entry<V> {
    address: IpAddr,
    used_ms: u64,
    next: u32,
    value: V,
}

impl<V> Cache<V> {
    /// Takes the memory; pages are touched only as they fill.
    pub fn new(expiration_ms: u64) -> Self {
        Cache {
            buckets: vec![NONE; ADDRESSES_MAX],
            entries: Vec::with_capacity(ADDRESSES_MAX),
            hasher: RandomState::default(),
            expiration_ms,
            start_ms: None,
            hand: 0,
        }
    }

    /// Takes over what `old` remembers; the expiration stays as it is here.
    pub fn inherit(&mut self, old: &mut Self) {
        let expiration_ms = self.expiration_ms;
        std::mem::swap(self, old);
        self.expiration_ms = expiration_ms;
    }

    /// Changes every value.
    pub fn for_each(&mut self, change: impl FnMut(&mut V)) {
        self.entries.iter_mut().map(|entry| &mut entry.value).for_each(change);
    }

    /// The value of `address`, if it is remembered; this counts as a use.
    pub fn get(&mut self, address: IpAddr, now_ms: u64) -> Option<&mut V> {
        let checked_ms = self.checked_ms(now_ms);
        let at = self.find(address)?;
        let entry = &mut self.entries[at];
        if checked_ms.is_some_and(|checked| checked >= entry.used_ms.saturating_add(self.expiration_ms)) {
            return None;
        }
        entry.used_ms = now_ms;
        Some(&mut entry.value)
    }

    /// Remembers `value` for `address`.
    pub fn insert(&mut self, address: IpAddr, value: V, now_ms: u64) {
        if let Some(at) = self.find(address) {
            let entry = &mut self.entries[at];
            (entry.value, entry.used_ms) = (value, now_ms);
            return;
        }
        let bucket = self.bucket_of(address);
        let entry = |next| Entry { address, used_ms: now_ms, next, value };
        if self.entries.len() < ADDRESSES_MAX {
            self.entries.push(entry(self.buckets[bucket]));
            self.buckets[bucket] = self.entries.len() as u32 - 1;
        } else {
            let at = self.least_recently_used();
            self.unlink(at);
            // Read after unlinking: the entry that went may have been the first of this chain.
            self.entries[at] = entry(self.buckets[bucket]);
            self.buckets[bucket] = at as u32;
        }
    }

    /// When the last check was, if there was one.
    fn checked_ms(&mut self, now_ms: u64) -> Option<u64> {
        let start_ms = *self.start_ms.get_or_insert(now_ms);
        let checks = now_ms.saturating_sub(start_ms) / CHECK_EVERY_MS;
        (checks > 0).then_some(start_ms + checks * CHECK_EVERY_MS)
    }

    fn least_recently_used(&mut self) -> usize {
        let first = self.hand;
        self.hand = (first + CANDIDATES) % ADDRESSES_MAX;
        let candidates = (first..first + CANDIDATES).map(|at| at % ADDRESSES_MAX);
        candidates.min_by_key(|&at| self.entries[at].used_ms).expect("there are candidates")
    }

    fn unlink(&mut self, gone: usize) {
        let bucket = self.bucket_of(self.entries[gone].address);
        let next = self.entries[gone].next;
        if self.buckets[bucket] == gone as u32 {
            self.buckets[bucket] = next;
            return;
        }
        let mut at = self.buckets[bucket] as usize;
        while self.entries[at].next != gone as u32 {
            at = self.entries[at].next as usize;
        }
        self.entries[at].next = next;
    }

    fn find(&self, address: IpAddr) -> Option<usize> {
        let mut at = self.buckets[self.bucket_of(address)];
        while let Some(entry) = self.entries.get(at as usize) {
            if entry.address == address {
                return Some(at as usize);
            }
            at = entry.next;
        }
        None
    }

    fn bucket_of(&self, address: IpAddr) -> usize {
        self.hasher.hash_one(address) as usize % ADDRESSES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    #[test]
    fn full_it_forgets_the_least_recently_used_of_a_few_and_never_grows() {
        let mut cache = Cache::new(u64::MAX);
        let room = cache.entries.capacity();
        for number in 0..ADDRESSES_MAX as u32 {
            cache.insert(address(number), number, 1);
        }
        // Of the first eight, all but number 5 are used again.
        for number in (0..8).filter(|&number| number != 5) {
            cache.get(address(number), 2);
        }
        cache.insert(address(u32::MAX), 0, 3);
        assert_eq!(cache.get(address(5), 3), None);
        for number in (0..ADDRESSES_MAX as u32).filter(|&number| number != 5) {
            assert_eq!(cache.get(address(number), 3), Some(&mut number.clone()));
        }
        for number in 0..3 * ADDRESSES_MAX as u32 {
            cache.insert(address(1 << 20 | number), number, 4);
            assert_eq!(cache.get(address(1 << 20 | number), 4), Some(&mut number.clone()));
        }
        assert_eq!((cache.entries.len(), cache.entries.capacity()), (ADDRESSES_MAX, room));
        let chained: usize = (0..ADDRESSES_MAX).map(|bucket| chain_length(&cache, bucket)).sum();
        assert_eq!(chained, ADDRESSES_MAX, "every entry is in exactly one chain");
    }

    fn chain_length(cache: &Cache<u32>, bucket: usize) -> usize {
        let first = cache.entries.get(cache.buckets[bucket] as usize);
        std::iter::successors(first, |entry| cache.entries.get(entry.next as usize)).count()
    }

    #[test]
    fn unused_entries_end_at_the_half_hour_and_not_before() {
        const MINUTE: u64 = 60_000;
        // expiration, last use, then asked at → still there
        for (expiration_ms, used_ms, asked_ms, there) in [
            (MINUTE, 0, 29 * MINUTE, true),
            (MINUTE, 0, 30 * MINUTE, false),
            (MINUTE, 29 * MINUTE, 30 * MINUTE, false),
            (MINUTE, 29 * MINUTE + 1, 30 * MINUTE, true),
            (MINUTE, 31 * MINUTE, 59 * MINUTE, true),
            (MINUTE, 31 * MINUTE, 60 * MINUTE, false),
            (40 * MINUTE, 0, 45 * MINUTE, true),
            (40 * MINUTE, 0, 60 * MINUTE, false),
            (u64::MAX, 0, 600 * MINUTE, true),
        ] {
            let start_ms = 7;
            let mut cache = Cache::new(expiration_ms);
            assert_eq!(cache.get(address(1), start_ms), None);
            cache.insert(address(1), (), start_ms + used_ms);
            let found = cache.get(address(1), start_ms + asked_ms).is_some();
            assert_eq!(found, there, "expiration {expiration_ms} used {used_ms} asked {asked_ms}");
        }
    }
}
