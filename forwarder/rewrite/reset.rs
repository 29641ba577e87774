//! The RST that answers a TCP segment nobody serves, as a host would (RFC 9293, section 3.10.7.1).
//!
//! ```text
//!  with ACK    | seq s | ack a | ACK … |        →   | seq a | ack 0       | RST      |
//!  without     | seq s | …     | SYN … | data   →   | seq 0 | ack s + len | RST, ACK |   len: data, SYN and FIN 1 each
//!  RST         nothing: two hosts would answer each other for ever
//!  wrong sum   nothing: it may be for somebody else
//! ```
//!
//! Addresses and ports change places, window 0, TTL 64, the segment's TOS or traffic class without ECN. IPv4: don't fragment
//! with id 0. IPv6: flow label 0.

use zerocopy::IntoBytes;

use super::room;
use crate::wire::{Tcp, checksum, protocol, tcp};

/// Explicit congestion notification, in TOS and traffic class (RFC 3168).
const ECN: u8 = 0b11;
/// Bytes of the longest RST, to be had in `room`.
pub const RESET_BYTES_MAX: usize = 60;

/// Writes the RST that answers the segment in `l3` and gives its length. None if it must not be answered.
pub fn reset(room: &mut [u8], l3: &[u8], l4: usize) -> Option<usize> {
    let segment_bytes = l3.get(l4..)?.len();
    checksum::transport_is_right(l3, l4, protocol::TCP).then(|| answer(room, l3, l4, segment_bytes)).flatten()
}

/// The same for a segment of so many bytes that lies in several pieces; `l3` holds its headers.
pub fn reset_of_pieces<'a>(
    room: &mut [u8],
    l3: &[u8],
    l4: usize,
    segment_bytes: usize,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> Option<usize> {
    checksum::tcp_is_right(l3, segment_bytes as u32, pieces).then(|| answer(room, l3, l4, segment_bytes)).flatten()
}

fn answer(room: &mut [u8], l3: &[u8], l4: usize, segment_bytes: usize) -> Option<usize> {
    let tcp = Tcp::of(l3.get(l4..)?)?;
    let (source, destination) = room::addresses(l3)?;
    let data_bytes = segment_bytes.checked_sub(tcp.header_bytes())?;
    if tcp.flags() & tcp::RST != 0 || !room::are_answerable(source, destination) {
        return None;
    }
    let (sequence, acknowledgement, flags) = if tcp.flags() & tcp::ACK != 0 {
        (tcp.acknowledgement(), 0, tcp::RST)
    } else {
        let marks = u32::from(tcp.flags() & tcp::SYN != 0) + u32::from(tcp.flags() & tcp::FIN != 0);
        (0, tcp.sequence().wrapping_add(data_bytes as u32).wrapping_add(marks), tcp::RST | tcp::ACK)
    };
    let answer = Tcp::new(tcp.destination_port(), tcp.source_port(), sequence, acknowledgement, flags);
    let tos = (if source.len() == 4 { l3[1] } else { l3[0] << 4 | l3[1] >> 4 }) & !ECN;
    let header = room::Header { protocol: protocol::TCP, tos, dont_fragment: true, id: 0 };
    room::write(room, header, destination, source, [answer.as_bytes(), &[]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::build::Frame;
    use crate::wire::describe::describe_packet;

    /// Sequence 5 and acknowledgement 9 in, RST out, as the kernel answers (recorded in tcp_odd and no_service).
    #[test]
    fn resets_are_the_kernels() {
        let client = Frame::between("10.1.2.3", "10.99.0.1");
        let six = Frame::between("fd10::1", "fd99::1");
        let vip = Frame::between("10.99.0.1", "10.1.2.3").id(0).window(0);
        let vip6 = Frame::between("fd99::1", "fd10::1").window(0);
        for (name, flags, data, expect) in [
            ("SYN", tcp::SYN, &b""[..], Some((0, 6, tcp::RST | tcp::ACK))),
            ("SYN with data", tcp::SYN, b"abc", Some((0, 9, tcp::RST | tcp::ACK))),
            ("FIN with data", tcp::FIN, b"abc", Some((0, 9, tcp::RST | tcp::ACK))),
            ("no flags", 0, b"", Some((0, 5, tcp::RST | tcp::ACK))),
            ("ACK", tcp::ACK, b"abc", Some((9, 0, tcp::RST))),
            ("SYN+ACK", tcp::SYN | tcp::ACK, b"", Some((9, 0, tcp::RST))),
            ("RST", tcp::RST, b"", None),
            ("RST+ACK", tcp::RST | tcp::ACK, b"", None),
        ] {
            for (l4, from, to) in [(20, &client, &vip), (40, &six, &vip6)] {
                let segment = from.clone().tcp_options(&[1, 1, 1, 0]).tcp((20001, 80), (5, 9), flags, data);
                let mut room = [0xaa; RESET_BYTES_MAX];
                let found = reset(&mut room, &segment[14..], l4).map(|length| describe_packet(&room[..length]));
                let expect = expect.map(|(sequence, acknowledgement, flags)| {
                    describe_packet(&to.tcp((80, 20001), (sequence, acknowledgement), flags, &[])[14..])
                });
                assert_eq!(found, expect, "{name}");
            }
        }
    }

    #[test]
    fn what_must_not_be_answered_is_not() {
        let mut room = [0; RESET_BYTES_MAX];
        let mut wrong = Frame::between("10.1.2.3", "10.99.0.1").tcp((1, 2), (3, 4), tcp::SYN, &[]);
        wrong[50] ^= 1;
        assert_eq!(reset(&mut room, &wrong[14..], 20), None, "wrong checksum");
        for (source, destination, l4) in
            [("224.0.0.1", "10.99.0.1", 20), ("::", "fd99::1", 40), ("fd10::1", "ff02::1", 40)]
        {
            let segment = Frame::between(source, destination).tcp((1, 2), (3, 4), tcp::SYN, &[]);
            assert_eq!(reset(&mut room, &segment[14..], l4), None, "{source} > {destination}");
        }
    }

    #[test]
    fn the_sequence_number_wraps() {
        let mut room = [0; RESET_BYTES_MAX];
        let segment = Frame::between("10.1.2.3", "10.99.0.1").tcp((1, 2), (u32::MAX, 0), tcp::SYN | tcp::FIN, b"x");
        let length = reset(&mut room, &segment[14..], 20).unwrap();
        assert_eq!(Tcp::of(&room[20..length]).unwrap().acknowledgement(), 2);
    }
}
