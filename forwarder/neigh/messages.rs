//! ARP and neighbour discovery as the same two sentences: "who has?" and "it is at". What the rest of this folder reads and says;
//! the bytes are `wire`'s.

use super::interface::Interface;
use crate::wire::ethernet::{self, Ethernet, Mac};
use crate::wire::{Arp, arp, nd};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// "Who has `target`?"
    Asks {
        target: IpAddr,
        /// Who asks. None: a probe, it only wants to know whether the address is free (RFC 5227, 4862).
        from: Option<IpAddr>,
        /// The asker's MAC as the message gives it. A solicitation may leave it out.
        mac: Option<Mac>,
        /// Where the answer goes.
        reply_to: Mac,
    },
    /// "`address` is at `mac`": an answer, or an announcement.
    Tells {
        address: IpAddr,
        mac: Option<Mac>,
        /// It answers a request of ours.
        solicited: bool,
        /// Another MAC that was known before is to be replaced.
        overrides: bool,
    },
}

impl Heard {
    /// None: malformed, not to be believed, or another message.
    pub(super) fn parse(frame: &[u8]) -> Option<Heard> {
        let header = Ethernet::of(frame)?;
        let l3 = &frame[Ethernet::BYTES..];
        match header.ether_type() {
            ethernet::ARP => from_arp(Arp::of(l3)?, header),
            ethernet::IPV6 => from_nd(nd::parse(l3)?, header),
            _ => None,
        }
    }
}

fn from_arp(arp: &Arp, header: &Ethernet) -> Option<Heard> {
    if !arp.is_ethernet_ipv4() || !is_station(arp.sender_mac()) {
        return None;
    }
    let (sender, mac) = (arp.sender(), arp.sender_mac());
    let gratuitous = sender == arp.target() && !sender.is_unspecified();
    match arp.operation() {
        arp::REQUEST if !gratuitous => {
            let from = (!sender.is_unspecified()).then_some(IpAddr::V4(sender));
            Some(Heard::Asks { target: IpAddr::V4(arp.target()), from, mac: Some(mac), reply_to: mac })
        }
        arp::REQUEST | arp::REPLY => {
            let solicited = arp.operation() == arp::REPLY && !gratuitous && !header.destination().is_group();
            Some(Heard::Tells { address: IpAddr::V4(sender), mac: Some(mac), solicited, overrides: true })
        }
        _ => None,
    }
}

fn from_nd(message: nd::Message, header: &Ethernet) -> Option<Heard> {
    match message {
        nd::Message::Solicitation { source, target, source_mac } => {
            let from = (!source.is_unspecified()).then_some(IpAddr::V6(source));
            // Without the option the frame's source is the only MAC there is (a unicast probe by someone who knows ours).
            let reply_to = source_mac.unwrap_or(header.source());
            let believed = is_station(reply_to);
            believed.then_some(Heard::Asks { target: IpAddr::V6(target), from, mac: source_mac, reply_to })
        }
        nd::Message::Advertisement { target, target_mac, flags } => {
            let (solicited, overrides) = (flags & nd::SOLICITED != 0, flags & nd::OVERRIDE != 0);
            let believed = target_mac.is_none_or(is_station);
            believed.then_some(Heard::Tells { address: IpAddr::V6(target), mac: target_mac, solicited, overrides })
        }
    }
}

/// Whether a MAC can be one station's.
fn is_station(mac: Mac) -> bool {
    !mac.is_group() && mac != Mac::ZERO
}

/// The frame that asks for `target`: everybody, or only the station `mac`. None if the families differ.
pub(super) fn question(interface: &Interface, source: IpAddr, target: IpAddr, mac: Option<Mac>) -> Option<Vec<u8>> {
    let own = Mac(interface.mac);
    match (source, target, mac) {
        (IpAddr::V4(source), IpAddr::V4(target), None) => Some(arp::request((own, source), target)),
        (IpAddr::V4(source), IpAddr::V4(target), Some(mac)) => Some(arp::request_to((own, source), (mac, target))),
        (IpAddr::V6(source), IpAddr::V6(target), None) => Some(nd::solicitation((own, source), target)),
        (IpAddr::V6(source), IpAddr::V6(target), Some(mac)) => Some(nd::solicitation_to((own, source), (mac, target))),
        _ => None,
    }
}

/// The frame that answers `asker` that `owned` is here. An asker without an address is answered in the family of `owned`.
pub(super) fn answer(interface: &Interface, owned: IpAddr, asker: Option<IpAddr>, mac: Mac, router: bool) -> Vec<u8> {
    let own = Mac(interface.mac);
    match (owned, asker) {
        (IpAddr::V4(owned), asker) => {
            let asker = if let Some(IpAddr::V4(asker)) = asker { asker } else { Ipv4Addr::UNSPECIFIED };
            arp::reply((own, owned), (mac, asker))
        }
        (IpAddr::V6(owned), asker) => {
            let asker = if let Some(IpAddr::V6(asker)) = asker { asker } else { Ipv6Addr::UNSPECIFIED };
            nd::advertisement((own, owned), (mac, asker), nd::SOLICITED | nd::OVERRIDE | router_flag(router))
        }
    }
}

/// The frame that tells everybody, unasked, that `owned` is here (RFC 5227, section 3; RFC 4861, section 7.2.6).
pub(super) fn announcement(interface: &Interface, owned: IpAddr, router: bool) -> Vec<u8> {
    let own = Mac(interface.mac);
    match owned {
        IpAddr::V4(owned) => arp::request((own, owned), owned),
        IpAddr::V6(owned) => nd::announcement((own, owned), nd::OVERRIDE | router_flag(router)),
    }
}

fn router_flag(router: bool) -> u32 {
    if router { nd::ROUTER } else { 0 }
}
