//! Time: how long each state lives, to the second, and what is left of a conn after it.

use crate::kit::{Lab, port_mac};
use crate::network::*;
use uvs::wire::build::Frame;
use uvs::wire::tcp;

const SYN: u8 = tcp::SYN;
const ACK: u8 = tcp::ACK;
const FIN: u8 = tcp::FIN | tcp::ACK;
const RST: u8 = tcp::RST;

/// Who sends, and the flags.
type Packets = &'static [(char, u8)];

fn lab(protocol: &str, method: &str, rest: &str) -> Lab {
    let config = network("conns_max = 100") + rest + &service(protocol, "198.51.100.10:80", "scheduler = \"rr\"");
    Lab::new(&(config + &server("10.0.0.11:80", method)))
}

fn send(lab: &mut Lab, side: char, flags: u8) {
    let frame = match side {
        'c' => V4.client_sends().tcp((40_000, 80), (1, 1), flags, b""),
        _ => V4.server_sends(CLIENT).tcp((80, 40_000), (1, 1), flags, b""),
    };
    lab.send(if side == 'c' { WAN } else { LAN }, &frame);
}

/// Sees that the conn lives until `seconds` have passed, to 10 ms, and is gone a second later, counts and all.
fn lives(lab: &mut Lab, seconds: u64, what: &str) {
    lab.advance_in_steps(seconds * 1000 - 10, 1_000);
    assert_eq!(lab.conns().len(), 1, "{what}: ended early");
    lab.advance_in_steps(10, 10);
    assert_eq!(lab.conns().len(), 0, "{what}: not dead at its time");
    lab.advance_in_steps(1_000, 10);
    assert_eq!((lab.workers[0].shard().table.len(), counts(lab)), (0, (0, 0)), "{what}: still there a second later");
}

#[test]
fn every_state_lives_its_time() {
    // The packets that lead to the state, and its seconds: the kernel's, then others that the file says.
    let rows: [(&str, Packets, u64, u64); 7] = [
        ("SYN_RECV", &[('c', SYN)], 60, 7),
        ("ESTABLISHED", &[('c', SYN), ('c', ACK)], 900, 30),
        ("CLOSE_WAIT", &[('c', SYN), ('c', ACK), ('c', FIN)], 60, 8),
        ("FIN_WAIT", &[('c', SYN), ('c', ACK), ('s', FIN)], 120, 9),
        ("TIME_WAIT", &[('c', SYN), ('c', ACK), ('c', FIN), ('s', FIN)], 120, 2),
        ("CLOSE", &[('c', SYN), ('c', ACK), ('c', RST)], 10, 3),
        ("SYN_SENT", &[('c', SYN), ('c', ACK), ('c', FIN), ('s', SYN)], 120, 5),
    ];
    let told = r#"
        [timeouts]
        tcp_syn_recv = "7s"
        tcp = "30s"
        tcp_close_wait = "8s"
        tcp_fin = "9s"
        tcp_time_wait = "2s"
        tcp_close = "3s"
        tcp_syn_sent = "5s"
        "#;
    for (name, packets, kernel_s, told_s) in rows {
        for (rest, seconds) in [("", kernel_s), (told, told_s)] {
            let mut lab = lab("tcp", "nat", rest);
            for &(side, flags) in packets {
                send(&mut lab, side, flags);
                lab.advance(333);
            }
            assert_eq!(state(&lab), name);
            // The last packet again says when the time starts: 333 ms ago.
            lab.now_ms += 667;
            lives_from(&mut lab, seconds, 1_000, name);
        }
    }
}

/// As [`lives`], for a conn whose last packet was `since_ms` ago.
fn lives_from(lab: &mut Lab, seconds: u64, since_ms: u64, what: &str) {
    lab.advance_in_steps(seconds * 1000 - 10 - since_ms, 500);
    assert_eq!(lab.conns().len(), 1, "{what}: ended early");
    lab.advance_in_steps(10, 10);
    assert_eq!(lab.conns().len(), 0, "{what}: not dead at its time");
    lab.advance_in_steps(1_000, 10);
    assert_eq!((lab.workers[0].shard().table.len(), counts(lab)), (0, (0, 0)), "{what}: still there a second later");
}

#[test]
fn udp_lives_from_its_last_packet_of_either_side() {
    for (rest, seconds) in [("", 300), ("[timeouts]\nudp = \"4s\"\n", 4)] {
        for reply in [false, true] {
            let mut lab = lab("udp", "nat", rest);
            for _ in 0..3 {
                lab.send(WAN, &V4.client_sends().udp(40_000, 80, b"ask"));
                lab.advance_in_steps(seconds * 1000 - 100, 1_000);
                assert_eq!(state(&lab), "UDP", "each packet starts the time again");
                if reply {
                    lab.send(LAN, &V4.server_sends(CLIENT).udp(80, 40_000, b"answer"));
                    lab.advance_in_steps(seconds * 1000 - 100, 1_000);
                }
            }
            let last = if reply {
                V4.server_sends(CLIENT).udp(80, 40_000, b"answer")
            } else {
                V4.client_sends().udp(40_000, 80, b"")
            };
            lab.send(if reply { LAN } else { WAN }, &last);
            lives(&mut lab, seconds, "UDP");
        }
    }
}

/// A conn that is past its time is dead at once, though the wheel may come by later: a late packet of the server is not
/// translated, one of the client finds a new conn or none.
#[test]
fn a_dead_conn_forwards_nothing() {
    let mut lab = lab("tcp", "nat", "");
    send(&mut lab, 'c', SYN);
    lab.now_ms += 60_000;
    let routed = V4.client_gets(RIP).ttl(63).tcp((80, 40_000), (1, 1), tcp::SYN | ACK, b"");
    becomes(&mut lab, LAN, &V4.server_sends(CLIENT).tcp((80, 40_000), (1, 1), tcp::SYN | ACK, b""), WAN, &routed);
    let answer = one(&mut lab, WAN, &V4.client_sends().tcp((40_000, 80), (1, 1), ACK, b""), WAN);
    assert_eq!(answer[14 + 20 + 13], RST, "answered with a RST");
    assert_eq!(lab.conns().len(), 0);
}

/// Conns expire in bounded portions, and yet all in time.
#[test]
fn many_conns_expire_in_time() {
    let config = network("conns_max = 20000") + &service("udp", "198.51.100.10:80", "scheduler = \"rr\"");
    let mut lab = Lab::new(&(config + "[timeouts]\nudp = \"10s\"\n" + &server("10.0.0.11:80", "nat")));
    for port in 0..20_000 {
        lab.cables[WAN].put(&V4.client_sends().udp(20_000 + port, 80, b"x"));
    }
    lab.settle();
    assert_eq!(counts(&lab), (0, 20_000));
    lab.advance_in_steps(11_010, 10);
    assert_eq!((lab.workers[0].shard().table.len(), counts(&lab)), (0, (0, 0)));
}

/// What a DR server answers by way of the director has the director's own address as source. IPv4 routers drop that; with IPv6
/// it goes on as it is, the conn hears of it, and as far as it can see, replies pass by from then on (recorded).
#[test]
fn a_conn_hears_of_replies_that_are_only_routed() {
    for (family, state, active) in [(V4, "SYN_RECV", 1), (V6, "CLOSE", 0)] {
        let service = service("tcp", &endpoint(family.vip, 80), "") + &server(&endpoint(family.rip, 80), "dr");
        let mut lab = Lab::new(&(network("conns_max = 100") + &service));
        one(&mut lab, WAN, &family.client_sends().tcp((40_000, 80), (1, 0), tcp::SYN, b""), LAN);
        let answer = |ttl| {
            let frame = Frame::between(family.vip, family.client).macs(mac(family.rip), port_mac(LAN));
            frame.ttl(ttl).tcp((80, 40_000), (1, 2), tcp::RST | tcp::ACK, b"")
        };
        lab.send(LAN, &answer(1));
        assert_eq!(crate::network::state(&lab), "SYN_RECV", "{}: a router drops it", family.name);
        lab.send(LAN, &answer(64));
        assert_eq!((crate::network::state(&lab), counts(&lab).0), (state, active), "{}", family.name);
    }
}
