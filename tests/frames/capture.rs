//! Capture files: the classic little-endian format, Ethernet. The recordings count microseconds; net_pcap writes nanoseconds.

use std::fs;
use std::path::Path;

/// First word of a file whose time stamps have microseconds, and nanoseconds.
const MAGICS: [u32; 2] = [0xa1b2_c3d4, 0xa1b2_3c4d];
const FILE_HEADER_BYTES: usize = 24;
const FRAME_HEADER_BYTES: usize = 16;

/// A captured frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// Whole seconds of its time stamp.
    pub seconds: u32,
    /// The frame.
    pub bytes: Vec<u8>,
}

/// Every frame of a file.
pub fn read(file: &Path) -> Vec<Captured> {
    let bytes = fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    assert!(MAGICS.contains(&word(&bytes, 0)), "{}: no capture file of this format", file.display());
    let mut rest = &bytes[FILE_HEADER_BYTES..];
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let (captured_bytes, length) = (word(rest, 8), word(rest, 12));
        assert_eq!(captured_bytes, length, "{}: a frame was cut", file.display());
        let (frame, after) = rest[FRAME_HEADER_BYTES..].split_at(length as usize);
        frames.push(Captured { seconds: word(rest, 0), bytes: frame.to_vec() });
        rest = after;
    }
    frames
}

/// A file of these frames.
pub fn write<'a>(file: &Path, frames: impl Iterator<Item = &'a [u8]>) {
    write_at(file, frames.map(|frame| (0, frame)));
}

/// A file of these frames, each with its time stamp in milliseconds.
pub fn write_at<'a>(file: &Path, frames: impl Iterator<Item = (usize, &'a [u8])>) {
    let word = |number: usize| (number as u32).to_le_bytes();
    let mut bytes = [word(MAGICS[0] as usize), [2, 0, 4, 0], word(0), word(0), word(65_535), word(1)].concat();
    for (ms, frame) in frames {
        bytes.extend([word(ms / 1_000), word(ms % 1_000 * 1_000), word(frame.len()), word(frame.len())].concat());
        bytes.extend(frame);
    }
    fs::write(file, bytes).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}
