//! `[[neighbor]]` and `[[route]]`: what the director need not ask for. Both name hosts next door, so each is bound to one
//! port here, and nobody looks for it again.

use std::collections::HashSet;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::address::{Family, MacAddr, check_unicast, is_link_local, read_mac, read_prefix};
use crate::network::Network;
use crate::read::{Table, Value, plain};

/// Bound of the number of routes.
pub const ROUTES_MAX: usize = 4096;

/// `[[neighbor]]`: a neighbour that is never asked for its MAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbor {
    /// Its address, in a connected subnet or link-local.
    pub address: IpAddr,
    /// Its MAC.
    pub mac: MacAddr,
    /// Index in `Config::ports` of the port it is behind.
    pub port: usize,
}

/// `[[route]]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Which destinations; host bits are 0. No two routes have the same.
    pub destination: IpNet,
    /// The router, of the same family, in a connected subnet or link-local.
    pub via: IpAddr,
    /// Index in `Config::ports` of the port the router is behind.
    pub port: usize,
}

pub(crate) const NEIGHBOR_KEYS: &[&str] = &["address", "mac", "port"];
pub(crate) const ROUTE_KEYS: &[&str] = &["destination", "via", "port"];

pub(crate) fn read_neighbors(root: &Table, neighbors_max: u32, network: &mut Network) {
    let mut known = HashSet::new();
    for table in root.tables("neighbor", neighbors_max as usize) {
        let name = table.text_if_any("address").map(str::to_string);
        let table = table.named(name);
        table.check_keys(NEIGHBOR_KEYS, &[]);
        let next_door = table
            .need("address", "the address of a host in a connected subnet")
            .and_then(|v| read_next_door(&v, table.get("port"), network).map(|found| (v, found)));
        let mac = table.need("mac", "a MAC such as \"02:00:00:00:00:fe\"").and_then(|v| read_mac(&v));
        let (Some((value, (address, port))), Some(mac)) = (next_door, mac) else { continue };
        if !known.insert((address, port)) {
            value.fault(format!("found {address} a second time; each neighbor must be named once"));
            continue;
        }
        network.neighbors.push(Neighbor { address, mac, port });
    }
}

pub(crate) fn read_routes(root: &Table, network: &mut Network) {
    for table in root.tables("route", ROUTES_MAX) {
        let name = table.text_if_any("destination").map(str::to_string);
        let table = table.named(name);
        table.check_keys(ROUTE_KEYS, &[]);
        if let Some(route) = read_route(&table, network) {
            network.routes.push(route);
        }
    }
}

fn read_route(table: &Table, network: &Network) -> Option<Route> {
    let to = table.need("destination", "a prefix such as \"10.1.0.0/16\"");
    let destination = to.as_ref().and_then(read_prefix);
    let via = table.need("via", "the address of a router in a connected subnet");
    let next_door = via.as_ref().and_then(|v| read_next_door(v, table.get("port"), network));
    let (to, destination, via_value, (via, port)) = (to?, destination?, via?, next_door?);
    if Family::of(destination.addr()) != Family::of(via) {
        via_value
            .fault(format!("found {via}; must be an {} address as the destination is", Family::of(destination.addr())));
        return None;
    }
    if network.routes.iter().any(|other| other.destination == destination) {
        to.fault(format!("found {destination} a second time; each destination needs one route"));
        return None;
    }
    let gateways = network.ports.iter().flat_map(|port| port.gateways());
    if destination.prefix_len() == 0 && gateways.map(Family::of).any(|family| family == Family::of(via)) {
        to.fault(format!("found {destination}, but a port has a gateway of this family; must be one or the other"));
        return None;
    }
    Some(Route { destination, via, port })
}

/// The address of a host next door, and the port it is behind.
fn read_next_door(value: &Value, port: Option<Value>, network: &Network) -> Option<(IpAddr, usize)> {
    let address = value.text("an IPv4 or IPv6 address", |text| text.parse().ok())?;
    check_unicast(value, address)?;
    let named = match &port {
        Some(port) => Some(read_port_name(port, network)?),
        None => None,
    };
    if let Some(own) = network.own(address) {
        value.fault(format!("found {address}, an address of port {}; must be another host's", own.name));
        return None;
    }
    if let Some(subnet) = network.subnet_without_host(address) {
        value.fault(format!("found {address}, which no host of {subnet} can have; must be one host's address"));
        return None;
    }
    if is_link_local(address) {
        return read_link_local_port(value, address, named, network);
    }
    match (network.connected(address), named) {
        (Some(connected), Some(named)) if connected != named => {
            let (connected, named) = (&network.ports[connected].name, &network.ports[named].name);
            value.fault(format!("found {address}, which is behind port {connected}, not {named}; correct one of them"));
            None
        }
        (Some(connected), _) => Some((address, connected)),
        (None, _) if network.complete => {
            value.fault(format!("found {address}, which is in no port's subnet; must be next door"));
            None
        }
        (None, _) => None,
    }
}

fn read_link_local_port(
    value: &Value,
    address: IpAddr,
    named: Option<usize>,
    network: &Network,
) -> Option<(IpAddr, usize)> {
    let port = named.or((network.ports.len() == 1).then_some(0));
    if port.is_none() && network.complete {
        value.fault(format!("found {address}, a link-local address, without `port`; must say behind which port it is"));
    }
    port.map(|port| (address, port))
}

fn read_port_name(value: &Value, network: &Network) -> Option<usize> {
    let name = value.text("the name of a port", |text| Some(text.to_string()))?;
    let port = network.named(&name);
    if port.is_none() && network.complete {
        let names = network.ports.iter().map(|port| port.name.as_str()).collect::<Vec<_>>().join(", ");
        value.fault(format!("found \"{}\"; must be the name of a port: {names}", plain(&name)));
    }
    port
}
