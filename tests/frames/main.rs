//! Golden frames: capture files in, the real director over net_pcap, capture files out. What leaves must be what left the
//! kernel's IPVS when it was given the same frames (`recordings/README.md`), byte for byte.
//!
//! A capture file delivers all its frames at once, so the packets of a flow come in one burst: replies with the request that
//! makes the conn, ICMP errors with the packet that they are about. Each case is replayed twice: through two ports, as it was
//! recorded, and through one, where the frames of both sides keep their order. One director process per replay, for DPDK
//! starts once per process; neither root nor huge pages are needed.

mod capture;
mod compare;
#[path = "../command/director.rs"]
#[allow(dead_code)] // The tests in `command` do more with it.
mod director;
mod fullnat;
mod recording;
mod replay;
mod setup;
mod vlan;

use recording::{Recording, Side};
use replay::replay;
use setup::Wiring;
use std::fs;
use std::path::{Path, PathBuf};

/// One test per method, so that they run beside each other.
macro_rules! methods {
    ($($test:ident: $folder:literal,)*) => {
        $(#[test] fn $test() { replay_all($folder); })*

        const FOLDERS: &[&str] = &[$($folder,)*];
    };
}

methods! {
    ipv4_dr: "v4/dr",
    ipv4_nat: "v4/masq",
    ipv4_nat_same_port: "v4/masq_sameport",
    ipv4_tun: "v4/tun_ipip",
    ipv4_tun_over_ipv6: "v4/tun_ipip_to_v6",
    ipv6_dr: "v6/dr",
    ipv6_nat: "v6/masq",
    ipv6_nat_same_port: "v6/masq_sameport",
    ipv6_tun: "v6/tun_ipip",
    ipv6_tun_over_ipv4: "v6/tun_ipip_to_v4",
}

#[test]
fn no_recording_is_forgotten() {
    let recorded = names("").into_iter().flat_map(|family| {
        let methods = names(&family);
        methods.into_iter().map(move |method| format!("{family}/{method}"))
    });
    assert_eq!(recorded.collect::<Vec<_>>(), FOLDERS);
}

fn replay_all(method: &str) {
    let cases = names(method);
    assert!(!cases.is_empty(), "{method}: no recordings");
    let (mut replays, mut frames, mut wrong) = (0, 0, Vec::new());
    for case in cases.iter().map(|case| format!("{method}/{case}")) {
        let recording = Recording::read(&recordings().join(&case));
        for wiring in wirings(&recording) {
            match replay(&recording, wiring) {
                Ok(compared) => (replays, frames) = (replays + 1, frames + compared),
                Err(what) => wrong.push(format!("{case}, {wiring:?}: {what}")),
            }
        }
    }
    println!("{method}: {} cases, {replays} replays, {frames} frames equal, {} wrong", cases.len(), wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// One port has one MTU.
fn wirings(recording: &Recording) -> Vec<Wiring> {
    let [wan, lan] = Side::BOTH.map(|side| setup::mtu(&recording.config, side));
    if wan == lan { vec![Wiring::TwoPorts, Wiring::OneArm] } else { vec![Wiring::TwoPorts] }
}

fn recordings() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/frames/recordings")
}

/// The folders in a folder of the recordings, in order.
fn names(folder: &str) -> Vec<String> {
    let folder = recordings().join(folder);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let folders = entries.flatten().filter(|entry| entry.path().is_dir());
    let mut names: Vec<_> = folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
