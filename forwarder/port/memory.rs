//! A port in memory, and the cable to it: what the lab plugs its clients and servers into. It can be told to misbehave as
//! devices do: refuse to transmit, leave no headroom; and its buffers come from a pool that can run dry.

use super::{BURST, Burst, Frame, Port};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// Room in front of a frame, as DPDK leaves it.
const HEADROOM_BYTES: usize = 128;
/// Room for a frame behind that, as a pool for an MTU of 1500 gives it. A longer frame fits its buffer and nothing else.
const ROOM_BYTES: usize = 2_048;

/// Buffers that are free, of the pool that several ports take theirs from. A frame gives its own back when it ends.
#[derive(Clone)]
pub struct MemoryPool(Arc<AtomicUsize>);

impl Default for MemoryPool {
    /// A pool that no test empties.
    fn default() -> Self {
        Self(Arc::new(AtomicUsize::new(usize::MAX / 2)))
    }
}

impl MemoryPool {
    /// Buffers that are free now.
    pub fn free(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// From now on so many buffers are free: the others are somebody's who does not give them back.
    pub fn set_free(&self, frames: usize) {
        self.0.store(frames, Ordering::Relaxed);
    }

    /// A frame of these bytes. None: the pool is dry.
    fn make(&self, bytes: &[u8], headroom: usize) -> Option<MemoryFrame> {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| free.checked_sub(1)).ok()?;
        let tailroom = ROOM_BYTES.saturating_sub(bytes.len());
        let mut buffer = Vec::with_capacity(headroom + bytes.len() + tailroom);
        buffer.resize(headroom, 0);
        buffer.extend_from_slice(bytes);
        Some(MemoryFrame(Box::new(Segment { buffer, start: headroom, pool: self.clone(), tailroom, next: None })))
    }
}

/// A frame in memory. All its memory is taken when it is made: what a worker does with it takes none.
pub struct MemoryFrame(Box<Segment>);

struct Segment {
    buffer: Vec<u8>,
    start: usize,
    pool: MemoryPool,
    /// Bytes that may be added at its end.
    tailroom: usize,
    /// The next segment.
    next: Option<MemoryFrame>,
}

impl Drop for Segment {
    fn drop(&mut self) {
        self.pool.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Frame for MemoryFrame {
    fn bytes(&self) -> &[u8] {
        &self.0.buffer[self.0.start..]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        let Segment { buffer, start, .. } = &mut *self.0;
        &mut buffer[*start..]
    }

    fn prepend(&mut self, count: usize) -> bool {
        let fits = count <= self.0.start;
        if fits {
            self.0.start -= count;
        }
        fits
    }

    fn trim_front(&mut self, count: usize) {
        self.0.start += count;
    }

    fn truncate(&mut self, length: usize) {
        let length = self.0.start + length;
        self.0.buffer.truncate(length);
    }

    fn push(&mut self, bytes: &[u8]) -> bool {
        let fits = bytes.len() <= self.0.tailroom;
        if fits {
            self.0.tailroom -= bytes.len();
            self.0.buffer.extend_from_slice(bytes);
        }
        fits
    }

    fn chain(&mut self, rest: MemoryFrame) {
        assert!(self.0.next.is_none(), "a chain grows at its front");
        self.0.next = Some(rest);
    }

    fn segments(&self) -> impl Iterator<Item = &[u8]> + Clone {
        std::iter::successors(Some(self), |segment| segment.0.next.as_ref()).map(MemoryFrame::bytes)
    }
}

/// Both directions of one port, and how it misbehaves.
struct Wire {
    towards_director: VecDeque<Vec<u8>>,
    from_director: VecDeque<Vec<u8>>,
    headroom: usize,
    /// Frames it still takes before it refuses to transmit.
    tx_room: usize,
    /// Frames lost because the pool was dry.
    no_buffer: u64,
    pool: MemoryPool,
}

/// The lab's end of a [`MemoryPort`].
#[derive(Clone)]
pub struct Cable(Arc<Mutex<Wire>>);

/// The worker's end.
pub struct MemoryPort(Cable);

impl Cable {
    /// A cable with its port, which takes its buffers from this pool.
    pub fn new(pool: &MemoryPool) -> (Cable, MemoryPort) {
        let wire = Wire {
            towards_director: VecDeque::new(),
            from_director: VecDeque::new(),
            headroom: HEADROOM_BYTES,
            tx_room: usize::MAX,
            no_buffer: 0,
            pool: pool.clone(),
        };
        let cable = Cable(Arc::new(Mutex::new(wire)));
        (cable.clone(), MemoryPort(cable))
    }

    /// Puts a frame in.
    pub fn put(&self, frame: &[u8]) {
        self.wire().towards_director.push_back(frame.to_vec());
    }

    /// Takes what came out.
    pub fn take(&self) -> Vec<Vec<u8>> {
        self.wire().from_director.drain(..).collect()
    }

    /// Frames that were put in and not yet received.
    pub fn waiting(&self) -> usize {
        self.wire().towards_director.len()
    }

    /// From now on the port takes that many frames and refuses the rest.
    pub fn set_tx_room(&self, frames: usize) {
        self.wire().tx_room = frames;
    }

    /// Frames that came by this cable and were lost because the pool was dry.
    pub fn no_buffer(&self) -> u64 {
        self.wire().no_buffer
    }

    /// Room in front of the frames received from now on.
    pub fn set_headroom(&self, bytes: usize) {
        self.wire().headroom = bytes;
    }

    fn wire(&self) -> MutexGuard<'_, Wire> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Port for MemoryPort {
    type Frame = MemoryFrame;

    fn rx_burst(&mut self, into: &mut Burst<MemoryFrame>) {
        let wire = &mut *self.0.wire();
        let count = (BURST - into.len()).min(wire.towards_director.len());
        for bytes in wire.towards_director.drain(..count) {
            match wire.pool.make(&bytes, wire.headroom) {
                Some(frame) => into.push(frame),
                None => wire.no_buffer += 1,
            }
        }
    }

    fn tx_burst(&mut self, frames: &mut Burst<MemoryFrame>) {
        let mut wire = self.0.wire();
        let count = frames.len().min(wire.tx_room);
        assert!(frames.iter().all(|frame| frame.0.next.is_none()), "a chain is cut before it is transmitted");
        wire.tx_room -= count;
        wire.from_director.extend(frames.drain(..count).map(|frame| frame.bytes().to_vec()));
    }

    fn make(&mut self, bytes: &[u8]) -> Option<MemoryFrame> {
        self.0.wire().pool.make(bytes, HEADROOM_BYTES)
    }
}
