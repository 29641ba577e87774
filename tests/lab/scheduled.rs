//! Two settings about what begins a conn: schedule_icmp (an ICMP error about a flow that nobody knows) and cache_bypass (a flow of
//! a mark to an address elsewhere, which no server takes). The kernel's own packets are recorded (`tests/golden`); here every
//! method and family, both values, what is counted and told, and that a reload switches them.

use crate::kit::{Lab, port_mac};
use crate::network::*;
use std::net::SocketAddr;
use uvs::pipeline::Reason;
use uvs::wire::build::Frame;
use uvs::wire::{ethernet, tcp};

const CPORT: u16 = 20_001;
/// A conn of which only an error was seen ends so soon.
const UNSEEN_MS: u64 = 3_000;

fn apply(lab: &mut Lab, text: &str) {
    let config = config::parse(text, "new.toml").unwrap_or_else(|errors| panic!("{errors}"));
    lab.control.apply(config).unwrap();
    lab.settle();
}

fn serving(family: Family, method: &str, ipvs: &str, more: &str) -> String {
    let port = if matches!(method, "dr" | "tun") { 80 } else { 8080 };
    let server = if method.is_empty() { String::new() } else { server(&endpoint(family.rip, port), method) };
    let of = |protocol| service(protocol, &endpoint(family.vip, 80), more) + &server;
    network("conns_max = 100") + &format!("[ipvs]\n{ipvs}\n") + &of("udp") + &of("tcp")
}

/// Port unreachable from the client about a packet of the VIP's port, UDP or TCP.
fn error(family: Family, quoted_tcp: bool, port: u16) -> Vec<u8> {
    let reply = Frame::between(family.vip, family.client);
    let reply =
        if quoted_tcp { reply.tcp((port, CPORT), (5, 9), tcp::ACK, b"") } else { reply.udp(port, CPORT, b"answer") };
    let (kind, code) = if family.name == "IPv4" { (3, 3) } else { (1, 4) };
    family.client_sends().icmp(kind, code, 0, &reply[14..])
}

/// Where an IP packet is for: the frame's destination, as the server sees it.
fn destination(frame: &[u8]) -> std::net::IpAddr {
    match u16::from_be_bytes([frame[12], frame[13]]) {
        ethernet::IPV4 => <[u8; 4]>::try_from(&frame[30..34]).unwrap().into(),
        _ => <[u8; 16]>::try_from(&frame[38..54]).unwrap().into(),
    }
}

#[test]
fn an_error_about_an_unknown_flow_begins_a_conn() {
    for family in FAMILIES {
        for method in ["nat", "dr", "tun", "fullnat"] {
            for quoted_tcp in [false, true] {
                let what = format!("{}, {method}, TCP {quoted_tcp}", family.name);
                let mut lab = Lab::new(&serving(family, method, "schedule_icmp = 1", ""));
                let left = one(&mut lab, WAN, &error(family, quoted_tcp, 80), LAN);
                let translated = matches!(method, "nat" | "fullnat");
                let expected = if translated || method == "tun" { family.rip } else { family.vip };
                assert_eq!(destination(&left), ip(expected), "{what}");
                // It is nobody's traffic yet: inactive, and gone in 3 s.
                let conn = conn(&lab);
                assert_eq!((conn.client(), conn.vip()), ((ip(family.client), CPORT), (ip(family.vip), 80)), "{what}");
                assert!(!conn.is_active() && conn.packets() == 0, "{what}");
                // The same again goes the same way; the flow's own packet takes the conn over.
                one(&mut lab, WAN, &error(family, quoted_tcp, 80), LAN);
                assert_eq!(lab.conns().len(), 1);
                let flow = family.client_sends();
                let flow =
                    if quoted_tcp { flow.tcp((CPORT, 80), (9, 6), tcp::ACK, b"") } else { flow.udp(CPORT, 80, b"x") };
                one(&mut lab, WAN, &flow, LAN);
                lab.advance_in_steps(UNSEEN_MS + 2_000, 500);
                assert_eq!(state(&lab), if quoted_tcp { "ESTABLISHED" } else { "UDP" }, "{what}");
                lab.check_live();
            }
        }
    }
}

#[test]
fn a_conn_of_which_only_an_error_was_seen_is_short() {
    let mut lab = Lab::new(&serving(V4, "nat", "schedule_icmp = 1", ""));
    one(&mut lab, WAN, &error(V4, true, 80), LAN);
    lab.advance(UNSEEN_MS - 100);
    assert_eq!((lab.conns().len(), state(&lab)), (1, "NONE"));
    lab.advance(1_200);
    assert_eq!(lab.conns().len(), 0);
}

/// What begins none, and as what it is counted: by its settings, its port, its servers.
#[test]
fn errors_that_begin_no_conn() {
    let rows = [
        ("the setting is 0", "nat", "schedule_icmp = 0", 80, Reason::IcmpUnmatched),
        ("no service has that port", "nat", "schedule_icmp = 1", 81, Reason::IcmpUnmatched),
        ("no server", "", "schedule_icmp = 1", 80, Reason::NoServer),
    ];
    for family in FAMILIES {
        for (what, method, ipvs, port, reason) in rows {
            let mut lab = Lab::new(&serving(family, method, ipvs, ""));
            // An error is never answered with an error.
            nothing(&mut lab, WAN, &error(family, false, port));
            assert_eq!((lab.dropped(reason), lab.conns().len()), (1, 0), "{what}, {}", family.name);
        }
    }
}

/// An error begins a template, too, and the flow that follows keeps its server.
#[test]
fn an_error_begins_a_template() {
    let more = "scheduler = \"rr\"\npersistent = \"60s\"";
    let text = serving(V4, "nat", "schedule_icmp = 1", more) + &server("10.0.0.12:8080", "nat");
    let mut lab = Lab::new(&text);
    let first = destination(&one(&mut lab, WAN, &error(V4, true, 80), LAN));
    assert_eq!(lab.control.shared().templates.len(), 1);
    lab.advance_in_steps(UNSEEN_MS + 1_000, 500);
    for port in 1..4 {
        let left = one(&mut lab, WAN, &V4.client_sends().tcp((port, 80), (1, 0), tcp::SYN, b""), LAN);
        assert_eq!(destination(&left), first);
    }
}

#[test]
fn a_reload_switches_schedule_icmp() {
    let mut lab = Lab::new(&serving(V4, "nat", "schedule_icmp = 0", ""));
    nothing(&mut lab, WAN, &error(V4, false, 80));
    apply(&mut lab, &serving(V4, "nat", "schedule_icmp = 1", ""));
    one(&mut lab, WAN, &error(V4, false, 80), LAN);
    apply(&mut lab, &serving(V4, "nat", "schedule_icmp = 0", ""));
    // What there is of it lives on.
    one(&mut lab, WAN, &error(V4, false, 80), LAN);
    lab.advance(UNSEEN_MS + 1_000);
    nothing(&mut lab, WAN, &error(V4, false, 80));
}

/// A mark on everything to a host on the servers' side that is no real server, so that its packets leave by another port.
fn marked(family: Family, ipvs: &str, servers: &str) -> String {
    let (bits, name) = if family.name == "IPv4" { (32, "ipv4") } else { (128, "ipv6") };
    let rule = format!("[[mark]]\nmark = 7\ndestination = \"{}/{bits}\"\n[ipvs]\n{ipvs}\n", family.rip);
    let service = format!("[[service]]\nfwmark = 7\nfamily = {name:?}\nscheduler = \"rr\"\n");
    network("conns_max = 100") + &rule + &service + servers
}

/// Towards the marked host, and back from it.
fn there(family: Family) -> Frame {
    Frame::between(family.client, family.rip).macs(mac(family.router), port_mac(WAN))
}

#[test]
fn a_flow_that_no_server_takes_goes_where_it_was_going() {
    for family in FAMILIES {
        let mut lab = Lab::new(&marked(family, "cache_bypass = 1", ""));
        let onward = || Frame::between(family.client, family.rip).ttl(63).macs(port_mac(LAN), mac(family.rip));
        becomes(
            &mut lab,
            WAN,
            &there(family).tcp((CPORT, 80), (5, 0), tcp::SYN, b""),
            LAN,
            &onward().tcp((CPORT, 80), (5, 0), tcp::SYN, b""),
        );
        // The host shows no server for it, and no server counts it.
        let shown = crate::show::conns(&mut lab);
        let nobody: SocketAddr = if family.name == "IPv4" { "0.0.0.0:0" } else { "[::]:0" }.parse().unwrap();
        assert_eq!((shown[0].server, shown[0].vip.ip()), (nobody, ip(family.rip)));
        one(&mut lab, LAN, &family.server_sends(family.client).tcp((80, CPORT), (9, 6), tcp::SYN | tcp::ACK, b""), WAN);
        one(&mut lab, WAN, &there(family).tcp((CPORT, 80), (6, 10), tcp::ACK, b""), LAN);
        assert_eq!(state(&lab), "ESTABLISHED");
        one(&mut lab, WAN, &there(family).udp(CPORT, 53, b"x"), LAN);
        assert_eq!(lab.conns().len(), 2);
        lab.check_live();
    }
}

/// The setting and the servers: by which port what leaves, for whom, and how many packets find no server.
#[test]
fn what_cache_bypass_is_for() {
    let taken = server(&endpoint("10.0.0.12", 0), "nat");
    let rows = [
        ("refused, and the client told", "cache_bypass = 0", "", WAN, CLIENT, 1),
        ("goes on", "cache_bypass = 1", "", LAN, V4.rip, 0),
        ("a server takes it", "cache_bypass = 1", taken.as_str(), LAN, "10.0.0.12", 0),
    ];
    for (what, ipvs, servers, leaves_by, to, refused) in rows {
        let mut lab = Lab::new(&marked(V4, ipvs, servers));
        let left = one(&mut lab, WAN, &there(V4).tcp((CPORT, 80), (5, 0), tcp::SYN, b""), leaves_by);
        assert_eq!((destination(&left), lab.dropped(Reason::NoServer)), (ip(to), refused), "{what}");
    }
    // A VIP of the director's own leads nowhere else, mark or not.
    let mut lab = Lab::new(&serving(V4, "", "cache_bypass = 1", ""));
    let left = one(&mut lab, WAN, &V4.client_sends().udp(CPORT, 80, b"x"), WAN);
    assert_eq!(left[34..36], [3, 3]);
}

/// Servers that come later get new flows; what went past them goes on doing so. A reload switches the setting.
#[test]
fn a_bypassed_flow_keeps_its_way() {
    let mut lab = Lab::new(&marked(V4, "cache_bypass = 1", ""));
    let syn = |port| there(V4).tcp((port, 80), (5, 0), tcp::SYN, b"");
    one(&mut lab, WAN, &syn(1), LAN);
    apply(&mut lab, &marked(V4, "cache_bypass = 1", &server("10.0.0.12:0", "nat")));
    lab.advance(1_000);
    let way =
        |lab: &mut Lab, port, flags| destination(&one(lab, WAN, &there(V4).tcp((port, 80), (6, 1), flags, b""), LAN));
    assert_eq!(way(&mut lab, 1, tcp::ACK), ip(V4.rip));
    assert_eq!(way(&mut lab, 2, tcp::SYN), ip("10.0.0.12"));
    apply(&mut lab, &marked(V4, "cache_bypass = 0", ""));
    assert_eq!(way(&mut lab, 1, tcp::ACK), ip(V4.rip));
    let told = one(&mut lab, WAN, &syn(3), WAN);
    assert_eq!((told[34..36].to_vec(), lab.dropped(Reason::NoServer)), (vec![3, 3], 1));
}
