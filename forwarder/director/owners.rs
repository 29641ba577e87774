//! What control does so that every packet of a flow leads to one worker, while services, rules and servers change.

use super::{Control, settings};
use crate::services::ServiceKey;
use crate::services::book::ServerSpec;
use config::{Config, Difference, Matching};
use hashbrown::HashSet;
use std::net::SocketAddr;

impl Control {
    /// Devices bring frames to workers by tables after whose entries the owners repeat (see [`crate::steer::owners_repeat`]).
    /// Not when there are conns.
    pub fn repeat_owners_after(&mut self, entries: usize) {
        self.book.repeat_owners_after(entries);
        self.publish();
    }

    /// Workers know of NAT servers before these have conns: a reply must not come first.
    pub(super) fn expect(&mut self, servers: &[(SocketAddr, ServerSpec)]) {
        self.book.expect(servers);
        self.publish();
    }

    /// Services and rules that would take flows whose conns another worker has. `config` saw the new file, not what was
    /// removed lately.
    pub(super) fn steered_otherwise(&self, new: &Config, difference: &Difference) -> Vec<String> {
        let refusal = |what: &dyn std::fmt::Display, other: ServiceKey| {
            format!(
                "{what}: such flows are, or were, for {other}, which is steered otherwise; steer it alike, or try again when \
                 its conns have ended, two minutes later at least"
            )
        };
        let after = difference.marks.iter().flat_map(|marks| &marks.after);
        let rules: Vec<_> = after.map(settings::mark_rule).collect();
        let otherwise = |matching: &Matching, steer: config::Steer| {
            let (key, steer) = (settings::service_key(matching), settings::steer(steer));
            // Made while the director ran, or removed from it.
            let itself = || self.book.steer_of(key).filter(|of| *of != steer).map(|_| key);
            let other = itself().or_else(|| self.book.steered_otherwise(key, steer, &rules))?;
            Some(refusal(&format!("service {matching}: steer"), other))
        };
        let added = difference.services_added.iter().map(|service| (&service.matching, service.steer));
        let changed: HashSet<_> = difference.services_changed.iter().map(|service| service.matching).collect();
        let changed = new.services.iter().filter(|service| changed.contains(&service.matching));
        let named = added.chain(changed.map(|service| (&service.matching, service.steer)));
        let mut refusals: Vec<_> = named.filter_map(|(matching, steer)| otherwise(matching, steer)).collect();
        let is_mark = |service: &&config::Service| matches!(service.matching, Matching::Mark { .. });
        let marked = new.services.iter().find(is_mark).map(|service| settings::steer(service.steer));
        let marks: HashSet<_> = new.services.iter().filter_map(|service| mark_of(&service.matching)).collect();
        let rules = rules.iter().filter(|rule| marks.contains(&rule.mark) || self.book.is_served(rule));
        let met = self.book.marks_steer().or(marked).and_then(|steer| self.book.met_by(rules, steer));
        refusals.extend(met.map(|other| refusal(&"mark", other)));
        refusals
    }

    /// The same for all that a difference adds and changes.
    pub(super) fn expect_servers(&mut self, difference: &Difference) {
        let Difference { services_added, services_changed, .. } = difference;
        let added = services_added.iter().flat_map(|service| &service.servers);
        let changed = services_changed.iter().flat_map(|service| {
            service.servers_changed.iter().map(|server| &server.after).chain(&service.servers_added)
        });
        let servers = added.chain(changed).map(|server| (server.address, settings::server_spec(server)));
        self.expect(&servers.collect::<Vec<_>>());
    }
}

fn mark_of(matching: &Matching) -> Option<u32> {
    match *matching {
        Matching::Mark { mark, .. } => Some(mark),
        Matching::Endpoint { .. } => None,
    }
}
