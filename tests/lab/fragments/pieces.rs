//! A packet in fragments, and the packet that fragments are of: what tests send, and how they look at what left.

use crate::kit::Left;
use crate::network::shown;
use uvs::wire::{Ipv4, Ipv6, ipv4, ipv6, protocol};

/// Of the IP header.
pub fn header_bytes(frame: &[u8]) -> usize {
    if frame[14] >> 4 == 4 { usize::from(frame[14] & 15) * 4 } else { 40 }
}

/// A frame's packet in fragments of that much payload; what is left makes the last one.
pub fn pieces(frame: &[u8], bytes: &[usize], id: u32) -> Vec<Vec<u8>> {
    let payload = &frame[14 + header_bytes(frame)..];
    let ends = (1..=bytes.len()).map(|count| bytes[..count].iter().sum()).chain([payload.len()]);
    let mut from = 0;
    let part = |to: usize| {
        let part = piece(frame, from, &payload[from..to], to < payload.len(), id);
        from = to;
        part
    };
    ends.map(part).collect()
}

/// One fragment of a frame's packet.
pub fn piece(frame: &[u8], offset: usize, part: &[u8], more: bool, id: u32) -> Vec<u8> {
    let head = &frame[..14 + header_bytes(frame)];
    if frame[14] >> 4 == 6 {
        let [high, low] = (offset as u16 | u16::from(more)).to_be_bytes();
        let header = [&[frame[20], 0, high, low], &id.to_be_bytes()[..]].concat();
        let mut made = [head, &header, part].concat();
        made[20] = protocol::FRAGMENT;
        Ipv6::of_mut(&mut made[14..]).unwrap().set_payload_bytes(8 + part.len());
        return made;
    }
    let mut made = [head, part].concat();
    let l3 = &mut made[14..];
    let ip = Ipv4::of_mut(l3).unwrap();
    ip.set_total_bytes(ip.header_bytes() + part.len());
    ip.set_id(id as u16);
    ip.set_fragment(offset, more);
    ipv4::fill_checksum(l3);
    made
}

/// The packet that these frames, in order, are the fragments of; each is right in itself.
pub fn joined(left: &[Left]) -> Vec<u8> {
    let mut whole: Vec<u8> = Vec::new();
    let mut ids = std::collections::BTreeSet::new();
    for (at, Left { frame, .. }) in left.iter().enumerate() {
        let l3 = &frame[14..];
        let (id, offset, more, payload) = if l3[0] >> 4 == 4 {
            assert!(ipv4::checksum_is_right(l3), "{:?}", shown(left));
            let ip = Ipv4::of(l3).unwrap();
            assert_eq!(ip.total_bytes(), l3.len());
            (u32::from(ip.id()), ip.fragment_offset_bytes(), ip.more_fragments(), ip.header_bytes())
        } else {
            assert_eq!(Ipv6::of(l3).unwrap().total_bytes(), l3.len());
            let upper = ipv6::upper_layer(l3).unwrap();
            match upper.fragment {
                Some(part) => (part.id, part.offset_bytes, part.more, 48),
                None => (0, 0, false, 40),
            }
        };
        ids.insert(id);
        let before = if whole.is_empty() { 0 } else { whole.len() - 14 - header_bytes(&whole) };
        assert_eq!((offset, more), (before, at + 1 < left.len()), "{:?}", shown(left));
        if whole.is_empty() {
            whole = frame[..14 + header_bytes(frame)].to_vec();
        }
        whole.extend(&l3[payload..]);
        if at == 0 && payload == 48 {
            whole[20] = l3[40];
        }
    }
    assert_eq!(ids.len(), 1, "fragments of one packet have one id: {:?}", shown(left));
    let l3 = &mut whole[14..];
    let bytes = l3.len();
    if l3[0] >> 4 == 4 {
        let ip = Ipv4::of_mut(l3).unwrap();
        ip.set_total_bytes(bytes);
        ip.set_fragment(0, false);
        ipv4::fill_checksum(l3);
    } else {
        Ipv6::of_mut(l3).unwrap().set_payload_bytes(bytes - 40);
    }
    whole
}
