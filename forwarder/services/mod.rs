//! Virtual services as workers see them: an immutable snapshot to look a new flow's service up in, and per service one
//! lock under which a real server is picked. Control makes snapshots (see [`book`]); a service is shared between them, so
//! a change of one does not copy ten thousand.

pub mod book;
pub mod estimator;
pub mod live;
mod trash;
pub mod tunnels;

use crate::neigh::NextHopId;
use crate::steer::{Steer, Steering};
use crate::wire::protocol;
use conntrack::states::Timeouts;
use conntrack::{Key, Method, Netmask};
use hashbrown::{HashMap, HashSet};
use ipnet::IpNet;
pub use live::{LiveTable, ServerId, ServiceId};
use sched::{Expirations, Flow, Kind, Moment, Picker, Settings};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard};

/// What tells one service from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ServiceKey {
    /// What clients send to this address and port. Port 0: every port of the address that has no service of its own.
    Endpoint {
        /// IP protocol number.
        protocol: u8,
        /// The VIP.
        vip: IpAddr,
        /// The VIP's port.
        port: u16,
    },
    /// What carries this mark.
    Mark {
        /// The mark, not 0.
        mark: u32,
        /// The family that the service is for.
        v6: bool,
    },
}

impl ServiceKey {
    /// Is it for packets of IPv6?
    pub fn is_v6(&self) -> bool {
        match self {
            ServiceKey::Endpoint { vip, .. } => vip.is_ipv6(),
            ServiceKey::Mark { v6, .. } => *v6,
        }
    }

    /// Is it for every port, or for what a mark is on, whatever its port?
    pub fn is_of_all_ports(&self) -> bool {
        !matches!(self, ServiceKey::Endpoint { port: 1.., .. })
    }

    /// The VIP; none of a mark.
    pub fn vip(&self) -> Option<IpAddr> {
        match self {
            ServiceKey::Endpoint { vip, .. } => Some(*vip),
            ServiceKey::Mark { .. } => None,
        }
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            ServiceKey::Endpoint { protocol, vip, port } => {
                let name = match protocol {
                    protocol::TCP => "tcp",
                    protocol::UDP => "udp",
                    _ => "sctp",
                };
                write!(f, "{name} {}", SocketAddr::new(vip, port))
            }
            ServiceKey::Mark { mark, v6: false } => write!(f, "fwmark {mark}"),
            ServiceKey::Mark { mark, v6: true } => write!(f, "fwmark {mark} IPv6"),
        }
    }
}

/// A real server as a new conn takes it. Plain data: a pick copies it out of the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RealServer {
    /// Its place in the live counts.
    pub id: ServerId,
    /// RIP.
    pub address: IpAddr,
    /// Its port. 0: the port that the client sent to.
    pub port: u16,
    /// How its packets are forwarded.
    pub method: Method,
    /// Weight, 0 to 2^31 − 1. 0: no new conns.
    pub weight: u32,
    /// The way to it; none while there is no room for one.
    pub next_hop: Option<NextHopId>,
}

/// A client keeps its real server for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Persistence {
    /// Seconds after the last conn.
    pub timeout_s: u32,
    /// Clients that are the same after it count as one.
    pub netmask: Netmask,
}

/// In the place of a protocol: the servers of a mark's service take any.
const ANY_PROTOCOL: u8 = 0;

/// When a defence against floods is up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Defense {
    /// Never.
    #[default]
    Never,
    /// While a worker's conn table has few free places.
    WhenShort,
    /// Always.
    Always,
}

/// A virtual service.
pub struct Service {
    /// Its list of changed servers.
    pub id: ServiceId,
    /// What it takes.
    pub key: ServiceKey,
    /// Its scheduler.
    pub scheduler: Kind,
    /// What its scheduler was told.
    pub settings: Settings,
    /// Set for a persistent service.
    pub persistence: Option<Persistence>,
    /// Each datagram is scheduled by itself and leaves no conn.
    pub one_packet: bool,
    /// What of a flow says which worker owns it.
    pub steer: Steer,
    /// Shared with the versions of this service in other snapshots.
    pool: Arc<Mutex<Pool>>,
}

/// A service's real servers, in the kernel's order, and the scheduler that picks among them.
pub struct Pool {
    picker: Picker,
    /// In the picker's order: what a pick gives is an index of both.
    servers: Vec<RealServer>,
}

impl Service {
    /// Locks the service for a pick, with the loads up to date. The lock is held through the pick and the count of the new
    /// conn, so that the next pick sees it.
    pub fn lock<'a>(&'a self, live: &LiveTable) -> MutexGuard<'a, Pool> {
        // A thread that panicked under the lock has aborted the process: the lock is never poisoned.
        let mut pool = self.pool.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        pool.refresh(self.id, live);
        pool
    }
}

impl Pool {
    /// Tells the scheduler which loads changed.
    fn refresh(&mut self, service: ServiceId, live: &LiveTable) {
        live.for_each_changed(service, |id, load| {
            // A server that was removed long ago still ends conns; the scheduler has forgotten it.
            if let Some(place) = self.picker.servers().place_of(id.0) {
                self.picker.set_load(place, load);
            }
        });
    }

    /// The scheduler's choice.
    pub fn pick(&mut self, flow: &Flow, moment: &Moment) -> Option<RealServer> {
        self.picker.pick(flow, moment).map(|i| self.servers[i])
    }

    /// The server with this id, if it is one of the service's now.
    pub fn server(&self, id: ServerId) -> Option<RealServer> {
        self.picker.servers().place_of(id.0).and_then(|place| self.servers.get(place)).copied()
    }

    /// The servers in the kernel's order.
    pub fn servers(&self) -> &[RealServer] {
        &self.servers
    }
}

/// Packets that a mark rule takes get its mark. All given fields must match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkRule {
    /// Source addresses.
    pub source: Option<IpNet>,
    /// Destination addresses.
    pub destination: Option<IpNet>,
    /// IP protocol number.
    pub protocol: Option<u8>,
    /// Source ports.
    pub source_ports: RangeInclusive<u16>,
    /// Destination ports.
    pub destination_ports: RangeInclusive<u16>,
    /// The mark, not 0.
    pub mark: u32,
}

impl MarkRule {
    fn takes(&self, key: &Key) -> bool {
        let inside = |net: &Option<IpNet>, address: IpAddr| net.is_none_or(|net| net.contains(&address));
        inside(&self.source, key.src())
            && inside(&self.destination, key.dst())
            && self.protocol.is_none_or(|protocol| protocol == key.protocol())
            && self.source_ports.contains(&key.sport())
            && self.destination_ports.contains(&key.dport())
    }
}

/// All services at one moment.
#[derive(Default)]
pub struct Services {
    by_key: HashMap<ServiceKey, Arc<Service>, foldhash::fast::RandomState>,
    marks: Vec<MarkRule>,
    vips: HashSet<IpAddr, foldhash::fast::RandomState>,
    /// With nat_icmp_send: NAT servers by protocol, address and port; protocol 0: of a mark's service.
    nat_servers: HashSet<(u8, IpAddr, u16), foldhash::fast::RandomState>,
    /// Of IPv4 and of IPv6: its last service was removed.
    unserved: [bool; 2],
    /// How conns behave.
    pub policy: Arc<Policy>,
    /// Which worker owns a flow.
    pub steering: Steering,
}

/// The settings of the conn table's keepers: `[ipvs]`, `[timeouts]`, `[fullnat]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Bit 0: a SYN on a conn that is over starts a new one; bit 1: in FIN_WAIT too, where replies are not seen.
    pub conn_reuse_mode: u8,
    /// A conn whose server was removed goes with its next packet.
    pub expire_nodest_conn: bool,
    /// A persistence template of a server of weight 0 is not followed.
    pub expire_quiescent_template: bool,
    /// Tunnel headers copy DF, and the sender is told what fits.
    pub pmtu_disc: bool,
    /// Any TCP segment but a RST starts a conn.
    pub sloppy_tcp: bool,
    /// Any SCTP packet but an ABORT starts a conn.
    pub sloppy_sctp: bool,
    /// The kernel's stricter TCP states.
    pub secure_tcp: Defense,
    /// Conns that are half open are ended before their time.
    pub drop_entry: Defense,
    /// Some first packets of flows are dropped.
    pub drop_packet: Defense,
    /// Of so many first packets one, with [`Defense::Always`].
    pub am_droprate: u32,
    /// Pages of a worker's conn table that are too few.
    pub amemthresh: u32,
    /// Flows to addresses elsewhere that no server takes go where they were going.
    pub cache_bypass: bool,
    /// An ICMP error about a packet of no conn starts one.
    pub schedule_icmp: bool,
    /// A NAT server is told of its packets that are of no conn.
    pub nat_icmp_send: bool,
    /// Rates are kept.
    pub run_estimation: bool,
    /// How long lblc and lblcr remember.
    pub expirations: Expirations,
    /// Packets for other hosts are routed.
    pub forward: bool,
    /// How long each state lives.
    pub timeouts: Timeouts,
    /// LIPs, IPv4.
    pub local_v4: Vec<IpAddr>,
    /// LIPs, IPv6.
    pub local_v6: Vec<IpAddr>,
}

impl Policy {
    /// LIPs of a family.
    pub fn local_addresses(&self, v6: bool) -> &[IpAddr] {
        if v6 { &self.local_v6 } else { &self.local_v4 }
    }
}

impl Services {
    /// The service that a new flow is for: by mark first, then by its destination, then by the destination's port 0.
    pub fn find(&self, key: &Key) -> Option<&Arc<Service>> {
        let vip = key.dst();
        if let Some(rule) = self.marks.iter().find(|rule| rule.takes(key))
            && let Some(service) = self.by_key.get(&ServiceKey::Mark { mark: rule.mark, v6: vip.is_ipv6() })
        {
            return Some(service);
        }
        let endpoint = |port| ServiceKey::Endpoint { protocol: key.protocol(), vip, port };
        self.by_key.get(&endpoint(key.dport())).or_else(|| self.by_key.get(&endpoint(0)))
    }

    /// Is there a family whose last service was removed?
    #[inline]
    pub fn has_unserved(&self) -> bool {
        self.unserved != [false; 2]
    }

    /// Is this such a family?
    #[inline]
    pub fn is_unserved(&self, v6: bool) -> bool {
        self.unserved[usize::from(v6)]
    }

    /// Is the address a service's?
    pub fn is_vip(&self, address: IpAddr) -> bool {
        self.vips.contains(&address)
    }

    /// With nat_icmp_send: is the packet from the endpoint of a NAT server?
    pub fn is_of_nat_server(&self, key: &Key) -> bool {
        let from = |protocol| self.nat_servers.contains(&(protocol, key.src(), key.sport()));
        self.policy.nat_icmp_send && (from(key.protocol()) || from(ANY_PROTOCOL))
    }

    /// Every VIP.
    pub fn vips(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.vips.iter().copied()
    }
}
