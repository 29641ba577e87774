//! A recording of the kernel: what it was told (`config.txt`), the frames that were put in (`in.pcap`) and those that left
//! (`out.pcap`). Step N of a recording has the time stamp N seconds in both files.

use crate::capture;
use std::fs;
use std::path::Path;
use uvs::wire::{Ethernet, Mac};

/// Where a frame came in or left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The clients' side.
    Wan,
    /// The real servers' side.
    Lan,
}

impl Side {
    /// Both.
    pub const BOTH: [Side; 2] = [Side::Wan, Side::Lan];

    /// The MAC that the recorded kernel had there.
    fn kernel_mac(self) -> Mac {
        match self {
            Side::Wan => Mac([2, 0, 0, 0x0c, 0, 1]),
            Side::Lan => Mac([2, 0, 0, 0x05, 0, 1]),
        }
    }

    fn of(mac: Mac) -> Side {
        let side = Side::BOTH.into_iter().find(|side| side.kernel_mac() == mac);
        side.unwrap_or_else(|| panic!("{mac} is no MAC of the recorded director"))
    }
}

/// A recorded frame.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The step that put it in, or caused it.
    pub step: u32,
    /// Where it came in or left.
    pub side: Side,
    /// The frame, with the MAC of the recorded kernel.
    pub bytes: Vec<u8>,
}

/// A case.
pub struct Recording {
    /// What the kernel was told.
    pub config: String,
    /// Frames that were put in.
    pub inputs: Vec<Recorded>,
    /// Frames that left.
    pub outputs: Vec<Recorded>,
}

impl Recording {
    /// Reads the case in a folder.
    pub fn read(folder: &Path) -> Recording {
        let file = folder.join("config.txt");
        let config = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let inputs = frames(&folder.join("in.pcap"), Ethernet::destination);
        assert!(!inputs.is_empty(), "{}: no frames", folder.display());
        Recording { config, inputs, outputs: frames(&folder.join("out.pcap"), Ethernet::source) }
    }

    /// The frame that a step put in, first if it is several.
    pub fn input(&self, step: u32) -> &Recorded {
        self.inputs.iter().find(|input| input.step == step).expect("what left was caused by what came in")
    }
}

fn frames(file: &Path, director: impl Fn(&Ethernet) -> Mac) -> Vec<Recorded> {
    let recorded = |captured: capture::Captured| {
        let ethernet = Ethernet::of(&captured.bytes).expect("a recorded frame has an Ethernet header");
        Recorded { step: captured.seconds, side: Side::of(director(ethernet)), bytes: captured.bytes }
    };
    capture::read(file).into_iter().map(recorded).collect()
}
