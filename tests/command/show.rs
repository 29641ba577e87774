//! `uvs show`, for people and for programs, against a director that has had three clients of a UDP service: one flow each.

use crate::capture;
use crate::director::Director;
use crate::program::uvs;
use control::{Client, show};
use rustix::process::Signal;
use serde::de::DeserializeOwned;
use std::path::Path;
use uvs::wire::Mac;
use uvs::wire::build::Frame;

const CLIENTS: [&str; 3] = ["192.0.2.101", "192.0.2.102", "192.0.2.103"];
/// The MAC that net_pcap gives its first device.
const MAC: Mac = Mac([2, b'p', b'c', b'a', b'p', 0]);

fn start(folder: &Path) -> Director {
    let frame =
        |client: &str| Frame::between(client, "192.0.2.10").macs(Mac([2, 0, 0, 0, 0, 9]), MAC).udp(4000, 53, b"who?");
    let mut frames = CLIENTS.map(frame).to_vec();
    frames.push(
        Frame::between(CLIENTS[0], "192.0.2.10").macs(Mac([2, 0, 0, 0, 0, 9]), MAC).ttl(1).udp(4000, 53, b"late"),
    );
    capture::write(&folder.join("in.pcap"), frames.iter().map(Vec::as_slice));
    let device = format!("net_pcap0,rx_pcap={0}/in.pcap,tx_pcap={0}/out.pcap", folder.display());
    let text = format!(
        "[[port]]\nname = \"wan\"\ndevice = \"{device}\"\naddresses = [\"192.0.2.1/24\"]\n\
         [[port]]\nname = \"lan\"\ndevice = \"net_null0,no-rx=1\"\naddresses = [\"10.0.0.1/24\"]\n\
         [[neighbor]]\naddress = \"10.0.0.11\"\nmac = \"02:00:00:00:00:11\"\n\
         [[service]]\nprotocol = \"udp\"\naddress = \"192.0.2.10:53\"\nscheduler = \"rr\"\n\
         [[service.real_server]]\naddress = \"10.0.0.11:5353\"\nmethod = \"nat\"\n"
    );
    let director = Director::start(folder, "adaptive", &text).unwrap();
    director.ask_until("every frame came", Client::workers, |answer| answer.workers[0].received == frames.len() as u64);
    director
}

#[test]
fn a_running_director_tells_people_and_programs() {
    let folder = tempfile::tempdir().unwrap();
    let director = start(folder.path());
    let show = |arguments: &[&str]| {
        let run_dir = director.run_dir().display().to_string();
        let outcome = uvs(&[&["show"], arguments, &["--run-dir", &run_dir]].concat());
        assert_eq!((outcome.status, outcome.errors.as_str()), (Some(0), ""), "{arguments:?}");
        outcome.out
    };
    let rows: [(&str, &[&str]); 7] = [
        ("services", &["192.0.2.10:53", "rr", "10.0.0.11:5353", "Masq"]),
        ("conns", &["192.0.2.101:4000", "192.0.2.103:4000", "10.0.0.11:5353", "UDP"]),
        ("ports", &["wan", "net_pcap", "lan", "net_null", "02:70:63:61:70:00", "10.0.0.1/24"]),
        ("workers", &["received"]),
        ("drops", &["ttl_expired"]),
        ("neighbors", &["10.0.0.11", "02:00:00:00:00:11", "static"]),
        ("version", &[env!("CARGO_PKG_VERSION")]),
    ];
    for (what, says) in rows {
        let table = show(&[what]);
        for word in says {
            assert!(table.contains(word), "{what}: no {word:?} in\n{table}");
        }
    }

    let services: show::Services = parse(&show(&["services", "--json"]));
    let [service] = &services.services[..] else { panic!("{services:?}") };
    assert_eq!((service.totals.conns, service.totals.in_packets), (3, 4), "{service:?}");
    assert_eq!((service.servers[0].active, service.servers[0].inactive), (0, 3), "{service:?}");

    let conns: Vec<show::Conn> = show(&["conns", "--json"]).lines().map(parse).collect();
    let mut clients: Vec<_> = conns.iter().map(|conn| conn.client.ip().to_string()).collect();
    clients.sort();
    assert_eq!(clients, CLIENTS);
    assert!(conns.iter().all(|conn| conn.server.to_string() == "10.0.0.11:5353" && conn.local.is_none()), "{conns:?}");

    let ports: show::Ports = parse(&show(&["ports", "--json"]));
    assert_eq!(ports.ports.iter().map(|port| &*port.name).collect::<Vec<_>>(), ["wan", "lan"]);
    assert_eq!(ports.ports[0].rx_packets, 4, "{ports:?}");

    let workers: show::Workers = parse(&show(&["workers", "--json"]));
    let [worker] = &workers.workers[..] else { panic!("{workers:?}") };
    assert!(worker.identity_holds() && worker.received == 4 && worker.dropped == 1 && worker.conns == 3, "{worker:?}");

    let drops: show::Drops = parse(&show(&["drops", "--json"]));
    let dropped: Vec<_> =
        drops.drops.iter().filter(|drop| drop.total > 0).map(|drop| (&*drop.reason, drop.total)).collect();
    assert_eq!(dropped, [("ttl_expired", 1)]);

    let neighbors: show::Neighbors = parse(&show(&["neighbors", "--json"]));
    assert!(neighbors.neighbors.iter().any(|neighbor| neighbor.state == "static"), "{neighbors:?}");

    let version: show::Version = parse(&show(&["version", "--json"]));
    assert!(version.version.starts_with(env!("CARGO_PKG_VERSION")), "{version:?}");
    assert_eq!(version.pid, director.ask(Client::version).pid);

    assert!(director.end(Signal::TERM).0.success());
}

fn parse<T: DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}
