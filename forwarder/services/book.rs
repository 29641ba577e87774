//! The services as control keeps them: edits in the kernel's manner, and the snapshot that workers get of them.
//!
//! New servers go to the head of their service's list. A removed server keeps its place in the live counts while it has
//! conns, and two minutes longer; added again within that time it finds its conns and counters.

mod batch;
mod listed;
mod policy;
mod refused;
mod snapshot;
mod steers;

use super::live::{LiveTable, ServerId, ServiceId};
use super::trash::Trash;
use super::{MarkRule, Persistence, Policy, Pool, Service, ServiceKey};
use crate::neigh::NextHopId;
use crate::pipeline::Now;
use crate::pipeline::shard::Shared;
use crate::rewrite::tun::Tunnel;
use crate::steer::{Hashes, Steer};
use conntrack::{Method, Templates};
use hashbrown::{HashMap, HashSet};
pub use listed::Listed;
pub use refused::Refused;
use sched::{Change, Kind, Picker, Server, Settings, Thresholds};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

/// Milliseconds between two looks at whether removed servers may be forgotten.
const TRASH_LOOK_MS: u64 = 10_000;

/// Everything a service is told.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceSpec {
    /// Its scheduler.
    pub scheduler: Kind,
    /// What the scheduler is told.
    pub settings: Settings,
    /// Set for a persistent service.
    pub persistence: Option<Persistence>,
    /// Each datagram by itself.
    pub one_packet: bool,
    /// What of a flow says which worker owns it. Fixed: conns would be lost.
    pub steer: Steer,
}

/// Everything a real server is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerSpec {
    /// How its packets are forwarded.
    pub method: Method,
    /// What they travel in, with [`Method::Tun`].
    pub tunnel: Tunnel,
    /// 0 to 2^31 − 1.
    pub weight: u32,
    /// Conns above which it takes no new ones, and under which it takes them again. 0: none.
    pub thresholds: Thresholds,
    /// The way to it.
    pub next_hop: Option<NextHopId>,
}

struct Entry {
    service: Arc<Service>,
    /// In the kernel's order, with what the snapshot does not need.
    servers: Vec<Listed>,
}

/// Control's services.
pub struct Book {
    shared: Arc<Shared>,
    hashes: Hashes,
    services: BTreeMap<ServiceKey, Entry>,
    /// Removed services whose servers are remembered.
    former: BTreeMap<ServiceKey, Steer>,
    marks: Vec<MarkRule>,
    /// Mark rules that are not in force any more.
    former_rules: Vec<MarkRule>,
    /// Real servers that are, or once were, reached by NAT.
    once_nat: HashSet<ServerId>,
    /// Real servers that have, or may have, conns on ports that are not theirs.
    once_any_port: HashSet<ServerId>,
    /// NAT servers that are about to be added.
    expected: Vec<SocketAddr>,
    policy: Arc<Policy>,
    trash: Trash,
    free_servers: Vec<ServerId>,
    free_services: Vec<ServiceId>,
    /// Whose list of changed servers is whose.
    owners: HashMap<ServiceId, ServiceKey>,
    /// Places that were freed since the last call of [`Book::take_freed`].
    freed: Vec<(ServiceKey, ServerId)>,
    changed: bool,
    /// A server was removed whose conns are to end by themselves.
    orphans: bool,
    look_again_ms: u64,
}

impl Book {
    /// No services yet. The hashes say how flows fall to workers.
    pub fn new(shared: Arc<Shared>, hashes: Hashes) -> Self {
        let live = &shared.live;
        let free_servers = (0..live.servers_max() as u32).rev().map(ServerId).collect();
        let free_services = (0..live.services_max() as u32).rev().map(ServiceId).collect();
        Self {
            shared,
            hashes,
            services: BTreeMap::new(),
            former: BTreeMap::new(),
            marks: Vec::new(),
            former_rules: Vec::new(),
            once_nat: HashSet::new(),
            once_any_port: HashSet::new(),
            expected: Vec::new(),
            policy: Arc::default(),
            trash: Trash::default(),
            free_servers,
            free_services,
            owners: HashMap::new(),
            freed: Vec::new(),
            changed: true,
            orphans: false,
            look_again_ms: 0,
        }
    }

    /// Replaces the mark rules.
    pub fn set_marks(&mut self, marks: Vec<MarkRule>) {
        self.retire_rules(&marks);
        self.marks = marks;
        self.changed = true;
    }

    /// The mark rules.
    pub fn marks(&self) -> &[MarkRule] {
        &self.marks
    }

    /// A new service without servers. Whoever adds it has asked [`Book::steered_otherwise`].
    pub fn add_service(&mut self, key: ServiceKey, spec: ServiceSpec) -> Result<(), Refused> {
        let spec = self.policy.obeyed_by(spec);
        if self.services.contains_key(&key) {
            return Err(Refused::ServiceExists);
        }
        let id = self.free_services.pop().ok_or(Refused::Full)?;
        self.owners.insert(id, key);
        self.former.remove(&key);
        let picker = Picker::prepare(spec.scheduler, &of_family(key, spec.settings), Vec::new(), Vec::new());
        let pool = Arc::new(Mutex::new(Pool { picker, servers: Vec::new() }));
        self.services.insert(key, Entry { service: Arc::new(service(id, key, spec, pool)), servers: Vec::new() });
        self.changed = true;
        Ok(())
    }

    /// Other settings for a live service; its servers and conns stay, its scheduler starts afresh.
    pub fn edit_service(&mut self, key: ServiceKey, spec: ServiceSpec) -> Result<(), Refused> {
        let spec = self.policy.obeyed_by(spec);
        let entry = self.services.get_mut(&key).ok_or(Refused::NoService)?;
        if entry.service.steer != spec.steer {
            return Err(Refused::SteerIsFixed);
        }
        let pool = entry.service.pool.clone();
        entry.service = Arc::new(service(entry.service.id, key, spec, pool));
        entry.republish(&self.shared.live, &self.trash, Change::Service);
        if entry.service.spec().keeps_ports(key) {
            self.once_any_port.extend(entry.servers.iter().map(|listed| listed.server.id));
        }
        self.changed = true;
        Ok(())
    }

    /// Removes a service. Its conns go on as those of removed servers do.
    pub fn delete_service(&mut self, key: ServiceKey, now_ms: u64) -> Result<(), Refused> {
        let entry = self.services.remove(&key).ok_or(Refused::NoService)?;
        for listed in &entry.servers {
            self.shared.live.detach(listed.server.id);
            self.trash.put(key, listed, now_ms);
            self.orphans |= self.policy.expire_nodest_conn;
        }
        if self.trash.has_any(key) {
            self.former.insert(key, entry.service.steer);
        }
        self.forget_rules();
        // Empties the list of changed servers; the next owner of the place starts with an empty one.
        drop(entry.service.lock(&self.shared.live));
        self.owners.remove(&entry.service.id);
        self.free_services.push(entry.service.id);
        self.changed = true;
        Ok(())
    }

    /// A new real server, at the head of the list.
    pub fn add_server(&mut self, key: ServiceKey, address: SocketAddr, spec: ServerSpec) -> Result<(), Refused> {
        let entry = self.services.get(&key).ok_or(Refused::NoService)?;
        if entry.position(address).is_some() {
            return Err(Refused::ServerExists);
        }
        Self::check_method(entry.service.steer, &spec)?;
        let listed = self.place(key, address, spec)?;
        if let Some(entry) = self.services.get_mut(&key) {
            entry.servers.insert(0, listed);
            entry.republish(&self.shared.live, &self.trash, Change::Servers);
        }
        self.servers_changed();
        Ok(())
    }

    /// Gives a real server that is not listed its place in the live counts: the one it had, if it is remembered.
    fn place(&mut self, key: ServiceKey, address: SocketAddr, spec: ServerSpec) -> Result<Listed, Refused> {
        let service = self.services.get(&key).ok_or(Refused::NoService)?.service.id;
        let id = match self.trash.take(key, address) {
            Some(id) => id,
            None => {
                let id = self.free_servers.pop().ok_or(Refused::Full)?;
                self.shared.live.clear(id);
                id
            }
        };
        let before = self.shared.live.service_of(id);
        self.shared.live.attach(id, service, spec.thresholds);
        self.note(key, id, spec.method);
        self.shared.tunnels.set(id, spec.tunnel);
        self.hear_changes(before);
        Ok(Listed::new(id, address, spec, 0))
    }

    /// Other settings for a live real server; its conns stay as they were made.
    pub fn edit_server(&mut self, key: ServiceKey, address: SocketAddr, spec: ServerSpec) -> Result<(), Refused> {
        let entry = self.services.get_mut(&key).ok_or(Refused::NoService)?;
        let i = entry.position(address).ok_or(Refused::NoServer)?;
        Self::check_method(entry.service.steer, &spec)?;
        let before = entry.servers[i];
        self.shared.live.set_thresholds(before.server.id, spec.thresholds);
        self.shared.tunnels.set(before.server.id, spec.tunnel);
        entry.servers[i] = Listed::new(before.server.id, address, spec, before.last_weight);
        entry.republish(&self.shared.live, &self.trash, Change::Servers);
        self.note(key, before.server.id, spec.method);
        self.servers_changed();
        Ok(())
    }

    /// Removes a real server. Its clients' packets are dropped, its own are still translated; with expire_nodest_conn its conns end.
    pub fn delete_server(&mut self, key: ServiceKey, address: SocketAddr, now_ms: u64) -> Result<(), Refused> {
        let entry = self.services.get_mut(&key).ok_or(Refused::NoService)?;
        let i = entry.position(address).ok_or(Refused::NoServer)?;
        let gone = entry.servers.remove(i);
        self.shared.live.detach(gone.server.id);
        self.trash.put(key, &gone, now_ms);
        self.orphans |= self.policy.expire_nodest_conn;
        entry.republish(&self.shared.live, &self.trash, Change::Servers);
        self.servers_changed();
        Ok(())
    }

    /// Forgets servers that were removed long ago and have no conns and no persistence templates left.
    pub fn empty_trash(&mut self, templates: &Templates, now: Now) {
        if now.ms < self.look_again_ms || !self.trash.is_due(&self.shared.live, now.ms) {
            return;
        }
        // The visit takes each template's lock, and a template may name a removed server for hours.
        self.look_again_ms = now.ms + TRASH_LOOK_MS;
        let mut referred = HashSet::new();
        templates.visit(now.tick, |template| {
            referred.insert(ServerId(template.server));
        });
        let expired = self.trash.expire(&self.shared.live, now.ms, |id| referred.contains(&id));
        for (key, id) in expired {
            self.free_servers.push(id);
            self.once_nat.remove(&id);
            self.once_any_port.remove(&id);
            self.freed.push((key, id));
            // The last server of a service that is gone takes its VIP with it: see `steers`.
            if !self.trash.has_any(key) {
                self.former.remove(&key);
                self.forget_rules();
            }
            self.changed = true;
        }
    }

    /// Empties a service's list of changed servers. A server that goes to another service must not stay on the list of its
    /// former one: while it is on a list, what changes about it is not announced again.
    fn hear_changes(&self, service: ServiceId) {
        match self.owners.get(&service).and_then(|key| self.services.get(key)) {
            Some(entry) => drop(entry.service.lock(&self.shared.live)),
            None => self.shared.live.for_each_changed(service, |_, _| {}),
        }
    }

    /// Server ids that were given up since the last call: their traffic counters belong to nobody.
    pub fn take_freed(&mut self) -> Vec<(ServiceKey, ServerId)> {
        std::mem::take(&mut self.freed)
    }

    /// Was a server removed since the last call whose conns are to end by themselves?
    pub fn take_orphans(&mut self) -> bool {
        std::mem::take(&mut self.orphans)
    }

    /// Every VIP.
    pub fn vips(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.services.keys().filter_map(ServiceKey::vip)
    }

    /// The servers that were removed from a service and are still remembered.
    pub fn removed(&self, key: ServiceKey) -> impl Iterator<Item = ServerId> + '_ {
        self.trash.of(key).map(|server| ServerId(server.id))
    }

    /// Every server that was removed from any service and is still remembered.
    pub fn all_removed(&self) -> impl Iterator<Item = (ServerId, SocketAddr, Method)> + '_ {
        self.trash.servers()
    }

    /// Where a real server is, if it is one of a service now.
    pub fn address_of(&self, id: ServerId) -> Option<SocketAddr> {
        self.list().flat_map(|(_, servers)| servers).find(|listed| listed.server.id == id).map(Listed::address)
    }

    /// Asks again for the way to each real server, for conns to come.
    pub fn set_next_hops(&mut self, mut next_hop_of: impl FnMut(IpAddr) -> Option<NextHopId>) {
        for entry in self.services.values_mut() {
            let mut changed = false;
            for Listed { server, .. } in &mut entry.servers {
                let next_hop = next_hop_of(server.address);
                changed |= server.next_hop != next_hop;
                server.next_hop = next_hop;
            }
            if changed {
                let mut pool = entry.service.lock(&self.shared.live);
                pool.servers.iter_mut().zip(&entry.servers).for_each(|(pooled, listed)| *pooled = listed.server);
            }
        }
    }

    /// The services with their servers in the kernel's order.
    pub fn list(&self) -> impl Iterator<Item = (&Service, &[Listed])> + '_ {
        self.services.values().map(|entry| (&*entry.service, entry.servers.as_slice()))
    }
}

impl Service {
    /// What it was told.
    pub fn spec(&self) -> ServiceSpec {
        let Service { scheduler, settings, persistence, one_packet, steer, .. } = *self;
        ServiceSpec { scheduler, settings, persistence, one_packet, steer }
    }
}

impl Entry {
    fn position(&self, address: SocketAddr) -> Option<usize> {
        self.servers.iter().position(|listed| listed.address() == address)
    }

    /// Gives the workers the servers as they are now. Tables are built, and the old ones freed, without the lock.
    fn republish(&self, live: &LiveTable, trash: &Trash, change: Change) {
        let Service { key, scheduler, settings, .. } = &*self.service;
        let with_load = |server: Server| {
            let load = live.load(ServerId(server.id));
            (server, load)
        };
        let listed = self.servers.iter().map(|listed| with_load(listed.described())).collect();
        let departed = trash.of(*key).map(with_load).collect();
        let prepared = Picker::prepare(*scheduler, &of_family(*key, *settings), listed, departed);
        let mut servers = self.servers.iter().map(|listed| listed.server).collect();
        let retired = {
            let mut pool = self.service.lock(live);
            std::mem::swap(&mut pool.servers, &mut servers);
            let retired = pool.picker.replace(prepared, change);
            // What changed while the tables were built was told to the retired picker, which may not know the server.
            for place in 0..pool.servers.len() {
                let load = live.load(pool.servers[place].id);
                pool.picker.set_load(place, load);
            }
            retired
        };
        drop((retired, servers));
    }
}

/// What a scheduler is told beside the settings of its service.
fn of_family(key: ServiceKey, settings: Settings) -> Settings {
    Settings { clients_v6: key.is_v6(), ..settings }
}

fn service(id: ServiceId, key: ServiceKey, spec: ServiceSpec, pool: Arc<Mutex<Pool>>) -> Service {
    let ServiceSpec { scheduler, settings, persistence, one_packet, steer } = spec;
    Service { id, key, scheduler, settings, persistence, one_packet, steer, pool }
}
