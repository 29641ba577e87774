//! `[[port]]`: a device, or a VLAN on one, its addresses, the default routers behind it, and the host's interface on it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::address::{check_unicast, is_link_local, is_not_a_host_of};
use crate::device::{self, Device};
use crate::director::WORKERS_MAX;
use crate::network::Network;
use crate::read::{Table, Value};

/// Bound of the number of ports: their numbers have 8 bits.
pub const PORTS_MAX: usize = 256;
/// Greatest VLAN id (IEEE 802.1Q; 4095 is reserved).
pub const VLAN_MAX: u16 = 4094;
/// Bound of the number of a port's own addresses.
pub const PORT_ADDRESSES_MAX: usize = 256;
/// Bound of the length of a port's name.
pub const PORT_NAME_BYTES_MAX: usize = 32;
/// Bound of the length of a kernel interface's name (IFNAMSIZ with its NUL is 16).
pub const HOST_NAME_BYTES_MAX: usize = 15;
/// Every IPv4 link carries packets of this size (RFC 791).
pub const MTU_MIN: u16 = 68;
/// Every IPv6 link carries packets of this size (RFC 8200, section 5).
pub const MTU_MIN_IPV6: u16 = 1280;
/// Jumbo frames of most devices.
pub const MTU_MAX: u16 = 9216;

/// `[[port]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Name in messages and listings; no other port has it.
    pub name: String,
    /// The DPDK device; other ports have it with other values of `vlan`.
    pub device: Device,
    /// The id in the 802.1Q tag of its frames; none: frames without a tag.
    pub vlan: Option<u16>,
    /// Own addresses, with the length of the connected subnet's prefix. Subnets of two ports do not overlap.
    pub addresses: Vec<IpNet>,
    /// Default router of IPv4, in a connected subnet; at most one port has one.
    pub gateway: Option<Ipv4Addr>,
    /// Default router of IPv6, in a connected subnet or link-local; at most one port has one.
    pub gateway6: Option<Ipv6Addr>,
    /// Largest IP packet, in bytes.
    pub mtu: u16,
    /// Receive and transmit queues that the device gets at most; none: as another port of the device says, else as many as
    /// there are workers.
    pub queues: Option<u16>,
    /// Name of the kernel interface by which the host uses the port; no other port has it.
    pub host: Option<String>,
    /// When ARP and neighbour discovery for VIPs are answered on the port.
    pub vip_answer: VipAnswer,
}

/// `vip_answer`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum VipAnswer {
    /// Always.
    #[default]
    Always,
    /// While the port's host interface carries the VIP.
    Host,
}

impl VipAnswer {
    pub(crate) const WORDS: [(&str, VipAnswer); 2] = [("always", VipAnswer::Always), ("host", VipAnswer::Host)];
}

impl Port {
    /// The default routers of both families.
    pub fn gateways(&self) -> impl Iterator<Item = IpAddr> {
        self.gateway.map(IpAddr::V4).into_iter().chain(self.gateway6.map(IpAddr::V6))
    }
}

pub(crate) const KEYS: &[&str] =
    &["name", "device", "vlan", "addresses", "gateway", "gateway6", "mtu", "queues", "host", "vip_answer"];

pub(crate) fn read(root: &Table, workers: usize, network: &mut Network) {
    if !root.has("port") {
        root.fault("no [[port]] found; must have at least one");
    }
    for table in root.tables("port", PORTS_MAX) {
        let name = table.text_if_any("name").map(str::to_string);
        let table = table.named(name);
        table.check_keys(KEYS, &[]);
        if let Some(port) = read_port(&table, workers, network) {
            network.ports.push(port);
        }
    }
}

fn read_port(table: &Table, workers: usize, network: &Network) -> Option<Port> {
    let name = table.need("name", "a name such as \"wan\"").and_then(|v| read_name(&v, network));
    let vlan_value = table.get("vlan");
    let vlan = vlan_value.as_ref().map_or(Some(None), |v| v.number(1..=VLAN_MAX).map(Some));
    let device = table.need("device", device::RIGHT).and_then(|v| device::read(&v, vlan?, network));
    let addresses = read_addresses(table, network);
    let gateway = table.get("gateway").and_then(|v| {
        let address = v.text("the IPv4 address of a router", |text| text.parse().ok())?;
        let elsewhere = network.ports.iter().find(|port| port.gateway.is_some());
        check_gateway(&v, IpAddr::V4(address), &addresses, elsewhere).map(|()| address)
    });
    let gateway6 = table.get("gateway6").and_then(|v| {
        let address = v.text("the IPv6 address of a router", |text| text.parse().ok())?;
        let elsewhere = network.ports.iter().find(|port| port.gateway6.is_some());
        check_gateway(&v, IpAddr::V6(address), &addresses, elsewhere).map(|()| address)
    });
    let mtu = table.get("mtu").map_or(Some(1500), |v| read_mtu(&v, &addresses));
    let queues = table.get("queues").map_or(Some(None), |v| {
        let shares = network.ports.iter().filter(|port| device.as_ref() == Some(&port.device));
        read_queues(&v, workers, shares).map(Some)
    });
    let host = table.get("host").map_or(Some(None), |v| read_host(&v, network).map(Some));
    let vip_answer = table.get("vip_answer").map_or(Some(VipAnswer::Always), |v| {
        let said = v.word(&VipAnswer::WORDS)?;
        if said == VipAnswer::Host && table.get("host").is_none() {
            v.fault("found \"host\" on a port without a host interface; name one with `host`, or write \"always\"");
            return None;
        }
        Some(said)
    });
    let (name, device, vlan, mtu) = (name?, device?, vlan?, mtu?);
    let (queues, host, vip_answer) = (queues?, host?, vip_answer?);
    Some(Port { name, device, vlan, addresses, gateway, gateway6, mtu, queues, host, vip_answer })
}

/// The kernel takes more than this, and programs then trip over it.
fn read_host(value: &Value, network: &Network) -> Option<String> {
    let right = format!("a kernel interface's name, 1 to {HOST_NAME_BYTES_MAX} letters, digits, '-', '_' or '.'");
    let name = value.text(&right, |text| {
        let sound = |c: u8| c.is_ascii_alphanumeric() || b"-_.".contains(&c);
        let named = (1..=HOST_NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(sound);
        (named && ![".", "..", "lo", "all", "default"].contains(&text)).then(|| text.to_string())
    })?;
    if let Some(other) = network.ports.iter().find(|port| port.host.as_deref() == Some(&name)) {
        value.fault(format!(
            "found \"{name}\", the host interface of port {}; each needs a name of its own",
            other.name
        ));
        return None;
    }
    Some(name)
}

fn read_name(value: &Value, network: &Network) -> Option<String> {
    let right = format!("1 to {PORT_NAME_BYTES_MAX} letters, digits, '-', '_' or '.'");
    let name = value.text(&right, |text| {
        let sound = |c: u8| c.is_ascii_alphanumeric() || b"-_.".contains(&c);
        ((1..=PORT_NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(sound)).then(|| text.to_string())
    })?;
    if network.named(&name).is_some() {
        value.fault(format!("found \"{name}\" a second time; each port needs a name of its own"));
        return None;
    }
    Some(name)
}

fn read_addresses(table: &Table, network: &Network) -> Vec<IpNet> {
    let mut addresses: Vec<IpNet> = Vec::new();
    for item in table.get("addresses").iter().flat_map(|v| v.items(PORT_ADDRESSES_MAX)) {
        if let Some(address) = read_own_address(&item, &addresses, network) {
            addresses.push(address);
        }
    }
    addresses
}

fn read_own_address(item: &Value, before: &[IpNet], network: &Network) -> Option<IpNet> {
    let right = "an address with the length of its subnet's prefix, such as \"192.0.2.1/24\"";
    let own: IpNet = item.text(right, |text| text.parse().ok().filter(|own: &IpNet| own.prefix_len() > 0))?;
    check_unicast(item, own.addr())?;
    if is_not_a_host_of(own.addr(), &own) {
        item.fault(format!(
            "found {}, which no host of {} can have; must be one host's address",
            own.addr(),
            own.trunc()
        ));
        return None;
    }
    if before.iter().any(|other| other.addr() == own.addr()) {
        item.fault(format!("found {} a second time; must be named once", own.addr()));
        return None;
    }
    // Link-local subnets are the same on every link: they never tell one port from another.
    if is_link_local(own.addr()) {
        return Some(own);
    }
    for port in &network.ports {
        let overlaps = |other: &&IpNet| other.contains(&own.trunc()) || own.contains(&other.trunc());
        if let Some(other) = port.addresses.iter().find(overlaps) {
            item.fault(if other.addr() == own.addr() {
                format!("found {}, an address of port {}; each port needs addresses of its own", own.addr(), port.name)
            } else {
                let (own, other, name) = (own.trunc(), other.trunc(), &port.name);
                format!("found subnet {own}, which overlaps {other} of port {name}; must be a subnet of its own")
            });
            return None;
        }
    }
    Some(own)
}

fn check_gateway(value: &Value, gateway: IpAddr, addresses: &[IpNet], elsewhere: Option<&Port>) -> Option<()> {
    check_unicast(value, gateway)?;
    if let Some(port) = elsewhere {
        value
            .fault(format!("found {gateway}, but port {} has a gateway of this family; must be one in all", port.name));
        return None;
    }
    if addresses.iter().any(|own| own.addr() == gateway) {
        value.fault(format!("found {gateway}, the port's own address; must be another host's"));
        return None;
    }
    let subnet = addresses.iter().find(|own| own.contains(&gateway));
    if subnet.is_none() && !is_link_local(gateway) {
        let mut subnets = addresses.iter().filter(|own| own.addr().is_ipv4() == gateway.is_ipv4()).peekable();
        let right = match subnets.peek() {
            Some(_) => subnets.map(|own| own.trunc().to_string()).collect::<Vec<_>>().join(" or "),
            None => "a subnet of the port, which has no address of this family".to_string(),
        };
        value.fault(format!("found {gateway}; must be in {right}"));
        return None;
    }
    if let Some(subnet) = subnet.filter(|subnet| is_not_a_host_of(gateway, subnet)) {
        value.fault(format!(
            "found {gateway}, which no host of {} can have; must be one host's address",
            subnet.trunc()
        ));
        return None;
    }
    Some(())
}

fn read_mtu(value: &Value, addresses: &[IpNet]) -> Option<u16> {
    let mtu = value.number(MTU_MIN..=MTU_MAX)?;
    if mtu < MTU_MIN_IPV6 && addresses.iter().any(|own| own.addr().is_ipv6()) {
        value.fault(format!("found {mtu} on a port with an IPv6 address; must be at least {MTU_MIN_IPV6}"));
        return None;
    }
    Some(mtu)
}

/// Each queue belongs to one worker, so more of them than workers would be nobody's.
fn read_queues<'a>(value: &Value, workers: usize, mut shares: impl Iterator<Item = &'a Port>) -> Option<u16> {
    let queues = value.number(1..=WORKERS_MAX as u16)?;
    if usize::from(queues) > workers {
        value.fault(format!("found {queues}; director.workers names {workers}, and each owns one queue at most"));
        return None;
    }
    if let Some((other, name)) =
        shares.find_map(|port| Some((port.queues.filter(|other| *other != queues)?, &port.name)))
    {
        value.fault(format!(
            "found {queues}, but port {name} of the same device has {other}; must be {other}, or left out"
        ));
        return None;
    }
    Some(queues)
}
