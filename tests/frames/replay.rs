//! One recording through one director: the frames that went into the kernel come from capture files, and what leaves must be
//! what left the kernel.

use crate::compare::{difference, expected, is_announcement, is_made};
use crate::director::Director;
use crate::recording::{Recorded, Recording, Side};
use crate::setup::{self, Wiring};
use crate::{capture, recording};
use rustix::process::Signal;
use std::path::Path;
use uvs::wire::{Ethernet, Mac};

/// Frames that a worker takes from a port before it looks at the next port.
const BURST: usize = 32;

/// Steps that the director treats otherwise than the kernel: their frames are dropped, for this reason.
#[derive(Clone, Copy, Debug)]
pub struct Differing {
    /// The steps.
    pub steps: &'static [u32],
    /// The reason's name, as `uvs show drops` prints it.
    pub reason: &'static str,
}

/// Replays the case in `folder`; returns how many frames were compared, or says what was wrong.
pub fn replay(folder: &Path, wiring: Wiring, differing: Option<Differing>) -> Result<usize, String> {
    let mut recording = Recording::read(folder);
    if let Some(differing) = differing {
        recording.outputs.retain(|output| !differing.steps.contains(&output.step));
    }
    let scratch = tempfile::tempdir().expect("a folder for temporary files");
    let ports = ports(wiring);
    let devices: Vec<_> = (0..ports.len()).map(|at| write_inputs(scratch.path(), at, ports[at], &recording)).collect();
    let text = setup::text(&recording, wiring, &devices);
    let director = Director::start(scratch.path(), "adaptive", &text).map_err(|failure| failure.to_string())?;
    let has_macs = director.ask(control::Client::ports).ports.into_iter().map(|port| port.mac.into_owned());
    assert_eq!(has_macs.collect::<Vec<_>>(), (0..ports.len()).map(|at| mac(at).to_string()).collect::<Vec<_>>());
    let put_in = recording.inputs.len() as u64;
    let workers = director.ask_until("the director received every frame", control::Client::workers, |answer| {
        answer.workers[0].received >= put_in
    });
    let worker = &workers.workers[0];
    assert!(worker.identity_holds() && worker.received == put_in && worker.held == 0, "{worker:?}");
    let drops = director.ask(control::Client::drops).drops;
    let (status, output) = director.end(Signal::TERM);
    assert!(status.success(), "{status}\n{output}");

    let mut wrong = Vec::new();
    let mut compared = 0;
    for (at, sides) in ports.iter().enumerate() {
        let found = capture::read(&tx_file(scratch.path(), at));
        let found: Vec<_> =
            found.into_iter().map(|frame| frame.bytes).filter(|frame| !is_announcement(frame)).collect();
        let expect = outputs(&recording, wiring, sides);
        compared += expect.len();
        wrong.extend(compare(&recording, &expect, &found, mac(at)));
    }
    if let Some(Differing { steps, reason }) = differing {
        let dropped = drops.iter().find(|drop| drop.reason == reason).map(|drop| drop.total);
        let put_in = recording.inputs_of(steps) as u64;
        if dropped != Some(put_in) {
            wrong.push(format!("steps {steps:?}: {put_in} frames dropped for {reason} expected, found {dropped:?}"));
        }
    }
    if wrong.is_empty() {
        return Ok(compared);
    }
    let dropped =
        drops.iter().filter(|drop| drop.total > 0).map(|drop| format!("\ndropped: {} {}", drop.total, drop.reason));
    Err(wrong.join("\n") + &dropped.collect::<String>())
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
/// all frames of the first before it looks at the second.
fn outputs<'a>(recording: &'a Recording, wiring: Wiring, sides: &[Side]) -> Vec<&'a Recorded> {
    let mut outputs: Vec<_> = recording.outputs.iter().filter(|output| sides.contains(&output.side)).collect();
    if wiring == Wiring::TwoPorts {
        let from_clients = recording.inputs.iter().filter(|input| input.side == Side::Wan).count();
        assert!(from_clients <= BURST, "{from_clients} frames from clients: more than a burst");
        outputs.sort_by_key(|output| recording.input(output.step).side);
    }
    outputs
}

fn compare(recording: &recording::Recording, expect: &[&Recorded], found: &[Vec<u8>], mac: Mac) -> Vec<String> {
    let mut wrong = Vec::new();
    for (at, output) in expect.iter().enumerate() {
        let frame = expected(output, mac);
        let difference = match found.get(at) {
            Some(found) => difference(&frame, found, is_made(recording, output)),
            None => Some(format!("missing\n  expected {}", uvs::wire::describe(&frame))),
        };
        wrong.extend(difference.map(|what| format!("step {}: {what}", output.step)));
    }
    for frame in found.iter().skip(expect.len()) {
        wrong.push(format!("one more than expected\n  found    {}", uvs::wire::describe(frame)));
    }
    wrong
}
