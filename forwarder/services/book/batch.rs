//! Many edits of one service's real servers at once: tables are built once, not once per edit, so that a service of ten
//! thousand servers can be made in one turn.

use super::{Book, Change, Listed, Refused, ServerSpec};
use crate::services::{Service, ServiceKey};
use hashbrown::{HashMap, HashSet};
use sched::Kind;
use std::net::SocketAddr;

/// wrr's level depends on every step, so its edits are made one by one, each of which visits every server; but not if that
/// would hold up ARP: so many visits take some 20 ms.
const VISITS_MAX: usize = 1_000_000;

impl Book {
    /// Removes these real servers, then edits those that are there and adds those that are not, each at the head of the
    /// list. The end is that of the single edits in this order; who is not there to be removed is passed over.
    pub fn change_servers(
        &mut self,
        key: ServiceKey,
        remove: &[SocketAddr],
        put: &[(SocketAddr, ServerSpec)],
        now_ms: u64,
    ) -> Result<(), Refused> {
        let entry = self.services.get(&key).ok_or(Refused::NoService)?;
        put.iter().try_for_each(|(_, spec)| Self::check_method(entry.service.steer, spec))?;
        let edits = remove.len() + put.len();
        let visits = edits * (entry.servers.len() + edits);
        if entry.service.scheduler == Kind::Wrr && visits <= VISITS_MAX {
            return self.change_one_by_one(key, remove, put, now_ms);
        }
        self.take_out(key, remove, now_ms);
        let places: HashMap<_, _> = self.listed(key).iter().map(Listed::address).zip(0..).collect();
        let mut new = Vec::new();
        for (address, spec) in put {
            match places.get(address) {
                Some(place) => self.edit_at(key, *place, spec),
                None => new.push(self.place(key, *address, *spec)?),
            }
        }
        if let Some(entry) = self.services.get_mut(&key) {
            entry.servers.splice(0..0, new.into_iter().rev());
            entry.republish(&self.shared.live, &self.trash, Change::Servers);
        }
        self.servers_changed();
        Ok(())
    }

    fn change_one_by_one(
        &mut self,
        key: ServiceKey,
        remove: &[SocketAddr],
        put: &[(SocketAddr, ServerSpec)],
        now_ms: u64,
    ) -> Result<(), Refused> {
        for address in remove {
            match self.delete_server(key, *address, now_ms) {
                Ok(()) | Err(Refused::NoServer) => {}
                Err(refused) => return Err(refused),
            }
        }
        for (address, spec) in put {
            match self.edit_server(key, *address, *spec) {
                Err(Refused::NoServer) => self.add_server(key, *address, *spec)?,
                done => done?,
            }
        }
        Ok(())
    }

    fn take_out(&mut self, key: ServiceKey, remove: &[SocketAddr], now_ms: u64) {
        let Some(entry) = self.services.get_mut(&key) else { return };
        let remove: HashSet<_> = remove.iter().collect();
        for gone in entry.servers.extract_if(.., |listed| remove.contains(&listed.address())) {
            self.shared.live.detach(gone.server.id);
            self.trash.put(key, &gone, now_ms);
            self.orphans |= self.policy.expire_nodest_conn;
        }
    }

    fn edit_at(&mut self, key: ServiceKey, place: usize, spec: &ServerSpec) {
        let Some(entry) = self.services.get_mut(&key) else { return };
        let before = entry.servers[place];
        self.shared.live.set_thresholds(before.server.id, spec.thresholds);
        self.shared.tunnels.set(before.server.id, spec.tunnel);
        entry.servers[place] = Listed::new(before.server.id, before.address(), *spec, before.last_weight);
        self.note(key, before.server.id, spec.method);
    }

    fn listed(&self, key: ServiceKey) -> &[Listed] {
        self.services.get(&key).map_or(&[], |entry| &entry.servers)
    }

    /// Is there such a service?
    pub fn has_service(&self, key: ServiceKey) -> bool {
        self.services.contains_key(&key)
    }

    /// Does the real server of a service have a place in the live counts: is it listed, or removed and remembered?
    pub fn has_place(&self, key: ServiceKey, address: SocketAddr) -> bool {
        self.trash.has(key, address) || self.services.get(&key).is_some_and(|entry| entry.position(address).is_some())
    }

    /// A service with its real servers, if it is there.
    pub fn get(&self, key: ServiceKey) -> Option<(&Service, &[Listed])> {
        self.services.get(&key).map(|entry| (&*entry.service, entry.servers.as_slice()))
    }

    /// Places for services that nobody has.
    pub fn free_services(&self) -> usize {
        self.free_services.len()
    }

    /// Places for real servers that nobody has.
    pub fn free_servers(&self) -> usize {
        self.free_servers.len()
    }
}
