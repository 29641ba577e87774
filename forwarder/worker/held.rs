//! Frames that wait for their next hop. Bounded in number, per next hop, and in time; a small part of the mempool, so that
//! a neighbour that never answers costs its own packets and nobody else's.

use crate::fragments::Cut;
use crate::neigh::{NextHopId, NextHopState, NextHops, Route};
use crate::pipeline::Reason;
use crate::port::Frame;
use std::net::IpAddr;

/// Frames that may wait at once; a reassembled packet counts as all its segments.
pub const HELD_MAX: usize = 512;
/// Packets that may wait for one next hop. The kernel keeps about a hundred packets; a TCP client sends far fewer before an answer.
pub const HELD_PER_HOP_MAX: usize = 32;
/// Of those, frames that are only routed: a scan through the director must leave room for packets of conns.
pub const HELD_ROUTED_MAX: usize = 256;
/// How long a frame waits at most: longer than the three requests, one second apart, that a neighbour gets.
pub const HELD_MS_MAX: u64 = 4_000;

/// What a frame waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Towards {
    /// A next hop that is being resolved.
    Hop(NextHopId),
    /// A neighbour that has no next hop yet.
    Neighbor {
        /// The port it is on.
        port: u16,
        /// Its address.
        address: IpAddr,
    },
}

/// What is kept with a frame.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kept {
    /// How it leaves in fragments, if it does.
    pub cut: Option<Cut>,
    /// The port it came by, if it is only routed.
    pub routed_from: Option<u16>,
}

struct Waiting<F> {
    frame: F,
    towards: Towards,
    kept: Kept,
    since_ms: u64,
}

/// The frames of one worker that wait.
pub struct Held<F> {
    frames: Vec<Waiting<F>>,
    /// Of all frames together.
    segments: usize,
}

impl<F> Default for Held<F> {
    fn default() -> Self {
        Self { frames: Vec::with_capacity(HELD_MAX), segments: 0 }
    }
}

impl<F: Frame> Held<F> {
    /// Frames that wait.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Does no frame wait?
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Keeps the frame, or gives the reason why not.
    pub fn keep(&mut self, frame: F, towards: Towards, kept: Kept, now_ms: u64) -> Result<(), Reason> {
        let same = self.frames.iter().filter(|waiting| waiting.towards == towards).count();
        let routed = || self.frames.iter().filter(|waiting| waiting.kept.routed_from.is_some()).count();
        let segments = frame.segments().count();
        let is_full = self.segments + segments > HELD_MAX || same >= HELD_PER_HOP_MAX;
        if is_full || kept.routed_from.is_some() && routed() >= HELD_ROUTED_MAX {
            return Err(Reason::HeldFull);
        }
        self.segments += segments;
        self.frames.push(Waiting { frame, towards, kept, since_ms: now_ms });
        Ok(())
    }

    /// Goes through the frames that wait, oldest first, and lets go those whose wait is over: `sent` gets a frame with its
    /// next hop, `dropped` one with the port it was routed from and its reason.
    pub fn release(
        &mut self,
        next_hops: &NextHops,
        now_ms: u64,
        mut sent: impl FnMut(F, NextHopId, Option<Cut>),
        mut dropped: impl FnMut(F, Option<u16>, Reason),
    ) {
        for waiting in self.frames.extract_if(.., |waiting| waiting.outcome(next_hops, now_ms) != Outcome::Wait) {
            self.segments -= waiting.frame.segments().count();
            match waiting.outcome(next_hops, now_ms) {
                Outcome::Send(id) => sent(waiting.frame, id, waiting.kept.cut),
                Outcome::Drop(reason) => dropped(waiting.frame, waiting.kept.routed_from, reason),
                Outcome::Wait => unreachable!("only frames whose wait is over are taken out"),
            }
        }
    }

    /// Lets go everything.
    pub fn clear(&mut self, mut dropped: impl FnMut(F, Reason)) {
        self.segments = 0;
        for waiting in self.frames.drain(..) {
            dropped(waiting.frame, Reason::Stopped);
        }
    }
}

#[derive(PartialEq, Eq)]
enum Outcome {
    Wait,
    Send(NextHopId),
    Drop(Reason),
}

impl<F> Waiting<F> {
    fn outcome(&self, next_hops: &NextHops, now_ms: u64) -> Outcome {
        let id = match self.towards {
            Towards::Hop(id) => Some(id),
            Towards::Neighbor { port, address } => match next_hops.route_on(port, address) {
                Route::Via(id) => Some(id),
                Route::OnLink { .. } => None,
                Route::Local | Route::Nobody | Route::Unreachable => return Outcome::Drop(Reason::NoRoute),
            },
        };
        let state = id.and_then(|id| next_hops.get(id)).map(|hop| hop.state);
        match (id, state) {
            (Some(id), Some(NextHopState::Ready)) => Outcome::Send(id),
            (_, Some(NextHopState::Failed)) => Outcome::Drop(Reason::NeighborFailed),
            _ if now_ms.saturating_sub(self.since_ms) > HELD_MS_MAX => Outcome::Drop(Reason::HeldTooLong),
            _ => Outcome::Wait,
        }
    }
}
