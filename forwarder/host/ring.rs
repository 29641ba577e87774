//! The rings between workers and the host's thread: bytes, not slots, so that a small frame takes little room and the longest fits.
//! One producer and one consumer each; a full ring is a drop with a name in one direction, and waiting in the other.
//!
//! ```text
//! | port 2 | length 2 | frame … | port 2 | length 2 | frame … |
//! ```

/// Longest frame: the largest MTU that a port may have, an Ethernet header, a VLAN tag.
pub const FRAME_BYTES_MAX: usize = config::limits::MTU_MAX as usize + 14 + 4;
/// Room of a ring: some 4000 of the shortest frames, 28 of the longest.
const RING_BYTES: usize = 256 << 10;
const HEADER_BYTES: usize = 4;

/// The end that frames are put in.
pub struct FrameSender(rtrb::Producer<u8>);

/// The end that frames come out.
pub struct FrameReceiver(rtrb::Consumer<u8>);

/// Why a frame is not in the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unpassed {
    /// No room now.
    Full,
    /// Longer than any frame of a port: there is never room.
    TooLong,
}

/// Room for one frame.
pub type FrameRoom = Box<[u8; FRAME_BYTES_MAX]>;

/// A ring of so many bytes.
fn ring(bytes: usize) -> (FrameSender, FrameReceiver) {
    let (producer, consumer) = rtrb::RingBuffer::new(bytes);
    (FrameSender(producer), FrameReceiver(consumer))
}

impl FrameSender {
    /// Copies a frame of a port, of so many segments, into the ring.
    #[inline]
    pub fn push<'a>(
        &mut self,
        port: u16,
        segments: impl IntoIterator<Item = &'a [u8], IntoIter: Clone>,
    ) -> Result<(), Unpassed> {
        let mut segments = segments.into_iter();
        let length: usize = segments.clone().map(<[u8]>::len).sum();
        if length > FRAME_BYTES_MAX {
            return Err(Unpassed::TooLong);
        }
        let bytes = HEADER_BYTES + length;
        if self.0.cached_slots() < bytes && self.0.slots() < bytes {
            return Err(Unpassed::Full);
        }
        let ([p0, p1], [l0, l1]) = (port.to_ne_bytes(), (length as u16).to_ne_bytes());
        // The receiver waits for the whole of a frame whose header it sees.
        let copied = self.0.push_entire_slice(&[p0, p1, l0, l1]).is_ok()
            && segments.all(|segment| self.0.push_entire_slice(segment).is_ok());
        if copied { Ok(()) } else { Err(Unpassed::Full) }
    }

    /// Whether any frame finds room.
    pub fn has_room(&self) -> bool {
        self.0.slots() >= HEADER_BYTES + FRAME_BYTES_MAX
    }
}

impl FrameReceiver {
    /// Takes the next frame out: its port and its bytes, copied to `room`.
    #[inline]
    pub fn pop<'a>(&mut self, room: &'a mut [u8; FRAME_BYTES_MAX]) -> Option<(u16, &'a [u8])> {
        let mut header = [0; HEADER_BYTES];
        {
            let chunk = self.0.read_chunk(HEADER_BYTES).ok()?;
            let (front, back) = chunk.as_slices();
            header[..front.len()].copy_from_slice(front);
            header[front.len()..].copy_from_slice(back);
        }
        let [p0, p1, l0, l1] = header;
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        if self.0.slots() < HEADER_BYTES + length {
            return None;
        }
        let frame = room.get_mut(..length)?;
        self.0.pop_entire_slice(&mut header).ok()?;
        self.0.pop_entire_slice(frame).ok()?;
        Some((u16::from_ne_bytes([p0, p1]), frame))
    }
}

/// A worker's ends.
pub struct WorkerHost {
    /// By port: has it a host interface?
    hosted: Vec<bool>,
    to_host: FrameSender,
    from_host: FrameReceiver,
}

impl WorkerHost {
    /// Whether the port has a host interface.
    #[inline]
    pub fn is_on(&self, port: usize) -> bool {
        self.hosted.get(port).is_some_and(|hosted| *hosted)
    }

    /// Copies a frame to the host interface of the port that it came by.
    #[inline]
    pub fn pass<'a>(&mut self, port: usize, segments: impl Iterator<Item = &'a [u8]> + Clone) -> Result<(), Unpassed> {
        self.to_host.push(port as u16, segments)
    }

    /// The next frame of the host.
    #[inline]
    pub fn take<'a>(&mut self, room: &'a mut [u8; FRAME_BYTES_MAX]) -> Option<(u16, &'a [u8])> {
        self.from_host.pop(room)
    }
}

/// The thread's ends, by worker.
pub struct HostEnds {
    /// Frames for the host.
    pub from_workers: Vec<FrameReceiver>,
    /// Frames of the host.
    pub to_workers: Vec<FrameSender>,
}

impl HostEnds {
    /// The ring for what the host sends by a port: always the same worker's, so that frames keep their order.
    pub fn sender(&mut self, port: u16) -> &mut FrameSender {
        let worker = usize::from(port) % self.to_workers.len();
        &mut self.to_workers[worker]
    }
}

/// The rings of all workers; `hosted` says of each port whether it has a host interface. If none has, they have no room.
pub fn rings(hosted: &[bool], workers: usize) -> (Vec<WorkerHost>, HostEnds) {
    let bytes = if hosted.contains(&true) { RING_BYTES } else { 0 };
    let mut ends = HostEnds { from_workers: Vec::new(), to_workers: Vec::new() };
    let worker = |_| {
        let ((to_host, from_worker), (to_worker, from_host)) = (ring(bytes), ring(bytes));
        ends.from_workers.push(from_worker);
        ends.to_workers.push(to_worker);
        WorkerHost { hosted: hosted.to_vec(), to_host, from_host }
    };
    ((0..workers).map(worker).collect(), ends)
}

/// A place for one frame, taken once.
pub fn frame_room() -> FrameRoom {
    Box::new([0; FRAME_BYTES_MAX])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    proptest! {
        /// Against a list: frames of all lengths, put in and taken out in any order, around the ring's end many times.
        #[test]
        fn a_ring_is_a_queue_with_a_bound(
            steps in proptest::collection::vec((any::<bool>(), 0usize..=FRAME_BYTES_MAX + 1), 1..400),
        ) {
            let (mut sender, mut receiver) = ring(RING_BYTES / 8);
            let (mut model, mut used, mut room) = (VecDeque::new(), 0, frame_room());
            for (number, (push, length)) in steps.into_iter().enumerate() {
                let bytes = HEADER_BYTES + length;
                if push {
                    let frame = vec![number as u8; length];
                    let expected = match () {
                        () if length > FRAME_BYTES_MAX => Err(Unpassed::TooLong),
                        () if used + bytes > RING_BYTES / 8 => Err(Unpassed::Full),
                        () => Ok(()),
                    };
                    let (first, rest) = frame.split_at(length / 3);
                    prop_assert_eq!(sender.push(number as u16, [first, rest]), expected);
                    if expected.is_ok() {
                        model.push_back((number as u16, frame));
                        used += bytes;
                    }
                } else {
                    let expected = model.pop_front();
                    used -= expected.as_ref().map_or(0, |(_, frame): &(u16, Vec<u8>)| HEADER_BYTES + frame.len());
                    prop_assert_eq!(receiver.pop(&mut room).map(|(port, frame)| (port, frame.to_vec())), expected);
                }
            }
        }
    }

    #[test]
    fn half_a_frame_is_not_taken() {
        let (mut sender, mut receiver) = ring(64);
        let mut room = frame_room();
        assert!(sender.0.push_entire_slice(&[3, 0, 2, 0]).is_ok());
        assert_eq!(receiver.pop(&mut room), None, "its header is there, its bytes are not");
        assert!(sender.0.push_entire_slice(b"ab").is_ok());
        assert_eq!(receiver.pop(&mut room), Some((3, &b"ab"[..])));
    }
}
