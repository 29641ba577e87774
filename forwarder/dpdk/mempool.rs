//! The buffers frames live in: one pool for the process, made at start, of a fixed size. When it is dry, a device receives
//! no more (counted as `no_buffer`) and `make` says no; nothing grows.

use super::error::last_words;
use super::{Eal, Error, Mbuf, Queues};
use crate::port::BURST;
use std::ptr::NonNull;
use std::sync::Arc;

/// Buffers a worker keeps for itself so that it seldom turns to the shared ring. 64 to 256 measured alike, 0 twice as dear.
const CACHE: u32 = 250;
/// A cache is flushed only when it has outgrown its size by half.
const CACHE_PEAK: u32 = CACHE + CACHE / 2;
/// What control makes and holds on its own: answers to ARP, the host's frames.
const SPARE: u32 = 512;
/// Ethernet, two VLAN tags and the CRC that some devices write behind the frame.
const AROUND_MTU: u32 = 14 + 2 * 4 + 4;
/// Room that fits every frame of a 1500-byte MTU, and what devices count in.
const ROOM_BYTES_MIN: u32 = 2048;

/// A handle to the pool. The pool itself stays until DPDK is cleaned up.
#[derive(Clone, Debug)]
pub struct Pool {
    raw: NonNull<dpdk_sys::rte_mempool>,
    frames: u32,
    frame_bytes_max: u32,
    _eal: Arc<()>,
}

// SAFETY: a mempool may be used by any number of threads at once; the rest is plain data.
unsafe impl Send for Pool {}
// SAFETY: as above.
unsafe impl Sync for Pool {}

impl Pool {
    /// Makes a pool that never runs dry while each device queue is full, each worker has its cache and two bursts, and
    /// `held_frames_max` frames wait for something. `mtu_max` is the largest of all ports.
    pub fn create(
        eal: &mut Eal,
        queues: &[Queues],
        workers: usize,
        held_frames_max: u32,
        mtu_max: u16,
    ) -> Result<Self, Error> {
        let in_queues: u32 = queues.iter().map(Queues::frames).sum();
        let frames = in_queues + workers as u32 * (CACHE_PEAK + 2 * BURST as u32) + held_frames_max + SPARE;
        let frame_bytes_max = (u32::from(mtu_max) + AROUND_MTU).next_multiple_of(64).max(ROOM_BYTES_MIN);
        let room = u16::try_from(frame_bytes_max + dpdk_sys::RTE_PKTMBUF_HEADROOM)
            .map_err(|_| Error::new("port.mtu", format!("{mtu_max}: a buffer holds 65 407 bytes at most")))?;
        let name = std::ffi::CString::new(format!("frames{}", eal.pools.len())).expect("a number has no zero byte");
        const ANY_SOCKET: i32 = -1;
        // SAFETY: name is a string; the call checks all sizes and returns null if one is wrong.
        let raw = unsafe { dpdk_sys::rte_pktmbuf_pool_create(name.as_ptr(), frames, CACHE, 0, room, ANY_SOCKET) };
        let raw = NonNull::new(raw).ok_or_else(|| {
            let megabytes = (u64::from(frames) * u64::from(u32::from(room) + 256)).div_ceil(1 << 20);
            let asked = eal.memory().asked_mb;
            let found = format!("{frames} frames need {megabytes} MB, eal.memory_mb is {asked}: {}", last_words());
            Error::new("frame pool", found)
        })?;
        eal.pools.push(raw);
        Ok(Pool { raw, frames, frame_bytes_max, _eal: eal.alive.clone() })
    }

    /// How many frames there are.
    pub fn frames(&self) -> u32 {
        self.frames
    }

    /// How many are free, workers' caches included. Exact only while nobody takes or gives any; it walks all caches.
    pub fn frames_free(&self) -> u32 {
        // SAFETY: the pool lives as long as this handle.
        unsafe { dpdk_sys::rte_mempool_avail_count(self.raw.as_ptr()) }
    }

    /// The longest frame a buffer takes behind the usual headroom.
    pub fn frame_bytes_max(&self) -> u32 {
        self.frame_bytes_max
    }

    /// An empty frame behind the usual headroom, or None if the pool is dry.
    #[inline(always)]
    pub(super) fn take(&self) -> Option<Mbuf> {
        // SAFETY: the pool lives as long as this handle.
        let raw = unsafe { dpdk_sys::shim_pktmbuf_alloc(self.raw.as_ptr()) };
        // SAFETY: a fresh mbuf is one segment and nobody else's.
        NonNull::new(raw).map(|raw| unsafe { Mbuf::from_raw(raw) })
    }

    pub(super) fn raw(&self) -> *mut dpdk_sys::rte_mempool {
        self.raw.as_ptr()
    }
}
