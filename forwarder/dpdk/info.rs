//! What control shows of a device: plain values, no pointers.

use super::{Queues, RxRefused, Spread, VlanOffload};
use dpdk_sys::rte_eth_stats;
use std::ffi::{CStr, c_char};
use std::fmt;

/// What a device is and how it is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortInfo {
    /// The port's name in the configuration.
    pub name: String,
    /// The device as configured.
    pub device: String,
    /// DPDK's driver: `net_tap`, `net_ixgbe`.
    pub driver: String,
    /// DPDK's number of it.
    pub port_id: u16,
    /// Its Ethernet address.
    pub mac: [u8; 6],
    /// As set.
    pub mtu: u16,
    /// The largest the device takes.
    pub mtu_max: u16,
    /// When this was asked.
    pub link: Link,
    /// None before it is configured.
    pub queues: Option<Queues>,
    /// What brings frames to the receive queues.
    pub spread: Spread,
    /// What the device has.
    pub rx_queues_max: u16,
    /// What the device has.
    pub tx_queues_max: u16,
    /// Frames for other MACs come in, too (promiscuous, or a device that does not look): classify must look.
    pub every_frame: bool,
    /// The device can compute IPv4, TCP and UDP checksums of what is sent.
    pub sends_checksums: bool,
    /// Its frames may have VLAN tags.
    pub tagged: bool,
    /// What it does of the work on them.
    pub vlan: VlanOffload,
    /// Where the device is attached; None if that is nowhere.
    pub numa_node: Option<u32>,
    /// The device by which it sends, if it is an active-backup bond.
    pub sends_by: Option<String>,
    /// The kernel's interface behind it, in the director's namespace: a tap, an af_packet's.
    pub kernel_name: Option<String>,
}

/// Whether frames can pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Up; a speed is known of real wires.
    Up {
        /// Megabits a second.
        speed_mbps: Option<u32>,
    },
    /// Nothing can pass.
    Down,
    /// The device cannot tell: a tap says "down" as soon as its kernel side lives in another namespace.
    Unknown,
}

/// A device's counters since it was started, all queues together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortStats {
    /// Frames handed to the director.
    pub rx_frames: u64,
    /// Frames taken from the director.
    pub tx_frames: u64,
    /// Bytes of those.
    pub rx_bytes: u64,
    /// Bytes of those.
    pub tx_bytes: u64,
    /// Lost in the device because no worker came in time.
    pub rx_missed: u64,
    /// Broken on the wire.
    pub rx_errors: u64,
    /// Lost because the pool was dry.
    pub rx_no_buffer: u64,
    /// Taken but not sent.
    pub tx_errors: u64,
    /// Received and dropped, because they came in several segments: longer than a buffer.
    pub rx_chained: u64,
    /// Received with an unfinished checksum, which was computed.
    pub rx_finished: u64,
}

impl PortInfo {
    /// What the operator should know of this kind of device before trusting it, if anything.
    pub fn warning(&self) -> Option<&'static str> {
        match self.driver.as_str() {
            "net_af_packet" => Some(
                "net_af_packet cannot tell frames with unfinished checksums: on a veth, `ethtool -K INTERFACE tx off` at both ends",
            ),
            _ => None,
        }
    }

    pub(super) fn kernel_name(index: u32) -> Option<String> {
        let mut name = [0 as c_char; dpdk_sys::IF_NAMESIZE as usize];
        // SAFETY: name is as long as the call asks for; it writes a string, or nothing and answers null.
        let found = unsafe { dpdk_sys::if_indextoname(index, name.as_mut_ptr()) };
        // SAFETY: found is null or that string.
        (index != 0 && !found.is_null()).then(|| unsafe { text(found) })
    }
}

impl PortStats {
    pub(super) fn new(stats: &rte_eth_stats, refused: &RxRefused) -> Self {
        PortStats {
            rx_frames: stats.ipackets,
            tx_frames: stats.opackets,
            rx_bytes: stats.ibytes,
            tx_bytes: stats.obytes,
            rx_missed: stats.imissed,
            rx_errors: stats.ierrors,
            rx_no_buffer: stats.rx_nombuf,
            tx_errors: stats.oerrors,
            rx_chained: refused.chained(),
            rx_finished: refused.finished(),
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Link::Up { speed_mbps: Some(speed_mbps) } => write!(f, "up, {speed_mbps} Mbit/s"),
            Link::Up { speed_mbps: None } => f.write_str("up"),
            Link::Down => f.write_str("down"),
            Link::Unknown => f.write_str("not known"),
        }
    }
}

/// A C string as Rust's.
///
/// # Safety
/// `string` is null or a string.
pub(super) unsafe fn text(string: *const c_char) -> String {
    if string.is_null() {
        return String::new();
    }
    // SAFETY: the caller says so.
    unsafe { CStr::from_ptr(string) }.to_string_lossy().into_owned()
}
