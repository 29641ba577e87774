//! The director as `ipvsadm` and `keepalived` know it: the kernel's IPVS. What they change goes to the book like what a file changes.
//!
//! Services of the file and of tools live together. A service that the file names is the file's: a tool may change it, and that lasts
//! until the next reload or start. Every other service is the tools': no reload touches it, and it is kept in the run directory
//! (`saved`), so that a director that starts again has it. Clearing the table clears all of both.

mod edit;
mod saved;
mod words;

use super::Control;
use super::show::Answering;
use crate::services::book::Listed;
use crate::services::live::TrafficCounts;
use crate::services::{ServerId, ServiceKey};
use conntrack::states::tcp::State;
use hashbrown::{HashMap, HashSet};
use ipvs_netlink::{Daemon, Edit, Errno, Ipvs, RealServer, ServiceId, Stats, Timeouts};
use saved::Saved;
use std::cell::RefCell;

/// Templates that are counted anew for every list of real servers; more are counted once in [`COUNT_AGAIN_MS`].
const TEMPLATES_COUNTED: usize = 10_000;
/// See [`TEMPLATES_COUNTED`].
const COUNT_AGAIN_MS: u64 = 1_000;

/// What control keeps for tools.
#[derive(Default)]
pub(super) struct Tools {
    /// The file's services.
    of_file: HashSet<ServiceKey>,
    /// Timeouts that a tool set; 0: none did.
    timeouts: Timeouts,
    /// Services with a scheduler's third flag, which means nothing and is told as it was said.
    third_flag: HashSet<ServiceKey>,
    /// What tools made, for the next start. None: nobody wants it kept.
    saved: Option<Saved>,
    /// Totals when all was zeroed, by worker.
    totals_before: Vec<TrafficCounts>,
    /// Templates by server, and when they were counted.
    persistent: RefCell<(u64, HashMap<ServerId, u32>)>,
}

impl Ipvs for Control {
    fn services(&self) -> Vec<ServiceId> {
        self.book.list().map(|(service, _)| words::id(service.key)).collect()
    }

    fn service(&self, id: &ServiceId) -> Option<ipvs_netlink::Service> {
        let (service, _) = self.book.get(words::key(id)?)?;
        let stats = stats(self.service_traffic(service.key), self.rates_of_service(service.key));
        let told = words::told(service, self.tools.third_flag.contains(&service.key));
        Some(ipvs_netlink::Service { id: *id, told, stats })
    }

    fn has_service(&self, id: &ServiceId) -> bool {
        words::key(id).is_some_and(|key| self.book.has_service(key))
    }

    fn real_servers(&self, id: &ServiceId) -> Vec<RealServer> {
        let Some((_, listed)) = words::key(id).and_then(|key| self.book.get(key)) else { return Vec::new() };
        self.count_templates();
        let persistent = &self.tools.persistent.borrow().1;
        let real_server = |listed: &Listed| {
            let id = listed.server.id;
            let load = self.shared.live.load(id);
            RealServer {
                address: listed.address(),
                told: words::server_told(listed),
                active: load.active,
                inactive: load.total.saturating_sub(load.active),
                persistent: persistent.get(&id).copied().unwrap_or(0),
                stats: stats(self.traffic_of(id), self.rates_of_server(id)),
            }
        };
        listed.iter().map(real_server).collect()
    }

    fn timeouts(&self) -> Timeouts {
        let timeouts = &self.book.policy().timeouts;
        let tcp = |state: State| timeouts.tcp[state as usize];
        Timeouts { tcp: tcp(State::Established), tcp_fin: tcp(State::FinWait), udp: timeouts.udp }
    }

    fn daemons(&self) -> Vec<Daemon> {
        Vec::new()
    }

    fn edit(&mut self, edit: &Edit) -> Result<(), Errno> {
        self.do_edit(edit)?;
        self.save(edit);
        Ok(())
    }
}

impl Control {
    /// What each worker counted of all services since all was zeroed. Rates are estimated of all workers together: the first has them.
    fn totals(&self) -> Vec<Stats> {
        let total = |(worker, mut counts): (usize, TrafficCounts)| {
            counts -= self.tools.totals_before.get(worker).copied().unwrap_or_default();
            stats(counts, if worker == 0 { self.rates_of_all() } else { TrafficCounts::default() })
        };
        self.all_traffic().enumerate().map(total).collect()
    }

    /// What each worker counted since the start.
    fn all_traffic(&self) -> impl Iterator<Item = TrafficCounts> + '_ {
        self.workers.iter().map(|worker| {
            worker.traffic.iter().fold(TrafficCounts::default(), |mut sum, place| {
                sum += place.counts();
                sum
            })
        })
    }

    fn count_templates(&self) {
        let (counted_ms, counts) = &mut *self.tools.persistent.borrow_mut();
        let is_many = self.shared.templates.len() > TEMPLATES_COUNTED;
        if !is_many || self.now.ms >= *counted_ms + COUNT_AGAIN_MS {
            *counts = self.templates_by_server();
            *counted_ms = self.now.ms;
        }
    }
}

fn stats(counts: TrafficCounts, per_s: TrafficCounts) -> Stats {
    Stats {
        conns: counts.conns,
        inbound_packets: counts.in_packets,
        outbound_packets: counts.out_packets,
        inbound_bytes: counts.in_bytes,
        outbound_bytes: counts.out_bytes,
        conns_per_s: per_s.conns,
        inbound_packets_per_s: per_s.in_packets,
        outbound_packets_per_s: per_s.out_packets,
        inbound_bytes_per_s: per_s.in_bytes,
        outbound_bytes_per_s: per_s.out_bytes,
    }
}

/// Its control side is asked.
impl Ipvs for Answering<'_> {
    fn services(&self) -> Vec<ServiceId> {
        self.control.services()
    }

    fn service(&self, id: &ServiceId) -> Option<ipvs_netlink::Service> {
        self.control.service(id)
    }

    fn has_service(&self, id: &ServiceId) -> bool {
        self.control.has_service(id)
    }

    fn real_servers(&self, id: &ServiceId) -> Vec<RealServer> {
        self.control.real_servers(id)
    }

    fn timeouts(&self) -> Timeouts {
        self.control.timeouts()
    }

    fn daemons(&self) -> Vec<Daemon> {
        self.control.daemons()
    }

    fn edit(&mut self, edit: &Edit) -> Result<(), Errno> {
        self.control.edit(edit)
    }
}

impl control::ProcNet for Answering<'_> {
    fn totals(&self) -> Vec<Stats> {
        self.control.totals()
    }
}
