//! What may happen within one burst: first packets of one flow, a conn that ends under other packets of it. The director has
//! one port here, so that both directions come in the same burst.

use crate::kit::{Lab, port_mac};
use crate::network::{counts_of, ip, mac, server, service};
use uvs::services::book::ServerSpec;
use uvs::wire::build::Frame;
use uvs::wire::tcp;

const SYN: u8 = tcp::SYN;
const ACK: u8 = tcp::ACK;
const FIN: u8 = tcp::FIN | tcp::ACK;
const RST: u8 = tcp::RST;

const CLIENT: &str = "10.0.0.100";
const VIP: &str = "10.0.0.10";
const RIPS: [&str; 2] = ["10.0.0.11", "10.0.0.12"];

fn lab(ipvs: &str) -> Lab {
    let port = "[[port]]\nname = \"arm\"\ndevice = \"net_null0\"\naddresses = [\"10.0.0.1/24\"]\n";
    let config = format!("[director]\nconns_max = 100\n{port}{ipvs}");
    let config = config + &service("tcp", "10.0.0.10:80", "scheduler = \"rr\"");
    let servers: String = RIPS.iter().map(|rip| server(&format!("{rip}:80"), "nat")).collect();
    Lab::new(&(config + &servers))
}

/// A packet of the client ('c') or of a real server ('0', '1'), between ports that may be turned.
fn packet(side: char, flags: u8) -> Vec<u8> {
    let (from, to, ports) = match side {
        'c' => (CLIENT, VIP, (40_000, 80)),
        n => (RIPS[n as usize - '0' as usize], CLIENT, (80, 40_000)),
    };
    Frame::between(from, to).macs(mac(from), port_mac(0)).tcp(ports, (1, 1), flags, b"")
}

/// Puts frames in, as one burst; gives where those to real servers went.
fn burst(lab: &mut Lab, packets: &[(char, u8)]) -> Vec<char> {
    packets.iter().for_each(|&(side, flags)| lab.cables[0].put(&packet(side, flags)));
    let left = lab.settle();
    let server =
        |frame: &[u8]| RIPS.iter().position(|rip| frame[..6] == mac(rip).0).map(|n| if n == 0 { '0' } else { '1' });
    left.iter().filter_map(|left| server(&left.frame)).collect()
}

fn counts(lab: &Lab) -> ((u32, u32), (u32, u32)) {
    (counts_of(lab, 0), counts_of(lab, 1))
}

#[test]
fn first_packets_of_one_flow_make_one_conn() {
    let mut lab = lab("");
    let went = burst(&mut lab, &[('c', SYN); 10]);
    assert_eq!((went.len(), lab.conns().len()), (10, 1));
    assert!(went.iter().all(|server| *server == went[0]));
    lab.check_live();
}

/// A SYN ends a conn while the same burst holds packets that found it: none of them may touch its server's counts any more, and
/// those of the client that follow belong to the new conn.
#[test]
fn a_conn_ends_under_other_packets_of_it() {
    for before in [('s', SYN), ('s', FIN), ('s', RST), ('s', ACK), ('c', ACK), ('c', FIN), ('c', RST)] {
        let mut lab = lab("");
        let first = burst(&mut lab, &[('c', SYN), ('c', ACK)])[0];
        burst(&mut lab, &[('c', FIN), (first, FIN)]);
        let of_first = |(side, flags)| (if side == 's' { first } else { side }, flags);
        let went = burst(&mut lab, &[of_first(before), ('c', SYN), ('c', ACK), of_first(before)]);
        let second = if first == '0' { '1' } else { '0' };
        let by_client: Vec<char> =
            went.iter().copied().skip_while(|server| before.0 == 'c' && *server == first).collect();
        assert!(by_client.iter().all(|server| *server == second), "{before:?}: {first} then {went:?}");
        assert_eq!(lab.conns().len(), 1, "{before:?}");
        lab.check_live();
        lab.advance_in_steps(901_000, 1_000);
        assert_eq!(counts(&lab), ((0, 0), (0, 0)), "{before:?}");
    }
}

/// The same where the conn ends because its real server was removed.
#[test]
fn a_conn_of_a_removed_server_ends_under_other_packets_of_it() {
    for before in [FIN, RST, SYN, ACK] {
        let mut lab = lab("[ipvs]\nexpire_nodest_conn = 1\n");
        let first = burst(&mut lab, &[('c', SYN), ('c', ACK)])[0];
        let rip = format!("{}:80", RIPS[first as usize - '0' as usize]).parse().unwrap();
        let key = lab.control.book().list().next().unwrap().0.key;
        lab.control.delete_server(key, rip).unwrap();
        lab.settle();
        burst(&mut lab, &[(first, before), ('c', ACK), (first, before), ('c', ACK)]);
        assert_eq!(lab.conns().len(), 0);
        lab.check_live();
    }
}

/// Servers come and go while bursts are on their way; every conn ends and no count is left.
#[test]
fn servers_come_and_go_under_load() {
    let mut lab = lab("[ipvs]\nexpire_nodest_conn = 1\n");
    let mut random = 7u64;
    let mut next = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let flags = [SYN, ACK, FIN, RST, SYN | ACK, 0];
    let key = lab.control.book().list().next().unwrap().0.key;
    for _ in 0..1_000 {
        for _ in 0..1 + next(32) {
            let side = ['c', 'c', '0', '1'][next(4) as usize];
            let mut frame = packet(side, flags[next(6) as usize]);
            // A few clients' ports.
            frame[if side == 'c' { 35 } else { 37 }] ^= next(4) as u8;
            lab.cables[0].put(&frame);
        }
        lab.settle();
        lab.check_live();
        let rip = format!("{}:80", RIPS[next(2) as usize]).parse().unwrap();
        let spec = ServerSpec {
            method: conntrack::Method::Nat,
            weight: 1,
            thresholds: Default::default(),
            tunnel: Default::default(),
            next_hop: None,
        };
        match next(8) {
            0 => drop(lab.control.delete_server(key, rip)),
            1 | 2 => drop(lab.control.add_server(key, rip, spec)),
            _ => lab.now_ms += next(3_000),
        }
    }
    assert!(lab.conns().iter().all(|conn| conn.client().0 == ip(CLIENT)));
    lab.advance_in_steps(901_000, 1_000);
    assert_eq!(lab.workers[0].shard().table.len(), 0);
}
