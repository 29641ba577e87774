//! What `uvs show` answers, against what was sent.

use crate::kit::Lab;
use crate::network::*;
use control::show;
use control::{ConnFilter, Cursor, Director};
use std::collections::HashSet;
use uvs::director::Answering;
use uvs::pipeline::Reason;
use uvs::services::ServiceKey;
use uvs::wire::tcp;

/// Asks the director.
fn ask<T>(lab: &mut Lab, question: impl FnOnce(&mut Answering<'_>) -> T) -> T {
    let ports = || show::Ports::default();
    question(&mut Answering { control: &mut lab.control, ports: &ports })
}

pub fn services(lab: &mut Lab) -> show::Services {
    ask(lab, |director| director.services())
}

pub fn workers(lab: &mut Lab) -> show::Workers {
    ask(lab, |director| director.workers())
}

pub fn drops(lab: &mut Lab) -> show::Drops {
    ask(lab, |director| director.drops())
}

pub fn neighbors(lab: &mut Lab) -> show::Neighbors {
    ask(lab, |director| director.neighbors())
}

/// Every conn, chunk by chunk, as the admin socket asks.
pub fn conns(lab: &mut Lab) -> Vec<show::Conn> {
    conns_of(lab, &ConnFilter::default())
}

/// Those that the filter takes.
pub fn conns_of(lab: &mut Lab, filter: &ConnFilter) -> Vec<show::Conn> {
    let mut conns = Vec::new();
    let mut cursor = Cursor::START;
    for _ in 0..100_000 {
        let chunk = ask(lab, |director| director.conns(filter, cursor, 64));
        conns.extend(chunk.conns);
        match chunk.next {
            Some(next) => cursor = next,
            None => return conns,
        }
        lab.settle();
    }
    panic!("the listing does not end");
}

fn config() -> String {
    network("conns_max = 10000")
        + &service("tcp", "198.51.100.10:80", "scheduler = \"wrr\"")
        + &server("10.0.0.11:8080", "nat")
        + "weight = 7\nupper_threshold = 100\nlower_threshold = 50\n"
        + &service(
            "udp",
            "[2001:db8:99::10]:53",
            "scheduler = \"sh\"\nflags = [\"sh-port\"]\npersistent = \"5m\"\nnetmask = 64",
        )
        + &server("[fd00:1::11]:53", "fullnat")
}

#[test]
fn services_and_their_traffic() {
    let mut lab = Lab::new(&config());
    let syn = V4.client_sends().tcp((40_000, 80), (1, 0), tcp::SYN, b"");
    one(&mut lab, WAN, &syn, LAN);
    let ack = V4.client_sends().tcp((40_000, 80), (1, 1), tcp::ACK, b"twelve bytes");
    one(&mut lab, WAN, &ack, LAN);
    let reply = V4.server_sends(CLIENT).tcp((8080, 40_000), (1, 1), tcp::ACK, b"four");
    one(&mut lab, LAN, &reply, WAN);
    one(&mut lab, WAN, &V6.client_sends().udp(40_000, 53, b"name?"), LAN);
    let shown = services(&mut lab).services;
    assert_eq!(shown.len(), 2);
    let tcp = shown.iter().find(|service| service.protocol == Some(show::Protocol::Tcp)).unwrap();
    assert_eq!((tcp.address, tcp.fwmark, &*tcp.scheduler), (Some("198.51.100.10:80".parse().unwrap()), None, "wrr"));
    let traffic = show::Traffic { conns: 1, in_packets: 2, out_packets: 1, in_bytes: 40 + 52, out_bytes: 44 };
    assert_eq!(tcp.totals, traffic);
    let server = &tcp.servers[0];
    assert_eq!(server.address, "10.0.0.11:8080".parse().unwrap());
    assert_eq!((server.method, server.weight), (show::Method::Nat, 7));
    assert_eq!((server.upper_threshold, server.lower_threshold), (100, 50));
    assert_eq!((server.active, server.inactive, server.persistent, server.overloaded), (1, 0, 0, false));
    assert_eq!(server.traffic, traffic);
    let udp = shown.iter().find(|service| service.protocol == Some(show::Protocol::Udp)).unwrap();
    assert_eq!(
        (udp.persistent_s, udp.netmask.as_deref(), &udp.flags[..]),
        (Some(300), Some("64"), &["sh-port".into()][..])
    );
    let server = &udp.servers[0];
    assert_eq!((server.active, server.inactive, server.persistent), (0, 1, 1));
    assert_eq!((server.traffic.in_packets, server.traffic.in_bytes), (1, 53));
    // A removed server's traffic stays in its service's.
    let key = lab
        .control
        .book()
        .list()
        .find(|(service, _)| matches!(service.key, ServiceKey::Endpoint { port: 80, .. }))
        .unwrap()
        .0
        .key;
    lab.control.delete_server(key, "10.0.0.11:8080".parse().unwrap()).unwrap();
    lab.settle();
    let shown = services(&mut lab).services;
    let tcp = shown.iter().find(|service| service.protocol == Some(show::Protocol::Tcp)).unwrap();
    assert_eq!((tcp.totals, tcp.servers.len()), (traffic, 0));
}

#[test]
fn workers_and_drops_say_the_same() {
    let mut lab = Lab::new(&config());
    let expected = [(Reason::Unroutable, 3), (Reason::BadHeader, 2), (Reason::OtherMac, 1)];
    for _ in 0..3 {
        nothing(
            &mut lab,
            WAN,
            &uvs::wire::build::Frame::between(CLIENT, "192.0.2.255")
                .macs(mac(ROUTER), crate::kit::port_mac(WAN))
                .udp(1, 2, b""),
        );
    }
    for _ in 0..2 {
        let mut frame = V4.client_sends().udp(1, 2, b"");
        frame[14] = 0x55;
        nothing(&mut lab, WAN, &frame);
    }
    nothing(&mut lab, WAN, &V4.client_sends().macs(mac(ROUTER), mac(CLIENT)).udp(1, 2, b""));
    one(&mut lab, WAN, &V4.client_sends().tcp((40_000, 80), (1, 0), tcp::SYN, b""), LAN);
    let drops = drops(&mut lab);
    assert_eq!((drops.lcores, drops.drops.len()), (vec![1], Reason::ALL.len()));
    for (reason, shown) in Reason::ALL.iter().zip(&drops.drops) {
        let count = expected.iter().find(|(expected, _)| expected == reason).map_or(0, |(_, count)| *count);
        assert_eq!((&*shown.reason, shown.total, &shown.per_worker[..]), (reason.name(), count, &[count][..]));
    }
    let workers = ask(&mut lab, |director| director.workers()).workers;
    assert_eq!(workers.len(), 1);
    assert!(workers[0].identity_holds());
    assert_eq!((workers[0].dropped, workers[0].conns, workers[0].conns_max, workers[0].held), (6, 1, 10_000, 0));
}

#[test]
fn neighbors_as_they_are() {
    let neighbor = "[[neighbor]]\naddress = \"192.0.2.99\"\nmac = \"02:00:00:00:00:aa\"\n[fullnat]";
    let mut lab = Lab::unstarted(&config().replacen("[fullnat]", neighbor, 1), 0);
    lab.moved.insert(ip(RIP6), None);
    lab.advance(5_000);
    let neighbors = neighbors(&mut lab).neighbors;
    let shown: Vec<_> =
        neighbors.iter().map(|n| (n.address.to_string(), &*n.port, &*n.state, n.mac.as_deref())).collect();
    let known = |address: &str| (mac(address).to_string(), address.to_string());
    for (address, port, state) in
        [(ROUTER, "wan", "reachable"), (ROUTER6, "wan", "reachable"), (RIP, "lan", "reachable")]
    {
        let (mac, address) = known(address);
        assert!(shown.contains(&(address.clone(), port, state, Some(&mac))), "{address}: {shown:?}");
    }
    assert!(shown.contains(&("192.0.2.99".into(), "wan", "static", Some("02:00:00:00:00:aa"))), "{shown:?}");
    assert!(shown.contains(&(RIP6.into(), "lan", "failed", None)), "{shown:?}");
    assert_eq!(shown.len(), 5);
}

#[test]
fn each_conn_is_listed_once() {
    let mut lab = Lab::new(&config());
    for port in 0..6_000u16 {
        lab.cables[WAN].put(&V4.client_sends().tcp((20_000 + port, 80), (1, 0), tcp::SYN, b""));
    }
    for port in 0..100u16 {
        lab.cables[WAN].put(&V6.client_sends().udp(20_000 + port, 53, b"x"));
    }
    lab.settle();
    let (templates, listed): (Vec<_>, Vec<_>) = conns(&mut lab).into_iter().partition(|conn| conn.client.port() == 0);
    assert_eq!(listed.len(), lab.conns().len());
    // One template of the only client's subnet, with the client's port 0.
    assert_eq!(templates.len(), 1);
    let (client, vip) = ("[2001:db8:c::]:0".parse().unwrap(), "[2001:db8:99::10]:53".parse().unwrap());
    assert_eq!((templates[0].client, templates[0].vip, &*templates[0].state), (client, vip, "NONE"));
    let flows: HashSet<_> = listed.iter().map(|conn| (conn.client, conn.vip)).collect();
    assert_eq!(flows.len(), listed.len(), "each once");
    let tcp: Vec<_> = listed.iter().filter(|conn| conn.protocol == show::Protocol::Tcp).collect();
    for conn in &tcp {
        assert_eq!((conn.vip, conn.server), ("198.51.100.10:80".parse().unwrap(), "10.0.0.11:8080".parse().unwrap()));
        assert_eq!((conn.method, &*conn.state, conn.local, conn.worker), (show::Method::Nat, "SYN_RECV", None, 1));
        assert!((59..=60).contains(&conn.expires_s), "{}", conn.expires_s);
    }
    let udp: Vec<_> = listed.iter().filter(|conn| conn.protocol == show::Protocol::Udp).collect();
    assert_eq!(udp.len(), 100);
    let locals: HashSet<_> = udp.iter().filter_map(|conn| conn.local).collect();
    assert_eq!(locals.len(), 100, "each FullNAT conn has its own local endpoint");
    assert!(locals.iter().all(|local| local.ip() == ip(V6.lip)));
}

/// Conns that live through a listing are in it once, while others come and go.
#[test]
fn a_listing_under_change() {
    let config = config().replace("upper_threshold = 100\nlower_threshold = 50\n", "");
    let mut lab = Lab::new(&config);
    for port in 0..3_000u16 {
        lab.cables[WAN].put(&V4.client_sends().tcp((10_000 + port, 80), (1, 0), tcp::SYN, b""));
    }
    lab.settle();
    let (mut listed, mut cursor, mut step) = (Vec::new(), Cursor::START, 0u16);
    while let chunk = ask(&mut lab, |director| director.conns(&ConnFilter::default(), cursor, 64))
        && let Some(next) = {
            listed.extend(chunk.conns);
            chunk.next
        }
    {
        cursor = next;
        step += 1;
        lab.send(WAN, &V4.client_sends().tcp((30_000 + step, 80), (1, 0), tcp::SYN, b""));
    }
    let stayed: Vec<_> = listed.iter().filter(|conn| conn.client.port() < 13_000).map(|conn| conn.client).collect();
    assert_eq!(stayed.len(), 3_000);
    assert_eq!(stayed.iter().collect::<HashSet<_>>().len(), 3_000);
    let version = ask(&mut lab, |director| director.version());
    assert_eq!(version.pid, std::process::id());
}

/// A filter takes, of conns and templates alike, exactly those that it would of the whole list; a mark's by their servers.
#[test]
fn conns_that_are_asked_for() {
    let mark = "[[mark]]\ndestination = \"198.51.100.77\"\nmark = 7\n[[service]]\nfwmark = 7\nscheduler = \"rr\"\npersistent = \"5m\"\n";
    let config = config() + mark + &server("10.0.0.12:80", "nat");
    let mut lab = Lab::new(&config);
    for port in 0..90u16 {
        let client = format!("203.0.113.{}", 1 + port % 9);
        lab.cables[WAN].put(&V4.client_at(&client).tcp((20_000 + port, 80), (1, 0), tcp::SYN, b""));
        lab.cables[WAN].put(&V6.client_sends().udp(20_000 + port, 53, b"x"));
        let marked =
            uvs::wire::build::Frame::between(&client, "198.51.100.77").macs(mac(ROUTER), crate::kit::port_mac(WAN));
        lab.cables[WAN].put(&marked.tcp((20_000 + port, 80), (1, 0), tcp::SYN, b""));
    }
    lab.settle();
    let all = conns(&mut lab);
    assert_eq!(all.len(), 3 * 90 + 1 + 9, "with a template of the subnet and one of each marked client");
    let marked = |conn: &show::Conn| conn.server.ip() == ip("10.0.0.12");
    let rows: [(&str, usize); 8] = [
        (r#"{"service":"tcp:198.51.100.10:80"}"#, 90),
        (r#"{"service":"udp:[2001:db8:99::10]:0"}"#, 91),
        (r#"{"service":"fwmark:7"}"#, 99),
        (r#"{"service":"fwmark:8"}"#, 0),
        (r#"{"server":"10.0.0.11:8080"}"#, 90),
        (r#"{"client":"203.0.113.3"}"#, 21),
        (r#"{"client":"203.0.113.0/30","server":"10.0.0.12"}"#, 33),
        (r#"{"client":"2001:db8:c::/64"}"#, 91),
    ];
    for (json, count) in rows {
        let filter: ConnFilter = serde_json::from_str(json).unwrap();
        let of_mark = |conn: &&show::Conn| filter.mark().is_none_or(|mark| mark == 7 && marked(conn));
        let expected: Vec<_> = all
            .iter()
            .filter(|conn| filter.takes(conn.protocol, conn.client, conn.vip, conn.server))
            .filter(of_mark)
            .collect();
        let shown = conns_of(&mut lab, &filter);
        assert_eq!((shown.iter().collect::<Vec<_>>(), shown.len()), (expected, count), "{json}");
    }
}
