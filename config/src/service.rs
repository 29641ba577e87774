//! `[[service]]`: what the director answers for, and who decides which real server gets a new conn.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::address::{Family, check_global, parse_endpoint, read_endpoint};
use crate::mark::Mark;
use crate::network::Network;
use crate::read::{Table, Value};
use crate::scheduler::{Flags, Scheduler, read_flags, read_mh_table, read_scheduler};
use crate::server::{self, RealServer};
use crate::steer::{self, Steer};
use crate::timeouts::read_seconds;

/// Bound of the number of services.
pub const SERVICES_MAX: usize = 65_536;

/// `[[service]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Which flows are this service's.
    pub matching: Matching,
    /// Who picks the real server of a new conn.
    pub scheduler: Scheduler,
    /// Switches of the scheduler.
    pub flags: Flags,
    /// Entries of mh's look-up table: a prime.
    pub mh_table: u32,
    /// Whether a client stays at its server.
    pub persistent: Option<Persistence>,
    /// Each datagram is scheduled for itself; only with UDP or a mark.
    pub one_packet: bool,
    /// What of a flow says which worker owns it.
    pub steer: Steer,
    /// The real servers in the file's order; all endpoints are different.
    pub servers: Vec<RealServer>,
}

/// Which flows are a service's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Matching {
    /// Flows to a virtual address and port. Port 0 takes all ports that no other service has; it is persistent.
    Endpoint {
        /// TCP or UDP.
        protocol: Protocol,
        /// VIP and port.
        address: SocketAddr,
    },
    /// Flows that a `[[mark]]` rule gave this mark.
    Mark {
        /// Not 0.
        mark: u32,
        /// Flows of this family only.
        family: Family,
    },
}

impl Matching {
    /// The family of the clients' frames.
    pub fn family(&self) -> Family {
        match self {
            Matching::Endpoint { address, .. } => Family::of(address.ip()),
            Matching::Mark { family, .. } => *family,
        }
    }

    /// The virtual address, if the service has one.
    pub fn vip(&self) -> Option<IpAddr> {
        match self {
            Matching::Endpoint { address, .. } => Some(address.ip()),
            Matching::Mark { .. } => None,
        }
    }

    /// The virtual port; 0 when the service takes several.
    pub fn port(&self) -> u16 {
        match self {
            Matching::Endpoint { address, .. } => address.port(),
            Matching::Mark { .. } => 0,
        }
    }
}

impl fmt::Display for Matching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Matching::Endpoint { protocol, address } => write!(f, "{protocol} {address}"),
            Matching::Mark { mark, family: Family::V4 } => write!(f, "fwmark {mark}"),
            Matching::Mark { mark, family: Family::V6 } => write!(f, "fwmark {mark} IPv6"),
        }
    }
}

/// A transport protocol that can be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        })
    }
}

/// How long, and how broadly, a client stays at its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Persistence {
    /// Seconds, 1 to 24 days.
    pub timeout_s: u32,
    /// Length of the prefix of client addresses that share a server: 1 to 32, or 1 to 128.
    pub netmask: u8,
}

/// What a service is checked against.
pub(crate) struct Surroundings<'a> {
    pub(crate) network: &'a Network,
    pub(crate) marks: &'a [Mark],
    /// False when a mark had a fault.
    pub(crate) marks_complete: bool,
    pub(crate) local_addresses: &'a HashSet<IpAddr>,
    /// False when a local address had a fault.
    pub(crate) local_addresses_complete: bool,
    /// Each VIP of the file, with the number of the first service that has it.
    pub(crate) vips: HashMap<IpAddr, usize>,
    pub(crate) servers_max: u32,
}

pub(crate) const KEYS: &[&str] = &[
    "protocol",
    "address",
    "fwmark",
    "family",
    "scheduler",
    "flags",
    "mh_table",
    "persistent",
    "netmask",
    "one_packet",
    "steer",
    "real_server",
];

pub(crate) fn read(root: &Table, mut surroundings: Surroundings) -> Vec<Service> {
    let tables = root.tables("service", SERVICES_MAX);
    for (index, table) in tables.iter().enumerate() {
        if let Some(endpoint) = table.text_if_any("address").and_then(parse_endpoint) {
            surroundings.vips.entry(endpoint.ip()).or_insert(index + 1);
        }
    }
    let mut services = Vec::new();
    let mut numbers = HashMap::new();
    let mut server_count = 0;
    for (index, table) in tables.into_iter().enumerate() {
        let name = name_of(&table);
        let table = table.named(name);
        table.check_keys(KEYS, &[]);
        let Some(service) = read_service(&table, &surroundings) else { continue };
        if let Some(number) = numbers.get(&service.matching) {
            table.fault(format!("found {} a second time; service {number} has it", service.matching));
            continue;
        }
        numbers.insert(service.matching, index + 1);
        server_count += service.servers.len();
        if server_count > surroundings.servers_max as usize {
            let most = surroundings.servers_max;
            table.fault(format!("found more than {most} real servers; must fit servers_max of [director], {most}"));
            break;
        }
        services.push((table, service));
    }
    steer::check(&services, surroundings.marks);
    services.into_iter().map(|(_, service)| service).collect()
}

/// `tcp 192.0.2.10:80`, as far as the table says it.
fn name_of(table: &Table) -> Option<String> {
    if let Some(mark) = table.get("fwmark") {
        return Some(format!("fwmark {}", mark.shown()));
    }
    let address = table.text_if_any("address")?;
    Some(match table.text_if_any("protocol") {
        Some(protocol) => format!("{protocol} {address}"),
        None => address.to_string(),
    })
}

fn read_service(table: &Table, surroundings: &Surroundings) -> Option<Service> {
    let persistent_value = table.get("persistent");
    let scheduler = read_scheduler(table);
    let flags = read_flags(table, scheduler);
    let mh_table = read_mh_table(table, scheduler);
    let Some(matching) = read_matching(table, surroundings) else {
        // Without the service's family and port its servers can be checked for themselves only.
        server::read_all(table, None, surroundings);
        return None;
    };
    let persistent = persistent_value.and_then(|v| read_persistence(table, &v, matching.family()));
    if !table.has("persistent")
        && let Some(netmask) = table.get("netmask")
    {
        netmask.fault("found a netmask without `persistent`; must be beside persistent = \"5m\", or absent");
    }
    let one_packet = table.get("one_packet").and_then(|v| read_one_packet(&v, &matching)).unwrap_or(false);
    let servers = server::read_all(table, Some(&matching), surroundings);
    let steer = steer::read(table, &servers);
    Some(Service { matching, scheduler, flags, mh_table, persistent, one_packet, steer, servers })
}

fn read_matching(table: &Table, surroundings: &Surroundings) -> Option<Matching> {
    if let Some(fwmark) = table.get("fwmark") {
        return read_mark(table, &fwmark, surroundings);
    }
    if let Some(family) = table.get("family") {
        family.fault("found `family` without `fwmark`; must be absent: the address has a family");
    }
    let protocol = table.need("protocol", "\"tcp\", \"udp\" or \"sctp\"").and_then(|v| read_protocol(&v));
    let value = table.need("address", "an address with a port, such as \"192.0.2.10:80\", or `fwmark` instead")?;
    let address = read_endpoint(&value)?;
    check_vip(&value, address, table, surroundings)?;
    Some(Matching::Endpoint { protocol: protocol?, address })
}

/// Reads a protocol that can be served.
pub(crate) fn read_protocol(value: &Value) -> Option<Protocol> {
    value.word(&[("tcp", Protocol::Tcp), ("udp", Protocol::Udp), ("sctp", Protocol::Sctp)])
}

fn check_vip(value: &Value, endpoint: SocketAddr, table: &Table, surroundings: &Surroundings) -> Option<()> {
    let vip = endpoint.ip();
    check_global(value, vip)?;
    if surroundings.local_addresses.contains(&vip) {
        value.fault(format!("found {vip}, a local address of [fullnat]; must be an address of the service alone"));
        return None;
    }
    if let Some(port) = surroundings.network.gateway(vip) {
        value.fault(format!("found {vip}, the gateway of port {}; must be an address of the director", port.name));
        return None;
    }
    if let Some(subnet) = surroundings.network.subnet_without_host(vip) {
        value.fault(format!("found {vip}, which no host of {subnet} can have; must be one host's address"));
        return None;
    }
    if endpoint.port() == 0 && !table.has("persistent") {
        value.fault("found port 0 without `persistent`; must be a port from 1 to 65535, or the service be persistent");
        return None;
    }
    Some(())
}

fn read_mark(table: &Table, fwmark: &Value, surroundings: &Surroundings) -> Option<Matching> {
    for key in ["protocol", "address"] {
        if let Some(value) = table.get(key) {
            value.fault(format!("found `{key}` beside `fwmark`; must be one or the other"));
        }
    }
    let families = [("ipv4", Family::V4), ("ipv6", Family::V6)];
    let family = table.get("family").map_or(Some(Family::V4), |v| v.word(&families));
    let (mark, family) = (fwmark.number(1..=u32::MAX)?, family?);
    let fits = |rule: &Mark| rule.mark == mark && rule.family().is_none_or(|of| of == family);
    if surroundings.marks_complete && !surroundings.marks.iter().any(fits) {
        fwmark.fault(format!("found {mark}, which no [[mark]] rule gives to {family} flows; must be a rule's mark"));
        return None;
    }
    Some(Matching::Mark { mark, family })
}

fn read_persistence(table: &Table, value: &Value, family: Family) -> Option<Persistence> {
    let timeout_s = read_seconds(value);
    let whole = if family == Family::V4 { 32 } else { 128 };
    let netmask = table.get("netmask").map_or(Some(whole), |v| read_netmask(&v, family));
    Some(Persistence { timeout_s: timeout_s?, netmask: netmask? })
}

fn read_netmask(value: &Value, family: Family) -> Option<u8> {
    let (whole, right) = match family {
        Family::V4 => (32, "a netmask such as \"255.255.255.0\", or a prefix length from 1 to 32"),
        Family::V6 => (128, "a prefix length from 1 to 128"),
    };
    if value.is_number() {
        return value.number(1..=whole);
    }
    value.text(right, |text| {
        let mask = u32::from(text.parse::<Ipv4Addr>().ok().filter(|_| family == Family::V4)?);
        // A mask is ones, then zeros; no ones at all would put all clients on one server.
        (mask != 0 && mask.leading_ones() + mask.trailing_zeros() == 32).then_some(mask.leading_ones() as u8)
    })
}

fn read_one_packet(value: &Value, matching: &Matching) -> Option<bool> {
    let one_packet = value.truth()?;
    if let Matching::Endpoint { protocol: protocol @ (Protocol::Tcp | Protocol::Sctp), .. } = matching
        && one_packet
    {
        value.fault(format!("found true with protocol {protocol}; must be false: only datagrams stand for themselves"));
        return None;
    }
    Some(one_packet)
}
