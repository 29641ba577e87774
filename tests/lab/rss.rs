//! A NIC with RSS in front of the lab's workers: it hashes addresses and ports bit by bit, as the specification reads, and
//! looks the queue up in a table that the director wrote. What it cannot hash (fragments, ICMP) comes by the first queue.

use crate::kit::{Lab, SEED};
use uvs::steer::{Hashes, owners_repeat, queue_table};
use uvs::wire::{Ipv4, Ipv6, protocol};

/// Ports of a worker.
const PORTS: usize = 2;

/// The NIC of one port; queue i is worker i's.
pub struct Nic {
    key: Vec<u8>,
    table: Vec<u16>,
    port: usize,
}

impl Nic {
    /// A NIC with a table of so many entries; `shortest` is that of any port of the director.
    pub fn new(lab: &mut Lab, port: usize, entries: usize, shortest: usize) -> Nic {
        let workers = lab.workers.len();
        let repeat = owners_repeat([entries, shortest]);
        lab.control.repeat_owners_after(repeat);
        lab.settle();
        let key = Hashes::new(workers, SEED).toeplitz.key().to_vec();
        Nic { key, table: queue_table(entries, repeat, workers, workers), port }
    }

    /// A frame arrives.
    pub fn put(&self, lab: &Lab, frame: &[u8]) {
        let queue = tuple(&frame[14..]).map_or(0, |tuple| self.table[self.hash(&tuple) % self.table.len()]);
        lab.cables[usize::from(queue) * PORTS + self.port].put(frame);
    }

    fn hash(&self, input: &[u8]) -> usize {
        let bit = |bytes: &[u8], i: usize| u32::from(bytes[i / 8] >> (7 - i % 8) & 1);
        let window = |from: usize| (0..32).fold(0u32, |bits, i| bits << 1 | bit(&self.key, from + i));
        let set = (0..input.len() * 8).filter(|&i| bit(input, i) == 1);
        set.fold(0, |hash, i| hash ^ window(i)) as usize
    }
}

/// Addresses and ports as they stand in the headers.
fn tuple(l3: &[u8]) -> Option<Vec<u8>> {
    let (addresses, protocol, l4) = match l3[0] >> 4 {
        4 => (12..20, Ipv4::of(l3)?.protocol(), usize::from(l3[0] & 15) * 4),
        _ => (8..40, Ipv6::of(l3)?.next_header(), 40),
    };
    matches!(protocol, protocol::TCP | protocol::UDP).then(|| [&l3[addresses], &l3[l4..l4 + 4]].concat())
}
