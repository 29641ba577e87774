//! Frames that a virtual machine left to a device to finish: marked, sent into a ring, and looked at when they come out.

use uvs::dpdk::{Device, DpdkPort, Mbuf};
use uvs::port::{Burst, Frame, Port};

const TCP: u8 = 6;
const UDP: u8 = 17;

pub fn unfinished_ones_are_finished(port: &mut DpdkPort, ring: &Device) {
    let (v4, v6) = (packet_v4, packet_v6);
    // description, frame, where its checksum is, whether it is to be finished
    let rows = [
        ("TCP, IPv4", v4(TCP, 0, 1), 34 + 16, true),
        ("TCP, IPv4, odd payload", v4(TCP, 0, 2), 34 + 16, true),
        ("UDP, IPv4", v4(UDP, 0, 3), 34 + 6, true),
        ("TCP, IPv6", v6(TCP), 54 + 16, true),
        ("UDP, IPv6", v6(UDP), 54 + 6, true),
        ("TCP with padding behind", [v4(TCP, 0, 4), vec![9; 11]].concat(), 34 + 16, true),
        ("a fragment", v4(TCP, 0x2000, 5), 34 + 16, false),
        ("neither TCP nor UDP", v4(47, 0, 6), 34 + 16, false),
        ("cut short", v4(TCP, 0, 7)[..60].to_vec(), 34 + 16, false),
        ("no packet at all", vec![1; 20], 18, false),
        ("UDP without a checksum", zeroed(v4(UDP, 0, 8), 34 + 6), 34 + 6, false),
    ];
    for (what, sent, field, finished) in rows {
        let received = through(port, &sent, true);
        let mut expect = sent.clone();
        if finished {
            let checksum = full_checksum(&sent, field);
            expect[field..field + 2].copy_from_slice(&checksum.to_be_bytes());
        }
        assert_eq!(received, expect, "{what}");
        assert_eq!(finished, received != sent, "{what}");
        assert_eq!(through(port, &sent, false), sent, "{what}, not marked");
    }
    assert_eq!(ring.stats().rx_finished, 11, "each row once");
}

fn through(port: &mut DpdkPort, bytes: &[u8], marked: bool) -> Vec<u8> {
    let mut frame = port.make(bytes).unwrap();
    if marked {
        frame.leave_checksum_unfinished();
    }
    let mut burst: Burst<Mbuf> = [frame].into_iter().collect();
    port.tx_burst(&mut burst);
    port.rx_burst(&mut burst);
    let received = burst[0].bytes().to_vec();
    // The mark is gone: the same frame is not finished, or counted, again.
    port.tx_burst(&mut burst);
    port.rx_burst(&mut burst);
    assert_eq!(burst[0].bytes(), received);
    received
}

fn packet_v4(protocol: u8, fragment: u16, payload: usize) -> Vec<u8> {
    let mut l4 = vec![0x51; 40 + payload];
    l4[4..6].copy_from_slice(&((40 + payload) as u16).to_be_bytes());
    l4[12] = 0x50;
    let [high, low] = fragment.to_be_bytes();
    let length = (20 + l4.len()) as u8;
    let header = [0x45, 0, 0, length, 0, 1, high, low, 64, protocol, 0, 0, 10, 0, 0, 1, 192, 0, 2, 1];
    [&[2; 12][..], &[8, 0], &header, &l4].concat()
}

fn packet_v6(protocol: u8) -> Vec<u8> {
    let mut l4 = vec![0xc3; 43];
    l4[4..6].copy_from_slice(&43u16.to_be_bytes());
    l4[12] = 0x50;
    let header = [0x60, 0, 0, 0, 0, 43, protocol, 64];
    [&[2; 12][..], &[0x86, 0xdd], &header, &[0xfd; 32], &l4].concat()
}

fn zeroed(mut frame: Vec<u8>, field: usize) -> Vec<u8> {
    frame[field..field + 2].fill(0);
    frame
}

/// RFC 1071 over pseudo-header and segment, written to be read and not to be fast.
fn full_checksum(frame: &[u8], field: usize) -> u16 {
    let frame = zeroed(frame.to_vec(), field);
    let (addresses, protocol, segment) = if frame[14] >> 4 == 4 {
        let end = 14 + usize::from(u16::from_be_bytes([frame[16], frame[17]]));
        (&frame[26..34], frame[23], &frame[34..end])
    } else {
        (&frame[22..54], frame[20], &frame[54..])
    };
    let mut summed = [addresses, segment].concat();
    if summed.len() % 2 == 1 {
        summed.push(0);
    }
    let words = summed.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let mut sum = words.sum::<u32>() + u32::from(protocol) + segment.len() as u32;
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}
