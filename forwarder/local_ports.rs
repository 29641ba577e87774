//! Local ports of FullNAT: no pool, no list. A port is free towards a real server when no conn has the reply key
//! (server → local address:port); the table answers that. So one local address carries 64 512 conns to each server's
//! endpoint, and nothing has to be given back.
//!
//! ```text
//! hash(client, server) + cursor ─▶ 1st address: 1 port, 16 ports, … ─▶ 2nd address … ─▶ exhausted, counted
//! ```

use crate::services::ServerId;
use crate::steer::{PORT_SLOTS, slots_of};
use arrayvec::ArrayVec;
use conntrack::{Key, Table, Tick};
use std::net::{IpAddr, SocketAddr};

/// Ports below are the system's (RFC 6335).
const PORT_MIN: u16 = 1024;
/// Keys probed at once: their buckets are loaded together. The first try is one key alone, for most often it is free, and
/// its bucket is wanted again at once.
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

    /// A free endpoint towards `real_server`, at one of `addresses`. None: exhausted, and counted.
    pub fn choose(
        &mut self,
        table: &Table,
        addresses: &[IpAddr],
        flow: &Key,
        server: ServerId,
        real_server: SocketAddr,
        now: Tick,
    ) -> Option<SocketAddr> {
        if addresses.is_empty() {
            return None;
        }
        let hash = table.hash(flow) ^ self.seed.wrapping_mul(u64::from(server.0) + 1);
        let all = self.slots.len() as u32 * PORTS_PER_SLOT;
        let first_address = (hash >> 40) as usize % addresses.len();
        let first_port = (hash as u32).wrapping_add(self.cursor) % all;
        // Each flow goes its own way through the ports: one step for all would pile up runs of taken ports, and a search would
        // end in one long before the ports are used up. No step is so long that a search comes to a port twice.
        let step = 1 + u32::from((hash >> 24) as u16) % (all / PROBES_PER_ADDRESS as u32);
        self.cursor = self.cursor.wrapping_add(1);
        for round in 0..addresses.len().min(PROBES_MAX / PROBES_PER_ADDRESS) {
            let address = addresses[(first_address + round) % addresses.len()];
            let mut probed = 0;
            while probed < PROBES_PER_ADDRESS {
                let count = if probed == 0 { 1 } else { GROUP.min(PROBES_PER_ADDRESS - probed) };
                let ports = (probed..probed + count).map(|n| self.port((first_port + n as u32 * step) % all));
                let ports: ArrayVec<u16, GROUP> = ports.collect();
                if let Some(port) = free_port(table, &ports, address, real_server, flow.protocol(), now) {
                    return Some(SocketAddr::new(address, port));
                }
                probed += count;
            }
            self.failed(address, server);
        }
        None
    }

    /// A pair whose failures nobody has heard of, with those since the last time.
    pub fn take_failure(&mut self) -> Option<Failure> {
        self.failures.pop()
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

fn free_port(
    table: &Table,
    ports: &[u16],
    local: IpAddr,
    real_server: SocketAddr,
    protocol: u8,
    now: Tick,
) -> Option<u16> {
    let reply = |port: u16| Key::of((real_server.ip(), real_server.port()), (local, port), protocol);
    let keys: ArrayVec<Key, GROUP> = ports.iter().filter_map(|&port| reply(port)).collect();
    let free = table.probe_burst(&keys, now);
    ports.get(free.trailing_zeros() as usize).copied()
}
