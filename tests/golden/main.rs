//! Replays recordings of the kernel's IPVS through the director: the real control side and the real pipeline, in the lab.
//!
//! `GOLDEN_DIR` names the folder of the recordings; without it the project's own copy is replayed. Nothing here knows a case
//! by its name: other recordings of the same formats go through as they are.

#[path = "../frames/capture.rs"]
#[allow(dead_code)] // Nothing is written here.
mod capture;
mod compare;
mod ipvsadm;
#[path = "../lab/kit.rs"]
mod kit;
mod packets;
mod recorder;
mod recording;
mod sched;
mod shown;
#[path = "../../sched/tests/trace.rs"]
mod trace;

use std::path::PathBuf;
use std::process::ExitCode;

/// What is not as the kernel has it, and why. `compare.rs` lets these pass.
const DIFFERENCES: [&str; 2] = [
    "the IPv6 flow label of the director's own answers is 0: the kernel's is a hash with a key that nobody knows",
    "fragments of a GRE packet have no DF: the kernel sets it around a reassembled IPv6 packet, where it means nothing",
];

/// Faults that are printed; the rest is counted.
const FAULTS_SHOWN: usize = 20;

fn main() -> ExitCode {
    let outcome = sched::replay(&trace::read_folder(&golden_dir()));
    outcome.faults.iter().take(FAULTS_SHOWN).for_each(|fault| println!("{fault}"));
    println!("sched: {} decisions, {} wrong", outcome.decisions, outcome.faults.len());
    let mut wrong = outcome.faults.len();
    let folder = golden_dir().join("packets");
    for workers in [1, 2, 4].into_iter().filter(|_| folder.is_dir()) {
        let outcome = packets::replay(&folder, workers);
        outcome.faults.iter().take(FAULTS_SHOWN).for_each(|fault| println!("{fault}"));
        println!(
            "packets: {} cases, {} frames, {} wrong, {workers} workers; {} cases left out, whose settings are not built yet",
            outcome.cases, outcome.frames, outcome.cases_wrong, outcome.not_built
        );
        wrong += outcome.cases_wrong + usize::from(outcome.cases == 0);
    }
    DIFFERENCES.iter().for_each(|difference| println!("difference: {difference}"));
    // A folder that holds no decision proves nothing.
    if outcome.decisions > 0 && wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn golden_dir() -> PathBuf {
    let own = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    std::env::var_os("GOLDEN_DIR").map_or_else(own, PathBuf::from)
}
