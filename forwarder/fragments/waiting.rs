//! Fragments that wait for the rest of their packet. A fixed number of places, taken before the worker starts; a time limit;
//! and no sender takes all: who has its share full loses its own oldest packet, and when all places are taken the oldest of
//! all goes. Lists of 256 numbers are searched from end to end: they lie in the first-level cache, and nothing can be made
//! to degenerate.
//!
//! ```text
//!   hashes   | h | 0 | h | …   256     whose packet a slot holds, 0: free
//!   slots    | end, bytes there, first ─┐ …
//!   kept     | frame, piece, next ◀─────┘ ─▶ next ─▶ …       1024, in the order of their place in the packet
//! ```

use super::piece::{Impossible, Piece};
use super::whole::{self, Joined};
use crate::pipeline::{Parsed, Reason};
use crate::port::Frame;
use arrayvec::ArrayVec;
use conntrack::{Key, Seed};

/// Packets of one worker that may be unfinished at once.
pub const PACKETS_MAX: usize = 256;
/// Fragments of one worker that may wait at once: 1024 buffers of 2 kB, half of what a kernel's default spends on them.
pub const FRAGMENTS_MAX: usize = 1_024;
/// Of both, what one source and destination may have: a quarter.
pub const SHARE: usize = 4;
/// Fragments of one packet: one of 64 kB that came over links as narrow as IPv4 hosts must take, 576 bytes.
pub const PIECES_MAX: usize = 128;
/// How long an IPv4 packet's fragments wait for each other: the kernel's time.
pub const WAIT_V4_MS: u64 = 30_000;
/// The same for IPv6: RFC 8200, section 4.5.
pub const WAIT_V6_MS: u64 = 60_000;

const NONE: u16 = u16::MAX;

/// The fragments of one worker that wait.
pub struct Waiting<F> {
    seed: Seed,
    /// Of each slot's key; 0: the slot is free.
    hashes: Box<[u64; PACKETS_MAX]>,
    /// Of each slot's source and destination.
    pairs: Box<[u64; PACKETS_MAX]>,
    slots: Box<[Slot; PACKETS_MAX]>,
    kept: Box<[Kept<F>]>,
    /// The first free place in `kept`.
    free: u16,
    fragments: usize,
    packets: usize,
    /// Packets that were ever begun: what is older has a smaller number.
    begun: u64,
}

#[derive(Clone, Copy)]
struct Slot {
    key: Key,
    number: u64,
    since_ms: u64,
    /// The piece that begins first.
    first: u16,
    fragments: u16,
    /// Bytes of payload that are there.
    bytes: u32,
    /// Where the payload ends, once the last piece is there.
    end: Option<u32>,
    /// Where the piece ends that ends last.
    reach: u32,
}

struct Kept<F> {
    frame: Option<(F, Parsed)>,
    piece: Piece,
    next: u16,
}

/// What has waited too long.
pub struct Expired<F> {
    /// The packet's first fragment, whose sender is told (RFC 792, RFC 8200 section 4.5), if it is there.
    pub first: Option<(F, Parsed)>,
    /// All fragments that waited, that one included.
    pub fragments: u64,
}

/// What an arriving fragment is to those that are there.
enum Fit {
    /// Nothing is where it belongs: behind this place of the list, [`NONE`] for its front.
    Behind(u16),
    /// All of it is there.
    Duplicate,
    /// Some of it is there.
    Overlap,
}

impl<F: Frame> Waiting<F> {
    /// Places for fragments; nothing waits yet.
    pub fn new(seed: Seed) -> Self {
        let piece = Piece { start: 0, end: 0, more: false };
        let empty =
            |at: usize| Kept { frame: None, piece, next: if at + 1 < FRAGMENTS_MAX { at as u16 + 1 } else { NONE } };
        let slot = Slot {
            key: crate::pipeline::classify::no_key(),
            number: 0,
            since_ms: 0,
            first: NONE,
            fragments: 0,
            bytes: 0,
            end: None,
            reach: 0,
        };
        Self {
            seed,
            hashes: Box::new([0; PACKETS_MAX]),
            pairs: Box::new([0; PACKETS_MAX]),
            slots: Box::new([slot; PACKETS_MAX]),
            kept: (0..FRAGMENTS_MAX).map(empty).collect(),
            free: 0,
            fragments: 0,
            packets: 0,
            begun: 0,
        }
    }

    /// Fragments that wait.
    pub fn fragments(&self) -> usize {
        self.fragments
    }

    /// Takes a fragment, and gives its packet if that is whole now. `dropped` is told of each frame that is not kept, or no
    /// longer.
    pub fn add(
        &mut self,
        frame: F,
        parsed: &Parsed,
        key: &Key,
        now_ms: u64,
        mut dropped: impl FnMut(Reason),
    ) -> Option<Joined<F>> {
        let (hash, pair) = (self.hash(key), self.pair(key));
        let mut slot = self.find(hash, key);
        let piece = match Piece::of(frame.bytes(), parsed) {
            Ok(piece) if slot.is_none_or(|at| self.agrees(at, piece)) => piece,
            wrong => {
                // As recorded: an IPv4 packet of which fragments contradict each other is not to be trusted; of an IPv6 one
                // only the fragment is left out that contradicts those before it.
                let spoilt = !parsed.v6 && wrong != Err(Impossible::Odd);
                if spoilt && let Some(at) = slot {
                    self.drop_packet(at, Reason::BadFragment, &mut dropped);
                }
                dropped(Reason::BadFragment);
                return None;
            }
        };
        let fit = slot.map_or(Fit::Behind(NONE), |at| self.fit(at, piece));
        let behind = match fit {
            Fit::Behind(place) => place,
            Fit::Duplicate => {
                dropped(Reason::FragmentDuplicate);
                return None;
            }
            Fit::Overlap => {
                // RFC 5722, and what the kernel does for IPv4, too.
                if let Some(at) = slot {
                    self.drop_packet(at, Reason::FragmentOverlap, &mut dropped);
                }
                dropped(Reason::FragmentOverlap);
                return None;
            }
        };
        self.make_room(pair, slot, &mut dropped);
        // Its own packet may have been the one that had to go.
        let (at, behind) = match slot.take_if(|at| self.hashes[*at] != 0) {
            Some(at) => (at, behind),
            None => (self.begin(hash, pair, key, now_ms), NONE),
        };
        self.insert(at, behind, frame, parsed, piece);
        let packet = &self.slots[at];
        (packet.end == Some(packet.bytes)).then(|| self.finish(at, &mut dropped)).flatten()
    }

    /// The next packet whose time is over.
    pub fn take_expired(&mut self, now_ms: u64) -> Option<Expired<F>> {
        if self.packets == 0 {
            return None;
        }
        let over = |slot: &Slot| {
            now_ms.saturating_sub(slot.since_ms) >= if slot.key.is_v6() { WAIT_V6_MS } else { WAIT_V4_MS }
        };
        let at = (0..PACKETS_MAX).find(|&at| self.hashes[at] != 0 && over(&self.slots[at]))?;
        let fragments = u64::from(self.slots[at].fragments);
        let first = self.slots[at].first;
        let begins = self.kept[usize::from(first)].piece.start == 0;
        let first = if begins { self.kept[usize::from(first)].frame.take() } else { None };
        self.drop_packet(at, Reason::FragmentTimeout, &mut |_| ());
        Some(Expired { first, fragments })
    }

    /// Lets go everything; gives how many fragments that were.
    pub fn clear(&mut self) -> u64 {
        let fragments = self.fragments as u64;
        for at in 0..PACKETS_MAX {
            if self.hashes[at] != 0 {
                self.drop_packet(at, Reason::Stopped, &mut |_| ());
            }
        }
        fragments
    }

    fn hash(&self, key: &Key) -> u64 {
        self.seed.hash(key).max(1)
    }

    /// The hash of who sends to whom.
    fn pair(&self, key: &Key) -> u64 {
        self.seed.hash_endpoint(key.src_bytes(), 0) ^ self.seed.hash_endpoint(key.dst_bytes(), 1)
    }

    fn find(&self, hash: u64, key: &Key) -> Option<usize> {
        (0..PACKETS_MAX).find(|&at| self.hashes[at] == hash && self.slots[at].key == *key)
    }

    /// Does what the piece says of the packet's end agree with the others, and may it have one more?
    fn agrees(&self, at: usize, piece: Piece) -> bool {
        let slot = &self.slots[at];
        if usize::from(slot.fragments) == PIECES_MAX {
            return false;
        }
        match (slot.end, piece.more) {
            (Some(end), true) => piece.end <= end,
            (Some(end), false) => piece.end == end,
            (None, true) => true,
            (None, false) => piece.end >= slot.reach,
        }
    }

    /// Where the piece belongs. What lies wholly within pieces that touch each other is a duplicate.
    fn fit(&self, at: usize, piece: Piece) -> Fit {
        let (mut behind, mut next) = (NONE, self.slots[at].first);
        let mut run = 0..0;
        while next != NONE {
            let kept = &self.kept[usize::from(next)];
            let (start, end) = (kept.piece.start, kept.piece.end);
            run = if start == run.end && behind != NONE { run.start..end } else { start..end };
            if piece.start < end && start < piece.end {
                // The run may go on behind this one.
                let mut reach = end;
                let mut further = kept.next;
                while further != NONE && self.kept[usize::from(further)].piece.start == reach && reach < piece.end {
                    reach = self.kept[usize::from(further)].piece.end;
                    further = self.kept[usize::from(further)].next;
                }
                let within = run.start <= piece.start && piece.end <= reach;
                return if within { Fit::Duplicate } else { Fit::Overlap };
            }
            if start >= piece.end {
                break;
            }
            (behind, next) = (next, kept.next);
        }
        Fit::Behind(behind)
    }

    /// Frees a place for a fragment, and a slot unless its packet has one.
    fn make_room(&mut self, pair: u64, slot: Option<usize>, dropped: &mut impl FnMut(Reason)) {
        let (mut packets, mut fragments) = (0, 0);
        for at in 0..PACKETS_MAX {
            if self.pairs[at] == pair && self.hashes[at] != 0 {
                packets += 1;
                fragments += usize::from(self.slots[at].fragments);
            }
        }
        let share_full = slot.is_none() && packets >= PACKETS_MAX / SHARE || fragments >= FRAGMENTS_MAX / SHARE;
        if share_full && let Some(oldest) = self.oldest(Some(pair)) {
            self.drop_packet(oldest, Reason::FragmentsFull, dropped);
        }
        let all_full = slot.is_none() && self.packets == PACKETS_MAX || self.free == NONE;
        if all_full && let Some(oldest) = self.oldest(None) {
            self.drop_packet(oldest, Reason::FragmentsFull, dropped);
        }
    }

    /// The packet that was begun first, of this pair or of all.
    fn oldest(&self, pair: Option<u64>) -> Option<usize> {
        let of_pair = |at: &usize| self.hashes[*at] != 0 && pair.is_none_or(|pair| self.pairs[*at] == pair);
        (0..PACKETS_MAX).filter(of_pair).min_by_key(|&at| self.slots[at].number)
    }

    fn begin(&mut self, hash: u64, pair: u64, key: &Key, now_ms: u64) -> usize {
        let at = self.hashes.iter().position(|hash| *hash == 0).expect("room was made for it");
        (self.hashes[at], self.pairs[at]) = (hash, pair);
        self.begun += 1;
        self.packets += 1;
        self.slots[at] = Slot {
            key: *key,
            number: self.begun,
            since_ms: now_ms,
            first: NONE,
            fragments: 0,
            bytes: 0,
            end: None,
            reach: 0,
        };
        at
    }

    fn insert(&mut self, at: usize, behind: u16, frame: F, parsed: &Parsed, piece: Piece) {
        let place = self.free;
        let slot = &mut self.slots[at];
        let next = match behind {
            NONE => std::mem::replace(&mut slot.first, place),
            _ => std::mem::replace(&mut self.kept[usize::from(behind)].next, place),
        };
        let kept = &mut self.kept[usize::from(place)];
        self.free = std::mem::replace(&mut kept.next, next);
        (kept.frame, kept.piece) = (Some((frame, *parsed)), piece);
        slot.fragments += 1;
        slot.bytes += piece.end - piece.start;
        slot.reach = slot.reach.max(piece.end);
        if !piece.more {
            slot.end = Some(piece.end);
        }
        self.fragments += 1;
    }

    /// All pieces are there: they become one chain.
    fn finish(&mut self, at: usize, dropped: &mut impl FnMut(Reason)) -> Option<Joined<F>> {
        let mut parts = ArrayVec::new();
        self.empty(at, |frame| parts.extend(frame));
        let fragments = parts.len();
        match whole::join(parts) {
            Ok(joined) => Some(joined),
            Err(reason) => {
                (0..fragments).for_each(|_| dropped(reason));
                None
            }
        }
    }

    fn drop_packet(&mut self, at: usize, reason: Reason, dropped: &mut impl FnMut(Reason)) {
        self.empty(at, |_| dropped(reason));
    }

    /// Frees a slot and its places; `each` gets what they held, in the order of the packet.
    fn empty(&mut self, at: usize, mut each: impl FnMut(Option<(F, Parsed)>)) {
        let mut next = self.slots[at].first;
        while next != NONE {
            let place = next;
            let kept = &mut self.kept[usize::from(place)];
            next = std::mem::replace(&mut kept.next, self.free);
            self.free = place;
            self.fragments -= 1;
            each(kept.frame.take());
        }
        self.hashes[at] = 0;
        self.packets -= 1;
    }
}
