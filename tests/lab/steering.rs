//! `steer = "tuple"`: with the director's key and table in a NIC, what clients send is at its owner at once; and whatever is
//! not, finds it all the same.

use crate::kit::Lab;
use crate::network::*;
use crate::rss::Nic;
use std::net::SocketAddr;
use uvs::services::ServiceKey;
use uvs::services::book::Refused;
use uvs::wire::build::Frame;
use uvs::wire::tcp;

/// Ports of a worker.
const PORTS: usize = 2;

fn config(workers: usize, steer: &str) -> String {
    let lcores: Vec<String> = (1..=workers).map(|lcore| lcore.to_string()).collect();
    let mut text = network(&format!("workers = [{}]\nconns_max = 2000", lcores.join(", ")));
    for family in FAMILIES {
        for (method, protocol, port) in [("dr", "tcp", 81), ("tun", "udp", 82), ("fullnat", "tcp", 83)] {
            let rest = format!("scheduler = \"rr\"\nsteer = {steer:?}");
            text += &service(protocol, &endpoint(family.vip, port), &rest);
            text += &server(&endpoint(family.rip, port), method);
        }
    }
    text
}

fn handed_out(lab: &Lab) -> u64 {
    lab.workers.iter().map(|worker| worker.shard().counts.handed_out).sum()
}

/// What clients of both families send to every service, `flows` flows of two packets each.
fn client_frames(flows: u16) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for flow in 0..flows {
        for family in FAMILIES {
            let ends = |port| (20_000 + flow, port);
            for flags in [tcp::SYN, tcp::ACK] {
                frames.push(family.client_sends().tcp(ends(81), (1, 1), flags, b""));
                frames.push(family.client_sends().udp(20_000 + flow, 82, b"datagram"));
                frames.push(family.client_sends().tcp(ends(83), (1, 1), flags, b""));
            }
        }
    }
    frames
}

#[test]
fn behind_rss_no_frame_to_a_tuple_service_makes_a_hop() {
    for workers in 1..=4 {
        // The port's table, and the shortest of all ports.
        for (entries, shortest) in [(128, 128), (512, 512), (256, 64), (64, 128)] {
            let mut lab = Lab::new(&config(workers, "tuple"));
            let nic = Nic::new(&mut lab, WAN, entries, shortest);
            let frames = client_frames(20);
            for frame in &frames {
                nic.put(&lab, frame);
                assert_eq!(lab.settle().len(), 1);
            }
            assert_eq!(handed_out(&lab), 0, "{workers} workers, {entries} entries, {shortest} the shortest");
            assert_eq!(lab.conns().len(), frames.len() / 2);
            let busy = lab.workers.iter().filter(|worker| worker.shard().table.len() >= 10).count();
            assert_eq!(busy, workers, "every worker has its share");
        }
    }
}

/// The same traffic to services that are steered by source: most of it hops, and the outcome is the same.
#[test]
fn steered_by_source_they_hop_and_arrive() {
    let mut lab = Lab::new(&config(4, "source"));
    let nic = Nic::new(&mut lab, WAN, 128, 128);
    let frames = client_frames(20);
    for frame in &frames {
        nic.put(&lab, frame);
        assert_eq!(lab.settle().len(), 1);
    }
    assert!(handed_out(&lab) > frames.len() as u64 / 2, "{}", handed_out(&lab));
    assert_eq!(lab.conns().len(), frames.len() / 2);
}

/// What leaves for an ICMP error that arrives at each worker in turn.
fn at_every_worker(lab: &mut Lab, port: usize, error: &[u8], leaves_by: usize, what: &str) {
    for worker in 0..lab.workers.len() {
        lab.cables[worker * PORTS + port].put(error);
        let left = lab.settle();
        assert_eq!(shown(&left).len(), 1, "{what}, worker {worker}: {:?}", shown(&left));
        assert_eq!(left[0].port, leaves_by, "{what}, worker {worker}");
        checksums_are_right(&left[0].frame);
    }
}

#[test]
fn an_icmp_error_finds_its_conn_for_every_method_and_both_ways_to_steer() {
    for (steer, methods) in [("source", &["nat", "dr", "tun", "fullnat"][..]), ("tuple", &["dr", "tun", "fullnat"][..])]
    {
        for (method, family) in methods.iter().flat_map(|method| FAMILIES.map(|family| (method, family))) {
            let what = format!("{method}, steer {steer}, {}", family.name);
            let text = network("workers = [1, 2, 3, 4]\nconns_max = 100")
                + &service("udp", &endpoint(family.vip, 80), &format!("steer = {steer:?}"))
                + &server(&endpoint(family.rip, 80), method);
            let mut lab = Lab::new(&text);
            let (kind, code) = if family.name == "IPv4" { (3, 3) } else { (1, 4) };
            for flow in 0..8 {
                let client_port = 20_000 + flow;
                let sent = lab.send(WAN, &family.client_sends().udp(client_port, 80, b"x"));
                // The client's host: nobody listens any more for what the service answered.
                let answer = Frame::between(family.vip, family.client).udp(80, client_port, b"y");
                let error = family.client_sends().icmp(kind, code, 0, &answer[14..]);
                at_every_worker(&mut lab, WAN, &error, LAN, &what);
                if matches!(*method, "nat" | "fullnat") {
                    // The server's host says the same of what it got.
                    let got = &sent[0].frame[14..];
                    let to = if *method == "nat" { family.client } else { family.lip };
                    let error = family.server_sends(to).icmp(kind, code, 0, got);
                    at_every_worker(&mut lab, LAN, &error, WAN, &what);
                }
            }
            assert_eq!(lab.conns().len(), 8, "{what}");
        }
    }
}

/// A client's conns belong to several workers, and its template to all.
#[test]
fn a_template_is_every_workers() {
    let text = network("workers = [1, 2, 3, 4]\nconns_max = 1000")
        + &service("tcp", &endpoint(VIP, 80), "scheduler = \"rr\"\npersistent = \"5m\"\nsteer = \"tuple\"")
        + &[11, 12, 13].map(|last| server(&format!("10.0.0.{last}:80"), "dr")).concat();
    let mut lab = Lab::new(&text);
    let nic = Nic::new(&mut lab, WAN, 128, 128);
    for client in ["203.0.113.7", "203.0.113.8"] {
        let mut servers = Vec::new();
        for port in 20_000..20_040 {
            nic.put(&lab, &V4.client_at(client).tcp((port, 80), (1, 0), tcp::SYN, b""));
            servers.push(lab.settle()[0].frame[..6].to_vec());
        }
        servers.dedup();
        assert_eq!(servers.len(), 1, "{client} stays at its server");
    }
    assert_eq!(lab.control.shared().templates.len(), 2);
    assert!(lab.workers.iter().all(|worker| worker.shard().table.len() >= 5), "every worker has some");
    assert_eq!(handed_out(&lab), 0);
}

#[test]
fn a_running_director_refuses_what_would_part_a_flow_from_its_conn() {
    let udp = |port, steer: &str, method: &str| {
        service("udp", &endpoint(VIP, port), &format!("steer = {steer:?}")) + &server(&endpoint(RIP, port), method)
    };
    let base = network("workers = [1, 2, 3]\nconns_max = 100");
    let apply = |lab: &mut Lab, text: &str| lab.control.apply(config::parse(text, "new.toml").unwrap()).map(|_| ());
    let mut lab = Lab::new(&(base.clone() + &udp(80, "tuple", "dr")));
    let key = ServiceKey::Endpoint { protocol: 17, vip: VIP.parse().unwrap(), port: 80 };

    let changed = apply(&mut lab, &(base.clone() + &udp(80, "source", "dr"))).unwrap_err();
    assert!(
        changed[0].starts_with("service udp 198.51.100.10:80: steer: found source, the director runs"),
        "{changed:?}"
    );

    let (_, listed) = lab.control.book().list().next().unwrap();
    let nat =
        uvs::services::book::ServerSpec { method: conntrack::Method::Nat, ..crate::services::spec_of(&listed[0]) };
    let (old, new): (SocketAddr, SocketAddr) = (listed[0].address(), "10.0.0.12:80".parse().unwrap());
    assert_eq!(lab.control.add_server(key, new, nat), Err(Refused::NatByTuple));
    assert_eq!(lab.control.edit_server(key, old, nat), Err(Refused::NatByTuple));

    // Removed, it is remembered as long as its conn lives, and two minutes.
    lab.send(WAN, &V4.client_sends().udp(20_000, 80, b"x"));
    apply(&mut lab, &base).unwrap();
    let again = apply(&mut lab, &(base.clone() + &udp(80, "source", "nat"))).unwrap_err();
    assert!(
        again[0].contains("such flows are, or were, for udp 198.51.100.10:80, which is steered otherwise"),
        "{again:?}"
    );
    let all_ports = service("udp", &endpoint(VIP, 0), "persistent = \"1m\"") + &server(&endpoint(RIP, 0), "nat");
    assert_eq!(apply(&mut lab, &(base.clone() + &all_ports)).unwrap_err().len(), 1);
    lab.send(WAN, &V4.client_sends().udp(20_000, 80, b"x"));
    apply(&mut lab, &(base.clone() + &udp(81, "source", "nat"))).unwrap();
    lab.advance_in_steps(430_000, 1_000);
    apply(&mut lab, &(base.clone() + &udp(80, "source", "nat"))).unwrap();
    // Its clients are served, whichever worker.
    for port in 20_000..20_020 {
        one(&mut lab, WAN, &V4.client_sends().udp(port, 80, b"x"), LAN);
        one(&mut lab, LAN, &V4.server_sends(CLIENT).udp(80, port, b"y"), WAN);
    }
}

/// A VIP's services may differ, and a removed one is steered as it was.
#[test]
fn conns_of_a_removed_service_stay_with_their_worker() {
    let base = network("workers = [1, 2, 3, 4]\nconns_max = 1000\n")
        + &service("udp", &endpoint(VIP, 80), "")
        + &server(&endpoint(RIP, 80), "nat");
    let tuple = service("udp", &endpoint(VIP, 81), "steer = \"tuple\"") + &server(&endpoint(RIP, 81), "fullnat");
    let mut lab = Lab::new(&(base.clone() + &tuple));
    let exchange = |lab: &mut Lab, flow: u16, round: usize| {
        lab.cables[round % 4 * PORTS + WAN].put(&V4.client_sends().udp(20_000 + flow, 80, b"x"));
        assert_eq!(lab.settle().len(), 1);
        let before = lab.dropped(uvs::pipeline::Reason::ServerGone);
        lab.cables[round % 4 * PORTS + WAN].put(&V4.client_sends().udp(20_000 + flow, 81, b"x"));
        lab.settle().len() as u64 + lab.dropped(uvs::pipeline::Reason::ServerGone) - before
    };
    for flow in 0..40 {
        assert_eq!(exchange(&mut lab, flow, flow.into()), 1);
    }
    let conns = lab.conns().len();
    lab.control.apply(config::parse(&base, "new.toml").unwrap()).unwrap();
    lab.settle();
    for flow in 0..40 {
        // The conn is found, and says that its server is gone; elsewhere nothing would be known of it.
        assert_eq!(exchange(&mut lab, flow, usize::from(flow) + 1), 1, "flow {flow}");
    }
    assert_eq!(lab.conns().len(), conns);
}
