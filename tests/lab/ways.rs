//! Gateways, routes and static neighbours that change while the director runs: packets of conns that are established take the
//! new way with the next packet, and nobody else notices.

use crate::kit::Lab;
use crate::network::*;
use uvs::pipeline::Reason;
use uvs::wire::{Mac, tcp};

const CPORT: u16 = 40_000;
/// A real server of each family behind a router.
const FAR: [(&str, &str, &str); 2] =
    [("10.9.0.11", "10.0.0.253", "10.0.0.254"), ("fd00:9::11", "fd00:1::fd", "fd00:1::fe")];

fn apply(lab: &mut Lab, text: &str) -> Vec<String> {
    let new = config::parse(text, "new.toml").unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    let applied = lab.control.apply(new).unwrap_or_else(|refusals| panic!("{refusals:?}\n{text}"));
    // Routers that are new answer ARP and neighbour discovery.
    lab.advance(100);
    applied.lines().collect()
}

fn text(family: Family, rip: &str, more: &str) -> String {
    network("conns_max = 100")
        + more
        + &service("tcp", &endpoint(family.vip, 80), "scheduler = \"rr\"")
        + &server(&endpoint(rip, 80), "nat")
}

/// Where the next frames of the conn go: towards its real server, and towards its client.
fn ways(lab: &mut Lab, family: Family, rip: &str, port: u16) -> (Mac, Mac) {
    let inbound = one(lab, WAN, &family.client_sends().tcp((port, 80), (5, 9), tcp::ACK, b""), LAN);
    let reply = uvs::wire::build::Frame::between(rip, family.client).macs(mac(rip), crate::kit::port_mac(LAN));
    let outbound = one(lab, LAN, &reply.tcp((80, port), (1, 1), tcp::ACK, b"data"), WAN);
    (destination(&inbound), destination(&outbound))
}

fn destination(frame: &[u8]) -> Mac {
    Mac(frame[..6].try_into().unwrap())
}

fn establish(lab: &mut Lab, family: Family, port: u16) {
    lab.send(WAN, &family.client_sends().tcp((port, 80), (4, 0), tcp::SYN, b""));
}

#[test]
fn conns_follow_another_route() {
    for (family, (rip, first, second)) in FAMILIES.into_iter().zip(FAR) {
        let prefix = if rip.contains(':') { "fd00:9::/64" } else { "10.9.0.0/16" };
        let route = |via: &str| format!("[[route]]\ndestination = \"{prefix}\"\nvia = \"{via}\"\n");
        let mut lab = Lab::new(&text(family, rip, &route(first)));
        establish(&mut lab, family, CPORT);
        let towards_client = mac(family.router);
        assert_eq!(ways(&mut lab, family, rip, CPORT), (mac(first), towards_client));
        let lines = apply(&mut lab, &text(family, rip, &route(second)));
        assert_eq!(lines, [format!("route to {prefix}: via {first} on port lan → via {second} on port lan")]);
        assert_eq!(ways(&mut lab, family, rip, CPORT), (mac(second), towards_client), "an established conn");
        establish(&mut lab, family, CPORT + 1);
        assert_eq!(ways(&mut lab, family, rip, CPORT + 1).0, mac(second), "a new conn");
        // A more specific route takes one host; without any route the packets leave by the default one.
        let host = format!("{rip}/{}", if family.header_bytes == 20 { 32 } else { 128 });
        let to_host = format!("{}[[route]]\ndestination = \"{host}\"\nvia = \"{first}\"\n", route(second));
        apply(&mut lab, &text(family, rip, &to_host));
        assert_eq!(ways(&mut lab, family, rip, CPORT).0, mac(first), "a route to the host");
        apply(&mut lab, &text(family, rip, ""));
        let left = one(&mut lab, WAN, &family.client_sends().tcp((CPORT, 80), (5, 9), tcp::ACK, b""), WAN);
        assert_eq!(destination(&left), mac(family.router), "no route but the default one");
        assert_eq!(lab.dropped(Reason::NoRoute) + lab.dropped(Reason::HeldTooLong), 0);
    }
}

#[test]
fn conns_follow_another_gateway() {
    for family in FAMILIES {
        let before = text(family, family.rip, "");
        let mut lab = Lab::new(&before);
        establish(&mut lab, family, CPORT);
        let expected = (mac(family.rip), mac(family.router));
        assert_eq!(ways(&mut lab, family, family.rip, CPORT), expected);
        let other = if family.header_bytes == 20 { "192.0.2.253" } else { "2001:db8::fd" };
        let after = before.replacen(&format!("{:?}", family.router), &format!("{other:?}"), 1);
        apply(&mut lab, &after);
        assert_eq!(ways(&mut lab, family, family.rip, CPORT), (mac(family.rip), mac(other)));
        // None at all: nobody can be told. And back.
        let key = if family.header_bytes == 20 { "gateway" } else { "gateway6" };
        apply(&mut lab, &before.replacen(&format!("{key} = {:?}", family.router), "", 1));
        let reply = family.server_sends(family.client).tcp((80, CPORT), (1, 1), tcp::ACK, b"data");
        lab.send(LAN, &reply);
        assert_eq!(lab.dropped(Reason::NoRoute), 1, "{}", family.name);
        apply(&mut lab, &before);
        assert_eq!(ways(&mut lab, family, family.rip, CPORT), expected);
    }
}

#[test]
fn a_static_neighbour_comes_moves_and_goes() {
    for family in FAMILIES {
        let said = |mac: &str| format!("[[neighbor]]\naddress = {:?}\nmac = {mac:?}\n", family.rip);
        let mut lab = Lab::new(&text(family, family.rip, ""));
        establish(&mut lab, family, CPORT);
        for fixed in ["02:00:00:00:0a:01", "02:00:00:00:0a:02"] {
            apply(&mut lab, &text(family, family.rip, &said(fixed)));
            assert_eq!(ways(&mut lab, family, family.rip, CPORT).0.to_string(), fixed);
            // What it says itself counts for nothing.
            lab.advance(60_000);
            assert_eq!(ways(&mut lab, family, family.rip, CPORT).0.to_string(), fixed);
        }
        apply(&mut lab, &text(family, family.rip, ""));
        ways(&mut lab, family, family.rip, CPORT);
        lab.advance(10_000);
        assert_eq!(ways(&mut lab, family, family.rip, CPORT).0, mac(family.rip), "asked again, it says its own");
    }
}

/// Behind which port a link-local neighbour is, only the file can say.
#[test]
fn a_link_local_neighbour_has_the_port_of_the_file() {
    let neighbor =
        |port: &str| format!("[[neighbor]]\naddress = \"fe80::77\"\nmac = \"02:00:00:00:00:77\"\nport = {port:?}\n");
    let mut lab = Lab::new(&text(V4, V4.rip, &neighbor("lan")));
    let lines = apply(&mut lab, &text(V4, V4.rip, &neighbor("wan")));
    assert_eq!(lines[0], "neighbor fe80::77 on port lan: 02:00:00:00:00:77 → none");
    let list = crate::show::neighbors(&mut lab);
    let static_ports: Vec<_> =
        list.neighbors.iter().filter(|neighbor| neighbor.state == "static").map(|neighbor| &*neighbor.port).collect();
    assert_eq!(static_ports, ["wan"]);
}
