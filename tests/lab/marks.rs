//! Firewall marks with several workers. A rule may fit replies as well as requests, and may be gone while its conns live:
//! neither may part a packet from its conn.

use crate::kit::Lab;
use crate::network::*;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use uvs::pipeline::Reason;
use uvs::services::book::ServerSpec;
use uvs::wire::build::Frame;

/// Ports of a worker.
const PORTS: usize = 2;
const FLOWS: u16 = 60;

/// Takes every UDP packet there is.
const UNDIRECTED: &str = "[[mark]]\nprotocol = \"udp\"\nmark = 7\n";

fn config(workers: usize, rules: &str, method: &str, port: u16) -> String {
    let lcores: Vec<String> = (1..=workers).map(|lcore| lcore.to_string()).collect();
    let mut text = network(&format!("workers = [{}]\nconns_max = 2000", lcores.join(", "))) + rules;
    text += &service("udp", &endpoint(VIP, 80), "scheduler = \"rr\"");
    text += &(server("10.0.0.21:80", "nat") + &server("10.0.0.22:8080", "nat"));
    if !rules.is_empty() {
        text += "[[service]]\nfwmark = 7\nscheduler = \"rr\"\n";
        text += &[11, 12].map(|last| server(&format!("10.0.0.{last}:{port}"), method)).concat();
    }
    text
}

fn datagram(from: SocketAddr, to: SocketAddr, by: usize) -> Vec<u8> {
    let frame = Frame::new(from.ip(), to.ip()).macs(crate::kit::host_mac(from.ip()), crate::kit::port_mac(by));
    frame.udp(from.port(), to.port(), b"x")
}

/// The ends of a UDP packet over IPv4.
fn ends(frame: &[u8]) -> (SocketAddr, SocketAddr) {
    let end = |address: usize, port: usize| {
        let address: [u8; 4] = frame[address..address + 4].try_into().unwrap();
        SocketAddr::from((address, u16::from_be_bytes([frame[port], frame[port + 1]])))
    };
    (end(26, 34), end(30, 36))
}

/// A request and its reply, each by a worker's queue of its own. Gives the server.
fn exchange(lab: &mut Lab, flow: u16, to: &str) -> SocketAddr {
    let workers = lab.workers.len();
    let client: SocketAddr = format!("203.0.113.{}:{}", 1 + flow % 9, 20_000 + flow).parse().unwrap();
    let service: SocketAddr = to.parse().unwrap();
    lab.cables[usize::from(flow) % workers * PORTS + WAN].put(&datagram(client, service, WAN));
    let left = lab.settle();
    assert_eq!((left.len(), left[0].port), (1, LAN), "{client} > {to}: {:?}", shown(&left));
    let (local, server) = ends(&left[0].frame);
    lab.cables[usize::from(flow / 3) % workers * PORTS + LAN].put(&datagram(server, local, LAN));
    let back = lab.settle();
    assert_eq!((back.len(), back[0].port), (1, WAN), "{server} > {local}: {:?}", shown(&back));
    assert_eq!(ends(&back[0].frame), (service, client));
    server
}

fn exchange_all(lab: &mut Lab, to: &str) {
    for flow in 0..FLOWS {
        exchange(lab, flow, to);
    }
}

/// To the VIP, to addresses that only a rule makes a service's, and from servers with a port and with any.
#[test]
fn replies_that_a_rule_fits_find_their_conn() {
    for (method, port) in [("nat", 0), ("nat", 5353), ("fullnat", 5353)] {
        for workers in 1..=4 {
            let mut lab = Lab::new(&config(workers, UNDIRECTED, method, port));
            let mut servers = BTreeSet::new();
            for flow in 0..FLOWS {
                // A rule takes what is for the VIP, too.
                servers.insert(exchange(&mut lab, flow, "198.51.100.10:80").ip());
                servers.insert(exchange(&mut lab, flow, &format!("198.51.100.99:{}", 1000 + flow)).ip());
            }
            assert_eq!(servers.len(), 2, "rr: {servers:?}");
            assert_eq!(lab.conns().len(), 2 * usize::from(FLOWS), "{method}, {workers} workers");
            assert_eq!(lab.dropped(Reason::NotForUs), 0);
        }
    }
}

#[test]
fn conns_outlive_their_rule_and_their_service() {
    let directed = "[[mark]]\ndestination = \"198.51.100.99\"\nmark = 7\n";
    let mut lab = Lab::new(&config(4, UNDIRECTED, "nat", 0));
    let to = "198.51.100.99:53";
    exchange_all(&mut lab, to);
    // Another rule: the old conns are no business of it.
    let other = directed.replace(".99", ".98");
    lab.control.apply(config::parse(&config(4, &other, "nat", 0), "new.toml").unwrap()).unwrap();
    lab.settle();
    exchange_all(&mut lab, to);
    exchange_all(&mut lab, "198.51.100.10:80");
    // No rule and no service: the server is gone, its replies are still translated.
    let conns = lab.conns().len();
    lab.control.apply(config::parse(&config(4, "", "nat", 0), "new.toml").unwrap()).unwrap();
    lab.settle();
    for conn in lab.conns().iter().filter(|conn| conn.vip().1 == 53) {
        let end = |(address, port)| SocketAddr::new(address, port);
        for worker in 0..4 {
            lab.cables[worker * PORTS + LAN].put(&datagram(end(conn.real_server()), end(conn.client()), LAN));
            assert_eq!(lab.settle().len(), 1, "by worker {worker}");
            lab.cables[worker * PORTS + WAN].put(&datagram(end(conn.client()), end(conn.vip()), WAN));
            assert_eq!(lab.settle().len(), 0);
        }
    }
    assert_eq!(lab.dropped(Reason::ServerGone), 4 * u64::from(FLOWS), "the conns are found: {conns}");
    assert_eq!(lab.dropped(Reason::NotForUs), 0);
    // Rules come to a director that had none, under load.
    let mut lab = Lab::new(&config(4, "", "nat", 0));
    exchange_all(&mut lab, "198.51.100.10:80");
    lab.control.apply(config::parse(&config(4, directed, "nat", 0), "new.toml").unwrap()).unwrap();
    lab.settle();
    exchange_all(&mut lab, "198.51.100.10:80");
    exchange_all(&mut lab, to);
    assert_eq!(lab.conns().len(), 2 * usize::from(FLOWS));
}

/// Conns of a persistent service of all ports go to the port that the client sent to (recorded): replies come from there.
#[test]
fn conns_that_keep_their_clients_ports_get_their_replies() {
    let scheduled = "fwmark = 7\nscheduler = \"rr\"\n";
    let persistent = format!("{scheduled}persistent = \"100s\"\n");
    for workers in 1..=4 {
        let text = |service| config(workers, UNDIRECTED, "nat", 5353).replace(scheduled, service);
        let exchange_all = |lab: &mut Lab, first: u16, keeps_ports: bool| {
            for port in first..first + FLOWS {
                let server = exchange(lab, port, &format!("198.51.100.99:{port}"));
                assert_eq!(server.port(), if keeps_ports { port } else { 5353 }, "{workers} workers");
            }
        };
        // Persistent from the start, and by an edit. Conns of then outlive another.
        let mut lab = Lab::new(&text(&persistent));
        exchange_all(&mut lab, 1000, true);
        for (first, service) in [(2000, scheduled), (3000, &persistent), (4000, scheduled)] {
            lab.control.apply(config::parse(&text(service), "new.toml").unwrap()).unwrap();
            lab.settle();
            exchange_all(&mut lab, first, service == persistent);
        }
        for conn in lab.conns() {
            let end = |(address, port)| SocketAddr::new(address, port);
            lab.put_to(0, LAN, &datagram(end(conn.real_server()), end(conn.client()), LAN));
            assert_eq!(ends(&lab.settle()[0].frame), (end(conn.vip()), end(conn.client())), "{workers} workers");
        }
        assert_eq!(lab.conns().len(), 4 * usize::from(FLOWS));
    }
}

/// A server's first reply may come before control has had another turn.
#[test]
fn a_new_servers_first_reply_finds_its_conn() {
    let mut lab = Lab::new(&config(4, UNDIRECTED, "nat", 0));
    let (service, listed) = lab.control.book().list().find(|(service, _)| service.key.vip().is_none()).unwrap();
    let (key, spec) = (service.key, crate::services::spec_of(&listed[0]));
    let new: SocketAddr = "10.0.0.13:0".parse().unwrap();
    for old in ["10.0.0.11:0", "10.0.0.12:0"] {
        lab.control.edit_server(key, old.parse().unwrap(), ServerSpec { weight: 0, ..spec }).unwrap();
    }
    lab.settle();
    lab.control.add_server(key, new, spec).unwrap();
    let turn_workers = |lab: &mut Lab| {
        let now = lab.now();
        for _ in 0..8 {
            for worker in &mut lab.workers {
                worker.turn(now);
            }
        }
        lab.cables.iter().flat_map(|cable| cable.take()).filter(|frame| frame[12..14] == [8, 0]).collect::<Vec<_>>()
    };
    for flow in 0..FLOWS {
        let client: SocketAddr = format!("203.0.113.7:{}", 20_000 + flow).parse().unwrap();
        let to: SocketAddr = "198.51.100.99:53".parse().unwrap();
        lab.cables[WAN].put(&datagram(client, to, WAN));
        let _waits_for_the_neighbour = turn_workers(&mut lab);
        lab.cables[LAN].put(&datagram(SocketAddr::new(new.ip(), 53), client, LAN));
        let back = turn_workers(&mut lab);
        assert_eq!(back.last().map(|frame| ends(frame)), Some((to, client)), "flow {flow}");
    }
}

/// What marks take is steered by both ends if their services say so.
#[test]
fn services_of_marks_by_the_tuple() {
    let text = config(4, "", "nat", 0)
        + "[[mark]]\ndestination = \"198.51.100.96/28\"\nmark = 7\n[[service]]\nfwmark = 7\nscheduler = \"rr\"\nsteer = \"tuple\"\n"
        + &server("10.0.0.11:0", "dr")
        + &server("10.0.0.12:0", "fullnat");
    let mut lab = Lab::new(&text);
    let nic = crate::rss::Nic::new(&mut lab, WAN, 128, 128);
    for flow in 0..FLOWS {
        let client: SocketAddr = format!("203.0.113.7:{}", 20_000 + flow).parse().unwrap();
        let to: SocketAddr = format!("198.51.100.99:{}", 1000 + flow).parse().unwrap();
        for _ in 0..2 {
            nic.put(&lab, &datagram(client, to, WAN));
            assert_eq!(lab.settle().len(), 1);
        }
    }
    assert_eq!(lab.workers.iter().map(|worker| worker.shard().counts.handed_out).sum::<u64>(), 0);
    assert_eq!(lab.conns().len(), usize::from(FLOWS));
    exchange_all(&mut lab, "198.51.100.10:80");
}
