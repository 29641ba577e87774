//! A flood, and what a director must do while it lasts and when it is over: see `floods`, which has the floods.

use crate::kit::{Lab, Left, host_mac, port_mac};
use crate::network::*;
use crate::workers::ends;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use uvs::wire::build::Frame;
use uvs::wire::tcp;
use uvs::worker::held::HELD_MAX;
use uvs::worker::limit::ANSWERS_PER_S;

/// Clients of each established service.
pub const ESTABLISHED: u16 = 20;
/// What their packets carry, by which they are known whatever was rewritten.
const MARK: &[u8] = b"established";
/// Services: established by NAT and by FullNAT; new flows; FullNAT towards one server; servers that may be silent; none.
const NAT: u16 = 80;
const FULLNAT: u16 = 81;
pub const NEW: u16 = 90;
pub const ONE_SERVER: u16 = 91;
pub const SILENT: u16 = 92;
pub const NOBODY: u16 = 99;
/// Servers that may be silent: more than so many that their waiting frames fill the list.
const SILENT_SERVERS: u8 = 20;
/// Conns of UDP end after this.
const UDP_MS: u64 = 10_000;

/// What comes over a director, and what must be seen of it.
pub struct Flood {
    pub what: &'static str,
    pub conns_max: u32,
    /// How often its frames come, how many each time, and the time between.
    pub rounds: u32,
    pub frames: u32,
    pub round_ms: u64,
    /// The n-th frame, and the port it comes by.
    pub frame: fn(u32) -> (usize, Vec<u8>),
    /// The cause begins and ends.
    pub begin: fn(&mut Lab),
    pub end: fn(&mut Lab),
    /// The first time it begins before the director starts.
    pub from_start: bool,
    /// Packets of the established conns that come by these ports pass.
    pub passes: &'static [usize],
    /// They come one by one, and not all at once with the flood.
    pub one_by_one: bool,
    /// What counts the frames that it costs.
    pub counters: fn(&Lab) -> u64,
    /// What must hold all the time; how many frames left in this round, those of established conns not among them.
    pub bound: fn(&Lab, left: usize),
    /// What must have been seen in the end, or the flood was none.
    pub seen: fn(&Seen) -> bool,
}

/// What a flood came to: the most conns and, in all floods so far, held frames; frames that were counted, and that left.
#[derive(Debug, Default)]
pub struct Seen {
    pub conns: usize,
    pub held: u64,
    pub counted: u64,
    pub left: usize,
}

/// New flows, and nothing that they run into.
pub const FLOOD: Flood = Flood {
    what: "",
    conns_max: 5_000,
    rounds: 4,
    frames: 1_000,
    round_ms: 10,
    frame: |n| (WAN, datagram(n, NEW)),
    begin: |_| (),
    end: |_| (),
    from_start: false,
    passes: &[WAN, LAN],
    one_by_one: false,
    counters: |_| 0,
    bound: |_, _| (),
    seen: |_| true,
};

/// Buffers of all ports: each worker's held frames, and some bursts.
pub const BUFFERS: usize = 2 * HELD_MAX + 500;

/// Everything that a director must do while it is flooded, and after.
pub fn withstands(flood: Flood) {
    // With debug assertions once is enough of what takes so long.
    let long = flood.conns_max > 10_000;
    let counts: &[usize] = if long && cfg!(debug_assertions) { &[2] } else { &[1, 2] };
    for &workers in counts {
        let what = format!("{}, {workers} workers", flood.what);
        let mut lab = Lab::unstarted(&config(workers, flood.conns_max), ANSWERS_PER_S);
        lab.pool.set_free(BUFFERS);
        if flood.from_start {
            (flood.begin)(&mut lab);
        }
        // Neighbours that answer have done so; others are still waited for.
        lab.advance(1_000);
        let established = establish(&mut lab, &what);
        let before = State::of(&lab);
        let (mut memory, mut held_max) = (None, 0);
        // Twice: a second flood finds all memory taken that a first may take.
        for _ in 0..2 {
            (flood.begin)(&mut lab);
            let mut seen = strike(&mut lab, &flood, &established, &what);
            held_max = seen.held.max(held_max);
            seen.held = held_max;
            assert!((flood.seen)(&seen), "{what}: {seen:?}");
            (flood.end)(&mut lab);
            lab.advance_in_steps(UDP_MS + 2_000, 100);
            assert_eq!(State::of(&lab), before, "{what}: when it is over");
            all_is_well(&mut lab, &flood, &established, &what);
            lab.advance_in_steps(UDP_MS + 2_000, 100);
            assert_eq!(State::of(&lab), before, "{what}: and later");
            let taken = lab.control_bytes;
            assert!(memory.is_none_or(|memory| taken <= memory), "{what}: {memory:?} bytes of control grew to {taken}");
            memory = Some(taken);
            if long {
                break;
            }
        }
    }
}

/// The flood itself, with packets of the established conns among its own.
fn strike(lab: &mut Lab, flood: &Flood, established: &[(usize, Vec<u8>)], what: &str) -> Seen {
    let mut seen = Seen::default();
    let counted_before = (flood.counters)(lab);
    let passing: Vec<_> = established.iter().filter(|(port, _)| flood.passes.contains(port)).collect();
    for round in 0..flood.rounds {
        let mut left = Vec::new();
        let every = flood.frames as usize / passing.len().max(1);
        for n in 0..flood.frames {
            let (port, frame) = (flood.frame)(round * flood.frames + n);
            put(lab, n, port, &frame);
            if !flood.one_by_one
                && (n as usize).is_multiple_of(every)
                && let Some((port, frame)) = passing.get(n as usize / every)
            {
                put(lab, n / every as u32, *port, frame);
            }
        }
        left.extend(lab.settle());
        if flood.one_by_one {
            for (n, (port, frame)) in passing.iter().enumerate() {
                put(lab, n as u32, *port, frame);
                left.extend(lab.settle());
            }
        }
        let marked = left.iter().filter(|left| is_marked(left)).count();
        assert_eq!(marked, passing.len(), "{what}: packets of established conns in round {round}");
        let others = left.len() - marked;
        (flood.bound)(lab, others);
        seen.left += others;
        seen.conns = seen.conns.max(conns(lab));
        seen.held = seen.held.max((0..lab.workers.len()).map(|worker| lab.control.counts(worker).held).sum());
        lab.advance_in_steps(flood.round_ms, flood.round_ms.min(100));
    }
    seen.counted = (flood.counters)(lab) - counted_before;
    seen
}

/// Established conns pass, new ones are made everywhere, the director answers, and nothing more is counted.
fn all_is_well(lab: &mut Lab, flood: &Flood, established: &[(usize, Vec<u8>)], what: &str) {
    let drops =
        |lab: &Lab| -> u64 { (0..lab.workers.len()).map(|worker| lab.control.counts(worker).dropped_total()).sum() };
    let before = (drops(lab), lost_in_devices(lab));
    for (n, (port, frame)) in established.iter().enumerate() {
        put(lab, n as u32, *port, frame);
    }
    assert_eq!(lab.settle().iter().filter(|left| is_marked(left)).count(), established.len(), "{what}: afterwards");
    for service in [NEW, ONE_SERVER, SILENT] {
        (0..50).for_each(|n| put(lab, n, WAN, &datagram(1_000_000 + n, service)));
        let left = lab.settle();
        assert_eq!(left.iter().filter(|left| left.port == LAN).count(), 50, "{what}: new conns of port {service}");
    }
    put(lab, 0, WAN, &Frame::between(CLIENT, VIP).macs(mac(ROUTER), port_mac(WAN)).icmp(8, 0, 1, b"ping"));
    assert_eq!(lab.settle().len(), 1, "{what}: echo afterwards");
    assert_eq!((drops(lab), lost_in_devices(lab)), before, "{what}: {} counts on", flood.what);
}

/// What must be as it was.
#[derive(Debug, PartialEq, Eq)]
struct State {
    conns: Vec<usize>,
    held: u64,
    buffers: usize,
    loads: Vec<(u32, u32)>,
}

impl State {
    fn of(lab: &Lab) -> State {
        let servers = lab.control.book().list().flat_map(|(_, servers)| servers);
        State {
            conns: lab.workers.iter().map(|worker| worker.shard().table.len()).collect(),
            held: (0..lab.workers.len()).map(|worker| lab.control.counts(worker).held).sum(),
            buffers: lab.pool.free(),
            loads: servers.map(|listed| load(lab, listed.server.id)).collect(),
        }
    }
}

fn config(workers: usize, conns_max: u32) -> String {
    let lcores: Vec<usize> = (1..=workers).collect();
    let silent: String =
        silent().map(|server| self::server(&SocketAddr::new(server, SILENT).to_string(), "nat")).collect();
    network(&format!("workers = {lcores:?}\nconns_max = {conns_max}"))
        + &format!("[timeouts]\nudp = \"{}s\"\n", UDP_MS / 1_000)
        + &(service("tcp", &endpoint(VIP, NAT), "") + &server(&endpoint("10.0.0.11", NAT), "nat"))
        + &(service("tcp", &endpoint(VIP, FULLNAT), "") + &server(&endpoint("10.0.0.12", FULLNAT), "fullnat"))
        + &(service("udp", &endpoint(VIP, NEW), "") + &server(&endpoint("10.0.0.13", NEW), "dr"))
        + &(service("udp", &endpoint(VIP, ONE_SERVER), "") + &server(&endpoint("10.0.0.14", ONE_SERVER), "fullnat"))
        + &(service("udp", &endpoint(VIP, SILENT), "scheduler = \"rr\"") + &silent)
}

/// The servers that may be silent.
pub fn silent() -> impl Iterator<Item = IpAddr> {
    (0..SILENT_SERVERS).map(|n| Ipv4Addr::new(10, 0, 0, 100 + n).into())
}

/// TCP conns by NAT and FullNAT, in every worker. Gives a packet of each in both directions, with the port it comes by.
fn establish(lab: &mut Lab, what: &str) -> Vec<(usize, Vec<u8>)> {
    let mut packets = Vec::new();
    for n in 0..ESTABLISHED {
        for service in [NAT, FULLNAT] {
            let (client, vip) = (SocketAddr::new(ip(CLIENT), 50_000 + n), SocketAddr::new(ip(VIP), service));
            let asks = |flags, data: &[u8]| {
                let frame = Frame::new(client.ip(), vip.ip()).macs(mac(ROUTER), port_mac(WAN));
                frame.tcp((client.port(), vip.port()), (1, 1), flags, data)
            };
            put(lab, n.into(), WAN, &asks(tcp::SYN, b""));
            let (from, to) = ends(&lab.settle()[0].frame);
            let answers = |flags, data: &[u8]| {
                let frame = Frame::new(to.ip(), from.ip()).macs(host_mac(to.ip()), port_mac(LAN));
                frame.tcp((to.port(), from.port()), (1, 1), flags, data)
            };
            put(lab, n.into(), LAN, &answers(tcp::SYN | tcp::ACK, b""));
            put(lab, n.into(), WAN, &asks(tcp::ACK, b""));
            lab.settle();
            packets.push((WAN, asks(tcp::ACK, MARK)));
            packets.push((LAN, answers(tcp::ACK, MARK)));
        }
    }
    let conns: Vec<_> = lab.workers.iter().map(|worker| worker.shard().table.len()).collect();
    assert!(conns.iter().all(|&conns| conns > 0), "{what}: established conns: {conns:?}");
    packets
}

fn is_marked(left: &Left) -> bool {
    left.frame.ends_with(MARK)
}

/// The n-th of very many clients.
pub fn client(n: u32) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::from(0xcb00_7100 + n / 40_000).into(), (1_024 + n % 40_000) as u16)
}

/// The first datagram of the n-th client to this port of the VIP.
pub fn datagram(n: u32, service: u16) -> Vec<u8> {
    let client = client(n);
    Frame::new(client.ip(), ip(VIP)).macs(mac(ROUTER), port_mac(WAN)).udp(client.port(), service, b"new")
}

/// Puts a frame into one worker's queue of the port; which, is the n-th's turn.
fn put(lab: &Lab, n: u32, port: usize, frame: &[u8]) {
    let queue = n as usize % lab.workers.len();
    lab.cables[queue * 2 + port].put(frame);
}

/// Every worker's queues of this port.
pub fn ports(lab: &Lab, port: usize) -> impl Iterator<Item = usize> + use<> {
    (0..lab.workers.len()).map(move |worker| worker * 2 + port)
}

/// Conns of all workers.
pub fn conns(lab: &Lab) -> usize {
    lab.workers.iter().map(|worker| worker.shard().table.len()).sum()
}

/// Frames that came when there was no buffer.
pub fn lost_in_devices(lab: &Lab) -> u64 {
    lab.cables.iter().map(|cable| cable.no_buffer()).sum()
}
