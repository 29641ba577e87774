//! Local endpoints of FullNAT. Which one a conn speaks from is the director's choice: another run, or another number of workers,
//! makes another. So the endpoints of a recording stand for those of the replay: one for one, known from the first packet of
//! each conn that reaches its real server; what real servers send is put to the replay's endpoint, and what they get is compared
//! as if it came from the recording's.
//!
//! Checksums are carried along by the difference (RFC 1624), so a wrong one stays wrong. The transport checksum in a packet that an
//! ICMP error quotes stays as it is where the director translated the error, for it leaves that checksum, too; in an error of the
//! director's own it is that of the packet that came.

use ipnet::IpNet;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use uvs::wire::{Ethernet, Ipv4, Ipv6, checksum, icmp, ipv6, protocol};

/// Where an IPv4 header and an ICMP message have their checksums.
const HEADER_CHECKSUM_AT: usize = 10;
const ICMP_CHECKSUM_AT: usize = 2;
const ICMP_BYTES: usize = 8;

/// A flow between the director and a real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    pub protocol: u8,
    pub local: SocketAddr,
    pub server: SocketAddr,
}

/// Each local endpoint's other name.
pub type Names = HashMap<Flow, SocketAddr>;

/// A recording's local endpoints and the replay's.
#[derive(Default)]
pub struct Locals {
    pool: Vec<IpNet>,
    own: Names,
    recorded: Names,
}

impl Locals {
    /// Of a recording with these prefixes. None: there is nothing to exchange.
    pub fn of(pool: Vec<IpNet>) -> Locals {
        Locals { pool, ..Locals::default() }
    }

    /// The recording's flow is from here on the replay's with the local endpoint `own`.
    pub fn bind(&mut self, recorded: Flow, own: SocketAddr) {
        self.own.insert(recorded, own);
        self.recorded.insert(Flow { local: own, ..recorded }, recorded.local);
    }

    /// Puts a real server's packet to the replay's endpoint.
    pub fn rename_to_own(&self, frame: &mut [u8]) {
        rename(frame, &self.own, false);
    }

    /// Is this flow of the recording known?
    pub fn knows(&self, recorded: &Flow) -> bool {
        self.own.contains_key(recorded)
    }

    /// A packet that reached a real server, as if the recording's director had sent it. `expect` is what that one sent: if
    /// neither has sent anything from its local endpoint before, these two are one. `answers`: it is the director's own.
    pub fn as_if_recorded(&mut self, expect: &[u8], found: &[u8], answers: bool) -> Vec<u8> {
        if let (Some(recorded), Some(own)) = (self.sent(expect), self.sent(found))
            && (recorded.protocol, recorded.server) == (own.protocol, own.server)
            && !self.own.contains_key(&recorded)
            && !self.recorded.contains_key(&own)
        {
            self.bind(recorded, own.local);
        }
        let mut frame = found.to_vec();
        rename(&mut frame, &self.recorded, answers);
        frame
    }

    /// The flow of a packet from a local endpoint, or of the packet to one that an ICMP error is about.
    pub fn sent(&self, frame: &[u8]) -> Option<Flow> {
        let outer = Packet::of(frame, Ethernet::BYTES)?;
        let quoted = outer.quoted(frame);
        let packet = quoted.unwrap_or(outer);
        let [one, other] = End::BOTH.map(|end| packet.end(frame, end));
        let (local, server) = if quoted.is_some() { (other, one) } else { (one, other) };
        let of_pool = self.pool.iter().any(|prefix| prefix.contains(&local.ip()));
        (packet.has_ports && of_pool).then_some(Flow { protocol: packet.protocol, local, server })
    }
}

/// The flow of a packet from a real server, or of the packet to one that an ICMP error is about.
pub fn received(frame: &[u8]) -> Option<Flow> {
    let outer = Packet::of(frame, Ethernet::BYTES)?;
    let quoted = outer.quoted(frame);
    let packet = quoted.unwrap_or(outer);
    let [one, other] = End::BOTH.map(|end| packet.end(frame, end));
    let (server, local) = if quoted.is_some() { (other, one) } else { (one, other) };
    packet.has_ports.then_some(Flow { protocol: packet.protocol, local, server })
}

/// Where a packet with ports is from.
pub fn source(frame: &[u8]) -> Option<SocketAddr> {
    let packet = Packet::of(frame, Ethernet::BYTES)?;
    packet.has_ports.then(|| packet.end(frame, End::Source))
}

#[derive(Clone, Copy)]
enum End {
    Source,
    Destination,
}

impl End {
    const BOTH: [End; 2] = [End::Source, End::Destination];
}

/// Where a packet in a frame has what.
#[derive(Clone, Copy)]
struct Packet {
    v6: bool,
    l3: usize,
    l4: usize,
    protocol: u8,
    /// Both ports are at `l4`: it is no later fragment.
    has_ports: bool,
    whole: bool,
}

impl Packet {
    fn of(frame: &[u8], l3: usize) -> Option<Packet> {
        let packet = frame.get(l3..)?;
        let v6 = packet.first()? >> 4 == 6;
        let (l4, protocol, offset_bytes, whole) = match v6 {
            true => {
                let upper = ipv6::upper_layer(packet)?;
                let offset_bytes = upper.fragment.map_or(0, |part| part.offset_bytes);
                (upper.offset, upper.protocol, offset_bytes, upper.fragment.is_none())
            }
            false => {
                let ip = Ipv4::of(packet)?;
                (ip.header_bytes(), ip.protocol(), ip.fragment_offset_bytes(), !ip.is_fragment())
            }
        };
        let ported = [protocol::TCP, protocol::UDP, protocol::SCTP].contains(&protocol);
        let has_ports = ported && offset_bytes == 0 && packet.len() >= l4 + 4;
        Some(Packet { v6, l3, l4: l3 + l4, protocol, has_ports, whole })
    }

    /// The packet that this one, an ICMP error, is about.
    fn quoted(&self, frame: &[u8]) -> Option<Packet> {
        let kind = *frame.get(self.l4)?;
        let error = match self.protocol {
            protocol::ICMP => icmp::is_error_v4(kind),
            protocol::ICMPV6 => icmp::is_error_v6(kind),
            _ => false,
        };
        Packet::of(frame, self.l4 + ICMP_BYTES).filter(|_| error)
    }

    fn address_at(&self, end: End) -> Range<usize> {
        let (first, bytes) = if self.v6 { (self.l3 + 8, 16) } else { (self.l3 + 12, 4) };
        let at = first + bytes * end as usize;
        at..at + bytes
    }

    fn address(&self, frame: &[u8], end: End) -> IpAddr {
        let l3 = &frame[self.l3..];
        let both: Option<[IpAddr; 2]> = match self.v6 {
            true => Ipv6::of(l3).map(|ip| [ip.source().into(), ip.destination().into()]),
            false => Ipv4::of(l3).map(|ip| [ip.source().into(), ip.destination().into()]),
        };
        both.expect("the header was looked at")[end as usize]
    }

    /// Address and port; port 0 where there is none.
    fn end(&self, frame: &[u8], end: End) -> SocketAddr {
        let at = self.l4 + 2 * end as usize;
        let port = if self.has_ports { u16::from_be_bytes([frame[at], frame[at + 1]]) } else { 0 };
        SocketAddr::new(self.address(frame, end), port)
    }

    fn port_bytes(&self, frame: &[u8], end: End) -> Vec<u8> {
        self.end(frame, end).port().to_be_bytes().to_vec()
    }

    /// The other name of an end. A later fragment has no port: any conn between its two addresses tells.
    fn name(&self, frame: &[u8], end: End, names: &Names) -> Option<SocketAddr> {
        let (local, other) = match end {
            End::Source => (End::Source, End::Destination),
            End::Destination => (End::Destination, End::Source),
        };
        let flow = Flow { protocol: self.protocol, local: self.end(frame, local), server: self.end(frame, other) };
        let between = |(known, _): &(&Flow, &SocketAddr)| {
            (known.protocol, known.local.ip(), known.server.ip()) == (flow.protocol, flow.local.ip(), flow.server.ip())
        };
        match self.has_ports {
            true => names.get(&flow).copied(),
            false => names.iter().find(between).map(|(_, name)| *name),
        }
    }

    /// The checksums that cover the addresses, or the ports.
    fn transport_checksum(&self, frame: &[u8]) -> Option<usize> {
        let at = match self.protocol {
            protocol::TCP | protocol::UDP if self.has_ports => checksum::transport_checksum_at(self.protocol)?,
            protocol::ICMPV6 => ICMP_CHECKSUM_AT,
            _ => return None,
        };
        let at = self.l4 + at;
        let absent = self.protocol == protocol::UDP && frame.get(at..at + 2)? == [0, 0];
        (!absent && frame.len() >= at + 2).then_some(at)
    }
}

/// Gives the ends that have another name that one, in the packet and in one that it quotes.
fn rename(frame: &mut [u8], names: &Names, quoted_as_came: bool) {
    let Some(outer) = Packet::of(frame, Ethernet::BYTES) else { return };
    let sums_sctp = outer.protocol == protocol::SCTP
        && outer.whole
        && checksum::sctp([&crc_cleared(&frame[outer.l4..])[..]].into_iter())[..]
            == frame[outer.l4..][checksum::SCTP_CRC];
    for end in End::BOTH {
        match outer.quoted(frame) {
            Some(quoted) => rename_quoted(frame, outer, quoted, (end, names, quoted_as_came)),
            None => {
                let Some(name) = outer.name(frame, end, names) else { continue };
                let covered = outer.transport_checksum(frame);
                set_address(frame, outer, end, name.ip(), covered);
                if outer.has_ports {
                    set(frame, outer.l4 + 2 * end as usize, &name.port().to_be_bytes(), covered);
                }
            }
        }
    }
    if sums_sctp {
        checksum::fill_sctp(&mut frame[outer.l4..]);
    }
}

fn rename_quoted(frame: &mut [u8], outer: Packet, quoted: Packet, (end, names, as_came): (End, &Names, bool)) {
    let Some(name) = quoted.name(frame, end, names) else { return };
    let before = quoted.address(frame, end);
    let icmp = Some(outer.l4 + ICMP_CHECKSUM_AT);
    if let Some(sum_at) = quoted.transport_checksum(frame).filter(|_| as_came) {
        let mut sum = frame[sum_at..sum_at + 2].to_vec();
        for (old, new) in [
            (bytes_of(before), bytes_of(name.ip())),
            (quoted.port_bytes(frame, end), name.port().to_be_bytes().to_vec()),
        ] {
            sum = carried(&sum, &old, &new).to_vec();
        }
        set(frame, sum_at, &sum, icmp);
    }
    set_address(frame, quoted, end, name.ip(), icmp);
    if quoted.has_ports {
        set(frame, quoted.l4 + 2 * end as usize, &name.port().to_be_bytes(), icmp);
    }
    // The error itself goes to that address, or comes from there.
    for own in End::BOTH {
        if outer.address(frame, own) == before {
            set_address(frame, outer, own, name.ip(), icmp.filter(|_| outer.v6));
        }
    }
}

/// Another address in a header, whose own checksum `covered` covers, too, if the header is a quoted one.
fn set_address(frame: &mut [u8], packet: Packet, end: End, address: IpAddr, covered: Option<usize>) {
    let at = packet.address_at(end);
    let new = bytes_of(address);
    if !packet.v6 {
        let sum_at = packet.l3 + HEADER_CHECKSUM_AT;
        let sum = carried(&frame[sum_at..sum_at + 2], &frame[at.clone()], &new);
        let of_quoted = covered.filter(|_| packet.l3 > Ethernet::BYTES);
        set(frame, sum_at, &sum, of_quoted);
    }
    set(frame, at.start, &new, covered);
}

fn bytes_of(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// Other bytes, and what that changes in a checksum that covers them.
fn set(frame: &mut [u8], at: usize, new: &[u8], covered: Option<usize>) {
    let old = frame[at..at + new.len()].to_vec();
    frame[at..at + new.len()].copy_from_slice(new);
    if let Some(sum_at) = covered {
        let sum = carried(&frame[sum_at..sum_at + 2], &old, new);
        frame[sum_at..sum_at + 2].copy_from_slice(&sum);
    }
}

/// RFC 1624, equation 3.
fn carried(sum: &[u8], old: &[u8], new: &[u8]) -> [u8; 2] {
    let words = |bytes: &[u8], mask: u16| -> u32 {
        bytes.chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]) ^ mask)).sum()
    };
    let mut total = words(sum, !0) + words(old, !0) + words(new, 0);
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    (!(total as u16)).to_be_bytes()
}

fn crc_cleared(segment: &[u8]) -> Vec<u8> {
    let mut segment = segment.to_vec();
    segment[checksum::SCTP_CRC].fill(0);
    segment
}
