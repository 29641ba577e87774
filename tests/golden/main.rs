//! Replays recordings of the kernel's IPVS through the director: the real control side and the real pipeline, in the lab.
//!
//! `GOLDEN_DIR` names the folder of the recordings; without it the project's own copy is replayed. Nothing here knows a case
//! by its name: other recordings of the same formats go through as they are.

#[path = "../lab/kit.rs"]
mod kit;
mod sched;
#[path = "../../sched/tests/trace.rs"]
mod trace;

use std::path::PathBuf;
use std::process::ExitCode;

/// Faults that are printed; the rest is counted.
const FAULTS_SHOWN: usize = 20;

fn main() -> ExitCode {
    let outcome = sched::replay(&trace::read_folder(&golden_dir()));
    outcome.faults.iter().take(FAULTS_SHOWN).for_each(|fault| println!("{fault}"));
    println!("sched: {} decisions, {} wrong", outcome.decisions, outcome.faults.len());
    // A folder that holds no decision proves nothing.
    if outcome.decisions > 0 && outcome.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn golden_dir() -> PathBuf {
    let own = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    std::env::var_os("GOLDEN_DIR").map_or_else(own, PathBuf::from)
}
