//! The lab: a director in memory with a virtual clock. The real control side, the real workers, cables instead of NICs, and
//! on each wire a crowd of hosts that answer ARP and neighbour discovery for whatever address they are asked for.

#![allow(dead_code)] // Each test binary uses its part.

use conntrack::{Conn, Tick};
use std::collections::HashMap;
use std::net::IpAddr;
use uvs::director::Control;
use uvs::host::HostEnds;
use uvs::host::ring::frame_room;
use uvs::neigh::HostNetwork;
use uvs::pipeline::{Now, Reason};
use uvs::port::memory::{Cable, MemoryFrame, MemoryPool, MemoryPort};
use uvs::port::{Burst, Port};
use uvs::services::ServerId;
use uvs::wire::{Mac, arp, nd};
use uvs::worker::peers::Peers;
use uvs::worker::{Worker, WorkerPort};

/// The randomness of every lab.
pub const SEED: u64 = 1;
/// Milliseconds between two turns while the lab waits for something.
const STEP_MS: u64 = 10;
/// Places of real servers are given from 0 on; no test has as many servers.
const SERVERS_LOOKED_AT: usize = 4_096;
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
    pub workers: Vec<Worker<Device>>,
    /// The wires, by port.
    pub cables: Vec<Cable>,
    /// The buffers of all ports.
    pub pool: MemoryPool,
    /// Bytes of memory that control took since the start, less those that it gave back.
    pub control_bytes: i64,
    /// The ends of the rings to and from the host, if a port has a host interface.
    pub host: Option<HostEnds>,
    /// The time.
    pub now_ms: u64,
    /// Hosts answer ARP and neighbour discovery.
    pub hosts_answer: bool,
    /// The MAC of each host.
    pub mac_of: fn(IpAddr) -> Mac,
    /// Hosts that do not have that MAC; none: it does not answer.
    pub moved: HashMap<IpAddr, Option<Mac>>,
}

impl Lab {
    /// A director of this configuration, after its first turns. Answers are not rate-limited.
    pub fn new(config: &str) -> Lab {
        Lab::with_answer_limit(config, 0)
    }

    /// The same with a rate limit on the director's own answers.
    pub fn with_answer_limit(config: &str, answers_per_s: u64) -> Lab {
        let mut lab = Lab::unstarted(config, answers_per_s);
        // Announcements of own addresses, and the first look at real servers and gateways.
        lab.advance(5_000);
        lab
    }

    /// A director before its first turn: it has asked for no neighbour yet.
    pub fn unstarted(config: &str, answers_per_s: u64) -> Lab {
        let config = config::parse(config, "lab.toml").unwrap_or_else(|errors| panic!("{errors}"));
        let devices: Vec<Vec<_>> = config.devices().iter().map(|trunk| interfaces(&config, trunk)).collect();
        let device_of =
            |port: usize| devices.iter().position(|of| of.iter().any(|(number, _)| usize::from(*number) == port));
        let macs: Vec<_> = (0..config.ports.len()).map(|port| port_mac(device_of(port).unwrap()).0).collect();
        let now_ms = 1_000;
        let (mut control, parts) = Control::new(config, &macs, SEED, Now::from_ms(now_ms)).unwrap();
        let host = control.take_host_ends();
        let mut cables: Vec<Cable> = Vec::new();
        let pool = MemoryPool::default();
        let mut workers = Vec::new();
        let peers = Peers::of(parts.len());
        for (worker, (parts, peers)) in parts.into_iter().zip(peers).enumerate() {
            let mut ports = Vec::new();
            for (number, interfaces) in devices.iter().enumerate() {
                let (cable, port) = Cable::new(&pool);
                cables.push(cable);
                let (mac, interfaces) = (port_mac(number).0, interfaces.clone());
                ports.push(WorkerPort { device: Device(port), mac, sender: worker, interfaces });
            }
            workers.push(Worker::new(parts, ports, peers, answers_per_s));
        }
        let (control_bytes, hosts_answer, moved) = (0, true, HashMap::new());
        Lab { control, workers, cables, pool, control_bytes, host, now_ms, hosts_answer, mac_of: host_mac, moved }
    }

    /// Puts a frame in and gives what left because of it.
    pub fn send(&mut self, port: usize, frame: &[u8]) -> Vec<Left> {
        self.cables[port].put(frame);
        self.settle()
    }

    /// Puts a frame on a worker's queue of a port.
    pub fn put_to(&self, worker: usize, port: usize, frame: &[u8]) {
        let ports = self.cables.len() / self.workers.len();
        self.cables[worker * ports + port].put(frame);
    }

    /// Lets time pass.
    pub fn advance(&mut self, ms: u64) -> Vec<Left> {
        self.advance_in_steps(ms, STEP_MS.max(ms / 1_000))
    }

    /// Lets the director work until nothing moves any more, without time passing.
    pub fn settle(&mut self) -> Vec<Left> {
        let mut left = Vec::new();
        for _ in 0..TURNS_MAX {
            let now = self.now();
            self.control_bytes += allocation_counter::measure(|| self.control.turn(now)).bytes_current;
            let busy = self.workers.iter_mut().fold(false, |busy, worker| turn(worker, now) | busy);
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

    /// What the host has got since the last call: frames with their ports.
    pub fn host_got(&mut self) -> Vec<Left> {
        let mut room = frame_room();
        let mut got = Vec::new();
        for ring in &mut self.host.as_mut().expect("a host interface").from_workers {
            while let Some((port, frame)) = ring.pop(&mut room) {
                got.push(Left { port: usize::from(port), frame: frame.to_vec() });
            }
        }
        got
    }

    /// The host sends a frame by a port. False: it must wait.
    pub fn host_sends(&mut self, port: usize, frame: &[u8]) -> bool {
        self.host.as_mut().expect("a host interface").sender(port as u16).push(port as u16, [frame]).is_ok()
    }

    /// The host configures its interfaces; what leaves because of it.
    pub fn host_has(&mut self, network: HostNetwork) -> Vec<Left> {
        self.control.set_host(network);
        self.settle()
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
        let of = |worker: &Worker<Device>| -> Vec<Conn> {
            let table = &worker.shard().table;
            table.listing(0, table.conns_max(), now).map(|(_, conn)| *conn).collect()
        };
        self.workers.iter().flat_map(of).collect()
    }

    /// Every frame that came has its fate.
    pub fn check_accounts(&self) {
        for worker in &self.workers {
            let counts = worker.shard().counts;
            assert!(counts.identity_holds(), "frames were lost or counted twice: {counts:?}");
        }
    }

    /// Each real server is counted the conns that the tables have for it, active and all, and nobody else is counted any.
    pub fn check_live(&self) {
        let live = &self.control.shared().live;
        // Conns whose time is over are counted until the wheel comes by, a second later at most.
        let lately = Tick::from_ms(self.now_ms.saturating_sub(2_000));
        let mut counted: HashMap<u32, (u32, u32)> = HashMap::new();
        let mut conns = 0;
        for worker in &self.workers {
            let table = &worker.shard().table;
            for (_, conn) in table.listing(0, table.conns_max(), lately) {
                let (active, total) = counted.entry(conn.server).or_default();
                *active += u32::from(conn.is_active());
                *total += 1;
                conns += 1;
            }
        }
        assert_eq!(
            conns,
            self.workers.iter().map(|worker| worker.shard().table.len()).sum::<usize>(),
            "conns in the tables"
        );
        for id in 0..live.servers_max().min(SERVERS_LOOKED_AT) as u32 {
            let load = live.load(ServerId(id));
            let expected = counted.get(&id).copied().unwrap_or_default();
            assert_eq!((load.active, load.total), expected, "active and all conns of real server {id}");
        }
    }

    /// Lets the director work until the time is over, in steps of `step_ms`.
    pub fn advance_in_steps(&mut self, ms: u64, step_ms: u64) -> Vec<Left> {
        let end = self.now_ms + ms;
        let mut left = Vec::new();
        while self.now_ms < end {
            self.now_ms = (self.now_ms + step_ms).min(end);
            left.extend(self.settle());
        }
        left
    }

    fn take(&self) -> Vec<Left> {
        let ports = self.cables.len() / self.workers.len();
        let of =
            |(i, cable): (usize, &Cable)| cable.take().into_iter().map(move |frame| Left { port: i % ports, frame });
        self.cables.iter().enumerate().flat_map(of).collect()
    }

    /// If the frame asks for a neighbour, a host answers. Gives whether the frame was of neighbour discovery or ARP at all.
    pub fn host_answers(&self, left: &Left) -> bool {
        let (tag, frame) = without_tag(&left.frame);
        let Some(asked) = asked_for(&frame) else { return is_neighbor_talk(&frame) };
        let mac = self.moved.get(&asked).copied().unwrap_or(Some((self.mac_of)(asked)));
        // A host does not hear what is for another MAC: it may have had that one once.
        let heard = |mac: &Mac| frame[0] & 1 != 0 || frame[..6] == mac.0;
        if self.hosts_answer
            && let Some(mac) = mac.filter(heard)
        {
            self.cables[left.port].put(&with_tag(&tag, answer_of(&frame, mac)));
        }
        true
    }
}

/// A worker's turn. It takes no memory: all it has was taken before it started.
fn turn(worker: &mut Worker<Device>, now: Now) -> bool {
    let mut busy = false;
    let allocated = allocation_counter::measure(|| busy = worker.turn(now)).count_total;
    assert_eq!(allocated, 0, "a worker allocated in its turn");
    busy
}

/// A port whose own memory, which real devices have before they start, is nobody's allocation.
pub struct Device(MemoryPort);

impl Port for Device {
    type Frame = MemoryFrame;

    fn rx_burst(&mut self, into: &mut Burst<MemoryFrame>) {
        allocation_counter::opt_out(|| self.0.rx_burst(into));
    }

    fn tx_burst(&mut self, frames: &mut Burst<MemoryFrame>) {
        allocation_counter::opt_out(|| self.0.tx_burst(frames));
    }

    fn make(&mut self, bytes: &[u8]) -> Option<MemoryFrame> {
        let mut made = None;
        allocation_counter::opt_out(|| made = self.0.make(bytes));
        made
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.check_live();
        }
    }
}

/// The numbers and VLANs of a device's ports.
fn interfaces(config: &config::Config, trunk: &config::Trunk) -> Vec<(u8, Option<u16>)> {
    trunk.ports.iter().map(|port| (*port as u8, config.ports[*port].vlan)).collect()
}

/// The MAC of the director's device.
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

/// A frame's 802.1Q tag (no bytes, if it has none), and the frame without.
pub fn without_tag(frame: &[u8]) -> (Vec<u8>, Vec<u8>) {
    match frame.get(12..16) {
        Some(tag @ [0x81, 0, ..]) => (tag.to_vec(), [&frame[..12], &frame[16..]].concat()),
        _ => (Vec::new(), frame.to_vec()),
    }
}

/// The frame with that tag behind its MACs.
pub fn with_tag(tag: &[u8], frame: Vec<u8>) -> Vec<u8> {
    [&frame[..12], tag, &frame[12..]].concat()
}

/// The address that an ARP request or a neighbour solicitation asks for.
fn asked_for(frame: &[u8]) -> Option<IpAddr> {
    let l3 = frame.get(14..)?;
    match u16::from_be_bytes([frame[12], frame[13]]) {
        uvs::wire::ethernet::ARP => {
            let asked = arp_of(l3)?;
            let question = asked.operation() == arp::REQUEST && asked.sender() != asked.target();
            question.then(|| asked.target().into())
        }
        uvs::wire::ethernet::IPV6 => match nd::parse(l3)? {
            nd::Message::Solicitation { target, source_mac: Some(_), .. } => Some(target.into()),
            _ => None,
        },
        _ => None,
    }
}

/// What the host that such a frame asks for says.
fn answer_of(frame: &[u8], mac: Mac) -> Vec<u8> {
    let l3 = &frame[14..];
    match nd::parse(l3) {
        Some(nd::Message::Solicitation { source, target, source_mac: Some(source_mac) }) => {
            nd::advertisement((mac, target), (source_mac, source), nd::SOLICITED | nd::OVERRIDE)
        }
        _ => {
            let asked = arp_of(l3).unwrap();
            arp::reply((mac, asked.target()), (asked.sender_mac(), asked.sender()))
        }
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
