//! Frames whose sender left the TCP or UDP checksum to a device that does not exist: a virtual machine's, by virtio or
//! vhost. The field then holds the sum of the pseudo-header only, and RFC 1624 on top of that would give rubbish, so the
//! sum is finished before anybody sees the frame.

use super::Mbuf;
use crate::port::Frame;
use dpdk_sys::{SHIM_RX_L4_CKSUM_MASK, SHIM_RX_L4_CKSUM_NONE, SHIM_TX_L4_MASK, rte_net_hdr_lens};
use std::ffi::c_void;

/// Whether an mbuf's flags say so. Old vhost (`legacy-ol-flags`) leaves the guest's wish to a sending device as it is.
#[inline(always)]
pub(super) fn is_marked(ol_flags: u64) -> bool {
    ol_flags & SHIM_RX_L4_CKSUM_MASK == SHIM_RX_L4_CKSUM_NONE || ol_flags & SHIM_TX_L4_MASK != 0
}

/// Computes the checksum. Leaves alone what is neither TCP nor UDP, is cut short, is a fragment, or is UDP without one
/// (RFC 768: zero).
#[cold]
pub(super) fn finish(frame: &mut Mbuf) {
    let mut lengths = rte_net_hdr_lens::default();
    // SAFETY: the mbuf is valid, and the call reads no further than its data.
    let kind = unsafe { dpdk_sys::rte_net_get_ptype(frame.raw(), &mut lengths, dpdk_sys::SHIM_PTYPE_ALL) };
    let (field, zero_is_none) = match kind & dpdk_sys::SHIM_PTYPE_L4_MASK {
        dpdk_sys::SHIM_PTYPE_L4_TCP => (16, false),
        dpdk_sys::SHIM_PTYPE_L4_UDP => (6, true),
        _ => return,
    };
    let (l3, l3_bytes) = (usize::from(lengths.l2_len), usize::from(lengths.l3_len));
    let Some(checksum) = sum(frame.bytes_mut(), l3, l3_bytes, field, zero_is_none) else { return };
    frame.bytes_mut()[l3 + l3_bytes + field..][..2].copy_from_slice(&checksum);
}

/// The finished checksum, in the order it has in the frame.
fn sum(bytes: &mut [u8], l3: usize, l3_bytes: usize, field: usize, zero_is_none: bool) -> Option<[u8; 2]> {
    let packet = bytes.get_mut(l3..)?;
    let length = |at: usize| Some(usize::from(u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?])));
    let version = packet.first()? >> 4;
    // How far the C function reads: the header's own length, which is the sender's word, not the frame's.
    let (end, plain_header) = match version {
        4 => (length(2)?, usize::from(packet[0] & 15) * 4 == l3_bytes),
        // Behind extension headers the C function would sum those, too.
        6 => (40 + length(4)?, l3_bytes == 40),
        _ => return None,
    };
    if !plain_header || end > packet.len() || l3_bytes + field + 2 > end {
        return None;
    }
    let at = l3_bytes + field;
    if zero_is_none && packet[at..at + 2] == [0, 0] {
        return None;
    }
    packet[at..at + 2].fill(0);
    let l3_header = packet.as_ptr().cast::<c_void>();
    // SAFETY: l3_bytes is less than the packet's length.
    let l4_header = unsafe { l3_header.add(l3_bytes) };
    // SAFETY: the packet is as long as its header says, so all that is summed lies within it.
    let checksum = unsafe {
        if version == 4 {
            dpdk_sys::shim_ipv4_udptcp_cksum(l3_header, l4_header)
        } else {
            dpdk_sys::shim_ipv6_udptcp_cksum(l3_header, l4_header)
        }
    };
    Some(checksum.to_ne_bytes())
}
