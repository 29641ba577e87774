//! What an operator gets to see: the neighbours, one line each, and what happened.

use super::Origin;
use super::entry::{Entry, Kind, State};
use crate::wire::Mac;
use ipnet::IpNet;
use std::net::IpAddr;

/// What happened, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests for own addresses that were answered.
    pub answered: u64,
    /// Requests sent.
    pub asked: u64,
    /// Own addresses announced, frames.
    pub announced: u64,
    /// Frames that were malformed, from impossible senders, or no messages of ours.
    pub ignored: u64,
    /// Frames in which another station claims an own address.
    pub conflicts: u64,
    /// Neighbours that did not answer.
    pub failed: u64,
    /// Working neighbours that were followed to another MAC.
    pub moved: u64,
    /// Neighbours that were not remembered: no neighbour's address, table full, or too many at once.
    pub refused: u64,
    /// Frames that were made while [`FRAMES_MAX`](super::FRAMES_MAX) waited already.
    pub unsent: u64,
}

/// A line of `uvs show neighbors`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbor {
    /// The port's name.
    pub port: String,
    /// The neighbour's address.
    pub address: IpAddr,
    /// Its MAC, if one is known.
    pub mac: Option<Mac>,
    /// What is known of the MAC.
    pub state: State,
    /// Why it is remembered.
    pub kind: Kind,
    /// Who told the MAC.
    pub origin: Origin,
    /// Since it last answered us. None: never.
    pub confirmed_ms_ago: Option<u64>,
    /// Since something was last sent there. None: never.
    pub used_ms_ago: Option<u64>,
}

/// A line of `uvs show routes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteLine {
    /// The destinations.
    pub to: IpNet,
    /// The router. None: the destinations are on the link.
    pub via: Option<IpAddr>,
    /// The port's name.
    pub port: String,
    /// Who said so.
    pub origin: Origin,
}

impl Neighbor {
    pub(super) fn of(entry: &Entry, port: &str, now_ms: u64) -> Neighbor {
        let ago = |then_ms: u64| now_ms.saturating_sub(then_ms);
        Neighbor {
            port: port.to_string(),
            address: entry.address,
            mac: (entry.mac != Mac::ZERO).then_some(entry.mac),
            state: entry.state,
            kind: entry.kind,
            origin: entry.origin,
            confirmed_ms_ago: entry.confirmed_ms.map(ago),
            used_ms_ago: entry.used.then(|| ago(entry.touched_ms)),
        }
    }
}
