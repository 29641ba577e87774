//! Chains of real buffers: a reassembled packet. Its headers grow and shrink like any frame's, its fragments are what was put
//! in, and when it goes every buffer goes back.

use uvs::dpdk::{DpdkPort, Mbuf};
use uvs::fragments::cut::Next;
use uvs::fragments::{CameIn, Cut};
use uvs::port::{BURST, Burst, Frame, Port};
use uvs::wire::build;
use uvs::wire::{Ipv4, ipv4};

const PARTS: usize = 40;
const PART_BYTES: usize = 1_480;

/// A datagram as reassembly leaves it: headers and the first part, then the others. Gives its bytes as well.
fn chained(port: &mut DpdkPort) -> (Mbuf, Vec<u8>) {
    let data: Vec<u8> = (0..PARTS * PART_BYTES - 8 + 5).map(|at| (at / 3) as u8).collect();
    let whole = build::Frame::between("10.0.0.1", "10.0.0.2").dont_fragment(false).udp(1, 2, &data);
    let (first, rest) = whole.split_at(34 + PART_BYTES);
    let parts: Vec<Mbuf> = rest.chunks(PART_BYTES).map(|part| port.make(part).unwrap()).collect();
    let behind = parts.into_iter().rev().reduce(|chain, mut part| {
        part.chain(chain);
        part
    });
    let mut packet = port.make(first).unwrap();
    packet.chain(behind.unwrap());
    (packet, whole)
}

pub fn frames_hang_together(port: &mut DpdkPort) {
    let (mut packet, whole) = chained(port);
    assert_eq!(packet.segments().collect::<Vec<_>>().concat(), whole);
    assert_eq!((packet.segments().count(), packet.total_bytes()), (PARTS + 1, whole.len()));
    assert!(packet.prepend(40) && !packet.prepend(128));
    packet.trim_front(54);
    packet.bytes_mut()[0] = 0x99;
    assert_eq!(packet.bytes().len(), 20 + PART_BYTES);
    packet.truncate(1_000);
    assert_eq!(packet.total_bytes(), whole.len() - 14 - 20 - PART_BYTES + 1_000);
    let mut short = port.make(&[1; 60]).unwrap();
    assert!(short.push(&[2; 100]) && !short.push(&[3; 2_000]));
    assert_eq!((short.bytes().len(), short.total_bytes()), (160, 160));
}

/// In the parts that it came in, and in others: a device takes each of them, and they are the packet.
pub fn fragments_go_through_a_device(port: &mut DpdkPort) {
    for (bytes_max, as_it_came, count) in [(1_500, true, PARTS + 1), (1_500, false, PARTS + 1), (996, true, 61)] {
        let (packet, whole) = chained(port);
        let parts = CameIn { first: PART_BYTES as u16, further: PART_BYTES as u16 };
        let as_it_came = as_it_came.then_some(parts);
        let mut cutter = Cut { bytes_max, as_it_came, atomic: false, id: 0 }.begin(&packet).unwrap();
        let mut received = Vec::new();
        let mut pass = |port: &mut DpdkPort, burst: &mut Burst<Mbuf>| {
            port.tx_burst(burst);
            assert!(burst.is_empty());
            port.rx_burst(burst);
            received.extend(burst.drain(..).map(|frame| frame.bytes().to_vec()));
        };
        let mut burst = Burst::new();
        while let Next::Fragment(frame) = cutter.next(|head| port.make(head)) {
            burst.push(frame);
            if burst.len() == BURST {
                pass(port, &mut burst);
            }
        }
        pass(port, &mut burst);
        assert_eq!(received.len(), count, "{bytes_max} {as_it_came:?}");
        let mut payload: Vec<u8> = Vec::new();
        for fragment in &received {
            let ip = Ipv4::of(&fragment[14..]).unwrap();
            assert!(ipv4::checksum_is_right(&fragment[14..]) && ip.total_bytes() == fragment.len() - 14);
            assert!(fragment.len() - 14 <= usize::from(bytes_max));
            assert_eq!(ip.fragment_offset_bytes(), payload.len());
            payload.extend(&fragment[34..]);
            assert_eq!(ip.more_fragments(), payload.len() < whole.len() - 34);
        }
        assert_eq!(payload, whole[34..]);
    }
}
