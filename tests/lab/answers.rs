//! What the director says itself: echo, RST and unreachable for its own addresses, as a host would, and no more of it than
//! its limit.

use crate::kit::{Lab, port_mac};
use crate::network::*;
use uvs::pipeline::Reason;
use uvs::wire::build::Frame;
use uvs::wire::{protocol, tcp};
use uvs::worker::limit::{ANSWERS_BURST, ANSWERS_PER_S};

const CPORT: u16 = 40_000;

/// One service per family, without real servers.
fn config() -> String {
    network("conns_max = 100")
        + &service("tcp", "198.51.100.10:80", "")
        + &service("tcp", "[2001:db8:99::10]:80", "")
        + &service("udp", "198.51.100.10:53", "")
        + &service("udp", "[2001:db8:99::10]:53", "")
}

/// The identification of a made IPv4 packet is anything.
fn id(frame: &[u8]) -> u16 {
    u16::from_be_bytes([frame[18], frame[19]])
}

fn asks(family: Family, address: &str) -> Frame {
    Frame::between(family.client, address).macs(mac(family.router), port_mac(WAN))
}

#[test]
fn echo_is_answered_for_every_own_address() {
    let mut lab = Lab::new(&config());
    for family in FAMILIES {
        let (request, reply) = if family.name == "IPv4" { (8, 0) } else { (128, 129) };
        for address in [family.wan, family.lan, family.vip, family.lip] {
            for payload in [&b""[..], b"odd", &[0x5a; 1400]] {
                let asked = asks(family, address).ttl(3).tos(0x10).icmp(request, 0, 0x1234_0001, payload);
                let left = one(&mut lab, WAN, &asked, WAN);
                let answer = family.client_gets(address).tos(0x10).dont_fragment(false).id(id(&left));
                assert_eq!(left, answer.icmp(reply, 0, 0x1234_0001, payload), "{address}, {} bytes", payload.len());
            }
        }
    }
    assert_eq!(lab.control.counts(0).dropped_total(), 0);
}

/// A neighbour by its link-local address, too.
#[test]
fn echo_to_the_link_local_address() {
    let mut lab = Lab::new(&config());
    let own = "fe80::ff:fe00:100";
    let asked = Frame::between("fe80::77", own).macs(mac("fe80::77"), port_mac(WAN)).icmp(128, 0, 7, b"ping");
    let expected = Frame::between(own, "fe80::77").macs(port_mac(WAN), mac("fe80::77")).icmp(129, 0, 7, b"ping");
    becomes(&mut lab, WAN, &asked, WAN, &expected);
}

#[test]
fn tcp_where_nothing_serves_gets_a_rst() {
    // Flags, sequence and acknowledgement of the segment; those of the RST.
    let rows = [
        ("SYN", tcp::SYN, (9, 5, tcp::RST | tcp::ACK), 0, 6),
        ("ACK", tcp::ACK, (9, 5, tcp::RST), 9, 0),
        ("FIN", tcp::FIN | tcp::ACK, (9, 5, tcp::RST), 9, 0),
    ];
    for family in FAMILIES {
        let mut lab = Lab::new(&config());
        for address in [family.wan, family.lan, family.vip, family.lip] {
            for (name, flags, (ack, seq, expected_flags), expected_seq, expected_ack) in rows {
                let asked = asks(family, address).tcp((CPORT, 81), (seq, ack), flags, b"");
                let answer = family.client_gets(address).id(0).window(0);
                let expected = answer.tcp((81, CPORT), (expected_seq, expected_ack), expected_flags, b"");
                becomes(&mut lab, WAN, &asked, WAN, &expected);
                assert_eq!(lab.control.counts(0).dropped_total(), 0, "{address}: {name}");
            }
            nothing(&mut lab, WAN, &asks(family, address).tcp((CPORT, 81), (1, 1), tcp::RST, b""));
        }
        // A segment of no conn, to a service: not a service's business but a host's.
        let stray = asks(family, family.vip).tcp((CPORT, 80), (1, 9), tcp::ACK, b"");
        let expected = family.client_gets(family.vip).id(0).window(0).tcp((80, CPORT), (9, 0), tcp::RST, b"");
        becomes(&mut lab, WAN, &stray, WAN, &expected);
        assert_eq!(lab.conns().len(), 0);
    }
}

/// The ICMP error that tells the client, quoting all of what it sent. IPv4 speaks from the address that was asked, IPv6 from
/// the interface.
fn error(family: Family, about: &[u8], asked: &str, left: &[u8], (v4, v6): ((u8, u8), (u8, u8))) -> Vec<u8> {
    if family.name == "IPv4" {
        let from = family.client_gets(asked).tos(0xc0).dont_fragment(false).id(id(left));
        from.icmp(v4.0, v4.1, 0, &about[14..])
    } else {
        family.client_gets(family.wan).icmp(v6.0, v6.1, 0, &about[14..])
    }
}

#[test]
fn udp_where_nothing_serves_is_unreachable() {
    for family in FAMILIES {
        let mut lab = Lab::new(&config());
        for address in [family.wan, family.lan, family.vip, family.lip] {
            let asked = asks(family, address).udp(CPORT, 5353, b"anybody?");
            let left = one(&mut lab, WAN, &asked, WAN);
            assert_eq!(left, error(family, &asked, address, &left, ((3, 3), (1, 4))), "{address}");
        }
        assert_eq!(lab.control.counts(0).dropped_total(), 0);
    }
}

/// A service without a real server: port unreachable, for TCP as well.
#[test]
fn without_a_real_server_the_port_is_unreachable() {
    for family in FAMILIES {
        let mut lab = Lab::new(&config());
        let frames = [
            asks(family, family.vip).tcp((CPORT, 80), (1, 0), tcp::SYN, b""),
            asks(family, family.vip).udp(CPORT, 53, b"name?"),
        ];
        for (n, asked) in frames.iter().enumerate() {
            let left = one(&mut lab, WAN, asked, WAN);
            assert_eq!(left, error(family, asked, family.vip, &left, ((3, 3), (1, 4))), "{}", family.name);
            assert_eq!(lab.dropped(Reason::NoServer), n as u64 + 1);
        }
        assert_eq!(lab.conns().len(), 0);
    }
}

#[test]
fn a_protocol_that_nobody_speaks() {
    for family in FAMILIES {
        let mut lab = Lab::new(&config());
        let asked = asks(family, family.wan).packet(protocol::IPIP + 200 - 4, b"whatever it is");
        let left = one(&mut lab, WAN, &asked, WAN);
        let at = 14 + family.header_bytes;
        let expected = if family.name == "IPv4" { [3, 2] } else { [4, 1] };
        assert_eq!(left[at..at + 2], expected, "{}", family.name);
        assert_eq!(lab.dropped(Reason::OtherProtocol), 1);
    }
}

/// What must not be answered is not: errors, what is from nobody, what is for others.
#[test]
fn silence_is_kept() {
    let rows: [(&str, Vec<u8>, Option<Reason>); 6] = [
        ("an echo reply", asks(V4, V4.wan).icmp(0, 0, 1, b""), Some(Reason::IcmpUnmatched)),
        ("a timestamp request", asks(V4, V4.wan).icmp(13, 0, 1, &[0; 12]), Some(Reason::IcmpUnmatched)),
        ("an error about nothing", asks(V4, V4.wan).icmp(3, 3, 0, &[0; 28]), Some(Reason::IcmpUnmatched)),
        ("a subnet's broadcast", asks(V4, "192.0.2.255").udp(1, 2, b""), Some(Reason::Unroutable)),
        (
            "from an own address",
            Frame::between(VIP, V4.wan).macs(mac(ROUTER), port_mac(WAN)).udp(1, 2, b""),
            Some(Reason::AnswerLimited),
        ),
        ("a SYN with a wrong checksum", spoilt(asks(V4, V4.wan).tcp((1, 2), (1, 0), tcp::SYN, b"")), None),
    ];
    for (what, frame, reason) in rows {
        let mut lab = Lab::new(&config());
        let left = lab.send(WAN, &frame);
        assert!(left.is_empty(), "{what}: {:?}", shown(&left));
        let dropped = lab.control.counts(0).dropped_total();
        assert_eq!(dropped, u64::from(reason.is_some()), "{what}");
        assert!(reason.is_none_or(|reason| lab.dropped(reason) == 1), "{what}");
    }
}

fn spoilt(mut frame: Vec<u8>) -> Vec<u8> {
    *frame.last_mut().unwrap() ^= 1;
    frame
}

/// A burst of answers, then so many a second; what is over is dropped by its name, whatever the answer would have been.
#[test]
fn answers_are_limited() {
    let kinds: [(&str, Vec<u8>, Reason); 4] = [
        ("echo", asks(V4, VIP).icmp(8, 0, 1, b"ping"), Reason::AnswerLimited),
        ("RST", asks(V4, VIP).tcp((1, 81), (1, 0), tcp::SYN, b""), Reason::AnswerLimited),
        ("unreachable", asks(V4, VIP).udp(1, 81, b""), Reason::AnswerLimited),
        ("no server", asks(V4, VIP).tcp((1, 80), (1, 0), tcp::SYN, b""), Reason::NoServer),
    ];
    for (what, frame, reason) in kinds {
        let mut lab = Lab::with_answer_limit(&config(), ANSWERS_PER_S);
        let flood = |lab: &mut Lab, count: usize| {
            (0..count).for_each(|_| lab.cables[WAN].put(&frame));
            lab.settle().len() as u64
        };
        assert_eq!(flood(&mut lab, 2_000), ANSWERS_BURST, "{what}");
        lab.now_ms += 100;
        assert_eq!(flood(&mut lab, 2_000), ANSWERS_PER_S / 10, "{what}: a tenth of a second later");
        let unanswered = 4_000 - ANSWERS_BURST - ANSWERS_PER_S / 10;
        let expected = if reason == Reason::NoServer { 4_000 } else { unanswered };
        assert_eq!(lab.dropped(reason), expected, "{what}");
    }
}
