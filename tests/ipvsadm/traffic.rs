//! The traffic that was recorded: clients on one side, real servers on the other, both played by the recorder. What each conn did is
//! taken from what was counted and from the states in the recording.

use crate::kit::{Lab, Left, port_mac};
use std::net::SocketAddr;
use uvs::wire::build::Frame;
use uvs::wire::{Mac, protocol, tcp};

const CLIENTS: usize = 0;
const SERVERS: usize = 1;
/// Of those that answered.
const SERVERS_PORT: u16 = 8080;
const GATEWAY_MAC: Mac = Mac([2, 0, 0, 0x0c, 0, 0]);
const SERVERS_MAC: Mac = Mac([2, 0, 0, 5, 0, 0]);

/// The recorder.
pub struct Recorder<'a> {
    lab: &'a mut Lab,
    /// Real servers and how many of their answers are still to be counted: the recorder answered frames that it had got before, so
    /// that few of its answers belonged to a conn.
    answers: Vec<(String, usize)>,
}

impl Recorder<'_> {
    /// `counted` is what the recording says.
    pub fn new<'a>(lab: &'a mut Lab, counted: &[(SocketAddr, [usize; 2])]) -> Recorder<'a> {
        let answers = counted.iter().filter(|(endpoint, _)| endpoint.port() == SERVERS_PORT);
        Recorder { lab, answers: answers.map(|(server, [_, out])| (server.ip().to_string(), *out)).collect() }
    }

    fn client(&mut self, client: &str, vip: &str, make: impl FnOnce(Frame) -> Vec<u8>) -> Vec<Left> {
        let frame = make(Frame::between(client, vip).macs(GATEWAY_MAC, port_mac(CLIENTS)));
        self.lab.send(CLIENTS, &frame)
    }

    /// Clients that open conns, send something and, every third, say goodbye.
    fn talk(&mut self, client: &str, vip: &str, port: u16, conns: std::ops::Range<u16>) {
        for k in conns {
            let ports = (30_000 + k, port);
            let got = self.client(client, vip, |frame| frame.tcp(ports, (1, 0), tcp::SYN, b""));
            let (server, server_port) = got.first().and_then(|left| endpoint(&left.frame)).unwrap_or_default();
            let answers = self.answers.iter_mut().find(|(of, left)| *of == server && vip != server && *left > 0);
            if let (Some((_, left)), 80) = (answers, port) {
                *left -= 1;
                let answer = Frame::between(&server, client).macs(SERVERS_MAC, port_mac(SERVERS));
                let answer = answer.tcp((server_port, ports.0), (1, 2), tcp::SYN | tcp::ACK, b"");
                self.lab.send(SERVERS, &answer);
            }
            self.client(client, vip, |frame| frame.tcp(ports, (2, 2), tcp::ACK, b""));
            self.client(client, vip, |frame| frame.tcp(ports, (2, 2), tcp::PSH | tcp::ACK, &[b'x'; 100]));
            if k % 3 == 0 {
                self.client(client, vip, |frame| frame.tcp(ports, (102, 2), tcp::FIN | tcp::ACK, b""));
            }
        }
    }

    /// Clients that open conns.
    fn open(&mut self, client: &str, vip: &str, port: u16, conns: std::ops::Range<u16>) {
        for ports in conns.map(|k| (30_000 + k, port)) {
            self.client(client, vip, |frame| frame.tcp(ports, (1, 0), tcp::SYN, b""));
            self.client(client, vip, |frame| frame.tcp(ports, (2, 2), tcp::ACK, b""));
        }
    }

    pub fn datagram(&mut self, client: &str, ports: (u16, u16), vip: &str, payload: &[u8]) {
        self.client(client, vip, |frame| frame.udp(ports.0, ports.1, payload));
    }

    /// What was sent before `rich`'s listings.
    pub fn rich(&mut self) {
        for client in ["10.1.2.3", "10.4.5.6"] {
            self.talk(client, "10.99.0.1", 80, 0..7);
            self.talk(client, "10.99.0.1", 443, 0..1);
            self.open(client, "10.99.0.1", 443, 1..3);
            self.open(client, "10.99.0.1", 21, 0..1);
            self.open(client, "10.99.0.2", 4444, 0..2);
        }
        self.talk("fd10::1", "fd99::1", 80, 0..4);
        for k in 0..5 {
            self.datagram("10.1.2.3", (4_000 + k, 53), "10.99.0.1", &[b'q'; 40]);
            self.datagram("fd10::1", (4_000 + k, 53), "fd99::1", &[b'q'; 40]);
        }
        let invitation = b"INVITE sip:a@b SIP/2.0\r\nCall-ID: abc123@host\r\nContent-Length: 0\r\n\r\n";
        self.datagram("10.1.2.3", (5_060, 5_060), "10.99.0.1", invitation);
    }
}

/// Where a TCP or UDP frame goes; none of a tunnel's.
fn endpoint(frame: &[u8]) -> Option<(String, u16)> {
    let l3 = &frame[14..];
    let (kind, address, l4) = match l3[0] >> 4 {
        4 => {
            let address: [u8; 4] = l3[16..20].try_into().ok()?;
            (l3[9], std::net::IpAddr::from(address), &l3[20..])
        }
        _ => {
            let address: [u8; 16] = l3[24..40].try_into().ok()?;
            (l3[6], std::net::IpAddr::from(address), &l3[40..])
        }
    };
    let port = u16::from_be_bytes([l4[2], l4[3]]);
    matches!(kind, protocol::TCP | protocol::UDP).then(|| (address.to_string(), port))
}
