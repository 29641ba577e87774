//! The whole of it with a virtual clock: frames in, frames out, what workers see. Rows in the files beside this one.

mod ageing;
mod answers;
mod hostile;
mod learning;
mod limits;

use super::*;
use crate::wire::{Ethernet, Mac, arp, ethernet, nd};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

const WAN: u16 = 0;
const LAN: u16 = 1;
const WAN_MAC: Mac = Mac([2, 0, 0, 0, 1, 0]);
const LAN_MAC: Mac = Mac([2, 0, 0, 0, 1, 1]);
const HOST: Mac = Mac([2, 0, 0, 0, 0, 7]);
const OTHER: Mac = Mac([2, 0, 0, 0, 0, 8]);
/// No two rows of a test share this address by accident: a free one on the LAN, per family.
const FREE: [&str; 2] = ["10.0.0.7", "fd00::7"];

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A director with two ports, a VIP and a local address per family, gateways on the WAN, and a static neighbour.
struct Director {
    neighbors: Neighbors,
    now_ms: u64,
    hops: Arc<NextHops>,
}

impl Director {
    fn new(neighbors_max: usize) -> Director {
        let interface = |port, name: &str, mac: Mac, addresses: [&str; 2]| Interface {
            port,
            name: name.into(),
            mac: mac.0,
            mtu: 1500,
            addresses: addresses.map(|text| text.parse().unwrap()).to_vec(),
            vip_answer: VipAnswer::Always,
        };
        let interfaces = vec![
            interface(WAN, "wan", WAN_MAC, ["192.0.2.1/24", "2001:db8::1/64"]),
            interface(LAN, "lan", LAN_MAC, ["10.0.0.1/24", "fd00::1/64"]),
        ];
        let route =
            |to: &str, gateway: &str| StaticRoute { to: to.parse().unwrap(), gateway: address(gateway), port: WAN };
        let routes = [route("0.0.0.0/0", "192.0.2.254"), route("::/0", "fe80::fe")];
        let statics = [StaticNeighbor { port: LAN, address: address("10.0.0.250"), mac: OTHER }];
        let limits = Limits { neighbors_max, router: true };
        let now_ms = 1_000_000;
        let mut neighbors = Neighbors::new(interfaces, &routes, &statics, limits, now_ms);
        neighbors.set_local(["198.51.100.1", "fd99::1"].map(address), ["10.0.0.240", "fd00::240"].map(address));
        let hops = neighbors.snapshot().unwrap();
        Director { neighbors, now_ms, hops }
    }

    /// One whose gateways have answered and whose own addresses are announced: what it sends from now on, a test caused.
    fn quiet(neighbors_max: usize) -> Director {
        let mut director = Director::new(neighbors_max);
        director.hear(WAN, &tells("192.0.2.254", HOST, "192.0.2.1", WAN_MAC));
        director.hear(WAN, &tells("fe80::fe", HOST, "fe80::ff:fe00:100", WAN_MAC));
        for _ in 0..4 {
            director.pass(1_000);
        }
        director
    }

    fn hear(&mut self, port: u16, frame: &[u8]) {
        self.neighbors.frame(port, frame, self.now_ms);
    }

    /// Time passes, then a turn. What it sends, as text.
    fn pass(&mut self, ms: u64) -> Vec<String> {
        self.now_ms += ms;
        self.neighbors.turn(self.now_ms);
        self.hops = self.neighbors.snapshot().unwrap_or(self.hops.clone());
        self.neighbors.take_frames().iter().map(|(port, frame)| spelled(*port, frame)).collect()
    }

    fn want(&mut self, text: &str) {
        self.neighbors.wanted(LAN, address(text), self.now_ms);
    }

    /// What a worker does to send to `text`; false if it cannot.
    fn send(&mut self, text: &str) -> bool {
        let hop = self.hop(text).filter(|hop| hop.state == NextHopState::Ready);
        hop.inspect(|hop| hop.mark_used()).is_some()
    }

    fn hop(&self, text: &str) -> Option<&NextHop> {
        match self.hops.route(address(text)) {
            Route::Via(id) => self.hops.get(id),
            _ => None,
        }
    }

    /// State and MAC of a neighbour in the listing.
    fn known(&self, text: &str) -> Option<(State, Option<Mac>)> {
        let lines = self.neighbors.list();
        lines.iter().find(|line| line.address == address(text)).map(|line| (line.state, line.mac))
    }
}

/// A frame as "port destination-MAC: what it says".
fn spelled(port: u16, frame: &[u8]) -> String {
    let header = Ethernet::of(frame).unwrap();
    let l3 = &frame[Ethernet::BYTES..];
    let says = if header.ether_type() == ethernet::ARP {
        let arp = crate::wire::Arp::of(l3).unwrap();
        assert_eq!(arp.sender_mac(), header.source(), "an ARP frame comes from who speaks in it");
        match (arp.operation(), arp.sender() == arp.target()) {
            (arp::REQUEST, true) => format!("announces {}", arp.sender()),
            (arp::REQUEST, false) => format!("{} asks {}", arp.sender(), arp.target()),
            _ => format!("{} is at {}", arp.sender(), arp.sender_mac()),
        }
    } else {
        let source = crate::wire::Ipv6::of(l3).unwrap().source();
        match nd::parse(l3).expect("what we send passes our own checks") {
            nd::Message::Solicitation { target, source_mac, .. } => {
                assert_eq!(source_mac, Some(header.source()));
                format!("{source} asks {target}")
            }
            nd::Message::Advertisement { target, target_mac, flags } if flags & nd::SOLICITED == 0 => {
                assert_eq!((target_mac, flags), (Some(header.source()), nd::ROUTER | nd::OVERRIDE));
                format!("announces {target}")
            }
            nd::Message::Advertisement { target, target_mac, flags } => {
                assert_eq!(flags, nd::ROUTER | nd::SOLICITED | nd::OVERRIDE);
                format!("{target} is at {}", target_mac.unwrap())
            }
        }
    };
    format!("{port} {}: {says}", header.destination())
}

/// `sender` at `mac` asks everybody for `target`; the sender may be unspecified (a probe).
fn asks(sender: &str, mac: Mac, target: &str) -> Vec<u8> {
    match (address(sender), address(target)) {
        (IpAddr::V4(sender), IpAddr::V4(target)) => arp::request((mac, sender), target),
        (IpAddr::V6(sender), IpAddr::V6(target)) => nd::solicitation((mac, sender), target),
        _ => unreachable!("two families"),
    }
}

/// `sender` at `mac` answers `to`.
fn tells(sender: &str, mac: Mac, to: &str, to_mac: Mac) -> Vec<u8> {
    match (address(sender), address(to)) {
        (IpAddr::V4(sender), IpAddr::V4(to)) => arp::reply((mac, sender), (to_mac, to)),
        (IpAddr::V6(sender), IpAddr::V6(to)) => {
            nd::advertisement((mac, sender), (to_mac, to), nd::SOLICITED | nd::OVERRIDE)
        }
        _ => unreachable!("two families"),
    }
}

/// `sender` at `mac` tells everybody unasked.
fn announces(sender: &str, mac: Mac) -> Vec<u8> {
    match address(sender) {
        IpAddr::V4(sender) => arp::request((mac, sender), sender),
        IpAddr::V6(sender) => nd::announcement((mac, sender), nd::OVERRIDE),
    }
}

/// The answer of a free LAN address to the director.
fn answer_of(text: &str, mac: Mac) -> Vec<u8> {
    tells(text, mac, if address(text).is_ipv4() { "10.0.0.1" } else { "fd00::1" }, LAN_MAC)
}

fn solicitation_by_nobody(target: Ipv6Addr, mac: Mac) -> Vec<u8> {
    // `nd::solicitation` gives a source MAC; a probe must not have one: cut the option off and close the packet again.
    let mut frame = nd::solicitation((mac, Ipv6Addr::UNSPECIFIED), target);
    frame.truncate(frame.len() - 8);
    let ip = crate::wire::Ipv6::of_mut(&mut frame[Ethernet::BYTES..]).unwrap();
    ip.set_payload_bytes(nd::Neighbor::BYTES);
    frame[Ethernet::BYTES + 42..][..2].fill(0);
    crate::wire::checksum::fill_transport(&mut frame[Ethernet::BYTES..], 40, crate::wire::protocol::ICMPV6);
    frame
}

fn nobody_v4() -> String {
    Ipv4Addr::UNSPECIFIED.to_string()
}
