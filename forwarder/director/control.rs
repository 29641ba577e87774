//! The control thread's work, without its thread: it owns services, neighbours and snapshots, hears the workers and tells
//! them. No socket, no device and no clock here, so the lab runs it as it is.

use super::idle_templates::IdleTemplates;
use super::listing::Listings;
use super::orphans::Orphans;
use super::rates::Rates;
use super::reload::Reloads;
use super::tools::Tools;
use super::{network, settings};
use crate::host::{self, HostEnds, WorkerHost};
use crate::local_ports::{Failure, LocalPorts};
use crate::neigh::allowance::Allowance;
use crate::neigh::{HostNetwork, Neighbors, NextHops};
use crate::pipeline::shard::TrafficTable;
use crate::pipeline::{Now, Shard, shard::Shared};
use crate::services::book::{Book, Refused, ServerSpec, ServiceSpec};
use crate::services::live::{SERVICES_MAX, TrafficCounts};
use crate::services::tunnels::Tunnels;
use crate::services::{LiveTable, MarkRule, ServerId, ServiceKey, Services};
use crate::snapshot::{Publisher, Snapshots};
use crate::stats::{Counts, Published};
use crate::steer::Hashes;
use crate::worker::rings::{ControlRings, Order, Report, SmallFrame, WorkerRings, rings};
use config::Config;
use conntrack::{Seed, Table, Templates};
use hashbrown::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Messages of one worker that one turn hears.
const MESSAGES_PER_TURN: usize = 256;
/// Persistence templates per lock whose time may have come that one turn looks at.
const TEMPLATES_PER_TURN: usize = 64;
/// Milliseconds between two looks for what may be forgotten.
const FORGET_MS: u64 = 1_000;

/// Everything a worker needs but its ports.
pub struct WorkerParts {
    /// Its conns and counters.
    pub shard: Shard,
    /// Its ends of the rings.
    pub rings: WorkerRings,
    /// Its ends of the rings to and from the host.
    pub host: WorkerHost,
    /// Where it finds snapshots.
    pub snapshots: Snapshots,
    /// Where it leaves its counters.
    pub published: Arc<Published>,
}

/// What control keeps of a worker.
pub(super) struct WorkerLink {
    pub lcore: u32,
    pub rings: ControlRings,
    pub published: Arc<Published>,
    pub traffic: Arc<TrafficTable>,
}

/// Why a director cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No memory for a conn table.
    #[error(
        "director.conns_max: {conns_max} conns take {megabytes} MB, which the system does not give: {source}; lower conns_max"
    )]
    Table {
        /// Conns asked for.
        conns_max: u32,
        /// What they take.
        megabytes: usize,
        /// What the system says.
        source: std::io::Error,
    },
    /// A service that cannot be made.
    #[error("service {0:?}: {1}")]
    Service(ServiceKey, Refused),
}

/// The control side of a director.
pub struct Control {
    pub(super) config: Config,
    pub(super) shared: Arc<Shared>,
    pub(super) book: Book,
    pub(super) neighbors: Neighbors,
    pub(super) workers: Vec<WorkerLink>,
    pub(super) listings: Listings,
    pub(super) reloads: Reloads,
    pub(super) orphans: Orphans,
    pub(super) idle_templates: IdleTemplates,
    pub(super) now: Now,
    pub(super) started_ms: u64,
    /// Traffic of a real server's place before the server had it: the place's former owners'.
    pub(super) traffic_before: HashMap<ServerId, TrafficCounts>,
    /// Traffic of servers that were removed and forgotten, by their service.
    pub(super) traffic_retired: HashMap<ServiceKey, TrafficCounts>,
    /// What goes through services and real servers each second.
    pub(super) rates: Rates,
    pub(super) tools: Tools,
    /// Times that local ports ran out, by local address and real server.
    pub(super) local_port_failures: HashMap<(IpAddr, ServerId), u64>,
    /// Clients use up the ports of as many pairs as they like.
    local_port_lines: Allowance,
    host_ends: Option<HostEnds>,
    services: Publisher<Services>,
    next_hops: Publisher<NextHops>,
    forget_ms: u64,
}

impl Control {
    /// The control side of what `config` says, and the parts of its workers. Port i has the MAC `macs[i]`. `seed` is random,
    /// or not, if a run is to be repeated.
    pub fn new(
        config: Config,
        macs: &[[u8; 6]],
        seed: u64,
        now: Now,
    ) -> Result<(Control, Vec<WorkerParts>), StartError> {
        let shared = Arc::new(Shared {
            live: LiveTable::new(config.director.servers_max as usize, SERVICES_MAX),
            tunnels: Tunnels::new(config.director.servers_max as usize),
            until_drop: Default::default(),
            host_serves: Default::default(),
            templates: Templates::new(config.director.templates_max as usize, Seed::from_u64(seed), now.tick),
        });
        let mut neighbors = network::neighbors(&config, macs, now);
        let workers = config.director.workers.len();
        let mut book = Book::new(shared.clone(), Hashes::new(workers, seed));
        book.set_policy(settings::policy(&config));
        book.set_marks(config.marks.iter().map(settings::mark_rule).collect());
        let first_services = book.snapshot().unwrap_or_default();
        let Some(first_next_hops) = neighbors.snapshot() else { unreachable!("the first call always has one") };
        let mut control = Control {
            services: Publisher::new(first_services),
            next_hops: Publisher::new(first_next_hops),
            workers: Vec::new(),
            listings: Listings::default(),
            reloads: Reloads::default(),
            orphans: Orphans::default(),
            idle_templates: IdleTemplates::new(seed),
            now,
            started_ms: now.ms,
            traffic_before: HashMap::new(),
            traffic_retired: HashMap::new(),
            rates: Rates::default(),
            tools: Tools::default(),
            local_port_failures: HashMap::new(),
            local_port_lines: Allowance::new(10, 10_000),
            forget_ms: now.ms,
            host_ends: None,
            shared,
            book,
            neighbors,
            config,
        };
        control.add_services()?;
        let config = control.config.clone();
        control.read_file_for_tools(&config);
        let lcores = control.config.director.workers.clone();
        let hosted: Vec<_> = control.config.ports.iter().map(|port| port.host.is_some()).collect();
        let (hosts, host_ends) = host::rings(&hosted, workers);
        control.host_ends = hosted.contains(&true).then_some(host_ends);
        let parts = lcores.iter().zip(hosts).map(|(lcore, host)| control.add_worker(*lcore, host, seed));
        let parts = parts.collect::<Result<_, _>>()?;
        Ok((control, parts))
    }

    /// One pass of the control thread.
    pub fn turn(&mut self, now: Now) {
        self.now = now;
        for worker in 0..self.workers.len() {
            self.hear(worker);
        }
        self.neighbors.turn(now.ms);
        for (port, frame) in self.neighbors.take_frames() {
            self.send(port, &frame);
        }
        self.shared.templates.expire(now.tick, TEMPLATES_PER_TURN);
        self.end_orphans();
        self.drop_idle_templates();
        if now.ms >= self.forget_ms {
            self.forget_ms = now.ms + FORGET_MS;
            self.forget();
        }
        self.estimate();
        self.turn_reloads();
        self.publish();
    }

    /// Replaces the mark rules.
    pub fn set_marks(&mut self, marks: Vec<MarkRule>) {
        self.book.set_marks(marks);
    }

    /// Makes a service.
    pub fn add_service(&mut self, key: ServiceKey, spec: ServiceSpec) -> Result<(), Refused> {
        if self.book.steered_otherwise(key, spec.steer, &[]).is_some() {
            return Err(Refused::SteeredOtherwise);
        }
        self.book.add_service(key, spec)?;
        self.addresses_changed();
        Ok(())
    }

    /// Changes a service; its servers and conns stay.
    pub fn edit_service(&mut self, key: ServiceKey, spec: ServiceSpec) -> Result<(), Refused> {
        self.book.edit_service(key, spec)
    }

    /// Removes a service.
    pub fn delete_service(&mut self, key: ServiceKey) -> Result<(), Refused> {
        self.book.delete_service(key, self.now.ms)?;
        self.traffic_retired.remove(&key);
        self.rates.forget_service(key);
        self.addresses_changed();
        Ok(())
    }

    /// Adds a real server to a service.
    pub fn add_server(&mut self, key: ServiceKey, address: SocketAddr, spec: ServerSpec) -> Result<(), Refused> {
        self.expect(key, address, spec);
        let next_hop = self.neighbors.next_hop_of(address.ip());
        self.book.add_server(key, address, ServerSpec { next_hop, ..spec })?;
        self.servers_changed();
        Ok(())
    }

    /// Changes a real server; its conns stay.
    pub fn edit_server(&mut self, key: ServiceKey, address: SocketAddr, spec: ServerSpec) -> Result<(), Refused> {
        self.expect(key, address, spec);
        let next_hop = self.neighbors.next_hop_of(address.ip());
        self.book.edit_server(key, address, ServerSpec { next_hop, ..spec })
    }

    /// Removes a real server from a service.
    pub fn delete_server(&mut self, key: ServiceKey, address: SocketAddr) -> Result<(), Refused> {
        self.book.delete_server(key, address, self.now.ms)?;
        self.servers_changed();
        Ok(())
    }

    /// The thread's ends of the rings between workers and host interfaces, once. None: no port has one.
    pub fn take_host_ends(&mut self) -> Option<HostEnds> {
        self.host_ends.take()
    }

    /// What the host has configured on its interfaces.
    pub fn set_host(&mut self, network: HostNetwork) {
        if self.neighbors.set_host(network, self.now.ms) {
            self.find_next_hops();
        }
    }

    /// The wire behind a port is another one: whoever is there learns the way from a frame.
    pub fn announce(&mut self, port: u16) {
        self.neighbors.announce(port);
    }

    /// Gives the workers what changed. (A turn does that, too.)
    pub fn publish(&mut self) {
        if let Some(next_hops) = self.neighbors.snapshot() {
            self.next_hops.publish(next_hops);
        }
        if let Some(services) = self.book.snapshot() {
            self.services.publish(services);
        }
        self.next_hops.reclaim();
        self.services.reclaim();
    }

    /// The services and their real servers.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// What workers share.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The counters of a worker.
    pub fn counts(&self, worker: usize) -> Counts {
        self.workers[worker].published.read()
    }

    fn add_services(&mut self) -> Result<(), StartError> {
        for service in self.config.services.clone() {
            let key = settings::service_key(&service.matching);
            let refused = |error| StartError::Service(key, error);
            self.book.add_service(key, settings::service_spec(&service)).map_err(refused)?;
            let servers = self.specs_of(&service.servers);
            self.book.change_servers(key, &[], &servers, self.now.ms).map_err(refused)?;
        }
        self.addresses_changed();
        self.servers_changed();
        self.publish();
        Ok(())
    }

    /// What real servers of a configuration are told, with the way to each.
    pub(super) fn specs_of<'a>(
        &mut self,
        servers: impl IntoIterator<Item = &'a config::RealServer>,
    ) -> Vec<(SocketAddr, ServerSpec)> {
        let spec = |server: &config::RealServer| {
            let next_hop = self.neighbors.next_hop_of(server.address.ip());
            (server.address, ServerSpec { next_hop, ..settings::server_spec(server) })
        };
        servers.into_iter().map(spec).collect()
    }

    fn add_worker(&mut self, lcore: u32, host: WorkerHost, seed: u64) -> Result<WorkerParts, StartError> {
        let conns_max = self.config.director.conns_max;
        let table = Table::new(conns_max as usize, Seed::from_u64(seed), self.now.tick).map_err(|source| {
            StartError::Table { conns_max, megabytes: Table::memory_bytes(conns_max as usize) >> 20, source }
        })?;
        let traffic: Arc<TrafficTable> = Arc::new((0..self.shared.live.places()).map(|_| Default::default()).collect());
        let (worker_rings, control_rings) = rings();
        let published = Arc::new(Published::default());
        let worker_seed = seed.wrapping_add(u64::from(lcore));
        let local_ports = LocalPorts::new(worker_seed, self.workers.len(), self.config.director.workers.len());
        let (services, next_hops) = (self.services.current(), self.next_hops.current());
        let shard =
            Shard::new(table, self.shared.clone(), services, next_hops, traffic.clone(), local_ports, worker_seed);
        self.workers.push(WorkerLink { lcore, rings: control_rings, published: published.clone(), traffic });
        let snapshots = Snapshots::of(&self.services, &self.next_hops);
        Ok(WorkerParts { shard, rings: worker_rings, host, snapshots, published })
    }

    /// What a worker has to say.
    fn hear(&mut self, worker: usize) {
        let now_ms = self.now.ms;
        for _ in 0..MESSAGES_PER_TURN {
            let Ok(message) = self.workers[worker].rings.neighbors.pop() else { break };
            self.neighbors.frame(message.port, &message.frame, now_ms);
        }
        while let Ok(listing) = self.workers[worker].rings.listings.pop() {
            self.listings.put(listing);
        }
        for _ in 0..MESSAGES_PER_TURN {
            let Ok(report) = self.workers[worker].rings.reports.pop() else { break };
            match report {
                Report::Wanted { port, address } => self.neighbors.wanted(port, address, now_ms),
                Report::LocalPorts(failure) => self.local_ports_failed(failure),
                Report::Unused(template) => self.shared.templates.drop_idle(template, self.now.tick),
            }
        }
    }

    fn local_ports_failed(&mut self, Failure { local, server, count }: Failure) {
        let total = self.local_port_failures.entry((local, server)).or_insert(0);
        if *total == 0 && self.local_port_lines.take(self.now.ms) {
            log::warn!(
                "no free local port at {local} towards real server {}: new conns to it are dropped until some end; \
                 add to fullnat.local_addresses",
                self.book.address_of(server).map_or_else(|| "(removed)".into(), |address| address.to_string())
            );
        }
        *total += count;
    }

    /// Has a worker transmit a frame. A full ring: the frame is lost, as on a wire; neighbours are asked again.
    fn send(&mut self, port: u16, frame: &[u8]) {
        let mut copy = SmallFrame::new();
        if copy.try_extend_from_slice(frame).is_ok()
            && let Some(worker) = self.workers.first_mut()
        {
            drop(worker.rings.orders.push(Order::Send { port, frame: copy }));
        }
    }

    fn forget(&mut self) {
        self.book.empty_trash(&self.shared.templates, self.now);
        for (key, id) in self.book.take_freed() {
            let traffic = self.traffic_of(id);
            // A service that is gone has no totals; one that comes again starts with none.
            if self.book.has_service(key) {
                *self.traffic_retired.entry(key).or_default() += traffic;
            }
            self.traffic_before.insert(id, self.traffic_of_place(id));
            self.rates.forget_server(id);
            self.local_port_failures.retain(|(_, server), _| *server != id);
        }
    }

    pub(super) fn addresses_changed(&mut self) {
        let vips: Vec<_> = self.book.vips().collect();
        self.neighbors.set_local(vips, self.config.fullnat.local_addresses.iter().copied());
    }

    pub(super) fn servers_changed(&mut self) {
        let servers: Vec<_> = self.server_addresses().collect();
        self.neighbors.servers(servers);
    }

    pub(super) fn server_addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.book.list().flat_map(|(_, servers)| servers.iter().map(|listed| listed.server.address))
    }
}
