//! Addresses, neighbours and routes. Control keeps them in [`Neighbors`]: it answers ARP and neighbour discovery, resolves and
//! watches next hops; what workers need of it is published as [`NextHops`], an immutable snapshot. No I/O and no clock here:
//! frames come and go as bytes, time is an argument.
//!
//! ```text
//!  worker ── ARP/ND frames, wanted(port, address) ──▶ Neighbors ── frames to send ──▶ worker
//!  worker ◀───────────── Arc<NextHops> ────────────── Neighbors
//! ```
//!
//! RFC 826 and 5227 (ARP), 4861 and 4862 (neighbour discovery). Own addresses are answered on every port (the kernel's
//! `arp_ignore=0`), link-local ones only on their own.

pub mod allowance;
mod announcements;
mod entry;
mod host_network;
mod interface;
mod listing;
mod messages;
mod neighbors;
mod next_hops;
mod prefixes;
mod table;
#[cfg(test)]
mod tests;
mod topology;

pub use entry::{Kind, State};
pub use host_network::{HostNeighbor, HostNetwork, HostRoute, Origin, VipAnswer};
pub use interface::Interface;
pub use listing::{Counters, Neighbor, RouteLine};
pub use neighbors::{FRAMES_MAX, Neighbors, REQUESTS_PER_TURN, StaticNeighbor, WANTED_PER_SECOND};
pub use next_hops::{NextHop, NextHopId, NextHopState, NextHops, Route, SLOTS_MAX};
pub use topology::StaticRoute;

/// What the operator decides about neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most neighbours that traffic alone may make us remember. Those of real servers and gateways come on top.
    pub neighbors_max: usize,
    /// Whether the director says in neighbour discovery that it is a router (it forwards).
    pub router: bool,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { neighbors_max: 4_096, router: true }
    }
}
