//! The way out: frames gather per port and leave in bursts. What a device refuses is dropped and counted, so that a port
//! that does not transmit holds up no other.

use super::WorkerPort;
use crate::pipeline::{Fate, Reason, StationMac};
use crate::port::{Burst, Port};
use crate::stats::Counts;

struct Outgoing<P: Port> {
    port: WorkerPort<P>,
    mac: StationMac,
    frames: Burst<P::Frame>,
}

/// The ports of a worker.
pub struct Egress<P: Port>(Vec<Outgoing<P>>);

impl<P: Port> Egress<P> {
    pub fn new(ports: Vec<WorkerPort<P>>) -> Self {
        let outgoing = |port: WorkerPort<P>| Outgoing { mac: StationMac::new(port.mac), port, frames: Burst::new() };
        Self(ports.into_iter().map(outgoing).collect())
    }

    pub fn ports(&self) -> usize {
        self.0.len()
    }

    #[inline]
    pub fn mac(&self, port: usize) -> StationMac {
        self.0[port].mac
    }

    #[inline]
    pub fn receive(&mut self, port: usize, into: &mut Burst<P::Frame>) {
        self.0[port].port.device.rx_burst(into);
    }

    /// Queues a frame; a full burst leaves at once.
    #[inline]
    pub fn send(&mut self, port: usize, frame: P::Frame, counts: &mut Counts) {
        let outgoing = &mut self.0[port];
        if outgoing.frames.is_full() {
            outgoing.transmit(counts);
        }
        outgoing.frames.push(frame);
    }

    /// A new frame of a port. None: its pool is dry.
    pub fn make(&mut self, port: usize, bytes: &[u8], counts: &mut Counts) -> Option<P::Frame> {
        let frame = self.0.get_mut(port)?.port.device.make(bytes)?;
        counts.created += 1;
        Some(frame)
    }

    /// Makes a frame and queues it.
    pub fn send_made(&mut self, port: usize, bytes: &[u8], counts: &mut Counts) {
        if let Some(frame) = self.make(port, bytes, counts) {
            self.send(port, frame, counts);
        }
    }

    /// Transmits what is queued.
    #[inline]
    pub fn flush(&mut self, counts: &mut Counts) {
        for outgoing in &mut self.0 {
            if !outgoing.frames.is_empty() {
                outgoing.transmit(counts);
            }
        }
    }
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
