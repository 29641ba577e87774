//! One recording through one director: the frames that went into the kernel come from capture files, and what leaves must be
//! what left the kernel.

use crate::capture;
use crate::compare::{difference, expected, is_announcement, is_answer, is_made};
use crate::director::Director;
use crate::recording::{Recorded, Recording, Side};
use crate::setup::{self, Wiring};
use control::Client;
use control::show::DropReason;
use rustix::process::Signal;
use std::path::Path;
use uvs::wire::{Ethernet, Mac};

/// Replays a case; returns how many frames were equal, or says what was wrong.
pub fn replay(recording: &Recording, wiring: Wiring) -> Result<usize, String> {
    let scratch = tempfile::tempdir().expect("a folder for temporary files");
    let ports = ports(wiring);
    let devices: Vec<_> = (0..ports.len()).map(|at| write_inputs(scratch.path(), at, ports[at], recording)).collect();
    let text = setup::text(recording, wiring, &devices);
    let director = Director::start(scratch.path(), "adaptive", &text).map_err(|failure| failure.to_string())?;
    let macs: Vec<_> = director.ask(Client::ports).ports.into_iter().map(|port| port.mac.into_owned()).collect();
    assert_eq!(macs, (0..ports.len()).map(|at| mac(at).to_string()).collect::<Vec<_>>(), "what net_pcap's MACs are");
    let drops = take_all(&director, recording.inputs.len() as u64);
    let (status, output) = director.end(Signal::TERM);
    assert!(status.success(), "{status}\n{output}");

    let mut wrong = Vec::new();
    let mut compared = 0;
    for (at, sides) in ports.iter().enumerate() {
        let mut found: Vec<_> =
            capture::read(&tx_file(scratch.path(), at)).into_iter().map(|frame| frame.bytes).collect();
        found.retain(|frame| !is_announcement(frame));
        let expect = outputs(recording, wiring, sides);
        compared += expect.len();
        wrong.extend(compare(recording, &expect, &found, mac(at)));
    }
    if wrong.is_empty() {
        return Ok(compared);
    }
    let drops = drops.iter().filter(|drop| drop.total > 0);
    wrong.extend(drops.map(|drop| format!("{} frames were dropped: {}", drop.total, drop.meaning)));
    Err(wrong.join("\n"))
}

/// Waits until the director has received every frame; returns what it dropped.
fn take_all(director: &Director, put_in: u64) -> Vec<DropReason> {
    let received = |answer: &control::show::Workers| answer.workers[0].received >= put_in;
    let workers = director.ask_until("the director received every frame", Client::workers, received);
    let worker = &workers.workers[0];
    // What is held are fragments of packets that were never whole: no next hop is waited for here.
    assert!(worker.identity_holds() && worker.received == put_in, "{put_in}: {worker:?}");
    director.ask(Client::drops).drops
}

/// Which sides each port serves.
fn ports(wiring: Wiring) -> &'static [&'static [Side]] {
    match wiring {
        Wiring::TwoPorts => &[&[Side::Wan], &[Side::Lan]],
        Wiring::OneArm => &[&Side::BOTH],
    }
}

/// net_pcap numbers its devices' MACs: "\x02pcap" and the number.
fn mac(port: usize) -> Mac {
    Mac([2, b'p', b'c', b'a', b'p', port as u8])
}

fn tx_file(folder: &Path, port: usize) -> std::path::PathBuf {
    folder.join(format!("tx{port}.pcap"))
}

/// Writes what the port will receive, addressed to it; returns its device.
fn write_inputs(folder: &Path, port: usize, sides: &[Side], recording: &Recording) -> String {
    let rx_file = folder.join(format!("rx{port}.pcap"));
    let inputs = recording.inputs.iter().filter(|input| sides.contains(&input.side));
    let inputs: Vec<_> = inputs.map(|input| to_director(input, mac(port))).collect();
    capture::write(&rx_file, inputs.iter().map(Vec::as_slice));
    format!("net_pcap{port},rx_pcap={},tx_pcap={}", rx_file.display(), tx_file(folder, port).display())
}

fn to_director(input: &Recorded, mac: Mac) -> Vec<u8> {
    let mut bytes = input.bytes.clone();
    Ethernet::of_mut(&mut bytes).expect("a recorded frame has an Ethernet header").set_destination(mac);
    bytes
}

/// What must leave by a port, in order. Behind one port that is the order of the recording. With two, the worker has taken
/// all frames of the first, a burst at most, before it looks at the second.
fn outputs<'a>(recording: &'a Recording, wiring: Wiring, sides: &[Side]) -> Vec<&'a Recorded> {
    let mut outputs: Vec<_> = recording.outputs.iter().filter(|output| sides.contains(&output.side)).collect();
    if wiring == Wiring::TwoPorts {
        outputs.sort_by_key(|output| recording.input(output.step).side);
    }
    outputs
}

fn compare(recording: &Recording, expect: &[&Recorded], found: &[Vec<u8>], mac: Mac) -> Vec<String> {
    let mut wrong = Vec::new();
    for (at, output) in expect.iter().enumerate() {
        let frame = expected(output, mac);
        let difference = match found.get(at) {
            Some(found) => difference(&frame, found, is_made(recording, output), is_answer(recording, output)),
            None => Some(format!("missing\n  expected {}", uvs::wire::describe(&frame))),
        };
        wrong.extend(difference.map(|what| format!("step {}: {what}", output.step)));
    }
    for frame in found.iter().skip(expect.len()) {
        wrong.push(format!("one more than expected\n  found    {}", uvs::wire::describe(frame)));
    }
    wrong
}
