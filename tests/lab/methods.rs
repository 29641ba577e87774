//! Every method, family and protocol: the exact frames in both directions, a whole TCP life with its states and counts, and
//! UDP. Expected frames are built from nothing, so each checksum in them is a full computation.

use crate::kit::{Lab, port_mac};
use crate::network::*;
use uvs::wire::build::Frame;
use uvs::wire::{protocol, tcp};

/// The client's port.
const CPORT: u16 = 40_000;
/// The service's port, and where the method can map it, the real server's.
const VPORT: u16 = 80;
const MAPPED: u16 = 8080;

/// One real server, one method.
struct Row {
    name: &'static str,
    method: &'static str,
    service: Family,
    server: Family,
}

const fn row(name: &'static str, method: &'static str, service: Family, server: Family) -> Row {
    Row { name, method, service, server }
}

const ROWS: [Row; 10] = [
    row("NAT, IPv4", "nat", V4, V4),
    row("NAT, IPv6", "nat", V6, V6),
    row("FullNAT, IPv4", "fullnat", V4, V4),
    row("FullNAT, IPv6", "fullnat", V6, V6),
    row("DR, IPv4", "dr", V4, V4),
    row("DR, IPv6", "dr", V6, V6),
    row("TUN, IPv4 in IPv4", "tun", V4, V4),
    row("TUN, IPv6 in IPv6", "tun", V6, V6),
    row("TUN, IPv4 in IPv6", "tun", V4, V6),
    row("TUN, IPv6 in IPv4", "tun", V6, V4),
];

impl Row {
    fn rport(&self) -> u16 {
        if matches!(self.method, "nat" | "fullnat") { MAPPED } else { VPORT }
    }

    fn lab(&self, protocol: &str) -> Lab {
        let vip = endpoint(self.service.vip, VPORT);
        let rip = endpoint(self.server.rip, self.rport());
        Lab::new(
            &(network("conns_max = 100") + &service(protocol, &vip, "scheduler = \"rr\"") + &server(&rip, self.method)),
        )
    }

    /// Does the director see the replies?
    fn sees_replies(&self) -> bool {
        matches!(self.method, "nat" | "fullnat")
    }

    /// The address and port that the real server sees as its peer.
    fn peer(&self, lab: &Lab) -> (&'static str, u16) {
        match self.method {
            "fullnat" => {
                let (local, port) = conn(lab).local();
                assert_eq!(local, ip(self.service.lip), "{}", self.name);
                (self.service.lip, port)
            }
            _ => (self.service.client, CPORT),
        }
    }

    /// What becomes of a client's packet, given the frame that left (for the identification of a tunnel header).
    fn inbound(&self, lab: &Lab, left: &[u8], tos: u8, build: &dyn Fn(&Frame, u16, u16) -> Vec<u8>) -> Vec<u8> {
        let (peer, port) = self.peer(lab);
        let hop = |source, destination| self.server.server_gets(source, destination).ttl(63).tos(tos);
        match self.method {
            "nat" | "fullnat" => build(&hop(peer, self.server.rip), port, MAPPED),
            "dr" => build(&hop(self.service.client, self.service.vip), CPORT, VPORT),
            _ => {
                let inner = Frame::between(self.service.client, self.service.vip).ttl(63).tos(tos);
                let inner = build(&inner, CPORT, VPORT)[14..].to_vec();
                let inside = if self.service.name == "IPv4" { protocol::IPIP } else { protocol::IPV6 };
                // DF is the inner IPv4 packet's, and then the identification 0; without it it is anything.
                let dont_fragment = inside == protocol::IPIP;
                let id = if dont_fragment { 0 } else { u16::from_be_bytes([left[18], left[19]]) };
                let outer = hop(self.server.lan, self.server.rip).dont_fragment(dont_fragment).id(id);
                outer.packet(inside, &inner)
            }
        }
    }
}

#[test]
fn udp_goes_there_and_back() {
    for row in &ROWS {
        for payload in [&b""[..], b"odd", b"an even one!"] {
            let mut lab = row.lab("udp");
            let build = |frame: &Frame, from: u16, to: u16| frame.udp(from, to, payload);
            let sent = build(&row.service.client_sends().tos(0xb8), CPORT, VPORT);
            let left = one(&mut lab, WAN, &sent, LAN);
            assert_eq!(left, row.inbound(&lab, &left, 0xb8, &build), "{}: inbound", row.name);
            assert_eq!((state(&lab), counts(&lab)), ("UDP", (0, 1)), "{}", row.name);
            if row.sees_replies() {
                let (peer, port) = row.peer(&lab);
                let reply = build(&row.server.server_sends(peer), MAPPED, port);
                let expected = build(&row.service.client_gets(row.service.vip).ttl(63), VPORT, CPORT);
                becomes(&mut lab, LAN, &reply, WAN, &expected);
            }
        }
    }
}

/// A UDP datagram without checksum gets one where its addresses change, as the kernel does it, and none where they do not.
#[test]
fn an_absent_udp_checksum() {
    for (method, filled) in [("nat", true), ("fullnat", true), ("dr", false)] {
        let mut lab = row("", method, V4, V4).lab("udp");
        let mut sent = V4.client_sends().udp(CPORT, VPORT, b"no sum");
        sent[14 + 20 + 6..][..2].fill(0);
        let left = one(&mut lab, WAN, &sent, LAN);
        assert_eq!(left[14 + 20 + 6..][..2] != [0, 0], filled, "{method}");
    }
}

/// A TCP checksum that is wrong stays wrong, by as much: the end judges it.
#[test]
fn a_wrong_tcp_checksum_stays_wrong() {
    for row in &ROWS[..4] {
        let mut lab = row.lab("tcp");
        let at = 14 + row.service.header_bytes + 16;
        let checksum = |frame: &[u8]| i64::from(u16::from_be_bytes([frame[at], frame[at + 1]]));
        let sent = row.service.client_sends().tcp((CPORT, VPORT), (1, 0), tcp::SYN, b"");
        let good = lab.send(WAN, &sent).remove(0).frame;
        for error in [1, 0x55, 0x100, 0xff00] {
            let mut broken = sent.clone();
            let wrong = (checksum(&sent) + error).rem_euclid(65_535) as u16;
            broken[at..at + 2].copy_from_slice(&wrong.to_be_bytes());
            let bad = lab.send(WAN, &broken).remove(0).frame;
            let off_by = (checksum(&bad) - checksum(&good)).rem_euclid(65_535);
            assert_eq!(off_by, error.rem_euclid(65_535), "{}", row.name);
            assert_eq!((&bad[..at], &bad[at + 2..]), (&good[..at], &good[at + 2..]), "{}", row.name);
        }
    }
}

/// Ethernet padding behind a short packet is neither sent on nor taken for payload.
#[test]
fn padding_is_cut_off() {
    for row in &ROWS {
        let mut lab = row.lab("udp");
        let build = |frame: &Frame, from: u16, to: u16| frame.udp(from, to, b"x");
        let mut sent = build(&row.service.client_sends(), CPORT, VPORT);
        sent.extend([0xee; 30]);
        let left = one(&mut lab, WAN, &sent, LAN);
        assert_eq!(left, row.inbound(&lab, &left, 0, &build), "{}", row.name);
    }
}

/// IPv4 options travel on.
#[test]
fn ip_options_travel_on() {
    for method in ["nat", "fullnat", "dr"] {
        let row = row("options", method, V4, V4);
        let mut lab = row.lab("udp");
        let build = |frame: &Frame, from: u16, to: u16| frame.clone().options(&[1, 1, 1, 0]).udp(from, to, b"data");
        let left = one(&mut lab, WAN, &build(&row.service.client_sends(), CPORT, VPORT), LAN);
        assert_eq!(left, row.inbound(&lab, &left, 0, &build), "{method}");
    }
}

const SYN: u8 = tcp::SYN;
const ACK: u8 = tcp::ACK;
const SYN_ACK: u8 = tcp::SYN | tcp::ACK;
const FIN_ACK: u8 = tcp::FIN | tcp::ACK;
const DATA: u8 = tcp::PSH | tcp::ACK;
const RST: u8 = tcp::RST;

/// Who sends, what, the state after it, and whether the conn counts as active.
type Life = &'static [(char, u8, &'static str, bool)];

/// Where both sides are seen (golden/states: tcp_nat).
const BOTH_SEEN: &[Life] = &[
    &[
        ('c', SYN, "SYN_RECV", true),
        ('s', SYN_ACK, "SYN_RECV", true),
        ('c', ACK, "ESTABLISHED", true),
        ('c', DATA, "ESTABLISHED", true),
        ('s', DATA, "ESTABLISHED", true),
        ('s', FIN_ACK, "FIN_WAIT", false),
        ('c', ACK, "FIN_WAIT", false),
        ('c', FIN_ACK, "TIME_WAIT", false),
        ('s', ACK, "TIME_WAIT", false),
    ],
    &[
        ('c', SYN, "SYN_RECV", true),
        ('s', SYN_ACK, "SYN_RECV", true),
        ('c', ACK, "ESTABLISHED", true),
        ('c', FIN_ACK, "CLOSE_WAIT", false),
        ('s', DATA, "CLOSE_WAIT", false),
        ('s', FIN_ACK, "TIME_WAIT", false),
        ('c', ACK, "TIME_WAIT", false),
    ],
    &[('c', SYN, "SYN_RECV", true), ('s', RST, "CLOSE", false)],
    &[
        ('c', SYN, "SYN_RECV", true),
        ('c', RST, "SYN_RECV", true),
        ('c', ACK, "ESTABLISHED", true),
        ('c', RST, "CLOSE", false),
    ],
];

/// Where only the client is seen (golden/states: tcp_dr).
const CLIENT_SEEN: &[Life] = &[
    &[
        ('c', SYN, "SYN_RECV", true),
        ('c', ACK, "ESTABLISHED", true),
        ('c', DATA, "ESTABLISHED", true),
        ('c', FIN_ACK, "FIN_WAIT", false),
        ('c', ACK, "FIN_WAIT", false),
    ],
    &[('c', SYN, "SYN_RECV", true), ('c', FIN_ACK, "TIME_WAIT", false), ('c', ACK, "TIME_WAIT", false)],
    &[('c', SYN, "SYN_RECV", true), ('c', ACK, "ESTABLISHED", true), ('c', RST, "CLOSE", false)],
];

#[test]
fn whole_tcp_lives() {
    for row in &ROWS {
        for life in if row.sees_replies() { BOTH_SEEN } else { CLIENT_SEEN } {
            let mut lab = row.lab("tcp");
            for (n, &(side, flags, becomes_state, active)) in life.iter().enumerate() {
                let what = format!("{}, packet {n} of {life:?}", row.name);
                let numbers = (1000 + n as u32, 77 + n as u32);
                let payload: &[u8] = if flags == DATA { b"some data" } else { b"" };
                let build = |frame: &Frame, from: u16, to: u16| {
                    let options: &[u8] = if flags & SYN != 0 { &[2, 4, 5, 0xb4] } else { &[] };
                    frame.clone().tcp_options(options).tcp((from, to), numbers, flags, payload)
                };
                if side == 'c' {
                    let left = one(&mut lab, WAN, &build(&row.service.client_sends(), CPORT, VPORT), LAN);
                    assert_eq!(left, row.inbound(&lab, &left, 0, &build), "{what}");
                } else {
                    let (peer, port) = row.peer(&lab);
                    let sent = build(&row.server.server_sends(peer).ttl(60), MAPPED, port);
                    let expected = build(&row.service.client_gets(row.service.vip).ttl(59), VPORT, CPORT);
                    becomes(&mut lab, LAN, &sent, WAN, &expected);
                }
                assert_eq!(state(&lab), becomes_state, "{what}");
                let expected = if active { (1, 0) } else { (0, 1) };
                assert_eq!(counts(&lab), expected, "{what}: active and inactive");
            }
            // Silence: the conn goes, and with it its counts. The longest of these states lives 120 s.
            lab.advance_in_steps(121_000, 500);
            assert_eq!((lab.conns().len(), counts(&lab)), (0, (0, 0)), "{}", row.name);
        }
    }
}

/// Real servers of all methods in one service, in turn; each conn is in the list with what is known of it.
#[test]
fn methods_mix_in_one_service() {
    let config = network("conns_max = 100")
        + &service("tcp", "198.51.100.10:80", "scheduler = \"rr\"")
        + &server("10.0.0.11:8080", "nat")
        + &server("10.0.0.12:80", "dr")
        + &server("10.0.0.13:80", "tun")
        + &server("10.0.0.14:8080", "fullnat")
        + &server("[fd00:1::15]:80", "tun");
    let mut lab = Lab::new(&config);
    // New servers go to the head of the list; rr starts behind the head's place, so the first pick is told by the frame.
    let mut seen = Vec::new();
    for n in 0..10 {
        let left = one(&mut lab, WAN, &V4.client_sends().tcp((CPORT + n, 80), (1, 0), SYN, b""), LAN);
        seen.push(left[..6].to_vec());
        assert_eq!(left[6..12], port_mac(LAN).0);
    }
    assert_eq!(seen[..5], seen[5..], "rr: the second round is the first");
    let mut macs = seen[..5].to_vec();
    macs.sort();
    let expected: Vec<_> =
        ["10.0.0.11", "10.0.0.12", "10.0.0.13", "10.0.0.14", "fd00:1::15"].map(|rip| mac(rip).0.to_vec()).into();
    let mut expected = expected;
    expected.sort();
    assert_eq!(macs, expected);
    let conns = lab.conns();
    assert_eq!(conns.len(), 10);
    for conn in conns {
        assert_eq!(conn.client().0, ip(CLIENT));
        assert_eq!(conn.vip(), (ip(VIP), 80));
    }
}
