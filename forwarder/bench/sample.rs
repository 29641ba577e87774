//! Whether what came out is right: frames that the load device wrote down are decoded, and everything in them that the director decides
//! is compared with what the case asks for: MACs, addresses, ports, hop limits, checksums, and one real server per flow.

use super::case::{Case, Traffic};
use super::network::{self, GATEWAY_MAC, PORT_MAC, SERVERS, VIP_PORT};
use crate::demo::plan::Method;
use crate::wire::{Ethernet, Ipv4, Ipv6, Mac, Tcp, Udp, checksum, describe, ethernet, ipv4, ipv6, protocol};
use hashbrown::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

const PCAP_HEADER_BYTES: usize = 24;
const RECORD_HEADER_BYTES: usize = 16;
/// What the load device sends.
const TTL: u8 = 64;

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Packets of flows that were decoded.
    pub packets: usize,
    /// What is wrong, one line each.
    pub wrong: Vec<String>,
}

/// A packet as it is on the wire, without what it carries.
struct Packet<'a> {
    source: IpAddr,
    destination: IpAddr,
    ttl: u8,
    protocol: u8,
    l3: &'a [u8],
    l4: usize,
}

/// What each flow was seen to have.
#[derive(Default)]
struct Flows {
    /// By the flow's source as the real server sees it.
    servers: HashMap<SocketAddr, usize>,
    /// FullNAT: local endpoints, each towards one server.
    locals: HashSet<(SocketAddr, usize)>,
}

/// Looks at whole capture files: one of each queue.
pub fn check(case: &Case, files: &[Vec<u8>]) -> Found {
    let mut found = Found::default();
    let mut flows = Flows::default();
    for frame in files.iter().flat_map(|file| frames(file)) {
        match check_frame(case, frame, &mut flows) {
            Ok(true) => found.packets += 1,
            // What the director says about itself: neighbour discovery and ARP.
            Ok(false) => {}
            Err(wrong) => found.wrong.push(format!("{wrong}: {}", describe(frame))),
        }
    }
    let used: HashSet<_> = flows.servers.values().collect();
    if flows.servers.len() >= 2 * SERVERS && used.len() < SERVERS {
        found.wrong.push(format!("{} flows went to {} of {SERVERS} real servers", flows.servers.len(), used.len()));
    }
    found
}

fn frames(pcap: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = pcap.get(PCAP_HEADER_BYTES..).unwrap_or_default();
    std::iter::from_fn(move || {
        let bytes = u32::from_le_bytes(rest.get(8..12)?.try_into().ok()?) as usize;
        let frame = rest.get(RECORD_HEADER_BYTES..RECORD_HEADER_BYTES + bytes)?;
        rest = &rest[RECORD_HEADER_BYTES + bytes..];
        Some(frame)
    })
}

fn check_frame(case: &Case, frame: &[u8], flows: &mut Flows) -> Result<bool, String> {
    let header = Ethernet::of(frame).ok_or("cut off")?;
    if !matches!(header.ether_type(), ethernet::IPV4 | ethernet::IPV6) {
        return Ok(false);
    }
    expect("source MAC", header.source(), PORT_MAC)?;
    let packet = Packet::of(&frame[Ethernet::BYTES..])?;
    if packet.protocol == protocol::ICMPV6 {
        return Ok(false);
    }
    if header.destination() == GATEWAY_MAC {
        check_outbound(case, &packet)?;
    } else {
        check_inbound(case, header.destination(), &packet, flows)?;
    }
    Ok(true)
}

/// From a real server, through the director, to a client.
fn check_outbound(case: &Case, packet: &Packet<'_>) -> Result<(), String> {
    if case.load.traffic != Traffic::BothWays {
        return Err("nothing should go to the gateway".into());
    }
    let (source, client) = packet.ends(case)?;
    expect("source", source, SocketAddr::new(network::vip(case.load.family), VIP_PORT))?;
    expect_client(case, client)?;
    // The load device answers with the hop limit that it got.
    expect("hop limit", packet.ttl, TTL - 2)
}

/// From a client, through the director, to a real server.
fn check_inbound(case: &Case, mac: Mac, packet: &Packet<'_>, flows: &mut Flows) -> Result<(), String> {
    let family = case.load.family;
    let server = (0..SERVERS).find(|&number| network::server_mac(number) == mac);
    let server = server.ok_or("destination MAC is no real server's")?;
    let server_address = SocketAddr::new(network::server(family, server), network::server_port(case.method));
    let vip = SocketAddr::new(network::vip(family), VIP_PORT);
    let inner;
    let packet = match case.method {
        Method::Tun => {
            expect("outer source", packet.source, network::director(family))?;
            expect("outer destination", packet.destination, server_address.ip())?;
            inner = packet.inner()?;
            &inner
        }
        _ => packet,
    };
    let (source, destination) = packet.ends(case)?;
    expect("hop limit", packet.ttl, TTL - 1)?;
    let right = if matches!(case.method, Method::Nat | Method::FullNat) { server_address } else { vip };
    expect("destination", destination, right)?;
    if case.method != Method::FullNat {
        expect_client(case, source)?;
        return expect("real server of this flow", server, *flows.servers.entry(source).or_insert(server));
    }
    // The client is in no packet: what can be seen is that local endpoints are the director's, and as many as there are flows.
    flows.servers.insert(source, server);
    flows.locals.insert((source, server));
    if !network::is_local(source.ip()) || source.port() < 1024 {
        return Err(format!("source {source} is no local endpoint"));
    }
    let made = flows.locals.len() as u64;
    let possible = match case.load.traffic {
        Traffic::New => u64::MAX,
        _ => case.flows().into(),
    };
    if made > possible { Err(format!("{made} local endpoints for {possible} flows")) } else { Ok(()) }
}

impl<'a> Packet<'a> {
    /// A packet whose lengths and IPv4 checksum are right.
    fn of(l3: &'a [u8]) -> Result<Packet<'a>, String> {
        if l3.first().is_some_and(|first| first >> 4 == 6) {
            let ip = Ipv6::of(l3).ok_or("cut off")?;
            let upper = ipv6::upper_layer(l3).ok_or("cut off")?;
            expect("IPv6 length", ip.total_bytes(), l3.len())?;
            return Ok(Packet {
                source: ip.source().into(),
                destination: ip.destination().into(),
                ttl: ip.hop_limit(),
                protocol: upper.protocol,
                l3,
                l4: upper.offset,
            });
        }
        let ip = Ipv4::of(l3).ok_or("cut off")?;
        expect("IPv4 length", ip.total_bytes(), l3.len())?;
        if !ipv4::checksum_is_right(l3) {
            return Err("IPv4 checksum".into());
        }
        Ok(Packet {
            source: ip.source().into(),
            destination: ip.destination().into(),
            ttl: ip.ttl(),
            protocol: ip.protocol(),
            l3,
            l4: ip.header_bytes(),
        })
    }

    /// The packet in a tunnel's.
    fn inner(&self) -> Result<Packet<'a>, String> {
        match self.protocol {
            protocol::IPIP | protocol::IPV6 => Packet::of(&self.l3[self.l4..]),
            other => Err(format!("protocol {other} is no tunnel's")),
        }
    }

    /// Source and destination of a segment of the case's protocol whose checksum is right.
    fn ends(&self, case: &Case) -> Result<(SocketAddr, SocketAddr), String> {
        let segment = &self.l3[self.l4..];
        let ports = match self.protocol {
            protocol::TCP => Tcp::of(segment).map(|tcp| (tcp.source_port(), tcp.destination_port())),
            protocol::UDP => Udp::of(segment).map(|udp| (udp.source_port(), udp.destination_port())),
            _ => None,
        };
        let (source, destination) = ports.ok_or("neither TCP nor UDP, or cut off")?;
        let right = if case.load.protocol_name() == "tcp" { protocol::TCP } else { protocol::UDP };
        expect("protocol", self.protocol, right)?;
        if !checksum::transport_is_right(self.l3, self.l4, self.protocol) {
            return Err("TCP or UDP checksum".into());
        }
        Ok((SocketAddr::new(self.source, source), SocketAddr::new(self.destination, destination)))
    }
}

fn expect_client(case: &Case, client: SocketAddr) -> Result<(), String> {
    let known = network::is_client(case, client);
    if known { Ok(()) } else { Err(format!("{client} is no client")) }
}

fn expect<T: PartialEq + std::fmt::Display>(what: &str, found: T, right: T) -> Result<(), String> {
    if found == right { Ok(()) } else { Err(format!("{what} {found}, must be {right}")) }
}

#[cfg(test)]
mod tests {
    use super::super::case::{Load, METHODS};
    use super::*;
    use crate::demo::plan::{FAMILIES, Family, Protocol};
    use crate::wire::build::Frame;

    fn case(method: Method, family: Family) -> Case {
        let traffic = Traffic::Established { flows: 1000 };
        Case { load: Load { family, protocol: Protocol::Udp, traffic }, method, workers: 1 }
    }

    /// A frame from client 0 to real server 3 as the method should send it.
    fn right(case: &Case) -> Vec<u8> {
        let family = case.load.family;
        let client: IpAddr = match family {
            Family::V4 => [10, 0, 0, 1].into(),
            Family::V6 => "2001:db8:c::a00:1".parse().unwrap(),
        };
        let local: IpAddr = match family {
            Family::V4 => [192, 168, 2, 201].into(),
            Family::V6 => "2001:db8:2::201".parse().unwrap(),
        };
        let source = if case.method == Method::FullNat { local } else { client };
        let translated = matches!(case.method, Method::Nat | Method::FullNat);
        let destination = if translated { network::server(family, 3) } else { network::vip(family) };
        let frame = Frame::new(source, destination).macs(PORT_MAC, network::server_mac(3)).ttl(TTL - 1);
        frame.udp(1024, network::server_port(case.method), b"123456")
    }

    fn pcap(frames: &[Vec<u8>]) -> Vec<u8> {
        let mut file = vec![0; PCAP_HEADER_BYTES];
        for frame in frames {
            let bytes = (frame.len() as u32).to_le_bytes();
            file.extend([[0; 4], [0; 4], bytes, bytes].concat());
            file.extend(frame);
        }
        file
    }

    #[test]
    fn what_is_right_passes_and_any_changed_byte_of_a_header_does_not() {
        for family in FAMILIES {
            for method in METHODS.into_iter().filter(|method| *method != Method::Tun) {
                let case = case(method, family);
                let frame = right(&case);
                let found = check(&case, &[pcap(std::slice::from_ref(&frame))]);
                assert_eq!((found.packets, found.wrong.len()), (1, 0), "{case}: {:?}", found.wrong);
                for at in 0..frame.len() {
                    let mut frame = frame.clone();
                    frame[at] ^= 0x10;
                    // Traffic class and flow label are the sender's, and under no checksum.
                    if family == Family::V6 && (14..18).contains(&at) {
                        continue;
                    }
                    let found = check(&case, &[pcap(std::slice::from_ref(&frame))]);
                    assert_eq!(found.packets, 0, "{case}: byte {at}: {}", describe(&frame));
                }
            }
        }
    }

    #[test]
    fn a_flow_stays_with_its_server() {
        let case = case(Method::Dr, Family::V4);
        let mut other = right(&case);
        other[..6].copy_from_slice(&network::server_mac(4).0);
        let found = check(&case, &[pcap(&[right(&case), other])]);
        assert_eq!(found.packets, 1);
        assert!(found.wrong[0].starts_with("real server of this flow 4, must be 3"), "{:?}", found.wrong);
    }
}
