//! Records cases of FullNAT, which no kernel has: a case is played to the lab's director, and what leaves and what is shown
//! are written in the format of the kernel's recordings. `GOLDEN_RECORD` names the folder for them; `tests/oracle/scenarios/fullnat.py`
//! makes what is played, and `tests/golden/packets/fullnat/README.md` says how they are reviewed.
//!
//! What is played is in the words of NAT, because nobody knows a local endpoint beforehand: its real servers answer to the
//! client's endpoint, and that stands for the local one of its conn.

use crate::capture;
use crate::kit::Left;
use crate::locals::{self, Flow};
use crate::outcome::Outcome;
use crate::packets::Replay;
use crate::recording::{Recorded, Recording, Side, Step};
use crate::shown;
use ipnet::IpNet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use uvs::wire::{Ethernet, describe};

/// Plays the cases of a folder and writes them into another one, which keeps their names.
pub fn record(recordings: &[Recording], from: &Path, to: &Path) -> bool {
    let mut outcome = Outcome::default();
    for recording in recordings {
        let case = recording.folder.strip_prefix(from).expect("the case is below the folder");
        outcome.compared += 1;
        if let Err(fault) = Recorder::new(recording).and_then(|recorder| recorder.write(&to.join(case))) {
            outcome.faults.push(format!("{}: {fault}", case.display()));
        }
    }
    outcome.report("recorded", format!("{} cases", outcome.compared), "")
}

struct Recorder<'a> {
    recording: &'a Recording,
    replay: Replay<'a>,
    /// With the step's number, of all steps so far.
    inputs: Vec<Recorded>,
    outputs: Vec<Recorded>,
    steps: String,
}

impl<'a> Recorder<'a> {
    fn new(recording: &'a Recording) -> Result<Self, String> {
        if recording.local_addresses().is_empty() {
            return Err("config.txt has no line \"fullnat PREFIX…\", so it is not FullNAT".into());
        }
        let replay = Replay::new(recording, 1)?;
        let (inputs, outputs) = (Vec::new(), Vec::new());
        Ok(Recorder { recording, replay, inputs, outputs, steps: String::new() })
    }

    fn write(mut self, folder: &Path) -> Result<(), String> {
        let began_ms = self.replay.lab.now_ms;
        let recording = self.recording;
        for step in &recording.steps {
            self.play(step, began_ms).map_err(|fault| format!("step {}: {fault}", step.step))?;
        }
        let written = |error: std::io::Error| format!("{}: {error}", folder.display());
        fs::create_dir_all(folder).map_err(written)?;
        fs::write(folder.join("config.txt"), &self.recording.config).map_err(written)?;
        fs::write(folder.join("steps.jsonl"), &self.steps).map_err(written)?;
        for (name, frames) in [("in.pcap", &self.inputs), ("out.pcap", &self.outputs)] {
            capture::write_at(&folder.join(name), stamped(frames));
        }
        Ok(())
    }

    fn play(&mut self, step: &'a Step, began_ms: u64) -> Result<(), String> {
        let inputs: Vec<_> = self.recording.inputs.iter().filter(|input| input.step == step.step).cloned().collect();
        self.replay.change(step)?;
        self.replay.wait_for(step);
        let ms = self.replay.lab.now_ms - began_ms;
        let mut left = Vec::new();
        for mut input in inputs {
            if input.side == Side::Lan {
                self.know(&input.bytes, step)?;
                self.replay.locals.rename_to_own(&mut input.bytes);
            }
            self.replay.put(&input);
            // The next one may be about what this one makes.
            let made = self.replay.lab.settle();
            made.iter().for_each(|made| self.pair(&input, &made.frame));
            left.extend(made);
            self.inputs.push(input);
        }
        left.extend(self.replay.wait_after(step));
        let left: Vec<_> = left.iter().map(|left| output(step.step, left)).collect();
        self.show(step, ms, began_ms, &left);
        self.outputs.extend(left);
        Ok(())
    }

    /// A real server answers to a client's endpoint: the conn says which local one that is. Of no conn it is one that no
    /// conn has, at the first local address.
    fn know(&mut self, frame: &[u8], step: &Step) -> Result<(), String> {
        for conn in self.replay.lab.conns() {
            let [client, server, local] =
                [conn.client(), conn.real_server(), conn.local()].map(|(address, port)| SocketAddr::new(address, port));
            self.replay.locals.bind(Flow { protocol: conn.protocol(), local: client, server }, local);
        }
        let Some(flow) = locals::received(frame) else { return Ok(()) };
        let pool = self.recording.local_addresses();
        let shown = step.shown.as_ref().ok_or("must say which servers there are")?;
        let of_server = shown
            .weights()?
            .iter()
            .any(|(server, _)| server.ip() == flow.server.ip() && [0, flow.server.port()].contains(&server.port()));
        let of_pool = pool.iter().any(|prefix| prefix.contains(&flow.local.ip()));
        if of_server && !of_pool && !self.replay.locals.knows(&flow) {
            let same_family = |prefix: &&IpNet| prefix.addr().is_ipv4() == flow.local.is_ipv4();
            let address = pool.iter().find(same_family).ok_or("no local address of this family")?.addr();
            self.replay.locals.bind(flow, SocketAddr::new(address, flow.local.port()));
        }
        Ok(())
    }

    /// A client's packet left as this one: so its endpoint is this local one, even if the conn is over already.
    fn pair(&mut self, input: &Recorded, left: &[u8]) {
        if let (Some(sent), Some(client)) = (self.replay.locals.sent(left), locals::source(&input.bytes)) {
            self.replay.locals.bind(Flow { local: client, ..sent }, sent.local);
        }
    }

    fn show(&mut self, step: &Step, ms: u64, began_ms: u64, left: &[Recorded]) {
        let lab = &mut self.replay.lab;
        let shown_ms = lab.now_ms - began_ms;
        let conns: Vec<_> = shown::conns(lab).into_iter().map(|(conn, left)| format!("{conn} {left}")).collect();
        let servers: Vec<_> = shown::servers(lab)
            .into_iter()
            .map(|(address, weight, active, inactive)| (address.to_string(), weight, active, inactive))
            .collect();
        let out: Vec<_> = left
            .iter()
            .map(|output| {
                serde_json::json!({"side": letter(output.side), "len": output.bytes.len(), "l3": describe(&output.bytes)})
            })
            .collect();
        let inputs = self.inputs.iter().filter(|input| input.step == step.step);
        let side = inputs.clone().next().map_or("c", |input| letter(input.side));
        let line = serde_json::json!({
            "step": step.step, "side": side, "what": step.what, "edits": step.edits.as_deref().unwrap_or_default(), "ms": ms,
            "shown_ms": shown_ms, "n_in": inputs.count(), "out": out, "conns": conns, "servers": servers,
        });
        self.steps += &format!("{line}\n");
    }
}

fn letter(side: Side) -> &'static str {
    match side {
        Side::Wan => "c",
        Side::Lan => "s",
    }
}

/// What left, with the MAC of the recorder's network.
fn output(step: u32, left: &Left) -> Recorded {
    let side = Side::BOTH[left.port];
    let mut bytes = left.frame.clone();
    Ethernet::of_mut(&mut bytes).expect("what leaves has an Ethernet header").set_source(side.mac());
    Recorded { step, side, bytes }
}

/// Step N has the time stamp N seconds, and its frames a millisecond more each.
fn stamped(frames: &[Recorded]) -> impl Iterator<Item = (usize, &[u8])> {
    frames.iter().enumerate().map(|(at, frame)| {
        let before = frames[..at].iter().filter(|other| other.step == frame.step).count();
        (frame.step as usize * 1_000 + before, frame.bytes.as_slice())
    })
}
