//! `rte_eth_rx_burst` and `rte_eth_tx_burst`, which are inline in C: an indirect call through the port's row of
//! `rte_eth_fp_ops`. In Rust they cost what they cost in C. A queue's callbacks are honoured, for that is where
//! `dpdk-dumpcap` and latency statistics hook in.

use crate::{rte_eth_call_rx_callbacks, rte_eth_call_tx_callbacks, rte_eth_fp_ops, rte_ethdev_qdata, rte_mbuf};
use std::ffi::c_void;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Receives up to `count` mbufs into `mbufs` and returns how many.
///
/// # Safety
/// `port` is started and has a receive queue `queue`, which only this thread polls; `mbufs` has room for `count` pointers.
#[inline(always)]
pub unsafe fn rx_burst(port: u16, queue: u16, mbufs: *mut *mut rte_mbuf, count: u16) -> u16 {
    // SAFETY: the port exists, so it has a row; a started port's row is complete and holds an entry for each queue.
    unsafe {
        let ops = (&raw mut rte_eth_fp_ops).cast::<rte_eth_fp_ops>().add(port.into());
        let receive = (*ops).rx_pkt_burst.unwrap_unchecked();
        let received = receive(*(*ops).rxq.data.add(queue.into()), mbufs, count);
        let callbacks = callbacks(&(*ops).rxq, queue);
        if callbacks.is_null() {
            return received;
        }
        rte_eth_call_rx_callbacks(port, queue, mbufs, received, count, callbacks)
    }
}

/// Hands `count` mbufs to the device and returns how many it took, from the front; those it owns now.
///
/// # Safety
/// `port` is started and has a transmit queue `queue`, which only this thread uses; `mbufs` holds `count` valid mbufs that
/// the caller owns.
#[inline(always)]
pub unsafe fn tx_burst(port: u16, queue: u16, mbufs: *mut *mut rte_mbuf, mut count: u16) -> u16 {
    // SAFETY: as in rx_burst.
    unsafe {
        let ops = (&raw mut rte_eth_fp_ops).cast::<rte_eth_fp_ops>().add(port.into());
        let callbacks = callbacks(&(*ops).txq, queue);
        if !callbacks.is_null() {
            count = rte_eth_call_tx_callbacks(port, queue, mbufs, count, callbacks);
        }
        let transmit = (*ops).tx_pkt_burst.unwrap_unchecked();
        transmit(*(*ops).txq.data.add(queue.into()), mbufs, count)
    }
}

/// The head of a queue's list of callbacks, null nearly always. Another thread may set it at any time.
///
/// # Safety
/// `queues` belongs to a started port that has a queue `queue`.
#[inline(always)]
unsafe fn callbacks(queues: &rte_ethdev_qdata, queue: u16) -> *mut c_void {
    // SAFETY: clbk is an array with one pointer-sized, pointer-aligned entry a queue.
    unsafe { (*queues.clbk.add(queue.into()).cast::<AtomicPtr<c_void>>()).load(Ordering::Relaxed) }
}
