//! Is this frame what the kernel sent? Byte for byte, but for what the kernel itself does not send twice alike, in packets
//! that the director makes: the IPv4 id (where fragments are forbidden it is compared, too) with the header checksum that
//! covers it, and the IPv6 flow label. That checksum must be right, all the same. The id of IPv6 fragments is new in each run;
//! that all fragments of a packet have one is the lab's matter.

use crate::recording::{Recorded, Recording};
use uvs::rewrite::tun;
use uvs::wire::{Ethernet, Ipv4, Ipv6, Mac, describe, ethernet, excerpt, ipv4, protocol};

/// What makes neighbour discovery messages: ICMPv6 types of RFC 4861, section 4.
const NEIGHBOR_DISCOVERY: std::ops::RangeInclusive<u8> = 133..=137;

/// The frame that is expected of a director whose port has this MAC.
pub fn expected(output: &Recorded, mac: Mac) -> Vec<u8> {
    let mut bytes = output.bytes.clone();
    Ethernet::of_mut(&mut bytes).expect("a recorded frame has an Ethernet header").set_source(mac);
    bytes
}

/// The director made the packet around or in answer to what came in: it left where that came in, or its protocol differs.
pub fn is_made(recording: &Recording, output: &Recorded) -> bool {
    let input = recording.input(output.step);
    input.side == output.side || protocol_of(&input.bytes) != protocol_of(&output.bytes)
}

/// It answers what came in: an error about a tunnel server's own reply goes to that server through its tunnel.
pub fn is_answer(recording: &Recording, output: &Recorded) -> bool {
    recording.input(output.step).side == output.side
}

/// Says how a frame differs from the expected one, if it does.
pub fn difference(expect: &[u8], found: &[u8], made: bool, answer: bool) -> Option<String> {
    let words = || format!("  expected {}\n  found    {}", describe(expect), describe(found));
    if !checksum_is_right(found) {
        return Some(format!("wrong IPv4 header checksum\n{}", words()));
    }
    let (one, other) = (comparable(expect, made, answer), comparable(found, made, answer));
    if one == other {
        return None;
    }
    let at = one.iter().zip(&other).position(|(one, other)| one != other);
    let at = at.unwrap_or_else(|| one.len().min(other.len()));
    let (expect, found) = (excerpt(expect, at), excerpt(found, at));
    Some(format!("from byte {at} on\n{}\n  expected {expect}\n  found    {found}", words()))
}

/// What the director sends by itself at its start, and is in no recording: announcements of its addresses.
pub fn is_announcement(frame: &[u8]) -> bool {
    match Ethernet::of(frame).map(Ethernet::ether_type) {
        Some(ethernet::ARP) => true,
        Some(ethernet::IPV6) => {
            let message =
                frame.get(Ethernet::BYTES + Ipv6::BYTES).is_some_and(|kind| NEIGHBOR_DISCOVERY.contains(kind));
            message && protocol_of(frame) == Some(protocol::ICMPV6)
        }
        _ => false,
    }
}

fn comparable(frame: &[u8], made: bool, answer: bool) -> Vec<u8> {
    let mut frame = frame.to_vec();
    if let Some(id) = fragment_id_at(&frame) {
        frame[id..id + 4].fill(0);
    }
    if !made {
        return frame;
    }
    let kind = Ethernet::of(&frame).map(Ethernet::ether_type);
    let l3 = &mut frame[Ethernet::BYTES..];
    if kind == Some(ethernet::IPV4)
        && let Some(ip) = Ipv4::of_mut(l3)
        && !ip.dont_fragment()
    {
        ip.set_id(0);
        ipv4::fill_checksum(l3);
    } else if kind == Some(ethernet::IPV6)
        && let Some(ip) = Ipv6::of_mut(l3)
    {
        ip.set_flow_label(0);
    }
    if answer
        && let Some(at) = tun::inner_at(l3, |_| false)
        && let Some(ip) = Ipv6::of_mut(&mut l3[at..])
    {
        ip.set_flow_label(0);
    }
    frame
}

/// Where the id of an IPv6 fragment is.
fn fragment_id_at(frame: &[u8]) -> Option<usize> {
    let l3 = &frame[Ethernet::BYTES..];
    let is_v6 = Ethernet::of(frame)?.ether_type() == ethernet::IPV6;
    let (mut next, mut at) = (Ipv6::of(l3).filter(|_| is_v6)?.next_header(), Ipv6::BYTES);
    while matches!(next, protocol::HOP_BY_HOP | protocol::DESTINATION_OPTIONS) {
        (next, at) = (*l3.get(at)?, at + 8 * (usize::from(*l3.get(at + 1)?) + 1));
    }
    (next == protocol::FRAGMENT && l3.len() >= at + 8).then_some(Ethernet::BYTES + at + 4)
}

fn checksum_is_right(frame: &[u8]) -> bool {
    Ethernet::of(frame).map(Ethernet::ether_type) != Some(ethernet::IPV4)
        || ipv4::checksum_is_right(&frame[Ethernet::BYTES..])
}

fn protocol_of(frame: &[u8]) -> Option<u8> {
    let l3 = &frame[Ethernet::BYTES..];
    match Ethernet::of(frame)?.ether_type() {
        ethernet::IPV4 => Ipv4::of(l3).map(Ipv4::protocol),
        ethernet::IPV6 => Ipv6::of(l3).map(Ipv6::next_header),
        _ => None,
    }
}
