//! What changes about a real server while it works: its counts of conns, its overload flag, its traffic.
//!
//! It lives outside the snapshots, by server id, so that a server that is removed and added again finds its conns. The
//! counts change when a conn is made, changes state or ends, never per packet. Each change pushes the server's id on the
//! list of its service (once, until the next pick), so a pick looks only at the servers that changed. All of it is plain
//! atomics in arrays of a fixed size; nothing here locks or allocates after start.

use crossbeam::utils::CachePadded;
use sched::{Load, Thresholds};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::*};

/// Virtual services that can be known at once.
pub const SERVICES_MAX: usize = 65_536;

const NONE: u32 = u32::MAX;

/// A real server's place in the arrays of this file. Reused only after the last conn of its server is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId(pub u32);

/// A service's place in [`LiveTable`]'s lists of changed servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceId(pub u32);

/// The live counts of one real server.
#[derive(Default)]
struct Live {
    active: AtomicU32,
    total: AtomicU32,
    upper: AtomicU32,
    lower: AtomicU32,
    overloaded: AtomicBool,
    /// The service whose pick wants to hear of changes.
    service: AtomicU32,
    /// On its service's list of changed servers already.
    changed: AtomicBool,
    next_changed: AtomicU32,
}

/// The live counts of all real servers.
pub struct LiveTable {
    servers: Box<[CachePadded<Live>]>,
    /// Read for each packet, so apart from the counts that other workers write.
    available: Box<[AtomicU8]>,
    /// Head of each service's list of changed servers.
    changed: Box<[AtomicU32]>,
}

impl LiveTable {
    /// Room for that many real servers and services, and for nobody: see [`LiveTable::nobody`].
    pub fn new(servers_max: usize, services_max: usize) -> Self {
        let live = Self {
            servers: (0..=servers_max).map(|_| CachePadded::default()).collect(),
            available: (0..=servers_max).map(|_| AtomicU8::new(0)).collect(),
            changed: (0..=services_max).map(|_| AtomicU32::new(NONE)).collect(),
        };
        live.attach(live.nobody(), ServiceId(services_max as u32), Thresholds::default());
        live
    }

    /// Real servers there is room for.
    pub fn servers_max(&self) -> usize {
        self.servers.len() - 1
    }

    /// Places in these arrays, and in others by server id.
    pub fn places(&self) -> usize {
        self.servers.len()
    }

    /// Services there is room for.
    pub fn services_max(&self) -> usize {
        self.changed.len() - 1
    }

    /// The place of conns that have no real server: always available, and no service asks how many they are.
    #[inline]
    pub fn nobody(&self) -> ServerId {
        ServerId(self.servers_max() as u32)
    }

    /// Does the server belong to a service now? False once it was removed.
    #[inline]
    pub fn is_available(&self, id: ServerId) -> bool {
        self.available[id.0 as usize].load(Relaxed) != 0
    }

    /// Control: the server is (again) one of this service's, with these thresholds.
    pub fn attach(&self, id: ServerId, service: ServiceId, thresholds: Thresholds) {
        self.servers[id.0 as usize].service.store(service.0, Relaxed);
        self.available[id.0 as usize].store(1, Relaxed);
        self.set_thresholds(id, thresholds);
    }

    /// The service that the server was last attached to: its list of changed servers may hold the server still.
    pub fn service_of(&self, id: ServerId) -> ServiceId {
        ServiceId(self.servers[id.0 as usize].service.load(Relaxed))
    }

    /// Control: the server was removed from its service. Its conns stay counted.
    pub fn detach(&self, id: ServerId) {
        self.available[id.0 as usize].store(0, Relaxed);
    }

    /// Control: other thresholds. The overload flag follows at once when they differ.
    pub fn set_thresholds(&self, id: ServerId, thresholds: Thresholds) {
        let live = &self.servers[id.0 as usize];
        let before = live.thresholds();
        if before != thresholds {
            live.upper.store(thresholds.upper, Relaxed);
            live.lower.store(thresholds.lower, Relaxed);
            let was = live.overloaded.load(Relaxed);
            live.overloaded.store(thresholds.after_edit(live.total.load(Relaxed), was), Relaxed);
        }
        self.announce(id);
    }

    /// Control: forget everything about the server; its place will be another's.
    pub fn clear(&self, id: ServerId) {
        let live = &self.servers[id.0 as usize];
        for count in [&live.active, &live.total, &live.upper, &live.lower] {
            count.store(0, Relaxed);
        }
        live.overloaded.store(false, Relaxed);
    }

    /// No conn refers to the server any more. (Persistence templates may.)
    pub fn has_no_conns(&self, id: ServerId) -> bool {
        self.servers[id.0 as usize].total.load(Relaxed) == 0
    }

    /// A conn was made. Called under the service's lock, so that the next pick sees it.
    pub fn bind(&self, id: ServerId, active: bool) {
        let live = &self.servers[id.0 as usize];
        let total = live.total.fetch_add(1, Relaxed) + 1;
        if active {
            live.active.fetch_add(1, Relaxed);
        }
        live.cross(|thresholds, was| thresholds.after_bind(total, was));
        self.announce(id);
    }

    /// A conn ended.
    pub fn unbind(&self, id: ServerId, active: bool) {
        let live = &self.servers[id.0 as usize];
        let before = live.total.fetch_sub(1, Relaxed);
        if active {
            live.active.fetch_sub(1, Relaxed);
        }
        live.cross(|thresholds, was| thresholds.after_unbind(before, was));
        self.announce(id);
    }

    /// A conn went from an inactive state to an active one, or back.
    pub fn set_active(&self, id: ServerId, active: bool) {
        let live = &self.servers[id.0 as usize];
        if active {
            live.active.fetch_add(1, Relaxed);
        } else {
            live.active.fetch_sub(1, Relaxed);
        }
        self.announce(id);
    }

    /// What a scheduler wants to know.
    pub fn load(&self, id: ServerId) -> Load {
        let live = &self.servers[id.0 as usize];
        Load {
            active: live.active.load(Relaxed),
            total: live.total.load(Relaxed),
            overloaded: live.overloaded.load(Relaxed),
        }
    }

    /// Takes the list of the service's servers whose counts changed since the last call. The caller holds the service's lock.
    pub fn for_each_changed(&self, service: ServiceId, mut each: impl FnMut(ServerId, Load)) {
        let mut next = self.changed[service.0 as usize].swap(NONE, Acquire);
        while next != NONE {
            let live = &self.servers[next as usize];
            let id = ServerId(next);
            next = live.next_changed.load(Relaxed);
            // Cleared before the counts are read: a change that comes after puts the server on the list again.
            live.changed.store(false, SeqCst);
            each(id, self.load(id));
        }
    }

    /// Puts the server on its service's list, unless it is there. A push of one id by compare-and-swap; ids leave only all
    /// at once, so an id cannot come back between the two reads of a push.
    fn announce(&self, id: ServerId) {
        let live = &self.servers[id.0 as usize];
        if live.changed.swap(true, SeqCst) {
            return;
        }
        let head = &self.changed[live.service.load(Relaxed) as usize];
        let mut first = head.load(Relaxed);
        loop {
            live.next_changed.store(first, Relaxed);
            match head.compare_exchange_weak(first, id.0, Release, Relaxed) {
                Ok(_) => return,
                Err(now) => first = now,
            }
        }
    }
}

impl Live {
    /// The overload flag after a conn more or less. Written only when it changes, which it does where the count crosses a
    /// mark: a worker that is no crossing writes back nothing, and so undoes no other worker's.
    fn cross(&self, after: impl FnOnce(Thresholds, bool) -> bool) {
        let was = self.overloaded.load(Relaxed);
        let is = after(self.thresholds(), was);
        if is != was {
            self.overloaded.store(is, Relaxed);
        }
    }

    fn thresholds(&self) -> Thresholds {
        Thresholds { upper: self.upper.load(Relaxed), lower: self.lower.load(Relaxed) }
    }
}

/// What one worker forwarded for one real server. Written by that worker alone (a load and a store, no locked
/// instruction), read by control.
#[derive(Default)]
pub struct Traffic {
    conns: AtomicU64,
    in_packets: AtomicU64,
    in_bytes: AtomicU64,
    out_packets: AtomicU64,
    out_bytes: AtomicU64,
}

/// A copy of [`Traffic`], or a sum of several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TrafficCounts {
    /// Conns made.
    pub conns: u64,
    /// Packets client → real server.
    pub in_packets: u64,
    /// Their bytes, IP header included, as they came in.
    pub in_bytes: u64,
    /// Packets real server → client.
    pub out_packets: u64,
    /// Their bytes, IP header included, as they came in.
    pub out_bytes: u64,
}

impl Traffic {
    /// One conn more.
    pub fn conn(&self) {
        add(&self.conns, 1);
    }

    /// One packet of `bytes` from the client.
    #[inline]
    pub fn inbound(&self, bytes: u64) {
        add(&self.in_packets, 1);
        add(&self.in_bytes, bytes);
    }

    /// One packet of `bytes` from the real server.
    #[inline]
    pub fn outbound(&self, bytes: u64) {
        add(&self.out_packets, 1);
        add(&self.out_bytes, bytes);
    }

    /// The counts now.
    pub fn counts(&self) -> TrafficCounts {
        TrafficCounts {
            conns: self.conns.load(Relaxed),
            in_packets: self.in_packets.load(Relaxed),
            in_bytes: self.in_bytes.load(Relaxed),
            out_packets: self.out_packets.load(Relaxed),
            out_bytes: self.out_bytes.load(Relaxed),
        }
    }
}

impl std::ops::AddAssign for TrafficCounts {
    fn add_assign(&mut self, other: Self) {
        self.conns += other.conns;
        self.in_packets += other.in_packets;
        self.in_bytes += other.in_bytes;
        self.out_packets += other.out_packets;
        self.out_bytes += other.out_bytes;
    }
}

impl std::ops::SubAssign for TrafficCounts {
    fn sub_assign(&mut self, other: Self) {
        self.conns -= other.conns;
        self.in_packets -= other.in_packets;
        self.in_bytes -= other.in_bytes;
        self.out_packets -= other.out_packets;
        self.out_bytes -= other.out_bytes;
    }
}

#[inline]
fn add(counter: &AtomicU64, count: u64) {
    counter.store(counter.load(Relaxed) + count, Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_workers_that_drain_a_server_leave_it_free() {
        let live = LiveTable::new(1, 1);
        let id = ServerId(0);
        for round in 0..2_000 {
            live.clear(id);
            live.attach(id, ServiceId(0), Thresholds { upper: 16, lower: 8 });
            (0..16).for_each(|_| live.bind(id, true));
            assert!(live.load(id).overloaded, "at its upper mark");
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| (0..8).for_each(|_| live.unbind(id, true)));
                }
            });
            assert_eq!(live.load(id), Load { active: 0, total: 0, overloaded: false }, "round {round}");
        }
    }
}
