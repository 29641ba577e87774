//! Maglev hashing: a big table that the servers fill in turns, each in an order of its own; the client names the entry.
//! When a server goes, its entries go to others and few entries of others change hands.
//!
//! Eisenbud and others, "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016, section 3.4, with
//! weights as turns in a row. The table is computed by control; it uses the last weight above 0, so that a server that
//! is quiesced does not move the others' clients.

use crate::hash::{fold, sip_32};
use crate::order::Reach;
use crate::{Flags, Flow, Moment, Scheduler, Server, Servers, Settings};
use std::net::IpAddr;

const OFFSET_KEY: u32 = 2_654_435_761;
const SKIP_KEY: u32 = 2_654_446_892;
const NOBODY: u32 = u32::MAX;

/// Whose each entry is; empty if no server ever had a weight.
pub struct Mh {
    table: Vec<u32>,
    flags: Flags,
    reach: Reach,
}

impl Scheduler for Mh {
    fn new(servers: &Servers, settings: &Settings) -> Self {
        let table = fill(servers.listed(), settings);
        Mh { table, flags: settings.flags, reach: Reach::of(servers) }
    }

    fn pick(&mut self, servers: &Servers, flow: &Flow, _: &Moment) -> Option<usize> {
        let size = self.table.len() as u32;
        if size == 0 {
            return None;
        }
        let port = if self.flags.port { flow.client_port } else { 0 };
        let word = fold(flow.client).wrapping_add(port.into());
        let entry_of = |offset: u32| sip_32(word.wrapping_add(offset), OFFSET_KEY) % size;

        let first = entry_of(0);
        let owner = self.table[first as usize] as usize;
        if servers.is_usable(owner) {
            return Some(owner);
        }
        if !self.flags.fallback || self.reach.max() == 0 {
            return None;
        }
        let mut others = (0..size).map(|offset| self.table[entry_of((offset + first) % size) as usize] as usize);
        others.find(|&other| servers.is_usable(other))
    }

    fn load_changed(&mut self, servers: &Servers, index: usize) {
        self.reach.update(servers, index);
    }
}

/// A server's way through the table: from an entry of its own in steps of its own.
struct Way {
    entry: u32,
    skip: u32,
    turns: u32,
    owner: u32,
}

fn fill(servers: &[Server], settings: &Settings) -> Vec<u32> {
    let size = settings.mh_table.get();
    let mut ways = ways(servers, settings);
    if ways.is_empty() {
        return Vec::new();
    }
    let mut table = vec![NOBODY; size as usize];
    let mut empty = size;
    loop {
        for way in &mut ways {
            for _ in 0..way.turns {
                // Ends: the size is prime, so the way meets every entry, and one is empty.
                while table[way.entry as usize] != NOBODY {
                    way.entry = (way.entry + way.skip) % size;
                }
                table[way.entry as usize] = way.owner;
                empty -= 1;
                if empty == 0 {
                    return table;
                }
            }
        }
    }
}

fn ways(servers: &[Server], settings: &Settings) -> Vec<Way> {
    let size = settings.mh_table.get();
    let weights = || servers.iter().map(|server| server.last_weight);
    let unit = weights().fold(0, greatest_common_divisor).max(1);
    let shift = shift_of(weights().max().unwrap_or(0) / unit, size);
    let with_weight = servers.iter().zip(0..).filter(|(server, _)| server.last_weight > 0);
    with_weight
        .map(|(server, owner)| {
            let word = fold_server(server.address, settings.clients_v6).wrapping_add(server.port.into());
            Way {
                entry: sip_32(word, OFFSET_KEY) % size,
                skip: sip_32(word, SKIP_KEY) % (size - 1) + 1,
                turns: ((server.last_weight / unit) >> shift).max(1),
                owner,
            }
        })
        .collect()
}

/// A server behind a tunnel may be of the other family than its clients. The kernel reads its address as one of the clients'
/// (recorded): of an IPv6 address the first word.
fn fold_server(address: IpAddr, clients_v6: bool) -> u32 {
    match address {
        IpAddr::V6(v6) if !clients_v6 => (v6.to_bits() >> 96) as u32,
        _ => fold(address),
    }
}

/// By how many bits turns are cut so that the most have no more bits than half of those of the table's size.
fn shift_of(turns_max: u32, size: u32) -> u32 {
    bits(turns_max).saturating_sub(bits(size) / 2)
}

fn bits(number: u32) -> u32 {
    u32::BITS - number.leading_zeros()
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}
