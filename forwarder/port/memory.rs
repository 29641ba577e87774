//! A port in memory, and the cable to it: what the lab plugs its clients and servers into. It can be told to misbehave as
//! devices do: refuse to transmit, run out of buffers, leave no headroom.

use super::{BURST, Burst, Frame, Port};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

/// Room in front of a frame, as DPDK leaves it.
const HEADROOM_BYTES: usize = 128;

/// A frame in memory.
pub struct MemoryFrame {
    buffer: Vec<u8>,
    start: usize,
}

impl MemoryFrame {
    fn new(bytes: &[u8], headroom: usize) -> Self {
        let mut buffer = vec![0; headroom];
        buffer.extend_from_slice(bytes);
        Self { buffer, start: headroom }
    }
}

impl Frame for MemoryFrame {
    fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[self.start..]
    }

    fn prepend(&mut self, count: usize) -> bool {
        let fits = count <= self.start;
        if fits {
            self.start -= count;
        }
        fits
    }

    fn trim_front(&mut self, count: usize) {
        self.start += count;
    }

    fn truncate(&mut self, length: usize) {
        self.buffer.truncate(self.start + length);
    }
}

/// Both directions of one port, and how it misbehaves.
struct Wire {
    towards_director: VecDeque<Vec<u8>>,
    from_director: VecDeque<Vec<u8>>,
    headroom: usize,
    /// Frames it still takes before it refuses to transmit.
    tx_room: usize,
    /// Frames it still makes before its pool is dry.
    pool: usize,
}

/// The lab's end of a [`MemoryPort`].
#[derive(Clone)]
pub struct Cable(Arc<Mutex<Wire>>);

/// The worker's end.
pub struct MemoryPort(Cable);

impl Cable {
    /// A cable with its port.
    pub fn new() -> (Cable, MemoryPort) {
        let wire = Wire {
            towards_director: VecDeque::new(),
            from_director: VecDeque::new(),
            headroom: HEADROOM_BYTES,
            tx_room: usize::MAX,
            pool: usize::MAX,
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

    /// From now on the port's pool has that many buffers for frames made by the director.
    pub fn set_pool(&self, frames: usize) {
        self.wire().pool = frames;
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
        let mut wire = self.0.wire();
        let headroom = wire.headroom;
        let count = (BURST - into.len()).min(wire.towards_director.len());
        into.extend(wire.towards_director.drain(..count).map(|bytes| MemoryFrame::new(&bytes, headroom)));
    }

    fn tx_burst(&mut self, frames: &mut Burst<MemoryFrame>) {
        let mut wire = self.0.wire();
        let count = frames.len().min(wire.tx_room);
        wire.tx_room -= count;
        wire.from_director.extend(frames.drain(..count).map(|frame| frame.bytes().to_vec()));
    }

    fn make(&mut self, bytes: &[u8]) -> Option<MemoryFrame> {
        let mut wire = self.0.wire();
        wire.pool = wire.pool.checked_sub(1)?;
        Some(MemoryFrame::new(bytes, HEADROOM_BYTES))
    }
}
