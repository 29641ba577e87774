//! Golden frames: capture files in, the real director over net_pcap, capture files out. What leaves must be what left the
//! kernel's IPVS when it was given the same frames (`tests/golden/packets`, and `recordings` of fragments), byte for byte.
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
#[path = "../golden/ipvsadm.rs"]
#[allow(dead_code)] // Edits are not made here, but written into a file.
mod ipvsadm;
#[path = "../golden/recording.rs"]
#[allow(dead_code)] // What the kernel showed is the lab's.
mod recording;
mod replay;
mod setup;
mod vlan;

use recording::{Recording, Side};
use replay::replay;
use setup::Wiring;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Where recordings are: those that the lab replays, too, and more.
const ROOTS: [&str; 2] = ["tests/golden/packets", "tests/frames/recordings"];
/// What the lab alone replays: other tunnels, cases of their own about conns that are used again or whose server is gone, random
/// mixes, and FullNAT, whose local ports nobody knows when a capture file is written (`fullnat.rs` has what can be said beforehand).
const OF_THE_LAB: [&str; 6] = ["tun_gre", "tun_gue", "reuse/", "removed/", "mix/", "fullnat/"];

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
    let folders = cases("").into_keys().flat_map(|family| {
        let methods = cases(&family);
        methods.into_keys().map(move |method| format!("{family}/{method}"))
    });
    let here = folders.filter(|folder| !OF_THE_LAB.iter().any(|other| folder.contains(other)));
    assert_eq!(here.collect::<Vec<_>>(), FOLDERS);
}

fn replay_all(method: &str) {
    let (mut replayed, mut replays, mut frames, mut wrong) = (0, 0, 0, Vec::new());
    for (case, folder) in cases(method) {
        let recording = Recording::read(&folder);
        if let Some(why) = setup::why_not(&recording) {
            println!("{method}/{case}: left to the lab, for {why}");
            continue;
        }
        replayed += 1;
        for wiring in wirings(&recording) {
            match replay(&recording, wiring) {
                Ok(compared) => (replays, frames) = (replays + 1, frames + compared),
                Err(what) => wrong.push(format!("{method}/{case}, {wiring:?}: {what}")),
            }
        }
    }
    println!("{method}: {replayed} cases, {replays} replays, {frames} frames equal, {} wrong", wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(replays > 0, "{method}: no recordings");
}

/// One port has one MTU.
fn wirings(recording: &Recording) -> Vec<Wiring> {
    let [wan, lan] = Side::BOTH.map(|side| recording.mtu(side));
    if wan == lan { vec![Wiring::TwoPorts, Wiring::OneArm] } else { vec![Wiring::TwoPorts] }
}

/// The folders in a folder of recordings, by name.
fn cases(folder: &str) -> BTreeMap<String, PathBuf> {
    let in_root = |root: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(root).join(folder);
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).filter(|path| path.is_dir())
    };
    let name = |path: PathBuf| (path.file_name().unwrap_or_default().to_string_lossy().into_owned(), path);
    ROOTS.into_iter().flat_map(in_root).map(name).collect()
}
