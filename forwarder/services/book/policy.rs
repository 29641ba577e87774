//! Settings that are one for all services, as the book obeys them.

use super::{Book, ServiceSpec, service};
use crate::services::Policy;
use sched::{Change, Kind};
use std::sync::Arc;

impl Policy {
    /// What a service is told, with the settings that are one for all: nobody else tells it those.
    pub fn obeyed_by(&self, spec: ServiceSpec) -> ServiceSpec {
        ServiceSpec { settings: spec.settings.with_expirations(self.expirations), ..spec }
    }
}

impl Book {
    /// The policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Replaces the policy.
    pub fn set_policy(&mut self, policy: Policy) {
        let other_expirations = policy.expirations != self.policy.expirations;
        self.policy = Arc::new(policy);
        self.changed = true;
        if other_expirations {
            self.set_expirations();
        }
    }

    /// Services that are there already obey the setting, too; what their schedulers remember they keep.
    fn set_expirations(&mut self) {
        for (key, entry) in &mut self.services {
            let spec = self.policy.obeyed_by(entry.service.spec());
            let pool = entry.service.pool.clone();
            entry.service = Arc::new(service(entry.service.id, *key, spec, pool));
            if matches!(entry.service.scheduler, Kind::Lblc | Kind::Lblcr) {
                entry.republish(&self.shared.live, &self.trash, Change::Service);
            }
        }
    }
}
