//! ICMP errors about a conn of NAT or FullNAT, sent by a client, a real server, or a router on either side. Whoever
//! gets one looks for the flow of the packet that it quotes, so the quoted packet's ends are translated, the other
//! way round than the conn's packets: the error travels against the packet it is about.
//!
//! ```text
//!  inbound, NAT      | router > VIP | 3/4 sum | VIP:vport > CIP:cport | quoted sum …  →
//!                    | router > RIP | 3/4 sum'| RIP:rport > CIP:cport | quoted sum …
//!  outbound, NAT     | router > CIP | 3/4 sum | CIP:cport > RIP:rport | quoted sum …  →
//!                    | VIP    > CIP | 3/4 sum'| CIP:cport > VIP:vport | quoted sum …
//!  inbound, FullNAT  | LIP    > RIP | 3/4 sum'| RIP:rport > LIP:lport | quoted sum …
//!  outbound, FullNAT | VIP    > CIP | 3/4 sum'| CIP:cport > VIP:vport | quoted sum …
//! ```
//!
//! The quoted IPv4 header checksum is carried along, for a host may look at it. The quoted TCP or UDP checksum stays
//! as it is: it often covers bytes that are not quoted, and nobody verifies it. The ICMP checksum covers all of that.

use crate::rewrite::Endpoint;
use crate::rewrite::nat::{End, carry_header, is_family, replace_address, replace_port};
use crate::wire::checksum::Delta;
use crate::wire::{Icmp, Ipv4, Ipv6, icmp, ipv6, protocol};

/// Both ports, with which every transport header begins.
const PORTS_BYTES: usize = 4;

/// Where the packet is that an ICMP error is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quoted {
    /// Where its IP header begins, from the error's own IP header.
    pub l3: usize,
    /// Where its transport header begins, from the same byte.
    pub l4: usize,
    /// Its transport protocol.
    pub protocol: u8,
    /// It is a later fragment: there are no ports at `l4`.
    pub is_later_fragment: bool,
}

/// Finds the packet that the ICMP or ICMPv6 error in `l3` is about. None if the message is no error, or quotes less
/// than an IP header of its own family and the ports. (RFC 792 wants eight bytes; the kernel makes do with four, recorded.)
pub fn quoted(l3: &[u8], l4: usize) -> Option<Quoted> {
    let message = Icmp::of(l3.get(l4..)?)?;
    let at = l4 + Icmp::BYTES;
    let packet = &l3[at..];
    let version = l3[0] >> 4;
    if packet.first()? >> 4 != version {
        return None;
    }
    let found = match version {
        4 if icmp::is_error_v4(message.kind()) && l4 >= Ipv4::BYTES => {
            let ip = Ipv4::of(packet)?;
            let is_later_fragment = ip.fragment_offset_bytes() != 0;
            (ip.header_bytes() >= Ipv4::BYTES).then_some(())?;
            Quoted { l3: at, l4: at + ip.header_bytes(), protocol: ip.protocol(), is_later_fragment }
        }
        6 if icmp::is_error_v6(message.kind()) && l4 >= Ipv6::BYTES => {
            let upper = ipv6::upper_layer(packet)?;
            let is_later_fragment = upper.fragment.is_some_and(|part| part.offset_bytes != 0);
            Quoted { l3: at, l4: at + upper.offset, protocol: upper.protocol, is_later_fragment }
        }
        _ => return None,
    };
    (l3.len() >= found.l4 + PORTS_BYTES).then_some(found)
}

/// What an error's addresses and its quoted packet's ends become; what is none stays.
#[derive(Clone, Copy, Default, Debug)]
pub struct Translation<'a> {
    /// The error's own source. Outbound it is the VIP, whichever router spoke: the client knows no other address.
    pub source: Option<&'a [u8]>,
    /// The error's own destination.
    pub destination: Option<&'a [u8]>,
    /// The quoted packet's source.
    pub quoted_source: Option<Endpoint<'a>>,
    /// The quoted packet's destination.
    pub quoted_destination: Option<Endpoint<'a>>,
}

/// Translates the ICMP or ICMPv6 error in `l3`, whose message begins at `l4`. False, and nothing changed, if it is no
/// error that quotes a packet with ports, or if an address is not of its family.
pub fn translate(l3: &mut [u8], l4: usize, translation: &Translation<'_>) -> bool {
    let Some(quoted) = quoted(l3, l4) else { return false };
    let has_ports = matches!(quoted.protocol, protocol::TCP | protocol::UDP | protocol::SCTP);
    if quoted.is_later_fragment || !has_ports {
        return false;
    }
    match l3[0] >> 4 {
        4 => translate_family::<4>(l3, l4, quoted, translation).is_some(),
        _ => translate_family::<16>(l3, l4, quoted, translation).is_some(),
    }
}

/// An end's new address and port, of the right family.
type Replacement<'a, const N: usize> = Option<(&'a [u8; N], u16)>;

fn translate_family<const N: usize>(
    l3: &mut [u8],
    l4: usize,
    quoted: Quoted,
    translation: &Translation<'_>,
) -> Option<()> {
    let ends = [
        (End::Source, address::<N>(translation.source)?, endpoint::<N>(translation.quoted_source)?),
        (End::Destination, address::<N>(translation.destination)?, endpoint::<N>(translation.quoted_destination)?),
    ];
    let (header, message) = l3.split_at_mut_checked(l4)?;
    let (quote, quoted_segment) = message.split_at_mut_checked(quoted.l4 - l4)?;
    let quoted_header = quote.get_mut(quoted.l3 - l4..)?;
    if !is_family::<N>(header) || !is_family::<N>(quoted_header) {
        return None;
    }
    let (mut outer, mut quoted_addresses, mut quoted_ports) = (Delta::default(), Delta::default(), Delta::default());
    for (end, own, inner) in ends {
        if let Some(address) = own {
            outer = outer.and(replace_address(header, end, address)?);
        }
        if let Some((address, port)) = inner {
            quoted_addresses = quoted_addresses.and(replace_address(quoted_header, end, address)?);
            quoted_ports = quoted_ports.and(replace_port(quoted_segment, end, port));
        }
    }
    carry_header::<N>(header, outer);
    let mut covered = quoted_addresses.and(quoted_ports);
    if N == 4 {
        // The quoted header checksum is itself a word that the ICMP checksum covers; ICMP has no pseudo header.
        let before = [quoted_header[10], quoted_header[11]];
        carry_header::<N>(quoted_header, quoted_addresses);
        covered.replace_word(before, [quoted_header[10], quoted_header[11]]);
    } else {
        // RFC 4443, section 2.3: ICMPv6 has one, with the error's own addresses.
        covered = covered.and(outer);
    }
    let checksum: &mut [u8] = quote.get_mut(Icmp::CHECKSUM_AT..Icmp::CHECKSUM_AT + 2)?;
    let carried = covered.apply([checksum[0], checksum[1]]);
    checksum.copy_from_slice(&carried);
    Some(())
}

/// The address with a length that the compiler knows; none if it has another one.
fn address<const N: usize>(bytes: Option<&[u8]>) -> Option<Option<&[u8; N]>> {
    bytes.map(|bytes| bytes.try_into().ok()).map_or(Some(None), |address| address.map(Some))
}

fn endpoint<const N: usize>(end: Option<Endpoint<'_>>) -> Option<Replacement<'_, N>> {
    match end {
        None => Some(None),
        Some(end) => Some(Some((end.address.try_into().ok()?, end.port))),
    }
}
