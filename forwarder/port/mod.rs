//! What a worker asks of a device: receive a burst, transmit a burst, make a frame. One code runs on a NIC, a capture
//! file and the tests' memory; only rx, tx, hand-off and growing a frame at its front touch the device's frame type,
//! everything else works on the bytes.

pub mod fault;
pub mod memory;
pub mod vlan;

use arrayvec::ArrayVec;

/// Frames handled together. 32 hides one DRAM miss per frame behind the others and still fits L1 with its arrays.
pub const BURST: usize = 32;

/// Frames on their way through a worker.
pub type Burst<F> = ArrayVec<F, BURST>;

/// One frame of a device: an owned buffer, starting at the Ethernet header. Moves between threads, is never shared.
/// Dropping a frame gives its buffer back.
///
/// Received frames are one segment, and so is every frame that is transmitted. In between, a reassembled packet is a chain:
/// its first segment has all headers, further ones are payload, and only what says so below sees them.
pub trait Frame: Send + Sized {
    /// The first segment's bytes.
    fn bytes(&self) -> &[u8];
    /// The first segment's bytes, to be rewritten in place.
    fn bytes_mut(&mut self) -> &mut [u8];
    /// Grows the frame by `count` bytes at its front. False, and nothing changed, if the headroom is shorter than that.
    fn prepend(&mut self, count: usize) -> bool;
    /// Cuts `count` bytes off the front. `count` is at most the frame's length.
    fn trim_front(&mut self, count: usize);
    /// Shortens the frame to its first `length` bytes (Ethernet padding behind an IP packet). No effect if it is shorter.
    fn truncate(&mut self, length: usize);
    /// Asks the CPU to load what says where the bytes are. For a frame that another core held.
    fn prefetch_descriptor(&self) {}
    /// Grows the frame, which is one segment, by these bytes at its end. False, and nothing changed, if the room behind it
    /// is shorter.
    fn push(&mut self, bytes: &[u8]) -> bool;
    /// Hangs a frame with all its segments behind this one, which is one segment.
    fn chain(&mut self, rest: Self);
    /// The bytes of each segment, the first one's first.
    fn segments(&self) -> impl Iterator<Item = &[u8]> + Clone;
    /// The bytes of all segments together.
    fn total_bytes(&self) -> usize {
        self.segments().map(<[u8]>::len).sum()
    }
    /// Asks the CPU to load the first line of the frame.
    fn prefetch(&self) {}
}

/// One worker's view of a port: its receive queue (none, if the device has fewer queues than workers) and its transmit queue.
pub trait Port: Send {
    /// The device's frame.
    type Frame: Frame;
    /// Appends received frames to `into`, up to its capacity.
    fn rx_burst(&mut self, into: &mut Burst<Self::Frame>);
    /// Transmits frames from the front of `frames` and removes them; what the device refuses stays.
    fn tx_burst(&mut self, frames: &mut Burst<Self::Frame>);
    /// A new frame holding a copy of `bytes` behind the device's usual headroom. None if the pool is dry or the bytes do not fit.
    fn make(&mut self, bytes: &[u8]) -> Option<Self::Frame>;
    /// Does what the device needs even if there is nothing to transmit. Called every 50 ms.
    fn keep_alive(&mut self) {}
    /// Takes the 802.1Q tag off a frame that this port received, if the device has not, and gives its id. None: it has none.
    #[inline]
    fn untag(&self, frame: &mut Self::Frame) -> Option<u16> {
        vlan::untag(frame)
    }
    /// Puts a tag on a frame that this port will transmit, or has the device do it. False: no room in front of the frame.
    #[inline]
    fn tag(&self, frame: &mut Self::Frame, id: u16) -> bool {
        vlan::tag(frame, id)
    }
}
