//! Another configuration for a director that runs: what it does not name feels nothing, what it names ends up as the file
//! says, and what it may not say changes nothing at all.

use crate::kit::Lab;
use crate::network::*;
use control::show::Reloaded;
use std::path::Path;
use std::time::{Duration, Instant};
use uvs::pipeline::Reason;
use uvs::services::book::ServerSpec;
use uvs::wire::tcp;

const CPORT: u16 = 40_000;
const FIRST: &str = "198.51.100.10:80";

fn parse(text: &str) -> config::Config {
    config::parse(text, "new.toml").unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

/// Applies a configuration, which must be possible, and gives the summary.
#[track_caller]
fn apply(lab: &mut Lab, text: &str) -> String {
    let difference = lab.control.apply(parse(text)).unwrap_or_else(|refusals| panic!("{refusals:?}\n{text}"));
    lab.settle();
    difference.summary().to_string()
}

fn segment(port: u16, flags: u8) -> Vec<u8> {
    V4.client_sends().tcp((port, 80), (5, 9), flags, b"")
}

fn establish(lab: &mut Lab, port: u16) {
    one(lab, WAN, &segment(port, tcp::SYN), LAN);
    one(lab, WAN, &segment(port, tcp::ACK), LAN);
}

/// The conn of this client port is forwarded in both directions.
#[track_caller]
fn forwards(lab: &mut Lab, port: u16) {
    let inbound = V4.server_gets(CLIENT, RIP).ttl(63).tcp((port, 80), (5, 9), tcp::ACK, b"");
    becomes(lab, WAN, &segment(port, tcp::ACK), LAN, &inbound);
    let outbound = V4.client_gets(VIP).ttl(63).tcp((80, port), (1, 1), tcp::ACK, b"data");
    becomes(lab, LAN, &V4.server_sends(CLIENT).tcp((80, port), (1, 1), tcp::ACK, b"data"), WAN, &outbound);
}

fn base() -> String {
    network("conns_max = 1000") + &service("tcp", FIRST, "scheduler = \"rr\"") + &server("10.0.0.11:80", "nat")
}

/// Weights and addresses of the first service's servers, in the kernel's order.
fn listed(lab: &Lab) -> Vec<(String, u32)> {
    let (_, servers) = lab.control.book().list().next().unwrap();
    servers.iter().map(|listed| (listed.address().to_string(), listed.server.weight)).collect()
}

#[test]
fn conns_of_untouched_services_feel_nothing() {
    let mut lab = Lab::new(&base());
    establish(&mut lab, CPORT);
    for round in 0..50 {
        let other = |port: u16| service("tcp", &format!("198.51.100.11:{port}"), "") + &server("10.0.0.12:8080", "nat");
        let rest: String = (round..round + 20).map(|port| other(1000 + port)).collect();
        let summary = apply(&mut lab, &(base() + &rest));
        let (added, removed) = if round == 0 { (20, 0) } else { (1, 1) };
        assert!(summary.starts_with(&format!("services: {added} added, {removed} removed, 0 changed")), "{summary}");
        forwards(&mut lab, CPORT);
    }
    assert_eq!((counts(&lab), lab.control.counts(0).conns_made), ((1, 0), 1));
    assert_eq!(apply(&mut lab, &base()).split(';').next(), Some("services: 0 added, 20 removed, 0 changed"));
    assert_eq!(apply(&mut lab, &base()), "nothing changed");
    forwards(&mut lab, CPORT);
}

/// A setting that is one for all is no change of each service, whose scheduler would start afresh; but all obey it.
#[test]
fn a_setting_for_all_services_changes_none() {
    let mut lab = Lab::new(&base());
    establish(&mut lab, CPORT);
    let forgets_after_ms = |lab: &Lab| {
        let (service, _) = lab.control.book().list().next().unwrap();
        service.spec().settings.lblc_expiration_ms
    };
    assert_eq!(forgets_after_ms(&lab), 86_400_000);
    let shorter = base() + "[ipvs]\nlblc_expiration = 60\n";
    let summary = apply(&mut lab, &shorter);
    assert!(!summary.contains("1 changed"), "{summary}");
    assert_eq!((forgets_after_ms(&lab), apply(&mut lab, &shorter).as_str()), (60_000, "nothing changed"));
    forwards(&mut lab, CPORT);
}

/// Its settings and its other servers change; what is established at the server that stays goes on.
#[test]
fn a_changed_service_keeps_its_servers_conns() {
    let mut lab = Lab::new(&base());
    establish(&mut lab, CPORT);
    let changed = |server_lines: &str| {
        network("conns_max = 1000")
            + &service("tcp", FIRST, "scheduler = \"sh\"\npersistent = \"5m\"")
            + &server("10.0.0.13:8080", "nat")
            + &server("10.0.0.11:80", "nat")
            + server_lines
    };
    apply(&mut lab, &changed("weight = 5\nupper_threshold = 9"));
    assert_eq!(listed(&lab), [("10.0.0.13:8080".into(), 1), ("10.0.0.11:80".into(), 5)], "the new one at the head");
    let (service, servers) = lab.control.book().list().next().unwrap();
    assert_eq!((service.scheduler.to_string(), service.persistence.map(|of| of.timeout_s)), ("sh".into(), Some(300)));
    assert_eq!(servers[1].thresholds.upper, 9);
    assert_eq!(counts_of(&lab, 1), (1, 0));
    forwards(&mut lab, CPORT);
    // Another method is for new conns; those that are keep theirs.
    apply(
        &mut lab,
        &changed("")
            .replace("address = \"10.0.0.11:80\"\nmethod = \"nat\"", "address = \"10.0.0.11:80\"\nmethod = \"dr\""),
    );
    forwards(&mut lab, CPORT);
}

#[test]
fn weight_0_drains() {
    let mut lab = Lab::new(&base());
    establish(&mut lab, CPORT);
    let text = base() + "weight = 0\n" + &server("10.0.0.12:80", "nat");
    apply(&mut lab, &text);
    for port in 1..5 {
        let left = one(&mut lab, WAN, &segment(CPORT + port, tcp::SYN), LAN);
        assert_eq!(left[..6], mac("10.0.0.12").0, "no new conn");
    }
    forwards(&mut lab, CPORT);
}

/// As in the kernel: its clients hear nothing, its own packets pass; the file as it was before brings it back, conns and all.
#[test]
fn a_removed_servers_conns_end_as_the_kernels_do() {
    for without_service in [false, true] {
        let mut lab = Lab::new(&base());
        establish(&mut lab, CPORT);
        let without = match without_service {
            true => network("conns_max = 1000"),
            false => network("conns_max = 1000") + &service("tcp", FIRST, "scheduler = \"rr\""),
        };
        apply(&mut lab, &without);
        nothing(&mut lab, WAN, &segment(CPORT, tcp::ACK));
        assert_eq!(lab.dropped(Reason::ServerGone), 1);
        one(&mut lab, LAN, &V4.server_sends(CLIENT).tcp((80, CPORT), (1, 1), tcp::ACK, b"data"), WAN);
        lab.advance_in_steps(100_000, 1_000);
        apply(&mut lab, &base());
        assert_eq!(counts(&lab), (1, 0));
        forwards(&mut lab, CPORT);
    }
}

#[test]
fn settings_of_conns_follow() {
    let mut lab = Lab::new(&base());
    establish(&mut lab, CPORT);
    let policy = "[ipvs]\nexpire_nodest_conn = 1\n[timeouts]\ntcp = \"20s\"\n";
    let summary = apply(&mut lab, &(policy.to_string() + &base()));
    assert!(summary.ends_with("; [ipvs] [timeouts] changed"), "{summary}");
    // New states get the new time-outs; an established conn keeps the one it was given.
    establish(&mut lab, CPORT + 1);
    lab.advance_in_steps(22_000, 1_000);
    assert_eq!(conn(&lab).client().1, CPORT);
    forwards(&mut lab, CPORT);
    apply(&mut lab, &(policy.to_string() + &network("conns_max = 1000") + &service("tcp", FIRST, "")));
    let rst = V4.client_gets(VIP).id(0).window(0).tcp((80, CPORT), (9, 0), tcp::RST, b"");
    becomes(&mut lab, WAN, &segment(CPORT, tcp::ACK), WAN, &rst);
}

#[test]
fn a_new_local_address_is_used_and_answered() {
    let mut text = network("conns_max = 1000") + &service("tcp", FIRST, "") + &server("10.0.0.11:80", "fullnat");
    let mut lab = Lab::new(&text);
    establish(&mut lab, CPORT);
    text = text.replace("10.0.0.240/32", "10.0.0.250/32");
    apply(&mut lab, &text);
    let left = one(&mut lab, WAN, &segment(CPORT + 1, tcp::SYN), LAN);
    assert_eq!(left[26..30], [10, 0, 0, 250]);
    // A conn keeps the address it was made with; what comes to that one is still translated, if it still comes.
    let left = one(&mut lab, WAN, &segment(CPORT, tcp::ACK), LAN);
    assert_eq!(left[26..30], [10, 0, 0, 240]);
    let asks = uvs::wire::arp::request((mac(RIP), RIP.parse().unwrap()), "10.0.0.250".parse().unwrap());
    lab.cables[LAN].put(&asks);
    let now = lab.now();
    for _ in 0..2 {
        lab.workers[0].turn(now);
        lab.control.turn(now);
    }
    lab.workers[0].turn(now);
    assert!(lab.cables[LAN].take().iter().any(|frame| frame[..6] == mac(RIP).0 && frame[12..14] == [8, 6]));
}

#[test]
fn what_cannot_be_changes_nothing() {
    let mut lab = Lab::new(&network("conns_max = 1000\nservers_max = 3"));
    let full = |servers: &[&str]| {
        let servers: String = servers.iter().map(|address| server(address, "nat")).collect();
        network("conns_max = 1000\nservers_max = 3") + &service("tcp", FIRST, "scheduler = \"rr\"") + &servers
    };
    apply(&mut lab, &full(&["10.0.0.11:80", "10.0.0.12:80"]));
    establish(&mut lab, CPORT);
    let before = listed(&lab);
    let rows = [
        // Beside what is right.
        (full(&["10.0.0.14:80"]).replace("conns_max = 1000", "conns_max = 2000"), "director.conns_max: found 2000, "),
        (
            full(&[]).replace("device = \"net_null1\"", "device = \"net_null1\"\nmtu = 9000"),
            "port lan: mtu: found 9000, the director runs with 1500",
        ),
        // Removed servers keep their places a while.
        (
            full(&["10.0.0.14:80", "10.0.0.15:80"]),
            "director.servers_max: found 2 new real servers, but of the 3 places 1 are free",
        ),
    ];
    for (text, says) in rows {
        let refusals = lab.control.apply(parse(&text)).unwrap_err();
        assert!(refusals.len() == 1 && refusals[0].starts_with(says), "{refusals:?}");
        lab.settle();
        assert_eq!(listed(&lab), before, "{says}");
        one(&mut lab, WAN, &segment(CPORT, tcp::ACK), LAN);
    }
    // One that is remembered needs no other place.
    apply(&mut lab, &full(&["10.0.0.14:80"]));
    apply(&mut lab, &full(&["10.0.0.11:80", "10.0.0.12:80"]));
    one(&mut lab, WAN, &segment(CPORT, tcp::ACK), LAN);
    lab.advance_in_steps(125_000, 1_000);
    apply(&mut lab, &full(&["10.0.0.11:80", "10.0.0.12:80", "10.0.0.15:80"]));
}

/// A service that a file names is as it says, whatever tools made of it since; what no file named is theirs.
#[test]
fn what_tools_changed_is_set_back_and_told() {
    let mut lab = Lab::new(&base());
    establish(&mut lab, CPORT);
    let (service, servers) = lab.control.book().list().next().unwrap();
    let (key, server) = (service.key, servers[0]);
    let spec = ServerSpec {
        method: server.server.method,
        weight: 0,
        thresholds: server.thresholds,
        tunnel: Default::default(),
        next_hop: None,
    };
    lab.control.edit_server(key, server.address(), spec).unwrap();
    lab.control.add_server(key, "10.0.0.19:80".parse().unwrap(), spec).unwrap();
    let applied = lab.control.apply(parse(&base())).unwrap();
    let lines: Vec<_> = applied.lines().collect();
    let line = "service tcp 198.51.100.10:80: was changed since its file was read; it is as the file says again";
    assert_eq!((lines, applied.summary().to_string()), (vec![line.to_string()], "nothing changed".into()));
    assert_eq!(listed(&lab), [("10.0.0.11:80".into(), 1)]);
    forwards(&mut lab, CPORT);
    lab.control.delete_service(key).unwrap();
    lab.settle();
    nothing(&mut lab, WAN, &segment(CPORT, tcp::ACK));
    assert_eq!(lab.control.apply(parse(&base())).unwrap().set_back.len(), 1);
    lab.settle();
    forwards(&mut lab, CPORT);
}

/// Asks for the file to be read again and waits for the answer.
fn reload(lab: &mut Lab) -> Reloaded {
    let id = lab.control.reload();
    let patience = Instant::now() + Duration::from_secs(60);
    loop {
        lab.settle();
        if let Some(reloaded) = lab.control.reloaded(id) {
            return reloaded;
        }
        assert!(Instant::now() < patience, "the file is not read");
        std::thread::yield_now();
    }
}

#[test]
fn a_file_is_read_again_on_request() {
    let mut lab = Lab::new(&base());
    establish(&mut lab, CPORT);
    assert_eq!(reload(&mut lab).lines, ["this director was not started from a file"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("uvs.toml");
    lab.control.set_file(file.clone());
    let more: String = (1..=30).map(|port| service("tcp", &format!("198.51.100.11:{port}"), "")).collect();
    let rows: [(Option<String>, bool, usize, &str); 5] = [
        (None, false, 1, "found no file to read"),
        (Some("[director\n".into()), false, 1, "uvs.toml:1:10: found what is no TOML"),
        (Some(base() + &more), true, 22, "services: 30 added, 0 removed, 0 changed"),
        (Some(base() + "scheduler = \"wcl\"\n" + &more), false, 1, "unknown key `scheduler`"),
        (Some(base()), true, 22, "services: 0 added, 30 removed, 0 changed"),
    ];
    for (text, applied, lines, says) in rows {
        write(&file, text.as_deref());
        let reloaded = reload(&mut lab);
        assert_eq!((reloaded.applied, reloaded.lines.len()), (applied, lines), "{reloaded:?}");
        assert!(reloaded.lines.last().unwrap().contains(says), "{reloaded:?}");
        forwards(&mut lab, CPORT);
    }
    // Requests while the file is read are all answered, by one reading that began after them.
    let (first, second, third) = (lab.control.reload(), lab.control.reload(), lab.control.reload());
    assert!(first == second && second == third);
    lab.control.turn(lab.now());
    assert_ne!(lab.control.reload(), first, "what is being read may be older");
    assert!(reload(&mut lab).applied);
    assert!(lab.control.reloaded(first).is_some());
}

fn write(file: &Path, text: Option<&str>) {
    if let Some(text) = text {
        std::fs::write(file, text).unwrap();
    }
}

/// A thousand of ten thousand services change at once, while a flow goes on: the number is what a turn of control takes.
#[test]
fn a_thousand_changes_of_ten_thousand_services() {
    let many = |weight: usize, changed: usize| {
        let service_of = |i: usize| {
            let weight = if i < changed { weight } else { 1 };
            let rest = format!("{}weight = {weight}\n", server(&format!("10.0.0.{}:80", 11 + i % 200), "nat"));
            service("tcp", &format!("198.51.{}.{}:{}", 101 + i / 1000, 1 + i % 100, 1 + i / 100), "scheduler = \"rr\"")
                + &rest
        };
        base() + &(0..10_000).map(service_of).collect::<String>()
    };
    let mut lab = Lab::new(&base());
    establish(&mut lab, CPORT);
    for (what, text) in [
        ("10 000 services added", many(1, 0)),
        ("1 000 services changed", many(2, 1_000)),
        ("1 000 services changed", many(3, 1_000)),
        ("10 000 services removed", base()),
    ] {
        let read = Instant::now();
        let config = parse(&text);
        let applied = Instant::now();
        let summary = lab.control.apply(config).unwrap().summary();
        let published = Instant::now();
        lab.control.publish();
        let done = Instant::now();
        println!(
            "{what}: read {:?}, applied {:?}, published {:?}",
            applied - read,
            published - applied,
            done - published
        );
        assert!(summary.services.added + summary.services.removed + summary.services.changed >= 1_000, "{summary}");
        forwards(&mut lab, CPORT);
    }
}
