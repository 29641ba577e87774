//! The control side: what a host does to know its neighbours and to be known by them. One thread owns it; every list in it has a
//! limit, because anybody on the link can make it work.

mod ways;

use super::allowance::Allowance;
use super::announcements::Announcements;
use super::entry::{Due, Entry, Kind, State};
use super::listing::{Counters, Neighbor, RouteLine};
use super::messages::{self, Heard};
use super::next_hops::{NextHop, NextHopId, NextHops};
use super::table::Table;
use super::topology::{KnownRoute, StaticRoute, Topology, Towards};
use super::{HostNetwork, Interface, Limits, Origin};
use crate::wire::Mac;
use hashbrown::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use ways::Sources;
pub use ways::StaticNeighbor;

/// Frames that wait to be fetched with `take_frames`; more are dropped and counted.
pub const FRAMES_MAX: usize = 1_024;
/// Requests sent in one turn; those beyond are sent in the next one.
pub const REQUESTS_PER_TURN: usize = 256;
/// Entries that workers' packets may make in a second: a scan through the director costs this many requests, not a storm.
pub const WANTED_PER_SECOND: u32 = 1_000;
/// How often the workers' used marks are collected.
const SWEEP_GAP_MS: u64 = 1_000;
/// Log lines of one kind in [`LOG_WINDOW_MS`]; the rest is only counted.
const LOG_LINES_MAX: u32 = 10;
const LOG_WINDOW_MS: u64 = 10_000;

/// Addresses, neighbours and routes of the director.
pub struct Neighbors {
    topology: Arc<Topology>,
    sources: Sources,
    table: Table,
    servers: Arc<HashSet<IpAddr>>,
    limits: Limits,
    announcements: Announcements,
    frames: Vec<(u16, Vec<u8>)>,
    published: Option<Arc<NextHops>>,
    now_ms: u64,
    sweep_ms: u64,
    creations: Allowance,
    conflict_lines: Allowance,
    state_lines: Allowance,
    counters: Counters,
}

impl Neighbors {
    /// Nothing is sent before the first `turn`.
    pub fn new(
        interfaces: Vec<Interface>,
        routes: &[StaticRoute],
        statics: &[StaticNeighbor],
        limits: Limits,
        now_ms: u64,
    ) -> Neighbors {
        let sources =
            Sources { interfaces, routes: routes.to_vec(), statics: statics.to_vec(), host: HostNetwork::default() };
        let nothing = Topology::new(Vec::new(), &[], &sources.host);
        let mut neighbors = Neighbors {
            table: Table::new(limits.neighbors_max),
            servers: Arc::default(),
            announcements: Announcements::new(),
            frames: Vec::new(),
            published: None,
            now_ms,
            sweep_ms: now_ms + SWEEP_GAP_MS,
            creations: Allowance::new(WANTED_PER_SECOND, 1_000),
            conflict_lines: Allowance::new(LOG_LINES_MAX, LOG_WINDOW_MS),
            state_lines: Allowance::new(LOG_LINES_MAX, LOG_WINDOW_MS),
            counters: Counters::default(),
            topology: Arc::new(nothing),
            sources,
            limits,
        };
        neighbors.replace(neighbors.sources.topology());
        neighbors.fix_statics();
        neighbors
    }

    /// The addresses that are ours beside those of the interfaces: answered on every port, and announced when they are new.
    pub fn set_local(
        &mut self,
        vips: impl IntoIterator<Item = IpAddr>,
        local_addresses: impl IntoIterator<Item = IpAddr>,
    ) {
        let mut topology = (*self.topology).clone();
        topology.set_local(vips, local_addresses);
        self.replace(topology);
    }

    /// Announces what is ours on this port once more: the wire behind it is another one.
    pub fn announce(&mut self, port: u16) {
        let on_port = self.topology.local().filter(|address| self.topology.announces(port, *address));
        self.announcements.add(on_port.map(|address| (port, address)));
    }

    /// The real servers. Their next hops are resolved before a packet needs them, and never evicted.
    pub fn servers(&mut self, addresses: impl IntoIterator<Item = IpAddr>) {
        let servers: HashSet<IpAddr> = addresses.into_iter().collect();
        if *self.servers != servers {
            self.servers = Arc::new(servers);
            self.table.changed = true;
        }
        self.pin();
    }

    /// The next hop towards an address; made, if it has none yet. None: no route, an own address, or the table is full.
    pub fn next_hop_of(&mut self, address: IpAddr) -> Option<NextHopId> {
        let Towards::Neighbor(port, neighbor) = self.topology.towards(address) else { return None };
        let now_ms = self.now_ms;
        let found = self.table.find(port, neighbor);
        found.or_else(|| self.table.insert(Entry::wanted(port, neighbor, Kind::Dynamic, now_ms), now_ms))
    }

    /// A worker has a packet for a neighbour without slot, or whose slot is not ready.
    pub fn wanted(&mut self, port: u16, address: IpAddr, now_ms: u64) {
        self.now_ms = now_ms;
        if let Some(id) = self.table.find(port, address) {
            self.table.change(id, |entry| entry.want(now_ms));
            return;
        }
        let allowed = self.topology.is_neighbor(port, address) && self.creations.take(now_ms);
        if !allowed || self.table.insert(Entry::wanted(port, address, Kind::Dynamic, now_ms), now_ms).is_none() {
            self.counters.refused += 1;
        }
    }

    /// A worker sent to a next hop. (What workers mark in the snapshot is collected by `turn`.)
    pub fn used(&mut self, id: NextHopId, now_ms: u64) {
        self.now_ms = now_ms;
        self.table.change(id, |entry| entry.sent_to(now_ms));
    }

    /// An ARP or neighbour discovery frame that came in by `port`.
    pub fn frame(&mut self, port: u16, frame: &[u8], now_ms: u64) {
        self.now_ms = now_ms;
        let heard = self.topology.interface(port).and_then(|_| Heard::parse(frame));
        let taken = match heard {
            Some(Heard::Asks { target, from, mac, reply_to }) => self.asked(port, target, from, mac, reply_to),
            Some(Heard::Tells { address, mac, solicited, overrides }) => {
                let believed = self.believes(port, address, mac);
                if believed {
                    self.told(port, address, mac, solicited, overrides);
                }
                believed
            }
            None => false,
        };
        self.counters.ignored += u64::from(!taken);
    }

    /// What the clock asks for: requests again, ageing, announcements.
    pub fn turn(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        if now_ms >= self.sweep_ms {
            self.sweep_ms = now_ms + SWEEP_GAP_MS;
            self.sweep();
        }
        if now_ms >= self.table.due_ms {
            self.ask_what_is_due();
        }
        while self.frames.len() < FRAMES_MAX
            && let Some((port, address)) = self.announcements.next(now_ms)
        {
            let Some(interface) = self.topology.interface(port).filter(|_| self.topology.answers(port, address)) else {
                continue;
            };
            let frame = messages::announcement(interface, address, self.limits.router);
            self.counters.announced += 1;
            self.send(port, frame);
        }
    }

    /// The frames to send, with their ports. Fetch them after each `turn`.
    pub fn take_frames(&mut self) -> Vec<(u16, Vec<u8>)> {
        std::mem::take(&mut self.frames)
    }

    /// What workers need, if it changed since the last call. The first call always has one.
    pub fn snapshot(&mut self) -> Option<Arc<NextHops>> {
        if !self.table.changed && self.published.is_some() {
            return None;
        }
        self.table.changed = false;
        let mut slots = Vec::with_capacity(self.table.slots_end());
        slots.resize_with(self.table.slots_end(), NextHop::vacant);
        for (id, entry) in self.table.iter() {
            let Some(interface) = self.topology.interface(entry.port) else { continue };
            let was_used = self.published.as_ref().and_then(|old| old.get(id)).is_some_and(NextHop::take_used);
            let source = self.topology.source_behind(entry.port, entry.address);
            let hop = NextHop::new(id, interface, entry.address, entry.hop_state(), entry.mac.0, was_used);
            slots[id.slot()] = hop.seen_from(source);
        }
        let index = self.table.index().clone();
        let (topology, servers) = (self.topology.clone(), self.servers.clone());
        let mtu_min = topology.interfaces.iter().map(|interface| interface.mtu).min().unwrap_or(u16::MAX);
        let snapshot = Arc::new(NextHops { slots, index, topology, servers, mtu_min });
        self.published = Some(snapshot.clone());
        Some(snapshot)
    }

    /// Every neighbour, in the order of ports and addresses.
    pub fn list(&self) -> Vec<Neighbor> {
        let mut entries: Vec<&Entry> = self.table.iter().map(|(_, entry)| entry).collect();
        entries.sort_by_key(|entry| (entry.port, entry.address));
        entries.into_iter().map(|entry| Neighbor::of(entry, self.port_name(entry.port), self.now_ms)).collect()
    }

    /// Every route in use, in the order of destinations.
    pub fn routes(&self) -> Vec<RouteLine> {
        let mut routes = self.topology.routes.clone();
        routes.sort_by_key(|route| route.to);
        let line = |route: KnownRoute| RouteLine {
            to: route.to,
            via: route.via,
            port: self.port_name(route.port).to_string(),
            origin: route.origin,
        };
        routes.into_iter().map(line).collect()
    }

    /// What happened, since the start.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Entries made by traffic; at most the limit's `neighbors_max`.
    pub fn dynamic_entries(&self) -> usize {
        self.table.dynamic()
    }

    /// Gives the next hops of all servers and gateways a pinned slot, and takes it from those that are neither.
    fn pin(&mut self) {
        let towards = |address: &IpAddr| match self.topology.towards(*address) {
            Towards::Neighbor(port, neighbor) => Some((port, neighbor)),
            Towards::Local | Towards::Nobody | Towards::Nowhere => None,
        };
        let keep: HashSet<(u16, IpAddr)> =
            self.servers.iter().filter_map(towards).chain(self.topology.gateways()).collect();
        let gone = |(id, entry): (NextHopId, &Entry)| (!keep.contains(&(entry.port, entry.address))).then_some(id);
        for id in self.table.iter().filter_map(gone).collect::<Vec<_>>() {
            self.table.unpin(id);
        }
        for (port, address) in keep {
            if let Some(id) = self.table.find(port, address) {
                self.table.pin(id, self.now_ms);
            } else if self.table.insert(Entry::wanted(port, address, Kind::Pinned, self.now_ms), self.now_ms).is_none()
            {
                self.counters.refused += 1;
            }
        }
    }

    /// Somebody asks. False: not to be taken seriously.
    fn asked(&mut self, port: u16, target: IpAddr, from: Option<IpAddr>, mac: Option<Mac>, reply_to: Mac) -> bool {
        let asker_believed = from.is_none_or(|from| self.believes(port, from, Some(reply_to)));
        if !asker_believed || self.is_own_mac(reply_to) {
            return false;
        }
        let ours = self.topology.answers(port, target);
        // RFC 826 updates what is known by any request; RFC 4861, section 7.2.3, reads only solicitations for own addresses.
        if let Some(from) = from
            && (ours || from.is_ipv4())
            && mac.is_some()
        {
            if ours {
                self.meet(port, from, mac);
            }
            self.told(port, from, mac, false, true);
        }
        if ours && let Some(interface) = self.topology.interface(port) {
            let frame = messages::answer(interface, target, from, reply_to, self.limits.router);
            self.counters.answered += 1;
            self.send(port, frame);
        }
        true
    }

    /// Whether a sender can be what it says. One that claims an own address cannot: RFC 5227, section 2.4; the director keeps the
    /// address and does not shout back, for with DR every real server carries the VIP.
    fn believes(&mut self, port: u16, sender: IpAddr, mac: Option<Mac>) -> bool {
        if mac.is_some_and(|mac| self.is_own_mac(mac)) {
            return false;
        }
        if self.topology.answers(port, sender) {
            self.counters.conflicts += 1;
            if self.conflict_lines.take(self.now_ms) {
                let port = self.port_name(port);
                let mac = mac.map_or("a station that hides its MAC".to_string(), |mac| mac.to_string());
                log::warn!(
                    "port {port}: {mac} claims {sender}, which is the director's; remove it there, or do not let it be announced"
                );
            }
            return false;
        }
        super::topology::is_one_host(sender)
    }

    /// Makes an entry for somebody who wants to talk to us, if it can be a neighbour.
    fn meet(&mut self, port: u16, from: IpAddr, mac: Option<Mac>) {
        let Some(mac) = mac.filter(|_| self.table.find(port, from).is_none()) else { return };
        let neighbor = self.topology.is_neighbor(port, from);
        if !neighbor
            || self.table.insert(Entry::heard(port, from, mac, Origin::Resolved, self.now_ms), self.now_ms).is_none()
        {
            self.counters.refused += 1;
        }
    }

    fn told(&mut self, port: u16, address: IpAddr, mac: Option<Mac>, solicited: bool, overrides: bool) {
        let Some(id) = self.table.find(port, address) else { return };
        let now_ms = self.now_ms;
        let change = |entry: &mut Entry| {
            let before = (entry.state, entry.mac);
            (before, entry.told(mac, solicited, overrides, now_ms), entry.mac, entry.kind == Kind::Pinned)
        };
        let Some((before, moved, mac, pinned)) = self.table.change(id, change) else { return };
        self.counters.moved += u64::from(moved);
        let back = pinned && before.0 == State::Failed && mac != Mac::ZERO;
        if (moved || back) && self.state_lines.take(now_ms) {
            let port = self.port_name(port);
            match moved {
                true => log::info!("port {port}: {address} moved from {} to {mac}", before.1),
                false => log::info!("port {port}: {address} is back, at {mac}"),
            }
        }
    }

    fn sweep(&mut self) {
        let Some(published) = &self.published else { return };
        for id in published.slots.iter().filter(|hop| hop.take_used()).filter_map(|hop| hop.id) {
            self.table.change(id, |entry| entry.sent_to(self.now_ms));
        }
    }

    /// Asks for every neighbour whose time has come, up to the turn's limit.
    fn ask_what_is_due(&mut self) {
        let now_ms = self.now_ms;
        let mut asked = 0;
        for id in self.table.take_due(now_ms) {
            if asked == REQUESTS_PER_TURN || self.frames.len() >= FRAMES_MAX {
                // The rest keeps the clock due.
                self.table.due_ms = now_ms;
                break;
            }
            let Some(due) = self.table.change(id, |entry| entry.due(now_ms)) else { continue };
            let Some(entry) = self.table.get(id) else { continue };
            let (port, address, mac, pinned) = (entry.port, entry.address, entry.mac, entry.kind == Kind::Pinned);
            match due {
                Due::Nothing => {}
                Due::AskAll => asked += self.ask(port, address, None),
                Due::AskIt => asked += self.ask(port, address, Some(mac)),
                Due::GaveUp => self.gave_up(port, address, pinned),
            }
        }
    }

    fn ask(&mut self, port: u16, address: IpAddr, mac: Option<Mac>) -> usize {
        let Some(interface) = self.topology.interface(port) else { return 0 };
        let source = self.topology.source_towards(port, address);
        let Some(frame) = source.and_then(|source| messages::question(interface, source, address, mac)) else {
            return 0;
        };
        self.counters.asked += 1;
        self.send(port, frame);
        1
    }

    fn gave_up(&mut self, port: u16, address: IpAddr, pinned: bool) {
        self.counters.failed += 1;
        // A scan through the director fails thousands; a server or gateway that fails is worth a line.
        if pinned && self.state_lines.take(self.now_ms) {
            let port = self.port_name(port);
            log::warn!("port {port}: {address} does not answer; what is sent to it is dropped until it does");
        }
    }

    fn port_name(&self, port: u16) -> &str {
        self.topology.interface(port).map_or("?", |interface| &interface.name)
    }

    fn is_own_mac(&self, mac: Mac) -> bool {
        self.topology.interfaces.iter().any(|interface| interface.mac == mac.0)
    }

    fn send(&mut self, port: u16, frame: Vec<u8>) {
        if self.frames.len() < FRAMES_MAX {
            self.frames.push((port, frame));
        } else {
            self.counters.unsent += 1;
        }
    }
}
