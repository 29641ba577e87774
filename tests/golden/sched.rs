//! Scheduler recordings: each connect is a frame, and the server is whoever the frame that leaves is for. Edits go through
//! control as an operator's would, so trash, thresholds, templates and counters are the director's own.
//!
//! Frames come to any of the workers. With one worker, connects of one moment come in one burst. Several would decide on a
//! burst in an order of their own, which is no recording's: there each connect waits for the one before it.

use crate::ipvsadm::netmask_of;
use crate::kit::{Lab, Left, host_mac, port_mac};
use crate::outcome::Outcome;
use crate::trace::{Case, Connect, Counts, Event, Protocol, Server, Service, Step};
use conntrack::Method;
use sched::{Flags, Settings, TableSize, Thresholds};
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use uvs::services::book::{ServerSpec, ServiceSpec};
use uvs::services::{Persistence, ServiceKey};
use uvs::wire::build::Frame;
use uvs::wire::{Ipv4, Ipv6, tcp};

/// The recorder's ports.
const CLIENT_SIDE: usize = 0;
const SERVER_SIDE: usize = 1;

/// An ICMP error's header; what it quotes follows.
const ICMP_BYTES: usize = 8;

/// Replays all cases.
pub fn replay(cases: &[Case], workers: usize) -> Outcome {
    let mut outcome = Outcome::default();
    for case in cases {
        let mut replay = Replay::new(case, workers);
        for steps in case.steps.chunk_by(|one, next| workers == 1 && is_same_burst(one, next)) {
            replay.steps(steps, &mut outcome);
        }
    }
    outcome
}

/// Are these two connects, of one moment, with nothing to be looked at between them?
fn is_same_burst(one: &Step, next: &Step) -> bool {
    let connect = |step: &Step| matches!(step.event, Event::Connect(_));
    connect(one) && connect(next) && one.at_ms == next.at_ms && next.counts.is_none() && next.order.is_none()
}

/// One case under way.
struct Replay<'a> {
    case: &'a Case,
    lab: Lab,
    key: Option<ServiceKey>,
    spec: Option<ServiceSpec>,
    conns: HashMap<u32, Flow>,
    started_ms: u64,
    random: fastrand::Rng,
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
    fn new(case: &'a Case, workers: usize) -> Self {
        let lab = Lab::new(&config(case, workers));
        let (started_ms, random) = (lab.now_ms, fastrand::Rng::with_seed(1));
        Replay { case, lab, key: None, spec: None, conns: HashMap::new(), started_ms, random }
    }

    /// One step, or the connects of one burst.
    fn steps(&mut self, steps: &[Step], outcome: &mut Outcome) {
        let first = &steps[0];
        let now_ms = self.started_ms + first.at_ms;
        if self.lab.now_ms != now_ms {
            self.lab.now_ms = now_ms;
            self.lab.settle();
        }
        let workers = self.lab.workers.len();
        let mut fault = |step: &Step, fault| {
            outcome.faults.push(format!("{}: {workers} workers: {fault}", self.case.place(step)));
        };
        if !matches!(first.event, Event::Connect(_)) {
            self.edit_or_packet(first);
            self.list_faults(first).into_iter().for_each(|what| fault(first, what));
            return;
        }
        // A connect shows the counters before its decision, everything else those after it.
        self.list_faults(first).into_iter().for_each(|what| fault(first, what));
        outcome.compared += steps.len();
        for (step, differs) in steps.iter().zip(self.connects(steps)) {
            differs.into_iter().for_each(|what| fault(step, what));
        }
    }

    fn edit_or_packet(&mut self, step: &Step) {
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
            // The recorder read a conn's state now and then before the kernel had seen the packet; the counters tell.
            Event::Packet { id, what, state: _ } => self.packet(*id, what),
            Event::Expire { ids, natural: _ } => ids.iter().for_each(|id| self.expire(*id)),
            Event::Connect(_) | Event::Sleep { .. } | Event::End => {}
        }
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

    /// First packets, all at once. The decision is where each goes; gives what differs, for each.
    fn connects(&mut self, steps: &[Step]) -> Vec<Option<String>> {
        let connects =
            || steps.iter().filter_map(|step| if let Event::Connect(it) = &step.event { Some(it) } else { None });
        for Connect { proto, client, vip, .. } in connects() {
            self.put(CLIENT_SIDE, &frame(CLIENT_SIDE, *client, *vip, *proto, tcp::SYN));
        }
        // One client may have sent several: what became of them leaves in their order.
        let mut fates: HashMap<SocketAddr, VecDeque<Fate>> = HashMap::new();
        for left in self.lab.settle() {
            let (client, fate) = fate_of(&left);
            fates.entry(client).or_default().push_back(fate);
        }
        let differs = |Connect { id, proto, client, vip, expect, reject }: &Connect| {
            let fate = fates.get_mut(client).and_then(VecDeque::pop_front);
            let (server, answer) = match fate {
                Some(Ok(server)) => (Some(server), None),
                Some(Err(answer)) => (None, Some(answer)),
                None => (None, None),
            };
            self.conns.insert(*id, Flow { protocol: *proto, client: *client, vip: *vip, server });
            let same = server == *expect && (expect.is_some() || answer == *reject);
            (!same).then(|| format!("{client} > {vip}: {server:?} {answer:?}, the kernel {expect:?} {reject:?}"))
        };
        connects().map(differs).collect()
    }

    /// A frame comes to one of the workers.
    fn put(&mut self, side: usize, frame: &[u8]) {
        let worker = self.random.usize(..self.lab.workers.len());
        self.lab.put_to(worker, side, frame);
    }

    /// A later packet of a TCP conn.
    fn packet(&mut self, id: u32, what: &str) {
        let flow = self.conns[&id];
        let (side, from, to) = match (what.strip_prefix("s_"), flow.server) {
            (Some(_), Some(server)) => (SERVER_SIDE, server, flow.client),
            // Said already: the kernel gave the conn a server.
            (Some(_), None) => return,
            (None, _) => (CLIENT_SIDE, flow.client, flow.vip),
        };
        let flags = match what.trim_start_matches("s_") {
            "ack" => tcp::ACK,
            "rst" => tcp::RST,
            "fin" => tcp::FIN | tcp::ACK,
            "data" => tcp::PSH | tcp::ACK,
            "synack" => tcp::SYN | tcp::ACK,
            other => panic!("unknown packet {other:?}"),
        };
        self.put(side, &frame(side, from, to, flow.protocol, flags));
        self.lab.settle();
    }

    fn expire(&mut self, id: u32) {
        let flow = self.conns.remove(&id).unwrap();
        let now = self.lab.now();
        // Nobody's, if the state's own time-out has passed.
        for worker in &mut self.lab.workers {
            let shard = worker.shard_mut();
            if let Some(hit) = shard.table.find(&key(flow), now.tick) {
                shard.end_now(hit.id);
            }
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
fn config(case: &Case, workers: usize) -> String {
    let workers: Vec<_> = (0..workers).collect();
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
        workers = {workers:?}
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

/// What became of a client's packet: the server that it went to, or an ICMP message, as the recordings name it: "icmp 3/3".
type Fate = Result<SocketAddr, String>;

/// Whose packet left, or is answered, and what became of it.
fn fate_of(left: &Left) -> (SocketAddr, Fate) {
    let packet = &left.frame[14..];
    if left.port == SERVER_SIDE {
        let (client, server) = ends(packet);
        return (client, Ok(server));
    }
    let message = &packet[header_bytes(packet)..];
    let (client, _) = ends(&message[ICMP_BYTES..]);
    (client, Err(format!("icmp {}/{}", message[0], message[1])))
}

/// Source and destination of a TCP or UDP packet.
fn ends(packet: &[u8]) -> (SocketAddr, SocketAddr) {
    let (source, destination): (IpAddr, IpAddr) = match packet[0] >> 4 {
        4 => Ipv4::of(packet).map(|v4| (v4.source().into(), v4.destination().into())).unwrap(),
        _ => Ipv6::of(packet).map(|v6| (v6.source().into(), v6.destination().into())).unwrap(),
    };
    let ports = &packet[header_bytes(packet)..];
    let port = |at: usize| u16::from_be_bytes([ports[at], ports[at + 1]]);
    ((source, port(0)).into(), (destination, port(2)).into())
}

/// No packet of a recording has options.
fn header_bytes(packet: &[u8]) -> usize {
    if packet[0] >> 4 == 4 { Ipv4::BYTES } else { Ipv6::BYTES }
}
