//! What the operator's file says of routes and static neighbours, at start and whenever it is read again.

use super::{Entry, Mac, Neighbors, NextHopId, StaticRoute};
use std::net::IpAddr;
use std::sync::Arc;

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

impl Neighbors {
    /// Other routes. Ids of next hops that packets may no longer go to find nothing from then on, so conns are routed again;
    /// real servers' ids must be asked for again.
    pub fn set_routes(&mut self, routes: &[StaticRoute]) {
        let topology = self.topology.with_routes(routes);
        let elsewhere = |(id, entry): (NextHopId, &Entry)| {
            self.topology.leads_elsewhere(&topology, entry.port, entry.address).then_some(id)
        };
        for id in self.table.iter().filter_map(elsewhere).collect::<Vec<_>>() {
            self.table.renumber(id);
        }
        self.topology = Arc::new(topology);
        self.table.changed = true;
        self.pin();
    }

    /// Other static neighbours. One that is no longer static keeps its MAC until it is asked and says another.
    pub fn set_statics(&mut self, statics: &[StaticNeighbor]) {
        let keep: hashbrown::HashSet<_> = statics.iter().map(|neighbor| (neighbor.port, neighbor.address)).collect();
        let gone = |(id, entry): (NextHopId, &Entry)| (!keep.contains(&(entry.port, entry.address))).then_some(id);
        for id in self.table.iter().filter_map(gone).collect::<Vec<_>>() {
            self.table.loosen(id);
        }
        statics.iter().for_each(|neighbor| self.fix(neighbor));
        self.pin();
    }

    pub(super) fn fix(&mut self, StaticNeighbor { port, address, mac }: &StaticNeighbor) {
        let entry = Entry::fixed(*port, *address, *mac, self.now_ms);
        match self.table.find(*port, *address) {
            Some(id) => self.table.replace(id, entry),
            None => _ = self.table.insert(entry, self.now_ms),
        }
    }
}
