//! One worker's view of a device: its own queues, so no lock; the process's pool, through its own cache.

use super::{Mbuf, Pool, VlanOffload, unfinished};
use crate::port::{BURST, Burst, Frame, Port, vlan};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A device's queues of one worker. `Device::start` makes each of them once, so no queue has two users.
#[derive(Debug)]
pub struct DpdkPort {
    pub(super) port_id: u16,
    pub(super) rx_queue: Option<u16>,
    pub(super) tx_queue: Option<u16>,
    pub(super) pool: Pool,
    pub(super) vlan: VlanOffload,
    /// It is a bond of other devices.
    pub(super) bond: bool,
    /// Shared with the device, which stops only when nobody else holds it.
    pub(super) refused: Arc<RxRefused>,
}

/// What a device's frames needed before, or instead of, being handed on; all its queues together. Rare, so atomics.
#[derive(Debug, Default)]
pub struct RxRefused {
    chained: AtomicU64,
    finished: AtomicU64,
}

impl RxRefused {
    /// Frames dropped because they came in several segments: longer than a buffer.
    pub fn chained(&self) -> u64 {
        self.chained.load(Ordering::Relaxed)
    }

    /// Frames handed on after their unfinished checksum was computed.
    pub fn finished(&self) -> u64 {
        self.finished.load(Ordering::Relaxed)
    }
}

impl DpdkPort {
    /// Whether this worker has a transmit queue. Without one, `tx_burst` takes nothing: hand the frames to a worker that has.
    pub fn can_send(&self) -> bool {
        self.tx_queue.is_some()
    }

    /// Whether this worker has a receive queue.
    pub fn can_receive(&self) -> bool {
        self.rx_queue.is_some()
    }

    /// Readies frames that are not all plain, gives back those that cannot be used, and closes the gaps. Returns how many
    /// are left.
    fn admit(&self, first: *mut Mbuf, received: usize) -> usize {
        // A tag that was taken off is read before anything else is done with the frame.
        let tag = if self.vlan.strips { dpdk_sys::SHIM_RX_VLAN_STRIPPED } else { 0 };
        let kept = dpdk_sys::SHIM_BUFFER_FLAGS | tag;
        let mut ready = 0;
        for index in 0..received {
            // SAFETY: the caller owns `received` frames from `first` on; each is taken out once, and written back at or
            // before its place.
            unsafe {
                let mut frame = first.add(index).read();
                let header = frame.raw();
                let ol_flags = (*header).ol_flags;
                if (*header).nb_segs != 1 {
                    self.refused.chained.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                if unfinished::is_marked(ol_flags) {
                    unfinished::finish(&mut frame);
                    self.refused.finished.fetch_add(1, Ordering::Relaxed);
                }
                // Else a sending device might take a receiver's flag for a wish of ours. Who frees the buffer is kept.
                (*header).ol_flags = ol_flags & kept;
                first.add(ready).write(frame);
            }
            ready += 1;
        }
        ready
    }
}

impl Port for DpdkPort {
    type Frame = Mbuf;

    /// Give it an empty burst: some drivers receive nothing into room for fewer than four or eight frames.
    #[inline]
    fn rx_burst(&mut self, into: &mut Burst<Mbuf>) {
        let Some(queue) = self.rx_queue else { return };
        let kept = into.len();
        // SAFETY: kept is at most the capacity.
        let free = unsafe { into.as_mut_ptr().add(kept) };
        let room = (BURST - kept) as u16;
        // SAFETY: the device is started, and stays so while self.refused is shared; the queue is this worker's; there is
        // room for that many pointers behind what the burst holds, and an Mbuf is such a pointer.
        let received = unsafe { dpdk_sys::rx_burst(self.port_id, queue, free.cast(), room) }.into();
        let mut odd = 0;
        for index in 0..received {
            // SAFETY: the device wrote `received` valid mbufs.
            let header = unsafe { &**free.add(index).cast::<*const dpdk_sys::rte_mbuf>() };
            odd |= header.ol_flags | u64::from(header.nb_segs ^ 1);
        }
        let ready = if odd == 0 { received } else { self.admit(free, received) };
        // SAFETY: `ready` valid frames lie behind those that were there.
        unsafe { into.set_len(kept + ready) };
    }

    #[inline]
    fn tx_burst(&mut self, frames: &mut Burst<Mbuf>) {
        let Some(queue) = self.tx_queue else { return };
        let count = frames.len();
        let first = frames.as_mut_ptr();
        // SAFETY: as in rx_burst; the burst owns `count` valid mbufs, and an Mbuf is a pointer to one.
        let sent: usize = unsafe { dpdk_sys::tx_burst(self.port_id, queue, first.cast(), count as u16) }.into();
        // SAFETY: the device owns the first `sent` now; the others move to the front, and only those are counted.
        unsafe {
            ptr::copy(first.add(sent), first, count - sent);
            frames.set_len(count - sent);
        }
    }

    #[inline]
    fn make(&mut self, bytes: &[u8]) -> Option<Mbuf> {
        let mut frame = self.pool.take()?;
        frame.push(bytes).then_some(frame)
    }

    /// A bond sends its LACP frames when it is asked to transmit, and wants to be asked ten times a second.
    fn keep_alive(&mut self) {
        if self.bond {
            self.tx_burst(&mut Burst::new());
        }
    }

    #[inline]
    fn untag(&self, frame: &mut Mbuf) -> Option<u16> {
        match self.vlan.strips {
            true => frame.take_stripped_tag().or_else(|| vlan::untag(frame)),
            false => vlan::untag(frame),
        }
    }

    #[inline]
    fn tag(&self, frame: &mut Mbuf, id: u16) -> bool {
        if self.vlan.inserts {
            frame.ask_for_tag(id);
            return true;
        }
        vlan::tag(frame, id)
    }
}
