//! Real servers and services that are removed: silence for their clients, or a RST; their own packets still pass; added again
//! they find their conns; and in the end nobody is counted what was another's.

use crate::kit::{Lab, port_mac};
use crate::network::*;
use crate::services::spec_of;
use std::net::SocketAddr;
use uvs::pipeline::Reason;
use uvs::services::book::{ServerSpec, ServiceSpec};
use uvs::services::{Persistence, ServiceKey};
use uvs::wire::tcp;

const CPORT: u16 = 40_000;
const TRASH_MS: u64 = 120_000;

fn lab(ipvs: &str) -> Lab {
    let config = network("conns_max = 1000") + ipvs + &service("tcp", "198.51.100.10:80", "scheduler = \"lc\"");
    Lab::new(&(config + &server("10.0.0.11:80", "nat")))
}

fn segment(port: u16, flags: u8) -> Vec<u8> {
    V4.client_sends().tcp((port, 80), (5, 9), flags, b"")
}

/// The service, its only server's address, and what that was told.
fn only_server(lab: &Lab) -> (ServiceKey, SocketAddr, ServerSpec) {
    let (service, servers) = lab.control.book().list().next().unwrap();
    (service.key, servers[0].address(), spec_of(&servers[0]))
}

fn establish(lab: &mut Lab, port: u16) {
    one(lab, WAN, &segment(port, tcp::SYN), LAN);
    one(lab, WAN, &segment(port, tcp::ACK), LAN);
}

#[test]
fn a_removed_servers_clients_hear_nothing_and_its_own_packets_pass() {
    let mut lab = lab("");
    establish(&mut lab, CPORT);
    let (key, address, spec) = only_server(&lab);
    let id = lab.control.book().list().next().unwrap().1[0].server.id;
    lab.control.delete_server(key, address).unwrap();
    lab.settle();
    nothing(&mut lab, WAN, &segment(CPORT, tcp::ACK));
    assert_eq!(lab.dropped(Reason::ServerGone), 1);
    let back = V4.client_gets(VIP).ttl(63).tcp((80, CPORT), (1, 1), tcp::ACK, b"data");
    becomes(&mut lab, LAN, &V4.server_sends(CLIENT).tcp((80, CPORT), (1, 1), tcp::ACK, b"data"), WAN, &back);
    // A new client finds no server.
    let answer = one(&mut lab, WAN, &segment(CPORT + 1, tcp::SYN), WAN);
    assert_eq!(answer[34..36], [3, 3]);
    // Within its time, or as long as it has conns, it comes back as it was: conns and counts.
    lab.advance_in_steps(TRASH_MS + 10_000, 1_000);
    assert_eq!(load(&lab, id), (1, 0));
    lab.control.add_server(key, address, spec).unwrap();
    lab.settle();
    assert_eq!((counts(&lab), lab.control.book().list().next().unwrap().1[0].server.id), ((1, 0), id));
    one(&mut lab, WAN, &segment(CPORT, tcp::ACK), LAN);
}

#[test]
fn expire_nodest_conn_ends_the_conn_with_a_rst() {
    let mut lab = lab("[ipvs]\nexpire_nodest_conn = 1\n");
    establish(&mut lab, CPORT);
    let (key, address, _) = only_server(&lab);
    lab.control.delete_server(key, address).unwrap();
    lab.settle();
    let expected = V4.client_gets(VIP).id(0).window(0).tcp((80, CPORT), (9, 0), tcp::RST, b"");
    becomes(&mut lab, WAN, &segment(CPORT, tcp::ACK), WAN, &expected);
    assert_eq!(lab.conns().len(), 0);
    // The server's own packets are nobody's now: routed as they are.
    let left = one(&mut lab, LAN, &V4.server_sends(CLIENT).tcp((80, CPORT), (1, 1), tcp::ACK, b"data"), WAN);
    assert_eq!(left[26..30], [10, 0, 0, 11]);
}

/// A client's port that is used again, whatever state the conn was left in: another server takes what begins.
#[test]
fn expire_nodest_conn_has_a_syn_start_another_conn() {
    for before in [&[tcp::SYN][..], &[tcp::SYN, tcp::RST], &[tcp::SYN, tcp::ACK], &[tcp::SYN, tcp::ACK, tcp::FIN]] {
        let mut lab = lab("[ipvs]\nexpire_nodest_conn = 1\n");
        for &flags in before {
            one(&mut lab, WAN, &segment(CPORT, flags), LAN);
        }
        let (key, address, spec) = only_server(&lab);
        lab.control.delete_server(key, address).unwrap();
        lab.control.add_server(key, "10.0.0.12:80".parse().unwrap(), spec).unwrap();
        lab.settle();
        let left = one(&mut lab, WAN, &segment(CPORT, tcp::SYN), LAN);
        assert_eq!(left[..6], mac("10.0.0.12").0, "after {before:?}");
        assert_eq!(lab.conns().len(), 1);
    }
}

/// A server without conns is forgotten after two minutes: added again it is a new one. Not while conns or templates name it.
#[test]
fn trash_is_emptied_in_its_time() {
    let mut lab = lab("");
    establish(&mut lab, CPORT);
    one(&mut lab, WAN, &segment(CPORT, tcp::RST), LAN);
    let (key, address, spec) = only_server(&lab);
    let live_id = |lab: &Lab| lab.control.book().list().next().unwrap().1[0].server.id;
    let id = live_id(&lab);
    lab.control.delete_server(key, address).unwrap();
    lab.advance_in_steps(TRASH_MS - 2_000, 1_000);
    lab.control.add_server(key, address, spec).unwrap();
    lab.settle();
    assert_eq!(live_id(&lab), id, "in time");
    let shown = |lab: &mut Lab| crate::show::services(lab).services[0].servers[0].traffic;
    assert_eq!(shown(&mut lab).conns, 1, "with its counters");
    lab.control.delete_server(key, address).unwrap();
    lab.advance_in_steps(TRASH_MS + 2_000, 1_000);
    // Another server takes the place now, and none of its counts.
    lab.control.add_server(key, "10.0.0.12:80".parse().unwrap(), spec).unwrap();
    lab.settle();
    assert_eq!((live_id(&lab), counts(&lab)), (id, (0, 0)), "the place is used again");
    assert_eq!(shown(&mut lab), Default::default(), "its traffic begins at 0");
}

/// A template keeps its removed server's place from being another's: the client would be sent there.
#[test]
fn a_template_keeps_the_place() {
    let config = network("conns_max = 100") + &service("tcp", "198.51.100.10:80", "persistent = \"10m\"");
    let mut lab = Lab::new(&(config + &server("10.0.0.11:80", "nat")));
    one(&mut lab, WAN, &segment(CPORT, tcp::SYN), LAN);
    one(&mut lab, WAN, &segment(CPORT, tcp::ACK), LAN);
    one(&mut lab, WAN, &segment(CPORT, tcp::RST), LAN);
    let (key, address, spec) = only_server(&lab);
    let id = lab.control.book().list().next().unwrap().1[0].server.id;
    lab.control.delete_server(key, address).unwrap();
    lab.advance_in_steps(TRASH_MS + 5_000, 1_000);
    assert_eq!(lab.conns().len(), 0);
    lab.control.add_server(key, "10.0.0.12:80".parse().unwrap(), spec).unwrap();
    lab.settle();
    assert_ne!(lab.control.book().list().next().unwrap().1[0].server.id, id);
    let left = one(&mut lab, WAN, &segment(CPORT, tcp::SYN), LAN);
    assert_eq!(left[..6], mac("10.0.0.12").0);
}

fn service_spec(scheduler: &str) -> ServiceSpec {
    let persistence: Option<Persistence> = None;
    ServiceSpec {
        scheduler: scheduler.parse().unwrap(),
        settings: Default::default(),
        persistence,
        one_packet: false,
        steer: Default::default(),
    }
}

/// A service that is removed and made again while conns end: its scheduler hears of every count, whoever had its places before.
#[test]
fn a_scheduler_hears_of_its_servers_counts_after_a_service_was_removed() {
    for wait_ms in [0, TRASH_MS + 2_000] {
        let mut lab = lab("");
        establish(&mut lab, CPORT);
        let (key, address, spec) = only_server(&lab);
        lab.control.delete_service(key).unwrap();
        // Another service takes the removed one's place, and nobody speaks to it.
        let ServiceKey::Endpoint { protocol, vip, .. } = key else { panic!() };
        let idle = ServiceKey::Endpoint { protocol, vip, port: 81 };
        lab.control.add_service(idle, service_spec("lc")).unwrap();
        lab.control.add_server(idle, "10.0.0.50:81".parse().unwrap(), spec).unwrap();
        lab.settle();
        // The conn ends: that count is announced to the place of the service that it was made for.
        lab.send(LAN, &V4.server_sends(CLIENT).tcp((80, CPORT), (1, 1), tcp::RST, b""));
        lab.advance_in_steps(11_000, 1_000);
        lab.advance_in_steps(wait_ms, 1_000);
        lab.control.add_service(key, service_spec("lc")).unwrap();
        let servers = [address, "10.0.0.12:80".parse().unwrap()];
        for server in servers {
            lab.control.add_server(key, server, spec).unwrap();
        }
        lab.settle();
        // lc among two: the loads stay even only if both are heard of.
        let mut picks = [0, 0];
        for port in 0..20 {
            let left = one(&mut lab, WAN, &segment(20_000 + port, tcp::SYN), LAN);
            picks[usize::from(left[..6] == mac("10.0.0.12").0)] += 1;
        }
        assert_eq!(picks, [10, 10], "after {wait_ms} ms");
    }
}

/// A removed service's conns go on as those of removed servers do.
#[test]
fn a_removed_service() {
    let mut lab = lab("");
    establish(&mut lab, CPORT);
    let (key, ..) = only_server(&lab);
    lab.control.delete_service(key).unwrap();
    lab.settle();
    nothing(&mut lab, WAN, &segment(CPORT, tcp::ACK));
    assert_eq!(lab.dropped(Reason::ServerGone), 1);
    one(&mut lab, LAN, &V4.server_sends(CLIENT).tcp((80, CPORT), (1, 1), tcp::ACK, b"data"), WAN);
    // The VIP is another host's, as far as the director knows.
    one(&mut lab, WAN, &segment(CPORT + 1, tcp::SYN), WAN);
    let ping = uvs::wire::build::Frame::between(CLIENT, VIP).macs(mac(ROUTER), port_mac(WAN)).icmp(8, 0, 1, b"");
    one(&mut lab, WAN, &ping, WAN);
    assert_eq!(lab.conns().len(), 1);
}
