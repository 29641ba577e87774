//! What every scheduler is asked, and with what.

use std::net::IpAddr;

use crate::{Servers, Settings};

/// The first packet of a new conn, as far as schedulers look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Source address of the packet.
    pub client: IpAddr,
    /// Source port of the packet.
    pub client_port: u16,
    /// Destination address of the packet: with a firewall mark, not necessarily an address that was configured.
    pub vip: IpAddr,
    /// Destination port of the packet.
    pub vip_port: u16,
}

/// When a pick happens, and the random bits it may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds, monotonic, from an arbitrary start.
    pub now_ms: u64,
    /// Fresh random bits; equal bits give equal picks.
    pub random: u64,
}

/// Why a picker is replaced. The kernel's schedulers keep different things in the two cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A real server was added, edited (even to what it was before) or removed.
    Servers,
    /// The service was edited and its servers were not: flags, another scheduler, expiration of a cache.
    Service,
}

/// One way to choose. `pick` is required; what a scheduler keeps beside its tables is told of changes by the rest.
pub trait Scheduler: Send + Sized {
    /// Builds the tables and orders of `servers`; cold, and never under a lock.
    fn new(servers: &Servers, settings: &Settings) -> Self;

    /// The index of the server that takes the conn, or none if no server can.
    fn pick(&mut self, servers: &Servers, flow: &Flow, at: &Moment) -> Option<usize>;

    /// The load of the listed server `index` changed; `servers` already holds the new one.
    fn load_changed(&mut self, _servers: &Servers, _index: usize) {}

    /// Takes over what the picker in use until now remembers (a cursor, a cache), as the kernel does at this change.
    fn inherit(&mut self, _old: &mut Self, _was: &Servers, _is: &Servers, _change: Change) {}
}
