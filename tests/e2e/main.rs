//! End to end: real programs, real kernels, the real director on DPDK's virtual devices, in namespaces that each test makes and takes
//! down. Needs root; without it says so and passes.
//!
//! `cargo test --release --test e2e [-- WORD...]` runs the tests whose names contain one of the words. One after the other: they measure.

mod demo;
mod failover;
mod floods;
mod host;
mod keepalived;
mod leftovers;
mod methods;
mod outage;
mod pair;
mod programs;
mod refusals;
mod reload;
mod routing;
mod served;
mod transfer;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use uvs::demo::network::Attachment;
use uvs::demo::{Failure, namespace, preconditions, wait};

/// The program under test.
fn uvs_program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_uvs"))
}

type Test = (&'static str, fn() -> Result<(), Failure>);

const TESTS: [Test; 15] = [
    ("refusals: one director per device", refusals::one_director_per_device),
    ("tap: every method and family", || methods::test(Attachment::Tap)),
    ("af_packet: every method and family", || methods::test(Attachment::AfPacket)),
    ("host interface: the machine's only link", host::test),
    ("keepalived: checks and VRRP by the machine's only link", keepalived::test),
    // A router on a stick. A tap leaves tags to software, a packet socket gives and takes them beside the frame.
    ("tap: both ports are VLANs of one", || with_vlans(Attachment::TapTrunk, 1)),
    ("af_packet: both ports are VLANs of one", || with_vlans(Attachment::AfPacketTrunk, 2)),
    ("pair: VLANs by the device and in software", pair::vlans),
    ("pair: bonds by 802.3ad", pair::lacp),
    ("bond: active-backup of two taps", methods::test_bond),
    ("demo: two at once pass", demo::two_at_once_pass),
    ("demo: fails when the director is killed", demo::director_killed),
    ("demo: fails when a rewrite is broken", demo::rewrite_broken),
    ("demo: Ctrl-C takes everything down", demo::interrupted),
    ("demo: what kill -9 leaves, the next run removes", demo::killed),
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let args: Vec<String> = std::env::args().collect();
    if let [_, word, target] = &args[..]
        && word == floods::FLOOD
    {
        return floods::flood(target);
    }
    if !rustix::process::geteuid().is_root() {
        println!("e2e: skipped: needs root");
        return ExitCode::SUCCESS;
    }
    if let Err(failure) = preconditions::check().and_then(|()| wait::catch_signals()) {
        println!("e2e: {failure}");
        return ExitCode::FAILURE;
    }
    namespace::sweep_dead_runs();
    let chosen = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word.as_str()));
    let failures: Vec<String> =
        TESTS.iter().filter(|(name, _)| chosen(name)).filter_map(|&(name, test)| run(name, test).err()).collect();
    // Once more at the end: who sees a long log's last lines sees what to look for.
    failures.iter().for_each(|failure| println!("e2e: {failure}"));
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The far end of a trunk needs the kernel's VLAN interfaces. Where there are none, `pair` shows that tags are right.
fn with_vlans(attachment: Attachment, workers: usize) -> Result<(), Failure> {
    if namespace::kernel_has("vlan id 1")? {
        return methods::test_vlans(attachment, workers);
    }
    println!("e2e:   skipped: this kernel has no VLAN interfaces (8021q)");
    Ok(())
}

/// Says how the test ended; in its error, too.
fn run(name: &str, test: fn() -> Result<(), Failure>) -> Result<(), String> {
    println!("e2e: {name} ...");
    let start = Instant::now();
    let result = test().and_then(|()| leftovers::check(std::process::id()));
    let seconds = start.elapsed().as_secs_f64();
    let result = match result {
        Ok(()) if wait::interrupted() => Err(format!("{name}: interrupted after {seconds:.1} s")),
        Ok(()) => Ok(()),
        Err(failure) => Err(format!("{name}: FAILED after {seconds:.1} s: {failure}")),
    };
    match &result {
        Ok(()) => println!("e2e: {name}: ok, {seconds:.1} s"),
        Err(failure) => println!("e2e: {failure}"),
    }
    result
}
