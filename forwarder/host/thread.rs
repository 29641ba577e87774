//! The thread between the rings and the kernel. It polls, because workers cannot wake it without a system call: as long as there
//! is something to carry without a pause, else in waits that grow to a millisecond.

use super::ring::{FrameSender, HostEnds, frame_room};
use super::tap::HostTap;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

/// Frames that one look takes from a ring, or from an interface: nobody waits long for the others.
const FRAMES_PER_LOOK: usize = 64;
/// Shortest and longest wait while nothing moves.
const WAIT_NS_MIN: i64 = 20_000;
const WAIT_NS_MAX: i64 = 1_000_000;
/// Looks that found nothing, before the first wait.
const EMPTY_LOOKS: u32 = 50;

/// What went through a host interface.
#[derive(Debug, Default)]
pub struct HostCounts {
    /// Frames that the kernel took.
    pub to_host: AtomicU64,
    /// Frames that the kernel sent.
    pub from_host: AtomicU64,
    /// Frames that the kernel did not take: the interface is down, or its memory is used up.
    pub refused: AtomicU64,
}

/// The running thread; it ends when it is dropped.
pub struct HostThread {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    counts: Vec<(u16, Arc<HostCounts>)>,
}

impl HostThread {
    /// Starts it, on the cores of the thread that calls.
    pub fn start(taps: Vec<HostTap>, ends: HostEnds) -> std::io::Result<HostThread> {
        let stop = Arc::new(AtomicBool::new(false));
        let taps: Vec<_> = taps.into_iter().map(|tap| (tap, Arc::new(HostCounts::default()))).collect();
        let counts = taps.iter().map(|(tap, counts)| (tap.port, counts.clone())).collect();
        let told = stop.clone();
        let run = move || carry(&taps, ends, &told);
        let thread = Some(std::thread::Builder::new().name("uvs-host".into()).spawn(run)?);
        Ok(HostThread { stop, thread, counts })
    }

    /// What went through the host interface of a port.
    pub fn counts(&self, port: u16) -> Option<&HostCounts> {
        self.counts.iter().find(|(hosted, _)| *hosted == port).map(|(_, counts)| &**counts)
    }
}

impl Drop for HostThread {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It panicked: the interfaces are gone all the same.
            let _ = thread.join();
        }
    }
}

fn carry(taps: &[(HostTap, Arc<HostCounts>)], mut ends: HostEnds, stop: &AtomicBool) {
    let mut room = frame_room();
    let (mut empty_looks, mut wait_ns) = (0, WAIT_NS_MIN);
    while !stop.load(Ordering::Relaxed) {
        let mut moved = false;
        for ring in &mut ends.from_workers {
            for _ in 0..FRAMES_PER_LOOK {
                let Some((port, frame)) = ring.pop(&mut room) else { break };
                moved = true;
                let Some((to, counts)) = taps.iter().find(|(tap, _)| tap.port == port) else { continue };
                let counter = if to.tap.send(frame).is_ok() { &counts.to_host } else { &counts.refused };
                counter.fetch_add(1, Ordering::Relaxed);
            }
        }
        for (tap, counts) in taps {
            moved |= read_from(tap, counts, ends.sender(tap.port), &mut room[..]);
        }
        if moved {
            (empty_looks, wait_ns) = (0, WAIT_NS_MIN);
        } else if empty_looks < EMPTY_LOOKS {
            empty_looks += 1;
        } else {
            wait(taps, &mut ends, wait_ns);
            wait_ns = (wait_ns * 2).min(WAIT_NS_MAX);
        }
    }
}

/// Takes frames of the kernel while their ring has room: what does not fit stays in the interface's queue, and senders wait.
fn read_from(tap: &HostTap, counts: &HostCounts, ring: &mut FrameSender, room: &mut [u8]) -> bool {
    for number in 0..FRAMES_PER_LOOK {
        let received = if ring.has_room() { tap.tap.recv(room).ok() } else { None };
        let Some(frame) = received.and_then(|bytes| room.get(..bytes)) else { return number > 0 };
        counts.from_host.fetch_add(u64::from(ring.push(tap.port, [frame]).is_ok()), Ordering::Relaxed);
    }
    true
}

/// Waits for the kernel, not for the workers, and never long. An interface whose ring is full is not waited for.
fn wait(taps: &[(HostTap, Arc<HostCounts>)], ends: &mut HostEnds, wait_ns: i64) {
    let mut ready: Vec<_> = taps
        .iter()
        .filter(|(tap, _)| ends.sender(tap.port).has_room())
        .map(|(tap, _)| PollFd::new(&tap.tap, PollFlags::IN))
        .collect();
    // An error (a signal) is a short wait.
    let _ = poll(&mut ready, Some(&Timespec { tv_sec: 0, tv_nsec: wait_ns }));
}
