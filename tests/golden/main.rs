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

fn golden_dir() -> PathBuf {
    let own = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    std::env::var_os("GOLDEN_DIR").map_or_else(own, PathBuf::from)
}

/// Faults that are printed; the rest is counted.
const FAULTS_SHOWN: usize = 20;

#[test]
fn schedulers_decide_as_the_kernel_did() {
    let outcome = sched::replay(&trace::read_folder(&golden_dir()));
    outcome.faults.iter().take(FAULTS_SHOWN).for_each(|fault| println!("{fault}"));
    println!("sched: {} decisions, {} wrong", outcome.decisions, outcome.faults.len());
    assert!(outcome.decisions > 0, "the recordings hold no decision");
    assert!(outcome.faults.is_empty(), "{} faults", outcome.faults.len());
}
