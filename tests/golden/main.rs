//! Replays recordings of the kernel's IPVS through the director: the real control side and the real pipeline, in the lab.
//!
//! `GOLDEN_DIR` names the folder of the recordings; without it the project's own copy is replayed. Nothing here knows a case
//! by its name: other recordings of the same formats go through as they are. With `GOLDEN_RECORD` cases of FullNAT are recorded instead.

#[path = "../frames/capture.rs"]
#[allow(dead_code)] // Frames without time stamps are not written here.
mod capture;
mod compare;
mod ipvsadm;
#[path = "../lab/kit.rs"]
mod kit;
mod locals;
mod outcome;
mod packets;
mod record;
mod recorder;
mod recording;
mod sched;
mod shown;
mod states;
mod timers;
#[path = "../../sched/tests/trace.rs"]
mod trace;

use recording::Recording;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What is not as the kernel has it, and why. `compare.rs` lets these pass.
const DIFFERENCES: [&str; 2] = [
    "the IPv6 flow label of the director's own answers is 0: the kernel's is a hash with a key that nobody knows",
    "fragments of a GRE or GUE packet have no DF: the kernel sets it around a reassembled IPv6 packet, where it means nothing",
];

/// Packets may come to any of so many workers.
const WORKERS: [usize; 3] = [1, 2, 4];

/// Replays a folder of these recordings. True: all is as the kernel has it.
type Replay = fn(&Path) -> bool;

fn main() -> ExitCode {
    let named = std::env::var_os("GOLDEN_DIR").map(PathBuf::from);
    let own = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let golden = named.clone().unwrap_or_else(own);
    if let Some(to) = std::env::var_os("GOLDEN_RECORD") {
        let from = golden.join("packets");
        let recorded = record::record(&Recording::all(&from), &from, Path::new(&to));
        return if recorded { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let folders: [(&str, Replay); 4] = [("sched", sched), ("packets", packets), ("states", states), ("timers", timers)];
    // Somebody else's recordings may be of one kind; the project's own are of all. A folder that holds nothing proves nothing.
    let there = folders.into_iter().filter(|(name, _)| named.is_none() || golden.join(name).exists());
    let right: Vec<_> = there.map(|(_, replay)| replay(&golden)).collect();
    if right.is_empty() {
        println!("{}: found no recording; must hold sched, packets, states or timers", golden.display());
    }
    DIFFERENCES.iter().for_each(|difference| println!("difference: {difference}"));
    if !right.is_empty() && right.iter().all(|right| *right) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn sched(golden: &Path) -> bool {
    let Some(_) = outcome::files(&golden.join("sched")) else { return false };
    let cases = trace::read_folder(golden);
    all_right(|workers| {
        let outcome = sched::replay(&cases, workers);
        outcome.report("sched", format!("{} decisions", outcome.compared), by(workers))
    })
}

fn packets(golden: &Path) -> bool {
    let folder = golden.join("packets");
    let recordings = Recording::all(&folder);
    if recordings.is_empty() {
        println!("{}: found no recording; must hold folders with steps.jsonl", folder.display());
    }
    let replay = |workers| {
        let (outcome, frames) = packets::replay(&recordings, &folder, workers);
        outcome.report("packets", format!("{} cases, {frames} frames", outcome.compared), by(workers))
    };
    all_right(replay)
}

fn states(golden: &Path) -> bool {
    let Some(files) = outcome::files(&golden.join("states")) else { return false };
    all_right(|workers| {
        let outcome = states::replay(&files, workers);
        outcome.report("states", format!("{} packets", outcome.compared), by(workers))
    })
}

fn timers(golden: &Path) -> bool {
    let Some(files) = outcome::files(&golden.join("timers")) else { return false };
    all_right(|workers| {
        let outcome = timers::replay(&files, workers);
        outcome.report("timers", format!("{} moments", outcome.compared), by(workers))
    })
}

/// Replays with each number of workers, even if one went wrong.
fn all_right(replay: impl Fn(usize) -> bool) -> bool {
    WORKERS.map(replay).iter().all(|right| *right)
}

fn by(workers: usize) -> String {
    format!(", {workers} worker{}", if workers == 1 { "" } else { "s" })
}
