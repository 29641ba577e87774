//! The lab: a director in memory with a virtual clock. The real control side, the real workers, cables instead of NICs, and
//! on each wire a crowd of hosts that answer ARP and neighbour discovery for whatever address they are asked for.

#![allow(dead_code)] // Each test binary uses its part.

use conntrack::Conn;
use std::net::IpAddr;
use uvs::director::Control;
use uvs::pipeline::{Now, Reason};
use uvs::port::memory::{Cable, MemoryPort};
use uvs::wire::{Mac, arp, nd};
use uvs::worker::{Worker, WorkerPort};

/// Milliseconds between two turns while the lab waits for something.
const STEP_MS: u64 = 10;
/// Turns after which frames that still move are a defect.
const TURNS_MAX: usize = 10_000;

/// A frame that left the director.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// The port it left by.
    pub port: usize,
    /// The frame.
    pub frame: Vec<u8>,
}

/// A director and its wires.
pub struct Lab {
    /// The control side.
    pub control: Control,
    /// The workers.
    pub workers: Vec<Worker<MemoryPort>>,
    /// The wires, by port.
    pub cables: Vec<Cable>,
    /// The time.
    pub now_ms: u64,
    /// Hosts answer ARP and neighbour discovery.
    pub hosts_answer: bool,
}

impl Lab {
    /// A director of this configuration, after its first turns. Answers are not rate-limited.
    pub fn new(config: &str) -> Lab {
        Lab::with_answer_limit(config, 0)
    }

    /// The same with a rate limit on the director's own answers.
    pub fn with_answer_limit(config: &str, answers_per_s: u64) -> Lab {
        let config = config::parse(config, "lab.toml").unwrap_or_else(|errors| panic!("{errors}"));
        let macs: Vec<_> = (0..config.ports.len()).map(|port| port_mac(port).0).collect();
        let now_ms = 1_000;
        let (control, parts) = Control::new(config, &macs, 1, Now::from_ms(now_ms)).unwrap();
        let mut cables: Vec<Cable> = Vec::new();
        let mut workers = Vec::new();
        for parts in parts {
            let mut ports = Vec::new();
            for mac in &macs {
                let (cable, device) = Cable::new();
                cables.push(cable);
                ports.push(WorkerPort { device, mac: *mac });
            }
            workers.push(Worker::new(parts, ports, answers_per_s));
        }
        let mut lab = Lab { control, workers, cables, now_ms, hosts_answer: true };
        // Announcements of own addresses, and the first look at real servers and gateways.
        lab.advance(5_000);
        lab
    }

    /// Puts a frame in and gives what left because of it.
    pub fn send(&mut self, port: usize, frame: &[u8]) -> Vec<Left> {
        self.cables[port].put(frame);
        self.settle()
    }

    /// Lets time pass.
    pub fn advance(&mut self, ms: u64) -> Vec<Left> {
        let end = self.now_ms + ms;
        let mut left = Vec::new();
        while self.now_ms < end {
            self.now_ms = (self.now_ms + STEP_MS.max(ms / 1_000)).min(end);
            left.extend(self.settle());
        }
        left
    }

    /// Lets the director work until nothing moves any more, without time passing.
    pub fn settle(&mut self) -> Vec<Left> {
        let mut left = Vec::new();
        for _ in 0..TURNS_MAX {
            let now = self.now();
            self.control.turn(now);
            let busy = self.workers.iter_mut().fold(false, |busy, worker| worker.turn(now) | busy);
            self.check_accounts();
            let frames = self.take();
            let quiet = !busy && frames.is_empty() && self.cables.iter().all(|cable| cable.waiting() == 0);
            left.extend(frames.into_iter().filter(|left| !self.host_answers(left)));
            if quiet {
                return left;
            }
        }
        panic!("frames still move after {TURNS_MAX} turns");
    }

    /// The time as the director has it.
    pub fn now(&self) -> Now {
        Now::from_ms(self.now_ms)
    }

    /// How many frames were dropped for this reason.
    pub fn dropped(&self, reason: Reason) -> u64 {
        (0..self.workers.len()).map(|worker| self.control.counts(worker).dropped[reason as usize]).sum()
    }

    /// Every conn of every worker.
    pub fn conns(&self) -> Vec<Conn> {
        let now = self.now().tick;
        let of = |worker: &Worker<MemoryPort>| -> Vec<Conn> {
            let table = &worker.shard().table;
            table.listing(0, table.conns_max(), now).map(|(_, conn)| *conn).collect()
        };
        self.workers.iter().flat_map(of).collect()
    }

    /// Every frame that came has its fate, and each real server the conns that the table has for it.
    pub fn check_accounts(&self) {
        for worker in &self.workers {
            let counts = worker.shard().counts;
            assert!(counts.identity_holds(), "frames were lost or counted twice: {counts:?}");
        }
    }

    fn take(&self) -> Vec<Left> {
        let ports = self.cables.len() / self.workers.len();
        let of = |(i, cable): (usize, &Cable)| cable.take().into_iter().map(move |frame| Left { port: i % ports, frame });
        self.cables.iter().enumerate().flat_map(of).collect()
    }

    /// If the frame asks for a neighbour, a host answers. Gives whether the frame was of neighbour discovery or ARP at all.
    fn host_answers(&self, left: &Left) -> bool {
        let Some(answer) = answer_to(&left.frame) else { return is_neighbor_talk(&left.frame) };
        if self.hosts_answer {
            self.cables[left.port].put(&answer);
        }
        true
    }
}

/// The MAC of the director's port.
pub fn port_mac(port: usize) -> Mac {
    Mac([2, 0, 0, 0, 1, port as u8])
}

/// The MAC of the host with this address: its last four bytes.
pub fn host_mac(address: IpAddr) -> Mac {
    let bytes = match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    let last = &bytes[bytes.len() - 4..];
    Mac([2, 0x10, last[0], last[1], last[2], last[3]])
}

/// What the host that a frame asks for says.
fn answer_to(frame: &[u8]) -> Option<Vec<u8>> {
    let l3 = frame.get(14..)?;
    match u16::from_be_bytes([frame[12], frame[13]]) {
        uvs::wire::ethernet::ARP => {
            let asked = arp_of(l3)?;
            let question = asked.operation() == arp::REQUEST && asked.sender() != asked.target();
            let owner = (host_mac(asked.target().into()), asked.target());
            question.then(|| arp::reply(owner, (asked.sender_mac(), asked.sender())))
        }
        uvs::wire::ethernet::IPV6 => match nd::parse(l3)? {
            nd::Message::Solicitation { source, target, source_mac: Some(source_mac) } => {
                let owner = (host_mac(target.into()), target);
                Some(nd::advertisement(owner, (source_mac, source), nd::SOLICITED | nd::OVERRIDE))
            }
            _ => None,
        },
        _ => None,
    }
}

fn is_neighbor_talk(frame: &[u8]) -> bool {
    match u16::from_be_bytes([frame[12], frame[13]]) {
        uvs::wire::ethernet::ARP => true,
        uvs::wire::ethernet::IPV6 => nd::parse(&frame[14..]).is_some(),
        _ => false,
    }
}

fn arp_of(l3: &[u8]) -> Option<&uvs::wire::Arp> {
    uvs::wire::Arp::of(l3).filter(|arp| arp.is_ethernet_ipv4())
}
