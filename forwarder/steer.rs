//! Which worker owns a flow: a pure function of the headers and the snapshot, never of the queue a frame came by. So every
//! method works on any device with any number of workers, with no flow rules and no shared table.
//!
//! ```text
//! to a VIP, or marked       client → VIP            h = H(source endpoint)
//! to a local address        server → LIP:port       h = the port's low 6 bits, which the owner chose
//! anything else             server → client         h = H(destination endpoint)
//! an ICMP error             the same, on the flow of the quoted packet in the error's own direction
//! ```

use crate::services::Services;
use conntrack::{Key, Seed};
use hashbrown::HashMap;
use std::net::IpAddr;

/// Entries of the owners' table: what a hash is cut to.
const OWNERS: usize = 256;
/// Slots of local ports: what a port is cut to.
pub const PORT_SLOTS: usize = 64;
/// Workers that there can be: each owns a slot of local ports.
pub const WORKERS_MAX: usize = PORT_SLOTS;

/// What an address of the director's is, as far as owners matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// A virtual address: packets to it are inbound.
    Virtual,
    /// A local address of FullNAT: packets to it are outbound.
    Local,
}

/// How flows fall to workers.
pub struct Steering {
    workers: usize,
    owners: [u8; OWNERS],
    roles: HashMap<IpAddr, Role, foldhash::fast::RandomState>,
    seed: Seed,
}

impl Default for Steering {
    /// One worker owns everything.
    fn default() -> Self {
        Self::new(1, Seed::from_u64(0), [], [], [])
    }
}

impl Steering {
    /// Flows spread evenly over that many workers. `former_vips` had services whose conns may still live.
    pub fn new(
        workers: usize,
        seed: Seed,
        former_vips: impl IntoIterator<Item = IpAddr>,
        vips: impl IntoIterator<Item = IpAddr>,
        local_addresses: impl IntoIterator<Item = IpAddr>,
    ) -> Self {
        assert!((1..=WORKERS_MAX).contains(&workers), "{workers} workers, must be 1 to {WORKERS_MAX}");
        let virtual_address = |address| (address, Role::Virtual);
        let locals = local_addresses.into_iter().map(|address| (address, Role::Local));
        // What an address is now wins over what it was. No address is a VIP and a local address at once: config refuses it.
        let former = former_vips.into_iter().map(virtual_address);
        let roles = former.chain(locals).chain(vips.into_iter().map(virtual_address)).collect();
        Self { workers, owners: std::array::from_fn(|i| (i % workers) as u8), roles, seed }
    }

    /// Does one worker own everything? Then nobody needs to ask whose a flow is.
    #[inline]
    pub fn is_single(&self) -> bool {
        self.workers == 1
    }

    /// The worker that owns the flow of a packet with this key.
    #[inline]
    pub fn owner(&self, key: &Key, services: &Services) -> usize {
        let hash = match self.roles.get(&key.dst()) {
            Some(Role::Local) => return slot_owner(key.dport(), self.workers),
            Some(Role::Virtual) => self.seed.hash_endpoint(key.src_bytes(), key.sport()),
            None if services.is_marked(key) => self.seed.hash_endpoint(key.src_bytes(), key.sport()),
            None => self.seed.hash_endpoint(key.dst_bytes(), key.dport()),
        };
        usize::from(self.owners[hash as usize % OWNERS])
    }
}

/// The worker that owns a local port.
fn slot_owner(port: u16, workers: usize) -> usize {
    usize::from(port) % PORT_SLOTS % workers
}

/// The slots of local ports that a worker owns.
pub fn slots_of(worker: usize, workers: usize) -> impl Iterator<Item = u16> {
    (0..PORT_SLOTS as u16).filter(move |&slot| slot_owner(slot, workers) == worker)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn steering(workers: usize) -> Steering {
        let vips = ["192.0.2.10".parse().unwrap()];
        let locals = ["10.0.0.240".parse().unwrap()];
        Steering::new(workers, Seed::from_u64(7), [], vips, locals)
    }

    fn key(from: (&str, u16), to: (&str, u16)) -> Key {
        Key::of((from.0.parse().unwrap(), from.1), (to.0.parse().unwrap(), to.1), 6).unwrap()
    }

    proptest! {
        #[test]
        fn both_directions_of_a_flow_have_one_owner(client: u32, port: u16, workers in 1usize..=WORKERS_MAX) {
            let (steering, services) = (steering(workers), Services::default());
            let client = std::net::Ipv4Addr::from_bits(client).to_string();
            prop_assume!(client != "192.0.2.10" && client != "10.0.0.240");
            let inbound = steering.owner(&key((&client, port), ("192.0.2.10", 80)), &services);
            let nat_reply = steering.owner(&key(("10.0.0.11", 8080), (&client, port)), &services);
            prop_assert_eq!(inbound, nat_reply);
            prop_assert!(inbound < workers);
            // FullNAT: the owner chose the port among its own slots.
            for local_port in slots_of(inbound, workers).map(|slot| 1024 + slot) {
                let reply = steering.owner(&key(("10.0.0.11", 8080), ("10.0.0.240", local_port)), &services);
                prop_assert_eq!(reply, inbound);
            }
        }
    }

    #[test]
    fn every_worker_owns_slots_and_every_slot_an_owner() {
        for workers in 1..=WORKERS_MAX {
            let slots: Vec<_> = (0..workers).map(|worker| slots_of(worker, workers).count()).collect();
            assert_eq!(slots.iter().sum::<usize>(), PORT_SLOTS);
            assert!(slots.iter().all(|&slots| slots >= 1));
        }
    }

    #[test]
    fn flows_spread_evenly() {
        let (steering, services) = (steering(4), Services::default());
        let mut flows = [0; 4];
        for port in 1..=40_000 {
            flows[steering.owner(&key(("198.51.100.7", port), ("192.0.2.10", 80)), &services)] += 1;
        }
        assert!(flows.iter().all(|&flows| (9_000..=11_000).contains(&flows)), "{flows:?}");
    }
}
