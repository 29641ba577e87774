//! What a worker does against floods of new flows: drop some of their first packets (drop_packet), end conns that stay half
//! open (drop_entry), believe TCP less (secure_tcp). Each of the three never, always, or while memory is short: while the free
//! places of the worker's conn table are fewer than `amemthresh` pages of 4096 bytes. Looked at once a second, as by the kernel.

use super::{Now, Shard};
use crate::services::{Defense, Policy};
use crate::wire::protocol;
use conntrack::states::{sctp, tcp};
use conntrack::{Conn, ConnId, Table};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Milliseconds between two looks at how short memory is.
const LOOK_MS: u64 = 1_000;
/// `amemthresh` counts in these.
const PAGE_BYTES: u128 = 4_096;
/// drop_entry looks at one of so many places a second.
const SWEEP_SHARE: usize = 32;
/// A second's places are looked at in parts, one a turn: so many, or as many as get done in so many turns.
const SWEEP_PLACES: usize = 64;
const SWEEP_TURNS: usize = 1_000;

/// One worker's defences as they are now.
#[derive(Debug, Default)]
pub struct Defenses {
    /// TCP's stricter states are in force.
    pub secure_tcp: bool,
    /// Of so many first packets one is dropped. 0: none.
    drop_rate: u64,
    /// Which one: the last of them, or the first (recorded).
    drops_last: bool,
    /// Half-open conns are ended.
    drop_entry: bool,
    /// Where the second's places begin that are still to be looked at, and how many they are.
    sweep_from: usize,
    sweep_places: usize,
    look_ms: u64,
}

impl Defenses {
    /// Other settings: looked at with the next turn.
    pub fn look_again(&mut self) {
        self.look_ms = 0;
    }

    /// Is this first packet of a flow one of those that are dropped? All workers count together, as they do conns.
    #[inline]
    pub fn drops_packet(&self, first_packets: &AtomicU64) -> bool {
        self.drop_rate > 0 && {
            let counted = first_packets.fetch_add(1, Relaxed) + u64::from(self.drops_last);
            counted.is_multiple_of(self.drop_rate)
        }
    }

    #[cold]
    fn look(&mut self, policy: &Policy, table: &Table, random: u64) {
        let free = table.conns_max() - table.len();
        let missing = u64::from(policy.amemthresh).saturating_sub(pages_of_conns(free, table.conns_max()));
        let is_up = |defense| match defense {
            Defense::Never => false,
            Defense::WhenShort => missing > 0,
            Defense::Always => true,
        };
        self.secure_tcp = is_up(policy.secure_tcp);
        self.drop_entry = is_up(policy.drop_entry);
        match policy.drop_packet {
            Defense::WhenShort if missing > 0 => {
                (self.drop_rate, self.drops_last) = (u64::from(policy.amemthresh) / missing, true);
            }
            Defense::Always => (self.drop_rate, self.drops_last) = (policy.am_droprate.into(), false),
            Defense::WhenShort | Defense::Never => self.drop_rate = 0,
        }
        if self.drop_entry {
            self.sweep_from = random as usize % table.conns_max().max(1);
            self.sweep_places = table.conns_max().div_ceil(SWEEP_SHARE);
        }
    }
}

impl Shard {
    /// A part of this second's defence.
    #[inline]
    pub fn defend(&mut self, now: Now) {
        if now.ms >= self.defenses.look_ms {
            let random = self.random.u64(..);
            self.defenses.look(&self.services.policy, &self.table, random);
            self.defenses.look_ms = now.ms + LOOK_MS;
        }
        if self.defenses.sweep_places > 0 {
            self.sweep(now);
        }
    }

    /// Ends the half-open conns of the next places.
    #[cold]
    fn sweep(&mut self, now: Now) {
        let conns_max = self.table.conns_max();
        let a_turn = SWEEP_PLACES.max(conns_max / SWEEP_SHARE / SWEEP_TURNS);
        let Defenses { sweep_from: from, sweep_places: left, .. } = self.defenses;
        let places = a_turn.min(left).min(conns_max - from);
        let mut at = from;
        while at < from + places {
            let half_open = |(_, conn): &(ConnId, &Conn)| is_half_open(conn);
            let next = self.table.listing(at, from + places - at, now.tick).find(half_open);
            let Some(id) = next.map(|(id, _)| id) else { break };
            at = id.0 as usize + 1;
            self.end_now(id);
        }
        self.defenses.sweep_from = (from + places) % conns_max;
        self.defenses.sweep_places = left - places;
    }
}

/// Whole pages that so many conns of a table take.
fn pages_of_conns(conns: usize, conns_max: usize) -> u64 {
    (conns as u128 * Table::memory_bytes(conns_max) as u128 / (conns_max.max(1) as u128 * PAGE_BYTES)) as u64
}

/// Fewest conns of a table that take so many pages.
pub fn conns_of_pages(pages: usize, conns_max: usize) -> usize {
    (pages as u128 * PAGE_BYTES * conns_max as u128).div_ceil(Table::memory_bytes(conns_max) as u128) as usize
}

/// Nobody but the client has said anything, or nothing that the client heard.
fn is_half_open(conn: &Conn) -> bool {
    match conn.protocol() {
        protocol::TCP => matches!(tcp::State::of(conn.state), tcp::State::SynRecv | tcp::State::SynAck),
        protocol::SCTP => matches!(sctp::State::of(conn.state), sctp::State::Init1 | sctp::State::Init),
        _ => false,
    }
}
