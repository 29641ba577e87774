//! State recordings: sequences of packets, each of a flow of its own, with the conn's state, its seconds left and the change
//! of ActiveConn after each packet. The first packet meets no conn.

use crate::kit::{Lab, host_mac, port_mac};
use crate::outcome::Outcome;
use crate::recorder::Setup;
use crate::recording::Side;
use conntrack::{Key, Method, states};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use uvs::services::book::{ServerSpec, ServiceSpec};
use uvs::services::{ServerId, ServiceKey};
use uvs::wire::build::Frame;
use uvs::wire::{protocol, tcp};

/// The recorder's client, service and real server.
const CLIENT: &str = "10.1.2.3";
const VIP: &str = "10.99.0.1";
const SERVER: &str = "172.16.0.2";
const PORT: u16 = 80;
/// The recorder gives each sequence the next port of the client from here on.
const FIRST_PORT: u16 = 1_025;
/// The kernel rounds down what was left at some moment; for SCTP it rounds up.
const SECONDS_OFF: u32 = 1;

/// The first line of a file.
#[derive(Deserialize)]
struct Case {
    proto: String,
    #[serde(rename = "fwd")]
    method: String,
    /// Kernel settings that were changed, by their path below /proc/sys.
    sysctls: BTreeMap<String, serde_json::Value>,
}

/// Every other line.
#[derive(Deserialize)]
struct Sequence {
    /// `c:syn`: from the client; `s:fin`: from the real server.
    seq: Vec<String>,
    states: Vec<After>,
}

/// What the kernel showed after a packet: state ("-": no conn), seconds left, change of ActiveConn.
#[derive(Deserialize, Clone, Debug, PartialEq)]
struct After(String, u32, i64);

/// Replays these files.
pub fn replay(files: &[PathBuf], workers: usize) -> Outcome {
    let mut outcome = Outcome::default();
    for file in files {
        let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let name = file.file_name().unwrap_or_default().display();
        let wrong = |line: usize, error: serde_json::Error| -> ! { panic!("{}:{line}: {error}", file.display()) };
        let mut lines = (1..).zip(text.lines());
        let (_, header) = lines.next().unwrap_or_else(|| panic!("{}: is empty", file.display()));
        let case: Case = serde_json::from_str(header).unwrap_or_else(|error| wrong(1, error));
        let mut replay = match Replay::new(&case, workers) {
            Ok(replay) => replay,
            Err(fault) => {
                outcome.faults.push(format!("states/{name}: {fault}"));
                continue;
            }
        };
        for (line, content) in lines {
            let sequence: Sequence = serde_json::from_str(content).unwrap_or_else(|error| wrong(line, error));
            outcome.compared += sequence.seq.len();
            if let Err(fault) = replay.sequence(&sequence) {
                outcome.faults.push(format!("states/{name}:{line}: {workers} workers: {fault}"));
            }
        }
    }
    outcome
}

/// One file under way.
struct Replay {
    lab: Lab,
    protocol: u8,
    server: ServerId,
    port: u16,
    random: fastrand::Rng,
}

impl Replay {
    fn new(case: &Case, workers: usize) -> Result<Replay, String> {
        let protocol = match case.proto.as_str() {
            "TCP" => protocol::TCP,
            "UDP" => protocol::UDP,
            "SCTP" => protocol::SCTP,
            other => return Err(format!("proto: found {other:?}, must be TCP, UDP or SCTP")),
        };
        let method = match case.method.as_str() {
            "nat" => Method::Nat,
            "dr" => Method::Dr,
            "tun" => Method::Tun,
            other => return Err(format!("fwd: found {other:?}, must be nat, dr or tun")),
        };
        let settings: Vec<_> = case
            .sysctls
            .iter()
            .map(|(path, value)| format!("{} = {}", path.rsplit('/').next().unwrap_or(path), value))
            .map(|setting| setting.replace('"', ""))
            .collect();
        let settings = settings.iter().map(String::as_str).collect();
        let mut lab = Setup {
            workers,
            mtus: [1500; 2],
            virtual_addresses: BTreeSet::new(),
            settings,
            local_addresses: Vec::new(),
            timeouts: Vec::new(),
        }
        .lab()?;
        let key = ServiceKey::Endpoint { protocol, vip: address(VIP), port: PORT };
        let spec = ServiceSpec {
            scheduler: sched::Kind::Rr,
            settings: Default::default(),
            persistence: None,
            one_packet: false,
            steer: Default::default(),
        };
        lab.control.add_service(key, spec).map_err(|refused| refused.to_string())?;
        let spec = ServerSpec {
            method,
            tunnel: Default::default(),
            weight: 1,
            thresholds: Default::default(),
            next_hop: None,
        };
        lab.control.add_server(key, (address(SERVER), PORT).into(), spec).map_err(|refused| refused.to_string())?;
        // The neighbour of the real server is asked for.
        lab.advance(2_000);
        let server = lab.control.book().list().flat_map(|(_, servers)| servers).next().expect("a server").server.id;
        Ok(Replay { lab, protocol, server, port: FIRST_PORT, random: fastrand::Rng::with_seed(1) })
    }

    fn sequence(&mut self, sequence: &Sequence) -> Result<(), String> {
        let Sequence { seq, states } = sequence;
        if seq.len() != states.len() {
            return Err(format!("{} packets and {} states", seq.len(), states.len()));
        }
        let mut found = Vec::new();
        for packet in seq {
            let before = self.active();
            let (side, frame) = self.frame(packet)?;
            let worker = self.random.usize(..self.lab.workers.len());
            self.lab.put_to(worker, side as usize, &frame);
            self.lab.settle();
            let (state, seconds) = self.state();
            found.push(After(state.into(), seconds, self.active() - before));
        }
        self.port += 1;
        let same = |(kernel, own): (&After, &After)| {
            kernel.0 == own.0 && kernel.2 == own.2 && kernel.1.abs_diff(own.1) <= SECONDS_OFF
        };
        match states.iter().zip(&found).position(|pair| !same(pair)) {
            None => Ok(()),
            Some(at) => {
                Err(format!("packet {} of {}\n  expected {states:?}\n  found    {found:?}", at + 1, seq.join(" ")))
            }
        }
    }

    /// The flow's conn: its state and its seconds left, rounded down.
    fn state(&self) -> (&'static str, u32) {
        let now = self.lab.now().tick;
        let key = Key::of((address(CLIENT), self.port), (address(VIP), PORT), self.protocol).expect("one family");
        let conn = self.lab.workers.iter().find_map(|worker| {
            let table = &worker.shard().table;
            table.find(&key, now).map(|hit| table.conn(hit.id))
        });
        conn.map_or(("-", 0), |conn| (states::name(self.protocol, conn.state), conn.ticks_left(now) / 100))
    }

    fn active(&self) -> i64 {
        i64::from(self.lab.control.shared().live.load(self.server).active)
    }

    fn frame(&self, packet: &str) -> Result<(Side, Vec<u8>), String> {
        let (side, what) = packet.split_once(':').ok_or_else(|| format!("{packet:?}: must be c:PACKET or s:PACKET"))?;
        let (side, source, destination, ports) = match side {
            "c" => (Side::Wan, CLIENT, VIP, (self.port, PORT)),
            "s" => (Side::Lan, SERVER, CLIENT, (PORT, self.port)),
            other => return Err(format!("side {other:?}: must be c or s")),
        };
        let frame = Frame::between(source, destination).macs(host_mac(address(source)), port_mac(side as usize));
        let bytes = match self.protocol {
            protocol::TCP => frame.tcp(ports, (1000, 0), segment(what)?, b""),
            protocol::UDP => frame.udp(ports.0, ports.1, b"datagram"),
            _ => frame.packet(protocol::SCTP, &sctp(ports, chunk(what)?)),
        };
        Ok((side, bytes))
    }
}

/// The flags of a TCP segment.
fn segment(what: &str) -> Result<u8, String> {
    Ok(match what {
        "syn" => tcp::SYN,
        "synack" => tcp::SYN | tcp::ACK,
        "ack" => tcp::ACK,
        "fin" => tcp::FIN | tcp::ACK,
        "rst" => tcp::RST,
        "none" => 0,
        "psh" => tcp::PSH,
        "synfin" => tcp::SYN | tcp::FIN,
        "synrst" => tcp::SYN | tcp::RST,
        "finrst" => tcp::FIN | tcp::RST,
        "finonly" => tcp::FIN,
        other => return Err(format!("{other:?} is no known segment")),
    })
}

/// The type of an SCTP chunk (RFC 9260, section 3.2).
fn chunk(what: &str) -> Result<u8, String> {
    const ALL: [(&str, u8); 17] = [
        ("data", 0),
        ("init", 1),
        ("init_ack", 2),
        ("sack", 3),
        ("heartbeat", 4),
        ("heartbeat_ack", 5),
        ("abort", 6),
        ("shutdown", 7),
        ("shutdown_ack", 8),
        ("error", 9),
        ("cookie_echo", 10),
        ("cookie_ack", 11),
        ("ecne", 12),
        ("cwr", 13),
        ("shutdown_complete", 14),
        ("auth", 15),
        ("asconf", 0xc1),
    ];
    let known = ALL.iter().find(|(name, _)| *name == what);
    known.map(|(_, number)| *number).ok_or_else(|| format!("{what:?} is no known chunk"))
}

/// An SCTP packet with one chunk, whose 16 bytes mean little; the frame gets its checksum.
fn sctp((source, destination): (u16, u16), chunk: u8) -> Vec<u8> {
    let header = [&source.to_be_bytes()[..], &destination.to_be_bytes(), &1_u32.to_be_bytes(), &[0; 4]].concat();
    [&header[..], &[chunk, 0, 0, 20], &[0; 16]].concat()
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}
