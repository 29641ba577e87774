//! Which worker owns a flow: a pure function of the headers and the snapshot, never of the queue a frame came by. So every
//! method works on any device with any number of workers, with no flow rules and no shared table.
//!
//! ```text
//! to a VIP                  client → VIP            h = H(source endpoint), or Toeplitz(4-tuple) if the service says so
//! to a local address        server → LIP:port       h = the port's low 6 bits, which the owner chose
//! with services of marks:   client → anything       as to a VIP, unless the source is a NAT real server or an own address
//! anything else             server → client         h = H(destination endpoint)
//! an ICMP error             the same, on the flow of the quoted packet in the error's own direction
//! a fragment                h = H(source, destination, identification, protocol); the whole packet then goes to its flow's
//! ```
//!
//! What a mark takes is not asked: a rule may also fit replies, and rules change while their conns live. A frame from a NAT
//! server's endpoint is a reply, so one thing is beyond this: a NAT real server that, from that very endpoint, is a client of
//! a mark's service whose server for it is NAT as well.

mod queues;
mod toeplitz;

use conntrack::{Key, Seed};
use hashbrown::{HashMap, HashSet};
pub use queues::{can_agree, owners_repeat, queue_table};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
pub use toeplitz::{RSS_KEY_BYTES, Toeplitz};

/// Entries of the owners' table: what a hash is cut to.
const OWNERS: usize = 256;
/// Slots of local ports: what a port is cut to.
pub const PORT_SLOTS: usize = 64;
/// Workers that there can be: each owns a slot of local ports.
pub const WORKERS_MAX: usize = PORT_SLOTS;

/// What of a flow says which worker owns it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Steer {
    /// The client's endpoint: a reply to it, which NAT sends, says the same.
    #[default]
    Source,
    /// Both endpoints, by the hash of NICs.
    Tuple,
}

/// What an address of the director's is, as far as owners matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// A virtual address: packets to it are inbound. None: its services are not steered alike.
    Virtual(Option<Steer>),
    /// A local address of FullNAT: packets to it are outbound.
    Local,
}

/// Protocol, VIP and port of a service; port 0: every other port.
pub type Served = (u8, IpAddr, u16);

/// What never changes while a director runs.
#[derive(Clone)]
pub struct Hashes {
    /// The number of workers.
    pub workers: usize,
    /// Of the workers' conn tables.
    pub seed: Seed,
    /// The hash of NICs.
    pub toeplitz: Arc<Toeplitz>,
    /// After how many hashes the owners repeat: see [`owners_repeat`].
    pub repeat: usize,
}

impl Hashes {
    /// For so many workers, without devices to agree with. Everything follows from the number.
    pub fn new(workers: usize, seed: u64) -> Self {
        assert!((1..=WORKERS_MAX).contains(&workers), "{workers} workers, must be 1 to {WORKERS_MAX}");
        // Random: who knows the key can send everything to one worker.
        let mut random = fastrand::Rng::with_seed(seed);
        let toeplitz = loop {
            let toeplitz = Toeplitz::new(std::array::from_fn(|_| random.u8(..)));
            if toeplitz.spreads_ports() {
                break Arc::new(toeplitz);
            }
        };
        Self { workers, seed: Seed::from_u64(seed), toeplitz, repeat: OWNERS }
    }
}

/// What a snapshot of the services means for owners.
#[derive(Default)]
pub struct Places {
    /// Services of addresses that are gone, but whose conns may still live.
    pub former: Vec<(Served, Steer)>,
    /// FullNAT's local addresses.
    pub locals: Vec<IpAddr>,
    /// The services of addresses.
    pub served: Vec<(Served, Steer)>,
    /// There are services of marks, or were, and conns of them may still live: how they are steered.
    pub marked: Option<Marked>,
}

/// Where any address may be a service's.
#[derive(Default)]
pub struct Marked {
    /// How the services of marks are steered: all alike.
    pub steer: Steer,
    /// Real servers that are, or once were, reached by NAT. Port 0: any.
    pub nat_servers: HashSet<(IpAddr, u16), foldhash::fast::RandomState>,
}

/// How flows fall to workers.
pub struct Steering {
    hashes: Hashes,
    owners: [u8; OWNERS],
    roles: HashMap<IpAddr, Role, foldhash::fast::RandomState>,
    served: HashMap<Served, Steer, foldhash::fast::RandomState>,
    marked: Option<Marked>,
}

impl Default for Steering {
    /// One worker owns everything.
    fn default() -> Self {
        Self::new(Hashes::new(1, 0), Places::default())
    }
}

impl Steering {
    /// Flows spread evenly over the workers.
    pub fn new(hashes: Hashes, places: Places) -> Self {
        let Places { former, locals, served, marked } = places;
        let mut roles = HashMap::default();
        let mut known = HashMap::default();
        // What an address is now wins over what it was. No address is a VIP and a local address at once: config refuses it.
        for (served, steer) in &former {
            join(&mut roles, served.1, *steer);
            known.insert(*served, *steer);
        }
        roles.extend(locals.into_iter().map(|address| (address, Role::Local)));
        for (served, steer) in &served {
            join(&mut roles, served.1, *steer);
            known.insert(*served, *steer);
        }
        if let Some(marked) = &marked {
            // Ports that no service of the address has may be a mark's.
            roles.values_mut().for_each(|role| role.agree(marked.steer));
        }
        let owners = std::array::from_fn(|hash| queues::owner(hash, hashes.repeat, hashes.workers) as u8);
        Self { hashes, owners, roles, served: known, marked }
    }

    /// Does one worker own everything? Then nobody needs to ask whose a flow is.
    #[inline]
    pub fn is_single(&self) -> bool {
        self.hashes.workers == 1
    }

    /// The worker that owns the flow of a packet with this key.
    #[inline]
    pub fn owner(&self, key: &Key) -> usize {
        let hash = match (self.roles.get(&key.dst()), &self.marked) {
            (Some(Role::Local), _) => return slot_owner(key.dport(), self.hashes.workers),
            (Some(Role::Virtual(Some(steer))), _) => self.inbound(*steer, key),
            (Some(Role::Virtual(None)), _) => self.inbound(self.steer_of(key), key),
            (None, Some(marked)) if !marked.is_reply(key) => self.inbound(marked.steer, key),
            (None, _) => self.outbound(key),
        };
        usize::from(self.owners[hash as usize % OWNERS])
    }

    /// The worker that owns the flow of a packet from one of the director's own addresses, which is no client's: what a DR server
    /// answers by way of the director, or an error about what it was sent.
    #[cold]
    pub fn owner_from_own(&self, key: &Key) -> usize {
        usize::from(self.owners[self.outbound(key) as usize % OWNERS])
    }

    /// Are there services of marks, so that a packet to any address may be inbound?
    #[inline]
    pub fn has_marks(&self) -> bool {
        self.marked.is_some()
    }

    /// Whether flows to this address may be conns': a VIP's, a former one's, a local address's. Where there are marks, any may.
    #[cold]
    pub fn has_flows(&self, address: IpAddr) -> bool {
        self.marked.is_some() || self.roles.contains_key(&address)
    }

    /// The worker that puts together the packet with this fragment key.
    #[cold]
    pub fn fragment_owner(&self, key: &Key) -> usize {
        usize::from(self.owners[self.hashes.seed.hash(key) as usize % OWNERS])
    }

    #[inline]
    fn outbound(&self, key: &Key) -> u64 {
        self.hashes.seed.hash_endpoint(key.dst_bytes(), key.dport())
    }

    #[inline]
    fn inbound(&self, steer: Steer, key: &Key) -> u64 {
        match steer {
            Steer::Source => self.hashes.seed.hash_endpoint(key.src_bytes(), key.sport()),
            Steer::Tuple => self.hashes.toeplitz.hash(key).into(),
        }
    }

    /// How a packet to a VIP is steered whose services differ.
    fn steer_of(&self, key: &Key) -> Steer {
        let of_port = |port| self.served.get(&(key.protocol(), key.dst(), port)).copied();
        let of_mark = || self.marked.as_ref().map(|marked| marked.steer);
        of_port(key.dport()).or_else(|| of_port(0)).or_else(of_mark).unwrap_or_default()
    }
}

impl Role {
    /// What else flows to the address may be steered by.
    fn agree(&mut self, other: Steer) {
        if let Role::Virtual(steer) = self
            && *steer != Some(other)
        {
            *steer = None;
        }
    }
}

fn join(roles: &mut HashMap<IpAddr, Role, foldhash::fast::RandomState>, vip: IpAddr, steer: Steer) {
    match roles.get_mut(&vip) {
        Some(role @ Role::Virtual(_)) => role.agree(steer),
        _ => drop(roles.insert(vip, Role::Virtual(Some(steer)))),
    }
}

impl Marked {
    /// Does the packet come from where a NAT server's replies come from?
    #[inline]
    fn is_reply(&self, key: &Key) -> bool {
        let from = |port| self.nat_servers.contains(&(key.src(), port));
        from(key.sport()) || from(0)
    }

    /// Adds a server; port 0: any.
    pub fn add(&mut self, server: SocketAddr) {
        self.nat_servers.insert((server.ip(), server.port()));
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

    const VIP: &str = "192.0.2.10";
    /// Port 80 by source, 81 by tuple, the rest of the address (with marks) by what the mark says.
    fn steering(workers: usize, marked: Option<Steer>) -> Steering {
        let vip = VIP.parse().unwrap();
        let mut marked = marked.map(|steer| Marked { steer, ..Marked::default() });
        if let Some(marked) = &mut marked {
            marked.add("10.0.0.11:8080".parse().unwrap());
            marked.add("10.0.0.12:0".parse().unwrap());
        }
        let places = Places {
            served: vec![((6, vip, 80), Steer::Source), ((6, vip, 81), Steer::Tuple)],
            locals: vec!["10.0.0.240".parse().unwrap()],
            marked,
            ..Places::default()
        };
        Steering::new(Hashes::new(workers, 7), places)
    }

    fn key(from: (&str, u16), to: (&str, u16)) -> Key {
        Key::of((from.0.parse().unwrap(), from.1), (to.0.parse().unwrap(), to.1), 6).unwrap()
    }

    proptest! {
        #[test]
        fn both_directions_of_a_flow_have_one_owner(
            client: u32,
            port: u16,
            workers in 1usize..=WORKERS_MAX,
            marks in prop_oneof![Just(None), Just(Some(Steer::Source)), Just(Some(Steer::Tuple))],
        ) {
            let steering = steering(workers, marks);
            let client = std::net::Ipv4Addr::from_bits(client).to_string();
            prop_assume!(client != VIP && !client.starts_with("10.0.0."));
            let inbound = steering.owner(&key((&client, port), (VIP, 80)));
            prop_assert_eq!(inbound, steering.owner(&key(("10.0.0.11", 8080), (&client, port))), "NAT");
            prop_assert_eq!(inbound, steering.owner(&key((&client, port), (VIP, 80))));
            prop_assert!(inbound < workers);
            if marks == Some(Steer::Source) {
                // Whatever a mark took, from whichever port its server answers.
                let marked = steering.owner(&key((&client, port), ("198.51.100.99", 4444)));
                prop_assert_eq!(marked, steering.owner(&key(("10.0.0.12", 4444), (&client, port))), "NAT of a mark");
            }
            // FullNAT: the owner chose the port among its own slots.
            for to in [80, 81] {
                let inbound = steering.owner(&key((&client, port), (VIP, to)));
                for local_port in slots_of(inbound, workers).map(|slot| 1024 + slot) {
                    let reply = steering.owner(&key(("10.0.0.11", 8080), ("10.0.0.240", local_port)));
                    prop_assert_eq!(reply, inbound);
                }
            }
        }
    }

    #[test]
    fn a_tuple_is_the_hash_of_nics_and_a_source_is_not() {
        let steering = steering(4, None);
        let differs = |port: u16| {
            let of = |from| key(("203.0.113.7", from), (VIP, port));
            let by_nic = |key: &Key| steering.hashes.toeplitz.hash(key) as usize % OWNERS % 4;
            (1..1000).filter(|&from| steering.owner(&of(from)) != by_nic(&of(from))).count()
        };
        assert_eq!(differs(81), 0);
        assert!(differs(80) > 500);
    }

    #[test]
    fn a_port_without_a_service_is_steered_as_marks_are() {
        for (marks, port) in [(Steer::Source, 80), (Steer::Tuple, 81)] {
            let steering = steering(4, Some(marks));
            let to = |port| key(("203.0.113.7", 7), (VIP, port));
            assert_eq!(steering.steer_of(&to(4444)), steering.steer_of(&to(port)));
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
        let steering = steering(4, None);
        for to in [80, 81] {
            let mut flows = [0; 4];
            for port in 1..=40_000 {
                flows[steering.owner(&key(("198.51.100.7", port), (VIP, to)))] += 1;
            }
            assert!(flows.iter().all(|&flows| (9_000..=11_000).contains(&flows)), "{flows:?}");
        }
    }
}
