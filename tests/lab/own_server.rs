//! A real server that is the director itself. By DR or TUN its packets go to the host as they came, and what the host says goes
//! out as it is; by NAT both are translated. Who listens nowhere answers as the kernel's host does (recorded: `tests/golden`).

use crate::kit::{Lab, port_mac};
use crate::network::*;
use conntrack::Method;
use ipvs_netlink::{Edit, ForwardMethod, Ipvs, RealServerTold, ServiceId};
use uvs::neigh::HostNetwork;
use uvs::pipeline::Reason;
use uvs::wire::build::Frame;
use uvs::wire::describe::describe;
use uvs::wire::tcp;

const CPORT: u16 = 40_000;
/// Where a NAT server listens.
const NAT_PORT: u16 = 8080;

fn lab(family: Family, method: &str) -> Lab {
    lab_of(family, method, "[1]")
}

fn lab_of(family: Family, method: &str, workers: &str) -> Lab {
    let port = if method == "nat" { NAT_PORT } else { 80 };
    lab_with(family, &server(&endpoint(family.wan, port), method), workers)
}

fn lab_with(family: Family, own: &str, workers: &str) -> Lab {
    let text = network(&format!("workers = {workers}\nconns_max = 100")).replacen(
        "name = \"wan\"",
        "name = \"wan\"\nhost = \"uvs0\"",
        1,
    );
    let config = text + &service("tcp", &endpoint(family.vip, 80), "scheduler = \"rr\"") + own;
    let mut lab = Lab::new(&config);
    let bits = if family.name == "IPv4" { 32 } else { 128 };
    let carried = [family.vip, family.wan].map(|own| (0, format!("{own}/{bits}").parse().unwrap()));
    lab.host_has(HostNetwork { addresses: carried.to_vec(), ..HostNetwork::default() });
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

/// By NAT the host is a server like any other, whichever workers the packets meet; only that no hop is between the two.
#[test]
fn by_nat_the_host_is_spoken_to_as_a_server() {
    for (family, workers) in [(V4, "[1]"), (V6, "[1]"), (V4, "[1, 2, 3]"), (V6, "[1, 2, 3]")] {
        let mut lab = lab_of(family, "nat", workers);
        let conversation = [
            (false, tcp::SYN, "SYN_RECV"),
            (true, tcp::SYN | tcp::ACK, "SYN_RECV"),
            (false, tcp::ACK, "ESTABLISHED"),
            (true, tcp::PSH | tcp::ACK, "ESTABLISHED"),
            (true, tcp::FIN | tcp::ACK, "FIN_WAIT"),
            (false, tcp::FIN | tcp::ACK, "TIME_WAIT"),
        ];
        for (of_host, flags, state_after) in conversation {
            let what = format!("{} {workers}: {flags:#x} of the host: {of_host}", family.name);
            if of_host {
                let says = host_says(family).ttl(1).tcp((NAT_PORT, CPORT), (1, 1), flags, b"data");
                assert!(lab.host_sends(WAN, &says), "{what}");
                let left = lab.settle();
                let expected = family.client_gets(family.vip).ttl(1).tcp((80, CPORT), (1, 1), flags, b"data");
                assert_eq!((left.len(), left.first().map(|left| &left.frame)), (1, Some(&expected)), "{what}");
            } else {
                nothing(&mut lab, WAN, &family.client_sends().ttl(1).tcp((CPORT, 80), (1, 1), flags, b""));
                let expected = host_gets(family).ttl(1).tcp((CPORT, NAT_PORT), (1, 1), flags, b"");
                assert_eq!(got(&mut lab), [(WAN, expected)], "{what}");
            }
            assert_eq!(state(&lab), state_after, "{what}");
        }
    }
}

#[test]
fn by_nat_errors_of_both_sides_are_translated() {
    for family in [V4, V6] {
        let mut lab = lab_of(family, "nat", "[1, 2]");
        nothing(&mut lab, WAN, &family.client_sends().tcp((CPORT, 80), (1, 1), tcp::SYN, b""));
        let request = got(&mut lab).remove(0).1;
        let (unreachable, code) = if family.name == "IPv4" { (3, 3) } else { (1, 4) };
        // What the host says of the request: the client is told of its own packet.
        assert!(lab.host_sends(WAN, &host_says(family).icmp(unreachable, code, 0, &request[14..])));
        let left = lab.settle();
        let sent = family.client_sends().tcp((CPORT, 80), (1, 1), tcp::SYN, b"");
        let expected = family.client_gets(family.vip).icmp(unreachable, code, 0, &sent[14..]);
        assert_eq!(left.len(), 1, "{}", family.name);
        assert_eq!(told(&left[0].frame), describe(&expected));
        // What the client says of a reply: the host is told of its own.
        let reply = family.client_gets(family.vip).tcp((80, CPORT), (1, 1), tcp::SYN | tcp::ACK, b"");
        nothing(&mut lab, WAN, &family.client_sends().icmp(unreachable, code, 0, &reply[14..]));
        let own = host_says(family).tcp((NAT_PORT, CPORT), (1, 1), tcp::SYN | tcp::ACK, b"");
        let expected = host_gets(family).icmp(unreachable, code, 0, &own[14..]);
        let heard = got(&mut lab);
        assert_eq!(heard.len(), 1, "{}", family.name);
        assert_eq!(told(&heard[0].1), describe(&expected));
    }
}

/// Once there are NAT conns of the host, its other words leave as they are.
#[test]
fn by_nat_what_is_no_reply_leaves_as_it_is() {
    for workers in ["[1]", "[1, 2, 3]"] {
        let mut lab = lab_of(V4, "nat", workers);
        nothing(&mut lab, WAN, &V4.client_sends().tcp((CPORT, 80), (1, 1), tcp::SYN, b""));
        let says = [
            host_says(V4).tcp((NAT_PORT, CPORT + 1), (1, 1), tcp::ACK, b"another client's"),
            host_says(V4).tcp((22, CPORT), (1, 1), tcp::ACK, b"ssh"),
            host_says(V4).udp(NAT_PORT, CPORT, b"another protocol"),
            host_says(V4).echo_request(1, 2, b"ping"),
            V4.client_gets(V4.vip).tcp((80, CPORT), (1, 1), tcp::ACK, b""),
        ];
        for frame in says {
            assert!(lab.host_sends(WAN, &frame));
            let left = lab.settle();
            assert_eq!(left.iter().map(|left| &left.frame).collect::<Vec<_>>(), [&frame], "{workers}");
        }
        assert_eq!((lab.conns().len(), state(&lab)), (1, "SYN_RECV"), "{workers}");
    }
}

/// A loopback address, which tools give, is the director itself, too: keepalived's sorry server. No NAT leads there, as in the
/// kernel (recorded).
#[test]
fn a_loopback_address_is_the_host() {
    for (family, loopback) in [(V4, "127.0.0.1"), (V6, "::1")] {
        for method in [ForwardMethod::Route, ForwardMethod::Tunnel, ForwardMethod::Masquerade] {
            let what = format!("{} {method:?}", family.name);
            let mut lab = lab_with(family, "", "[1]");
            let web = ServiceId::Endpoint { protocol: 6, address: endpoint(family.vip, 80).parse().unwrap() };
            let tunnel = ipvs_netlink::Tunnel::Ipip;
            let told = RealServerTold { method, tunnel, weight: 1, upper_threshold: 0, lower_threshold: 0 };
            lab.control.edit(&Edit::AddServer(web, endpoint(loopback, 80).parse().unwrap(), told)).unwrap();
            lab.settle();
            let sent = family.client_sends().tcp((CPORT, 80), (1, 1), tcp::SYN, b"");
            nothing(&mut lab, WAN, &sent);
            let masqueraded = method == ForwardMethod::Masquerade;
            let (expected, dropped) = if masqueraded { (vec![], 1) } else { (vec![(WAN, sent)], 0) };
            assert_eq!((got(&mut lab), lab.dropped(Reason::NoRoute)), (expected, dropped), "{what}");
        }
    }
}

/// A translated error, but for what the kernel does not translate either: the transport checksum of the packet that it quotes.
fn told(error: &[u8]) -> String {
    describe(error).replace("WRONG CHECKSUM ", "")
}

fn host_gets(family: Family) -> Frame {
    Frame::between(family.client, family.wan).macs(mac(family.router), port_mac(WAN))
}

fn host_says(family: Family) -> Frame {
    Frame::between(family.wan, family.client).macs(port_mac(WAN), mac(family.router))
}

fn got(lab: &mut Lab) -> Vec<(usize, Vec<u8>)> {
    lab.host_got().into_iter().map(|got| (got.port, got.frame)).collect()
}
