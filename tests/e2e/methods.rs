//! Every method and family over one kind of device: pages, big files both ways, many conns, TCP and UDP streams, echo, a server that goes
//! and comes back under load. After each step the director must account for every frame.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use control::show::Workers;
use uvs::demo::Failure;
use uvs::demo::director::Director;
use uvs::demo::network::{Attachment, CLIENT_WAN, Network};
use uvs::demo::plan::{FAMILIES, Family, Method, Protocol, RealServer, SERVER_PORT, SERVERS, Service, method_word};
use uvs::demo::process::Process;
use uvs::demo::requests::{self, AfterFailure, Answer, Request, Round};
use uvs::demo::servers::{self, PAGE, Server};
use uvs::demo::wait::wait_until;

use crate::{programs, reload, uvs_program};

/// The big file.
const BIG_BYTES: usize = 20_000_000;
/// Port of the iperf3 services.
const IPERF_PORT: u16 = 5201;
/// No service has it.
const UNUSED_PORT: u16 = 9;
/// A locally administered address that nobody else has here.
const OTHER_MAC: &str = "02:00:00:00:0e:2e";
/// A round of small requests takes a second.
const ROUND_WITHIN: Duration = Duration::from_secs(60);
/// iperf3 listens within milliseconds; wrk ends when it said.
const PROGRAM_WITHIN: Duration = Duration::from_secs(20);
/// The server that goes and comes back.
const GOES: usize = 1;

const METHODS: [Method; 4] = [Method::Nat, Method::Dr, Method::Tun, Method::FullNat];

/// The whole test on one kind of device, with so many workers.
pub fn test(attachment: Attachment, workers: usize) -> Result<(), Failure> {
    let web = web_services();
    let streams = stream_services();
    let all = [web.clone(), streams.clone()].concat();
    let network = Network::build(0, attachment, &all)?;
    let servers = servers::start_all(&network, &web, uvs_program())?;
    let _iperf = start_iperf(&network, &streams)?;
    let director = Director::start(&network, &all, uvs_program(), None, workers)?;
    let big = big_file(&network, &servers)?;
    let log = director.log().to_owned();
    let mut bench = Bench { network, servers, director, web, streams, big, rounds: 0 };
    bench.steps().and_then(|()| bench.every_worker_worked(workers)).map_err(|failure| with_log(&failure, &log))?;
    bench.director.stop()
}

type Step = fn(&mut Bench) -> Result<(), Failure>;

/// Everything that is up. Fields are dropped in this order: the network last.
struct Bench {
    servers: Vec<Server>,
    director: Director,
    web: Vec<Service>,
    streams: Vec<Service>,
    big: (PathBuf, String),
    rounds: usize,
    network: Network,
}

impl Bench {
    /// Each worker has conns, whether the device gave it frames itself or another worker handed them over.
    fn every_worker_worked(&mut self, workers: usize) -> Result<(), Failure> {
        let counted = self.director.workers()?;
        let worked = counted.iter().filter(|worker| worker.received + worker.handed_in > 0 && worker.conns > 0).count();
        match worked == workers && counted.len() == workers {
            true => Ok(()),
            false => Err(Failure::new(format!("{worked} of {workers} workers have conns: {counted:?}"))),
        }
    }

    fn steps(&mut self) -> Result<(), Failure> {
        let steps: [(&str, Step); 10] = [
            ("echo", Bench::echo),
            ("nothing serves", Bench::nothing_serves),
            ("pages", Bench::pages),
            ("20 MB both ways", Bench::big_files),
            ("path MTU through tunnels", Bench::path_mtu),
            ("many conns", Bench::many_conns),
            ("a thousand services change under load", Bench::reload),
            ("streams", Bench::streams),
            ("server goes and comes back", Bench::server_goes),
            ("server changes its MAC address", Bench::server_mac),
        ];
        for (name, step) in steps {
            step(self).and_then(|()| self.accounts()).map_err(|failure| Failure::new(format!("{name}: {failure}")))?;
            println!("e2e:   {name}: ok");
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
    fn pages(&mut self) -> Result<(), Failure> {
        for (request, answer) in self.round(AfterFailure::Stop)? {
            if let Answer::Wrong(why) = answer {
                return Err(Failure::new(format!("{} to {}: {why}", request.client, name(&self.web[request.service]))));
            }
        }
        Ok(())
    }

    fn round(&mut self, after_failure: AfterFailure) -> Result<Vec<(Request, Answer)>, Failure> {
        self.rounds += 1;
        let requests = requests::of_every_client(&self.web, self.rounds);
        let mut round = Round::start(&self.network, &self.web, requests, after_failure)?;
        wait_until("a round of requests ended", ROUND_WITHIN, || Ok(round.ended()))?;
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
        for service in &self.streams {
            for reverse in [false, true] {
                let rate = programs::iperf3(&self.network.client, service.vip, service.protocol, reverse)?;
                let way = if reverse { "down" } else { "up" };
                println!("e2e:     {} {:?} {way}: {rate:.0} Mbit/s", name(service), service.protocol);
            }
        }
        Ok(())
    }

    /// Under load, the requests that are scheduled to the stopped server are refused at once, all others answered; after it came back, all.
    fn server_goes(&mut self) -> Result<(), Failure> {
        let mut load = self.background_load()?;
        self.servers[GOES].stop_nginx()?;
        let answers = self.round(AfterFailure::GoOn)?;
        let from = |server: usize| {
            answers.iter().filter(|(_, answer)| matches!(answer, Answer::From(from) if *from == server)).count()
        };
        let wrong: Vec<&String> = answers
            .iter()
            .filter_map(|(_, answer)| match answer {
                Answer::Wrong(why) => Some(why),
                Answer::From(_) => None,
            })
            .collect();
        if from(GOES) > 0 || wrong.is_empty() || (0..SERVERS).any(|server| server != GOES && from(server) == 0) {
            return Err(Failure::new(format!(
                "with one server stopped, answers came from {:?}",
                [0, 1, 2, 3].map(from)
            )));
        }
        if let Some(why) = wrong.iter().find(|why| !why.contains("Failed to connect") && !why.contains("refused")) {
            return Err(Failure::new(format!("a stopped server's port refuses; curl says: {why}")));
        }
        self.servers[GOES].start_nginx(&self.network)?;
        self.pages()?;
        for load in &mut load {
            load.wait(PROGRAM_WITHIN)?;
        }
        Ok(())
    }

    /// As when a server's network card is replaced: it says so (gratuitous ARP, unsolicited advertisement), and the next conns arrive.
    fn server_mac(&mut self) -> Result<(), Failure> {
        let server = &self.network.servers[GOES];
        server.sysctl(&["net.ipv4.conf.eth0.arp_notify=1", "net.ipv6.conf.eth0.ndisc_notify=1"])?;
        server.ip(&format!("link set eth0 address {OTHER_MAC}"))?;
        self.pages()
    }

    /// wrk against every service at once; its own verdict does not count here, for it meets the stopped server too.
    fn background_load(&self) -> Result<Vec<Process>, Failure> {
        let start = |(number, service): (usize, &Service)| {
            let mut command = self.network.client.command("wrk");
            command.args(["-t", "1", "-c", "4", "-d", "5", &format!("http://{}{PAGE}", service.vip)]);
            Process::start("wrk", &mut command, &self.network.directory().join(format!("wrk-{number}.log")))
        };
        self.web.iter().enumerate().map(start).collect()
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

fn name(service: &Service) -> String {
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

/// Round robin over all four servers, by every method.
fn web_services() -> Vec<Service> {
    let service = |family: Family, at: usize| {
        let method = METHODS[at];
        let keeps_port = matches!(method, Method::Dr | Method::Tun);
        Service {
            protocol: Protocol::Tcp,
            vip: SocketAddr::new(family.vip(at), 80),
            scheduler: "rr",
            method,
            server_port: if keeps_port { 80 } else { SERVER_PORT },
            servers: (0..SERVERS).map(|index| RealServer { index, weight: 1 }).collect(),
        }
    };
    FAMILIES.into_iter().flat_map(|family| (0..METHODS.len()).map(move |at| service(family, at))).collect()
}

/// TCP and UDP services for iperf3, one server each: its control conn and its streams must meet.
fn stream_services() -> Vec<Service> {
    let service = |family: Family, at: usize, protocol: Protocol| Service {
        protocol,
        vip: SocketAddr::new(family.vip(at), IPERF_PORT),
        scheduler: "rr",
        method: METHODS[at],
        // NAT and FullNAT have the same real server; a port each keeps their iperf3 apart.
        server_port: if METHODS[at] == Method::FullNat { IPERF_PORT + 1 } else { IPERF_PORT },
        servers: vec![RealServer { index: 0, weight: 1 }],
    };
    let of = |family| {
        (0..METHODS.len())
            .flat_map(move |at| [Protocol::Tcp, Protocol::Udp].map(|protocol| service(family, at, protocol)))
    };
    FAMILIES.into_iter().flat_map(of).collect()
}

/// One iperf3 for each address that a service's packets arrive at: it answers UDP from the address it is bound to.
fn start_iperf(network: &Network, streams: &[Service]) -> Result<Vec<Process>, Failure> {
    let tcp = streams.iter().filter(|service| service.protocol == Protocol::Tcp);
    let start = |service: &Service| {
        let address = service.listens(0);
        let (ip, port) = (address.ip().to_string(), address.port().to_string());
        let mut command = network.servers[0].command("iperf3");
        command.args(["-s", "-B", &ip, "-p", &port, "--forceflush"]);
        let log = network.directory().join(format!("iperf3-{port}-{}.log", ip.replace(':', "_")));
        let mut iperf = Process::start(&format!("iperf3 on {address}"), &mut command, &log)?;
        wait_until(&format!("iperf3 listened on {address}"), PROGRAM_WITHIN, || {
            iperf.check_running()?;
            Ok(iperf.output().contains("Server listening"))
        })?;
        Ok(iperf)
    };
    tcp.map(start).collect()
}

/// A file of pseudo-random bytes that every real server serves as `/big`, and its digest.
fn big_file(network: &Network, servers: &[Server]) -> Result<(PathBuf, String), Failure> {
    let path = network.directory().join("big");
    let mut word = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(BIG_BYTES + 8);
    while bytes.len() < BIG_BYTES {
        // xorshift64: no two segments alike, so none can take another's place.
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        bytes.extend(word.to_le_bytes());
    }
    bytes.truncate(BIG_BYTES);
    let failure = |error: std::io::Error| Failure::new(format!("{}: {error}", path.display()));
    fs::write(&path, bytes).map_err(failure)?;
    for server in servers {
        fs::hard_link(&path, server.files().join("big")).map_err(failure)?;
    }
    let digest = programs::sha256(&path)?;
    Ok((path, digest))
}
