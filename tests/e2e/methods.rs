//! Every method and family over one kind of device: pages, big files both ways, many conns, TCP and UDP streams, echo, a server that goes
//! and comes back under load. After each step the director must account for every frame. One network serves several directors, one
//! after the other: one worker, two with a queue each, two on one queue, and those that are flooded (`floods`).

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use control::show::Workers;
use uvs::demo::Failure;
use uvs::demo::director::{Director, Forwarding};
use uvs::demo::network::{Attachment, CLIENT_WAN, Network};
use uvs::demo::plan::{FAMILIES, Family, Method, Protocol, Service, method_word};
use uvs::demo::requests::{self, AfterFailure, Answer, Request, Round};
use uvs::demo::servers::{self, Server};
use uvs::demo::wait::wait_until;

use crate::{failover, floods, outage, programs, reload, routing, served, uvs_program};

/// No service has it.
const UNUSED_PORT: u16 = 9;

/// A director and what it is put through.
struct Run {
    what: &'static str,
    forwarding: Forwarding,
    fault: Option<&'static str>,
    steps: &'static [(&'static str, Step)],
}

/// What packets look like and where they go, and what the director says itself.
const EVERY_PACKET: &[(&str, Step)] = &[
    ("echo", Bench::echo),
    ("nothing serves", Bench::nothing_serves),
    ("pages", Bench::pages),
    ("20 MB both ways", Bench::big_files),
    ("path MTU through tunnels", Bench::path_mtu),
    ("many conns", Bench::many_conns),
    ("streams", Bench::streams),
    ("fragments", Bench::fragments),
    ("a server's own traffic", |bench| routing::through_the_director(&bench.network)),
    ("server changes its MAC address", outage::changes_mac),
];

/// The same where workers share the work, and what changes meanwhile.
const EVERY_CHANGE: &[(&str, Step)] = &[
    ("pages", Bench::pages),
    ("20 MB both ways", Bench::big_files),
    ("many conns", Bench::many_conns),
    ("datagrams", Bench::datagrams),
    ("a thousand services change under load", Bench::reload),
    ("server goes and comes back", outage::goes_and_comes_back),
];

/// What shows that frames find their way between workers.
const HANDED_OVER: &[(&str, Step)] =
    &[("pages", Bench::pages), ("20 MB both ways", Bench::big_files), ("many conns", Bench::many_conns)];

/// What every method must do where the way to clients and servers is another.
const ANOTHER_WAY: &[(&str, Step)] = &[
    ("echo", Bench::echo),
    ("nothing serves", Bench::nothing_serves),
    ("pages", Bench::pages),
    ("20 MB both ways", Bench::big_files),
    ("path MTU through tunnels", Bench::path_mtu),
    ("fragments", Bench::fragments),
    ("a server's own traffic", |bench| routing::through_the_director(&bench.network)),
];

/// What shows that both ways through a bond carry, and that it goes over from wire to wire.
const BONDED: &[(&str, Step)] = &[
    ("echo", Bench::echo),
    ("pages", Bench::pages),
    ("20 MB both ways", Bench::big_files),
    ("wires that fail", failover::of_a_bond),
];

/// The whole test on one kind of device.
pub fn test(attachment: Attachment) -> Result<(), Failure> {
    let shared = Forwarding { queues: 1, ..Forwarding::by(2) };
    test_runs(
        attachment,
        [
            Run { what: "one worker", forwarding: Forwarding::by(1), fault: None, steps: EVERY_PACKET },
            Run {
                what: "two workers with a queue each",
                forwarding: Forwarding::by(2),
                fault: None,
                steps: EVERY_CHANGE,
            },
            // The second worker lives on what the first hands over, and sends through it.
            Run { what: "two workers on one queue", forwarding: shared, fault: None, steps: HANDED_OVER },
            Run {
                what: "floods",
                forwarding: floods::FORWARDING,
                fault: Some(floods::FAULT),
                steps: floods::steps(attachment),
            },
        ],
    )
}

/// Where the way to clients and servers is another: two VLANs of one device, with so many workers and one queue.
pub fn test_vlans(attachment: Attachment, workers: usize) -> Result<(), Failure> {
    let forwarding = Forwarding { queues: 1, ..Forwarding::by(workers) };
    test_runs(attachment, [Run { what: "VLANs", forwarding, fault: None, steps: ANOTHER_WAY }])
}

/// Where the clients' port is an active-backup bond of two wires.
pub fn test_bond() -> Result<(), Failure> {
    test_runs(Attachment::Bond, [Run { what: "a bond", forwarding: Forwarding::by(1), fault: None, steps: BONDED }])
}

fn test_runs(attachment: Attachment, runs: impl IntoIterator<Item = Run>) -> Result<(), Failure> {
    let mut web = served::web_services();
    let mut streams = served::stream_services();
    let all = [web.clone(), streams.clone()].concat();
    let mut network = Network::build(0, attachment, &all)?;
    let mut servers = servers::start_all(&network, &web, uvs_program())?;
    let _iperf = served::start_iperf(&network, &streams)?;
    let mut rounds = 0;
    let mut big = served::big_file(&network, &servers)?;
    for Run { what, forwarding, fault, steps } in runs {
        println!("e2e:   {what}");
        let director = Director::start(&network, &all, uvs_program(), fault, forwarding)?;
        let log = director.log().to_owned();
        let mut bench = Bench { servers, director, web, streams, big, rounds, network };
        let done = bench.steps(steps).and_then(|()| bench.every_worker_worked(forwarding));
        done.map_err(|failure| with_log(&Failure::new(format!("{what}: {failure}")), &log))?;
        bench.director.stop()?;
        Bench { servers, web, streams, big, rounds, network, .. } = bench;
    }
    Ok(())
}

pub type Step = fn(&mut Bench) -> Result<(), Failure>;

/// Everything that is up. Fields are dropped in this order: the network last.
pub struct Bench {
    pub servers: Vec<Server>,
    pub director: Director,
    pub web: Vec<Service>,
    streams: Vec<Service>,
    pub big: (PathBuf, String),
    /// Of requests, with every director: each has client ports of its own.
    rounds: usize,
    pub network: Network,
}

impl Bench {
    /// Each worker has conns, whether the device gave it frames itself or another worker handed them over; frames came by
    /// every queue.
    fn every_worker_worked(&mut self, forwarding: Forwarding) -> Result<(), Failure> {
        let Forwarding { workers, queues, .. } = forwarding;
        let counted = self.director.workers()?;
        let worked = counted.iter().filter(|worker| worker.received + worker.handed_in > 0 && worker.conns > 0).count();
        let received = counted.iter().filter(|worker| worker.received > 0).count();
        let ports = self.director.ports()?;
        let as_told = ports.iter().all(|port| usize::from(port.rx_queues) == queues);
        match worked == workers && counted.len() == workers && received == queues && as_told {
            true => Ok(()),
            false => Err(Failure::new(format!(
                "{worked} of {workers} workers have conns, {received} received frames by queues of their own; ports must \
                 have {queues} each: {counted:?} {ports:?}"
            ))),
        }
    }

    fn steps(&mut self, steps: &[(&str, Step)]) -> Result<(), Failure> {
        for (name, step) in steps {
            let start = Instant::now();
            step(self).and_then(|()| self.accounts()).map_err(|failure| Failure::new(format!("{name}: {failure}")))?;
            println!("e2e:     {name}: ok, {:.1} s", start.elapsed().as_secs_f64());
        }
        Ok(())
    }

    /// The director answers ARP, neighbour discovery and echo for its addresses and its VIPs, with its port's MAC address.
    fn echo(&mut self) -> Result<(), Failure> {
        let client = &self.network.client;
        let own = FAMILIES.map(Family::director_wan).into_iter();
        for address in own.chain(self.web.iter().map(|service| service.vip.ip())) {
            programs::ping(client, address)?;
            let port = self.director.ports()?.into_iter().find(|port| port.name == "wan").unwrap_or_default();
            let neighbour = ip(&self.network, &["neigh", "show", "to", &address.to_string(), "dev", CLIENT_WAN])?;
            if !neighbour.contains(&format!("lladdr {}", port.mac)) {
                return Err(Failure::new(format!(
                    "{address} is at \"{}\", the port's MAC is {}",
                    neighbour.trim(),
                    port.mac
                )));
            }
        }
        Ok(())
    }

    /// Where no service is, the director answers as a host does: RST, or port unreachable.
    fn nothing_serves(&mut self) -> Result<(), Failure> {
        for family in FAMILIES {
            for address in [family.director_wan(), family.vip(0)] {
                for protocol in [Protocol::Tcp, Protocol::Udp] {
                    programs::refused(&self.network.client, protocol, SocketAddr::new(address, UNUSED_PORT))?;
                }
            }
        }
        Ok(())
    }

    /// Every client asks every service for the page.
    pub fn pages(&mut self) -> Result<(), Failure> {
        let answers = self.round(AfterFailure::Stop)?;
        let wrong = answers.iter().filter_map(|(request, answer)| match answer {
            Answer::Wrong(why) => Some((request, why)),
            Answer::From(_) => None,
        });
        // The one that was first, and not those that were given up because of it.
        match wrong.min_by_key(|(_, why)| why.contains("another")) {
            Some((request, why)) => {
                Err(Failure::new(format!("{} to {}: {why}", request.client, name(&self.web[request.service]))))
            }
            None => Ok(()),
        }
    }

    pub fn round(&mut self, after_failure: AfterFailure) -> Result<Vec<(Request, Answer)>, Failure> {
        self.rounds += 1;
        let requests = requests::of_every_client(&self.web, self.rounds);
        let mut round = Round::start(&self.network, &self.web, requests, after_failure)?;
        wait_until("a round of requests ended", || Ok(round.ended()))?;
        Ok(round.answers())
    }

    fn big_files(&mut self) -> Result<(), Failure> {
        let (file, digest) = &self.big;
        let got = self.network.directory().join("downloaded");
        for service in &self.web {
            let at = |failure: Failure| Failure::new(format!("{}: {failure}", name(service)));
            programs::download(&self.network.client, service.vip, &got, digest).map_err(at)?;
            programs::upload(&self.network.client, service.vip, &self.servers, file, digest).map_err(at)?;
        }
        Ok(())
    }

    /// The uploads above went through tunnels that are smaller than the wire: the director must have told the client.
    fn path_mtu(&mut self) -> Result<(), Failure> {
        for service in self.web.iter().filter(|service| service.method == Method::Tun) {
            let largest = if service.family() == Family::V4 { 1480 } else { 1460 };
            let route = ip(&self.network, &["route", "get", &service.vip.ip().to_string()])?;
            if !route.contains(&format!("mtu {largest}")) {
                return Err(Failure::new(format!(
                    "{}: no path MTU of {largest} in \"{}\"",
                    name(service),
                    route.trim()
                )));
            }
        }
        Ok(())
    }

    fn many_conns(&mut self) -> Result<(), Failure> {
        for service in &self.web {
            let rate = programs::wrk(&self.network.client, service.vip)?;
            println!("e2e:     {}: {rate:.0} requests/s on 300 conns", name(service));
        }
        Ok(())
    }

    fn reload(&mut self) -> Result<(), Failure> {
        // Both ways through the director, and both kinds of translation; one family is enough.
        for service in self.web.iter().filter(|service| !service.keeps_vip() && service.vip.is_ipv4()) {
            let (rate, reloads) = reload::under_load(&self.network.client, &self.director, service.vip)?;
            println!("e2e:     {}: {rate:.0} requests/s through {reloads} reloads", name(service));
        }
        Ok(())
    }

    fn streams(&mut self) -> Result<(), Failure> {
        self.streams_of(&[Protocol::Tcp, Protocol::Udp])
    }

    /// What the other steps have none of.
    fn datagrams(&mut self) -> Result<(), Failure> {
        self.streams_of(&[Protocol::Udp])
    }

    fn streams_of(&self, protocols: &[Protocol]) -> Result<(), Failure> {
        for service in self.streams.iter().filter(|service| protocols.contains(&service.protocol)) {
            for reverse in [false, true] {
                let bytes = programs::DATAGRAM_BYTES;
                let rate = programs::iperf3(&self.network.client, service.vip, service.protocol, reverse, bytes)?;
                let way = if reverse { "down" } else { "up" };
                println!("e2e:     {} {:?} {way}: {rate:.0} Mbit/s", name(service), service.protocol);
            }
        }
        Ok(())
    }

    /// Echo and datagrams that real kernels cut, on both sides. Packet sockets are told by their driver to put fragments together
    /// (PACKET_FANOUT_FLAG_DEFRAG), and then have frames that are longer than its buffers: they cannot show this.
    fn fragments(&mut self) -> Result<(), Failure> {
        if matches!(self.network.attachment(), Attachment::AfPacket | Attachment::AfPacketTrunk) {
            return Ok(());
        }
        let client = &self.network.client;
        for family in FAMILIES {
            programs::ping_in_fragments(client, family.director_wan())?;
        }
        for service in self.streams.iter().filter(|service| service.protocol == Protocol::Udp) {
            programs::ping_in_fragments(client, service.vip.ip())?;
            // Replies that keep the VIP do not pass the director.
            let ways: &[bool] = if service.keeps_vip() { &[false] } else { &[false, true] };
            for &reverse in ways {
                let bytes = programs::LONG_DATAGRAM_BYTES;
                programs::iperf3(client, service.vip, service.protocol, reverse, bytes)
                    .map_err(|failure| Failure::new(format!("{}: {failure}", name(service))))?;
            }
        }
        Ok(())
    }

    /// By the command that an operator uses.
    fn accounts(&mut self) -> Result<(), Failure> {
        let run_dir = self.director.run_dir().display().to_string();
        let output = Command::new(uvs_program()).args(["show", "workers", "--json", "--run-dir", &run_dir]).output();
        let output = output.map_err(|error| Failure::new(format!("uvs show: {error}")))?;
        let workers: Workers = serde_json::from_slice(&output.stdout).map_err(|error| {
            Failure::new(format!("uvs show workers --json: {error}: {}", String::from_utf8_lossy(&output.stderr)))
        })?;
        if workers.workers.iter().all(|worker| worker.received == 0) {
            return Err(Failure::new("no worker has received a frame"));
        }
        match workers.workers.iter().find(|worker| !worker.identity_holds()) {
            None => Ok(()),
            Some(worker) => Err(Failure::new(format!("frames in and frames out differ: {worker:?}"))),
        }
    }
}

pub fn name(service: &Service) -> String {
    format!("{} {}", method_word(service.method), service.family().name())
}

/// `ip` in the client's namespace.
fn ip(network: &Network, args: &[&str]) -> Result<String, Failure> {
    network.client.run("ip", args)
}

fn with_log(failure: &Failure, log: &std::path::Path) -> Failure {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    Failure::new(format!(
        "{failure}\n--- end of the director's log ---\n{}",
        lines[lines.len().saturating_sub(30)..].join("\n")
    ))
}
