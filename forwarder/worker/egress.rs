//! The way out: frames gather per port and leave in bursts. What a device refuses is dropped and counted, so that a port
//! that does not transmit holds up no other.

use super::WorkerPort;
use super::peers::{HandOver, Handed, Peers};
use crate::fragments::Cut;
use crate::fragments::cut::Next;
use crate::pipeline::{Fate, Reason, StationMac};
use crate::port::{Burst, Port};
use crate::stats::Counts;

struct Outgoing<P: Port> {
    port: WorkerPort<P>,
    mac: StationMac,
    frames: Burst<P::Frame>,
}

/// The ports of a worker, and its rings to the others.
pub struct Egress<P: Port> {
    ports: Vec<Outgoing<P>>,
    pub peers: Peers<P::Frame>,
}

impl<P: Port> Egress<P> {
    pub fn new(ports: Vec<WorkerPort<P>>, peers: Peers<P::Frame>) -> Self {
        let outgoing = |port: WorkerPort<P>| Outgoing { mac: StationMac::new(port.mac), port, frames: Burst::new() };
        Self { ports: ports.into_iter().map(outgoing).collect(), peers }
    }

    pub fn ports(&self) -> usize {
        self.ports.len()
    }

    #[inline]
    pub fn mac(&self, port: usize) -> StationMac {
        self.ports[port].mac
    }

    #[inline]
    pub fn receive(&mut self, port: usize, into: &mut Burst<P::Frame>) {
        self.ports[port].port.device.rx_burst(into);
    }

    /// Queues a frame; a full burst leaves at once.
    #[inline]
    pub fn send(&mut self, port: usize, frame: P::Frame, counts: &mut Counts) {
        let outgoing = &mut self.ports[port];
        if outgoing.port.sender != self.peers.own {
            let sender = outgoing.port.sender;
            return self.hand(sender, Handed::Send { frame, port: port as u16 }, counts);
        }
        if outgoing.frames.is_full() {
            outgoing.transmit(counts);
        }
        outgoing.frames.push(frame);
    }

    /// Queues the fragments of a packet, which is finished but for that.
    #[cold]
    pub fn send_in_fragments(&mut self, port: usize, packet: P::Frame, cut: Cut, counts: &mut Counts) {
        let fate = match cut.begin(&packet) {
            None => Fate::Dropped(Reason::TooBig),
            Some(mut cutter) => loop {
                match cutter.next(|head| self.ports[port].port.device.make(head)) {
                    Next::Fragment(frame) => {
                        counts.created += 1;
                        self.send(port, frame, counts);
                    }
                    Next::Done => break Fate::Consumed,
                    Next::NoBuffer => break Fate::Dropped(Reason::NoBuffer),
                }
            },
        };
        counts.count(fate);
    }

    /// Gives a frame to another worker, sooner or later in this turn.
    #[inline]
    pub fn hand(&mut self, to: usize, handed: Handed<P::Frame>, counts: &mut Counts) {
        account(self.peers.hand(to, handed), counts);
    }

    /// Gives a reassembled packet to another worker.
    #[cold]
    pub fn hand_whole(&mut self, to: usize, packet: P::Frame, port: u16, counts: &mut Counts) {
        account(self.peers.hand_whole(to, packet, port), counts);
    }

    /// What was given to other workers goes over.
    #[inline]
    pub fn hand_over(&mut self, counts: &mut Counts) {
        account(self.peers.flush(), counts);
    }

    /// A new frame of a port. None: its pool is dry.
    pub fn make(&mut self, port: usize, bytes: &[u8], counts: &mut Counts) -> Option<P::Frame> {
        let frame = self.ports.get_mut(port)?.port.device.make(bytes)?;
        counts.created += 1;
        Some(frame)
    }

    /// Makes a frame and queues it. One that cannot be made counts as made and dropped.
    pub fn send_made(&mut self, port: usize, bytes: &[u8], counts: &mut Counts) {
        match self.make(port, bytes, counts) {
            Some(frame) => self.send(port, frame, counts),
            None => {
                counts.created += 1;
                counts.count(Fate::Dropped(Reason::NoBuffer));
            }
        }
    }

    /// Transmits what is queued.
    #[inline]
    pub fn flush(&mut self, counts: &mut Counts) {
        self.hand_over(counts);
        for outgoing in &mut self.ports {
            if !outgoing.frames.is_empty() {
                outgoing.transmit(counts);
            }
        }
    }
}

fn account(done: HandOver, counts: &mut Counts) {
    counts.handed_out += done.handed;
    counts.dropped[Reason::HandoffFull as usize] += done.refused;
}

impl<P: Port> Outgoing<P> {
    fn transmit(&mut self, counts: &mut Counts) {
        let queued = self.frames.len();
        self.port.device.tx_burst(&mut self.frames);
        counts.sent += (queued - self.frames.len()) as u64;
        for _refused in self.frames.drain(..) {
            counts.count(Fate::Dropped(Reason::TxRefused));
        }
    }
}
