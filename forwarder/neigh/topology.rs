//! What does not change with a neighbour: interfaces, own addresses, routes. Shared by control and all snapshots until
//! one of them is replaced as a whole.

use super::interface::{Interface, is_link_local};
use super::prefixes::Prefixes;
use hashbrown::HashSet;
use ipnet::{IpNet, Ipv4Net};
use std::net::{IpAddr, Ipv6Addr};

/// A route of the operator's file: a `[[route]]`, or a port's gateway (then `to` is 0.0.0.0/0 or ::/0).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticRoute {
    /// The destinations.
    pub to: IpNet,
    /// The router's address.
    pub gateway: IpAddr,
    /// The port the router is on. None: the port with the router's subnet.
    pub port: Option<u16>,
}

/// A neighbour of the operator's file that is on no port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPort {
    /// A router.
    #[error(
        "route to {to}: gateway {gateway} is on no port's subnet, must be inside the prefix of an address of a port"
    )]
    Gateway {
        /// The route's destinations.
        to: IpNet,
        /// The router that was found.
        gateway: IpAddr,
    },
    /// A static neighbour.
    #[error(
        "neighbor {address}: on no port's subnet and no gateway, must be inside the prefix of an address of a port"
    )]
    Neighbor {
        /// The address that was found.
        address: IpAddr,
    },
}

/// Where a packet goes next, before anybody asked for a MAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Towards {
    Local,
    /// The neighbour to hand it to: the destination itself or a router.
    Neighbor(u16, IpAddr),
    Nowhere,
}

#[derive(Clone, Copy, Debug)]
enum Target {
    OnLink(u16),
    Gateway(u16, IpAddr),
    /// The network and broadcast addresses of an IPv4 subnet: nobody to send a unicast packet to.
    Nobody,
}

/// Interfaces, own addresses and routes.
#[derive(Clone, Debug)]
pub(super) struct Topology {
    pub(super) interfaces: Vec<Interface>,
    /// Interface addresses, VIPs and local addresses; link-local ones too.
    local: HashSet<IpAddr>,
    prefixes: Prefixes<Target>,
    gateways: HashSet<(u16, IpAddr)>,
}

impl Topology {
    pub(super) fn new(interfaces: Vec<Interface>, routes: &[StaticRoute]) -> Result<Topology, NoPort> {
        let mut topology =
            Topology { interfaces, local: HashSet::new(), prefixes: Prefixes::new(), gateways: HashSet::new() };
        topology.set_local([]);
        for interface in &topology.interfaces {
            for subnet in &interface.addresses {
                connect(&mut topology.prefixes, interface.port, *subnet);
            }
        }
        for route in routes {
            let port = route.port.or_else(|| topology.connected_port(route.gateway));
            let port = port.ok_or(NoPort::Gateway { to: route.to, gateway: route.gateway })?;
            topology.gateways.insert((port, route.gateway));
            if !topology.prefixes.insert(route.to, Target::Gateway(port, route.gateway)) {
                log::warn!("route to {} by {}: there is one already, the first one stays", route.to, route.gateway);
            }
        }
        Ok(topology)
    }

    /// Replaces the addresses that are answered beside those of the interfaces.
    pub(super) fn set_local(&mut self, addresses: impl IntoIterator<Item = IpAddr>) {
        self.local = addresses.into_iter().collect();
        self.local.extend(self.interfaces.iter().flat_map(Interface::own_addresses));
    }

    pub(super) fn interface(&self, port: u16) -> Option<&Interface> {
        self.interfaces.iter().find(|interface| interface.port == port)
    }

    pub(super) fn gateways(&self) -> impl Iterator<Item = (u16, IpAddr)> + '_ {
        self.gateways.iter().copied()
    }

    /// Every own address.
    pub(super) fn local(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.local.iter().copied()
    }

    pub(super) fn is_local(&self, address: IpAddr) -> bool {
        self.local.contains(&address)
    }

    /// Whether `address` is answered on `port`: own addresses on every port, link-local ones only on theirs.
    pub(super) fn answers(&self, port: u16, address: IpAddr) -> bool {
        let on_its_port = || self.interface(port).is_some_and(|own| own.own_addresses().any(|owned| owned == address));
        self.is_local(address) && (!is_link_local(address) || on_its_port())
    }

    /// Whether `address` may have a neighbour entry on `port`.
    pub(super) fn is_neighbor(&self, port: u16, address: IpAddr) -> bool {
        let Some(interface) = self.interface(port) else { return false };
        let connected = interface.connects(address) || self.gateways.contains(&(port, address));
        connected && is_one_host(address) && !self.is_local(address) && !self.is_nobody(address)
    }

    pub(super) fn towards(&self, to: IpAddr) -> Towards {
        if self.is_local(to) {
            return Towards::Local;
        }
        if !is_one_host(to) || is_link_local(to) {
            return Towards::Nowhere;
        }
        match self.prefixes.get(to) {
            Some(Target::OnLink(port)) => Towards::Neighbor(*port, to),
            Some(Target::Gateway(port, gateway)) => Towards::Neighbor(*port, *gateway),
            Some(Target::Nobody) | None => Towards::Nowhere,
        }
    }

    /// The own address to send from through `port` to `to`; another port's, if that one has none of the family.
    pub(super) fn source_towards(&self, port: u16, to: IpAddr) -> Option<IpAddr> {
        let own = self.interface(port)?;
        let link_local = || to.is_ipv6().then(|| IpAddr::V6(own.link_local()));
        own.source_towards(to)
            .or_else(|| self.interfaces.iter().find_map(|other| other.source_towards(to)))
            .or_else(link_local)
    }

    /// The own address to send from to hosts behind this neighbour, or to itself. A router that is known by its link-local
    /// address leads to hosts that must not see ours: link-local sources are not forwarded (RFC 4291, section 2.5.6).
    pub(super) fn source_behind(&self, port: u16, neighbor: IpAddr) -> Option<IpAddr> {
        let beyond = if is_link_local(neighbor) { IpAddr::V6(Ipv6Addr::UNSPECIFIED) } else { neighbor };
        self.source_towards(port, beyond)
    }

    /// The port of a static neighbour.
    pub(super) fn port_of_neighbor(&self, address: IpAddr) -> Result<u16, NoPort> {
        let gateway = || self.gateways().find(|(_, gateway)| *gateway == address).map(|(port, _)| port);
        let only_port = || match &self.interfaces[..] {
            [only] if is_link_local(address) => Some(only.port),
            _ => None,
        };
        self.connected_port(address).or_else(gateway).or_else(only_port).ok_or(NoPort::Neighbor { address })
    }

    /// The port whose subnet holds `address`.
    fn connected_port(&self, address: IpAddr) -> Option<u16> {
        let holds = |interface: &&Interface| interface.addresses.iter().any(|subnet| subnet.contains(&address));
        self.interfaces.iter().find(holds).map(|interface| interface.port)
    }

    fn is_nobody(&self, address: IpAddr) -> bool {
        matches!(self.prefixes.get(address), Some(Target::Nobody))
    }
}

fn connect(prefixes: &mut Prefixes<Target>, port: u16, subnet: IpNet) {
    if is_link_local(subnet.addr()) {
        return;
    }
    prefixes.insert(subnet, Target::OnLink(port));
    // A /31 is two hosts (RFC 3021), a /32 is one.
    if let IpNet::V4(v4) = subnet
        && v4.prefix_len() < 31
    {
        for nobody in [v4.network(), v4.broadcast()] {
            prefixes.insert(IpNet::V4(Ipv4Net::from(nobody)), Target::Nobody);
        }
    }
}

/// Whether `address` can be one host's: not unspecified, multicast, broadcast or loopback.
pub(super) fn is_one_host(address: IpAddr) -> bool {
    let v4_special = matches!(address, IpAddr::V4(v4) if v4.is_broadcast() || v4.octets()[0] == 0);
    !(address.is_unspecified() || address.is_multicast() || address.is_loopback() || v4_special)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn topology() -> Topology {
        let interface = |port: u16, name: &str, addresses: &[&str]| Interface {
            port,
            name: name.into(),
            mac: [2, 0, 0, 0, 0, port as u8],
            mtu: 1500,
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        };
        let route =
            |to: &str, gateway: &str, port| StaticRoute { to: to.parse().unwrap(), gateway: address(gateway), port };
        let routes = [
            route("0.0.0.0/0", "192.0.2.254", None),
            route("::/0", "fe80::fe", Some(0)),
            route("10.9.0.0/16", "10.0.0.9", None),
        ];
        let interfaces = vec![
            interface(0, "wan", &["192.0.2.1/24", "2001:db8::1/64"]),
            interface(1, "lan", &["10.0.0.1/24", "10.1.0.0/31"]),
            interface(2, "half", &["128.0.0.1/1"]),
        ];
        let mut topology = Topology::new(interfaces, &routes).unwrap();
        topology.set_local([address("198.51.100.1")]);
        topology
    }

    #[test]
    fn the_longest_prefix_says_where_a_packet_goes() {
        let rows = [
            ("an interface's address", "10.0.0.1", Towards::Local),
            ("a VIP", "198.51.100.1", Towards::Local),
            ("own link-local address", "fe80::ff:fe00:1", Towards::Local),
            ("connected", "10.0.0.7", Towards::Neighbor(1, address("10.0.0.7"))),
            ("the other end of a /31", "10.1.0.1", Towards::Neighbor(1, address("10.1.0.1"))),
            ("a route", "10.9.3.4", Towards::Neighbor(1, address("10.0.0.9"))),
            ("the default route", "8.8.8.8", Towards::Neighbor(0, address("192.0.2.254"))),
            ("a link-local gateway", "2001:db9::1", Towards::Neighbor(0, address("fe80::fe"))),
            ("link-local: which port?", "fe80::9", Towards::Nowhere),
            ("broadcast of a subnet", "10.0.0.255", Towards::Nowhere),
            ("network of a subnet", "10.0.0.0", Towards::Nowhere),
            ("limited broadcast", "255.255.255.255", Towards::Nowhere),
            ("multicast", "224.0.0.5", Towards::Nowhere),
            ("multicast", "ff02::1", Towards::Nowhere),
            ("loopback", "127.0.0.1", Towards::Nowhere),
            ("unspecified", "::", Towards::Nowhere),
        ];
        for (what, to, expected) in rows {
            assert_eq!(topology().towards(address(to)), expected, "{what}: {to}");
        }
    }

    #[test]
    fn only_connected_hosts_and_gateways_are_neighbours() {
        let rows = [
            (0, "192.0.2.7", true),
            (1, "192.0.2.7", false),
            (0, "fe80::fe", true),
            (1, "fe80::77", true),
            (0, "192.0.2.1", false),
            (0, "192.0.2.255", false),
            (0, "198.51.100.1", false),
            (2, "224.0.0.5", false),
            (2, "203.0.113.5", true),
            (3, "192.0.2.7", false),
        ];
        for (port, text, expected) in rows {
            assert_eq!(topology().is_neighbor(port, address(text)), expected, "{text} on port {port}");
        }
    }

    #[test]
    fn a_gateway_outside_all_subnets_is_an_error() {
        let route = StaticRoute { to: "0.0.0.0/0".parse().unwrap(), gateway: address("100.64.0.1"), port: None };
        let error = Topology::new(topology().interfaces, &[route]).unwrap_err().to_string();
        assert!(error.contains("0.0.0.0/0") && error.contains("100.64.0.1"), "{error}");
    }
}
