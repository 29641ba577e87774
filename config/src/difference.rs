//! What is different between the file that a director runs with and a new one: what a reload applies, and what it refuses.
//!
//! Both files were found right by themselves; here nothing is checked again. Services are compared by what they match and
//! real servers by their endpoint, so the order of the file's tables means nothing: as with `ipvsadm`, a server that stays
//! keeps its place in the list, and new ones come to its head.

mod lines;
mod refusals;
mod values;
mod ways;

use std::collections::HashMap;
use std::net::SocketAddr;

use crate::{Config, FullNat, Ipvs, Mark, Matching, RealServer, Service, Timeouts};

pub use lines::{Counts, Summary};
pub use ways::Way;

/// What leads from one configuration to another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// What cannot change while a director runs, a line each. With any of them nothing of the new file may be applied.
    pub refusals: Vec<String>,
    /// Gateways, `[[neighbor]]` and `[[route]]`.
    pub ways: Vec<Way>,
    /// New services with their servers, in the new file's order.
    pub services_added: Vec<Service>,
    /// Services that are gone, with their servers, in the old file's order.
    pub services_removed: Vec<Service>,
    /// Services that are in both files, but not as they were.
    pub services_changed: Vec<ServiceDifference>,
    /// `[[mark]]`, which is one list: the order counts.
    pub marks: Option<Changed<Vec<Mark>>>,
    /// `[ipvs]`.
    pub ipvs: Option<Changed<Ipvs>>,
    /// `[timeouts]`.
    pub timeouts: Option<Changed<Timeouts>>,
    /// `[fullnat]`.
    pub fullnat: Option<Changed<FullNat>>,
}

/// A service that is in both files, but not as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceDifference {
    /// Which one.
    pub matching: Matching,
    /// Its settings, if they changed. Neither side has servers here.
    pub settings: Option<Changed<Service>>,
    /// New servers, in the new file's order.
    pub servers_added: Vec<RealServer>,
    /// Servers that are gone.
    pub servers_removed: Vec<SocketAddr>,
    /// Servers with other settings.
    pub servers_changed: Vec<Changed<RealServer>>,
}

/// Something before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed<T> {
    /// As the director runs.
    pub before: T,
    /// As the new file says.
    pub after: T,
}

impl<T: PartialEq + Clone> Changed<T> {
    fn between(before: &T, after: &T) -> Option<Self> {
        (before != after).then(|| Changed { before: before.clone(), after: after.clone() })
    }
}

impl Difference {
    /// What leads from `old` to `new`. Takes time in proportion to both.
    pub fn between(old: &Config, new: &Config) -> Difference {
        // Each section is either compared below or refused; a new one must be named here to compile.
        let Config { director: _, eal: _, ports: _, neighbors: _, routes: _, fullnat, timeouts, ipvs, marks, services } =
            new;
        let mut difference = Difference {
            refusals: refusals::between(old, new),
            ways: ways::between(old, new),
            marks: Changed::between(&old.marks, marks),
            ipvs: Changed::between(&old.ipvs, ipvs),
            timeouts: Changed::between(&old.timeouts, timeouts),
            fullnat: Changed::between(&old.fullnat, fullnat),
            ..Difference::default()
        };
        difference.compare_services(&old.services, services);
        difference
    }

    /// Nothing is different, nothing is refused.
    pub fn is_empty(&self) -> bool {
        *self == Difference::default()
    }

    fn compare_services(&mut self, old: &[Service], new: &[Service]) {
        let mut before: HashMap<&Matching, &Service> = old.iter().map(|service| (&service.matching, service)).collect();
        for after in new {
            match before.remove(&after.matching) {
                None => self.services_added.push(after.clone()),
                Some(before) if before == after => {}
                Some(before) => self.services_changed.extend(ServiceDifference::between(before, after)),
            }
        }
        self.services_removed = old.iter().filter(|service| before.contains_key(&service.matching)).cloned().collect();
    }
}

impl ServiceDifference {
    /// None if the servers stand in another order, and that is all.
    fn between(old: &Service, new: &Service) -> Option<Self> {
        let mut difference = ServiceDifference {
            matching: new.matching,
            settings: Changed::between(&without_servers(old), &without_servers(new)),
            servers_added: Vec::new(),
            servers_removed: Vec::new(),
            servers_changed: Vec::new(),
        };
        let mut before: HashMap<_, _> = old.servers.iter().map(|server| (server.address, server)).collect();
        for after in &new.servers {
            match before.remove(&after.address) {
                None => difference.servers_added.push(after.clone()),
                Some(before) => difference.servers_changed.extend(Changed::between(before, after)),
            }
        }
        let gone = old.servers.iter().map(|server| server.address).filter(|address| before.contains_key(address));
        difference.servers_removed = gone.collect();
        let nothing = difference.settings.is_none()
            && difference.servers_added.is_empty()
            && difference.servers_removed.is_empty()
            && difference.servers_changed.is_empty();
        (!nothing).then_some(difference)
    }
}

fn without_servers(service: &Service) -> Service {
    let Service { matching, scheduler, flags, mh_table, persistent, one_packet, steer, servers: _ } = *service;
    Service { matching, scheduler, flags, mh_table, persistent, one_packet, steer, servers: Vec::new() }
}
