//! A port's `device`: what DPDK drives, alone, as a bond of others, or shared by ports with VLANs.

use std::fmt;

use crate::network::Network;
use crate::port::Port;
use crate::read::Value;

/// Bound of the number of devices (RTE_MAX_ETHPORTS of Debian's DPDK).
pub const DEVICES_MAX: usize = 32;

/// A device and the ports on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trunk<'a> {
    /// The device.
    pub device: &'a Device,
    /// The names of its ports, joined by `+`.
    pub name: String,
    /// Indices of its ports, in the file's order; at least one.
    pub ports: Vec<usize>,
    /// What one of them says under `queues`; those that do say the same.
    pub queues: Option<u16>,
}

/// The devices of ports, in the order in which the file first names them.
pub(crate) fn devices(ports: &[Port]) -> Vec<Trunk<'_>> {
    let mut trunks: Vec<Trunk> = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        match trunks.iter_mut().find(|trunk| *trunk.device == port.device) {
            Some(trunk) => {
                trunk.name += &format!("+{}", port.name);
                trunk.ports.push(index);
                trunk.queues = trunk.queues.or(port.queues);
            }
            None => {
                let (name, queues) = (port.name.clone(), port.queues);
                trunks.push(Trunk { device: &port.device, name, ports: vec![index], queues });
            }
        }
    }
    trunks
}

/// What DPDK drives a port with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Device {
    /// A PCI address with its domain, such as `0000:3b:00.0`.
    Pci(String),
    /// A virtual device.
    Vdev {
        /// Driver and number, such as `net_tap0`.
        name: String,
        /// Its arguments, such as `iface=uvs-wan`; may be empty.
        args: String,
    },
}

impl Device {
    /// What DPDK calls it.
    pub fn name(&self) -> &str {
        match self {
            Device::Pci(address) => address,
            Device::Vdev { name, .. } => name,
        }
    }

    /// The devices that it is a bond of.
    pub fn slaves(&self) -> impl Iterator<Item = &str> {
        let args = match self {
            Device::Vdev { name, args } if name.starts_with("net_bonding") => args.as_str(),
            _ => "",
        };
        args.split(',').filter_map(|argument| argument.strip_prefix("slave="))
    }
}

impl fmt::Display for Device {
    /// The text that the EAL takes after `--allow` or `--vdev`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Pci(address) => f.write_str(address),
            Device::Vdev { name, args } if args.is_empty() => f.write_str(name),
            Device::Vdev { name, args } => write!(f, "{name},{args}"),
        }
    }
}

pub(crate) const RIGHT: &str =
    "a PCI address such as \"0000:3b:00.0\" or a virtual device such as \"net_tap0,iface=uvs-wan\"";

pub(crate) fn read(value: &Value, vlan: Option<u16>, network: &Network) -> Option<Device> {
    let device = value.text(RIGHT, |text| parse_pci(text).or_else(|| parse_vdev(text)))?;
    let same = |other: &Device| match (&device, other) {
        (Device::Vdev { name, .. }, Device::Vdev { name: other, .. }) => name == other,
        (device, other) => *device == *other,
    };
    let shares: Vec<&Port> = network.ports.iter().filter(|port| same(&port.device)).collect();
    if let Some(other) = shares.iter().find(|port| port.vlan == vlan) {
        let (shown, name) = (value.shown(), &other.name);
        value.fault(match vlan {
            None => format!("found {shown}, the device of port {name}; must be one of its own, or have a vlan"),
            Some(id) => format!("found {shown} with vlan {id}, as port {name} has; must be another device or vlan"),
        });
        return None;
    }
    if let Some(other) = shares.iter().find(|port| port.device != device) {
        let (shown, other, name) = (value.shown(), &other.device, &other.name);
        value.fault(format!(
            "found {shown}, the device of port {name} with other arguments; must be \"{other}\" as there"
        ));
        return None;
    }
    let by_name = |port: &&Port, slave: &str| port.device.name() == slave;
    let taken =
        device.slaves().find_map(|slave| Some((slave, network.ports.iter().find(|port| by_name(port, slave))?)));
    if let Some((slave, port)) = taken {
        value.fault(format!("found slave {slave}, the device of port {}; must be in the bond only", port.name));
        return None;
    }
    let bond = network.ports.iter().find(|port| port.device.slaves().any(|slave| slave == device.name()));
    if let Some(port) = bond.filter(|port| port.device != device) {
        value.fault(format!(
            "found {}, a slave of the bond that is port {}; must be in the bond only",
            value.shown(),
            port.name
        ));
        return None;
    }
    if shares.is_empty() && devices(&network.ports).len() == DEVICES_MAX {
        value.fault(format!("found {}, one more than {DEVICES_MAX} devices; must be at most that many", value.shown()));
        return None;
    }
    Some(device)
}

/// `[domain:]bus:device.function` in hexadecimal; the domain is added if it is missing, as the EAL does.
fn parse_pci(text: &str) -> Option<Device> {
    let hex = |part: &str, digits: usize| {
        let sound = part.len() == digits && part.bytes().all(|c| c.is_ascii_hexdigit());
        sound.then(|| u32::from_str_radix(part, 16).ok()).flatten()
    };
    let (before, function) = text.split_once('.')?;
    let function = hex(function, 1).filter(|function| *function < 8)?;
    let mut parts = before.rsplit(':');
    let device = hex(parts.next()?, 2).filter(|device| *device < 32)?;
    let bus = hex(parts.next()?, 2)?;
    let domain = parts.next().map_or(Some(0), |domain| hex(domain, 4))?;
    parts.next().is_none().then(|| Device::Pci(format!("{domain:04x}:{bus:02x}:{device:02x}.{function}")))
}

fn parse_vdev(text: &str) -> Option<Device> {
    let (name, args) = text.split_once(',').unwrap_or((text, ""));
    let sound = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
    // rte_vdev cuts names at 64 bytes with the NUL.
    let named = name.len() > "net_".len() && name.len() < 64 && name.starts_with("net_") && name.bytes().all(sound);
    let printable = args.bytes().all(|c| c.is_ascii_graphic());
    (named && printable).then(|| Device::Vdev { name: name.to_string(), args: args.to_string() })
}
