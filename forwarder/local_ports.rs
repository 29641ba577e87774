//! Local ports of FullNAT: no pool, no list. A port is free towards a real server when no conn has the reply key
//! (server → local address:port); the table answers that. So one local address carries 64 512 conns to each server's
//! endpoint, and nothing has to be given back.
//!
//! ```text
//! hash(client, server) + cursor ─▶ 1st address: 1 port, 4, 16, … ─▶ 2nd address … ─▶ exhausted, counted
//! ```

use crate::services::ServerId;
use crate::steer::{PORT_SLOTS, slots_of};
use arrayvec::ArrayVec;
use conntrack::{Key, NewConn, Table, Tick};
use std::net::{IpAddr, SocketAddr};

/// Ports below are the system's (RFC 6335).
const PORT_MIN: u16 = 1024;
/// Keys probed at once, group after group: their buckets are loaded together. The first try is one key alone, for most often it
/// is free and its bucket was asked for; the fuller the ports, the more are looked at together.
const GROUPS: [usize; 3] = [1, 4, GROUP];
/// The longest group.
const GROUP: usize = 16;
/// Ports tried at one local address before the next one.
const PROBES_PER_ADDRESS: usize = 128;
/// Ports tried for one conn at most: a bound on what a new conn costs when nearly all ports are taken.
const PROBES_MAX: usize = 512;
/// Pairs of address and server whose failures are remembered until control hears of them.
const FAILURES_MAX: usize = 16;

/// The owner of a port among workers: the port's low bits.
const SLOTS: u32 = PORT_SLOTS as u32;
/// Ports per slot.
const PORTS_PER_SLOT: u32 = (65_536 - PORT_MIN as u32) / SLOTS;

/// How the ports are gone through for one flow. Each flow goes its own way: one step for all would pile up runs of taken ports,
/// and a search would end in one long before the ports are used up. No step is so long that a search comes to a port twice.
#[derive(Debug, Clone, Copy)]
pub struct Search {
    first_address: usize,
    first_port: u32,
    step: u32,
}

/// No port was free at this local address towards this real server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// LIP.
    pub local: IpAddr,
    /// The real server.
    pub server: ServerId,
    /// How often.
    pub count: u64,
}

/// One worker's way through the ports.
pub struct LocalPorts {
    seed: u64,
    cursor: u32,
    /// The slots this worker owns.
    slots: ArrayVec<u16, PORT_SLOTS>,
    failures: ArrayVec<Failure, FAILURES_MAX>,
}

impl LocalPorts {
    /// Those of the slots that are this worker's.
    pub fn new(seed: u64, worker: usize, workers: usize) -> Self {
        Self { seed, cursor: 0, slots: slots_of(worker, workers).collect(), failures: ArrayVec::new() }
    }

    /// Where the search for a flow with this hash begins. None: there are no addresses.
    pub fn begin(&mut self, hash: u64, addresses: &[IpAddr], server: ServerId) -> Option<Search> {
        if addresses.is_empty() {
            return None;
        }
        let hash = hash ^ self.seed.wrapping_mul(u64::from(server.0) + 1);
        let first_port = (hash as u32).wrapping_add(self.cursor) % self.count();
        self.cursor = self.cursor.wrapping_add(1);
        Some(Search {
            first_address: (hash >> 40) as usize % addresses.len(),
            first_port,
            step: 1 + u32::from((hash >> 24) as u16) % (self.count() / PROBES_PER_ADDRESS as u32),
        })
    }

    /// The n-th endpoint that a search looks at in its round.
    pub fn endpoint(&self, search: &Search, addresses: &[IpAddr], round: usize, n: usize) -> (IpAddr, u16) {
        let address = addresses[(search.first_address + round) % addresses.len()];
        (address, self.port((search.first_port + n as u32 * search.step) % self.count()))
    }

    /// A free endpoint for a conn, at one of `addresses`. None: exhausted, and counted.
    pub fn choose(
        &mut self,
        table: &Table,
        addresses: &[IpAddr],
        search: &Search,
        conn: &NewConn,
        now: Tick,
    ) -> Option<SocketAddr> {
        for round in 0..addresses.len().min(PROBES_MAX / PROBES_PER_ADDRESS) {
            let (mut probed, mut groups) = (0, 0);
            while probed < PROBES_PER_ADDRESS {
                let count = GROUPS[groups.min(GROUPS.len() - 1)].min(PROBES_PER_ADDRESS - probed);
                let endpoints = (probed..probed + count).map(|n| self.endpoint(search, addresses, round, n));
                if let Some(local) = free_endpoint(table, &endpoints.collect(), conn, now) {
                    return Some(local);
                }
                (probed, groups) = (probed + count, groups + 1);
            }
            self.failed(addresses[(search.first_address + round) % addresses.len()], ServerId(conn.server));
        }
        None
    }

    /// A pair whose failures nobody has heard of, with those since the last time.
    pub fn take_failure(&mut self) -> Option<Failure> {
        self.failures.pop()
    }

    /// How many ports this worker has.
    fn count(&self) -> u32 {
        self.slots.len() as u32 * PORTS_PER_SLOT
    }

    /// The n-th of this worker's ports.
    fn port(&self, n: u32) -> u16 {
        let slots = self.slots.len() as u32;
        PORT_MIN + (n / slots * SLOTS) as u16 + self.slots[(n % slots) as usize]
    }

    fn failed(&mut self, local: IpAddr, server: ServerId) {
        match self.failures.iter_mut().find(|failure| failure.local == local && failure.server == server) {
            Some(failure) => failure.count += 1,
            None => drop(self.failures.try_push(Failure { local, server, count: 1 })),
        }
    }
}

fn free_endpoint(
    table: &Table,
    endpoints: &ArrayVec<(IpAddr, u16), GROUP>,
    conn: &NewConn,
    now: Tick,
) -> Option<SocketAddr> {
    let server = (conn.real_server.ip(), conn.real_server.port());
    let reply = |&local: &(IpAddr, u16)| Key::of(server, local, conn.key.protocol());
    let free = match endpoints.as_slice() {
        [only] => reply(only).is_some_and(|key| table.find(&key, now).is_none()).then_some(only),
        _ => {
            let keys: ArrayVec<Key, GROUP> = endpoints.iter().filter_map(reply).collect();
            endpoints.get(table.probe_burst(&keys, now).trailing_zeros() as usize)
        }
    };
    free.map(|&(address, port)| SocketAddr::new(address, port))
}
