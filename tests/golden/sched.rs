//! Scheduler recordings: each connect is a frame, and the server is whoever the frame that leaves is for. Edits go through
//! control as an operator's would, so trash, thresholds, templates and counters are the director's own.

use crate::ipvsadm::netmask_of;
use crate::kit::{Lab, Left, host_mac, port_mac};
use crate::outcome::Outcome;
use crate::trace::{Case, Connect, Counts, Event, Protocol, Server, Service, Step};
use conntrack::Method;
use sched::{Flags, Settings, TableSize, Thresholds};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use uvs::services::book::{ServerSpec, ServiceSpec};
use uvs::services::{Persistence, ServiceKey};
use uvs::wire::build::Frame;
use uvs::wire::{Ipv4, Ipv6, tcp};

/// The recorder's ports.
const CLIENT_SIDE: usize = 0;
const SERVER_SIDE: usize = 1;

/// Replays all cases.
pub fn replay(cases: &[Case]) -> Outcome {
    let mut outcome = Outcome::default();
    for case in cases {
        let mut replay = Replay::new(case);
        for step in &case.steps {
            replay.step(step, &mut outcome);
        }
    }
    outcome
}

/// One case under way.
struct Replay<'a> {
    case: &'a Case,
    lab: Lab,
    key: Option<ServiceKey>,
    spec: Option<ServiceSpec>,
    conns: HashMap<u32, Flow>,
    started_ms: u64,
}

/// A conn of the recording.
#[derive(Clone, Copy)]
struct Flow {
    protocol: Protocol,
    client: SocketAddr,
    vip: SocketAddr,
    server: Option<SocketAddr>,
}

impl<'a> Replay<'a> {
    fn new(case: &'a Case) -> Self {
        let lab = Lab::new(&config(case));
        let started_ms = lab.now_ms;
        Replay { case, lab, key: None, spec: None, conns: HashMap::new(), started_ms }
    }

    fn step(&mut self, step: &Step, outcome: &mut Outcome) {
        self.lab.now_ms = self.started_ms + step.at_ms;
        self.lab.settle();
        let mut faults = Vec::new();
        // A connect shows the counters before its decision, everything else those after it.
        let connects = matches!(step.event, Event::Connect(_));
        if connects {
            faults.extend(self.list_faults(step));
        }
        match &step.event {
            Event::AddService(service) => self.add_service(service),
            Event::EditService { sched, flags } => self.edit_service(sched, flags),
            Event::AddServer(server) => {
                let (key, spec) = (self.key.unwrap(), server_spec(server));
                self.lab.control.add_server(key, server.server, spec).unwrap();
                self.lab.settle();
            }
            Event::SetServer(server) => {
                self.lab.control.edit_server(self.key.unwrap(), server.server, server_spec(server)).unwrap();
            }
            Event::DelServer { server } => self.lab.control.delete_server(self.key.unwrap(), *server).unwrap(),
            Event::Connect(connect) => {
                outcome.compared += 1;
                faults.extend(self.connect(connect));
            }
            // The recorder read a conn's state now and then before the kernel had seen the packet; the counters tell.
            Event::Packet { id, what, state: _ } => self.packet(*id, what),
            Event::Expire { ids, natural: _ } => ids.iter().for_each(|id| self.expire(*id)),
            Event::Sleep { .. } | Event::End => {}
        }
        if !connects {
            faults.extend(self.list_faults(step));
        }
        outcome.faults.extend(faults.into_iter().map(|fault| format!("{}: {fault}", self.case.place(step))));
    }

    fn add_service(&mut self, service: &Service) {
        let v6 = self.case.setup.family == 6;
        let key = match service.fwmark {
            0 => ServiceKey::Endpoint {
                protocol: number(service.proto.unwrap()),
                vip: service.vip.unwrap(),
                port: service.port,
            },
            mark => ServiceKey::Mark { mark, v6 },
        };
        let any_client: IpAddr = if v6 { "::".parse().unwrap() } else { "0.0.0.0".parse().unwrap() };
        let persistence = (service.persistent_s > 0).then(|| Persistence {
            timeout_s: service.persistent_s,
            netmask: netmask_of(key, service.netmask_bits(any_client) as u8),
        });
        let spec = ServiceSpec {
            steer: Default::default(),
            scheduler: service.sched.parse().unwrap(),
            settings: self.settings(&service.flags),
            persistence,
            one_packet: service.one_packet,
        };
        if let ServiceKey::Mark { mark, .. } = key {
            // All recordings mark what goes to the VIPs' networks (golden/README).
            let network = if v6 { "fd99::/64" } else { "10.99.0.0/16" };
            self.lab.control.set_marks(vec![uvs::services::MarkRule {
                source: None,
                destination: Some(network.parse().unwrap()),
                protocol: None,
                source_ports: 0..=u16::MAX,
                destination_ports: 0..=u16::MAX,
                mark,
            }]);
        }
        self.lab.control.add_service(key, spec.clone()).unwrap();
        self.lab.settle();
        (self.key, self.spec) = (Some(key), Some(spec));
    }

    fn edit_service(&mut self, scheduler: &str, flags: &[String]) {
        let settings = self.settings(flags);
        let spec = self.spec.as_mut().unwrap();
        (spec.scheduler, spec.settings) = (scheduler.parse().unwrap(), settings);
        self.lab.control.edit_service(self.key.unwrap(), spec.clone()).unwrap();
    }

    fn settings(&self, flags: &[String]) -> Settings {
        let has = |end: &str| flags.iter().any(|flag| flag.ends_with(end));
        let default = Settings::default();
        let ms = |name: &str, default: u64| self.case.sysctl(name).map_or(default, |seconds| seconds * 1000);
        Settings {
            flags: Flags { port: has("-port"), fallback: has("-fallback") },
            mh_table: TableSize::default(),
            lblc_expiration_ms: ms("lblc_expiration", default.lblc_expiration_ms),
            lblcr_expiration_ms: ms("lblcr_expiration", default.lblcr_expiration_ms),
            ..Settings::default()
        }
    }

    /// A first packet. The decision is where it goes.
    fn connect(&mut self, connect: &Connect) -> Option<String> {
        let Connect { id, proto, client, vip, expect, reject } = connect;
        let frame = frame(CLIENT_SIDE, *client, *vip, *proto, tcp::SYN);
        let left = self.lab.send(CLIENT_SIDE, &frame);
        let server = left.iter().find(|left| left.port == SERVER_SIDE).map(destination);
        self.conns.insert(*id, Flow { protocol: *proto, client: *client, vip: *vip, server });
        let answer = left.iter().find(|left| left.port == CLIENT_SIDE).and_then(icmp_kind);
        let same = server == *expect && (expect.is_some() || answer == *reject);
        (!same).then(|| format!("{client} > {vip}: {server:?} {answer:?}, the kernel {expect:?} {reject:?}"))
    }

    /// A later packet of a TCP conn.
    fn packet(&mut self, id: u32, what: &str) {
        let flow = self.conns[&id];
        let (side, from, to) = match what.strip_prefix("s_") {
            Some(_) => (SERVER_SIDE, flow.server.unwrap(), flow.client),
            None => (CLIENT_SIDE, flow.client, flow.vip),
        };
        let flags = match what.trim_start_matches("s_") {
            "ack" => tcp::ACK,
            "rst" => tcp::RST,
            "fin" => tcp::FIN | tcp::ACK,
            "data" => tcp::PSH | tcp::ACK,
            "synack" => tcp::SYN | tcp::ACK,
            other => panic!("unknown packet {other:?}"),
        };
        self.lab.send(side, &frame(side, from, to, flow.protocol, flags));
    }

    fn expire(&mut self, id: u32) {
        let flow = self.conns.remove(&id).unwrap();
        let now = self.lab.now();
        let shard = self.lab.workers[0].shard_mut();
        // Gone already, if the state's own time-out has passed.
        if let Some(hit) = shard.table.find(&key(flow), now.tick) {
            shard.end_now(hit.id);
        }
        self.lab.settle();
    }

    /// Where the director's list of servers differs from the kernel's.
    fn list_faults(&self, step: &Step) -> Vec<String> {
        let servers = self.lab.control.book().list().next().map_or(&[][..], |(_, servers)| servers);
        let live = &self.lab.control.shared().live;
        let order: Vec<_> = servers.iter().map(|listed| listed.address()).collect();
        let counts: Vec<_> = servers
            .iter()
            .map(|listed| {
                let load = live.load(listed.server.id);
                Counts { weight: listed.server.weight, active: load.active, inactive: load.total - load.active }
            })
            .collect();
        let mut faults = Vec::new();
        if step.order.as_ref().is_some_and(|kernel| *kernel != order) {
            faults.push(format!("order {order:?}, the kernel {:?}", step.order));
        }
        if step.counts.as_ref().is_some_and(|kernel| *kernel != counts) {
            faults.push(format!("counters {counts:?}, the kernel {:?}", step.counts));
        }
        faults
    }
}

/// The recorder's network, and the settings that the case changed.
fn config(case: &Case) -> String {
    let sysctls: String = case
        .setup
        .sysctls
        .iter()
        .map(|(path, value)| {
            let name = path.rsplit('/').next().unwrap();
            format!("{name} = {}\n", value.to_string().trim_matches('"'))
        })
        .collect();
    format!(
        r#"
        [director]
        conns_max = 20000
        templates_max = 10000
        [[port]]
        name = "c1"
        device = "net_null0"
        addresses = ["192.168.0.1/24", "fdc0::1/64"]
        gateway = "192.168.0.254"
        gateway6 = "fdc0::fe"
        [[port]]
        name = "s1"
        device = "net_null1"
        addresses = ["172.16.0.1/16", "fd16::1/64"]
        [ipvs]
        {sysctls}
        "#
    )
}

fn server_spec(server: &Server) -> ServerSpec {
    ServerSpec {
        method: Method::Nat,
        tunnel: Default::default(),
        weight: server.weight,
        thresholds: Thresholds { upper: server.upper_threshold, lower: server.lower_threshold },
        next_hop: None,
    }
}

fn frame(side: usize, from: SocketAddr, to: SocketAddr, protocol: Protocol, flags: u8) -> Vec<u8> {
    let frame = Frame::new(from.ip(), to.ip()).macs(host_mac(from.ip()), port_mac(side));
    match protocol {
        Protocol::Tcp => frame.tcp((from.port(), to.port()), (1, 1), flags, b""),
        Protocol::Udp => frame.udp(from.port(), to.port(), b"datagram"),
    }
}

fn key(flow: Flow) -> conntrack::Key {
    let (client, vip) = (flow.client, flow.vip);
    conntrack::Key::of((client.ip(), client.port()), (vip.ip(), vip.port()), number(flow.protocol)).unwrap()
}

fn number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => uvs::wire::protocol::TCP,
        Protocol::Udp => uvs::wire::protocol::UDP,
    }
}

/// Where a TCP or UDP frame goes.
fn destination(left: &Left) -> SocketAddr {
    let l3 = &left.frame[14..];
    let (address, l4) = match l3[0] >> 4 {
        4 => (IpAddr::from(Ipv4::of(l3).unwrap().destination()), Ipv4::BYTES),
        _ => (IpAddr::from(Ipv6::of(l3).unwrap().destination()), Ipv6::BYTES),
    };
    SocketAddr::new(address, u16::from_be_bytes([l3[l4 + 2], l3[l4 + 3]]))
}

/// An ICMP message as the recordings name it: "icmp 3/3".
fn icmp_kind(left: &Left) -> Option<String> {
    let l3 = &left.frame[14..];
    let (protocol, l4) = if l3[0] >> 4 == 4 { (l3[9], Ipv4::BYTES) } else { (l3[6], Ipv6::BYTES) };
    let icmp = [uvs::wire::protocol::ICMP, uvs::wire::protocol::ICMPV6].contains(&protocol);
    icmp.then(|| format!("icmp {}/{}", l3[l4], l3[l4 + 1]))
}
