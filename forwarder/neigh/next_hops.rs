//! What workers know of neighbours and routes: a snapshot, published by control, never changed but for the `used` marks. A conn
//! caches a [`NextHopId`]; when the neighbour's MAC changes only the slot of the next snapshot does, not the conns.

use super::Interface;
use super::messages::Heard;
use super::topology::{Topology, Towards};
use hashbrown::{HashMap, HashSet};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Most slots there can be: the slot's number has 16 bits.
pub const SLOTS_MAX: usize = 1 << 16;

/// Names a slot and which of its owners is meant. Never 0, so that an `Option<NextHopId>` takes 4 bytes.
///
/// ```text
/// 31        16 15         0
/// │ generation │   slot   │   generation 1.. : an id of the slot's former owner finds nothing
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NextHopId(NonZeroU32);

impl NextHopId {
    pub(super) fn new(slot: u16, generation: u16) -> NextHopId {
        let bits = (u32::from(generation) << 16) | u32::from(slot);
        NextHopId(NonZeroU32::new(bits).expect("generations start at 1"))
    }

    /// The slot's number: also the index of what a worker keeps per slot (held frames).
    pub fn slot(self) -> usize {
        (self.0.get() & 0xffff) as usize
    }

    pub(super) fn generation(self) -> u16 {
        (self.0.get() >> 16) as u16
    }

    /// As a plain number, never 0: for tables of plain data such as the conn table.
    pub fn to_bits(self) -> u32 {
        self.0.get()
    }

    /// From [`NextHopId::to_bits`]; 0 is "none".
    pub fn from_bits(bits: u32) -> Option<NextHopId> {
        NonZeroU32::new(bits).map(NextHopId)
    }
}

/// What a worker does with a frame for a next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextHopState {
    /// Prepend the header and send.
    Ready,
    /// Being resolved: hold the frame (bounded) and tell control that it is wanted.
    Waiting,
    /// Did not answer: drop, and tell control that it is wanted.
    Failed,
}

/// A slot: what every packet to this neighbour needs, in one cache line.
#[derive(Debug)]
#[repr(align(64))]
pub struct NextHop {
    /// Destination MAC (the neighbour's), source MAC (the port's). The ethertype is by the packet's family. The destination is
    /// zero unless the state is Ready.
    pub header: [u8; 12],
    /// The port to send through.
    pub port: u16,
    /// Largest IP packet on this way, in bytes.
    pub mtu: u16,
    /// What to do with a frame.
    pub state: NextHopState,
    /// The neighbour's address.
    pub address: IpAddr,
    /// The own address that it sees: the source of tunnel headers on this way. None: the director has none of its family.
    pub source: Option<IpAddr>,
    pub(super) id: Option<NextHopId>,
    used: AtomicBool,
}

const _: () = assert!(size_of::<NextHop>() == 64);

impl NextHop {
    pub(super) fn new(
        id: NextHopId,
        interface: &Interface,
        address: IpAddr,
        state: NextHopState,
        mac: [u8; 6],
        used: bool,
    ) -> NextHop {
        let mut header = [0; 12];
        header[..6].copy_from_slice(&mac);
        header[6..].copy_from_slice(&interface.mac);
        let (port, mtu) = (interface.port, interface.mtu);
        NextHop { header, port, mtu, state, address, source: None, id: Some(id), used: AtomicBool::new(used) }
    }

    /// The same, with the own address that the neighbour sees.
    pub(super) fn seen_from(self, source: Option<IpAddr>) -> NextHop {
        NextHop { source, ..self }
    }

    /// A slot without an owner.
    pub(super) fn vacant() -> NextHop {
        let address = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
        let state = NextHopState::Failed;
        NextHop {
            header: [0; 12],
            port: 0,
            mtu: 0,
            state,
            address,
            source: None,
            id: None,
            used: AtomicBool::new(false),
        }
    }

    /// The neighbour's MAC; zero unless the state is Ready.
    pub fn destination(&self) -> [u8; 6] {
        std::array::from_fn(|i| self.header[i])
    }

    /// A worker sent something here. Control sees it, and so keeps the neighbour and asks it now and then whether it is alive.
    /// Writes once per sweep of control, so that the line stays shared between workers.
    #[inline]
    pub fn mark_used(&self) {
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
    }

    /// Whether it was used since the last call.
    pub(super) fn take_used(&self) -> bool {
        self.used.load(Ordering::Relaxed) && self.used.swap(false, Ordering::Relaxed)
    }
}

/// Where a packet to an address goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// To this next hop: the destination itself, or the router towards it.
    Via(NextHopId),
    /// To a neighbour (the destination or a router) that has no slot yet: ask control for one (`wanted`).
    OnLink {
        /// The port it is on.
        port: u16,
        /// The neighbour's address.
        address: IpAddr,
    },
    /// It is an own address.
    Local,
    /// No host can have it: a group, a subnet's broadcast, loopback; or it is link-local and names no port.
    Nobody,
    /// No route.
    Unreachable,
}

/// The snapshot.
#[derive(Debug)]
pub struct NextHops {
    pub(super) slots: Vec<NextHop>,
    pub(super) index: HashMap<(u16, IpAddr), NextHopId>,
    pub(super) topology: Arc<Topology>,
    /// Real servers.
    pub(super) servers: Arc<HashSet<IpAddr>>,
    /// What every interface takes.
    pub(super) mtu_min: u16,
}

impl NextHops {
    /// The next hop of an id. None if its slot has another owner by now: route again.
    #[inline]
    pub fn get(&self, id: NextHopId) -> Option<&NextHop> {
        self.slots.get(id.slot()).filter(|hop| hop.id == Some(id))
    }

    /// Where a packet to `to` goes. IPv6 link-local destinations need a port: [`NextHops::route_on`].
    pub fn route(&self, to: IpAddr) -> Route {
        self.route_towards(self.topology.towards(to))
    }

    /// As [`NextHops::route`], for an address that is known not to be an own one.
    #[inline]
    pub fn route_beyond(&self, to: IpAddr) -> Route {
        self.route_towards(self.topology.beyond(to))
    }

    /// As [`NextHops::route`], for an answer to something that came in by `port`: link-local destinations are on that port.
    pub fn route_on(&self, port: u16, to: IpAddr) -> Route {
        let route = self.route(to);
        if matches!(route, Route::Nobody | Route::Unreachable) && self.topology.is_neighbor(port, to) {
            return self.on_link(port, to);
        }
        route
    }

    /// Whether `address` is an own one: of an interface (link-local ones included), a VIP, or a local address of FullNAT.
    pub fn is_local(&self, address: IpAddr) -> bool {
        self.topology.is_local(address)
    }

    /// Whether `address` is a real server's.
    pub fn is_server(&self, address: IpAddr) -> bool {
        self.servers.contains(&address)
    }

    /// Whether what comes in by `port` for this own address is the host's: its host interface, or that of another port, carries it.
    #[inline]
    pub fn is_carried(&self, port: u16, address: IpAddr) -> bool {
        self.topology.is_carried(port, address)
    }

    /// Whether an ARP or neighbour discovery frame asks for an own address: then control answers, and nobody else.
    pub fn asks_for_own(&self, frame: &[u8]) -> bool {
        matches!(Heard::parse(frame), Some(Heard::Asks { target, .. }) if self.is_local(target))
    }

    /// The own address to send from through `port` to `to`: of the subnet of `to`, else the port's first one of the family, else
    /// another port's. None if the director has none of that family.
    pub fn source_towards(&self, port: u16, to: IpAddr) -> Option<IpAddr> {
        self.topology.source_towards(port, to)
    }

    /// The interface of a port: its MAC, MTU, name and addresses.
    pub fn interface(&self, port: u16) -> Option<&Interface> {
        self.topology.interface(port)
    }

    /// Packets that are no longer than this fit wherever they go.
    #[inline]
    pub fn mtu_min(&self) -> u16 {
        self.mtu_min
    }

    /// The longest packet that goes to `to`, if it is another host's and there is a way.
    pub fn mtu_towards(&self, to: IpAddr) -> Option<u16> {
        match self.route(to) {
            Route::Via(id) => self.get(id).map(|hop| hop.mtu),
            Route::OnLink { port, .. } => self.interface(port).map(|interface| interface.mtu),
            Route::Local | Route::Nobody | Route::Unreachable => None,
        }
    }

    /// The slots in use lie below this number.
    pub fn slots_end(&self) -> usize {
        self.slots.len()
    }

    #[inline]
    fn route_towards(&self, towards: Towards) -> Route {
        match towards {
            Towards::Local => Route::Local,
            Towards::Neighbor(port, address) => self.on_link(port, address),
            Towards::Nobody => Route::Nobody,
            Towards::Nowhere => Route::Unreachable,
        }
    }

    fn on_link(&self, port: u16, address: IpAddr) -> Route {
        match self.index.get(&(port, address)) {
            Some(id) => Route::Via(*id),
            None => Route::OnLink { port, address },
        }
    }
}
