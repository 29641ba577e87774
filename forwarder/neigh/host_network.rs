//! What the host has configured on its interfaces, one of which may stand on each port: addresses, routes, neighbours, as the
//! kernel tells of them. Beside what the operator's file says; where both name the same, the file wins.

use crate::wire::Mac;
use ipnet::IpNet;
use std::net::IpAddr;

/// Who said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The subnet of an address of the operator's file.
    Connected,
    /// The operator's file.
    File,
    /// The host: `ip`, or a routing daemon.
    Host,
    /// ARP or neighbour discovery.
    Resolved,
}

impl Origin {
    /// As `uvs show` prints it.
    pub fn name(self) -> &'static str {
        match self {
            Origin::Connected => "connected",
            Origin::File => "file",
            Origin::Host => "host",
            Origin::Resolved => "resolved",
        }
    }
}

/// Who decides whether ARP and neighbour discovery for a VIP are answered on a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VipAnswer {
    /// Nobody: always.
    #[default]
    Always,
    /// The host: while the port's host interface carries the VIP.
    Host,
}

/// All that the host has configured on the ports' host interfaces. Sorted, so that two of them can be compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostNetwork {
    /// Addresses with the prefixes of their subnets, by port.
    pub addresses: Vec<(u16, IpNet)>,
    /// Routes; of those to one destination the first is used.
    pub routes: Vec<HostRoute>,
    /// Neighbours with a MAC.
    pub neighbors: Vec<HostNeighbor>,
}

/// A route of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostRoute {
    /// The destinations.
    pub to: IpNet,
    /// The lower, the better.
    pub metric: u32,
    /// The port of its interface.
    pub port: u16,
    /// The router. None: the destinations are on the link.
    pub gateway: Option<IpAddr>,
}

/// A neighbour that the host knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostNeighbor {
    /// The port of its interface.
    pub port: u16,
    /// Its address.
    pub address: IpAddr,
    /// Its MAC.
    pub mac: Mac,
    /// Configured, not heard: it is never asked.
    pub permanent: bool,
}
