//! Persistence: a client keeps its real server as long as its template lives.

use crate::kit::Lab;
use crate::network::*;
use crate::services::spec_of;
use uvs::pipeline::Reason;
use uvs::services::book::ServerSpec;
use uvs::wire::tcp;

fn lab_of(director: &str, ipvs: &str, rest: &str) -> Lab {
    let rest = format!("scheduler = \"rr\"\npersistent = \"100s\"\n{rest}");
    let config = network(director) + ipvs + &service("udp", "198.51.100.10:80", &rest);
    let config = config + "[timeouts]\nudp = \"10s\"\n";
    Lab::new(&(config + &server("10.0.0.11:80", "nat") + &server("10.0.0.12:80", "nat")))
}

fn lab() -> Lab {
    lab_of("conns_max = 1000", "", "")
}

/// The real server that a client's datagram goes to: the last byte of its address.
fn server_of(lab: &mut Lab, client: &str, port: u16) -> u8 {
    one(lab, WAN, &V4.client_at(client).udp(port, 80, b"x"), LAN)[33]
}

#[test]
fn a_client_keeps_its_server() {
    let mut lab = lab();
    let first = server_of(&mut lab, "203.0.113.1", 1);
    let second = server_of(&mut lab, "203.0.113.2", 1);
    assert_ne!(first, second, "rr");
    for port in 2..20 {
        assert_eq!(server_of(&mut lab, "203.0.113.1", port), first);
        assert_eq!(server_of(&mut lab, "203.0.113.2", port), second);
    }
    assert_eq!(lab.control.shared().templates.len(), 2);
    // Every new conn starts the time again; the conns themselves are gone after 10 s.
    for _ in 0..5 {
        lab.advance_in_steps(90_000, 1_000);
        assert_eq!(lab.conns().len(), 0);
        assert_eq!(server_of(&mut lab, "203.0.113.1", 1), first);
    }
    lab.advance_in_steps(101_000, 1_000);
    assert_eq!(lab.control.shared().templates.len(), 0, "no template outlives its time");
}

/// A datagram scheduled by itself follows its client's template, too (recorded).
#[test]
fn one_packet_scheduling_follows_templates() {
    let mut lab = lab_of("conns_max = 1000", "", "one_packet = true");
    let first = server_of(&mut lab, "203.0.113.1", 1);
    assert_ne!(server_of(&mut lab, "203.0.113.2", 1), first, "rr");
    for port in 1..20 {
        assert_eq!(server_of(&mut lab, "203.0.113.1", port), first);
    }
    assert_eq!((lab.conns().len(), lab.control.shared().templates.len()), (0, 2));
    lab.advance_in_steps(101_000, 1_000);
    assert_eq!(lab.control.shared().templates.len(), 0, "they control no conns");
}

/// Clients of one subnet are one client; those of two are two.
#[test]
fn a_netmask_groups_clients() {
    let mut lab = lab_of("conns_max = 1000", "", "netmask = \"255.255.255.0\"");
    let first = server_of(&mut lab, "203.0.113.1", 1);
    for host in 2..50 {
        assert_eq!(server_of(&mut lab, &format!("203.0.113.{host}"), 1), first);
    }
    let other = server_of(&mut lab, "203.0.114.1", 1);
    assert_ne!(other, first);
    assert_eq!(server_of(&mut lab, "203.0.114.200", 1), other);
    assert_eq!(lab.control.shared().templates.len(), 2);
}

#[test]
fn a_netmask_groups_ipv6_clients() {
    let rest = "scheduler = \"rr\"\npersistent = \"100s\"\nnetmask = 64";
    let config = network("conns_max = 100") + &service("udp", "[2001:db8:99::10]:80", rest);
    let mut lab = Lab::new(&(config + &server("[fd00:1::11]:80", "nat") + &server("[fd00:1::12]:80", "nat")));
    let server = |lab: &mut Lab, client: &str| one(lab, WAN, &V6.client_at(client).udp(1, 80, b"x"), LAN)[53];
    let first = server(&mut lab, "2001:db8:c::1");
    assert_eq!(server(&mut lab, "2001:db8:c::ffff:1"), first);
    assert_ne!(server(&mut lab, "2001:db8:c:1::1"), first);
}

/// Sets the weight of a real server by the last byte of its address.
fn set_weight(lab: &mut Lab, server: u8, weight: u32) {
    let (service, listed) = lab.control.book().list().next().unwrap();
    let listed = listed.iter().find(|listed| listed.address().to_string() == format!("10.0.0.{server}:80")).unwrap();
    let (key, address, spec) = (service.key, listed.address(), spec_of(listed));
    lab.control.edit_server(key, address, ServerSpec { weight, ..spec }).unwrap();
    lab.settle();
}

#[test]
fn a_quiesced_server_keeps_its_clients_unless_told_otherwise() {
    for (ipvs, keeps) in [("", true), ("[ipvs]\nexpire_quiescent_template = 1\n", false)] {
        let mut lab = lab_of("conns_max = 1000", ipvs, "");
        let first = server_of(&mut lab, "203.0.113.1", 1);
        set_weight(&mut lab, first, 0);
        assert_eq!(server_of(&mut lab, "203.0.113.1", 2) == first, keeps);
        assert_eq!(server_of(&mut lab, "203.0.113.1", 1), first, "a conn stays where it is");
    }
}

/// A template's client stays on an overloaded server; others go elsewhere.
#[test]
fn an_overloaded_server_keeps_its_clients() {
    let mut lab = lab();
    let first = server_of(&mut lab, "203.0.113.1", 1);
    let (service, listed) = lab.control.book().list().next().unwrap();
    let listed = listed.iter().find(|listed| listed.address().to_string() == format!("10.0.0.{first}:80")).unwrap();
    let (key, address, spec) = (service.key, listed.address(), spec_of(listed));
    let thresholds = sched::Thresholds { upper: 1, lower: 0 };
    lab.control.edit_server(key, address, ServerSpec { thresholds, ..spec }).unwrap();
    lab.settle();
    assert_eq!(server_of(&mut lab, "203.0.113.1", 2), first);
    for host in 2..6 {
        assert_ne!(server_of(&mut lab, &format!("203.0.113.{host}"), 1), first);
    }
}

/// A removed server's template is dropped, and the client is scheduled anew; also where no server is left.
#[test]
fn a_removed_servers_client_is_scheduled_anew() {
    let mut lab = lab();
    let first = server_of(&mut lab, "203.0.113.1", 1);
    let key = lab.control.book().list().next().unwrap().0.key;
    lab.control.delete_server(key, format!("10.0.0.{first}:80").parse().unwrap()).unwrap();
    lab.settle();
    let second = server_of(&mut lab, "203.0.113.1", 2);
    assert_ne!(second, first);
    lab.control.delete_server(key, format!("10.0.0.{second}:80").parse().unwrap()).unwrap();
    lab.settle();
    one(&mut lab, WAN, &V4.client_at("203.0.113.1").udp(3, 80, b"x"), WAN);
    assert_eq!(lab.dropped(Reason::NoServer), 1);
    assert_eq!(lab.conns().len(), 2);
    lab.advance_in_steps(12_000, 1_000);
    lab.advance_in_steps(120_000, 1_000);
    assert_eq!((lab.control.shared().templates.len(), lab.conns().len()), (0, 0));
}

#[test]
fn templates_are_bounded() {
    let mut lab = lab_of("conns_max = 1000\ntemplates_max = 10", "", "");
    let mut servers = Vec::new();
    for host in 1..=10 {
        servers.push(server_of(&mut lab, &format!("203.0.113.{host}"), 1));
    }
    for host in 11..=15 {
        nothing(&mut lab, WAN, &V4.client_at(&format!("203.0.113.{host}")).udp(1, 80, b"x"));
    }
    assert_eq!((lab.dropped(Reason::TemplatesFull), lab.conns().len()), (5, 10));
    // Who has one keeps it, with new conns, too.
    for host in 1..=10 {
        assert_eq!(server_of(&mut lab, &format!("203.0.113.{host}"), 2), servers[host - 1]);
    }
    // When they end there is room again.
    lab.advance_in_steps(102_000, 1_000);
    server_of(&mut lab, "203.0.113.11", 1);
    assert_eq!(lab.control.shared().templates.len(), 1);
}

/// A template that controls conns lives on past its time, a minute at a time.
#[test]
fn a_template_with_conns_outlives_its_time() {
    let config =
        network("conns_max = 100") + &service("tcp", "198.51.100.10:80", "scheduler = \"rr\"\npersistent = \"10s\"");
    let mut lab = Lab::new(&(config + &server("10.0.0.11:80", "nat") + &server("10.0.0.12:80", "nat")));
    let send = |lab: &mut Lab, client: &str, port, flags| {
        one(lab, WAN, &V4.client_at(client).tcp((port, 80), (1, 1), flags, b""), LAN)[33]
    };
    let first = send(&mut lab, CLIENT, 1, tcp::SYN);
    send(&mut lab, CLIENT, 1, tcp::ACK);
    lab.advance_in_steps(300_000, 1_000);
    assert_ne!(send(&mut lab, "203.0.113.8", 1, tcp::SYN), first, "rr is at the other one");
    send(&mut lab, "203.0.113.9", 1, tcp::SYN);
    send(&mut lab, "203.0.113.10", 1, tcp::SYN);
    assert_eq!(send(&mut lab, CLIENT, 2, tcp::SYN), first);
    send(&mut lab, CLIENT, 1, tcp::RST);
    send(&mut lab, CLIENT, 2, tcp::RST);
    lab.advance_in_steps(200_000, 1_000);
    assert_eq!((lab.conns().len(), lab.control.shared().templates.len()), (0, 0));
}

/// A conn that begins established, as sloppy_tcp lets it, assures its template with its first packet (recorded by a mix).
#[test]
fn a_template_is_assured_by_the_first_packet_of_an_established_conn() {
    for (flags, assured) in [(tcp::SYN, false), (tcp::ACK, true)] {
        let config = network("conns_max = 100") + "[ipvs]\nsloppy_tcp = 1\n";
        let config =
            config + &service("tcp", "198.51.100.10:80", "persistent = \"100s\"") + &server("10.0.0.11:80", "nat");
        let mut lab = Lab::new(&config);
        one(&mut lab, WAN, &V4.client_sends().tcp((1, 80), (1, 1), flags, b""), LAN);
        let mut found = Vec::new();
        lab.control.shared().templates.visit(lab.now().tick, |template| found.push(template.assured));
        assert_eq!(found, [assured], "flags {flags:#x}");
    }
}
