//! Is this frame what the kernel sent? Byte for byte, but for what the kernel itself does not send twice alike: the IPv4 id of
//! what the director makes (tunnel headers without DF, ICMP, RST), the id of IPv6 fragments and of FullNAT's, the source port of GUE. A checksum
//! over a field that is not compared must be right instead.

use crate::recorder::is_own;
use crate::recording::{Recorded, Recording, Side};
use std::collections::HashMap;
use std::net::IpAddr;
use uvs::rewrite::tun;
use uvs::wire::{Ethernet, Ipv4, Ipv6, Mac, checksum, describe, ethernet, excerpt, ipv4, ipv6, protocol};

/// Where a fragment header has its id, and UDP its source port and its checksum.
const FRAGMENT_ID: std::ops::Range<usize> = 4..8;
const SOURCE_PORT: std::ops::Range<usize> = 0..2;
const DESTINATION_PORT: std::ops::Range<usize> = 2..4;
const UDP_CHECKSUM: std::ops::Range<usize> = 6..8;
/// Where GRE has its checksum, if it has one.
const GRE_CHECKSUM: std::ops::Range<usize> = 4..6;
const GRE_WITH_CHECKSUM_BYTES: usize = 8;

/// The ids of what the director makes are its own; but the fragments of one packet have one id.
#[derive(Default)]
pub struct Ids(HashMap<Vec<u8>, Vec<u8>>);

/// What a frame's free fields are.
struct Comparable {
    bytes: Vec<u8>,
    id: Option<Vec<u8>>,
}

/// How a frame that left relates to the one that came in.
pub struct Made {
    /// It is the director's own packet: an answer, or a tunnel header around what came in.
    made: bool,
    /// An answer: it leaves where the question came in.
    pub answer: bool,
    /// FullNAT names fragments anew towards real servers.
    named_anew: bool,
    /// Ports of GUE tunnels.
    gue_ports: Vec<u16>,
}

impl Made {
    pub fn of(recording: &Recording, output: &Recorded) -> Made {
        let input = recording.input(output.step);
        let answer = input.side == output.side;
        let tunnel = output.side == Side::Lan && source(&output.bytes).is_some_and(is_own);
        // An error about a tunnel packet is told to the client in the director's own words.
        let icmp = [protocol::ICMP, protocol::ICMPV6].map(Some).contains(&protocol_of(&input.bytes));
        let relayed = icmp && packet(&output.bytes).len() != packet(&input.bytes).len();
        let named_anew = output.side == Side::Lan && !recording.local_addresses().is_empty();
        Made { made: answer || tunnel || relayed, answer, named_anew, gue_ports: recording.gue_ports() }
    }
}

/// Says how a frame from a port with this MAC differs from the recorded one, if it does.
pub fn difference(expect: &Recorded, found: &[u8], mac: Mac, made: &Made, ids: &mut Ids) -> Option<String> {
    let mut expected = expect.bytes.clone();
    Ethernet::of_mut(&mut expected).expect("a recorded frame has an Ethernet header").set_source(mac);
    let words = || format!("  expected {}\n  found    {}", describe(&expected), describe(found));
    if let Some(what) = wrong_checksum(found, made) {
        return Some(format!("{what}\n{}", words()));
    }
    let (one, other) = (comparable(&expected, made), comparable(found, made));
    if one.bytes != other.bytes {
        let at = one.bytes.iter().zip(&other.bytes).position(|(one, other)| one != other);
        let at = at.unwrap_or_else(|| one.bytes.len().min(other.bytes.len()));
        let (expected, found) = (excerpt(&expected, at), excerpt(found, at));
        return Some(format!("from byte {at} on\n{}\n  expected {expected}\n  found    {found}", words()));
    }
    match (one.id, other.id) {
        (Some(kernel), Some(own)) => {
            let same = ids.0.entry(kernel).or_insert_with(|| own.clone()) == &own;
            (!same).then(|| format!("fragments of one packet have different ids\n{}", words()))
        }
        _ => None,
    }
}

/// The frame without what need not be equal.
fn comparable(frame: &[u8], made: &Made) -> Comparable {
    let mut bytes = frame.to_vec();
    let kind = Ethernet::of(&bytes).map(Ethernet::ether_type);
    let Some(l3) = bytes.get_mut(Ethernet::BYTES..) else { return Comparable { bytes, id: None } };
    let mut id = None;
    let mut udp_at = None;
    // `main.rs` names this difference.
    if kind == Some(ethernet::IPV4) && made.made && Ipv4::of(l3).is_some_and(Ipv4::is_fragment) {
        l3[6] &= !0x40;
    }
    if kind == Some(ethernet::IPV4)
        && let Some(ip) = Ipv4::of_mut(l3)
    {
        if ip.protocol() == protocol::UDP && ip.fragment_offset_bytes() == 0 {
            udp_at = Some(ip.header_bytes());
        }
        if made.made && !ip.dont_fragment() || made.named_anew && ip.is_fragment() {
            id = Some(ip.id().to_be_bytes().to_vec());
            ip.set_id(0);
            ipv4::fill_checksum(l3);
        }
    } else if kind == Some(ethernet::IPV6) && Ipv6::of(l3).is_some() {
        let upper = ipv6::upper_layer(l3);
        if let Some(header) = fragment_header(l3) {
            id = Some(header[FRAGMENT_ID].to_vec());
            header[FRAGMENT_ID].fill(0);
        }
        if let Some(upper) = upper
            && upper.protocol == protocol::UDP
            && upper.fragment.is_none_or(|part| part.offset_bytes == 0)
        {
            udp_at = Some(upper.offset);
        }
        // `main.rs` names this difference.
        if made.answer
            && let Some(ip) = Ipv6::of_mut(l3)
        {
            ip.set_flow_label(0);
        }
    }
    if let Some(udp) = udp_at.and_then(|at| l3.get_mut(at..))
        && is_gue(udp, made)
    {
        udp[SOURCE_PORT].fill(0);
        // Right, or absent: that was seen before. Present or not must be equal.
        if udp[UDP_CHECKSUM] != [0, 0] {
            udp[UDP_CHECKSUM].fill(1);
        }
    }
    if made.answer {
        clear_flow_label_in_tunnel(&mut bytes[Ethernet::BYTES..], made);
    }
    Comparable { bytes, id }
}

/// An answer to what a real server sent from the VIP goes to that server, through its tunnel if it has one. `main.rs` names this
/// difference; a checksum of GRE is over the label, too.
fn clear_flow_label_in_tunnel(l3: &mut [u8], made: &Made) {
    let Some(at) = tun::inner_at(l3, |port| made.gue_ports.contains(&port)) else { return };
    let Some(ip) = Ipv6::of_mut(&mut l3[at..]) else { return };
    ip.set_flow_label(0);
    let (protocol, header_bytes) = match Ipv4::of(l3).filter(|_| l3[0] >> 4 == 4) {
        Some(outer) => (outer.protocol(), outer.header_bytes()),
        None => (l3[6], Ipv6::BYTES),
    };
    if protocol == protocol::GRE && at - header_bytes == GRE_WITH_CHECKSUM_BYTES {
        l3[header_bytes..][GRE_CHECKSUM].fill(0);
    }
}

fn is_gue(udp: &[u8], made: &Made) -> bool {
    let Some(port) = udp.get(DESTINATION_PORT).map(|port| u16::from_be_bytes([port[0], port[1]])) else { return false };
    made.made && udp.len() >= UDP_CHECKSUM.end && made.gue_ports.contains(&port)
}

/// The fragment header of an IPv6 packet, if it has one: no other extension header stands before it in what a director sends.
fn fragment_header(l3: &mut [u8]) -> Option<&mut [u8]> {
    (l3[6] == protocol::FRAGMENT).then(|| l3.get_mut(Ipv6::BYTES..Ipv6::BYTES + 8)).flatten()
}

fn wrong_checksum(frame: &[u8], made: &Made) -> Option<&'static str> {
    let l3 = packet(frame);
    match Ethernet::of(frame)?.ether_type() {
        ethernet::IPV4 => {
            let ip = Ipv4::of(l3)?;
            if !ipv4::checksum_is_right(l3) {
                return Some("wrong IPv4 header checksum");
            }
            let udp = (ip.protocol() == protocol::UDP && !ip.is_fragment()).then(|| ip.header_bytes())?;
            wrong_gue(l3, udp, made)
        }
        ethernet::IPV6 => {
            let upper =
                ipv6::upper_layer(l3).filter(|upper| upper.protocol == protocol::UDP && upper.fragment.is_none())?;
            wrong_gue(l3, upper.offset, made)
        }
        _ => None,
    }
}

fn wrong_gue(l3: &[u8], udp: usize, made: &Made) -> Option<&'static str> {
    let wrong = is_gue(l3.get(udp..)?, made)
        && l3[udp..][UDP_CHECKSUM] != [0, 0]
        && !checksum::transport_is_right(l3, udp, protocol::UDP);
    wrong.then_some("wrong UDP checksum of a tunnel header")
}

/// The IP packet in a frame.
fn packet(frame: &[u8]) -> &[u8] {
    frame.get(Ethernet::BYTES..).unwrap_or_default()
}

fn source(frame: &[u8]) -> Option<IpAddr> {
    let l3 = packet(frame);
    match Ethernet::of(frame)?.ether_type() {
        ethernet::IPV4 => Ipv4::of(l3).map(|ip| ip.source().into()),
        ethernet::IPV6 => Ipv6::of(l3).map(|ip| ip.source().into()),
        _ => None,
    }
}

fn protocol_of(frame: &[u8]) -> Option<u8> {
    let l3 = packet(frame);
    match Ethernet::of(frame)?.ether_type() {
        ethernet::IPV4 => Ipv4::of(l3).map(Ipv4::protocol),
        ethernet::IPV6 => Ipv6::of(l3).map(Ipv6::next_header),
        _ => None,
    }
}
