//! A director that is none: the tests' mock. Its answers are fixed samples, and it counts how often it is asked for conns.

use std::net::SocketAddr;

use ipvs_netlink::{Edit, Errno, Ipvs, ServiceId, Stats};

use crate::director::{ConnChunk, Cursor, Director, ReloadId};
use crate::filter::ConnFilter;
use crate::proc_net::ProcNet;
use crate::show::*;

#[derive(Default)]
pub(crate) struct MockDirector {
    /// How many conns it says it has.
    pub(crate) conns_count: u64,
    /// How many times it says "not yet" before it lists.
    pub(crate) not_yet: usize,
    /// Times it was asked for conns.
    pub(crate) asked: usize,
    /// Reloads so far; every other one is refused.
    pub(crate) reloads: u64,
    /// Services as tools know them, each with its servers.
    pub(crate) ipvs: Vec<(ipvs_netlink::Service, Vec<ipvs_netlink::RealServer>)>,
    /// What tools had it do.
    pub(crate) edits: Vec<Edit>,
    /// What its workers counted.
    pub(crate) totals: Vec<Stats>,
}

impl Ipvs for MockDirector {
    fn services(&self) -> Vec<ServiceId> {
        self.ipvs.iter().map(|(service, _)| service.id).collect()
    }

    fn service(&self, id: &ServiceId) -> Option<ipvs_netlink::Service> {
        self.ipvs.iter().map(|(service, _)| service).find(|service| service.id == *id).cloned()
    }

    fn has_service(&self, id: &ServiceId) -> bool {
        Ipvs::service(self, id).is_some()
    }

    fn real_servers(&self, id: &ServiceId) -> Vec<ipvs_netlink::RealServer> {
        self.ipvs.iter().find(|(service, _)| service.id == *id).map_or_else(Vec::new, |(_, servers)| servers.clone())
    }

    fn timeouts(&self) -> ipvs_netlink::Timeouts {
        ipvs_netlink::Timeouts { tcp: 900, tcp_fin: 120, udp: 300 }
    }

    fn daemons(&self) -> Vec<ipvs_netlink::Daemon> {
        Vec::new()
    }

    fn edit(&mut self, edit: &Edit) -> Result<(), Errno> {
        self.edits.push(edit.clone());
        Ok(())
    }
}

impl ProcNet for MockDirector {
    fn totals(&self) -> Vec<Stats> {
        self.totals.clone()
    }
}

impl Director for MockDirector {
    fn version(&self) -> Version {
        Version { version: "0.1.0 (a1b2c3d)".into(), pid: 4711, uptime_s: 61 }
    }

    fn services(&self) -> Services {
        services()
    }

    fn ports(&self) -> Ports {
        ports()
    }

    fn workers(&self) -> Workers {
        workers()
    }

    fn drops(&self) -> Drops {
        drops()
    }

    fn neighbors(&self) -> Neighbors {
        neighbors()
    }

    fn routes(&self) -> Routes {
        routes()
    }

    fn reload(&mut self) -> ReloadId {
        self.reloads += 1;
        ReloadId(self.reloads)
    }

    fn reloaded(&mut self, id: ReloadId) -> Option<Reloaded> {
        self.asked += 1;
        if self.not_yet > 0 {
            self.not_yet -= 1;
            return None;
        }
        Some(reloaded(id.0 % 2 == 1))
    }

    fn conns(&mut self, filter: &ConnFilter, cursor: Cursor, limit: usize) -> ConnChunk {
        self.asked += 1;
        if self.not_yet > 0 {
            self.not_yet -= 1;
            return ConnChunk { conns: Vec::new(), next: Some(cursor) };
        }
        let end = self.conns_count.min(cursor.0 + limit as u64);
        let taken = |conn: &Conn| filter.takes(conn.protocol, conn.client, conn.vip, conn.server);
        let conns = (cursor.0..end).map(conn).filter(taken).collect();
        ConnChunk { conns, next: (end < self.conns_count).then_some(Cursor(end)) }
    }
}

pub(crate) fn reloaded(applied: bool) -> Reloaded {
    let lines = if applied { ["service tcp 192.0.2.10:80: removed", "1 removed"] } else { ["uvs.toml:1:1: x", "y: z"] };
    Reloaded { applied, lines: lines.map(String::from).to_vec() }
}

pub(crate) fn conn(number: u64) -> Conn {
    let client = SocketAddr::from((std::net::Ipv4Addr::from(0x0a00_0000 + (number >> 16) as u32), number as u16));
    let (vip, server) = (address("192.0.2.10:80"), address("10.0.0.11:8080"));
    let state = "ESTABLISHED".into();
    Conn {
        protocol: Protocol::Tcp,
        client,
        vip,
        server,
        local: None,
        method: Method::Nat,
        state,
        expires_s: 887,
        worker: 1,
    }
}

pub(crate) fn conns() -> Vec<Conn> {
    let six = Conn {
        protocol: Protocol::Udp,
        client: address("[2001:db8::c1]:40001"),
        vip: address("[2001:db8::10]:53"),
        server: address("[fd00::11]:53"),
        state: "UDP".into(),
        expires_s: 288,
        ..conn(0)
    };
    let full =
        Conn { local: Some(address("10.0.0.240:1024")), method: Method::FullNat, expires_s: 6001, ..conn(80_000) };
    let template = Conn { client: address("10.4.5.0:0"), state: "ASSURED".into(), protocol: Protocol::Ip, ..conn(0) };
    vec![conn(30_004), six, full, template]
}

pub(crate) fn services() -> Services {
    let web = Service {
        protocol: Some(Protocol::Tcp),
        address: Some(address("192.0.2.10:80")),
        scheduler: "wlc".into(),
        totals: traffic(14),
        servers: vec![
            server("10.0.0.11:8080", Method::Nat, 3),
            Server {
                overloaded: true,
                upper_threshold: 10,
                lower_threshold: 7,
                ..server("10.0.0.12:8080", Method::FullNat, 1)
            },
        ],
        ..Service::default()
    };
    let sticky = Service {
        protocol: Some(Protocol::Sctp),
        address: Some(address("[2001:db8::10]:443")),
        scheduler: "sh".into(),
        flags: vec!["sh-fallback".into(), "sh-port".into()],
        persistent_s: Some(600),
        netmask: Some("64".into()),
        totals: traffic(1_234_567),
        rates: traffic(321),
        servers: vec![
            server("[fd00::11]:443", Method::Dr, 1),
            Server { tunnel: Some("gue:6080+csum".into()), ..server("10.0.0.13:443", Method::Tun, 0) },
        ],
        ..Service::default()
    };
    let mark =
        Service { fwmark: Some(7), fwmark_ipv6: true, scheduler: "rr".into(), one_packet: true, ..Service::default() };
    Services { services: vec![web, sticky, mark] }
}

fn traffic(conns: u64) -> Traffic {
    Traffic { conns, in_packets: conns * 4, out_packets: conns * 3, in_bytes: conns * 240, out_bytes: conns * 123_456 }
}

fn server(text: &str, method: Method, weight: u32) -> Server {
    Server {
        address: address(text),
        method,
        tunnel: None,
        weight,
        upper_threshold: 0,
        lower_threshold: 0,
        active: 6,
        inactive: 4,
        persistent: 0,
        overloaded: false,
        traffic: traffic(7),
        rates: traffic(2),
    }
}

pub(crate) fn ports() -> Ports {
    let wan = Port {
        name: "wan".into(),
        device: "net_tap0,iface=uvs-wan".into(),
        driver: "net_tap".into(),
        mac: "02:00:00:00:00:01".into(),
        mtu: 1500,
        device_mtu: 1504,
        link: true,
        speed_mbps: Some(10_000),
        rx_queues: 2,
        tx_queues: 2,
        rss: Some("4-tuple".into()),
        steering: "one worker owns every flow".into(),
        sends_by: Some("net_tap2".into()),
        rx_packets: 123_456_789,
        tx_packets: 12,
        rx_missed: 3,
        addresses: vec!["192.0.2.1/24".into(), "2001:db8::1/64".into()],
        host: Some(HostInterface { name: "uvs0".into(), to_host: 12, from_host: 7, refused: 1 }),
        ..Port::default()
    };
    let lan = Port {
        name: "lan".into(),
        vlan: Some(100),
        link: false,
        speed_mbps: None,
        rss: None,
        addresses: Vec::new(),
        host: None,
        ..wan.clone()
    };
    Ports { ports: vec![wan, lan] }
}

pub(crate) fn workers() -> Workers {
    let worker = Worker {
        lcore: 1,
        received: 2_000_000_100,
        handed_in: 20,
        created: 3,
        sent: 2_000_000_000,
        passed: 40,
        handed_out: 50,
        consumed: 6,
        dropped: 7,
        held: 20,
        conns: 1_000,
        conns_max: 1_000_000,
        turns: 4_000,
        busy_turns: 3_000,
        sleeps: 12,
        defenses: vec!["drop_entry".into(), "secure_tcp".into()],
    };
    let other = Worker { lcore: 2, turns: 0, busy_turns: 0, defenses: Vec::new(), ..worker.clone() };
    Workers { workers: vec![worker, other] }
}

pub(crate) fn drops() -> Drops {
    let reason = |reason: &'static str, meaning: &'static str, per_worker: [u64; 2]| DropReason {
        reason: reason.into(),
        meaning: meaning.into(),
        total: per_worker.iter().sum(),
        per_worker: per_worker.to_vec(),
    };
    let drops = vec![
        reason("not_ip", "neither IP nor ARP", [0, 0]),
        reason("ttl_expired", "the hop limit ran out on the way; the sender was told", [1, 0]),
        reason("no_local_port", "every local address has used up its ports towards this server", [2_000_000, 34]),
    ];
    let local_ports = vec![LocalPortsExhausted {
        local: "10.0.0.240".parse().unwrap(),
        server: Some("10.0.0.11:80".parse().unwrap()),
        times: 3,
    }];
    Drops { lcores: vec![1, 2], drops, local_ports }
}

pub(crate) fn routes() -> Routes {
    let connected =
        Route { destination: "192.0.2.0/24".into(), via: None, port: "wan".into(), origin: "connected".into() };
    let learned = Route {
        destination: "0.0.0.0/0".into(),
        via: Some("192.0.2.254".parse().unwrap()),
        origin: "host".into(),
        ..connected.clone()
    };
    Routes { routes: vec![learned, connected] }
}

pub(crate) fn neighbors() -> Neighbors {
    let known = Neighbor {
        address: "192.0.2.254".parse().unwrap(),
        mac: Some("02:00:00:00:00:fe".into()),
        port: "wan".into(),
        state: "reachable".into(),
        origin: "resolved".into(),
        age_s: Some(12),
    };
    let unknown = Neighbor {
        address: "fd00::11".parse().unwrap(),
        mac: None,
        state: "probing".into(),
        age_s: None,
        ..known.clone()
    };
    Neighbors { neighbors: vec![known, unknown] }
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}
