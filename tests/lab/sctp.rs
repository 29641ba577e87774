//! SCTP's checksum: a CRC over the whole packet and not over addresses, so whatever changes a port computes it anew, over all the
//! fragments that a packet came in. One that was wrong, and whose ports stay, stays wrong.

use crate::fragments::{joined, pieces};
use crate::kit::{Lab, Left};
use crate::network::*;
use uvs::wire::protocol;

const CPORT: u16 = 40_000;
const INIT: u8 = 1;
const DATA: u8 = 0;

/// An SCTP packet with one chunk of this type and so many bytes.
fn packet(ports: (u16, u16), chunk: u8, bytes: usize) -> Vec<u8> {
    let [high, low] = (4 + bytes as u16).to_be_bytes();
    let body: Vec<u8> = (0..bytes).map(|at| (at * 7) as u8).collect();
    let ports = [ports.0.to_be_bytes(), ports.1.to_be_bytes()].concat();
    let mut packet = [&ports[..], &[0, 0, 0, 5, 0, 0, 0, 0], &[chunk, 3, high, low], &body].concat();
    let crc = crc32c::crc32c(&packet);
    packet[8..12].copy_from_slice(&crc.to_le_bytes());
    packet
}

fn lab(family: Family, method: &str, server_port: u16) -> Lab {
    let config = network("conns_max = 100") + &service("sctp", &endpoint(family.vip, 80), "scheduler = \"rr\"");
    Lab::new(&(config + &server(&endpoint(family.rip, server_port), method)))
}

/// Sends a frame in fragments, or whole, and gives what leaves, as one frame.
#[track_caller]
fn through(lab: &mut Lab, port: usize, frame: &[u8], in_fragments: bool) -> Vec<u8> {
    let frames = if in_fragments { pieces(frame, &[1_200], 77) } else { vec![frame.to_vec()] };
    frames.iter().for_each(|frame| lab.cables[port].put(frame));
    let left: Vec<Left> = lab.settle();
    assert!(left.iter().all(|left| left.port != port), "{:?}", shown(&left));
    joined(&left)
}

/// The packet behind the IP header.
fn segment(frame: &[u8], family: &Family) -> Vec<u8> {
    frame[14 + family.header_bytes..].to_vec()
}

#[test]
fn whole_and_in_fragments_by_nat_and_fullnat() {
    for family in [V4, V6] {
        for (method, server_port) in [("nat", 8080), ("nat", 80), ("fullnat", 8080), ("fullnat", 80)] {
            for in_fragments in [false, true] {
                let what = format!("{} {method} to port {server_port}, in fragments: {in_fragments}", family.name);
                let mut lab = lab(family, method, server_port);
                let init = family.client_sends().packet(protocol::SCTP, &packet((CPORT, 80), INIT, 16));
                through(&mut lab, WAN, &init, false);
                let (peer, port) = match method {
                    "fullnat" => (family.lip, conn(&lab).local().1),
                    _ => (family.client, CPORT),
                };
                let bytes = if in_fragments { 2_000 } else { 100 };
                let sent = family.client_sends().dont_fragment(!in_fragments);
                let sent = sent.packet(protocol::SCTP, &packet((CPORT, 80), DATA, bytes));
                let left = through(&mut lab, WAN, &sent, in_fragments);
                let expected = packet((port, server_port), DATA, bytes);
                assert!(segment(&left, &family) == expected, "{what}: inbound");
                let reply = family.server_sends(peer).dont_fragment(!in_fragments);
                let reply = reply.packet(protocol::SCTP, &packet((server_port, port), DATA, bytes));
                let left = through(&mut lab, LAN, &reply, in_fragments);
                let expected = packet((80, CPORT), DATA, bytes);
                assert!(segment(&left, &family) == expected, "{what}: outbound");
                assert_eq!(state(&lab), "INIT1", "{what}");
            }
        }
    }
}

#[test]
fn a_wrong_checksum_stays_wrong_where_ports_stay() {
    for in_fragments in [false, true] {
        let mut lab = lab(V4, "nat", 80);
        let init = V4.client_sends().packet(protocol::SCTP, &packet((CPORT, 80), INIT, 16));
        through(&mut lab, WAN, &init, false);
        let sent = V4.client_sends().dont_fragment(!in_fragments);
        let mut sent = sent.packet(protocol::SCTP, &packet((CPORT, 80), DATA, 2_000 * usize::from(in_fragments) + 100));
        sent[14 + 20 + 8] ^= 0x55;
        let left = through(&mut lab, WAN, &sent, in_fragments);
        assert_eq!(segment(&left, &V4), segment(&sent, &V4), "in fragments: {in_fragments}");
    }
}
