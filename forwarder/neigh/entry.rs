//! One neighbour and what is known of it. Time goes in, what to ask comes out; both families alike (RFC 4861, section 7.3).
//!
//! ```text
//!            answer                30 s                    used
//!  Waiting ─────────▶ Reachable ─────────▶ Stale ───────────────────▶ Probing
//!     │ 3 asked           ▲                                         │    │ 3 to its MAC, then 3 to all
//!     ▼                   └──────────────── answer ─────────────────┘    ▼
//!   Failed ◀──────────────────────────────────────────────────────────────
//! ```
//!
//! Workers send in Reachable, Stale and Probing, hold frames in Waiting, drop them in Failed. Another MAC, heard without asking,
//! is used at once, but Stale: the next packet makes us ask.

use super::Origin;
use super::next_hops::NextHopState;
use crate::wire::Mac;
use std::net::IpAddr;

/// Between two requests to one address. Also the shortest time from giving up to trying again.
pub(super) const ASK_GAP_MS: u64 = 1_000;
/// Requests without an answer before the neighbour counts as failed; while probing, of each kind.
pub(super) const ASKED_MAX: u8 = 3;
/// How long an answer is believed (RFC 4861: REACHABLE_TIME).
pub(super) const REACHABLE_MS: u64 = 30_000;
/// A failed real server or gateway is asked this often even if no packet wants it.
pub(super) const FAILED_ASK_GAP_MS: u64 = 10_000;
/// "Nothing to do by the clock."
pub(super) const NEVER: u64 = u64::MAX;

/// Why the entry exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// From the operator's file, or for good in the host's table: never asked, never changed by what is heard.
    Static,
    /// Next hop of a real server, or a gateway: resolved before a packet needs it, never evicted.
    Pinned,
    /// Made by traffic: evicted when the table is full.
    Dynamic,
}

/// What is known of the neighbour's MAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing yet; requests were sent.
    Waiting,
    /// It answered less than 30 s ago.
    Reachable,
    /// Known, not confirmed lately; fine as long as nobody sends to it.
    Stale,
    /// In use and being asked again.
    Probing,
    /// It did not answer.
    Failed,
}

/// A request that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// To every neighbour on the link.
    AskAll,
    /// To the MAC that is known.
    AskIt,
    /// It failed just now: worth a line in the log.
    GaveUp,
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) port: u16,
    pub(super) address: IpAddr,
    pub(super) mac: Mac,
    pub(super) kind: Kind,
    /// Who told the MAC.
    pub(super) origin: Origin,
    pub(super) state: State,
    /// When it was made or last used.
    pub(super) touched_ms: u64,
    /// Whether anything was ever sent there.
    pub(super) used: bool,
    /// When it last answered us.
    pub(super) confirmed_ms: Option<u64>,
    /// When `due` has something to do.
    pub(super) due_ms: u64,
    asked: u8,
    /// The next request must not go earlier, whatever happens.
    ask_from_ms: u64,
}

impl Entry {
    /// A neighbour to be asked for at once.
    pub(super) fn wanted(port: u16, address: IpAddr, kind: Kind, now_ms: u64) -> Entry {
        let (mac, state) = (Mac::ZERO, State::Waiting);
        let (touched_ms, due_ms) = (now_ms, now_ms);
        Entry {
            port,
            address,
            mac,
            kind,
            origin: Origin::Resolved,
            state,
            touched_ms,
            used: true,
            confirmed_ms: None,
            due_ms,
            asked: 0,
            ask_from_ms: 0,
        }
    }

    /// A neighbour that told its MAC before anybody wanted it.
    pub(super) fn heard(port: u16, address: IpAddr, mac: Mac, origin: Origin, now_ms: u64) -> Entry {
        let (state, due_ms) = (State::Stale, NEVER);
        Entry { mac, origin, state, used: false, due_ms, ..Entry::wanted(port, address, Kind::Dynamic, now_ms) }
    }

    /// A neighbour of the operator's file, or one that the host has for good.
    pub(super) fn fixed(port: u16, address: IpAddr, mac: Mac, origin: Origin, now_ms: u64) -> Entry {
        let due_ms = NEVER;
        Entry { mac, origin, state: State::Stale, due_ms, ..Entry::wanted(port, address, Kind::Static, now_ms) }
    }

    /// What workers do with a frame for it.
    pub(super) fn hop_state(&self) -> NextHopState {
        match self.state {
            State::Reachable | State::Stale | State::Probing => NextHopState::Ready,
            State::Waiting => NextHopState::Waiting,
            State::Failed => NextHopState::Failed,
        }
    }

    /// The clock came to `due_ms`.
    pub(super) fn due(&mut self, now_ms: u64) -> Due {
        if now_ms < self.due_ms {
            return Due::Nothing;
        }
        match self.state {
            State::Waiting if self.asked < ASKED_MAX => self.ask(Due::AskAll, now_ms),
            State::Probing if self.asked < ASKED_MAX => self.ask(Due::AskIt, now_ms),
            State::Probing if self.asked < 2 * ASKED_MAX => self.ask(Due::AskAll, now_ms),
            State::Waiting | State::Probing => {
                (self.state, self.mac) = (State::Failed, Mac::ZERO);
                self.due_ms = if self.kind == Kind::Pinned { now_ms + FAILED_ASK_GAP_MS } else { NEVER };
                Due::GaveUp
            }
            State::Failed if self.kind == Kind::Pinned => {
                self.asked = 0;
                let due = self.ask(Due::AskAll, now_ms);
                self.due_ms = now_ms + FAILED_ASK_GAP_MS;
                due
            }
            State::Reachable if self.confirmed_ms.is_some_and(|confirmed_ms| self.touched_ms > confirmed_ms) => {
                self.start_asking(State::Probing, now_ms);
                self.ask(Due::AskIt, now_ms)
            }
            State::Reachable => {
                (self.state, self.due_ms) = (State::Stale, NEVER);
                Due::Nothing
            }
            State::Stale | State::Failed => {
                self.due_ms = NEVER;
                Due::Nothing
            }
        }
    }

    /// A worker sent to it.
    pub(super) fn sent_to(&mut self, now_ms: u64) {
        (self.touched_ms, self.used) = (now_ms, true);
        if self.state == State::Stale && self.kind != Kind::Static {
            self.start_asking(State::Probing, now_ms);
        }
    }

    /// A worker has a packet for it and cannot send.
    pub(super) fn want(&mut self, now_ms: u64) {
        self.sent_to(now_ms);
        if self.state == State::Failed {
            self.start_asking(State::Waiting, now_ms);
        }
    }

    /// It told its MAC (None: an advertisement without that option). `solicited`: it answers us; `overrides`: a MAC that differs
    /// from the known one replaces it (RFC 4861, section 7.2.5; ARP always overrides). True if the MAC of a working entry changed.
    pub(super) fn told(&mut self, mac: Option<Mac>, solicited: bool, overrides: bool, now_ms: u64) -> bool {
        if self.kind == Kind::Static {
            return false;
        }
        let working = self.hop_state() == NextHopState::Ready;
        let differs = mac.is_some_and(|mac| mac != self.mac);
        if (!working && mac.is_none()) || (working && differs && !overrides) {
            if self.state == State::Reachable {
                (self.state, self.due_ms) = (State::Stale, NEVER);
            }
            return false;
        }
        if !working || differs {
            self.origin = Origin::Resolved;
        }
        self.mac = mac.unwrap_or(self.mac);
        if solicited {
            (self.state, self.confirmed_ms) = (State::Reachable, Some(now_ms));
            self.due_ms = now_ms + REACHABLE_MS;
        } else if !working || differs {
            (self.state, self.due_ms) = (State::Stale, NEVER);
        }
        working && differs
    }

    /// Its next hop is needed for good.
    pub(super) fn pin(&mut self, now_ms: u64) {
        self.kind = Kind::Pinned;
        if self.state == State::Failed {
            self.due_ms = now_ms.max(self.ask_from_ms);
        }
    }

    fn start_asking(&mut self, state: State, now_ms: u64) {
        (self.state, self.asked) = (state, 0);
        self.due_ms = now_ms.max(self.ask_from_ms);
    }

    fn ask(&mut self, due: Due, now_ms: u64) -> Due {
        self.asked += 1;
        self.due_ms = now_ms + ASK_GAP_MS;
        self.ask_from_ms = self.due_ms;
        due
    }
}
