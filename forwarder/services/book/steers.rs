//! How services are steered, as control keeps it. A conn's packets must lead to one worker as long as it lives, and control
//! does not know each conn. So a removed service is steered as it was while its servers are remembered, and a service that
//! may take flows of another one, present or remembered, is steered like it. With one worker nobody asks.

use super::{Book, Refused, ServerSpec, ServiceSpec};
use crate::services::live::ServerId;
use crate::services::{MarkRule, ServiceKey};
use crate::steer::{Marked, Places, Served, Steer, Steering};
use conntrack::Method;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

/// Former mark rules that are remembered.
const FORMER_RULES_MAX: usize = 1024;

/// Every service of marks.
const MARKS: RangeInclusive<ServiceKey> =
    ServiceKey::Mark { mark: 0, v6: false }..=ServiceKey::Mark { mark: u32::MAX, v6: true };

impl ServiceSpec {
    /// Do the conns of a service with this key go to the port that the client sent to, whatever their server's? Those of a
    /// persistent service of all ports do (recorded).
    pub fn keeps_ports(&self, key: ServiceKey) -> bool {
        self.persistence.is_some() && key.is_of_all_ports()
    }
}

impl Book {
    /// A service, present or remembered, that may have conns of flows that this one would take, and is steered otherwise.
    /// `more`: mark rules that are to be in force with it.
    pub fn steered_otherwise(&self, key: ServiceKey, steer: Steer, more: &[MarkRule]) -> Option<ServiceKey> {
        if self.hashes.workers == 1 {
            return None;
        }
        let rules = || self.marks.iter().chain(&self.former_rules).chain(more);
        let differs = |(other, of): (ServiceKey, Steer)| (of != steer).then_some(other);
        match key {
            ServiceKey::Mark { mark, .. } => {
                let rules = rules().filter(|rule| rule.mark == mark || self.is_served(rule));
                self.known(MARKS).find_map(differs).or_else(|| self.met_by(rules, steer))
            }
            ServiceKey::Endpoint { protocol, vip, port } => {
                let of_port = |port| ServiceKey::Endpoint { protocol, vip, port };
                // The service of port 0 takes what those of other ports leave, or did take before they came.
                let others = if port == 0 { of_port(0)..=of_port(u16::MAX) } else { key..=key };
                let all_ports = of_port(0)..=of_port(0);
                let near = self.known(others).chain(self.known(all_ports)).find_map(differs);
                let marked = || self.known(MARKS).find_map(differs);
                near.or_else(|| marked().filter(|_| rules().any(|rule| rule.reaches(key) && self.is_served(rule))))
            }
        }
    }

    /// Owners repeat after so many hashes from now on.
    pub fn repeat_owners_after(&mut self, entries: usize) {
        self.hashes.repeat = entries;
        self.changed = true;
    }

    /// A service of an address, present or remembered, that one of these rules reaches, and that is not steered so.
    pub fn met_by<'a>(&self, rules: impl Iterator<Item = &'a MarkRule>, steer: Steer) -> Option<ServiceKey> {
        if self.hashes.workers == 1 {
            return None;
        }
        let rules: Vec<_> = rules.collect();
        let now = self.services.iter().map(|(key, entry)| (*key, entry.service.steer));
        let known = now.chain(self.former.iter().map(|(key, steer)| (*key, *steer)));
        let mut otherwise = known.filter(|(_, of)| *of != steer);
        otherwise.find(|(key, _)| rules.iter().any(|rule| rule.reaches(*key))).map(|(key, _)| key)
    }

    /// How services of marks are steered, if there are any, present or remembered.
    pub fn marks_steer(&self) -> Option<Steer> {
        self.known(MARKS).next().map(|(_, steer)| steer)
    }

    /// Is there a service of the rule's mark, present or remembered?
    pub fn is_served(&self, rule: &MarkRule) -> bool {
        let of_family = |v6| ServiceKey::Mark { mark: rule.mark, v6 };
        self.known(of_family(false)..=of_family(true)).next().is_some()
    }

    /// These real servers are about to be added or changed; port 0: their replies may come from any. If workers must know of
    /// it before the first conn to one of them, there is a snapshot for them: a reply may come as soon as there is a conn.
    pub fn expect(&mut self, servers: &[(SocketAddr, ServerSpec)]) {
        if self.marks_matter() {
            let nat = servers.iter().filter(|(_, spec)| spec.method == Method::Nat);
            self.expected = nat.map(|(address, _)| *address).collect();
            self.changed |= !self.expected.is_empty();
        }
    }

    /// How a present service is steered.
    pub fn steer_of(&self, key: ServiceKey) -> Option<Steer> {
        self.services.get(&key).map(|entry| entry.service.steer)
    }

    /// Rules that were in force are remembered, for conns of them may live.
    pub(super) fn retire_rules(&mut self, new: &[MarkRule]) {
        let retired =
            |rule: &&MarkRule| !new.contains(rule) && !self.former_rules.contains(rule) && self.is_served(rule);
        let retired: Vec<_> = self.marks.iter().filter(retired).cloned().collect();
        self.former_rules.extend(retired);
        let too_many = self.former_rules.len().saturating_sub(FORMER_RULES_MAX);
        self.former_rules.drain(..too_many);
    }

    /// Without services of marks nothing of their rules lives.
    pub(super) fn forget_rules(&mut self) {
        if self.marks_steer().is_none() {
            self.former_rules.clear();
        }
    }

    /// Can a service that is steered so have such a server? The reply of a NAT server does not name the VIP.
    pub(super) fn check_method(steer: Steer, spec: &ServerSpec) -> Result<(), Refused> {
        match (steer, spec.method) {
            (Steer::Tuple, Method::Nat) => Err(Refused::NatByTuple),
            _ => Ok(()),
        }
    }

    /// The server of this service has, or had, this method, and perhaps conns on other ports than its own.
    pub(super) fn note(&mut self, key: ServiceKey, id: ServerId, method: Method) {
        let nat = method == Method::Nat && self.once_nat.insert(id);
        let any_port = self.keeps_ports(key) && self.once_any_port.insert(id);
        if nat || any_port {
            self.changed |= self.marks_matter();
        }
    }

    /// Do the conns of this service go to the ports that their clients sent to?
    pub fn keeps_ports(&self, key: ServiceKey) -> bool {
        self.services.get(&key).is_some_and(|entry| entry.service.spec().keeps_ports(key))
    }

    /// Packets of a service that was removed are inbound as long as its conns may live.
    pub(super) fn steering(&mut self) -> Steering {
        let policy = &self.policy;
        let served = |(key, steer): (&ServiceKey, Steer)| Some((served_by(key)?, steer));
        let places = Places {
            former: self.former.iter().filter_map(|(key, steer)| served((key, *steer))).collect(),
            locals: policy.local_v4.iter().chain(&policy.local_v6).copied().collect(),
            served: self.services.iter().filter_map(|(key, entry)| served((key, entry.service.steer))).collect(),
            marked: self.marks_steer().filter(|_| self.marks_matter()).map(|steer| self.marked(steer)),
        };
        self.expected.clear();
        Steering::new(self.hashes.clone(), places)
    }

    fn marked(&self, steer: Steer) -> Marked {
        let mut marked = Marked { steer, ..Marked::default() };
        let removed = self.trash.servers().map(|(id, address, _)| (id, address.ip(), address.port()));
        let listed = self.services.values().flat_map(|entry| &entry.servers);
        let listed = listed.map(|listed| (listed.server.id, listed.server.address, listed.server.port));
        for (id, address, port) in listed.chain(removed).filter(|(id, ..)| self.once_nat.contains(id)) {
            let any_port = self.once_any_port.contains(&id);
            marked.add(SocketAddr::new(address, if any_port { 0 } else { port }));
        }
        self.expected.iter().for_each(|server| marked.add(*server));
        marked
    }

    fn marks_matter(&self) -> bool {
        self.hashes.workers > 1 && self.marks_steer().is_some()
    }

    /// Services in this range of keys, present and remembered.
    fn known(&self, keys: RangeInclusive<ServiceKey>) -> impl Iterator<Item = (ServiceKey, Steer)> + '_ {
        let now = self.services.range(keys.clone()).map(|(key, entry)| (*key, entry.service.steer));
        now.chain(self.former.range(keys).map(|(key, steer)| (*key, *steer)))
    }
}

/// What a service of an address takes.
fn served_by(key: &ServiceKey) -> Option<Served> {
    match *key {
        ServiceKey::Endpoint { protocol, vip, port } => Some((protocol, vip, port)),
        ServiceKey::Mark { .. } => None,
    }
}

impl MarkRule {
    /// Can the rule take a packet that is for this service of an address?
    fn reaches(&self, key: ServiceKey) -> bool {
        let ServiceKey::Endpoint { protocol, vip, port } = key else { return false };
        let family = |net: ipnet::IpNet, address: IpAddr| net.addr().is_ipv4() == address.is_ipv4();
        self.destination.is_none_or(|net| net.contains(&vip))
            && self.source.is_none_or(|net| family(net, vip))
            && self.protocol.is_none_or(|of| of == protocol)
            && (port == 0 || self.destination_ports.contains(&port))
    }
}
