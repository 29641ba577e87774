//! What the host configures: addresses, routes, neighbours, and the VIPs that are answered while it carries them.

use super::*;
use crate::kit::host_mac;
use control::{Director, show};
use uvs::director::Answering;
use uvs::neigh::HostNeighbor;
use uvs::pipeline::Reason;
use uvs::wire::{Mac, arp, nd, tcp};

const OTHER: Mac = Mac([2, 0, 0, 0, 0, 0x77]);
const CPORT: u16 = 40_000;

fn ask<T>(lab: &mut Lab, question: impl FnOnce(&mut Answering<'_>) -> T) -> T {
    let ports = || show::Ports::default();
    question(&mut Answering { control: &mut lab.control, ports: &ports })
}

/// "destination via origin", as listed.
fn routes(lab: &mut Lab) -> Vec<String> {
    let routes = ask(lab, |director| director.routes()).routes;
    let via = |route: &show::Route| route.via.map_or("-".to_string(), |via| via.to_string());
    routes.iter().map(|route| format!("{} {} {} {}", route.destination, via(route), route.port, route.origin)).collect()
}

/// How a neighbour is listed: MAC, state, origin.
fn neighbor(lab: &mut Lab, address: &str) -> Option<(Option<String>, String, String)> {
    let neighbors = ask(lab, |director| director.neighbors()).neighbors;
    let line = neighbors.into_iter().find(|line| line.address == ip(address))?;
    Some((line.mac.map(|mac| mac.to_string()), line.state.to_string(), line.origin.to_string()))
}

/// Whether a question for the address gets an answer on this port.
fn answered(lab: &mut Lab, family: Family, port: usize, address: &str) -> bool {
    let asker = match (family.name, port) {
        ("IPv4", WAN) => "192.0.2.77",
        ("IPv4", _) => "10.0.0.77",
        (_, WAN) => "2001:db8::77",
        _ => "fd00:1::77",
    };
    let question = match (ip(asker), ip(address)) {
        (std::net::IpAddr::V4(asker), std::net::IpAddr::V4(target)) => arp::request((OTHER, asker), target),
        (std::net::IpAddr::V6(asker), std::net::IpAddr::V6(target)) => nd::solicitation((OTHER, asker), target),
        _ => unreachable!("two families"),
    };
    let left = everything_left(lab, port, &question);
    left.iter().any(|left| left.port == port && left.frame[..6] == OTHER.0)
}

/// The ports on which an address was announced to everybody, in what left.
fn announced(left: &[Left], address: &str) -> Vec<usize> {
    let announces = |left: &&Left| match ip(address) {
        std::net::IpAddr::V4(v4) => left.frame == arp::request((port_mac(left.port), v4), v4),
        std::net::IpAddr::V6(v6) => {
            left.frame == nd::announcement((port_mac(left.port), v6), nd::OVERRIDE | nd::ROUTER)
        }
    };
    left.iter().filter(announces).map(|left| left.port).collect()
}

/// Turns for a while; all that left.
fn turns(lab: &mut Lab, ms: u64) -> Vec<Left> {
    let mut left = Vec::new();
    for _ in 0..ms / 10 {
        lab.now_ms += 10;
        let now = lab.now();
        lab.control.turn(now);
        lab.workers.iter_mut().for_each(|worker| _ = worker.turn(now));
        left.extend(taken(lab));
    }
    left
}

#[test]
fn an_address_comes_and_goes() {
    for family in FAMILIES {
        let mut lab = Lab::new(&config());
        let own = host_address(family);
        let asked = to(family, own).udp(CPORT, 53, b"?");
        for _ in 0..2 {
            assert!(!answered(&mut lab, family, WAN, own), "{}", family.name);
            assert!(!lab.send(WAN, &asked).is_empty(), "{}: another host's, and routed", family.name);
            assert!(lab.host_got().iter().all(|got| got.frame != asked), "{}", family.name);
            lab.control.set_host(carrying(&[&format!("{own}/{}", prefix(family))]));
            let left = turns(&mut lab, 3_000);
            assert_eq!(announced(&left, own), [WAN, WAN], "{}: twice, where it is", family.name);
            assert!(answered(&mut lab, family, WAN, own), "{}", family.name);
            lab.host_got();
            lab.send(WAN, &asked);
            assert_eq!(lab.host_got().len(), 1, "{}", family.name);
            lab.host_has(HostNetwork::default());
            lab.host_got();
        }
    }
}

/// The host's subnet is a way to its hosts, and the file's addresses stay.
#[test]
fn an_address_brings_its_subnet() {
    let mut lab = Lab::new(&config());
    let before = routes(&mut lab);
    lab.host_has(carrying(&["192.0.2.2/24", "203.0.114.1/24", "2001:db8:5::1/64", "198.51.100.10/32"]));
    let added: Vec<_> = routes(&mut lab).into_iter().filter(|line| !before.contains(line)).collect();
    assert_eq!(added, ["203.0.114.0/24 - wan host", "2001:db8:5::/64 - wan host"]);
    assert!(before.contains(&"192.0.2.0/24 - wan connected".to_string()), "{before:?}");
    assert!(before.contains(&format!("0.0.0.0/0 {ROUTER} wan file")), "{before:?}");
    lab.host_has(HostNetwork::default());
    assert_eq!(routes(&mut lab), before);
}

/// Without a gateway in the file: conns that live move with the host's routes.
#[test]
fn a_route_comes_and_goes() {
    for family in FAMILIES {
        let text =
            config().replace(&format!("gateway = \"{ROUTER}\""), "").replace(&format!("gateway6 = \"{ROUTER6}\""), "");
        let mut lab = Lab::new(&text);
        let (everywhere, second) = match family.name {
            "IPv4" => ("0.0.0.0/0", "192.0.2.253"),
            _ => ("::/0", "2001:db8::fd"),
        };
        let syn = family.client_sends().tcp((CPORT, 80), (1, 0), tcp::SYN, b"");
        one(&mut lab, WAN, &syn, LAN);
        let reply = family.server_sends(family.client).tcp((8080, CPORT), (1, 2), tcp::SYN | tcp::ACK, b"");
        let goes = |lab: &mut Lab, routes: Vec<HostRoute>| -> Option<Mac> {
            lab.host_has(HostNetwork { routes, ..HostNetwork::default() });
            lab.advance(2_000);
            let left = lab.send(LAN, &reply);
            let out = left.iter().find(|left| left.port == WAN)?;
            Some(Mac(out.frame[..6].try_into().unwrap()))
        };
        assert_eq!(goes(&mut lab, vec![]), None, "{}: no way to the client", family.name);
        let router = |gateway, metric| route(everywhere, Some(gateway), metric);
        assert_eq!(goes(&mut lab, vec![router(family.router, 0)]), Some(host_mac(ip(family.router))));
        assert_eq!(goes(&mut lab, vec![router(second, 0)]), Some(host_mac(ip(second))), "the conn moves");
        let both = vec![router(family.router, 10), router(second, 20)];
        assert_eq!(goes(&mut lab, both), Some(host_mac(ip(family.router))), "the lower metric");
        let on_link = format!("{}/{}", family.client, if family.name == "IPv4" { 32 } else { 128 });
        let longest = vec![router(second, 0), route(&on_link, None, 0)];
        assert_eq!(goes(&mut lab, longest), Some(host_mac(ip(family.client))), "the longest prefix, on the link");
        let no_route = lab.dropped(Reason::NoRoute);
        assert_eq!(goes(&mut lab, vec![]), None, "{}: withdrawn", family.name);
        assert_eq!(lab.dropped(Reason::NoRoute), no_route + 1);
    }
}

/// Real servers behind a router that the host learned: their next hop follows.
#[test]
fn servers_behind_a_learned_router_follow_it() {
    let far = "10.77.0.11";
    let text = config() + &service("tcp", &endpoint(VIP, 81), "") + &server(&endpoint(far, 8080), "nat");
    let text = text
        .replace(&format!("gateway = \"{ROUTER}\""), "")
        .replace("[[port]]\n        name = \"lan\"", "[[port]]\nhost = \"uvs1\"\nname = \"lan\"");
    let mut lab = Lab::new(&text);
    for router in ["10.0.0.9", "10.0.0.8"] {
        let route =
            HostRoute { to: "10.77.0.0/16".parse().unwrap(), metric: 20, port: LAN as u16, gateway: Some(ip(router)) };
        lab.host_has(HostNetwork { routes: vec![route], ..HostNetwork::default() });
        lab.advance(2_000);
        let syn = V4.client_sends().tcp((CPORT, 81), (1, 0), tcp::SYN, b"");
        assert_eq!(one(&mut lab, WAN, &syn, LAN)[..6], host_mac(ip(router)).0, "{router}");
        assert_eq!(neighbor(&mut lab, router).unwrap().1, "reachable", "resolved before a packet needed it");
    }
}

#[test]
fn the_file_wins() {
    let text = config() + "[[neighbor]]\naddress = \"192.0.2.50\"\nmac = \"02:00:00:00:00:50\"\n";
    let mut lab = Lab::new(&text);
    let known =
        |address: &str, permanent| HostNeighbor { port: WAN as u16, address: ip(address), mac: OTHER, permanent };
    let network = HostNetwork {
        routes: vec![route("0.0.0.0/0", Some("192.0.2.253"), 0), route("192.0.2.0/24", None, 0)],
        neighbors: vec![known("192.0.2.50", true), known("192.0.2.51", true), known("192.0.2.52", false)],
        ..HostNetwork::default()
    };
    lab.host_has(network);
    let defaults: Vec<_> = routes(&mut lab).into_iter().filter(|line| line.starts_with("0.0.0.0/0")).collect();
    assert_eq!(defaults, [format!("0.0.0.0/0 {ROUTER} wan file")]);
    let line =
        |mac: &str, state: &str, origin: &str| Some((Some(mac.to_string()), state.to_string(), origin.to_string()));
    assert_eq!(neighbor(&mut lab, "192.0.2.50"), line("02:00:00:00:00:50", "static", "file"));
    assert_eq!(neighbor(&mut lab, "192.0.2.51"), line("02:00:00:00:00:77", "static", "host"));
    assert_eq!(neighbor(&mut lab, "192.0.2.52"), line("02:00:00:00:00:77", "stale", "host"));
    assert_eq!(neighbor(&mut lab, ROUTER).unwrap().2, "resolved");
    // The host forgets: who was static for it is asked again when a packet needs it.
    lab.host_has(HostNetwork::default());
    assert_eq!(neighbor(&mut lab, "192.0.2.50"), line("02:00:00:00:00:50", "static", "file"));
    assert_eq!(neighbor(&mut lab, "192.0.2.51"), line("02:00:00:00:00:77", "stale", "host"));
}

/// A neighbour that the host hears of at another MAC is followed, as one that announces itself.
#[test]
fn a_neighbour_moves_and_the_host_says_so() {
    let mut lab = Lab::new(&config());
    lab.hosts_answer = false;
    let moved = HostNeighbor { port: WAN as u16, address: ip(ROUTER), mac: OTHER, permanent: false };
    let syn = V4.client_sends().tcp((CPORT, 80), (1, 0), tcp::SYN, b"");
    one(&mut lab, WAN, &syn, LAN);
    let reply = V4.server_sends(V4.client).tcp((8080, CPORT), (1, 2), tcp::SYN | tcp::ACK, b"");
    assert_eq!(one(&mut lab, LAN, &reply, WAN)[..6], mac(ROUTER).0);
    lab.host_has(HostNetwork { neighbors: vec![moved], ..HostNetwork::default() });
    assert_eq!(one(&mut lab, LAN, &reply, WAN)[..6], OTHER.0);
}

/// `vip_answer = "host"`: silence until the host carries the VIP, then two announcements and answers, then silence again. On the
/// other port, which has no such key, it is answered throughout.
#[test]
fn a_vip_is_answered_while_the_host_carries_it() {
    for family in FAMILIES {
        let mut lab = Lab::unstarted(&config_with("conns_max = 500", "vip_answer = \"host\""), 0);
        let first = turns(&mut lab, 3_000);
        assert_eq!(announced(&first, family.vip), [] as [usize; 0], "{}: nobody carries it", family.name);
        assert_eq!(announced(&first, family.wan), [WAN, WAN], "{}: an own address of the file", family.name);
        let carried = carrying(&[&format!("{}/{}", family.vip, if family.name == "IPv4" { 32 } else { 128 })]);
        for _ in 0..2 {
            assert!(!answered(&mut lab, family, WAN, family.vip), "{}", family.name);
            assert!(answered(&mut lab, family, LAN, family.vip), "{}", family.name);
            assert!(answered(&mut lab, family, WAN, family.wan), "{}: not a VIP", family.name);
            lab.host_got();
            lab.control.set_host(carried.clone());
            assert_eq!(announced(&turns(&mut lab, 3_000), family.vip), [WAN, WAN], "{}", family.name);
            assert!(answered(&mut lab, family, WAN, family.vip), "{}", family.name);
            lab.host_has(HostNetwork::default());
        }
        assert!(lab.host_got().is_empty(), "{}: the host is not asked for a VIP, whoever carries it", family.name);
    }
}
