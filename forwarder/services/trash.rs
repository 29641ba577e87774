//! Real servers that were removed. A removed server's conns go on, and a server that comes back within two minutes (or while
//! it has conns) finds them and its counters, as in the kernel.

use super::ServiceKey;
use super::book::Listed;
use super::live::{LiveTable, ServerId};
use conntrack::Method;
use hashbrown::HashMap;
use std::net::SocketAddr;

/// How long a removed server without conns is remembered.
pub const TRASH_MS: u64 = 120_000;

struct Removed {
    server: sched::Server,
    method: Method,
    since_ms: u64,
}

/// Removed servers, by service and address.
#[derive(Default)]
pub struct Trash(HashMap<ServiceKey, HashMap<SocketAddr, Removed>>);

impl Trash {
    /// Remembers a server that was just removed.
    pub fn put(&mut self, key: ServiceKey, listed: &Listed, now_ms: u64) {
        let removed = Removed { server: listed.described(), method: listed.server.method, since_ms: now_ms };
        self.0.entry(key).or_default().insert(listed.address(), removed);
    }

    /// The server comes back: its id.
    pub fn take(&mut self, key: ServiceKey, address: SocketAddr) -> Option<ServerId> {
        let of_service = self.0.get_mut(&key)?;
        let removed = of_service.remove(&address)?;
        Some(ServerId(removed.server.id))
    }

    /// Is the server remembered?
    pub fn has(&self, key: ServiceKey, address: SocketAddr) -> bool {
        self.0.get(&key).is_some_and(|of_service| of_service.contains_key(&address))
    }

    /// The servers that were removed from a service.
    pub fn of(&self, key: ServiceKey) -> impl Iterator<Item = sched::Server> + '_ {
        self.0.get(&key).into_iter().flatten().map(|(_, removed)| removed.server.clone())
    }

    /// Is any server of the service remembered?
    pub fn has_any(&self, key: ServiceKey) -> bool {
        self.0.get(&key).is_some_and(|of_service| !of_service.is_empty())
    }

    /// Every server that was removed from any service: its id, where it is, and how its packets went there.
    pub fn servers(&self) -> impl Iterator<Item = (ServerId, SocketAddr, Method)> + '_ {
        let server =
            |(address, removed): (&SocketAddr, &Removed)| (ServerId(removed.server.id), *address, removed.method);
        self.0.values().flatten().map(server)
    }

    /// Is there a server to forget, if no template refers to it?
    pub fn is_due(&self, live: &LiveTable, now_ms: u64) -> bool {
        self.0.values().flatten().any(|(_, removed)| removed.is_due(live, now_ms))
    }

    /// Forgets the servers that were removed long ago, have no conns and are not `referred` to, and gives their ids.
    pub fn expire(
        &mut self,
        live: &LiveTable,
        now_ms: u64,
        referred: impl Fn(ServerId) -> bool,
    ) -> Vec<(ServiceKey, ServerId)> {
        let mut expired = Vec::new();
        self.0.retain(|key, of_service| {
            of_service.retain(|_, removed| {
                let id = ServerId(removed.server.id);
                let over = removed.is_due(live, now_ms) && !referred(id);
                if over {
                    expired.push((*key, id));
                }
                !over
            });
            !of_service.is_empty()
        });
        expired
    }
}

impl Removed {
    fn is_due(&self, live: &LiveTable, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.since_ms) >= TRASH_MS && live.has_no_conns(ServerId(self.server.id))
    }
}
