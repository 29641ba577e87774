//! Differences of two files: each row replaces a text of a file, and says what a person is told of it.

use config::{Config, Counts, Difference};

const FILE: &str = r#"
[director]
conns_max = 1000
[[port]]
name = "wan"
device = "net_tap0,iface=uvs-wan"
addresses = ["192.0.2.1/24"]
gateway = "192.0.2.254"
[[port]]
name = "lan"
device = "net_tap1,iface=uvs-lan"
addresses = ["10.0.0.1/24"]
[[neighbor]]
address = "10.0.0.11"
mac = "02:00:00:00:00:11"
[[neighbor]]
address = "10.0.0.12"
mac = "02:00:00:00:00:12"
[[route]]
destination = "10.9.0.0/16"
via = "10.0.0.254"
[fullnat]
local_addresses = ["10.0.0.240/31"]
[timeouts]
tcp = "15m"
[ipvs]
pmtu_disc = 1
[[mark]]
destination = "198.51.100.7"
mark = 7
[[mark]]
destination = "198.51.100.8"
mark = 8
[[service]]
protocol = "tcp"
address = "198.51.100.10:80"
scheduler = "rr"
[[service.real_server]]
address = "10.0.0.11:80"
method = "nat"
[[service.real_server]]
address = "10.0.0.12:80"
method = "nat"
weight = 3
[[service]]
fwmark = 7
scheduler = "sh"
[[service.real_server]]
address = "10.0.0.13:0"
method = "dr"
"#;

fn parse(text: &str) -> Config {
    config::parse(text, "uvs.toml").unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

/// The difference that a replacement makes.
fn replaced(from: &str, to: &str) -> Difference {
    assert_eq!(FILE.matches(from).count(), 1, "{from:?} is one place");
    Difference::between(&parse(FILE), &parse(&FILE.replacen(from, to, 1)))
}

#[test]
fn what_a_reload_applies() {
    const SECOND: &str = "[[service.real_server]]\naddress = \"10.0.0.12:80\"\nmethod = \"nat\"\nweight = 3\n";
    let web = |what: &str| format!("service tcp 198.51.100.10:80{what}");
    let rows: Vec<(&str, String, Vec<String>)> = vec![
        (
            "pmtu_disc = 1",
            "pmtu_disc = 0\nsloppy_tcp = 1".into(),
            vec!["ipvs.pmtu_disc: 1 → 0".into(), "ipvs.sloppy_tcp: 0 → 1".into()],
        ),
        (
            "tcp = \"15m\"",
            "tcp_fin = \"90s\"".into(),
            vec!["timeouts.tcp: 15m → the kernel's".into(), "timeouts.tcp_fin: the kernel's → 1m 30s".into()],
        ),
        (
            "10.0.0.240/31",
            "10.0.0.241/32".into(),
            vec![
                "fullnat.local_addresses: 0 added, 1 removed".into(),
                "fullnat.local_addresses: replies to a removed address are not answered for any more".into(),
            ],
        ),
        (
            "local_addresses = [\"10.0.0.240/31\"]",
            "local_addresses = [\"10.0.0.240/31\"]\nmasquerade = [\"tcp 192.0.2.10:80\", \"fwmark 7\"]".into(),
            vec!["fullnat.masquerade: false → [tcp 192.0.2.10:80, fwmark 7, fwmark 7 IPv6]".into()],
        ),
        (
            "gateway = \"192.0.2.254\"",
            "gateway6 = \"fe80::fe\"".into(),
            vec!["port wan: gateway: 192.0.2.254 → none".into(), "port wan: gateway6: none → fe80::fe".into()],
        ),
        (
            "02:00:00:00:00:12",
            "02:00:00:00:00:21".into(),
            vec!["neighbor 10.0.0.12 on port lan: 02:00:00:00:00:12 → 02:00:00:00:00:21".into()],
        ),
        (
            "via = \"10.0.0.254\"",
            "via = \"10.0.0.253\"".into(),
            vec!["route to 10.9.0.0/16: via 10.0.0.254 on port lan → via 10.0.0.253 on port lan".into()],
        ),
        (
            "[[neighbor]]\naddress = \"10.0.0.12\"\nmac = \"02:00:00:00:00:12\"\n",
            "[[route]]\ndestination = \"10.8.0.0/16\"\nvia = \"10.0.0.12\"\n".into(),
            vec![
                "neighbor 10.0.0.12 on port lan: 02:00:00:00:00:12 → none".into(),
                "route to 10.8.0.0/16: none → via 10.0.0.12 on port lan".into(),
            ],
        ),
        ("mark = 8\n", "mark = 9\n".into(), vec!["mark: other rules, 2 instead of 2".into()]),
        (
            "scheduler = \"rr\"",
            "scheduler = \"sh\"\nflags = [\"sh-port\"]\npersistent = \"6m\"".into(),
            vec![
                web(": scheduler: rr → sh"),
                web(": flags: none → sh-port"),
                web(": persistent: none → 6m"),
                web(": netmask: none → 32"),
            ],
        ),
        (SECOND, String::new(), vec![web(", real server 10.0.0.12:80: removed")]),
        (
            SECOND,
            SECOND.replace("weight = 3", "weight = 0\nupper_threshold = 10"),
            vec![
                web(", real server 10.0.0.12:80: weight: 3 → 0"),
                web(", real server 10.0.0.12:80: upper_threshold: 0 → 10"),
                web(", real server 10.0.0.12:80: drains: its conns stay, no new ones"),
            ],
        ),
        (
            SECOND,
            SECOND.replace(".12:80", ".14:8080"),
            vec![
                web(", real server 10.0.0.12:80: removed"),
                web(", real server 10.0.0.14:8080: added, nat with weight 3"),
            ],
        ),
        (
            "fwmark = 7\n",
            "fwmark = 8\n".into(),
            vec![
                "service fwmark 7: removed, with 1 real servers".into(),
                "service fwmark 8: added, sh with 1 real servers".into(),
            ],
        ),
    ];
    for (from, to, lines) in rows {
        let difference = replaced(from, &to);
        assert_eq!(difference.refusals, Vec::<String>::new(), "{to}");
        assert_eq!(difference.lines().collect::<Vec<_>>(), lines, "{to}");
        assert!(!difference.is_empty());
    }
}

#[test]
fn what_cannot_change_while_a_director_runs() {
    let director = "; restart it, or leave ";
    let rows: [(&str, &str, &[&str]); 6] = [
        (
            "conns_max = 1000",
            "conns_max = 2000\nworkers = [1, 2]\nidle = \"busy\"",
            &[
                "director.workers: found [1, 2], the director runs with [1]; restart it, or leave workers as it was",
                "director.conns_max: found 2000, the director runs with 1000; restart it, or leave conns_max as it was",
                "director.idle: found busy, the director runs with adaptive; restart it, or leave idle as it was",
            ],
        ),
        (
            "[[port]]\nname = \"wan\"",
            "[eal]\nmemory_mb = 64\nargs = [\"--x\"]\n[[port]]\nname = \"wan\"",
            &[
                "eal.memory_mb: found 64, the director runs with 1024; restart it, or leave memory_mb as it was",
                "eal.args: found [\"--x\"], the director runs with []; restart it, or leave args as it was",
            ],
        ),
        (
            "iface=uvs-wan\"",
            "iface=uvs-wan\"\nmtu = 9000",
            &["port wan: mtu: found 9000, the director runs with 1500; restart it, or leave mtu as it was"],
        ),
        (
            "\"10.0.0.1/24\"",
            "\"10.0.0.1/24\", \"10.0.1.1/24\"",
            &[
                "port lan: addresses: found 10.0.0.1/24 10.0.1.1/24, the director runs with 10.0.0.1/24; restart it, or leave \
             addresses as it was",
            ],
        ),
        (
            "name = \"lan\"",
            "name = \"dmz\"",
            &["ports: found wan dmz, the director runs with wan lan, in this order; restart it"],
        ),
        (
            "conns_max = 1000",
            "conns_max = 1000\nforward = false\nrun_dir = \"/run/other\"\ntemplates_max = 1\nservers_max = 9\nneighbors_max = 3",
            &[
                "director.templates_max: found 1, the director runs with 100000; restart it, or leave templates_max as it was",
                "director.servers_max: found 9, the director runs with 65536; restart it, or leave servers_max as it was",
                "director.neighbors_max: found 3, the director runs with 8192; restart it, or leave neighbors_max as it was",
                "director.run_dir: found /run/other, the director runs with /run/uvs; restart it, or leave run_dir as it was",
                "director.forward: found false, the director runs with true; restart it, or leave forward as it was",
            ],
        ),
    ];
    assert!(rows.iter().flat_map(|(_, _, refusals)| *refusals).any(|line| line.contains(director)));
    for (from, to, refusals) in rows {
        let difference = replaced(from, to);
        assert_eq!(difference.refusals, refusals, "{to}");
        assert_eq!(difference.lines().count(), difference.ways.len(), "{to}");
    }
}

/// It is a setting of the service and shown as such, and the line says why it is refused.
#[test]
fn another_way_to_steer_is_refused() {
    let difference = replaced("fwmark = 7\n", "fwmark = 7\nsteer = \"tuple\"\n");
    assert_eq!(
        difference.refusals,
        [
            "service fwmark 7: steer: found tuple, the director runs with source; its conns would be lost: restart it, or remove \
          the service, and add it again when its conns have ended"
        ]
    );
    assert_eq!(difference.lines().collect::<Vec<_>>(), ["service fwmark 7: steer: source → tuple"]);
}

#[test]
fn the_order_of_tables_means_nothing_but_for_marks() {
    // A file's tables, in an order of their own: those of one kind backwards, servers with their service.
    let pieces: Vec<&str> = FILE.split("\n[").collect();
    let at = |start: &str| pieces.iter().position(|piece| piece.starts_with(start)).unwrap();
    let (services, fwmark) = (at("[service]]"), pieces.len() - 2);
    let (neighbors, route) = (at("[neighbor]]"), at("[route]]"));
    let mut order: Vec<usize> = (0..services).collect();
    order[neighbors..route].reverse();
    order.extend(fwmark..pieces.len());
    order.extend([services, services + 2, services + 1]);
    let moved: Vec<&str> = order.iter().map(|i| pieces[*i]).collect();
    let moved = moved.join("\n[");
    assert_ne!(parse(FILE), parse(&moved));
    let difference = Difference::between(&parse(FILE), &parse(&moved));
    assert!(difference.is_empty(), "{difference}");
    assert_eq!(difference.to_string(), "nothing changed");

    let marks = at("[mark]]");
    let mut swapped = pieces.clone();
    swapped.swap(marks, marks + 1);
    assert!(Difference::between(&parse(FILE), &parse(&swapped.join("\n["))).marks.is_some());
}

#[test]
fn the_summary_counts_all_servers() {
    let service = "[[service]]\nprotocol = \"tcp\"\naddress = \"198.51.100.10:80\"\nscheduler = \"rr\"\n";
    let difference = replaced(service, "[[service]]\nprotocol = \"udp\"\naddress = \"198.51.100.10:80\"\n");
    let summary = difference.summary();
    assert_eq!(summary.services, Counts { added: 1, removed: 1, changed: 0 });
    assert_eq!(summary.servers, Counts { added: 2, removed: 2, changed: 0 });
    let line = "services: 1 added, 1 removed, 0 changed; real servers: 2 added, 2 removed, 0 changed";
    assert_eq!(summary.to_string(), line);
    let policy = replaced("pmtu_disc = 1", "pmtu_disc = 0").summary().to_string();
    assert!(policy.ends_with("; [ipvs] changed"), "{policy}");
    let ways =
        replaced("gateway = \"192.0.2.254\"", "[[neighbor]]\naddress = \"10.0.0.13\"\nmac = \"02:00:00:00:00:13\"");
    assert!(ways.summary().to_string().ends_with("; gateways [[neighbor]] changed"), "{ways}");
}
