//! Another configuration for a director that runs. It is applied as a difference, so that services and conns that it does
//! not name feel nothing, and all or nothing: what could refuse a part of it is asked before the first part is done.
//!
//! ```text
//! Difference ─▶ room for all of it? ─▶ services removed, added, edited ─▶ addresses, next hops ─▶ servers
//!                                                          workers get one snapshot, in the same turn ─▶ publish
//! ```

use super::{Control, settings};
use crate::services::ServiceKey;
use crate::services::book::Refused;
use config::{Config, Difference, RealServer, Scheduler, ServiceDifference};
use std::net::SocketAddr;

/// Room was looked for before, and the difference names each service once.
const CHECKED: &str = "an edit that was found possible";

impl Control {
    /// Makes the director what `new` says. On refusal (a line each) nothing has changed.
    ///
    /// What is in neither configuration, but was made while the director ran, stays. A real server that stays keeps its
    /// place in its service's list; new ones come to the head.
    pub fn apply(&mut self, new: Config) -> Result<Difference, Vec<String>> {
        let mut difference = Difference::between(&self.config, &new);
        let mut refusals = std::mem::take(&mut difference.refusals);
        if refusals.is_empty() {
            refusals.extend(self.no_room(&difference));
            refusals.extend(self.steered_otherwise(&new, &difference));
        }
        if !refusals.is_empty() {
            return Err(refusals);
        }
        self.config = new;
        self.expect_servers(&difference);
        self.change_policy(&difference);
        self.change_services(&difference);
        self.change_servers(&difference);
        Ok(difference)
    }

    /// Why there is no room for what is added. A removed server keeps its place while it is remembered.
    fn no_room(&self, difference: &Difference) -> Option<String> {
        let added = difference.services_added.iter().map(|service| (&service.matching, &service.servers));
        let to_changed = difference.services_changed.iter().map(|service| (&service.matching, &service.servers_added));
        let places = |(matching, servers): (_, &Vec<RealServer>)| {
            let key = settings::service_key(matching);
            servers.iter().filter(|server| !self.book.has_place(key, server.address)).count()
        };
        let needed: usize = added.chain(to_changed).map(places).sum();
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

    fn change_policy(&mut self, difference: &Difference) {
        let Difference { marks, ipvs, timeouts, fullnat, .. } = difference;
        if ipvs.is_some() || timeouts.is_some() || fullnat.is_some() {
            self.book.set_policy(settings::policy(&self.config));
        }
        if marks.is_some() {
            self.book.set_marks(self.config.marks.iter().map(settings::mark_rule).collect());
        }
        // These two are told to the scheduler, not to the workers.
        if let Some(ipvs) = ipvs {
            let lblc = ipvs.before.lblc_expiration != ipvs.after.lblc_expiration;
            let lblcr = ipvs.before.lblcr_expiration != ipvs.after.lblcr_expiration;
            let concerned = |service: &&config::Service| match service.scheduler {
                Scheduler::Lblc => lblc,
                Scheduler::Lblcr => lblcr,
                _ => false,
            };
            for service in self.config.services.iter().filter(concerned) {
                let spec = settings::service_spec(&self.config, service);
                match self.book.edit_service(settings::service_key(&service.matching), spec) {
                    // A service that this difference adds is told soon.
                    Ok(()) | Err(Refused::NoService) => {}
                    Err(refused) => unreachable!("{CHECKED}: {refused}"),
                }
            }
        }
    }

    /// Services without their servers, and what their addresses mean to the network.
    fn change_services(&mut self, difference: &Difference) {
        let Difference { services_removed, services_added, services_changed, fullnat, .. } = difference;
        for service in services_removed {
            let key = settings::service_key(&service.matching);
            if self.book.delete_service(key, self.now.ms).is_ok() {
                self.traffic_retired.remove(&key);
            }
        }
        let changed = services_changed.iter().filter_map(|service| service.settings.as_ref());
        for service in services_added.iter().chain(changed.map(|settings| &settings.after)) {
            let key = settings::service_key(&service.matching);
            let spec = settings::service_spec(&self.config, service);
            match self.book.has_service(key) {
                true => self.book.edit_service(key, spec).expect(CHECKED),
                false => self.book.add_service(key, spec).expect(CHECKED),
            }
        }
        if !(services_removed.is_empty() && services_added.is_empty() && fullnat.is_none()) {
            self.addresses_changed();
        }
    }

    fn change_servers(&mut self, difference: &Difference) {
        let Difference { services_removed, services_added, services_changed, .. } = difference;
        let comes =
            !services_added.is_empty() || services_changed.iter().any(|service| !service.servers_added.is_empty());
        let goes =
            !services_removed.is_empty() || services_changed.iter().any(|service| !service.servers_removed.is_empty());
        if comes {
            // Pinned before they are looked for one by one: neighbours that traffic made would be in their way.
            let new = self.config.services.iter().flat_map(|service| &service.servers);
            let addresses: Vec<_> = new.map(|server| server.address.ip()).chain(self.server_addresses()).collect();
            self.neighbors.servers(addresses);
        }
        for service in services_added {
            self.put_servers(settings::service_key(&service.matching), &[], &service.servers);
        }
        for service in services_changed {
            let ServiceDifference { matching, servers_added, servers_removed, servers_changed, .. } = service;
            let put = servers_changed.iter().map(|server| &server.after).chain(servers_added);
            self.put_servers(settings::service_key(matching), servers_removed, put);
        }
        if goes {
            self.servers_changed();
        }
    }

    fn put_servers<'a>(
        &mut self,
        key: ServiceKey,
        remove: &[SocketAddr],
        put: impl IntoIterator<Item = &'a RealServer>,
    ) {
        let put = self.specs_of(put);
        if !(remove.is_empty() && put.is_empty()) {
            self.book.change_servers(key, remove, &put, self.now.ms).expect(CHECKED);
        }
    }
}
