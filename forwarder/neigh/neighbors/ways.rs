//! What the network is made of, by who said it: the operator's file, at start and whenever it is read again, and the host, at any
//! time. Whoever says something new, the topology is made anew from all of it.

use super::Origin;
use super::{Arc, Entry, HostNetwork, Interface, Kind, Mac, Neighbors, NextHopId, StaticRoute, Topology};
use crate::neigh::HostNeighbor;
use hashbrown::HashSet;
use std::net::IpAddr;

/// A neighbour of the operator's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaticNeighbor {
    /// The port it is behind.
    pub port: u16,
    /// Its address.
    pub address: IpAddr,
    /// Its MAC.
    pub mac: Mac,
}

/// What was said, and by whom.
pub(super) struct Sources {
    /// Of the file, as the next two.
    pub(super) interfaces: Vec<Interface>,
    pub(super) routes: Vec<StaticRoute>,
    pub(super) statics: Vec<StaticNeighbor>,
    pub(super) host: HostNetwork,
}

impl Sources {
    pub(super) fn topology(&self) -> Topology {
        Topology::new(self.interfaces.clone(), &self.routes, &self.host)
    }

    /// The static neighbours, each once: where the host names one of the file's, the file wins.
    fn statics(&self, topology: &Topology) -> Vec<(StaticNeighbor, Origin)> {
        let of_host = self
            .host
            .neighbors
            .iter()
            .filter(|neighbor| neighbor.permanent && topology.is_neighbor(neighbor.port, neighbor.address));
        let of_host = of_host.map(|&HostNeighbor { port, address, mac, .. }| StaticNeighbor { port, address, mac });
        let mut known = HashSet::new();
        let both = self.statics.iter().copied().zip(std::iter::repeat(Origin::File));
        let both = both.chain(of_host.zip(std::iter::repeat(Origin::Host)));
        both.filter(|(neighbor, _)| known.insert((neighbor.port, neighbor.address))).collect()
    }
}

impl Neighbors {
    /// Other routes of the file. Ids of next hops that packets may no longer go to find nothing from then on, so conns are
    /// routed again; real servers' ids must be asked for again.
    pub fn set_routes(&mut self, routes: &[StaticRoute]) {
        self.sources.routes = routes.to_vec();
        self.sources_changed();
    }

    /// Other static neighbours of the file. One that is no longer static keeps its MAC until it is asked and says another.
    pub fn set_statics(&mut self, statics: &[StaticNeighbor]) {
        self.sources.statics = statics.to_vec();
        self.fix_statics();
    }

    /// What the host has configured now. True: routes are others, so real servers' next hops must be asked for again.
    pub fn set_host(&mut self, host: HostNetwork, now_ms: u64) -> bool {
        self.now_ms = now_ms;
        let before = std::mem::replace(&mut self.sources.host, host);
        let same_topology =
            (&before.addresses, &before.routes) == (&self.sources.host.addresses, &self.sources.host.routes);
        let rerouted = !same_topology && self.sources_changed();
        self.fix_statics();
        let known: HashSet<_> = before.neighbors.into_iter().collect();
        let heard =
            self.sources.host.neighbors.iter().filter(|neighbor| !neighbor.permanent && !known.contains(*neighbor));
        for neighbor in heard.copied().collect::<Vec<_>>() {
            self.heard_by_host(neighbor);
        }
        rerouted
    }

    /// True: routes are others.
    fn sources_changed(&mut self) -> bool {
        let topology = self.sources.topology().with_local_of(&self.topology);
        let rerouted = topology.routes != self.topology.routes;
        self.replace(topology);
        rerouted
    }

    /// Another topology: new own addresses are announced, who is a neighbour no longer is forgotten, and whoever holds the id of
    /// a next hop that packets may no longer go to asks for the way again.
    pub(super) fn replace(&mut self, topology: Topology) {
        let before = std::mem::replace(&mut self.topology, Arc::new(topology));
        let topology = &self.topology;
        self.announcements.add(topology.announced_since(&before));
        // A static neighbour stays, whatever becomes of its address: what the file says is not forgotten.
        let kept = |entry: &Entry| entry.kind == Kind::Static || topology.is_neighbor(entry.port, entry.address);
        let entries = self.table.iter();
        let (stay, gone): (Vec<_>, Vec<_>) =
            entries.map(|(id, entry)| (id, kept(entry), (entry.port, entry.address))).partition(|(_, kept, _)| *kept);
        let rerouted = before.routes != topology.routes;
        let elsewhere = |(id, _, (port, address)): (NextHopId, bool, (u16, IpAddr))| {
            (rerouted && before.leads_elsewhere(topology, port, address)).then_some(id)
        };
        for id in stay.into_iter().filter_map(elsewhere) {
            self.table.renumber(id);
        }
        for (id, ..) in gone {
            self.table.remove(id);
        }
        self.table.changed = true;
        self.pin();
    }

    /// Makes those neighbours static that shall be, and no others.
    pub(super) fn fix_statics(&mut self) {
        let statics = self.sources.statics(&self.topology);
        let keep: HashSet<_> = statics.iter().map(|(neighbor, _)| (neighbor.port, neighbor.address)).collect();
        let gone = |(id, entry): (NextHopId, &Entry)| {
            (entry.kind == Kind::Static && !keep.contains(&(entry.port, entry.address))).then_some(id)
        };
        for id in self.table.iter().filter_map(gone).collect::<Vec<_>>() {
            self.table.loosen(id);
        }
        for (StaticNeighbor { port, address, mac }, origin) in statics {
            let entry = Entry::fixed(port, address, mac, origin, self.now_ms);
            match self.table.find(port, address) {
                Some(id) => self.table.replace(id, entry),
                None => _ = self.table.insert(entry, self.now_ms),
            }
        }
        self.pin();
    }

    /// The host has heard of a neighbour. What it tells is believed as an announcement of the neighbour's own is.
    fn heard_by_host(&mut self, HostNeighbor { port, address, mac, .. }: HostNeighbor) {
        let found = self.table.find(port, address).is_some();
        if !found && !self.topology.is_neighbor(port, address) {
            return;
        }
        if !found {
            let entry = Entry::heard(port, address, mac, Origin::Host, self.now_ms);
            // A full table: it will be asked for when a packet needs it.
            let _ = self.table.insert(entry, self.now_ms);
        } else {
            self.told(port, address, Some(mac), false, true);
        }
    }
}
