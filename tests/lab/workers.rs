//! Several workers: the same traffic gives the same conns, whichever queue each frame comes by and in whatever order the
//! workers take their turns.

use crate::kit::{Lab, host_mac};
use crate::network::{LAN, VIP, WAN, endpoint, network, server, service};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use uvs::wire::build::Frame;
use uvs::wire::{Ipv4, tcp};

/// Flows of each service.
const FLOWS: u16 = 60;
/// Ports of a worker.
const PORTS: usize = 2;

/// The services: method, protocol, port of the VIP. All schedule by sh, a pure function of the client.
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

fn config(workers: usize, scheduler: &str) -> String {
    let lcores: Vec<String> = (1..=workers).map(|lcore| lcore.to_string()).collect();
    let services = SERVICES.map(|(method, protocol, port)| {
        let same_port = matches!(method, "dr" | "tun");
        let servers = [11, 12, 13].map(|last| {
            let port = if same_port { port } else { 8000 + port };
            server(&endpoint(&format!("10.0.0.{last}"), port), method)
        });
        service(protocol, &endpoint(VIP, port), &format!("scheduler = {scheduler:?}\nflags = {}", flags(scheduler)))
            + &servers.concat()
    });
    network(&format!("workers = [{}]\nconns_max = 5000", lcores.join(", "))) + &services.concat()
}

fn flags(scheduler: &str) -> &'static str {
    if scheduler == "sh" { r#"["sh-port"]"# } else { "[]" }
}

/// One run: SYN or datagram, the server's answer where it comes back through the director, the client's last word.
fn run(workers: usize, seed: u64, scheduler: &str) -> Outcome {
    let mut lab = Lab::new(&config(workers, scheduler));
    let mut random = fastrand::Rng::with_seed(seed);
    let mut answered = 0;
    for flow in 0..FLOWS {
        for (method, protocol, port) in SERVICES {
            let client: SocketAddr = format!("203.0.113.{}:{}", 1 + flow % 9, 20_000 + flow).parse().unwrap();
            let vip: SocketAddr = format!("{VIP}:{port}").parse().unwrap();
            let first = packet(protocol, client, vip, tcp::SYN, WAN);
            let left = play(&mut lab, &mut random, WAN, &first);
            let forwarded = &left.iter().find(|(by, _)| *by == LAN).expect("the first packet is forwarded").1;
            if matches!(method, "dr" | "tun") {
                play(&mut lab, &mut random, WAN, &packet(protocol, client, vip, tcp::ACK, WAN));
                continue;
            }
            let (source, destination) = ends(forwarded);
            let reply = packet(protocol, destination, source, tcp::SYN | tcp::ACK, LAN);
            let back = play(&mut lab, &mut random, LAN, &reply);
            let back = &back.iter().find(|(by, _)| *by == WAN).expect("the reply is translated back").1;
            assert_eq!(ends(back), (vip, client), "{method} {protocol} of {workers} workers");
            answered += 1;
            let last = if flow % 3 == 0 { tcp::FIN | tcp::ACK } else { tcp::ACK };
            play(&mut lab, &mut random, WAN, &packet(protocol, client, vip, last, WAN));
        }
    }
    outcome(&lab, answered)
}

/// Puts the frame into a random worker's queue and lets the workers work in random order until nothing moves.
fn play(lab: &mut Lab, random: &mut fastrand::Rng, port: usize, frame: &[u8]) -> Vec<(usize, Vec<u8>)> {
    let workers = lab.workers.len();
    lab.cables[random.usize(..workers) * PORTS + port].put(frame);
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

/// The ends of a TCP or UDP packet over IPv4.
fn ends(frame: &[u8]) -> (SocketAddr, SocketAddr) {
    let l3 = &frame[14..];
    let ip = Ipv4::of(l3).unwrap();
    let port = |at: usize| u16::from_be_bytes([l3[20 + at], l3[20 + at + 1]]);
    (SocketAddr::new(ip.source().into(), port(0)), SocketAddr::new(ip.destination().into(), port(2)))
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

#[test]
fn the_same_traffic_gives_the_same_conns_with_any_number_of_workers() {
    let one = run(1, 1, "sh");
    assert_eq!(one.conns.len(), usize::from(FLOWS) * SERVICES.len());
    assert_eq!(one.answered, usize::from(FLOWS) * 4);
    for workers in 2..=4 {
        for seed in 0..4 {
            assert_eq!(run(workers, seed, "sh"), one, "{workers} workers, seed {seed}");
        }
    }
}

#[test]
fn schedulers_with_a_cursor_are_one_over_all_workers() {
    // Flows come one after another, so the cursor moves as with one worker, whoever owns each flow.
    for scheduler in ["rr", "wrr", "wlc"] {
        let one = run(1, 1, scheduler);
        for workers in 2..=4 {
            assert_eq!(run(workers, 9, scheduler), one, "{scheduler}, {workers} workers");
        }
    }
}

#[test]
fn every_worker_gets_its_share() {
    let mut lab = Lab::new(&config(4, "rr"));
    let mut random = fastrand::Rng::with_seed(3);
    for flow in 0..400 {
        let client: SocketAddr = format!("203.0.113.7:{}", 20_000 + flow).parse().unwrap();
        let vip: SocketAddr = format!("{VIP}:80").parse().unwrap();
        play(&mut lab, &mut random, WAN, &packet("tcp", client, vip, tcp::SYN, WAN));
    }
    let conns: Vec<usize> = lab.workers.iter().map(|worker| worker.shard().table.len()).collect();
    assert_eq!(conns.iter().sum::<usize>(), 400);
    assert!(conns.iter().all(|&conns| (60..=140).contains(&conns)), "{conns:?}");
}

#[test]
fn an_icmp_error_finds_its_conn_at_whichever_worker_it_arrives() {
    let mut lab = Lab::new(&config(4, "rr"));
    let vip: SocketAddr = format!("{VIP}:80").parse().unwrap();
    let client: SocketAddr = "203.0.113.7:20000".parse().unwrap();
    let left = lab.send(WAN, &packet("tcp", client, vip, tcp::SYN, WAN));
    let (_, server) = ends(&left[0].frame);
    for worker in 0..4 {
        // A router on the servers' side quotes the packet as the server would have got it.
        let quoted = Frame::new(client.ip(), server.ip()).tcp((client.port(), server.port()), (1, 1), tcp::SYN, b"");
        let router: std::net::IpAddr = "10.0.0.200".parse().unwrap();
        let error = Frame::new(router, client.ip()).macs(host_mac(router), crate::kit::port_mac(LAN)).icmp(
            3,
            1,
            0,
            &quoted[14..],
        );
        lab.cables[worker * PORTS + LAN].put(&error);
        let left = lab.settle();
        let translated: Vec<_> = left.iter().filter(|left| left.port == WAN).collect();
        assert_eq!(translated.len(), 1, "worker {worker}");
        assert_eq!(Ipv4::of(&translated[0].frame[14..]).unwrap().source(), VIP.parse::<std::net::Ipv4Addr>().unwrap());
    }
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
