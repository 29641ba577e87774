//! Where the director stands in the network: what later sections are checked against. An address that no frame can reach
//! is found here and not as a silent next hop that never answers.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::address::{Family, is_link_local, is_not_a_host_of};
use crate::port::Port;
use crate::route::{Neighbor, Route};

/// Ports and the ways out of them.
#[derive(Default)]
pub(crate) struct Network {
    pub(crate) ports: Vec<Port>,
    pub(crate) neighbors: Vec<Neighbor>,
    pub(crate) routes: Vec<Route>,
    /// False when a port or route had a fault: then what is missing here proves nothing.
    pub(crate) complete: bool,
}

impl Network {
    /// The port whose connected subnet holds the address; link-local ones are connected everywhere and nowhere.
    pub(crate) fn connected(&self, address: IpAddr) -> Option<usize> {
        if is_link_local(address) {
            return None;
        }
        self.ports.iter().position(|port| port.addresses.iter().any(|own| own.contains(&address)))
    }

    /// The port that has the address itself.
    pub(crate) fn own(&self, address: IpAddr) -> Option<&Port> {
        self.ports.iter().find(|port| port.addresses.iter().any(|own| own.addr() == address))
    }

    /// The port whose default router has the address.
    pub(crate) fn gateway(&self, address: IpAddr) -> Option<&Port> {
        self.ports.iter().find(|port| port.gateways().any(|gateway| gateway == address))
    }

    /// The connected subnet in which no host can have the address.
    pub(crate) fn subnet_without_host(&self, address: IpAddr) -> Option<IpNet> {
        let subnets = self.ports.iter().flat_map(|port| &port.addresses);
        subnets.map(IpNet::trunc).find(|subnet| is_not_a_host_of(address, subnet))
    }

    /// Whether there is a way to the address, or may be: by a host interface routes come and go.
    pub(crate) fn reaches(&self, address: IpAddr) -> bool {
        let family = Family::of(address);
        self.connected(address).is_some()
            || self.routes.iter().any(|route| route.destination.contains(&address))
            || self.ports.iter().flat_map(Port::gateways).any(|gateway| Family::of(gateway) == family)
            || self.ports.iter().any(|port| port.host.is_some())
    }

    /// The port of that name.
    pub(crate) fn named(&self, name: &str) -> Option<usize> {
        self.ports.iter().position(|port| port.name == name)
    }
}
