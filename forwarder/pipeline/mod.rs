//! A packet's walk through a worker, stage by stage; each stage takes the whole burst.
//!
//! ```text
//! classify   bytes → offsets, flow key, what kind of packet
//! find       the burst's keys → conns, one DRAM miss hidden behind the others
//! admit      (no conn) service → real server → new conn
//! track      protocol state, time of the last packet, counters
//! ```
//!
//! Nothing here knows a port or its frames: the stages work on what classify found, the table and the snapshots.

pub mod admit;
pub mod classify;
pub mod defense;
mod fate;
mod options;
mod orphans;
mod planned;
mod quoted;
pub mod shard;
pub mod track;

use crate::port::BURST;
use arrayvec::ArrayVec;
use classify::no_key;
pub use classify::{Class, Parsed, StationMac, classify};
use conntrack::{Hit, Key};
pub use fate::{Fate, Reason};
pub use shard::Shard;

/// What is to be done with a frame, as far as the stages have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// No conn is known for it: admit decides.
    Admit,
    /// Along this conn.
    Forward(Hit),
    /// A fragment: kept until its packet is whole, or the host's, if nobody but the host has its destination.
    Reassemble,
    /// Of no conn and no service: to an own address, and the host's, if it carries that, else answered as a host would; or to
    /// another host's, and routed.
    Local,
    /// To a service at an own address, but it starts no conn and belongs to none: answered as a host would.
    Stray,
    /// To another host: routed.
    Route,
    /// Would be routed, but is a NAT server's, which is told that there is no conn.
    Unmatched,
    /// To control.
    Neighbor,
    /// Dropped, and the sender told or not.
    Refuse(Reason, Option<Tell>),
}

/// What the sender of a dropped packet is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tell {
    /// Nothing serves that port (ICMP 3/3, ICMPv6 1/4).
    PortUnreachable,
    /// No way there (ICMP 3/1, ICMPv6 1/3).
    HostUnreachable,
    /// No route there (ICMP 3/0, ICMPv6 1/0).
    NetworkUnreachable,
    /// TTL or hop limit used up in transit (ICMP 11/0, ICMPv6 3/0).
    TimeExceeded,
    /// Longer than this many bytes (ICMP 3/4, ICMPv6 2).
    TooBig(u16),
}

/// A burst on its way. The arrays run in parallel: entry i is about frame i.
#[derive(Default)]
pub struct Batch {
    /// What classify found.
    pub parsed: ArrayVec<Parsed, BURST>,
    /// The flows.
    pub keys: ArrayVec<Key, BURST>,
    /// What to do.
    pub steps: ArrayVec<Step, BURST>,
    /// Where the longest packet ends, in its frame.
    pub end_max: u32,
}

impl Batch {
    /// Adds a frame that came by this port, which has this MAC.
    #[inline(always)]
    pub fn add(&mut self, frame: &[u8], port: u8, mac: StationMac) {
        self.parsed.push(Parsed { port, ..Parsed::NOTHING });
        self.keys.push(no_key());
        if let (Some(parsed), Some(key)) = (self.parsed.last_mut(), self.keys.last_mut()) {
            classify(frame, 0, mac, parsed, key);
        }
    }

    /// Adds a packet that this burst left to be worked on: the bytes of its first segment, how many follow, and how long the
    /// longest fragment was, if it came in fragments.
    #[cold]
    pub fn add_whole(&mut self, first: &[u8], rest_bytes: usize, longest_fragment: u16, port: u8, mac: StationMac) {
        let (mut parsed, mut key) = (Parsed { port, ..Parsed::NOTHING }, no_key());
        classify(first, rest_bytes, mac, &mut parsed, &mut key);
        parsed.longest_fragment = longest_fragment;
        // A fragment within fragments, and neighbour discovery in fragments (RFC 6980): nobody means well by them.
        if matches!(parsed.class, Class::Fragment | Class::Neighbor) {
            parsed.class = Class::Refused(Reason::BadFragment);
        }
        self.parsed.push(parsed);
        self.keys.push(key);
    }

    /// Looks all flows up.
    #[inline]
    pub fn find(&mut self, shard: &Shard, now: Now) {
        let mut hits = [None; BURST];
        shard.table.find_burst(&self.keys, now.tick, &mut hits[..self.keys.len()]);
        let mut flows_alone = true;
        for (parsed, hit) in self.parsed.iter().zip(hits) {
            flows_alone &= parsed.class == Class::Flow;
            self.end_max = self.end_max.max(parsed.end);
            self.steps.push(match (parsed.class, hit) {
                (Class::Flow | Class::IcmpError | Class::TunnelError, Some(hit)) => Step::Forward(hit),
                (Class::Flow | Class::IcmpError | Class::TunnelError, None) => Step::Admit,
                (Class::Fragment, _) => Step::Reassemble,
                (Class::Other, _) => Step::Local,
                (Class::Neighbor, _) => Step::Neighbor,
                (Class::Refused(reason), _) => Step::Refuse(reason, None),
            });
        }
        if !flows_alone || shard.services.has_unserved() {
            self.look_again(shard);
        }
    }

    /// There may be errors that go nowhere, or conns that take no packets.
    #[cold]
    fn look_again(&mut self, shard: &Shard) {
        for (parsed, step) in self.parsed.iter().zip(&mut self.steps) {
            if let Step::Forward(hit) = *step {
                *step = shard.with_doubts(parsed, hit);
            }
        }
    }
}

/// The time, read once a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since some start.
    pub ms: u64,
    /// The same for the conn table.
    pub tick: conntrack::Tick,
}

impl Now {
    /// That many milliseconds after the start.
    pub fn from_ms(ms: u64) -> Self {
        Self { ms, tick: conntrack::Tick::from_ms(ms) }
    }
}
