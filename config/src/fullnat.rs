//! `[fullnat]`: the addresses that the director speaks from towards FullNAT's real servers.

use std::collections::HashSet;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::address::{check_global, read_prefix};
use crate::network::Network;
use crate::read::{Table, Value};

/// Bound of the number of local addresses, all prefixes together; each is worth 64 k conns to each server.
pub const LOCAL_ADDRESSES_MAX: usize = 4096;

/// `[fullnat]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FullNat {
    /// Every local address of the prefixes, in the file's order, but those that no host can have (the first and last of
    /// a connected subnet). None of them is also a VIP, an own address, a gateway or a real server.
    pub local_addresses: Vec<IpAddr>,
    /// What tools call masquerading is FullNAT: they have no other word for it.
    pub masquerade: bool,
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
        fullnat.masquerade = value.truth().unwrap_or_default();
        if fullnat.masquerade && !table.has("local_addresses") {
            value.fault("found true without `local_addresses`; must be false, or there be addresses to speak from");
        }
    }
    fullnat
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
