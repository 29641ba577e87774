//! Timer recordings: the conn table again and again while nothing, or little, happens. What expires when, templates that
//! live while they control conns, and the servers' counters.
//!
//! The recorder says what it did in words, which are read here: client N (10.1.2.N, port 1000 + N) sends a chain of packets to
//! a port of the VIP, the real server may answer.
//!
//! ```text
//!  c5 SYN+ACK, FIN from the server to :81: FIN_WAIT        c8 UDP again        c2 SYN from another port to :80
//! ```

use crate::ipvsadm::{Command, endpoint, timeouts};
use crate::kit::{Lab, host_mac, port_mac};
use crate::outcome::Outcome;
use crate::recorder::Setup;
use crate::recording::Side;
use crate::shown::{self, is_as_long};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use uvs::wire::build::Frame;
use uvs::wire::tcp;

/// The first line of a file.
#[derive(Deserialize)]
struct Case {
    /// ipvsadm's lines, without that word.
    config: Vec<String>,
}

/// Every other line: a look at the kernel.
#[derive(Deserialize)]
struct Moment {
    /// Seconds since the start. What was done was done at the whole second.
    t: f64,
    /// In words.
    did: Vec<String>,
    /// `TCP 10.1.2.10:1010 10.99.0.1:82 CLOSE 9`
    conns: Vec<String>,
    /// Address, weight, active and inactive conns.
    dests: Vec<(String, u32, u32, u32)>,
}

/// Replays these files.
pub fn replay(files: &[PathBuf], workers: usize) -> Outcome {
    let mut outcome = Outcome::default();
    for file in files {
        let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        if let Err(fault) = replay_file(file, &text, workers, &mut outcome) {
            outcome.faults.push(format!("{}: {fault}", place(file)));
        }
    }
    outcome
}

fn place(file: &Path) -> String {
    format!("timers/{}", file.file_name().unwrap_or_default().display())
}

fn replay_file(file: &Path, text: &str, workers: usize, outcome: &mut Outcome) -> Result<(), String> {
    let mut lines = (1..).zip(text.lines());
    let case: Case = serde_json::from_str(lines.next().ok_or("is empty")?.1).map_err(|error| error.to_string())?;
    let mut replay = Replay::new(&case, workers)?;
    for (line, content) in lines {
        let moment: Moment = serde_json::from_str(content).map_err(|error| format!("line {line}: {error}"))?;
        outcome.compared += 1;
        let at = format!("{}:{line}: {workers} workers, {} s", place(file), moment.t);
        outcome.faults.extend(replay.moment(&moment)?.into_iter().map(|fault| format!("{at}: {fault}")));
    }
    Ok(())
}

/// One file under way.
struct Replay {
    lab: Lab,
    started_ms: u64,
    /// The services' VIP, and where each of their ports leads.
    vip: IpAddr,
    servers: HashMap<u16, SocketAddr>,
    /// Where each client sent last: the port of the VIP.
    last: HashMap<u8, u16>,
    random: fastrand::Rng,
}

impl Replay {
    fn new(case: &Case, workers: usize) -> Result<Replay, String> {
        let (set, edits): (Vec<&String>, Vec<&String>) = case.config.iter().partition(|line| line.starts_with("--set"));
        let timeouts = set.into_iter().map(|line| timeouts(line)).collect::<Result<Vec<_>, _>>()?.concat();
        let mut lab = Setup {
            workers,
            mtus: [1500; 2],
            virtual_addresses: BTreeSet::new(),
            settings: Vec::new(),
            local_addresses: Vec::new(),
            timeouts,
        }
        .lab()?;
        let (mut vip, mut servers) = (None, HashMap::new());
        for line in edits {
            let command = Command::parse(line)?;
            if let Command::AddServer(uvs::services::ServiceKey::Endpoint { vip: of, port, .. }, server, _) = command {
                vip = Some(of);
                servers.insert(port, server);
            }
            command.apply(&mut lab.control)?;
        }
        // The neighbours of the real servers are asked for.
        lab.advance(2_000);
        let started_ms = lab.now_ms;
        let vip = vip.ok_or("config: no service with a real server")?;
        Ok(Replay { lab, started_ms, vip, servers, last: HashMap::new(), random: fastrand::Rng::with_seed(1) })
    }

    fn moment(&mut self, moment: &Moment) -> Result<Vec<String>, String> {
        self.until(moment.t.trunc());
        for words in &moment.did {
            self.act(words).map_err(|what| format!("{words:?}: {what}"))?;
        }
        self.until(moment.t);
        Ok(self.faults(moment))
    }

    /// Lets time pass until so many seconds after the start.
    fn until(&mut self, seconds: f64) {
        let end_ms = self.started_ms + (seconds * 1000.0) as u64;
        self.lab.advance(end_ms.saturating_sub(self.lab.now_ms));
    }

    /// Does what the recorder says that it did.
    fn act(&mut self, words: &str) -> Result<(), String> {
        let mut said = words.split([' ', ',']);
        let client = said.next().and_then(|word| word.strip_prefix('c')).and_then(|number| number.parse::<u8>().ok());
        let client = client.ok_or("must begin with a client, as c1")?;
        let packets = said.next().ok_or("no packets")?;
        let to = words.split([' ', ',']).filter_map(|word| word.strip_prefix(':'));
        let to = to.filter_map(|word| word.trim_end_matches(':').parse().ok()).next();
        let port = to.or_else(|| self.last.get(&client).copied()).ok_or("no port, and none before")?;
        self.last.insert(client, port);
        let another = if words.contains("from another port") { 1000 } else { 0 };
        let address: IpAddr = [10, 1, 2, client].into();
        let from = SocketAddr::new(address, 1000 + u16::from(client) + another);
        for packet in packets.split('+') {
            self.send(Side::Wan, from, SocketAddr::new(self.vip, port), packet)?;
        }
        if words.contains("FIN from the server") {
            let server = *self.servers.get(&port).ok_or("no real server behind that port")?;
            self.send(Side::Lan, server, from, "FIN")?;
        }
        Ok(())
    }

    fn send(&mut self, side: Side, from: SocketAddr, to: SocketAddr, packet: &str) -> Result<(), String> {
        let flags = match packet {
            "SYN" => Some(tcp::SYN),
            "ACK" => Some(tcp::ACK),
            "FIN" => Some(tcp::FIN | tcp::ACK),
            "RST" => Some(tcp::RST),
            "UDP" => None,
            other => return Err(format!("{other:?} is no known packet")),
        };
        let frame = Frame::new(from.ip(), to.ip()).macs(host_mac(from.ip()), port_mac(side as usize));
        let frame = match flags {
            Some(flags) => frame.tcp((from.port(), to.port()), (1000, 0), flags, b""),
            None => frame.udp(from.port(), to.port(), b"x"),
        };
        let worker = self.random.usize(..self.lab.workers.len());
        self.lab.put_to(worker, side as usize, &frame);
        self.lab.settle();
        Ok(())
    }

    fn faults(&mut self, moment: &Moment) -> Vec<String> {
        let left =
            |line: &str| line.rsplit_once(' ').and_then(|(what, left)| Some((what.to_string(), left.parse().ok()?)));
        let kernel: HashMap<String, u32> = moment.conns.iter().filter_map(|line| left(line)).collect();
        let own: HashMap<String, u32> = shown::conns(&mut self.lab).into_iter().map(without_server).collect();
        let mut faults = Vec::new();
        if kernel.len() != moment.conns.len() {
            faults.push(format!("two lines of one conn, or one that is none: {:?}", moment.conns));
        }
        // Who is about to go has gone from one of the two already.
        let mut going = 0;
        let mut names: Vec<_> = kernel.keys().chain(own.keys()).collect();
        names.sort();
        names.dedup();
        for name in names {
            match (kernel.get(name), own.get(name)) {
                (Some(one), Some(other)) if is_as_long(name, *one, *other) => {}
                (Some(left), None) | (None, Some(left)) if is_as_long(name, *left, 0) => going += 1,
                (one, other) => faults.push(format!("{name}\n  expected {one:?} s left\n  found    {other:?}")),
            }
        }
        faults.extend(self.server_faults(moment, going));
        faults
    }

    /// Counters, but for conns of which one of the two does not know any more.
    fn server_faults(&self, moment: &Moment, going: u32) -> Option<String> {
        let mut own = shown::servers(&self.lab);
        let mut kernel: Vec<_> =
            moment.dests.iter().filter_map(|said| Some((endpoint(&said.0).ok()?, said.1, said.2, said.3))).collect();
        own.sort();
        kernel.sort();
        let off: u32 =
            kernel.iter().zip(&own).map(|(kernel, own)| kernel.2.abs_diff(own.2) + kernel.3.abs_diff(own.3)).sum();
        let places = |list: &[(SocketAddr, u32, u32, u32)]| -> Vec<_> { list.iter().map(|of| (of.0, of.1)).collect() };
        (places(&own) != places(&kernel) || off > going)
            .then(|| format!("servers\n  expected {kernel:?}\n  found    {own:?}"))
    }
}

/// As these recordings have a conn: they leave its server out.
fn without_server((conn, left): (String, u32)) -> (String, u32) {
    let Some((ends, rest)) = conn.split_once(" -> ") else { return (conn, left) };
    let state = rest.split_once(' ').map_or("", |(_, state)| state);
    (format!("{ends} {state}"), left)
}
