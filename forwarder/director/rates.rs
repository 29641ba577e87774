//! What went through real servers and services, and at which rates. Rates are estimated of each real server and service, and of
//! everything. A tick comes every two seconds, but its work is done in parts, so that many servers do not hold up what control
//! does for neighbours.

use super::Control;
use crate::services::estimator::{Estimator, TICK_MS};
use crate::services::live::TrafficCounts;
use crate::services::{ServerId, ServiceKey};
use hashbrown::{HashMap, HashSet};

/// Real servers after which a turn of control leaves the other services to the next.
const SERVERS_PER_TURN: usize = 1_024;

/// The estimators.
#[derive(Default)]
pub(super) struct Rates {
    services: HashMap<ServiceKey, Estimator>,
    servers: HashMap<ServerId, Estimator>,
    total: Estimator,
    /// Services that this tick has not come to.
    pending: Vec<ServiceKey>,
    /// What this tick has seen of everything.
    sum: TrafficCounts,
    tick_ms: u64,
}

impl Rates {
    /// The place has another server, or none.
    pub(super) fn forget_server(&mut self, id: ServerId) {
        self.servers.remove(&id);
    }

    /// The service is gone; one that comes again starts anew.
    pub(super) fn forget_service(&mut self, key: ServiceKey) {
        self.services.remove(&key);
    }
}

impl Control {
    /// A part of a tick, if there is one.
    pub(super) fn estimate(&mut self) {
        if self.rates.pending.is_empty() {
            if self.now.ms < self.rates.tick_ms || !self.book.policy().run_estimation {
                return;
            }
            self.rates.tick_ms = self.now.ms + TICK_MS;
            self.rates.pending = self.book.list().map(|(service, _)| service.key).collect();
            let listed: HashSet<_> = self.rates.pending.iter().copied().collect();
            self.rates.services.retain(|key, _| listed.contains(key));
            self.rates.sum = TrafficCounts::default();
        }
        let mut servers = 0;
        while servers < SERVERS_PER_TURN
            && let Some(key) = self.rates.pending.pop()
        {
            servers += 1 + self.estimate_service(key);
        }
        if self.rates.pending.is_empty() {
            let sum = self.rates.sum;
            self.rates.total.tick(sum);
        }
    }

    /// Gives how many servers the service has.
    fn estimate_service(&mut self, key: ServiceKey) -> usize {
        let Some((_, listed)) = self.book.get(key) else { return 0 };
        let servers: Vec<_> = listed.iter().map(|listed| listed.server.id).collect();
        for id in &servers {
            let traffic = self.traffic_of(*id);
            self.rates.servers.entry(*id).or_default().tick(traffic);
        }
        let traffic = self.service_traffic(key);
        self.rates.services.entry(key).or_default().tick(traffic);
        self.rates.sum += traffic;
        servers.len()
    }

    /// What a real server gets and gives each second.
    pub fn rates_of_server(&self, id: ServerId) -> TrafficCounts {
        self.rates.servers.get(&id).map(Estimator::rates).unwrap_or_default()
    }

    /// What a service gets and gives each second, by all its real servers.
    pub fn rates_of_service(&self, key: ServiceKey) -> TrafficCounts {
        self.rates.services.get(&key).map(Estimator::rates).unwrap_or_default()
    }

    /// What all services get and give each second.
    pub fn rates_of_all(&self) -> TrafficCounts {
        self.rates.total.rates()
    }

    /// What all workers forwarded for a real server.
    pub(super) fn traffic_of(&self, id: ServerId) -> TrafficCounts {
        let mut traffic = self.traffic_of_place(id);
        traffic -= self.traffic_before.get(&id).copied().unwrap_or_default();
        traffic
    }

    /// What all workers counted for a real server's place, whoever had it.
    pub(super) fn traffic_of_place(&self, id: ServerId) -> TrafficCounts {
        let mut sum = TrafficCounts::default();
        for worker in &self.workers {
            sum += worker.traffic[id.0 as usize].counts();
        }
        sum
    }

    /// What went through a service, by all its real servers, with those that were removed.
    pub(super) fn service_traffic(&self, key: ServiceKey) -> TrafficCounts {
        let mut totals = self.traffic_retired.get(&key).copied().unwrap_or_default();
        let listed = self.book.get(key).into_iter().flat_map(|(_, listed)| listed).map(|listed| listed.server.id);
        for id in listed.chain(self.book.removed(key)) {
            totals += self.traffic_of(id);
        }
        totals
    }
}
