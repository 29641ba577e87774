//! How frames go from worker to worker: one ring from each to each, with one producer and one consumer. A frame goes to the
//! owner of its flow with what classify found; a finished frame goes to a worker that has a transmit queue of its port.

use crate::pipeline::Parsed;
use conntrack::Key;

/// Frames that one worker may have under way to all others together: so much of the mempool may lie in its rings.
pub const HANDED_MAX: usize = 1_024;

/// A frame on its way to another worker.
pub enum Handed<F> {
    /// The receiver owns its flow.
    Flow {
        /// The frame.
        frame: F,
        /// What classify found.
        parsed: Parsed,
        /// Its flow.
        key: Key,
    },
    /// It is finished; the receiver has a transmit queue of this port.
    Send {
        /// The frame.
        frame: F,
        /// The port's number.
        port: u16,
    },
}

/// One worker's ends of the rings to and from the others.
pub struct Peers<F> {
    /// This worker's number.
    pub own: usize,
    /// To each worker, by number; none to itself.
    to: Vec<Option<rtrb::Producer<Handed<F>>>>,
    /// From each other worker.
    from: Vec<rtrb::Consumer<Handed<F>>>,
}

impl<F> Peers<F> {
    /// The ends of all workers, by number.
    pub fn of(workers: usize) -> Vec<Peers<F>> {
        let empty = |own| Peers { own, to: (0..workers).map(|_| None).collect(), from: Vec::new() };
        let mut all: Vec<Peers<F>> = (0..workers).map(empty).collect();
        for from in 0..workers {
            for to in (0..workers).filter(|&to| to != from) {
                let (producer, consumer) = rtrb::RingBuffer::new(HANDED_MAX / (workers - 1));
                all[from].to[to] = Some(producer);
                all[to].from.push(consumer);
            }
        }
        all
    }

    /// How many others there are.
    pub fn others(&self) -> usize {
        self.from.len()
    }

    /// Gives a frame to another worker. False: the ring is full, and the frame is freed.
    #[inline]
    pub fn hand(&mut self, to: usize, handed: Handed<F>) -> bool {
        self.to[to].as_mut().is_some_and(|ring| ring.push(handed).is_ok())
    }

    /// The next frame that the i-th of the others gave.
    #[inline]
    pub fn take(&mut self, other: usize) -> Option<Handed<F>> {
        self.from[other].pop().ok()
    }
}
