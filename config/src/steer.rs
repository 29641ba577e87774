//! `steer`: what of a flow says which worker owns it, and which services must agree on it.
//!
//! Every packet of a flow must lead to one worker, whatever service it is thought to be for. So services that might take the
//! same flows (one of them today, another one after a reload) are steered alike.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use crate::mark::Mark;
use crate::read::Table;
use crate::server::{Method, RealServer};
use crate::service::{Matching, Protocol, Service};

/// What of a flow says which worker owns it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Steer {
    /// The client's address and port. Right for every method.
    #[default]
    Source,
    /// Both addresses and both ports, hashed as a NIC does (RSS): the NIC itself can bring a frame to its owner.
    Tuple,
}

impl Steer {
    /// The name in the file.
    pub fn name(self) -> &'static str {
        match self {
            Steer::Source => "source",
            Steer::Tuple => "tuple",
        }
    }
}

/// Reads the key; a fault is noted and "source" taken.
pub(crate) fn read(service: &Table, servers: &[RealServer]) -> Steer {
    let Some(value) = service.get("steer") else { return Steer::default() };
    let steer = value.word(&[("source", Steer::Source), ("tuple", Steer::Tuple)]).unwrap_or_default();
    let nat = servers.iter().find(|server| server.method == Method::Nat);
    if let Some(nat) = nat.filter(|_| steer == Steer::Tuple) {
        value.fault(format!(
            "found \"tuple\" with the nat server {}; must be \"source\", or all servers dr, tun or fullnat: a nat server's \
             reply does not name the VIP, so its worker must follow from the client's end alone",
            nat.address
        ));
    }
    steer
}

/// Notes a fault for each service that is steered otherwise than one that may take the same flows.
pub(crate) fn check(services: &[(Table, Service)], marks: &[Mark]) {
    let mut ports: HashMap<(Protocol, IpAddr), Vec<&(Table, Service)>> = HashMap::new();
    for service in services {
        if let Matching::Endpoint { protocol, address } = service.1.matching {
            ports.entry((protocol, address.ip())).or_default().push(service);
        }
    }
    for of_address in ports.values() {
        let Some(all) = of_address.iter().find(|(_, service)| service.matching.port() == 0) else { continue };
        for (table, service) in of_address.iter().filter(|(_, service)| service.steer != all.1.steer) {
            fault(table, service, &all.1, "which takes the other ports of that address");
        }
    }
    let is_mark = |service: &Service| matches!(service.matching, Matching::Mark { .. });
    let Some((_, marked)) = services.iter().find(|(_, service)| is_mark(service)) else { return };
    for (table, service) in services.iter().filter(|(_, service)| is_mark(service) && service.steer != marked.steer) {
        fault(table, service, marked, "and all services of marks are steered alike");
    }
    let served: HashSet<u32> = services.iter().filter_map(|(_, service)| mark_of(service)).collect();
    let rules: Vec<_> = marks.iter().filter(|rule| served.contains(&rule.mark)).collect();
    for (table, service) in services.iter().filter(|(_, service)| service.steer != marked.steer) {
        if let Matching::Endpoint { protocol, address } = service.matching
            && rules.iter().any(|rule| reaches(rule, protocol, address))
        {
            fault(table, service, marked, "and a [[mark]] rule takes flows to that address and port");
        }
    }
}

fn fault(table: &Table, service: &Service, other: &Service, why: &str) {
    let (found, right) = (service.steer.name(), other.steer.name());
    table.fault(format!("found steer = \"{found}\"; must be \"{right}\" as of {}, {why}", other.matching));
}

fn mark_of(service: &Service) -> Option<u32> {
    match service.matching {
        Matching::Mark { mark, .. } => Some(mark),
        Matching::Endpoint { .. } => None,
    }
}

/// Can the rule take a flow to this service?
fn reaches(rule: &Mark, protocol: Protocol, address: SocketAddr) -> bool {
    let (vip, port) = (address.ip(), address.port());
    let net = |net: &ipnet::IpNet| net.contains(&vip);
    rule.destination.as_ref().is_none_or(net)
        && rule.source.is_none_or(|source| source.addr().is_ipv4() == vip.is_ipv4())
        && rule.protocol.is_none_or(|of| of == protocol)
        && (port == 0 || rule.destination_ports.as_ref().is_none_or(|ports| ports.contains(&port)))
}
