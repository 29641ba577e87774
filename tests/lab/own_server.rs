//! A real server that is the director itself, by DR or TUN: its packets go to the host as they came, and what the host says goes
//! out as it is. Who listens nowhere answers as the kernel's host does (recorded: `tests/golden`).

use crate::kit::Lab;
use crate::network::*;
use conntrack::Method;
use uvs::neigh::HostNetwork;
use uvs::pipeline::Reason;
use uvs::wire::tcp;

const CPORT: u16 = 40_000;

fn lab(family: Family, method: &str) -> Lab {
    lab_of(family, method, "[1]")
}

fn lab_of(family: Family, method: &str, workers: &str) -> Lab {
    let text = network(&format!("workers = {workers}\nconns_max = 100")).replacen(
        "name = \"wan\"",
        "name = \"wan\"\nhost = \"uvs0\"",
        1,
    );
    let own = server(&endpoint(family.wan, 80), method);
    let config = text + &service("tcp", &endpoint(family.vip, 80), "scheduler = \"rr\"") + &own;
    let mut lab = Lab::new(&config);
    let bits = if family.name == "IPv4" { 32 } else { 128 };
    let carried = format!("{}/{bits}", family.vip).parse().unwrap();
    lab.host_has(HostNetwork { addresses: vec![(0, carried)], ..HostNetwork::default() });
    // What it heard of neighbours so far.
    lab.host_got();
    lab
}

#[test]
fn the_host_gets_its_packets_as_they_came() {
    for family in [V4, V6] {
        for method in ["dr", "tun"] {
            let what = format!("{} {method}", family.name);
            let mut lab = lab(family, method);
            for (flags, state_after) in [(tcp::SYN, "SYN_RECV"), (tcp::ACK, "ESTABLISHED")] {
                // Not even the last hop is taken.
                let sent = family.client_sends().ttl(1).tcp((CPORT, 80), (1, 1), flags, b"");
                nothing(&mut lab, WAN, &sent);
                let got = lab.host_got();
                assert_eq!(got.len(), 1, "{what}");
                assert_eq!((got[0].port, &got[0].frame), (WAN, &sent), "{what}");
                assert_eq!(state(&lab), state_after, "{what}");
            }
            assert_eq!((conn(&lab).method(), counts(&lab)), (Method::Local, (1, 0)), "{what}");
            assert_eq!(lab.dropped(Reason::NoRoute), 0, "{what}");
        }
    }
}

/// The conn hears what the host says as the real server: it is as if replies came by the director (recorded of the kernel, whose host
/// sent SYN,ACK, ACK, data and a RST; and FINs). Whichever worker has the host's frames.
#[test]
fn the_conn_hears_what_the_host_answers() {
    const BOTH: u8 = tcp::FIN | tcp::ACK;
    // Does the host say it, what, the state afterwards.
    type Said = (bool, u8, &'static str);
    let ends: [(&str, &[Said]); 3] = [
        ("RST", &[(true, tcp::RST, "CLOSE")]),
        ("the client closes", &[(false, BOTH, "CLOSE_WAIT"), (true, BOTH, "TIME_WAIT")]),
        ("the server closes", &[(true, BOTH, "FIN_WAIT"), (false, BOTH, "TIME_WAIT")]),
    ];
    let begin = [
        (false, tcp::SYN, "SYN_RECV"),
        (true, tcp::SYN | tcp::ACK, "SYN_RECV"),
        (false, tcp::ACK, "ESTABLISHED"),
        (true, tcp::PSH | tcp::ACK, "ESTABLISHED"),
    ];
    for (family, workers) in [(V4, "[1]"), (V6, "[1]"), (V4, "[1, 2, 3]"), (V6, "[1, 2, 3]")] {
        for (end, method) in ends.iter().flat_map(|end| [(end, "dr"), (end, "tun")]) {
            let mut lab = lab_of(family, method, workers);
            let mut counted = (0, 0);
            for (of_host, flags, state_after) in begin.iter().chain(end.1) {
                let what = format!("{} {method} {workers} {}: {flags:#x} of the host: {of_host}", family.name, end.0);
                if *of_host {
                    let says = family.client_gets(family.vip).tcp((80, CPORT), (1, 1), *flags, b"");
                    assert!(lab.host_sends(WAN, &says), "{what}");
                    let left = lab.settle();
                    assert_eq!((left.len(), left.first().map(|left| &left.frame)), (1, Some(&says)), "{what}");
                    counted.1 += 1;
                } else {
                    let sent = family.client_sends().tcp((CPORT, 80), (1, 1), *flags, b"");
                    nothing(&mut lab, WAN, &sent);
                    counted.0 += 1;
                }
                assert_eq!(state(&lab), *state_after, "{what}");
                let server = conn(&lab).server as usize;
                let traffic = lab.workers.iter().map(|worker| worker.shard().traffic[server].counts());
                let packets = traffic.fold((0, 0), |sum, one| (sum.0 + one.in_packets, sum.1 + one.out_packets));
                assert_eq!(packets, counted, "{what}");
            }
        }
    }
}

/// What the host says to others, or of no conn, is nobody's but the wire's.
#[test]
fn what_is_no_reply_leaves_as_it_is() {
    for workers in ["[1]", "[1, 2, 3]"] {
        let mut lab = lab_of(V4, "dr", workers);
        let says = [
            V4.client_gets(V4.vip).tcp((80, CPORT), (1, 1), tcp::ACK, b""),
            V4.client_gets(V4.vip).udp(53, CPORT, b"answer"),
            V4.client_gets(V4.wan).tcp((22, CPORT), (1, 1), tcp::ACK, b"ssh"),
            V4.client_gets(V4.vip).echo_request(1, 2, b"ping"),
            vec![1, 0x80, 0xc2, 0, 0, 14, 2, 0, 0, 0, 1, 0, 0x88, 0xcc, 2, 7],
        ];
        for frame in says {
            assert!(lab.host_sends(WAN, &frame));
            let left = lab.settle();
            assert_eq!(left.iter().map(|left| &left.frame).collect::<Vec<_>>(), [&frame], "{workers}");
        }
        assert_eq!(lab.conns().len(), 0, "{workers}");
    }
}
