//! The Internet checksum: computed whole (RFC 1071) for packets that the director makes, carried along (RFC 1624) for
//! packets that it changes. Carrying along costs the same for every packet length, and a checksum that was wrong
//! stays wrong: the end that the packet is for judges it, not a director in between.
//!
//! The sums are of words as the CPU loads them, without turning their bytes: RFC 1071, section 2 (B), shows that the
//! sum comes out turned like its words, so the bytes are right when it is stored again.
//!
//! ```text
//!  RFC 1624, equation 3:  HC' = ~(~HC + ~m + m')      a Delta collects ~m + m' of every word that changes,
//!                                                     and is added to as many checksums as cover them
//! ```

use super::{Icmp, Ipv4, Ipv6, Tcp, Udp, protocol};

/// One's complement sum of bytes, collected from several slices.
#[derive(Clone, Copy, Default, Debug)]
pub struct Sum(u64);

impl Sum {
    /// Adds bytes. All slices but the last have an even length; an odd last one is padded with a zero byte.
    #[inline]
    pub fn add(&mut self, bytes: &[u8]) {
        let (eights, rest) = bytes.as_chunks::<8>();
        let mut sum = 0;
        for eight in eights {
            let word = u64::from_ne_bytes(*eight);
            // Halves cannot overflow 64 bits before 16 GB, so the loop has no carry and the compiler makes vectors of
            // it.
            sum += (word & 0xffff_ffff) + (word >> 32);
        }
        let (twos, last) = rest.as_chunks::<2>();
        for two in twos {
            sum += u64::from(u16::from_ne_bytes(*two));
        }
        if let [last] = last {
            sum += u64::from(u16::from_ne_bytes([*last, 0]));
        }
        self.0 += sum;
    }

    /// Adds a word that is a number here.
    #[inline]
    pub fn add_word(&mut self, word: u16) {
        self.0 += u64::from(word.to_be());
    }

    /// The checksum of what was added, in host order.
    #[inline]
    pub fn checksum(self) -> u16 {
        u16::from_be(!fold(self.0))
    }
}

/// The end-around carries of a sum of 16-bit or 32-bit words.
#[inline]
fn fold(sum: u64) -> u16 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    sum as u16
}

/// The checksum of `bytes`, in host order. 0 if they hold their own right checksum.
#[inline]
pub fn of(bytes: &[u8]) -> u16 {
    let mut sum = Sum::default();
    sum.add(bytes);
    sum.checksum()
}

/// The change of a sum: what is added to every checksum that covers the words that were replaced. Words keep their
/// place.
#[derive(Clone, Copy, Default, Debug)]
pub struct Delta(u64);

impl Delta {
    /// A 16-bit word was replaced.
    #[inline]
    pub fn replace_word(&mut self, old: [u8; 2], new: [u8; 2]) {
        self.0 += u64::from(!u16::from_ne_bytes(old)) + u64::from(u16::from_ne_bytes(new));
    }

    /// Two words were replaced, such as an IPv4 address or a sequence number.
    #[inline]
    pub fn replace_two_words(&mut self, old: [u8; 4], new: [u8; 4]) {
        self.0 += u64::from(!u32::from_ne_bytes(old)) + u64::from(u32::from_ne_bytes(new));
    }

    /// An address of `N` bytes, 4 or 16, was replaced.
    #[inline]
    pub fn replace_address<const N: usize>(&mut self, old: &[u8; N], new: &[u8; N]) {
        const { assert!(N.is_multiple_of(4)) }
        for (old, new) in old.as_chunks::<4>().0.iter().zip(new.as_chunks::<4>().0) {
            self.replace_two_words(*old, *new);
        }
    }

    /// Both changes.
    #[inline]
    pub fn and(self, other: Delta) -> Delta {
        Delta(self.0 + other.0)
    }

    /// The checksum after the change. The bytes are the ones in the packet.
    #[inline]
    pub fn apply(self, checksum: [u8; 2]) -> [u8; 2] {
        (!fold(u64::from(!u16::from_ne_bytes(checksum)) + self.0)).to_ne_bytes()
    }

    /// The UDP checksum after the change. RFC 768: 0 says that there is none, and a sum that comes out as 0 is sent
    /// as all ones.
    #[inline]
    pub fn apply_udp(self, checksum: [u8; 2]) -> [u8; 2] {
        match checksum {
            [0, 0] => checksum,
            _ => match self.apply(checksum) {
                [0, 0] => [0xff, 0xff],
                changed => changed,
            },
        }
    }
}

/// Computes the CRC32c of an SCTP packet (RFC 9260, section 6.8 and appendix A): little endian, unlike all else.
#[cold]
pub fn fill_sctp(segment: &mut [u8]) {
    if let Some(field) = segment.get_mut(SCTP_CRC) {
        field.fill(0);
        let crc = sctp(std::iter::once(&*segment));
        segment[SCTP_CRC].copy_from_slice(&crc);
    }
}

/// Where an SCTP packet has its CRC.
pub const SCTP_CRC: std::ops::Range<usize> = 8..12;

/// The CRC of an SCTP packet in pieces, in whose place there are zeros.
#[cold]
pub fn sctp<'a>(packet: impl Iterator<Item = &'a [u8]>) -> [u8; 4] {
    packet.fold(0, crc32c::crc32c_append).to_le_bytes()
}

/// Where a protocol's checksum lies in its header. SCTP has a CRC instead, which cannot be carried along like a sum.
#[inline]
pub fn transport_checksum_at(protocol: u8) -> Option<usize> {
    match protocol {
        protocol::TCP => Some(Tcp::CHECKSUM_AT),
        protocol::UDP => Some(Udp::CHECKSUM_AT),
        protocol::ICMP | protocol::ICMPV6 => Some(Icmp::CHECKSUM_AT),
        _ => None,
    }
}

/// Sum of the packet's transport part from `l4` to its end, with the pseudo header that its family and protocol ask
/// for.
fn transport_sum(l3: &[u8], l4: usize, protocol: u8) -> Option<Sum> {
    let mut segment = l3.get(l4..)?;
    if protocol == protocol::UDP {
        // RFC 768: the datagram ends where its own length says; behind it the IP packet may have bytes that are
        // nobody's.
        let datagram_bytes = Udp::of(segment)?.total_bytes();
        segment = segment.get(..datagram_bytes.max(Udp::BYTES)).unwrap_or(segment);
    }
    let mut sum = Sum::default();
    let length = segment.len() as u32;
    match l3[0] >> 4 {
        // RFC 792: the ICMP checksum covers nothing of IPv4.
        4 if protocol == protocol::ICMP => {}
        // RFC 9293, section 3.1 and RFC 768: both addresses, protocol, length.
        4 => sum.add(l3.get(12..Ipv4::BYTES)?),
        // RFC 8200, section 8.1.
        6 => sum.add(l3.get(8..Ipv6::BYTES)?),
        _ => return None,
    }
    if protocol != protocol::ICMP {
        sum.add_word((length >> 16) as u16);
        sum.add_word(length as u16);
        sum.add_word(protocol.into());
    }
    sum.add(segment);
    Some(sum)
}

/// The checksum of a UDP datagram of that many bytes that lies in several pieces, its own checksum field 0 and all pieces but
/// the last of even length. `l3` begins with its IP header.
pub fn udp<'a>(l3: &[u8], bytes: u32, datagram: impl Iterator<Item = &'a [u8]>) -> u16 {
    match sum_of_pieces(l3, protocol::UDP, bytes, datagram).checksum() {
        0 => 0xffff,
        checksum => checksum,
    }
}

/// Whether the checksum of a TCP segment of that many bytes is right that lies in several such pieces.
pub fn tcp_is_right<'a>(l3: &[u8], bytes: u32, segment: impl Iterator<Item = &'a [u8]>) -> bool {
    sum_of_pieces(l3, protocol::TCP, bytes, segment).checksum() == 0
}

fn sum_of_pieces<'a>(l3: &[u8], protocol: u8, bytes: u32, pieces: impl Iterator<Item = &'a [u8]>) -> Sum {
    let mut sum = Sum::default();
    let addresses = if l3.first().is_some_and(|first| first >> 4 == 6) { 8..Ipv6::BYTES } else { 12..Ipv4::BYTES };
    sum.add(l3.get(addresses).unwrap_or_default());
    sum.add_word((bytes >> 16) as u16);
    sum.add_word(bytes as u16);
    sum.add_word(protocol.into());
    pieces.for_each(|piece| sum.add(piece));
    sum
}

/// Whether the packet's TCP, UDP, ICMP or ICMPv6 checksum is right. `l3` ends where the packet ends. A UDP checksum
/// of 0 is right in IPv4, and wrong in IPv6 (RFC 8200, section 8.1), where nothing else protects the addresses.
pub fn transport_is_right(l3: &[u8], l4: usize, protocol: u8) -> bool {
    let Some(at) = transport_checksum_at(protocol).map(|at| l4.saturating_add(at)) else { return true };
    match l3.get(at..at.saturating_add(2)) {
        None => false,
        Some([0, 0]) if protocol == protocol::UDP => l3[0] >> 4 == 4,
        Some(_) => transport_sum(l3, l4, protocol).is_some_and(|sum| sum.checksum() == 0),
    }
}

/// Computes the packet's TCP, UDP, ICMP or ICMPv6 checksum. `l3` ends where the packet ends.
pub fn fill_transport(l3: &mut [u8], l4: usize, protocol: u8) {
    let Some(at) = transport_checksum_at(protocol).map(|at| l4.saturating_add(at)) else { return };
    let Some(field) = l3.get_mut(at..at.saturating_add(2)) else { return };
    field.fill(0);
    let Some(sum) = transport_sum(l3, l4, protocol) else { return };
    let checksum = match sum.checksum() {
        0 if protocol == protocol::UDP => 0xffff,
        checksum => checksum,
    };
    l3[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As RFC 1071 says it, word for word.
    fn plain(bytes: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    #[test]
    fn examples_of_the_documents() {
        // RFC 1071, section 3.
        assert_eq!(of(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
        // RFC 1624, section 4: the example that RFC 1141 gets wrong.
        let mut delta = Delta::default();
        delta.replace_word([0x55, 0x55], [0x32, 0x85]);
        assert_eq!(delta.apply([0xdd, 0x2f]), [0x00, 0x00]);
        assert_eq!(delta.apply_udp([0xdd, 0x2f]), [0xff, 0xff]);
        assert_eq!(delta.apply_udp([0, 0]), [0, 0]);
    }

    proptest! {
        #[test]
        fn sum_is_that_of_rfc_1071(
            head in prop::collection::vec(any::<[u8; 2]>(), 0..40),
            tail in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let head = head.concat();
            let mut sum = Sum::default();
            sum.add(&head);
            sum.add(&tail);
            prop_assert_eq!(sum.checksum(), plain(&[head, tail].concat()));
        }

        #[test]
        fn all_ones_never_overflow(length in 0..65535usize) {
            let bytes = vec![0xff; length];
            prop_assert_eq!(of(&bytes), plain(&bytes));
        }

        #[test]
        fn delta_is_full_recomputation(mut bytes: [u8; 40], address: [u8; 16], four: [u8; 4], port: [u8; 2]) {
            bytes[0] |= 1; // A sum of nothing but zeros has two checksums.
            bytes[38..].fill(0);
            let checksum = of(&bytes).to_be_bytes();
            let mut delta = Delta::default();
            delta.replace_address::<16>(bytes[2..18].try_into().unwrap(), &address);
            bytes[2..18].copy_from_slice(&address);
            delta.replace_address::<4>(bytes[20..24].try_into().unwrap(), &four);
            bytes[20..24].copy_from_slice(&four);
            let mut word = Delta::default();
            word.replace_word(bytes[30..32].try_into().unwrap(), port);
            bytes[30..32].copy_from_slice(&port);
            prop_assert_eq!(delta.and(word).apply(checksum), of(&bytes).to_be_bytes());
        }
    }

    #[test]
    fn udp_without_checksum_is_right_in_ipv4_only() {
        let mut v4 = [0; 28];
        (v4[0], v4[3], v4[9]) = (0x45, 28, protocol::UDP);
        assert!(transport_is_right(&v4, 20, protocol::UDP));
        let mut v6 = [0; 48];
        (v6[0], v6[5], v6[6]) = (0x60, 8, protocol::UDP);
        assert!(!transport_is_right(&v6, 40, protocol::UDP));
        fill_transport(&mut v6, 40, protocol::UDP);
        assert!(transport_is_right(&v6, 40, protocol::UDP));
    }

    #[test]
    fn a_udp_sum_of_zero_is_sent_as_all_ones() {
        let mut packet = [0; 30];
        (packet[0], packet[3], packet[9], packet[25]) = (0x45, 30, protocol::UDP, 10);
        // Protocol 17, and length 10 twice, are all that is not 0; the payload complements the sum to all ones.
        packet[28..].copy_from_slice(&(0xffff - 37u16).to_be_bytes());
        fill_transport(&mut packet, 20, protocol::UDP);
        assert_eq!(packet[26..28], [0xff, 0xff]);
        assert!(transport_is_right(&packet, 20, protocol::UDP));
    }

    #[test]
    fn short_packets_are_wrong_and_left_alone() {
        for (bytes, l4) in [(&[][..], 0), (&[0x45; 21], 20), (&[0x60; 30], 40), (&[0x45; 40], usize::MAX)] {
            assert!(!transport_is_right(bytes, l4, protocol::TCP));
            fill_transport(&mut bytes.to_vec(), l4, protocol::TCP);
        }
    }
}
