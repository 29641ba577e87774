//! A capture file in, a worker on its lcore, a capture file out.

use std::fs;
use std::path::{Path, PathBuf};
use uvs::dpdk::DpdkPort;
use uvs::port::{Burst, Frame, Port};

const FRAMES: u16 = 300;
/// Longer than a buffer: net_pcap spreads it over two.
const LONG_BYTES: usize = 3000;

pub struct Files {
    inbound: PathBuf,
    outbound: PathBuf,
}

impl Files {
    pub fn write(folder: &Path) -> Self {
        let files = Files { inbound: folder.join("in.pcap"), outbound: folder.join("out.pcap") };
        let mut frames: Vec<Vec<u8>> = (0..FRAMES).map(frame).collect();
        frames.insert(100, vec![0xff; LONG_BYTES]);
        fs::write(&files.inbound, encode(&frames)).unwrap();
        files
    }

    pub fn device(&self) -> String {
        format!("net_pcap0,rx_pcap={},tx_pcap={}", self.inbound.display(), self.outbound.display())
    }

    pub fn check(&self) {
        let expect: Vec<Vec<u8>> = (0..FRAMES).map(frame).collect();
        assert_eq!(decode(&fs::read(&self.outbound).unwrap()), expect);
    }
}

/// Frames of a device that is no more than a source.
pub const FEW: u16 = 10;

/// A device that receives so many frames.
pub fn few_frames(folder: &Path) -> String {
    let file = folder.join("few.pcap");
    fs::write(&file, encode(&(0..FEW).map(frame).collect::<Vec<_>>())).unwrap();
    format!("net_pcap1,rx_pcap={},tx_pcap={}", file.display(), folder.join("none.pcap").display())
}

/// What the worker does: everything that comes in goes out, until nothing comes in.
pub fn forward_all(mut port: DpdkPort) {
    let mut burst = Burst::new();
    loop {
        port.rx_burst(&mut burst);
        if burst.is_empty() {
            return;
        }
        for frame in &burst {
            frame.prefetch();
        }
        port.tx_burst(&mut burst);
        assert!(burst.is_empty(), "net_pcap takes all");
    }
}

/// The frame of this number.
pub fn frame(number: u16) -> Vec<u8> {
    number.to_be_bytes().repeat(30 + usize::from(number))
}

/// The classic format, little-endian, Ethernet.
fn encode(frames: &[Vec<u8>]) -> Vec<u8> {
    let word = |number: usize| (number as u32).to_le_bytes();
    let mut file = [word(0xa1b2_c3d4), [2, 0, 4, 0], word(0), word(0), word(65535), word(1)].concat();
    for frame in frames {
        file.extend([word(0), word(0), word(frame.len()), word(frame.len())].concat());
        file.extend(frame);
    }
    file
}

fn decode(file: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = &file[24..];
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let length = u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
        frames.push(rest[16..16 + length].to_vec());
        rest = &rest[16 + length..];
    }
    frames
}
