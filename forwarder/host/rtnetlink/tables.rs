//! What the kernel has told so far. Bounded; what it told before a complete answer and did not repeat in it is forgotten.

use super::message::{Kind, WhatChanged};
use crate::neigh::{HostNeighbor, HostNetwork, HostRoute};
use crate::wire::Mac;
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Addresses of all host interfaces together.
pub const ADDRESSES_MAX: usize = 1_024;
/// Routes by all host interfaces together.
pub const ROUTES_MAX: usize = 4_096;
/// Neighbours on all host interfaces together.
pub const NEIGHBORS_MAX: usize = 4_096;

/// Which answer something was told in, or after.
type Round = u32;

/// What the kernel has told.
#[derive(Default)]
pub struct Tables {
    addresses: BTreeMap<(u16, IpNet), Round>,
    routes: BTreeMap<HostRoute, Round>,
    neighbors: BTreeMap<(u16, IpAddr), (Mac, bool, Round)>,
    round: Round,
    /// Something was left out for want of room; once there is room, it must be asked for.
    left_out: bool,
    changed: bool,
}

impl Tables {
    /// From now on everything is told anew.
    pub(super) fn begin(&mut self) {
        self.round += 1;
        self.left_out = false;
    }

    /// What was told. True: more may have changed than the kernel says, so ask.
    pub fn hear(&mut self, told: WhatChanged) -> bool {
        let round = self.round;
        let changed = match told {
            WhatChanged::Address { port, own, there: true } => {
                put(&mut self.addresses, (port, own), round, ADDRESSES_MAX, &mut self.left_out).is_none()
            }
            WhatChanged::Address { port, own, there: false } => {
                let gone = self.addresses.remove(&(port, own)).is_some();
                self.changed |= gone;
                return gone;
            }
            WhatChanged::Route { route, there: true } => {
                put(&mut self.routes, route, round, ROUTES_MAX, &mut self.left_out).is_none()
            }
            WhatChanged::Route { route, there: false } => {
                let gone = self.routes.remove(&route).is_some();
                self.changed |= gone;
                return gone && self.left_out;
            }
            WhatChanged::Replaced { to, metric } => {
                let before = self.routes.len();
                self.routes.retain(|route, _| (route.to, route.metric) != (to, metric));
                self.routes.len() != before
            }
            WhatChanged::Neighbor { port, address, known: Some((mac, permanent)) } => {
                let entry = (mac, permanent, round);
                let before = put(&mut self.neighbors, (port, address), entry, NEIGHBORS_MAX, &mut self.left_out);
                before.is_none_or(|(known, kind, _)| (known, kind) != (mac, permanent))
            }
            WhatChanged::Neighbor { port, address, known: None } => self.neighbors.remove(&(port, address)).is_some(),
            WhatChanged::Link => return true,
            WhatChanged::Complete | WhatChanged::Refused => false,
        };
        self.changed |= changed;
        false
    }

    /// An answer is complete: what was not in it is gone.
    pub(super) fn complete(&mut self, kind: Kind) {
        let (round, before) = (self.round, self.addresses.len() + self.routes.len() + self.neighbors.len());
        match kind {
            Kind::Addresses => self.addresses.retain(|_, told| *told == round),
            Kind::Routes => self.routes.retain(|_, told| *told == round),
            Kind::Neighbors => self.neighbors.retain(|_, (_, _, told)| *told == round),
        }
        self.changed |= self.addresses.len() + self.routes.len() + self.neighbors.len() != before;
    }

    /// All of it, if it changed since the last call.
    pub fn take_changed(&mut self) -> Option<HostNetwork> {
        std::mem::take(&mut self.changed).then(|| self.network())
    }

    /// Whether something was left out for want of room.
    pub fn left_out(&self) -> bool {
        self.left_out
    }

    fn network(&self) -> HostNetwork {
        let neighbor = |(&(port, address), &(mac, permanent, _)): (&(u16, IpAddr), &(Mac, bool, Round))| HostNeighbor {
            port,
            address,
            mac,
            permanent,
        };
        HostNetwork {
            addresses: self.addresses.keys().copied().collect(),
            // By destination, then metric: the first of each is used.
            routes: self.routes.keys().copied().collect(),
            neighbors: self.neighbors.iter().map(neighbor).collect(),
        }
    }
}

/// Puts an entry in, unless it is new and there is no room. Gives what was there before, or the new one if it was left out.
fn put<K: Ord, V: Copy>(map: &mut BTreeMap<K, V>, key: K, value: V, max: usize, left_out: &mut bool) -> Option<V> {
    if map.len() >= max && !map.contains_key(&key) {
        *left_out = true;
        return Some(value);
    }
    map.insert(key, value)
}
