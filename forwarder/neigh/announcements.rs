//! Own addresses that are told to everybody, unasked: at the start, and when an address is new. So caches on the link that
//! still hold the former owner's MAC are corrected (a director that took over from another).

use std::collections::BTreeSet;
use std::net::IpAddr;

/// How often each address is announced, and the time between (RFC 5227: ANNOUNCE_NUM, ANNOUNCE_INTERVAL).
const TIMES: u8 = 2;
const GAP_MS: u64 = 2_000;
/// Announcements in a turn: a prefix of local addresses must not become a storm.
const PER_TURN: u32 = 64;

pub(super) struct Announcements {
    /// (when, times left, port, address). As many as there are own addresses, at most.
    waiting: BTreeSet<(u64, u8, u16, IpAddr)>,
    turn_ms: u64,
    in_turn: u32,
}

impl Announcements {
    pub(super) fn new() -> Announcements {
        Announcements { waiting: BTreeSet::new(), turn_ms: 0, in_turn: 0 }
    }

    /// Announces own addresses from the next turn on, each by its port.
    pub(super) fn add(&mut self, addresses: impl Iterator<Item = (u16, IpAddr)>) {
        self.waiting.extend(addresses.map(|(port, address)| (0, TIMES, port, address)));
    }

    /// The next one that is due, up to the turn's limit. A turn is a moment of the clock.
    pub(super) fn next(&mut self, now_ms: u64) -> Option<(u16, IpAddr)> {
        if self.turn_ms != now_ms {
            (self.turn_ms, self.in_turn) = (now_ms, 0);
        }
        if self.in_turn == PER_TURN || self.waiting.first()?.0 > now_ms {
            return None;
        }
        let (_, left, port, address) = self.waiting.pop_first()?;
        self.in_turn += 1;
        if left > 1 {
            self.waiting.insert((now_ms + GAP_MS, left - 1, port, address));
        }
        Some((port, address))
    }
}
