//! What does not change with a neighbour: interfaces, own addresses, routes. Shared by control and all snapshots until
//! one of them is replaced as a whole.

use super::interface::{Interface, is_link_local};
use super::prefixes::Prefixes;
use super::{HostNetwork, HostRoute, Origin, VipAnswer};
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
    /// The port the router is on.
    pub port: u16,
}

/// Where a packet goes next, before anybody asked for a MAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Towards {
    Local,
    /// The neighbour to hand it to: the destination itself or a router.
    Neighbor(u16, IpAddr),
    /// No host can have it, or not for packets that come from elsewhere.
    Nobody,
    Nowhere,
}

#[derive(Clone, Copy, Debug)]
enum Target {
    OnLink(u16),
    Gateway(u16, IpAddr),
    /// The network and broadcast addresses of an IPv4 subnet: nobody to send a unicast packet to.
    Nobody,
}

/// A route as it is listed; those that another one to the same destination keeps out are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KnownRoute {
    pub(super) to: IpNet,
    pub(super) port: u16,
    pub(super) via: Option<IpAddr>,
    pub(super) origin: Origin,
}

/// Interfaces, own addresses and routes.
#[derive(Clone, Debug)]
pub(super) struct Topology {
    /// With the addresses that their host interfaces carry.
    pub(super) interfaces: Vec<Interface>,
    /// Interface addresses, VIPs and local addresses; link-local ones too.
    local: HashSet<IpAddr>,
    vips: HashSet<IpAddr>,
    local_addresses: HashSet<IpAddr>,
    /// What the host interface of a port carries.
    carried: HashSet<(u16, IpAddr)>,
    /// The same without the ports and the link-local ones.
    carried_anywhere: HashSet<IpAddr>,
    prefixes: Prefixes<Target>,
    gateways: HashSet<(u16, IpAddr)>,
    pub(super) routes: Vec<KnownRoute>,
}

impl Topology {
    /// `interfaces` and `routes` are of the operator's file: where the host names the same, the file's stays.
    pub(super) fn new(interfaces: Vec<Interface>, routes: &[StaticRoute], host: &HostNetwork) -> Topology {
        let gateways = routes.iter().map(|route| (route.port, route.gateway)).collect();
        let mut topology = Topology {
            interfaces,
            local: HashSet::new(),
            vips: HashSet::new(),
            local_addresses: HashSet::new(),
            carried: host.addresses.iter().map(|(port, own)| (*port, own.addr())).collect(),
            carried_anywhere: HashSet::new(),
            prefixes: Prefixes::new(),
            gateways,
            routes: Vec::new(),
        };
        let subnets: Vec<_> = topology.interfaces.iter().flat_map(Interface::subnets).collect();
        subnets.into_iter().for_each(|(port, subnet)| topology.connect(port, subnet, Origin::Connected));
        for StaticRoute { to, gateway, port } in routes {
            if !topology.insert(*to, Target::Gateway(*port, *gateway), Origin::File) {
                log::warn!("route to {to} by {gateway}: there is one already, the first one stays");
            }
        }
        topology.take_from_host(host);
        topology.set_local([], []);
        topology
    }

    fn take_from_host(&mut self, host: &HostNetwork) {
        let carried = host.addresses.iter().map(|(_, own)| own.addr());
        self.carried_anywhere = carried.filter(|own| !is_link_local(*own)).collect();
        for (port, subnet) in &host.addresses {
            if let Some(interface) = self.interfaces.iter_mut().find(|interface| interface.port == *port) {
                if interface.addresses.iter().all(|own| own.addr() != subnet.addr()) {
                    interface.addresses.push(*subnet);
                }
                self.connect(*port, *subnet, Origin::Host);
            }
        }
        for HostRoute { to, port, gateway, .. } in &host.routes {
            let target = match gateway {
                Some(gateway) => Target::Gateway(*port, *gateway),
                None => Target::OnLink(*port),
            };
            if self.insert(*to, target, Origin::Host)
                && let Some(gateway) = gateway
            {
                self.gateways.insert((*port, *gateway));
            }
        }
    }

    /// The same own addresses beside those of the interfaces.
    pub(super) fn with_local_of(mut self, other: &Topology) -> Topology {
        self.set_local(other.vips.iter().copied(), other.local_addresses.iter().copied());
        self
    }

    /// False: there is one already, and it stays.
    fn insert(&mut self, to: IpNet, target: Target, origin: Origin) -> bool {
        let (port, via) = match target {
            Target::OnLink(port) => (port, None),
            Target::Gateway(port, gateway) => (port, Some(gateway)),
            Target::Nobody => return self.prefixes.insert(to, target),
        };
        let new = self.prefixes.insert(to, target);
        self.routes.extend(new.then_some(KnownRoute { to: to.trunc(), port, via, origin }));
        new
    }

    /// The subnet of an own address. That of a single address has nobody else.
    fn connect(&mut self, port: u16, subnet: IpNet, origin: Origin) {
        if is_link_local(subnet.addr()) || subnet.prefix_len() == subnet.max_prefix_len() {
            return;
        }
        self.insert(subnet, Target::OnLink(port), origin);
        // A /31 is two hosts (RFC 3021).
        if let IpNet::V4(v4) = subnet
            && v4.prefix_len() < 31
        {
            for nobody in [v4.network(), v4.broadcast()] {
                self.insert(IpNet::V4(Ipv4Net::from(nobody)), Target::Nobody, origin);
            }
        }
    }

    /// Whether what goes to this neighbour, as itself or as a router, may go elsewhere with another topology.
    pub(super) fn leads_elsewhere(&self, other: &Topology, port: u16, neighbor: IpAddr) -> bool {
        let router = (port, neighbor);
        self.gateways.contains(&router)
            || other.gateways.contains(&router)
            || self.towards(neighbor) != other.towards(neighbor)
    }

    /// Replaces the addresses that are answered beside those of the interfaces.
    pub(super) fn set_local(
        &mut self,
        vips: impl IntoIterator<Item = IpAddr>,
        local_addresses: impl IntoIterator<Item = IpAddr>,
    ) {
        self.vips = vips.into_iter().collect();
        self.local_addresses = local_addresses.into_iter().collect();
        self.local = self.vips.union(&self.local_addresses).copied().collect();
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

    /// Whether `address` is answered on `port`: own addresses on every port, link-local ones only on theirs, a VIP that the host
    /// decides about where the host carries it.
    pub(super) fn answers(&self, port: u16, address: IpAddr) -> bool {
        let Some(interface) = self.interface(port).filter(|_| self.is_local(address)) else { return false };
        let asks_host = interface.vip_answer == VipAnswer::Host && self.vips.contains(&address);
        !(asks_host || is_link_local(address)) || interface.own_addresses().any(|owned| owned == address)
    }

    /// Whether `address` is told to everybody on `port`. Behind a router nobody caches our MAC.
    pub(super) fn announces(&self, port: u16, address: IpAddr) -> bool {
        let in_subnet = |own: &Interface| {
            own.addresses.iter().any(|subnet| subnet.contains(&address)) || IpAddr::V6(own.link_local()) == address
        };
        self.answers(port, address) && self.interface(port).is_some_and(in_subnet)
    }

    /// The own addresses that are announced here and were not with `before`, with their ports.
    pub(super) fn announced_since<'a>(&'a self, before: &'a Topology) -> impl Iterator<Item = (u16, IpAddr)> + 'a {
        let new = |address: &IpAddr| !before.is_local(*address) || self.carried_anywhere.contains(address);
        let ports = || self.interfaces.iter().map(|interface| interface.port);
        let everywhere = self.local().filter(new).flat_map(move |address| ports().map(move |port| (port, address)));
        everywhere.filter(|(port, address)| self.announces(*port, *address) && !before.announces(*port, *address))
    }

    /// Whether what comes in by `port` for this own address is the host's.
    pub(super) fn is_carried(&self, port: u16, address: IpAddr) -> bool {
        match is_link_local(address) {
            true => self.carried.contains(&(port, address)),
            false => self.carried_anywhere.contains(&address),
        }
    }

    /// Whether `address` may have a neighbour entry on `port`.
    pub(super) fn is_neighbor(&self, port: u16, address: IpAddr) -> bool {
        let Some(interface) = self.interface(port) else { return false };
        let on_link = || matches!(self.prefixes.get(address), Some(Target::OnLink(on)) if *on == port);
        let connected = interface.connects(address) || self.gateways.contains(&(port, address)) || on_link();
        connected && is_one_host(address) && !self.is_local(address) && !self.is_nobody(address)
    }

    pub(super) fn towards(&self, to: IpAddr) -> Towards {
        if self.is_local(to) {
            return Towards::Local;
        }
        self.beyond(to)
    }

    /// As [`Topology::towards`], for an address that is known not to be an own one.
    pub(super) fn beyond(&self, to: IpAddr) -> Towards {
        if !is_one_host(to) || is_link_local(to) {
            return Towards::Nobody;
        }
        match self.prefixes.get(to) {
            Some(Target::OnLink(port)) => Towards::Neighbor(*port, to),
            Some(Target::Gateway(port, gateway)) => Towards::Neighbor(*port, *gateway),
            Some(Target::Nobody) => Towards::Nobody,
            None => Towards::Nowhere,
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

    fn is_nobody(&self, address: IpAddr) -> bool {
        matches!(self.prefixes.get(address), Some(Target::Nobody))
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
            vip_answer: VipAnswer::Always,
        };
        let route =
            |to: &str, gateway: &str, port| StaticRoute { to: to.parse().unwrap(), gateway: address(gateway), port };
        let routes =
            [route("0.0.0.0/0", "192.0.2.254", 0), route("::/0", "fe80::fe", 0), route("10.9.0.0/16", "10.0.0.9", 1)];
        let interfaces = vec![
            interface(0, "wan", &["192.0.2.1/24", "2001:db8::1/64"]),
            interface(1, "lan", &["10.0.0.1/24", "10.1.0.0/31"]),
            interface(2, "half", &["128.0.0.1/1"]),
        ];
        let mut topology = Topology::new(interfaces, &routes, &HostNetwork::default());
        topology.set_local([address("198.51.100.1")], []);
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
            ("link-local: which port?", "fe80::9", Towards::Nobody),
            ("broadcast of a subnet", "10.0.0.255", Towards::Nobody),
            ("network of a subnet", "10.0.0.0", Towards::Nobody),
            ("limited broadcast", "255.255.255.255", Towards::Nobody),
            ("multicast", "224.0.0.5", Towards::Nobody),
            ("multicast", "ff02::1", Towards::Nobody),
            ("loopback", "127.0.0.1", Towards::Nobody),
            ("unspecified", "::", Towards::Nobody),
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
    fn another_route_concerns_routers_and_whom_it_takes() {
        let before = topology();
        let route = StaticRoute { to: "10.0.0.8/32".parse().unwrap(), gateway: address("10.0.0.10"), port: 1 };
        let after = Topology::new(before.interfaces.clone(), &[route], &HostNetwork::default()).with_local_of(&before);
        assert!(after.is_local(address("198.51.100.1")), "own addresses stay");
        let rows = [
            ("a former gateway", 0, "192.0.2.254", true),
            ("a new gateway", 1, "10.0.0.10", true),
            ("a host that a router leads to by now", 1, "10.0.0.8", true),
            ("a host that still is next door", 1, "10.0.0.7", false),
            ("a link-local host", 1, "fe80::77", false),
        ];
        for (what, port, neighbor, expected) in rows {
            assert_eq!(before.leads_elsewhere(&after, port, address(neighbor)), expected, "{what}");
        }
    }
}
