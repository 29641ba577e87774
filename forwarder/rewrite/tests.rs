//! Laws of the rewrites: a packet that was changed in place equals one that was built anew with the new ends, byte
//! for byte, so all checksums carried along equal full computation; and no bytes make any function panic.

use std::net::IpAddr;

use proptest::prelude::*;

use super::icmp::Cause;
use super::tun::{GueChecksum, Outer, Tunnel};
use super::{Endpoint, fullnat, icmp, nat, reset, ttl, tun};
use crate::wire::build::Frame;
use crate::wire::{checksum, describe::describe_packet, ipv4, protocol};

/// What a packet is made of beside its ends.
#[derive(Clone, Debug)]
struct Rest {
    protocol: u8,
    tos: u8,
    ttl: u8,
    options: Vec<u8>,
    payload: Vec<u8>,
    numbers: (u32, u32),
}

/// Protocols that any function treats in its own way.
const PROTOCOLS: &[u8] = &[
    protocol::TCP,
    protocol::UDP,
    protocol::ICMP,
    protocol::ICMPV6,
    protocol::SCTP,
    protocol::IPIP,
    protocol::FRAGMENT,
];

type Ends = ((IpAddr, u16), (IpAddr, u16));

fn packet(rest: &Rest, (source, destination): Ends) -> Vec<u8> {
    let frame = Frame::new(source.0, destination.0).tos(rest.tos).ttl(rest.ttl).options(&rest.options);
    let frame = match rest.protocol {
        protocol::TCP => frame.tcp((source.1, destination.1), rest.numbers, 0x18, &rest.payload),
        _ => frame.udp(source.1, destination.1, &rest.payload),
    };
    frame[14..].to_vec()
}

fn l4(l3: &[u8]) -> usize {
    if l3[0] >> 4 == 4 { usize::from(l3[0] & 15) * 4 } else { 40 }
}

/// Bytes that give every word a fair chance to be 0 or all ones, where one's complement sums have their edges.
fn bytes<const N: usize>() -> impl Strategy<Value = [u8; N]> {
    prop_oneof![3 => any::<[u8; N]>(), 1 => Just([0; N]), 1 => Just([0xff; N])]
}

fn address(is_ipv6: bool) -> BoxedStrategy<IpAddr> {
    if is_ipv6 { bytes::<16>().prop_map(IpAddr::from).boxed() } else { bytes::<4>().prop_map(IpAddr::from).boxed() }
}

fn endpoint(is_ipv6: bool) -> impl Strategy<Value = (IpAddr, u16)> {
    (address(is_ipv6), bytes::<2>().prop_map(u16::from_be_bytes))
}

fn ends(is_ipv6: bool) -> impl Strategy<Value = Ends> {
    (endpoint(is_ipv6), endpoint(is_ipv6))
}

fn rest() -> impl Strategy<Value = Rest> {
    let protocol = prop_oneof![Just(protocol::TCP), Just(protocol::UDP)];
    let options = prop_oneof![Just(vec![]), Just(vec![1, 1, 1, 0]), Just(vec![1; 40])];
    let payload = prop::collection::vec(any::<u8>(), 0..64);
    (protocol, any::<u8>(), 2..=255u8, options, payload, any::<(u32, u32)>()).prop_map(
        |(protocol, tos, ttl, options, payload, numbers)| Rest { protocol, tos, ttl, options, payload, numbers },
    )
}

fn two_ends() -> impl Strategy<Value = (Ends, Ends)> {
    any::<bool>().prop_flat_map(|is_ipv6| (ends(is_ipv6), ends(is_ipv6)))
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

macro_rules! same {
    ($found:expr, $expect:expr) => {
        prop_assert!($found == $expect, "found {}\nexpect {}", describe_packet(&$found), describe_packet(&$expect))
    };
}

proptest! {
    #[test]
    fn nat_equals_a_packet_built_anew((old, new) in two_ends(), rest in rest()) {
        let mut l3 = packet(&rest, old);
        let at = l4(&l3);
        nat::translate_destination(&mut l3, at, rest.protocol, &octets(new.1.0), new.1.1);
        same!(l3, packet(&rest, (old.0, new.1)));
        nat::translate_source(&mut l3, at, rest.protocol, &octets(new.0.0), new.0.1);
        same!(l3, packet(&rest, new));
    }

    #[test]
    fn fullnat_equals_a_packet_built_anew((old, new) in two_ends(), rest in rest()) {
        let mut l3 = packet(&rest, old);
        let at = l4(&l3);
        let (source, destination) = (octets(new.0.0), octets(new.1.0));
        let source = Endpoint { address: &source, port: new.0.1 };
        let destination = Endpoint { address: &destination, port: new.1.1 };
        fullnat::translate(&mut l3, at, rest.protocol, source, destination);
        same!(l3, packet(&rest, new));
    }

    #[test]
    fn udp_without_checksum_gets_one((old, new) in two_ends(), rest in rest(), both in any::<bool>()) {
        let rest = Rest { protocol: protocol::UDP, ..rest };
        let mut l3 = packet(&rest, old);
        let at = l4(&l3);
        l3[at + 6..at + 8].fill(0);
        let (source, destination) = (octets(new.0.0), octets(new.1.0));
        if both {
            let source = Endpoint { address: &source, port: new.0.1 };
            let destination = Endpoint { address: &destination, port: new.1.1 };
            fullnat::translate(&mut l3, at, rest.protocol, source, destination);
            same!(l3, packet(&rest, new));
        } else {
            nat::translate_source(&mut l3, at, rest.protocol, &source, new.0.1);
            same!(l3, packet(&rest, (new.0, old.1)));
        }
    }

    #[test]
    fn a_wrong_checksum_stays_wrong((old, new) in two_ends(), rest in rest(), error in 1..0xffffu16) {
        let mut l3 = packet(&rest, old);
        let at = l4(&l3);
        let field = at + checksum::transport_checksum_at(rest.protocol).unwrap();
        let right = u16::from_be_bytes([l3[field], l3[field + 1]]);
        let wrong = right.wrapping_add(error);
        prop_assume!(wrong != 0 && wrong != right && wrong % 0xffff != right % 0xffff);
        l3[field..field + 2].copy_from_slice(&wrong.to_be_bytes());
        nat::translate_destination(&mut l3, at, rest.protocol, &octets(new.1.0), new.1.1);
        prop_assert!(!checksum::transport_is_right(&l3, at, rest.protocol));
    }

    #[test]
    fn ttl_equals_a_packet_built_anew((old, _) in two_ends(), rest in rest()) {
        let mut l3 = packet(&rest, old);
        let before = l3.clone();
        prop_assert!(ttl::decrement(&mut l3));
        let expect = packet(&Rest { ttl: rest.ttl - 1, ..rest }, old);
        same!(l3, expect);
        prop_assert!(ttl::restore(&mut l3));
        same!(l3, before);
    }

    #[test]
    fn the_last_hop_is_not_taken((old, _) in two_ends(), rest in rest(), ttl in 0..2u8) {
        let before = packet(&Rest { ttl, ..rest }, old);
        let mut l3 = before.clone();
        prop_assert!(!ttl::decrement(&mut l3));
        prop_assert_eq!(l3, before);
    }

    #[test]
    fn a_tunnel_carries_the_packet_unchanged(
        (inner_ends, _) in two_ends(),
        rest in rest(),
        (outer, _) in two_ends(),
        pmtu_discovery: bool,
        id: u16,
    ) {
        let inner = packet(&rest, inner_ends);
        let is_ipv6 = outer.0.0.is_ipv6();
        let outer_bytes = Tunnel::Ipip.outer_bytes(is_ipv6);
        let mut l3 = [vec![0xaa; outer_bytes], inner.clone()].concat();
        let total = l3.len();
        let (source, destination) = (octets(outer.0.0), octets(outer.1.0));
        let header = Outer { source: &source, destination: &destination, pmtu_discovery, id, source_port: 1 };
        prop_assert!(tun::encapsulate(&mut l3, total, Tunnel::Ipip, header));
        let tos = if rest.tos & 3 == 3 { rest.tos ^ 1 } else { rest.tos };
        let dont_fragment = inner_ends.0.0.is_ipv4() && pmtu_discovery;
        let id = if dont_fragment { 0 } else { id };
        let protocol = if inner_ends.0.0.is_ipv4() { protocol::IPIP } else { protocol::IPV6 };
        let expect = Frame::new(outer.0.0, outer.1.0).tos(tos).ttl(rest.ttl).id(id).dont_fragment(dont_fragment);
        same!(l3, expect.packet(protocol, &inner)[14..]);
        prop_assert!(is_ipv6 || ipv4::checksum_is_right(&l3));
        prop_assert_eq!(tun::inner_at(&l3, |_| true), Some(outer_bytes));
    }

    #[test]
    fn addresses_of_the_other_family_change_nothing(old in ends(false), rest in rest(), port: u16) {
        let before = packet(&rest, old);
        let mut l3 = before.clone();
        let at = l4(&l3);
        for address in [&[0xfd; 16][..], &[1; 5], &[]] {
            nat::translate_source(&mut l3, at, rest.protocol, address, port);
            nat::translate_destination(&mut l3, at, rest.protocol, address, port);
            fullnat::translate(&mut l3, at, rest.protocol, Endpoint { address, port }, Endpoint { address, port });
        }
        prop_assert_eq!(l3, before);
    }

    #[test]
    fn no_bytes_make_anything_panic(
        mut l3 in prop::collection::vec(any::<u8>(), 0..120),
        l4 in 0..130usize,
        protocol in prop::sample::select(PROTOCOLS),
        version in 0..3u8,
    ) {
        if let Some(first) = l3.first_mut() {
            *first = [0x45, 0x60, *first][usize::from(version)];
        }
        if l3.len() > 9 {
            l3[9] = protocol;
        }
        for (v4, v6) in [(&[10, 0, 0, 1][..], &[0xfd; 16][..]), (&[], &[1, 2, 3])] {
            for address in [v4, v6] {
                let end = Endpoint { address, port: 80 };
                nat::translate_source(&mut l3.clone(), l4, protocol, address, 80);
                nat::translate_destination(&mut l3.clone(), l4, protocol, address, 80);
                fullnat::translate(&mut l3.clone(), l4, protocol, end, end);
                let outer = Outer { source: address, destination: address, pmtu_discovery: true, id: 1, source_port: 1 };
                let gre = [false, true].map(|csum| Tunnel::Gre { csum });
                let gue = [GueChecksum::None, GueChecksum::Full].map(|csum| Tunnel::Gue { port: 1, csum });
                for tunnel in [Tunnel::Ipip].into_iter().chain(gre).chain(gue) {
                    let mut packet = l3.clone();
                    tun::encapsulate(&mut packet, l3.len(), tunnel, outer);
                    tunnel.checksum(&packet, l4, std::iter::empty());
                }
                let translation = icmp::Translation {
                    source: Some(address),
                    destination: Some(address),
                    quoted_source: Some(end),
                    quoted_destination: Some(end),
                };
                icmp::translate(&mut l3.clone(), l4, &translation);
                for cause in [Cause::TimeExceeded, Cause::ProtocolUnreachable, Cause::TooBig { mtu: 70_000 }] {
                    icmp::error(&mut [0; icmp::ERROR_BYTES_MAX], &l3, cause, address, 1);
                    icmp::error(&mut [0; 50], &l3, cause, address, 1);
                }
            }
        }
        ttl::decrement(&mut l3.clone());
        tun::inner_at(&l3, |_| true);
        icmp::quoted(&l3, l4);
        icmp::echo_reply(&mut l3.clone(), 0, l4, 1);
        reset::reset(&mut [0; reset::RESET_BYTES_MAX], &l3, l4);
        reset::reset(&mut [0; 30], &l3, l4);
    }
}
