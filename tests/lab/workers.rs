//! Several workers: the same traffic gives the same conns, whichever queue each frame comes by and in whatever order the
//! workers take their turns.

use crate::kit::{Lab, host_mac};
use crate::network::{FAMILIES, Family, LAN, VIP, WAN, endpoint, network, server, service};
use crate::rss::Nic;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use uvs::wire::build::Frame;
use uvs::wire::{Ipv4, Ipv6, tcp};

/// Flows of each service.
const FLOWS: u16 = 30;
/// Ports of a worker.
const PORTS: usize = 2;

/// The services of each family: method, protocol, port of the VIP.
const SERVICES: [(&str, &str, u16); 6] = [
    ("nat", "tcp", 80),
    ("dr", "tcp", 81),
    ("tun", "tcp", 82),
    ("fullnat", "tcp", 83),
    ("nat", "udp", 84),
    ("fullnat", "udp", 85),
];

/// What is left when the traffic is over: each conn's client and service → its server and state, and the servers' counts.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    conns: BTreeMap<(SocketAddr, SocketAddr), (SocketAddr, &'static str)>,
    counts: Vec<(SocketAddr, u32, u32)>,
    answered: usize,
}

/// How services are steered, those of NAT always by source, and which queue a frame comes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Feed {
    /// By source; any queue.
    Source,
    /// By the tuple; any queue.
    Tuple,
    /// By the tuple; the queue that a NIC with RSS chooses.
    Nic,
}

fn config(workers: usize, scheduler: &str, feed: Feed) -> String {
    let lcores: Vec<String> = (1..=workers).map(|lcore| lcore.to_string()).collect();
    let services = FAMILIES.iter().flat_map(|family| {
        SERVICES.map(|(method, protocol, port)| {
            let same_port = matches!(method, "dr" | "tun");
            let servers = ["1", "2", "3"].map(|last| {
                let port = if same_port { port } else { 8000 + port };
                // 10.0.0.11, fd00:1::11, …
                server(&endpoint(&format!("{}{last}", &family.rip[..family.rip.len() - 1]), port), method)
            });
            let steer = if method == "nat" || feed == Feed::Source { "source" } else { "tuple" };
            let rest = format!("scheduler = {scheduler:?}\nflags = {}\nsteer = {steer:?}", flags(scheduler));
            service(protocol, &endpoint(family.vip, port), &rest) + &servers.concat()
        })
    });
    network(&format!("workers = [{}]\nconns_max = 5000", lcores.join(", "))) + &services.collect::<String>()
}

fn flags(scheduler: &str) -> &'static str {
    match scheduler {
        "sh" => r#"["sh-port"]"#,
        "mh" => r#"["mh-port"]"#,
        _ => "[]",
    }
}

fn client_of(family: &Family, flow: u16) -> SocketAddr {
    let host = 1 + flow % 9;
    let address = if family.name == "IPv4" { format!("203.0.113.{host}") } else { format!("2001:db8:c::{host}") };
    SocketAddr::new(address.parse().unwrap(), 20_000 + flow)
}

/// One run: SYN or datagram, the server's answer where it comes back through the director, the client's last word.
fn run(workers: usize, seed: u64, scheduler: &str, feed: Feed) -> Outcome {
    let mut lab = Lab::new(&config(workers, scheduler, feed));
    let nics = (feed == Feed::Nic).then(|| [WAN, LAN].map(|port| Nic::new(&mut lab, port, 128, 128)));
    let nics = nics.as_ref();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut answered = 0;
    for flow in 0..FLOWS {
        let services = FAMILIES.iter().flat_map(|family| SERVICES.map(|service| (family, service)));
        for (family, (method, protocol, port)) in services {
            let client = client_of(family, flow);
            let vip = SocketAddr::new(family.vip.parse().unwrap(), port);
            let first = packet(protocol, client, vip, tcp::SYN, WAN);
            let left = play(&mut lab, &mut random, nics, WAN, &first);
            let forwarded = &left.iter().find(|(by, _)| *by == LAN).expect("the first packet is forwarded").1;
            if matches!(method, "dr" | "tun") {
                play(&mut lab, &mut random, nics, WAN, &packet(protocol, client, vip, tcp::ACK, WAN));
                continue;
            }
            let (source, destination) = ends(forwarded);
            let reply = packet(protocol, destination, source, tcp::SYN | tcp::ACK, LAN);
            let back = play(&mut lab, &mut random, nics, LAN, &reply);
            let back = &back.iter().find(|(by, _)| *by == WAN).expect("the reply is translated back").1;
            assert_eq!(ends(back), (vip, client), "{method} {protocol} of {workers} workers");
            answered += 1;
            let last = if flow % 3 == 0 { tcp::FIN | tcp::ACK } else { tcp::ACK };
            play(&mut lab, &mut random, nics, WAN, &packet(protocol, client, vip, last, WAN));
        }
    }
    outcome(&lab, answered)
}

/// Puts the frame into the NIC's, or a random worker's, queue and lets the workers work in random order until nothing moves.
fn play(
    lab: &mut Lab,
    random: &mut fastrand::Rng,
    nics: Option<&[Nic; PORTS]>,
    port: usize,
    frame: &[u8],
) -> Vec<(usize, Vec<u8>)> {
    let workers = lab.workers.len();
    match nics {
        Some(nics) => nics[port].put(lab, frame),
        None => lab.cables[random.usize(..workers) * PORTS + port].put(frame),
    }
    for _ in 0..random.usize(..2 * workers) {
        let now = lab.now();
        lab.workers[random.usize(..workers)].turn(now);
    }
    lab.settle().into_iter().map(|left| (left.port, left.frame)).collect()
}

fn packet(protocol: &str, from: SocketAddr, to: SocketAddr, flags: u8, side: usize) -> Vec<u8> {
    let (from_mac, to_mac) = (host_mac(from.ip()), crate::kit::port_mac(side));
    let frame = Frame::new(from.ip(), to.ip()).macs(from_mac, to_mac);
    match protocol {
        "tcp" => frame.tcp((from.port(), to.port()), (1, 1), flags, b""),
        _ => frame.udp(from.port(), to.port(), b"datagram"),
    }
}

/// The ends of a TCP or UDP packet.
pub fn ends(frame: &[u8]) -> (SocketAddr, SocketAddr) {
    let l3 = &frame[14..];
    let (source, destination, l4): (IpAddr, IpAddr, _) = match Ipv4::of(l3).filter(|ip| ip.version() == 4) {
        Some(ip) => (ip.source().into(), ip.destination().into(), 20),
        None => {
            let ip = Ipv6::of(l3).unwrap();
            (ip.source().into(), ip.destination().into(), 40)
        }
    };
    let port = |at: usize| u16::from_be_bytes([l3[l4 + at], l3[l4 + at + 1]]);
    (SocketAddr::new(source, port(0)), SocketAddr::new(destination, port(2)))
}

fn outcome(lab: &Lab, answered: usize) -> Outcome {
    let end = |(address, port)| SocketAddr::new(address, port);
    let conns = lab.conns().into_iter().map(|conn| {
        let state = conntrack::states::name(conn.protocol(), conn.state);
        ((end(conn.client()), end(conn.vip())), (end(conn.real_server()), state))
    });
    let counts = lab.control.book().list().flat_map(|(_, servers)| servers).map(|listed| {
        let load = lab.control.shared().live.load(listed.server.id);
        (listed.address(), load.active, load.total)
    });
    Outcome { conns: conns.collect(), counts: counts.collect(), answered }
}

/// sh, dh and mh are pure functions of the flow, so the servers are the same, too, whatever order the flows come in.
#[test]
fn the_same_traffic_gives_the_same_conns_with_any_number_of_workers() {
    for scheduler in ["sh", "dh", "mh"] {
        let one = run(1, 1, scheduler, Feed::Source);
        assert_eq!(one.conns.len(), usize::from(FLOWS) * SERVICES.len() * FAMILIES.len());
        assert_eq!(one.answered, usize::from(FLOWS) * 4 * FAMILIES.len());
        for workers in 2..=4 {
            for (seed, feed) in [Feed::Source, Feed::Tuple, Feed::Nic].into_iter().enumerate() {
                let several = run(workers, seed as u64, scheduler, feed);
                assert_eq!(several, one, "{scheduler}, {workers} workers, {feed:?}");
            }
        }
    }
}

#[test]
fn schedulers_with_a_cursor_are_one_over_all_workers() {
    // Flows come one after another, so the cursor moves as with one worker, whoever owns each flow.
    for (scheduler, feed) in [("rr", Feed::Nic), ("wrr", Feed::Source), ("wlc", Feed::Tuple)] {
        let one = run(1, 1, scheduler, Feed::Source);
        for workers in 2..=4 {
            assert_eq!(run(workers, 9, scheduler, feed), one, "{scheduler}, {workers} workers, {feed:?}");
        }
    }
}

#[test]
fn every_worker_gets_its_share() {
    let mut lab = Lab::new(&config(4, "rr", Feed::Source));
    let mut random = fastrand::Rng::with_seed(3);
    for flow in 0..400 {
        let client: SocketAddr = format!("203.0.113.7:{}", 20_000 + flow).parse().unwrap();
        let vip: SocketAddr = format!("{VIP}:80").parse().unwrap();
        play(&mut lab, &mut random, None, WAN, &packet("tcp", client, vip, tcp::SYN, WAN));
    }
    let conns: Vec<usize> = lab.workers.iter().map(|worker| worker.shard().table.len()).collect();
    assert_eq!(conns.iter().sum::<usize>(), 400);
    assert!(conns.iter().all(|&conns| (60..=140).contains(&conns)), "{conns:?}");
}

#[test]
fn an_address_that_was_a_vip_serves_as_local_address_at_once() {
    let service_of = |local: &str| {
        network("workers = [1, 2, 3, 4]\nconns_max = 1000").replace("10.0.0.240/32", local)
            + &service("tcp", &endpoint(VIP, 80), "scheduler = \"rr\"")
            + &server("10.0.0.11:8080", "fullnat")
    };
    let before = service_of("10.0.0.241/32") + &service("tcp", "10.0.0.240:80", "") + &server("10.0.0.12:8080", "nat");
    let after = config::parse(&service_of("10.0.0.240/32"), "after.toml").unwrap();
    let mut lab = Lab::new(&before);
    lab.control.apply(after).unwrap();
    lab.settle();
    for port in 20_000..20_040 {
        let client: SocketAddr = format!("203.0.113.7:{port}").parse().unwrap();
        let vip: SocketAddr = format!("{VIP}:80").parse().unwrap();
        let (local, server) = ends(&lab.send(WAN, &packet("tcp", client, vip, tcp::SYN, WAN))[0].frame);
        let back = lab.send(LAN, &packet("tcp", server, local, tcp::SYN | tcp::ACK, LAN));
        assert_eq!(back.iter().filter(|left| left.port == WAN).count(), 1, "the reply to {client}");
    }
}
