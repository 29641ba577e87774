//! Echo: the request becomes its own reply, in place.
//!
//! ```text
//!  IPv4 | CIP > VIP | options    |   8/0 | sum | id, seq, data |  →  | VIP > CIP |   0/0 | sum' | id, seq, data |
//!  IPv6 | CIP > VIP | extensions | 128/0 | sum | id, seq, data |  →  | VIP > CIP | 129/0 | sum' | id, seq, data |
//! ```
//!
//! TTL 64; TOS and traffic class stay. A wrong checksum stays wrong, for the asker to see. IPv4 options and IPv6
//! extension headers are left out of the reply: a source route or routing header would send it on a way of the
//! asker's choice.

use crate::wire::checksum::Delta;
use crate::wire::icmp::{v4, v6};
use crate::wire::{Icmp, Ipv4, Ipv6, protocol};

/// Turns the echo request in `l3`, of which `rest_bytes` lie in further segments, into its reply and gives the reply's whole
/// length, which may be less than the request's. `id` is the reply's IPv4 identification. None, and nothing changed, if it is no echo request.
pub fn echo_reply(l3: &mut [u8], rest_bytes: usize, l4: usize, id: u16) -> Option<usize> {
    let request = Icmp::of(l3.get(l4..)?)?;
    let is_ipv4 = l3[0] >> 4 == 4;
    let (asked, answer, header_bytes) = match l3[0] >> 4 {
        4 => (v4::ECHO_REQUEST, v4::ECHO_REPLY, Ipv4::BYTES),
        6 => (v6::ECHO_REQUEST, v6::ECHO_REPLY, Ipv6::BYTES),
        _ => return None,
    };
    if request.kind() != asked || l4 < header_bytes {
        return None;
    }
    let mut delta = Delta::default();
    delta.replace_word([asked, request.code()], [answer, 0]);
    let checksum = delta.apply([l3[l4 + 2], l3[l4 + 3]]);
    l3[l4..l4 + 4].copy_from_slice(&[answer, 0, checksum[0], checksum[1]]);
    // Both addresses change places, which no sum notices.
    let addresses = if is_ipv4 { 12..20 } else { 8..40 };
    let half = addresses.len() / 2;
    l3[addresses].rotate_left(half);
    l3.copy_within(l4.., header_bytes);
    let total_bytes = l3.len() - (l4 - header_bytes) + rest_bytes;
    if is_ipv4 {
        let ip = Ipv4::of(l3)?;
        let mut reply = Ipv4::new(protocol::ICMP, *ip.source_bytes(), *ip.destination_bytes(), 0);
        reply.set_total_bytes(total_bytes);
        reply.set_tos(ip.tos());
        reply.set_id(id);
        reply.fill_checksum();
        *Ipv4::of_mut(l3)? = reply;
    } else {
        let ip = Ipv6::of(l3)?;
        let payload_bytes = total_bytes - Ipv6::BYTES;
        let mut reply = Ipv6::new(protocol::ICMPV6, *ip.source_bytes(), *ip.destination_bytes(), payload_bytes);
        reply.set_traffic_class(ip.traffic_class());
        *Ipv6::of_mut(l3)? = reply;
    }
    Some(total_bytes)
}
