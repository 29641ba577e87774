//! Packet recordings through the lab: what the kernel was told and given, the director is told and given; after each step the
//! frames that left, the conns with their states and seconds left, and the servers' counters must be the kernel's.
//!
//! What was changed in mid-case stands in the step, or else is seen in the servers that the kernel listed afterwards.

use crate::compare::{Ids, Made, difference};
use crate::ipvsadm::Command;
use crate::kit::{Lab, Left, port_mac};
use crate::locals::Locals;
use crate::outcome::Outcome;
use crate::recorder::Setup;
use crate::recording::{Recorded, Recording, Side, Step};
use crate::shown;
use std::path::Path;
use uvs::services::ServiceKey;
use uvs::services::book::ServerSpec;
use uvs::wire::{Ethernet, describe};

/// The recorder waited so long for what a step causes.
const STEP_MS: u64 = 50;

/// Among the edits a line of a setting begins so, `name=value` behind it.
const SETTING: &str = "sysctl net/ipv4/vs/";

/// Neighbours of new servers are asked for.
const EDIT_MS: u64 = 10;

/// Replays all cases, of which `folder` need not be said. Gives the frames that were compared, too.
pub fn replay(recordings: &[Recording], folder: &Path, workers: usize) -> (Outcome, usize) {
    let (mut outcome, mut frames, mut wrong) = (Outcome::default(), 0, 0);
    for recording in recordings {
        let faults = match Replay::new(recording, workers) {
            Ok(mut replay) => recording.steps.iter().find_map(|step| {
                frames += recording.outputs.iter().filter(|output| output.step == step.step).count();
                let faults = replay.step(step);
                (!faults.is_empty()).then(|| (format!("step {} ({}): ", step.step, step.what), faults))
            }),
            Err(fault) => Some((String::new(), vec![fault])),
        };
        outcome.compared += 1;
        if let Some((place, faults)) = faults {
            let case = recording.folder.strip_prefix(folder).unwrap_or(&recording.folder).display();
            wrong += 1;
            outcome
                .faults
                .extend(faults.into_iter().map(|fault| format!("packets/{case}: {workers} workers: {place}{fault}")));
        }
    }
    outcome.wrong = Some(wrong);
    (outcome, frames)
}

/// One case under way.
pub struct Replay<'a> {
    recording: &'a Recording,
    setup: Setup<'a>,
    /// The director.
    pub lab: Lab,
    /// What the recording's local endpoints are here.
    pub locals: Locals,
    /// Whose frames come to which worker.
    random: fastrand::Rng,
    weights: Vec<(std::net::SocketAddr, u32)>,
    /// The service of the servers, and how a new one of them forwards.
    template: Option<(ServiceKey, ServerSpec)>,
    ids: Ids,
    /// When the case began, by the lab's clock.
    began_ms: Option<i64>,
}

impl<'a> Replay<'a> {
    /// A director that was told what the recorded one was told.
    pub fn new(recording: &'a Recording, workers: usize) -> Result<Self, String> {
        let edits = recording.edits()?;
        let setup = Setup::of(recording, workers);
        let mut lab = setup.lab()?;
        lab.control.set_marks(recording.marks()?);
        let mut template = None;
        for edit in edits {
            if let Command::AddServer(key, _, spec) = &edit {
                template = template.or(Some((*key, *spec)));
            }
            edit.apply(&mut lab.control)?;
        }
        // Neighbours of real servers are asked for.
        lab.advance(2_000);
        let weights = shown::weights(&mut lab);
        Ok(Replay {
            recording,
            setup,
            lab,
            locals: Locals::of(recording.local_addresses()),
            random: fastrand::Rng::with_seed(1),
            weights,
            template,
            ids: Ids::default(),
            began_ms: None,
        })
    }

    fn step(&mut self, step: &'a Step) -> Vec<String> {
        if let Err(fault) = self.change(step) {
            return vec![fault];
        }
        self.wait_for(step);
        // The kernel's ids come again; a packet's fragments leave in one step.
        self.ids = Ids::default();
        let recording = self.recording;
        for input in recording.inputs.iter().filter(|input| input.step == step.step) {
            match input.side {
                Side::Wan => self.put(input),
                Side::Lan => {
                    let mut input = input.clone();
                    self.locals.rename_to_own(&mut input.bytes);
                    self.put(&input);
                }
            }
        }
        let mut left = self.lab.settle();
        left.extend(self.wait_after(step));
        let mut faults = Vec::new();
        for side in Side::BOTH {
            faults.extend(self.frame_faults(step, side, &left));
        }
        faults.extend(step.shown.iter().flat_map(|kernel| shown::faults(&mut self.lab, kernel)));
        faults
    }

    /// The lab's clock goes on until the step's packets come.
    pub fn wait_for(&mut self, step: &Step) {
        let wait_ms = match (step.ms, &step.shown) {
            (Some(ms), _) => self.until(ms),
            // The recorder's clock ran on as it liked; conns that waited tell how far. A second more or less is rounding.
            (None, Some(kernel)) => shown::seconds_late(&mut self.lab, kernel).saturating_sub(1) * 1_000,
            (None, None) => 0,
        };
        self.lab.advance(wait_ms);
    }

    /// The lab's clock goes on until the step's conns were listed; what left meanwhile. The recorder did not always look, and then went on at
    /// once.
    pub fn wait_after(&mut self, step: &Step) -> Vec<Left> {
        let Some(shown) = &step.shown else { return Vec::new() };
        let wait_ms = shown.shown_ms.map_or(STEP_MS, |ms| self.until(ms));
        self.lab.advance(wait_ms)
    }

    /// The milliseconds until so long after the case began.
    fn until(&mut self, ms: u64) -> u64 {
        // Before a case's first step more time may have gone by than the lab has run.
        let (now_ms, ms) = (self.lab.now_ms as i64, ms as i64);
        let began_ms = *self.began_ms.get_or_insert(now_ms - ms);
        (began_ms + ms - now_ms).max(0) as u64
    }

    /// Puts a frame in, on any worker's queue.
    pub fn put(&mut self, input: &Recorded) {
        let port = input.side as usize;
        let mut bytes = input.bytes.clone();
        let ethernet = Ethernet::of_mut(&mut bytes).expect("a recorded frame has an Ethernet header");
        if !ethernet.destination().is_group() {
            ethernet.set_destination(port_mac(port));
        }
        let worker = self.random.usize(..self.lab.workers.len());
        self.lab.put_to(worker, port, &bytes);
    }

    fn frame_faults(&mut self, step: &Step, side: Side, left: &[Left]) -> Vec<String> {
        let found: Vec<_> = left.iter().filter(|left| left.port == side as usize).map(|left| &left.frame).collect();
        let expect: Vec<_> = self.recording.outputs_of(step.step, side).collect();
        let mut faults = Vec::new();
        for (at, output) in expect.iter().enumerate() {
            faults.extend(match found.get(at) {
                Some(found) => {
                    let made = Made::of(self.recording, output);
                    let found = match side {
                        Side::Wan => found.to_vec(),
                        Side::Lan => self.locals.as_if_recorded(&output.bytes, found, made.answer),
                    };
                    difference(output, &found, port_mac(side as usize), &made, &mut self.ids)
                }
                None => Some(format!("missing on the side {side:?}\n  expected {}", describe(&output.bytes))),
            });
        }
        for frame in found.iter().skip(expect.len()) {
            faults.push(format!("one more than expected on the side {side:?}\n  found    {}", describe(frame)));
        }
        faults
    }

    /// Between two steps somebody may have changed services or settings, or removed, edited or added servers.
    pub fn change(&mut self, step: &'a Step) -> Result<(), String> {
        let Some(edits) = &step.edits else { return self.change_servers(step) };
        for line in edits {
            if let Some(setting) = line.strip_prefix(SETTING) {
                self.setup.set(setting);
                self.lab.control.apply(self.setup.config()?).map_err(|refusals| refusals.join(", "))?;
                // The file, which has no marks, takes what is not in it.
                self.lab.control.set_marks(self.recording.marks()?);
                continue;
            }
            self.recording
                .command(line)?
                .apply(&mut self.lab.control)
                .map_err(|fault| format!("ipvsadm {line}: {fault}"))?;
        }
        if !edits.is_empty() {
            self.lab.advance(EDIT_MS);
        }
        Ok(())
    }

    fn change_servers(&mut self, step: &Step) -> Result<(), String> {
        let Some(kernel) = &step.shown else { return Ok(()) };
        let after = kernel.weights()?;
        let before = std::mem::replace(&mut self.weights, after.clone());
        let Some((key, spec)) = self.template else { return Ok(()) };
        let with = |weight| ServerSpec { weight, ..spec };
        for (address, _) in before.iter().filter(|(address, _)| after.iter().all(|(other, _)| other != address)) {
            Command::DeleteServer(key, *address).apply(&mut self.lab.control)?;
        }
        // New servers go to the head of the list.
        for (address, weight) in after.iter().rev() {
            match before.iter().find(|(other, _)| other == address) {
                Some((_, same)) if same == weight => {}
                Some(_) => Command::EditServer(key, *address, with(*weight)).apply(&mut self.lab.control)?,
                None => Command::AddServer(key, *address, with(*weight)).apply(&mut self.lab.control)?,
            }
        }
        self.lab.settle();
        Ok(())
    }
}
