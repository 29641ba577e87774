//! Replays recordings of the kernel, event by event, through the picker: every decision, every counter and every order
//! of servers must be the kernel's. Around the picker stands the least that a director has to do: it counts conns,
//! keeps templates, and remembers removed servers. `GOLDEN_DIR` names another folder of recordings.

mod trace;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use sched::{Change, Flags, Flow, Kind, Load, Moment, Picker, Settings, Thresholds};
use trace::{Case, Connect, Counts, Event, Protocol, Service};

#[test]
fn every_recorded_decision_and_counter_is_the_kernels() {
    let default = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden"));
    let cases = trace::read_folder(&std::env::var_os("GOLDEN_DIR").map_or_else(default, PathBuf::from));
    let mut outcome = Outcome::default();
    for case in &cases {
        replay(case, &mut outcome);
    }
    println!("sched: {} decisions, {} wrong", outcome.decisions, outcome.wrong_decisions);
    println!("sched: {} counters and orders, {} wrong", outcome.views, outcome.wrong_views);
    let first = outcome.complaints.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
    assert!(outcome.complaints.is_empty(), "{first}");
    assert!(outcome.decisions > 0 && outcome.views > 0, "the recordings decide nothing");
}

#[derive(Default)]
struct Outcome {
    decisions: usize,
    wrong_decisions: usize,
    views: usize,
    wrong_views: usize,
    complaints: Vec<String>,
}

impl Outcome {
    fn decision(&mut self, place: &str, got: Option<SocketAddr>, connect: &Connect) {
        self.decisions += 1;
        if got != connect.expect {
            self.wrong_decisions += 1;
            self.complaints.push(format!("{place}: id {}: picked {got:?}, kernel {:?}", connect.id, connect.expect));
        }
    }

    fn view<T: PartialEq + std::fmt::Debug>(&mut self, place: &str, got: T, kernel: &Option<T>) {
        let Some(kernel) = kernel else { return };
        self.views += 1;
        if got != *kernel {
            self.wrong_views += 1;
            self.complaints.push(format!("{place}: have {got:?}, kernel {kernel:?}"));
        }
    }
}

fn replay(case: &Case, outcome: &mut Outcome) {
    let mut steps = case.steps.iter();
    let first = steps.next().expect("a case has steps");
    let Event::AddService(service) = &first.event else { panic!("{}: must add the service", case.place(first)) };
    let mut director = Director::new(case, service);
    for step in steps {
        let place = case.place(step);
        match &step.event {
            Event::AddService(_) => panic!("{place}: a second service"),
            Event::EditService { sched, flags } => director.edit_service(sched, flags),
            Event::AddServer(server) => director.add_server(server),
            Event::SetServer(server) => director.set_server(server),
            Event::DelServer { server } => director.remove_server(*server),
            Event::Connect(connect) => {
                outcome.view(&place, director.counts(), &step.counts);
                let got = director.connect(connect, step.at_ms);
                outcome.decision(&place, got, connect);
                continue;
            }
            Event::Packet { id, state, .. } => director.conn_state(*id, state),
            Event::Expire { ids, .. } => ids.iter().for_each(|id| director.conn_ends(*id)),
            Event::Sleep { .. } | Event::End => {}
        }
        outcome.view(&place, director.counts(), &step.counts);
        outcome.view(&place, director.order(), &step.order);
    }
}

/// The rest of a director, around the picker.
struct Director<'a> {
    service: &'a Service,
    kind: Kind,
    settings: Settings,
    expire_quiescent_template: bool,
    picker: Picker,
    /// By id; a removed server stays, and is the same server if it is added again.
    servers: Vec<Server>,
    /// Ids, in the kernel's order.
    listed: Vec<u32>,
    conns: HashMap<u32, Conn>,
    templates: HashMap<TemplateKey, u32>,
}

struct Server {
    address: SocketAddr,
    weight: u32,
    last_weight: u32,
    thresholds: Thresholds,
    load: Load,
}

struct Conn {
    server: u32,
    active: bool,
}

#[derive(PartialEq, Eq, Hash)]
enum TemplateKey {
    Mark(IpAddr, u32),
    Address(Protocol, IpAddr, SocketAddr),
}

impl<'a> Director<'a> {
    fn new(case: &Case, service: &'a Service) -> Self {
        let default = Settings::default();
        let expiration = |name, default| case.sysctl(name).map_or(default, |seconds| seconds * 1000);
        let settings = Settings {
            flags: flags(&service.flags),
            clients_v6: case.setup.family == 6,
            lblc_expiration_ms: expiration("lblc_expiration", default.lblc_expiration_ms),
            lblcr_expiration_ms: expiration("lblcr_expiration", default.lblcr_expiration_ms),
            ..default
        };
        let kind = service.sched.parse().expect("a scheduler");
        Director {
            service,
            kind,
            settings,
            expire_quiescent_template: case.sysctl("expire_quiescent_template").unwrap_or(0) != 0,
            picker: Picker::prepare(kind, &settings, Vec::new(), Vec::new()),
            servers: Vec::new(),
            listed: Vec::new(),
            conns: HashMap::new(),
            templates: HashMap::new(),
        }
    }

    fn edit_service(&mut self, sched: &str, names: &[String]) {
        self.kind = sched.parse().expect("a scheduler");
        self.settings.flags = flags(names);
        self.publish(Change::Service);
    }

    fn add_server(&mut self, added: &trace::Server) {
        let id = self.id_of(added.server).unwrap_or_else(|| {
            self.servers.push(Server::new(added.server));
            self.servers.len() as u32 - 1
        });
        self.listed.insert(0, id);
        self.servers[id as usize].last_weight = added.weight;
        self.edit(id, added);
    }

    fn set_server(&mut self, set: &trace::Server) {
        let id = self.id_of(set.server).expect("a known server");
        self.edit(id, set);
    }

    fn edit(&mut self, id: u32, to: &trace::Server) {
        let server = &mut self.servers[id as usize];
        server.weight = to.weight;
        if to.weight > 0 {
            server.last_weight = to.weight;
        }
        let thresholds = Thresholds { upper: to.upper_threshold, lower: to.lower_threshold };
        if server.thresholds != thresholds {
            server.thresholds = thresholds;
            server.load.overloaded = thresholds.after_edit(server.load.total, server.load.overloaded);
        }
        self.publish(Change::Servers);
        self.tell_load(id);
    }

    fn remove_server(&mut self, address: SocketAddr) {
        let id = self.id_of(address).expect("a known server");
        self.listed.retain(|&listed| listed != id);
        self.publish(Change::Servers);
    }

    fn connect(&mut self, connect: &Connect, now_ms: u64) -> Option<SocketAddr> {
        let id = if self.service.persistent_s > 0 {
            let key = self.template_key(connect);
            match self.templates.get(&key).copied().filter(|&id| self.is_template_valid(id)) {
                Some(id) => id,
                None => {
                    // An invalid template is dropped even when nothing can be scheduled.
                    self.templates.remove(&key);
                    let id = self.pick(connect, now_ms)?;
                    self.templates.insert(key, id);
                    id
                }
            }
        } else {
            self.pick(connect, now_ms)?
        };
        self.bind(id, connect);
        let (mut taken_by, sent_to) = (self.servers[id as usize].address, connect.vip.port());
        // A server of any port gets the port that the client sent to; if the service is persistent and of all ports, any server.
        if taken_by.port() == 0 || self.service.persistent_s > 0 && sent_to != self.service.port {
            taken_by.set_port(sent_to);
        }
        Some(taken_by)
    }

    fn pick(&mut self, connect: &Connect, now_ms: u64) -> Option<u32> {
        let (client, vip) = (connect.client, connect.vip);
        let flow = Flow { client: client.ip(), client_port: client.port(), vip: vip.ip(), vip_port: vip.port() };
        let index = self.picker.pick(&flow, &Moment { now_ms, random: 0 })?;
        Some(self.picker.servers().server(index).id)
    }

    fn template_key(&self, connect: &Connect) -> TemplateKey {
        let client = connect.client.ip();
        let network = network(client, self.service.netmask_bits(client));
        match self.service.fwmark {
            0 => TemplateKey::Address(connect.proto, network, SocketAddr::new(connect.vip.ip(), self.service.port)),
            mark => TemplateKey::Mark(network, mark),
        }
    }

    fn is_template_valid(&self, id: u32) -> bool {
        let quiesced = self.servers[id as usize].weight == 0;
        self.listed.contains(&id) && !(quiesced && self.expire_quiescent_template)
    }

    fn bind(&mut self, id: u32, connect: &Connect) {
        let server = &mut self.servers[id as usize];
        server.load.total += 1;
        server.load.overloaded = server.thresholds.after_bind(server.load.total, server.load.overloaded);
        let active = connect.proto == Protocol::Tcp;
        self.conns.insert(connect.id, Conn { server: id, active });
        server.load.active += u32::from(active);
        if self.service.one_packet && connect.proto == Protocol::Udp {
            self.conn_ends(connect.id);
        }
        self.tell_load(id);
    }

    fn conn_state(&mut self, id: u32, state: &str) {
        let active = matches!(state, "ESTABLISHED" | "SYN_SENT" | "SYN_RECV" | "SYNACK");
        let conn = self.conns.get_mut(&id).expect("a known conn");
        let load = &mut self.servers[conn.server as usize].load;
        load.active = load.active + u32::from(active) - u32::from(conn.active);
        conn.active = active;
        let server = conn.server;
        self.tell_load(server);
    }

    fn conn_ends(&mut self, id: u32) {
        let conn = self.conns.remove(&id).expect("a known conn");
        let server = &mut self.servers[conn.server as usize];
        server.load.active -= u32::from(conn.active);
        server.load.overloaded = server.thresholds.after_unbind(server.load.total, server.load.overloaded);
        server.load.total -= 1;
        self.tell_load(conn.server);
    }

    fn publish(&mut self, change: Change) {
        let departed = (0..self.servers.len() as u32).filter(|id| !self.listed.contains(id));
        let listed = self.listed.iter().map(|&id| self.publish_server(id)).collect();
        let prepared =
            Picker::prepare(self.kind, &self.settings, listed, departed.map(|id| self.publish_server(id)).collect());
        drop(self.picker.replace(prepared, change));
    }

    fn publish_server(&self, id: u32) -> (sched::Server, Load) {
        let Server { address, weight, last_weight, .. } = self.servers[id as usize];
        // The load is left out where the picker in use knows it: the replacement must take it from there.
        let known = self.picker.servers().place_of(id).is_some();
        let load = if known { Load::default() } else { self.servers[id as usize].load };
        (sched::Server { id, address: address.ip(), port: address.port(), weight, last_weight }, load)
    }

    fn tell_load(&mut self, id: u32) {
        let index = self.picker.servers().place_of(id).expect("a published server");
        self.picker.set_load(index, self.servers[id as usize].load);
    }

    fn id_of(&self, address: SocketAddr) -> Option<u32> {
        self.servers.iter().position(|server| server.address == address).map(|id| id as u32)
    }

    fn counts(&self) -> Vec<Counts> {
        let listed = self.listed.iter().map(|&id| &self.servers[id as usize]);
        listed
            .map(|server| Counts {
                weight: server.weight,
                active: server.load.active,
                inactive: server.load.total - server.load.active,
            })
            .collect()
    }

    fn order(&self) -> Vec<SocketAddr> {
        self.listed.iter().map(|&id| self.servers[id as usize].address).collect()
    }
}

impl Server {
    fn new(address: SocketAddr) -> Self {
        let (thresholds, load) = (Thresholds::default(), Load::default());
        Server { address, weight: 0, last_weight: 0, thresholds, load }
    }
}

fn flags(names: &[String]) -> Flags {
    let mut flags = Flags::default();
    for name in names {
        match name.as_str() {
            "sh-port" | "mh-port" => flags.port = true,
            "sh-fallback" | "mh-fallback" => flags.fallback = true,
            _ => panic!("flag {name}: must be one of sh-port sh-fallback mh-port mh-fallback"),
        }
    }
    flags
}

fn network(address: IpAddr, bits: u32) -> IpAddr {
    match address {
        IpAddr::V4(address) => IpAddr::V4((address.to_bits() & u32::MAX.checked_shl(32 - bits).unwrap_or(0)).into()),
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & u128::MAX.checked_shl(128 - bits).unwrap_or(0)).into()),
    }
}
