//! What goes no further for its length or its age: TTL, MTU. The sender is told as the kernel tells it.

use crate::fragments::joined;
use crate::kit::{Lab, port_mac};
use crate::network::*;
use uvs::pipeline::Reason;
use uvs::wire::build::Frame;

const CPORT: u16 = 40_000;

fn lab(family: Family, method: &str, server_family: Family) -> Lab {
    let config = network("conns_max = 100") + &service("udp", &endpoint(family.vip, 80), "");
    Lab::new(&(config + &server(&endpoint(server_family.rip, 80), method)))
}

fn id(frame: &[u8]) -> u16 {
    u16::from_be_bytes([frame[18], frame[19]])
}

/// The error to the client about `packet`: IPv4 from the VIP, IPv6 from the interface.
fn error(family: Family, left: &[u8], (kind, code, rest): (u8, u8, u32), packet: &[u8]) -> Vec<u8> {
    let room = if family.name == "IPv4" { 576 - 28 } else { 1280 - 48 };
    let quote = &packet[..packet.len().min(room)];
    if family.name == "IPv4" {
        let from = family.client_gets(family.vip).tos(0xc0).dont_fragment(false).id(id(left));
        return from.icmp(kind, code, rest, quote);
    }
    family.client_gets(family.wan).icmp(kind, code, rest, quote)
}

#[test]
fn the_last_hop_is_told_to_the_client() {
    for (family, method, server_family) in every_method() {
        for ttl in [0, 1] {
            let mut lab = lab(family, method, server_family);
            let sent = family.client_sends().ttl(ttl).udp(CPORT, 80, b"too old");
            let left = one(&mut lab, WAN, &sent, WAN);
            let kind = if family.name == "IPv4" { (11, 0, 0) } else { (3, 0, 0) };
            // The packet is quoted as it came.
            assert_eq!(left, error(family, &left, kind, &sent[14..]), "{} {method}", family.name);
            assert_eq!(lab.dropped(Reason::TtlExpired), 1);
        }
        let mut lab = lab(family, method, server_family);
        let left = one(&mut lab, WAN, &family.client_sends().ttl(2).udp(CPORT, 80, b""), LAN);
        let ttl_at = if server_family.name == "IPv4" || method != "tun" && family.name == "IPv4" { 8 } else { 7 };
        assert_eq!(left[14 + ttl_at], 1, "{} {method}: one hop is left", family.name);
    }
}

/// A reply whose last hop is the director: the real server is told, from the address that it is reached from.
#[test]
fn the_last_hop_is_told_to_the_server() {
    for family in FAMILIES {
        let mut lab = lab(family, "nat", family);
        one(&mut lab, WAN, &family.client_sends().udp(CPORT, 80, b""), LAN);
        let reply = family.server_sends(family.client).ttl(1).udp(80, CPORT, b"late");
        let left = one(&mut lab, LAN, &reply, LAN);
        let told = Frame::between(family.lan, family.rip).macs(port_mac(LAN), mac(family.rip));
        let expected = if family.name == "IPv4" {
            told.tos(0xc0).dont_fragment(false).id(id(&left)).icmp(11, 0, 0, &reply[14..])
        } else {
            told.icmp(3, 0, 0, &reply[14..])
        };
        assert_eq!(left, expected, "{}", family.name);
    }
}

/// What a DR or TUN server answers from the VIP, by way of the director, and goes no further: the error is for the VIP, and
/// takes the conn's way to the server (recorded). IPv4 does not come so far: its source is a martian.
#[test]
fn the_last_hop_is_told_to_a_server_that_answers_from_the_vip() {
    for (method, server_family) in [("dr", V6), ("tun", V6), ("tun", V4)] {
        let mut lab = lab(V6, method, server_family);
        one(&mut lab, WAN, &V6.client_sends().udp(CPORT, 80, b""), LAN);
        let passing = Frame::between(V6.vip, V6.client).macs(mac(server_family.rip), port_mac(LAN));
        let reply = passing.clone().ttl(1).udp(80, CPORT, b"late");
        let left = one(&mut lab, LAN, &reply, LAN);
        let told = Frame::between(V6.lan, V6.vip).macs(port_mac(LAN), mac(server_family.rip)).ttl(63);
        let told = told.icmp(3, 0, 0, &reply[14..]);
        assert_eq!(left[..12], told[..12], "{method} {}", server_family.name);
        assert_eq!(left[left.len() - told.len() + 14..], told[14..], "{method} {}", server_family.name);
        assert_eq!(lab.dropped(Reason::TtlExpired), 1);
        // Of no conn: nobody is there to be told.
        let stray = passing.ttl(1).udp(81, CPORT, b"late");
        assert!(lab.send(LAN, &stray).is_empty(), "{method} {}", server_family.name);
    }
}

/// Family of the service, method, family of the real server.
pub fn every_method() -> Vec<(Family, &'static str, Family)> {
    let mut all = Vec::new();
    for family in FAMILIES {
        for method in ["nat", "fullnat", "dr", "tun"] {
            all.push((family, method, family));
        }
    }
    all.extend([(V4, "tun", V6), (V6, "tun", V4)]);
    all
}

#[test]
fn the_longest_packet_passes_and_the_next_is_told_what_fits() {
    for (family, method, server_family) in every_method() {
        let longest = match (method, server_family.name) {
            ("tun", "IPv4") => 1480,
            ("tun", _) => 1460,
            _ => 1500,
        };
        let mut lab = lab(family, method, server_family);
        let datagram = |bytes: usize| vec![0x71; bytes - family.header_bytes - 8];
        let fits = family.client_sends().udp(CPORT, 80, &datagram(longest));
        let left = one(&mut lab, WAN, &fits, LAN);
        assert_eq!(left.len() - 14, 1500, "{} {method}: the link is full", family.name);

        let sent = family.client_sends().udp(CPORT, 80, &datagram(longest + 1));
        let left = one(&mut lab, WAN, &sent, WAN);
        let kind = if family.name == "IPv4" { (3, 4, longest as u32) } else { (2, 0, longest as u32) };
        // Quoted with its TTL decremented, as the kernel does.
        let aged = family.client_sends().ttl(63).udp(CPORT, 80, &datagram(longest + 1));
        assert_eq!(left, error(family, &left, kind, &aged[14..]), "{} {method}", family.name);
        assert_eq!(lab.dropped(Reason::TooBig), 1, "{} {method}", family.name);

        if family.name == "IPv4" {
            let may = family.client_sends().dont_fragment(false).udp(CPORT, 80, &datagram(longest + 1));
            let left = lab.send(WAN, &may);
            assert!(left.len() == 2 && left.iter().all(|left| left.port == LAN), "{method}: {:?}", shown(&left));
            // Nothing is left over: the second one has what the first has no room for, in eights.
            let whole = joined(&left);
            let outer = match (method, server_family.name) {
                ("tun", "IPv4") => 20,
                ("tun", _) => 40,
                _ => 0,
            };
            assert_eq!(whole[14 + outer..].len(), longest + 1, "{method}");
            assert_eq!(whole[whole.len() - 500..], may[may.len() - 500..], "{method}");
        }
    }
}

/// A port with a smaller MTU says so, in both directions; IPv6 is never told less than 1280.
#[test]
fn the_smaller_mtu_counts() {
    for family in FAMILIES {
        let config = network("conns_max = 100")
            + &service("udp", &endpoint(family.vip, 80), "")
            + &server(&endpoint(family.rip, 80), "nat");
        let small = config.replacen("name = \"lan\"", "name = \"lan\"\nmtu = 1300", 1);
        let mut lab = Lab::new(&small);
        let rest_at = 14 + family.header_bytes + 4;
        let left = one(&mut lab, WAN, &family.client_sends().udp(CPORT, 80, &[0; 1300]), WAN);
        assert_eq!(left[rest_at..rest_at + 4], 1300u32.to_be_bytes(), "{}", family.name);
        // What is too long for the way in is not for the way out.
        one(&mut lab, WAN, &family.client_sends().udp(CPORT, 80, b""), LAN);
        one(&mut lab, LAN, &family.server_sends(family.client).udp(80, CPORT, &[0; 1300]), WAN);
    }
    // A tunnel of IPv6 must have room for what every IPv6 link takes.
    let config =
        network("conns_max = 100") + &service("udp", "[2001:db8:99::10]:80", "") + &server("[fd00:1::11]:80", "tun");
    let with_mtu = |mtu| config.replacen("name = \"lan\"", &format!("name = \"lan\"\nmtu = {mtu}"), 1);
    let longer = V6.client_sends().udp(CPORT, 80, &[0; 1280 - 48 + 1]);
    let mut lab = Lab::new(&with_mtu(1320));
    let left = one(&mut lab, WAN, &longer, WAN);
    assert_eq!(left[58..62], 1280u32.to_be_bytes());
    let mut lab = Lab::new(&with_mtu(1319));
    nothing(&mut lab, WAN, &longer);
    nothing(&mut lab, WAN, &V6.client_sends().udp(CPORT, 80, b"x"));
    assert_eq!(lab.dropped(Reason::NarrowTunnel), 2);
}

/// A device that leaves no room before the frame: no tunnel header, a named drop; a device that refuses, a dry pool.
#[test]
fn devices_that_fail() {
    let mut lab = lab(V4, "tun", V4);
    lab.cables[WAN].set_headroom(0);
    nothing(&mut lab, WAN, &V4.client_sends().udp(CPORT, 80, b"x"));
    assert_eq!(lab.dropped(Reason::NoHeadroom), 1);
    lab.cables[WAN].set_headroom(128);
    one(&mut lab, WAN, &V4.client_sends().udp(CPORT, 80, b"x"), LAN);

    lab.cables[LAN].set_tx_room(3);
    for _ in 0..10 {
        lab.cables[WAN].put(&V4.client_sends().udp(CPORT, 80, b"x"));
    }
    assert_eq!(lab.settle().len(), 3);
    assert_eq!(lab.dropped(Reason::TxRefused), 7);
    lab.cables[LAN].set_tx_room(usize::MAX);
    one(&mut lab, WAN, &V4.client_sends().udp(CPORT, 80, b"x"), LAN);

    // A buffer for what comes in, one for the answer.
    lab.pool.set_free(2);
    let ping = Frame::between(CLIENT, VIP).macs(mac(ROUTER), port_mac(WAN)).icmp(8, 0, 1, b"ping");
    one(&mut lab, WAN, &ping, WAN);
    lab.pool.set_free(1);
    nothing(&mut lab, WAN, &ping);
    assert_eq!((lab.dropped(Reason::NoBuffer), lab.dropped(Reason::AnswerLimited)), (1, 0));
}
