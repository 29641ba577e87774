//! A worker: one pass of its loop is [`Worker::turn`]. An lcore calls it again and again; the lab calls it with a virtual
//! clock. After start it does not allocate, lock (but while it admits a new conn), log or make a system call.

mod answer;
mod cutting;
mod deliver;
mod egress;
mod forward;
pub mod held;
mod host;
pub mod idle;
pub mod limit;
pub mod peers;
mod reassemble;
mod relay;
pub mod rings;
pub mod route;
mod translate;

use crate::director::WorkerParts;
use crate::fragments::Waiting;
use crate::host::WorkerHost;
use crate::host::ring::{FrameRoom, frame_room};
use crate::pipeline::{Batch, Class, Fate, Now, Parsed, Reason, Shard, Step, admit, track};
use crate::port::{Burst, Frame, Port};
use crate::snapshot::Snapshots;
use crate::stats::Published;
use conntrack::{Key, Seed};
use egress::{Egress, Incoming};
use held::Held;
use limit::{ANSWERS_BURST, AnswerLimit};
use peers::{Handed, Peers};
use reassemble::Whole;
use rings::{Order, Report, WorkerRings};
use route::{REDIRECTS_BURST, REDIRECTS_PER_S};
use std::sync::Arc;

/// Orders of control that one turn obeys.
const ORDERS_PER_TURN: usize = 32;
/// Milliseconds between two looks at what need not be looked at each turn.
const HOUSEKEEPING_MS: u64 = 50;
/// Idle turns between two publications of the counters.
const PUBLISH_TURNS: u64 = 256;

/// One device as a worker has it.
pub struct WorkerPort<P: Port> {
    /// The device's queues.
    pub device: P,
    /// The device's MAC, which all its interfaces have.
    pub mac: [u8; 6],
    /// The worker that transmits for this one: itself, if it has a transmit queue.
    pub sender: usize,
    /// The numbers of its interfaces, each with its VLAN id if it has one. All workers' numbers are the same, from 0 on.
    pub interfaces: Vec<(u8, Option<u16>)>,
}

/// By which interface the frames of a burst came.
#[derive(Clone, Copy)]
enum CameBy<'a> {
    One(u8),
    Each(&'a [u8]),
}

/// A worker and all it owns.
pub struct Worker<P: Port> {
    shard: Shard,
    egress: Egress<P>,
    held: Held<P::Frame>,
    fragments: Waiting<P::Frame>,
    /// Packets to work on behind this burst: those that its fragments made whole, and errors for real servers. Each frame is
    /// the cause of one at most.
    whole: Burst<Whole<P::Frame>>,
    answers: AnswerLimit,
    redirects: AnswerLimit,
    rings: WorkerRings,
    host: WorkerHost,
    host_room: FrameRoom,
    snapshots: Snapshots,
    published: Arc<Published>,
    /// The defences that were up when the counters were published last.
    defended: u64,
    housekeeping_ms: u64,
}

impl<P: Port> Worker<P> {
    /// A worker over these devices. `answers_per_s` 0: answers are not limited.
    pub fn new(parts: WorkerParts, ports: Vec<WorkerPort<P>>, peers: Peers<P::Frame>, answers_per_s: u64) -> Self {
        let WorkerParts { mut shard, rings, host, snapshots, published } = parts;
        let fragments = Waiting::new(Seed::new(std::array::from_fn(|_| shard.random.u64(..))));
        Self {
            shard,
            egress: Egress::new(ports, peers),
            held: Held::default(),
            fragments,
            whole: Burst::new(),
            answers: AnswerLimit::new(answers_per_s, ANSWERS_BURST),
            redirects: AnswerLimit::new(REDIRECTS_PER_S, REDIRECTS_BURST),
            rings,
            host,
            host_room: frame_room(),
            snapshots,
            published,
            defended: 0,
            housekeeping_ms: 0,
        }
    }

    /// One pass. True: there was something to do.
    pub fn turn(&mut self, now: Now) -> bool {
        self.take_up_snapshots(now);
        let mut busy = self.obey(now);
        for device in 0..self.egress.devices() {
            let mut frames = Burst::new();
            self.egress.receive(device, &mut frames);
            if frames.is_empty() {
                continue;
            }
            busy = true;
            self.shard.counts.received += frames.len() as u64;
            let mut batch = Batch::default();
            self.classify_received(device, &mut frames, &mut batch);
            if !self.shard.services.steering.is_single() {
                self.hand_out(&mut batch, &mut frames);
            }
            self.walk(&mut batch, &mut frames, now);
        }
        busy |= self.take_in(now);
        self.keep_house(now);
        busy |= self.send_for_host(busy, now);
        // After everything that sends: what is queued when a turn ends has no fate yet.
        self.egress.flush(&mut self.shard.counts);
        busy |= self.shard.expire(now);
        busy |= self.shard.end_orphans(now);
        // What a full ring loses is found among the idle ones: control goes through those meanwhile.
        self.shard.defend(now, |template| drop(self.rings.reports.push(Report::Unused(template))));
        self.publish(busy);
        busy
    }

    /// The stages behind classify.
    fn walk(&mut self, batch: &mut Batch, frames: &mut Burst<P::Frame>, now: Now) {
        batch.find(&self.shard, now);
        admit::admit(&mut self.shard, batch, now);
        self.refuse_long_replies(batch, frames);
        track::track(&mut self.shard, batch, now);
        self.dispatch(batch, frames, now);
        self.shard.remove_ended();
        // A burst makes 32 conns at most, and twice as many may end here: the table never fills with the dead.
        self.shard.expire(now);
        if !self.whole.is_empty() {
            self.hand_out_whole(now);
        }
    }

    /// Gives each frame of another worker's flow to that worker; this one's stay, in their order.
    fn hand_out(&mut self, batch: &mut Batch, frames: &mut Burst<P::Frame>) {
        for (i, frame) in std::mem::take(frames).into_iter().enumerate() {
            let steering = &self.shard.services.steering;
            let (parsed, key) = (batch.parsed[i], batch.keys[i]);
            let owner = match parsed.class {
                Class::Flow | Class::IcmpError if steering.has_marks() && self.shard.next_hops.is_local(key.src()) => {
                    steering.owner_from_own(&key)
                }
                Class::Flow | Class::IcmpError | Class::TunnelError => steering.owner(&key),
                Class::Fragment => steering.fragment_owner(&key),
                Class::Other | Class::Neighbor | Class::Refused(_) => self.egress.peers.own,
            };
            if owner == self.egress.peers.own {
                (batch.parsed[frames.len()], batch.keys[frames.len()]) = (parsed, key);
                frames.push(frame);
            } else if parsed.longest_fragment != 0 {
                let whole = Whole { frame, port: parsed.port.into(), longest_fragment: parsed.longest_fragment };
                self.egress.hand_whole(owner, whole, &mut self.shard.counts);
            } else {
                let handed = Handed::Flow { frame, port: parsed.port.into() };
                self.egress.hand(owner, handed, &mut self.shard.counts);
            }
        }
        batch.parsed.truncate(frames.len());
        batch.keys.truncate(frames.len());
        // The others need not wait until this one has done its own.
        self.egress.hand_over(&mut self.shard.counts);
    }

    /// Takes what other workers gave. True: there was something.
    fn take_in(&mut self, now: Now) -> bool {
        let before = self.shard.counts.handed_in;
        for other in 0..self.egress.peers.others() {
            let (mut frames, mut interfaces, mut finished) = (Burst::new(), Burst::new(), Burst::new());
            let (mut whole, mut segments, mut of_host) = (Burst::new(), 0, Burst::new());
            // A burst, whatever it is made of: a peer that hands over without end must not keep this worker from its queues.
            for handed in self.egress.peers.take(other) {
                self.shard.counts.handed_in += 1;
                match handed {
                    Handed::Flow { frame, port } => {
                        frame.prefetch_descriptor();
                        frames.push(frame);
                        interfaces.push(port as u8);
                    }
                    Handed::Whole { frame, port, longest_fragment } => {
                        segments += frame.segments().count();
                        whole.push(Whole { frame, port, longest_fragment });
                    }
                    Handed::Send { frame, port } => finished.push((frame, port)),
                    Handed::OfHost { frame, port } => of_host.push((frame, port)),
                }
            }
            if !whole.is_empty() {
                self.egress.peers.took_whole(segments);
                self.walk_whole(whole, now);
            }
            for (frame, port) in of_host {
                self.send_for_peer(frame, port, now);
            }
            for (frame, port) in finished {
                self.egress.send(usize::from(port), frame, &mut self.shard.counts);
            }
            if frames.is_empty() {
                continue;
            }
            let mut batch = Batch::default();
            self.classify(&frames, CameBy::Each(&interfaces), &mut batch);
            self.walk(&mut batch, &mut frames, now);
        }
        self.shard.counts.handed_in != before
    }

    /// The worker slept: its counters say so.
    pub fn slept(&mut self) {
        self.shard.counts.sleeps += 1;
    }

    /// The last words of a worker: nothing is held any more, and the counters say where everything went.
    pub fn stop(&mut self) {
        let counts = &mut self.shard.counts;
        counts.held = 0;
        self.held.clear(|_, reason| counts.count(Fate::Dropped(reason)));
        counts.dropped[Reason::Stopped as usize] += self.fragments.clear();
        for other in 0..self.egress.peers.others() {
            loop {
                let taken = self.egress.peers.take(other).count() as u64;
                if taken == 0 {
                    break;
                }
                counts.handed_in += taken;
                counts.dropped[Reason::Stopped as usize] += taken;
            }
        }
        self.egress.flush(counts);
        self.published.publish(counts);
    }

    /// What the worker owns beside its ports.
    pub fn shard(&self) -> &Shard {
        &self.shard
    }

    /// What the worker owns beside its ports, to be changed: for tests and benchmarks.
    pub fn shard_mut(&mut self) -> &mut Shard {
        &mut self.shard
    }

    /// The first stage, of a device's burst.
    #[inline]
    fn classify_received(&mut self, device: usize, frames: &mut Burst<P::Frame>, batch: &mut Batch) {
        match *self.egress.incoming(device) {
            Incoming::All(interface) => self.classify(frames, CameBy::One(interface), batch),
            Incoming::ByTag(_) => {
                let interfaces = self.egress.untag(device, frames, &mut self.shard.counts);
                self.classify(frames, CameBy::Each(&interfaces), batch);
            }
        }
    }

    /// The first stage, of frames without tags.
    fn classify(&self, frames: &Burst<P::Frame>, came_by: CameBy<'_>, batch: &mut Batch) {
        frames.iter().for_each(Frame::prefetch);
        for (i, frame) in frames.iter().enumerate() {
            let interface = match came_by {
                CameBy::One(interface) => interface,
                CameBy::Each(interfaces) => interfaces[i],
            };
            batch.add(frame.bytes(), interface, self.egress.mac(interface.into()));
        }
    }

    /// The last stage: each frame goes where its step says.
    fn dispatch(&mut self, batch: &Batch, frames: &mut Burst<P::Frame>, now: Now) {
        for (i, frame) in frames.drain(..).enumerate() {
            match batch.steps[i] {
                Step::Forward(hit) => self.forward(frame, &batch.parsed[i], hit, now),
                step => self.take_aside(frame, &batch.parsed[i], &batch.keys[i], step, now),
            }
        }
    }

    /// A frame that no conn carries on.
    fn take_aside(&mut self, frame: P::Frame, parsed: &Parsed, key: &Key, step: Step, now: Now) {
        let port = usize::from(parsed.port);
        match step {
            Step::Reassemble if self.is_hosts_alone(port, key.dst()) => self.pass(port, &frame),
            Step::Reassemble => self.reassemble(frame, parsed, key, now),
            Step::Neighbor => self.report_neighbor(port, frame),
            Step::Local => self.local(port, frame, parsed, now),
            Step::Stray => self.answer(port, frame, parsed, now),
            Step::Route => self.route(port, frame, parsed, Some(key), now),
            Step::Unmatched => self.refuse_unmatched(port, frame, parsed, now),
            Step::Refuse(reason, _) if self.host_listens(port, reason) => self.pass(port, &frame),
            Step::Refuse(reason, tell) => self.refuse(port, frame, parsed, reason, tell, now),
            Step::Admit | Step::Forward(_) => unreachable!("admit leaves no frame undecided"),
        }
    }

    fn take_up_snapshots(&mut self, now: Now) {
        if let Some(services) = self.snapshots.newer_services(&self.shard.services) {
            self.shard.services = services;
            self.shard.defenses.look_again();
        }
        if let Some(next_hops) = self.snapshots.newer_next_hops(&self.shard.next_hops) {
            self.shard.next_hops = next_hops;
            self.release_held(now);
        }
    }

    /// Does what control asked for. True: there was something.
    fn obey(&mut self, now: Now) -> bool {
        let mut obeyed = false;
        for _ in 0..ORDERS_PER_TURN {
            let Ok(order) = self.rings.orders.pop() else { break };
            obeyed = true;
            match order {
                Order::Send { port, frame } => self.egress.send_made(usize::from(port), &frame, &mut self.shard.counts),
                Order::List(mut listing) => {
                    listing.fill(&self.shard.table, now.tick);
                    self.rings.give_back(listing);
                }
                Order::EndOrphans => self.shard.begin_to_end_orphans(),
            }
        }
        obeyed
    }

    fn keep_house(&mut self, now: Now) {
        if now.ms < self.housekeeping_ms {
            return;
        }
        self.housekeeping_ms = now.ms + HOUSEKEEPING_MS;
        if !self.held.is_empty() {
            self.release_held(now);
        }
        self.expire_fragments(now);
        self.rings.forget_asked();
        self.egress.keep_alive();
        // What finds the ring full waits for the next time, and is counted on.
        while !self.rings.reports.is_full()
            && let Some(failure) = self.shard.local_ports.take_failure()
        {
            drop(self.rings.reports.push(Report::LocalPorts(failure)));
        }
    }

    fn publish(&mut self, busy: bool) {
        let counts = &mut self.shard.counts;
        counts.turns += 1;
        counts.busy_turns += u64::from(busy);
        // Frames that wait are let go by time and by snapshots, and defences go up and down, in turns that are idle otherwise.
        let held = (self.held.len() + self.fragments.fragments()) as u64;
        if busy || counts.held != held || self.defended != counts.defenses || counts.turns.is_multiple_of(PUBLISH_TURNS)
        {
            counts.conns = self.shard.table.len() as u64;
            counts.held = held;
            self.defended = counts.defenses;
            self.published.publish(counts);
        }
    }
}
