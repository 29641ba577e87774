//! What one worker owns of the director's state: its part of the conn table, its counters, its view of the snapshots.
//! Everything but the ports, so that the stages are written once, whatever the device.

use super::defense::Defenses;
use super::orphans::Orphans;
use super::{Now, Reason};
use crate::local_ports::LocalPorts;
use crate::neigh::NextHops;
use crate::services::live::Traffic;
use crate::services::tunnels::Tunnels;
use crate::services::{LiveTable, ServerId, Services};
use crate::stats::Counts;
use arrayvec::ArrayVec;
use conntrack::{Conn, ConnId, Table, TemplateId, Templates, Verdict};
use crossbeam::utils::CachePadded;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

/// What all workers share: changed when conns come, change state or go, never per packet.
pub struct Shared {
    /// Live counts of real servers.
    pub live: LiveTable,
    /// Persistence templates.
    pub templates: Templates,
    /// What packets to real servers behind tunnels travel in.
    pub tunnels: Tunnels,
    /// First packets of flows until drop_packet drops one.
    pub until_drop: AtomicU64,
    /// There has been a NAT conn whose real server is the host: what the host sends may be its replies.
    pub host_serves: AtomicBool,
}

/// What one worker forwarded, by real server.
pub type TrafficTable = Box<[CachePadded<Traffic>]>;

/// One worker's state.
pub struct Shard {
    /// Its conns.
    pub table: Table,
    /// What it shares with the other workers.
    pub shared: Arc<Shared>,
    /// The services as of now.
    pub services: Arc<Services>,
    /// The next hops as of now.
    pub next_hops: Arc<NextHops>,
    /// Its counters.
    pub counts: Counts,
    /// Its traffic, by real server.
    pub traffic: Arc<TrafficTable>,
    /// FullNAT's local ports.
    pub local_ports: LocalPorts,
    /// What it does against floods.
    pub defenses: Defenses,
    /// Conns of removed servers that it is to end.
    pub(super) orphans: Orphans,
    /// Random bits for schedulers and identifications; nothing secret hangs on them.
    pub random: fastrand::Rng,
    /// Conns that this burst ended. Each frame ends one at most.
    ending: ArrayVec<Ending, { crate::port::BURST }>,
}

impl Shard {
    /// Conns whose time may have come that one call of [`Shard::expire`] looks at.
    pub const EXPIRE_BUDGET: usize = 64;

    /// A shard without conns.
    pub fn new(
        table: Table,
        shared: Arc<Shared>,
        services: Arc<Services>,
        next_hops: Arc<NextHops>,
        traffic: Arc<TrafficTable>,
        local_ports: LocalPorts,
        seed: u64,
    ) -> Self {
        Self {
            table,
            shared,
            services,
            next_hops,
            counts: Counts::default(),
            traffic,
            local_ports,
            defenses: Defenses::default(),
            orphans: Orphans::default(),
            random: fastrand::Rng::with_seed(seed),
            ending: ArrayVec::new(),
        }
    }

    /// Ends a conn: its counts at once, its place when the burst is done.
    pub(super) fn end(&mut self, id: ConnId) {
        self.shared.settle(self.table.conn(id));
        self.ending.push(Ending { id, counted: false });
    }

    /// Ends a conn that another one is to take the place of, when the burst is done: until then its server counts both. The
    /// kernel ends the old one with its clock's next tick, so an overloaded server gets no conn in exchange (recorded).
    pub(super) fn end_later(&mut self, id: ConnId) {
        self.ending.push(Ending { id, counted: true });
    }

    /// A conn that this burst was to end goes on. False: it was not, or it is too late.
    pub(super) fn spare(&mut self, id: ConnId) -> bool {
        let before = self.ending.len();
        self.ending.retain(|ending| ending.id != id || !ending.counted);
        self.ending.len() < before
    }

    /// Ends a conn at once, and gives the template that controlled it. Not within a burst.
    pub fn end_now(&mut self, id: ConnId) -> Option<TemplateId> {
        self.shared.settle(self.table.conn(id));
        self.table.remove(id).template()
    }

    /// Is a real server with this address the director itself? No wire leads to a loopback address.
    #[cold]
    pub fn is_own(&self, server: IpAddr) -> bool {
        server.is_loopback() || self.next_hops.is_local(server)
    }

    /// Did this burst end any conn?
    #[inline]
    pub fn has_ending(&self) -> bool {
        !self.ending.is_empty()
    }

    /// Was the conn ended by this burst?
    pub(super) fn is_ending(&self, id: ConnId) -> bool {
        self.ending.iter().any(|ending| ending.id == id)
    }

    /// After a burst: nothing holds the ids of ended conns any more.
    #[inline]
    pub fn remove_ended(&mut self) {
        for Ending { id, counted } in self.ending.drain(..) {
            if counted {
                self.shared.settle(self.table.conn(id));
            }
            self.table.remove(id);
        }
    }

    /// Ends a bounded number of conns whose time is over. True: there may be more.
    pub fn expire(&mut self, now: Now) -> bool {
        let shared = &self.shared;
        let looked_at = self.table.expire(now.tick, Self::EXPIRE_BUDGET, &mut |_, conn| {
            shared.settle(conn);
            Verdict::End
        });
        looked_at == Self::EXPIRE_BUDGET
    }
}

/// A conn that goes when the burst is done.
struct Ending {
    id: ConnId,
    /// Its server and its template count it still.
    counted: bool,
}

impl Shared {
    /// A conn ends: its server and its template lose it.
    fn settle(&self, conn: &Conn) {
        self.live.unbind(ServerId(conn.server), conn.is_active());
        if let Some(template) = conn.template() {
            self.templates.release(template);
        }
    }
}

impl From<conntrack::TableFull> for Reason {
    fn from(_: conntrack::TableFull) -> Self {
        Reason::TableFull
    }
}
