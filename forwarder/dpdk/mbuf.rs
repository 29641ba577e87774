//! An owned DPDK buffer with one frame in it.
//!
//! ```text
//!   buf_addr        data_off                      + data_len          buf_len
//!      │ headroom, 128 │ the frame's bytes            │ tailroom          │
//!      └───────────────┴──────────────────────────────┴──────────────────┘
//!        prepend ◀──── │ ────▶ trim_front    truncate │
//! ```
//!
//! One owner: not `Clone`, so a buffer is given back exactly once. What receives and what makes frames lets no chain of
//! segments in; `chain` makes one of frames that are owned, and freeing its first segment frees all.
//!
//! ```text
//!   first mbuf              next ─▶ second mbuf             next ─▶ …             pkt_len, nb_segs: in the first, of all
//!   | Ethernet, IP, … data |        | data |                                      data_len: each mbuf's own
//! ```

use crate::port::Frame;
use dpdk_sys::rte_mbuf;
use std::ptr::NonNull;
use std::slice;

/// An owned frame, as wide as DPDK's pointer, so that an array of it is the array that bursts take.
#[derive(Debug)]
#[repr(transparent)]
pub struct Mbuf(NonNull<rte_mbuf>);

// SAFETY: the buffer has one owner, and may be given back to its pool by any thread.
unsafe impl Send for Mbuf {}

impl Mbuf {
    /// Takes ownership.
    ///
    /// # Safety
    /// `raw` is a valid mbuf of one segment, its `next` null, that nobody else uses.
    #[inline(always)]
    pub(super) unsafe fn from_raw(raw: NonNull<rte_mbuf>) -> Self {
        Mbuf(raw)
    }

    /// The mbuf, still owned by `self`.
    #[inline(always)]
    pub(super) fn raw(&self) -> *mut rte_mbuf {
        self.0.as_ptr()
    }

    /// Marks the frame as virtio marks one whose sender left its TCP or UDP checksum to be finished by a device. For tests:
    /// what sends it to a `net_ring` gets it back finished.
    #[doc(hidden)]
    pub fn leave_checksum_unfinished(&mut self) {
        self.header_mut().ol_flags |= dpdk_sys::SHIM_RX_L4_CKSUM_NONE;
    }

    /// The tag that the device took off the frame, if it did; once.
    #[inline]
    pub(super) fn take_stripped_tag(&mut self) -> Option<u16> {
        let header = self.header_mut();
        let stripped = header.ol_flags & dpdk_sys::SHIM_RX_VLAN_STRIPPED != 0;
        // Else a sending device might take a receiver's flag for a wish of ours. Who frees the buffer is kept.
        header.ol_flags &= dpdk_sys::SHIM_BUFFER_FLAGS;
        stripped.then_some(header.vlan_tci)
    }

    /// Has the device that transmits the frame put a tag on it.
    #[inline]
    pub(super) fn ask_for_tag(&mut self, id: u16) {
        let header = self.header_mut();
        header.ol_flags |= dpdk_sys::SHIM_TX_VLAN;
        header.vlan_tci = id;
    }

    #[inline(always)]
    fn header(&self) -> &rte_mbuf {
        // SAFETY: the mbuf is valid, and borrowed as self is.
        unsafe { self.0.as_ref() }
    }

    #[inline(always)]
    fn header_mut(&mut self) -> &mut rte_mbuf {
        // SAFETY: the mbuf is valid, owned, and borrowed as self is.
        unsafe { self.0.as_mut() }
    }

    #[inline(always)]
    fn start(&self) -> *mut u8 {
        let header = self.header();
        // SAFETY: data_off is at most buf_len, so the result is within the buffer or one past its end.
        unsafe { header.buf_addr.cast::<u8>().add(header.data_off.into()) }
    }

    /// Sets the first segment's length; what hangs behind it stays.
    #[inline(always)]
    fn set_length(&mut self, length: usize) {
        let header = self.header_mut();
        header.pkt_len = header.pkt_len - u32::from(header.data_len) + length as u32;
        header.data_len = length as u16;
    }
}

impl Frame for Mbuf {
    #[inline(always)]
    fn bytes(&self) -> &[u8] {
        // SAFETY: data_len bytes from the start are in the buffer and were written by the device or by append.
        unsafe { slice::from_raw_parts(self.start(), self.header().data_len.into()) }
    }

    #[inline(always)]
    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in bytes; self is borrowed mutably and the buffer has one owner.
        unsafe { slice::from_raw_parts_mut(self.start(), self.header().data_len.into()) }
    }

    #[inline(always)]
    fn prepend(&mut self, count: usize) -> bool {
        let header = self.header();
        let length = usize::from(header.data_len) + count;
        if count > header.data_off.into() || length > u16::MAX.into() {
            return false;
        }
        self.header_mut().data_off -= count as u16;
        self.set_length(length);
        true
    }

    #[inline(always)]
    fn trim_front(&mut self, count: usize) {
        let length = usize::from(self.header().data_len);
        assert!(count <= length, "trim_front({count}) of a frame of {length} bytes");
        self.header_mut().data_off += count as u16;
        self.set_length(length - count);
    }

    #[inline(always)]
    fn truncate(&mut self, length: usize) {
        if length < self.header().data_len.into() {
            self.set_length(length);
        }
    }

    fn push(&mut self, bytes: &[u8]) -> bool {
        let header = self.header();
        assert_eq!(header.nb_segs, 1, "bytes would be added in the middle of a chain");
        let used = usize::from(header.data_off) + usize::from(header.data_len);
        if bytes.len() > usize::from(header.buf_len) - used {
            return false;
        }
        // SAFETY: between used and buf_len there is room, as was just seen, and only this owner writes there.
        unsafe { header.buf_addr.cast::<u8>().add(used).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        self.set_length(usize::from(self.header().data_len) + bytes.len());
        true
    }

    fn chain(&mut self, rest: Mbuf) {
        let (segments, bytes) = (rest.header().nb_segs, rest.header().pkt_len);
        let header = self.header_mut();
        assert_eq!(header.nb_segs, 1, "a chain grows at its front");
        header.next = rest.raw();
        header.nb_segs += segments;
        header.pkt_len += bytes;
        // The first segment owns it now.
        std::mem::forget(rest);
    }

    fn segments(&self) -> impl Iterator<Item = &[u8]> + Clone {
        let next = |header: &&rte_mbuf| -> Option<&rte_mbuf> {
            // SAFETY: next is null or a valid mbuf that belongs to this chain, which is borrowed as self is.
            unsafe { header.next.as_ref() }
        };
        std::iter::successors(Some(self.header()), next).map(|header| {
            // SAFETY: as in start and bytes, for each mbuf of the chain.
            unsafe {
                let start = header.buf_addr.cast::<u8>().add(header.data_off.into());
                slice::from_raw_parts(start, header.data_len.into())
            }
        })
    }

    #[inline(always)]
    fn prefetch_descriptor(&self) {
        prefetch(self.raw().cast());
    }

    #[inline(always)]
    fn prefetch(&self) {
        prefetch(self.start());
    }
}

#[inline(always)]
fn prefetch(place: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch of any address is a hint and never faults; SSE is part of x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

impl Drop for Mbuf {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: the mbuf is owned, and not used after this.
        unsafe { dpdk_sys::shim_pktmbuf_free(self.raw()) };
    }
}
