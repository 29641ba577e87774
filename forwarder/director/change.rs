//! Another configuration for a director that runs. Afterwards the services that the file names are as it says, with all of their
//! real servers; one that it does not name, and its predecessor did not, is somebody else's (a tool's, at run time) and stays. Conns
//! of what is the same feel nothing.
//!
//! All or nothing: what could refuse a part of it is asked before the first part is done. What is compared with the new file is
//! the book, not the old file: tools may have changed it since.
//!
//! ```text
//! Edits ─▶ room for all of them? ─▶ ways, services removed, added, edited ─▶ addresses, next hops ─▶ servers
//!                                                              workers get one snapshot, in the same turn ─▶ publish
//! ```

use super::{Control, settings};
use crate::services::ServiceKey;
use crate::services::book::{Listed, ServiceSpec};
use config::{Config, Difference, Matching, RealServer, Service, Summary};
use hashbrown::{HashMap, HashSet};
use std::net::SocketAddr;

/// Room was looked for before, in the book itself, and a file names each service and each of its servers once.
const CHECKED: &str = "an edit that was found possible";

/// What became of a director that was given another configuration.
#[derive(Debug, Clone)]
pub struct Applied {
    /// Between the two files.
    pub difference: Difference,
    /// Services that are the same in both files, but were not so in the director: tools had changed them.
    pub set_back: Vec<Matching>,
}

/// What makes the book what a file says.
pub(super) struct Edits<'a> {
    remove: Vec<ServiceKey>,
    pub(super) services: Vec<ServiceEdit<'a>>,
}

/// What makes a service what a file says.
pub(super) struct ServiceEdit<'a> {
    pub(super) matching: Matching,
    pub(super) key: ServiceKey,
    is_there: bool,
    /// None: it is told this already.
    pub(super) spec: Option<ServiceSpec>,
    remove: Vec<SocketAddr>,
    pub(super) put: Vec<&'a RealServer>,
}

impl Control {
    /// Makes the director what `new` says. On refusal (a line each) nothing has changed.
    ///
    /// A real server that stays keeps its place in its service's list; new ones come to the head.
    pub fn apply(&mut self, new: Config) -> Result<Applied, Vec<String>> {
        let mut difference = Difference::between(&self.config, &new);
        let mut refusals = std::mem::take(&mut difference.refusals);
        let edits = self.edits(&self.config, &new);
        if refusals.is_empty() {
            refusals.extend(self.no_room(&edits));
            refusals.extend(self.steered_otherwise(&new, &edits));
        }
        if !refusals.is_empty() {
            return Err(refusals);
        }
        let before = std::mem::replace(&mut self.config, new.clone());
        if !difference.ways.is_empty() {
            self.change_ways();
        }
        self.expect_servers(&edits);
        self.read_file_for_tools(&new);
        self.change_policy();
        self.change_services(&edits, before.fullnat != new.fullnat);
        self.change_servers(&edits);
        self.save_all();
        let named: HashSet<_> = named(&difference).collect();
        let set_back = edits.services.iter().map(|edit| edit.matching).filter(|matching| !named.contains(matching));
        Ok(Applied { set_back: set_back.collect(), difference })
    }

    fn edits<'a>(&self, old: &Config, new: &'a Config) -> Edits<'a> {
        let stay: HashSet<ServiceKey> = by_key(new).map(|(key, _)| key).collect();
        let edit = |service: &'a Service| self.edit_of(service, settings::service_spec(service));
        let services = new.services.iter().filter_map(edit).collect();
        let gone = by_key(old).map(|(key, _)| key).filter(|key| !stay.contains(key) && self.book.has_service(*key));
        Edits { remove: gone.collect(), services }
    }

    /// None: the service is as the file says.
    fn edit_of<'a>(&self, now: &'a Service, spec: ServiceSpec) -> Option<ServiceEdit<'a>> {
        let key = settings::service_key(&now.matching);
        let spec = self.book.policy().obeyed_by(spec);
        let found = self.book.get(key);
        let listed: HashMap<SocketAddr, &Listed> =
            found.iter().flat_map(|(_, listed)| *listed).map(|listed| (listed.address(), listed)).collect();
        let stay: HashSet<_> = now.servers.iter().map(|server| server.address).collect();
        let put =
            now.servers.iter().filter(|said| !listed.get(&said.address).is_some_and(|listed| is_as_said(listed, said)));
        let gone = listed.keys().copied().filter(|address| !stay.contains(address));
        let edit = ServiceEdit {
            matching: now.matching,
            key,
            is_there: found.is_some(),
            spec: found.is_none_or(|(service, _)| service.spec() != spec).then_some(spec),
            remove: gone.collect(),
            put: put.collect(),
        };
        (edit.spec.is_some() || !edit.remove.is_empty() || !edit.put.is_empty()).then_some(edit)
    }

    /// Why there is no room for what is added. A removed server keeps its place while it is remembered.
    fn no_room(&self, edits: &Edits) -> Option<String> {
        let new_services = edits.services.iter().filter(|edit| !edit.is_there).count();
        let room = self.book.free_services() + edits.remove.len();
        if new_services > room {
            return Some(format!(
                "service: found {new_services} new ones, but there is room for {room} more, with those that tools made"
            ));
        }
        let places = |edit: &ServiceEdit| {
            edit.put.iter().filter(|server| !self.book.has_place(edit.key, server.address)).count()
        };
        let needed: usize = edits.services.iter().map(places).sum();
        let free = self.book.free_servers();
        (needed > free).then(|| {
            let servers_max = self.config.director.servers_max;
            format!(
                "director.servers_max: found {needed} new real servers, but of the {servers_max} places {free} are free; a \
                 removed server keeps its place for two minutes, and while it has conns: try again later, or restart the \
                 director with more"
            )
        })
    }

    pub(super) fn change_policy(&mut self) {
        let mut policy = settings::policy(&self.config);
        policy.timeouts = self.with_tools_timeouts(policy.timeouts);
        if *self.book.policy() != policy {
            self.book.set_policy(policy);
        }
        let marks: Vec<_> = self.config.marks.iter().map(settings::mark_rule).collect();
        if self.book.marks() != marks {
            self.book.set_marks(marks);
        }
    }

    /// Services without their servers, and what their addresses mean to the network.
    fn change_services(&mut self, edits: &Edits, other_locals: bool) {
        for key in &edits.remove {
            self.book.delete_service(*key, self.now.ms).expect(CHECKED);
            self.traffic_retired.remove(key);
        }
        for ServiceEdit { key, is_there, spec, .. } in &edits.services {
            match (is_there, spec.clone()) {
                (_, None) => {}
                (true, Some(spec)) => self.book.edit_service(*key, spec).expect(CHECKED),
                (false, Some(spec)) => self.book.add_service(*key, spec).expect(CHECKED),
            }
        }
        if other_locals || !edits.remove.is_empty() || edits.services.iter().any(|edit| !edit.is_there) {
            self.addresses_changed();
        }
    }

    fn change_servers(&mut self, edits: &Edits) {
        if edits.services.iter().any(|edit| !edit.put.is_empty()) {
            // Pinned before they are looked for one by one: neighbours that traffic made would be in their way.
            let new = self.config.services.iter().flat_map(|service| &service.servers);
            let addresses: Vec<_> = new.map(|server| server.address.ip()).chain(self.server_addresses()).collect();
            self.neighbors.servers(addresses);
        }
        for ServiceEdit { key, remove, put, .. } in &edits.services {
            let put = self.specs_of(put.iter().copied());
            if !(remove.is_empty() && put.is_empty()) {
                self.book.change_servers(*key, remove, &put, self.now.ms).expect(CHECKED);
            }
        }
        if !edits.remove.is_empty() || edits.services.iter().any(|edit| !edit.remove.is_empty()) {
            self.servers_changed();
        }
    }
}

impl Applied {
    /// A line for each change; the last one is a summary.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        let set_back = self.set_back.iter().map(|matching| {
            format!("service {matching}: was changed since its file was read; it is as the file says again")
        });
        self.difference.lines().chain(set_back)
    }

    /// The difference of the files in numbers.
    pub fn summary(&self) -> Summary {
        self.difference.summary()
    }
}

fn by_key(config: &Config) -> impl Iterator<Item = (ServiceKey, &Service)> {
    config.services.iter().map(|service| (settings::service_key(&service.matching), service))
}

/// The services that a difference names.
fn named(difference: &Difference) -> impl Iterator<Item = Matching> + '_ {
    let Difference { services_added, services_changed, .. } = difference;
    services_added.iter().map(|service| service.matching).chain(services_changed.iter().map(|service| service.matching))
}

fn is_as_said(listed: &Listed, said: &RealServer) -> bool {
    let spec = settings::server_spec(said);
    let told = (listed.server.method, listed.tunnel, listed.server.weight, listed.thresholds);
    told == (spec.method, spec.tunnel, spec.weight, spec.thresholds)
}
