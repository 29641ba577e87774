//! How frames go from worker to worker: one ring from each to each, with one producer and one consumer. A frame goes to the
//! owner of its flow; a finished frame goes to a worker that has a transmit queue of its port.
//!
//! What two cores write costs more than what one of them computes: so frames gather here and go over in bursts, as they do at a
//! device, four to a cache line, and the owner classifies a frame again instead of being sent what was found. A reassembled
//! packet is many frames: how many of them lie in rings is counted, by all workers together.

use super::reassemble::Whole;
use crate::port::{BURST, Burst, Frame};
use rtrb::chunks::ChunkError;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Frames that one worker may have under way to all others together: so much of the mempool may lie in its rings.
pub const HANDED_MAX: usize = 1_024;

/// Frames that may lie in all workers' rings together as segments of reassembled packets: a dozen of the longest.
pub const CHAINED_MAX: usize = 1_024;

/// A frame on its way to another worker.
pub enum Handed<F> {
    /// The receiver owns its flow.
    Flow {
        /// The frame.
        frame: F,
        /// The port it came by.
        port: u16,
    },
    /// A reassembled packet: as Flow, and it counts towards [`CHAINED_MAX`].
    Whole {
        /// The packet.
        frame: F,
        /// The port its last fragment came by.
        port: u16,
        /// Bytes of the longest of its fragments.
        longest_fragment: u16,
    },
    /// The host sends it, and the receiver owns the conn that it is a reply of, if there is one.
    OfHost {
        /// The frame.
        frame: F,
        /// The port it leaves by.
        port: u16,
    },
    /// It is finished; the receiver has a transmit queue of this port.
    Send {
        /// The frame.
        frame: F,
        /// The port's number.
        port: u16,
    },
}

const _: () = assert!(size_of::<Handed<&u8>>() == 16, "four to a cache line");

/// One worker's ends of the rings to and from the others.
pub struct Peers<F> {
    /// This worker's number.
    pub own: usize,
    /// To each worker, by number; none to itself.
    to: Vec<Option<Outgoing<F>>>,
    /// From each other worker.
    from: Vec<rtrb::Consumer<Handed<F>>>,
    /// Segments of reassembled packets in all rings.
    chained: Arc<AtomicUsize>,
}

struct Outgoing<F> {
    ring: rtrb::Producer<Handed<F>>,
    gathered: Burst<Handed<F>>,
}

impl<F: Frame> Peers<F> {
    /// The ends of all workers, by number.
    pub fn of(workers: usize) -> Vec<Peers<F>> {
        let chained = Arc::new(AtomicUsize::new(0));
        let empty =
            |own| Peers { own, to: (0..workers).map(|_| None).collect(), from: Vec::new(), chained: chained.clone() };
        let mut all: Vec<Peers<F>> = (0..workers).map(empty).collect();
        for from in 0..workers {
            for to in (0..workers).filter(|&to| to != from) {
                let (producer, consumer) = rtrb::RingBuffer::new(HANDED_MAX / (workers - 1));
                all[from].to[to] = Some(Outgoing { ring: producer, gathered: Burst::new() });
                all[to].from.push(consumer);
            }
        }
        all
    }

    /// How many others there are.
    pub fn others(&self) -> usize {
        self.from.len()
    }

    /// Gives a frame to another worker; a full burst goes over at once.
    #[inline]
    pub fn hand(&mut self, to: usize, handed: Handed<F>) -> HandOver {
        let Some(outgoing) = &mut self.to[to] else { unreachable!("a worker hands nothing to itself") };
        let done = if outgoing.gathered.is_full() { outgoing.flush(&self.chained) } else { HandOver::default() };
        outgoing.gathered.push(handed);
        done
    }

    /// Gives a reassembled packet to another worker that owns its flow, unless too much lies in the rings.
    #[cold]
    pub(super) fn hand_whole(&mut self, to: usize, packet: Whole<F>) -> HandOver {
        let Whole { frame, port, longest_fragment } = packet;
        let segments = frame.segments().count();
        if self.chained.fetch_add(segments, Ordering::Relaxed) + segments > CHAINED_MAX {
            self.chained.fetch_sub(segments, Ordering::Relaxed);
            return HandOver { handed: 0, refused: 1 };
        }
        self.hand(to, Handed::Whole { frame, port, longest_fragment })
    }

    /// Reassembled packets of that many segments were taken.
    #[cold]
    pub fn took_whole(&self, segments: usize) {
        self.chained.fetch_sub(segments, Ordering::Relaxed);
    }

    /// What gathered goes over.
    #[inline]
    pub fn flush(&mut self) -> HandOver {
        let gathered = self.to.iter_mut().flatten().filter(|outgoing| !outgoing.gathered.is_empty());
        gathered.map(|outgoing| outgoing.flush(&self.chained)).fold(HandOver::default(), |sum, one| HandOver {
            handed: sum.handed + one.handed,
            refused: sum.refused + one.refused,
        })
    }

    /// The next frames, a burst at most, that the i-th of the others gave.
    #[inline]
    pub fn take(&mut self, other: usize) -> impl Iterator<Item = Handed<F>> {
        let ring = &mut self.from[other];
        let ready = match ring.read_chunk(BURST) {
            Ok(_) => BURST,
            Err(ChunkError::TooFewSlots(ready)) => ready,
        };
        ring.read_chunk(ready).into_iter().flatten()
    }
}

/// What became of frames that went over.
#[derive(Clone, Copy, Debug, Default)]
pub struct HandOver {
    /// The ring took them.
    pub handed: u64,
    /// The ring was full; they are freed.
    pub refused: u64,
}

impl<F: Frame> Outgoing<F> {
    fn flush(&mut self, chained: &AtomicUsize) -> HandOver {
        let gathered = self.gathered.len();
        let room = match self.ring.write_chunk_uninit(gathered) {
            Ok(_) => gathered,
            Err(ChunkError::TooFewSlots(room)) => room,
        };
        let chunk = self.ring.write_chunk_uninit(room);
        let handed = chunk.map_or(0, |chunk| chunk.fill_from_iter(self.gathered.drain(..room)));
        for refused in self.gathered.drain(..) {
            if let Handed::Whole { frame, .. } = refused {
                chained.fetch_sub(frame.segments().count(), Ordering::Relaxed);
            }
        }
        HandOver { handed: handed as u64, refused: (gathered - handed) as u64 }
    }
}
