//! `[fullnat]`: the addresses that the director speaks from towards FullNAT's real servers.

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::address::{Family, check_global, parse_endpoint, read_prefix};
use crate::network::Network;
use crate::read::{Table, Value};
use crate::service::{Matching, Protocol};

/// Bound of the number of local addresses, all prefixes together; each is worth 64 k conns to each server.
pub const LOCAL_ADDRESSES_MAX: usize = 4096;

/// Bound of the number of services that `masquerade` names; who has more of them says `true`.
pub const MASQUERADED_MAX: usize = 1024;

/// `[fullnat]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FullNat {
    /// Every local address of the prefixes, in the file's order, but those that no host can have (the first and last of
    /// a connected subnet). None of them is also a VIP, an own address, a gateway or a real server.
    pub local_addresses: Vec<IpAddr>,
    /// What tools call masquerading is FullNAT: they have no other word for it.
    pub masquerade: Masquerade,
}

/// Of which services a real server that a tool adds by masquerading is reached by FullNAT.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Masquerade {
    /// Of none: masquerading is NAT.
    #[default]
    Nat,
    /// Of all.
    FullNat,
    /// Of these, whether the file or a tool makes them. A mark means both families.
    Of(Vec<Matching>),
}

impl fmt::Display for Masquerade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Masquerade::Nat => f.write_str("false"),
            Masquerade::FullNat => f.write_str("true"),
            Masquerade::Of(services) => {
                let names: Vec<_> = services.iter().map(Matching::to_string).collect();
                write!(f, "[{}]", names.join(", "))
            }
        }
    }
}

pub(crate) const KEYS: &[&str] = &["local_addresses", "masquerade"];

pub(crate) fn read(root: &Table, network: &Network) -> FullNat {
    let mut fullnat = FullNat::default();
    let Some(table) = root.table("fullnat") else { return fullnat };
    table.check_keys(KEYS, &[]);
    let mut known = HashSet::new();
    for item in table.get("local_addresses").iter().flat_map(|v| v.items(LOCAL_ADDRESSES_MAX)) {
        let Some(prefix) = read_prefix(&item) else { continue };
        if read_local(&item, prefix, network, &mut known, &mut fullnat.local_addresses).is_none() {
            continue;
        }
        if fullnat.local_addresses.len() > LOCAL_ADDRESSES_MAX {
            item.fault(format!("found more than {LOCAL_ADDRESSES_MAX} local addresses; must be fewer"));
            break;
        }
    }
    if let Some(value) = table.get("masquerade") {
        fullnat.masquerade = read_masquerade(&value).unwrap_or_default();
        if fullnat.masquerade != Masquerade::Nat && !table.has("local_addresses") {
            let found = if value.is_list() { "services" } else { "true" };
            value.fault(format!(
                "found {found} without `local_addresses`; must be false, or there be addresses to speak from"
            ));
        }
    }
    fullnat
}

fn read_masquerade(value: &Value) -> Option<Masquerade> {
    if !value.is_list() {
        let right = "true, false, or a list of services such as [\"tcp 192.0.2.10:80\", \"fwmark 7\"]";
        let all = value.truth_or(right)?;
        return Some(if all { Masquerade::FullNat } else { Masquerade::Nat });
    }
    let mut services = Vec::new();
    for item in value.items(MASQUERADED_MAX) {
        let right = "a service such as \"tcp 192.0.2.10:80\" or \"fwmark 7\"";
        let Some(named) = item.text(right, service_named) else { continue };
        if named.iter().any(|service| services.contains(service)) {
            item.fault(format!("found {}, named before; must be named once", item.shown()));
        }
        services.extend(named);
    }
    Some(Masquerade::Of(services))
}

/// `tcp 192.0.2.10:80`, or `fwmark 7`, which both families have.
fn service_named(text: &str) -> Option<Vec<Matching>> {
    let (kind, name) = text.split_once(' ')?;
    if kind == "fwmark" {
        let mark = name.parse::<u32>().ok().filter(|mark| *mark != 0)?;
        return Some([Family::V4, Family::V6].map(|family| Matching::Mark { mark, family }).to_vec());
    }
    let protocol =
        [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].into_iter().find(|known| known.to_string() == kind)?;
    Some(vec![Matching::Endpoint { protocol, address: parse_endpoint(name)? }])
}

fn read_local(
    item: &Value,
    prefix: IpNet,
    network: &Network,
    known: &mut HashSet<IpAddr>,
    local_addresses: &mut Vec<IpAddr>,
) -> Option<()> {
    let host_bits = prefix.max_prefix_len() - prefix.prefix_len();
    if host_bits > LOCAL_ADDRESSES_MAX.ilog2() as u8 {
        let right = prefix.max_prefix_len() - LOCAL_ADDRESSES_MAX.ilog2() as u8;
        item.fault(format!("found {prefix}, more than {LOCAL_ADDRESSES_MAX} addresses; must be a /{right} or smaller"));
        return None;
    }
    for address in every_address(prefix) {
        check_global(item, address)?;
        let other = if let Some(port) = network.own(address) {
            format!("an address of port {}", port.name)
        } else if let Some(port) = network.gateway(address) {
            format!("the gateway of port {}", port.name)
        } else if network.neighbors.iter().any(|neighbor| neighbor.address == address) {
            "the address of a [[neighbor]]".to_string()
        } else if known.contains(&address) {
            "named before".to_string()
        } else if network.subnet_without_host(address).is_some() {
            continue;
        } else {
            known.insert(address);
            local_addresses.push(address);
            continue;
        };
        let found =
            if host_bits == 0 { format!("{address}, {other}") } else { format!("{prefix} with {address}, {other}") };
        item.fault(format!("found {found}; must be local addresses alone"));
        return None;
    }
    Some(())
}

/// All addresses of a prefix, its first and last included, which `IpNet::hosts` would leave out.
fn every_address(prefix: IpNet) -> impl Iterator<Item = IpAddr> {
    let count = 1u32 << (prefix.max_prefix_len() - prefix.prefix_len());
    (0..count).map(move |offset| match prefix.network() {
        IpAddr::V4(first) => IpAddr::V4((u32::from(first) + offset).into()),
        IpAddr::V6(first) => IpAddr::V6((u128::from(first) + u128::from(offset)).into()),
    })
}
