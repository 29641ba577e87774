//! What control does so that every packet of a flow leads to one worker, while services, rules and servers change.

use super::change::{Edits, ServiceEdit};
use super::{Control, settings};
use crate::services::ServiceKey;
use crate::services::book::ServerSpec;
use config::{Config, Matching};
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
    pub(super) fn expect(&mut self, key: ServiceKey, server: SocketAddr, spec: ServerSpec) {
        let keeps_ports = self.book.keeps_ports(key);
        self.book.expect(&[(replies_from(server, keeps_ports), spec)]);
        self.publish();
    }

    /// Services and rules that would take flows whose conns another worker has. `config` saw the new file, not what was
    /// removed lately, nor what tools made.
    pub(super) fn steered_otherwise(&self, new: &Config, edits: &Edits) -> Vec<String> {
        let refusal = |what: &dyn std::fmt::Display, other: ServiceKey| {
            format!(
                "{what}: such flows are, or were, for {other}, which is steered otherwise; steer it alike, or try again when \
                 its conns have ended, two minutes later at least"
            )
        };
        let mut rules: Vec<_> = new.marks.iter().map(settings::mark_rule).collect();
        if self.book.marks() == rules {
            rules.clear();
        }
        let otherwise = |edit: &ServiceEdit| {
            let (key, steer) = (edit.key, edit.spec.as_ref()?.steer);
            // Made while the director ran, or removed from it.
            let itself = || self.book.steer_of(key).filter(|of| *of != steer).map(|_| key);
            let other = itself().or_else(|| self.book.steered_otherwise(key, steer, &rules))?;
            Some(refusal(&format!("service {}: steer", edit.matching), other))
        };
        let mut refusals: Vec<_> = edits.services.iter().filter_map(otherwise).collect();
        let is_mark = |service: &&config::Service| matches!(service.matching, Matching::Mark { .. });
        let marked = new.services.iter().find(is_mark).map(|service| settings::steer(service.steer));
        let marks: HashSet<_> = new.services.iter().filter_map(|service| mark_of(&service.matching)).collect();
        let rules = rules.iter().filter(|rule| marks.contains(&rule.mark) || self.book.is_served(rule));
        let met = self.book.marks_steer().or(marked).and_then(|steer| self.book.met_by(rules, steer));
        refusals.extend(met.map(|other| refusal(&"mark", other)));
        refusals
    }

    /// The same for all that a file adds and changes.
    pub(super) fn expect_servers(&mut self, edits: &Edits) {
        let keeps_ports = |edit: &ServiceEdit| match &edit.spec {
            Some(spec) => spec.keeps_ports(edit.key),
            None => self.book.keeps_ports(edit.key),
        };
        let servers = edits.services.iter().flat_map(|edit| edit.put.iter().map(move |server| (edit, server)));
        let servers =
            servers.map(|(edit, it)| (replies_from(it.address, keeps_ports(edit)), settings::server_spec(it)));
        let servers: Vec<_> = servers.collect();
        self.book.expect(&servers);
        self.publish();
    }
}

/// Where a server's replies come from. Port 0: from any, because its service's conns keep the ports of their clients' packets.
fn replies_from(server: SocketAddr, keeps_ports: bool) -> SocketAddr {
    SocketAddr::new(server.ip(), if keeps_ports { 0 } else { server.port() })
}

fn mark_of(matching: &Matching) -> Option<u32> {
    match *matching {
        Matching::Mark { mark, .. } => Some(mark),
        Matching::Endpoint { .. } => None,
    }
}
