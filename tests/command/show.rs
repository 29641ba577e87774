//! `uvs show`, for people and for programs, against a director that has had three clients of a UDP service: one flow each.

use crate::capture;
use crate::director::{Director, sections};
use crate::exec::Installed;
use crate::program::uvs;
use control::{Client, show};
use rustix::process::Signal;
use serde::de::DeserializeOwned;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
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

    for (filter, count) in [
        (["--client", "192.0.2.102"], 1),
        (["--client", "192.0.2.102/31"], 2),
        (["--server", "10.0.0.11:5353"], 3),
        (["--server", "10.0.0.12"], 0),
        (["--service", "udp:192.0.2.10:53"], 3),
        (["--service", "tcp:192.0.2.10:53"], 0),
        (["--service", "fwmark:1"], 0),
    ] {
        let table = show(&[&["conns"], &filter[..]].concat());
        assert_eq!(table.lines().count(), 1 + count, "{filter:?}\n{table}");
    }

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

/// A list as JSON is twenty times this long.
const LISTING_KB_MAX: u64 = 8 << 10;
const MANY: u32 = 200_000;

/// What a process has had of memory at most.
fn peak_kb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// While clients have asked for all conns and never read, others read them all, `uvs show` and Debian's ipvsadm, and yet another gets
/// its answers; neither the director nor a reader holds more than a part of the list.
#[test]
fn a_long_list_is_nowhere_as_a_whole() {
    let folder = tempfile::tempdir().unwrap();
    let frame = |client: u32| {
        let client = std::net::Ipv4Addr::from(0xc612_0000 + client).to_string();
        Frame::between(&client, "192.0.2.10").macs(Mac([2, 0, 0, 0, 0, 9]), MAC).udp(4000, 53, b"who?")
    };
    let frames: Vec<_> = (0..MANY).map(frame).collect();
    capture::write(&folder.path().join("in.pcap"), frames.iter().map(Vec::as_slice));
    let device = format!("net_pcap0,rx_pcap={0}/in.pcap,tx_pcap={0}/out.pcap", folder.path().display());
    let text = format!(
        "[[port]]\nname = \"wan\"\ndevice = \"{device}\"\naddresses = [\"192.0.2.1/24\"]\n\
         [[service]]\nprotocol = \"udp\"\naddress = \"192.0.2.10:53\"\nscheduler = \"rr\"\n\
         [[service.real_server]]\naddress = \"192.0.2.11:53\"\nmethod = \"nat\"\n\
         [[neighbor]]\naddress = \"192.0.2.11\"\nmac = \"02:00:00:00:00:11\"\n"
    );
    let head = sections(&folder.path().join("run"), "adaptive").replace("conns_max = 1024", "conns_max = 300000");
    let director = Director::start_with(folder.path(), &(head + &text)).unwrap();
    director.ask_until("every frame came", Client::workers, |answer| answer.workers[0].conns == u64::from(MANY));
    let pid = director.ask(Client::version).pid;
    let before_kb = peak_kb(pid);

    let mut deaf = UnixStream::connect(director.run_dir().join("admin.sock")).unwrap();
    deaf.write_all(b"{\"show\":\"conns\"}\n").unwrap();
    let mut deaf_too = UnixStream::connect(director.run_dir().join("proc.sock")).unwrap();
    deaf_too.write_all(b"ip_vs_conn\n").unwrap();
    let mut show = Command::new(env!("CARGO_BIN_EXE_uvs"));
    show.args(["show", "conns", "--run-dir"]).arg(director.run_dir()).stdout(Stdio::piped());
    let mut show = show.spawn().unwrap();
    let mut lines = BufReader::new(show.stdout.take().unwrap()).lines();
    let half = (&mut lines).take(MANY as usize / 2).count();
    assert_eq!(director.ask(Client::services).services[0].totals.conns, u64::from(MANY));
    let reader_kb = peak_kb(show.id());
    assert_eq!(half + lines.count(), MANY as usize + 1, "each conn, and the titles");
    assert!(show.wait().unwrap().success());
    assert!(reader_kb < 2 * LISTING_KB_MAX, "the reader had {reader_kb} kB");
    let installed = Installed::new();
    let mut ipvsadm = installed.uvs();
    ipvsadm.arg("--run-dir").arg(director.run_dir()).args(["--", "/usr/sbin/ipvsadm", "-Lnc"]).stdout(Stdio::piped());
    let mut ipvsadm = ipvsadm.spawn().unwrap();
    let lines = BufReader::new(ipvsadm.stdout.take().unwrap()).lines();
    let of_conns = lines.map_while(Result::ok).filter(|line| line.contains(" 192.0.2.11:53")).count();
    assert!(ipvsadm.wait().unwrap().success());
    assert_eq!(of_conns, MANY as usize, "ipvsadm's");
    let grown_kb = peak_kb(pid) - before_kb;
    assert!(grown_kb < LISTING_KB_MAX, "the director grew by {grown_kb} kB");
    // What the deaf one finds is the beginning.
    deaf.read_exact(&mut [0; 1000]).unwrap();
    deaf_too.read_exact(&mut [0; 1000]).unwrap();
    assert!(director.end(Signal::TERM).0.success());
}
