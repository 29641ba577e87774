//! What workers get of the book: a snapshot, made anew when services, marks or the policy change. Servers change without one,
//! unless workers have to know them by their endpoints.

use super::Book;
use crate::services::{ANY_PROTOCOL, ServiceKey, Services};
use conntrack::Method;
use std::net::IpAddr;
use std::sync::Arc;

impl Book {
    /// A snapshot for the workers, if services came or went since the last one.
    pub fn snapshot(&mut self) -> Option<Arc<Services>> {
        std::mem::take(&mut self.changed).then(|| {
            Arc::new(Services {
                by_key: self.services.iter().map(|(key, entry)| (*key, entry.service.clone())).collect(),
                marks: self.marks.clone(),
                vips: self.vips().collect(),
                nat_servers: self.nat_servers().collect(),
                unserved: [false, true].map(|v6| self.is_unserved(v6)),
                policy: self.policy.clone(),
                steering: self.steering(),
            })
        })
    }

    /// There are conns of that family, or were a short while ago, and no service is.
    fn is_unserved(&self, v6: bool) -> bool {
        let of_family = |key: &ServiceKey| key.is_v6() == v6;
        self.former.keys().any(of_family) && !self.services.keys().any(of_family)
    }

    /// Servers are in snapshots only where workers have to tell them something.
    pub(super) fn servers_changed(&mut self) {
        self.changed |= self.policy.nat_icmp_send;
    }

    /// Where workers may have to tell a NAT server something. A snapshot has them only then: servers change without one.
    fn nat_servers(&self) -> impl Iterator<Item = (u8, IpAddr, u16)> + '_ {
        let told = self.services.values().filter(|_| self.policy.nat_icmp_send);
        told.flat_map(|entry| {
            let protocol = match entry.service.key {
                ServiceKey::Endpoint { protocol, .. } => protocol,
                ServiceKey::Mark { .. } => ANY_PROTOCOL,
            };
            let nat = entry.servers.iter().filter(|listed| listed.server.method == Method::Nat);
            nat.map(move |listed| (protocol, listed.server.address, listed.server.port))
        })
    }
}
