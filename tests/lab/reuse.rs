//! A SYN on a conn that there is already: when it starts a new one, and when it is just one more packet.

use crate::kit::Lab;
use crate::network::*;
use uvs::wire::tcp;

const SYN: u8 = tcp::SYN;
const ACK: u8 = tcp::ACK;
const FIN: u8 = tcp::FIN | tcp::ACK;
const RST: u8 = tcp::RST;

/// Who sends, and the flags.
type Packets = &'static [(char, u8)];

/// Two servers in turn: a conn that is scheduled anew goes to the other one.
fn lab(method: &str, ipvs: &str) -> Lab {
    let config = network("conns_max = 100") + ipvs + &service("tcp", "198.51.100.10:80", "scheduler = \"rr\"");
    Lab::new(&(config + &server("10.0.0.11:80", method) + &server("10.0.0.12:80", method)))
}

/// The MAC of the server that the client's packet reached.
fn reached(lab: &mut Lab, flags: u8) -> [u8; 6] {
    let left = one(lab, WAN, &V4.client_sends().tcp((40_000, 80), (1, 1), flags, b""), LAN);
    std::array::from_fn(|i| left[i])
}

fn total(lab: &Lab) -> u32 {
    let (a, b) = (counts_of(lab, 0), counts_of(lab, 1));
    a.0 + a.1 + b.0 + b.1
}

#[test]
fn a_syn_after_the_end_is_a_new_conn() {
    // The packets before the SYN; the state; whether the SYN is scheduled anew with conn_reuse_mode 1.
    let rows: [(&str, Packets, &str, bool); 7] = [
        ("nat", &[('c', SYN)], "SYN_RECV", false),
        ("nat", &[('c', SYN), ('c', ACK)], "ESTABLISHED", false),
        ("nat", &[('c', SYN), ('c', ACK), ('c', FIN)], "CLOSE_WAIT", false),
        ("nat", &[('c', SYN), ('c', ACK), ('s', FIN)], "FIN_WAIT", false),
        ("nat", &[('c', SYN), ('c', ACK), ('c', FIN), ('s', FIN)], "TIME_WAIT", true),
        ("nat", &[('c', SYN), ('c', ACK), ('c', RST)], "CLOSE", true),
        ("dr", &[('c', SYN), ('c', FIN)], "TIME_WAIT", true),
    ];
    for (ipvs, mode) in [("", true), ("[ipvs]\nconn_reuse_mode = 0\n", false)] {
        for (method, packets, name, anew) in rows {
            let mut lab = lab(method, ipvs);
            let mut first = [0; 6];
            for &(side, flags) in packets {
                if side == 'c' {
                    first = reached(&mut lab, flags);
                } else {
                    let rip = if first == mac(RIP).0 { RIP } else { "10.0.0.12" };
                    let frame = uvs::wire::build::Frame::between(rip, CLIENT).macs(mac(rip), crate::kit::port_mac(LAN));
                    one(&mut lab, LAN, &frame.tcp((80, 40_000), (1, 1), flags, b""), WAN);
                }
            }
            assert_eq!(state(&lab), name);
            let second = reached(&mut lab, SYN);
            assert_eq!(second != first, anew && mode, "{method} {name}, mode {mode}");
            assert_eq!((lab.conns().len(), total(&lab)), (1, 1), "{method} {name}: one conn takes the other's place");
            assert_eq!(reached(&mut lab, ACK), second, "{method} {name}: what follows goes there, too");
        }
    }
}

/// The kernel ends the old conn with its clock's next tick, after the new one got its server (recorded).
#[test]
fn an_overloaded_server_gets_no_conn_in_exchange_for_one_that_is_over() {
    let config = network("conns_max = 100") + &service("tcp", "198.51.100.10:80", "");
    let mut lab = Lab::new(&(config + &server("10.0.0.11:80", "nat") + "upper_threshold = 1\n"));
    for flags in [SYN, ACK, RST] {
        reached(&mut lab, flags);
    }
    let refused = lab.send(WAN, &V4.client_sends().tcp((40_000, 80), (1, 1), SYN, b""));
    assert!(refused.len() == 1 && refused[0].port == WAN, "{:?}", shown(&refused));
    assert_eq!((lab.conns().len(), counts_of(&lab, 0)), (0, (0, 0)), "the old one is over, for all that");
    reached(&mut lab, SYN);
}

/// FullNAT: the new conn has another local port, for at the server the old one still rests in TIME_WAIT.
#[test]
fn fullnat_does_not_reuse_the_port_of_the_conn_that_ended() {
    let config = network("conns_max = 100") + &service("tcp", "198.51.100.10:80", "");
    let mut lab = Lab::new(&(config + &server("10.0.0.11:80", "fullnat")));
    let mut ports = Vec::new();
    for _ in 0..5 {
        reached(&mut lab, SYN);
        ports.push(conn(&lab).local().1);
        reached(&mut lab, ACK);
        reached(&mut lab, RST);
    }
    let mut different = ports.clone();
    different.sort();
    different.dedup();
    assert_eq!(different.len(), ports.len(), "{ports:?}");
}
