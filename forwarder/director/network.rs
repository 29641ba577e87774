//! From what the operator says to what the neighbours' side is told: interfaces, static neighbours, routes. The latter two may
//! change while the director runs.

use super::Control;
use crate::neigh::{Interface, Limits, Neighbors, StaticNeighbor, StaticRoute, VipAnswer};
use crate::pipeline::Now;
use crate::wire::Mac;
use config::Config;
use std::net::IpAddr;

impl Control {
    /// Makes gateways, routes and static neighbours those of the configuration. Conns whose way may be another are routed again.
    pub(super) fn change_ways(&mut self) {
        self.neighbors.set_routes(&routes(&self.config));
        self.neighbors.set_statics(&static_neighbors(&self.config));
        self.find_next_hops();
    }

    /// Routes are others: asks for the way to each real server again.
    pub(super) fn find_next_hops(&mut self) {
        let Self { book, neighbors, .. } = self;
        book.set_next_hops(|address| neighbors.next_hop_of(address));
    }
}

pub(super) fn neighbors(config: &Config, macs: &[[u8; 6]], now: Now) -> Neighbors {
    let interface = |(port, (said, mac)): (usize, (&config::Port, &[u8; 6]))| Interface {
        port: port as u16,
        name: said.name.clone(),
        mac: *mac,
        mtu: said.mtu,
        addresses: said.addresses.clone(),
        vip_answer: match said.vip_answer {
            config::VipAnswer::Always => VipAnswer::Always,
            config::VipAnswer::Host => VipAnswer::Host,
        },
    };
    let interfaces = config.ports.iter().zip(macs).enumerate().map(interface).collect();
    let limits = Limits { neighbors_max: config.director.neighbors_max as usize, ..Limits::default() };
    Neighbors::new(interfaces, &routes(config), &static_neighbors(config), limits, now.ms)
}

/// `[[neighbor]]`.
fn static_neighbors(config: &Config) -> Vec<StaticNeighbor> {
    let neighbor = |said: &config::Neighbor| StaticNeighbor {
        port: said.port as u16,
        address: said.address,
        mac: Mac(said.mac.0),
    };
    config.neighbors.iter().map(neighbor).collect()
}

/// `[[route]]`, and the ports' gateways.
fn routes(config: &Config) -> Vec<StaticRoute> {
    let said = config.routes.iter().map(|route| (route.destination, route.via, route.port));
    let gateways = config
        .ports
        .iter()
        .enumerate()
        .flat_map(|(port, said)| said.gateways().map(move |via| (everywhere(via), via, port)));
    said.chain(gateways).map(|(to, gateway, port)| StaticRoute { to, gateway, port: port as u16 }).collect()
}

/// The default route's destination, of the family of its gateway.
fn everywhere(gateway: IpAddr) -> ipnet::IpNet {
    match gateway {
        IpAddr::V4(_) => ipnet::Ipv4Net::default().into(),
        IpAddr::V6(_) => ipnet::Ipv6Net::default().into(),
    }
}
