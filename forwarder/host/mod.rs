//! The host interface: a kernel interface (TAP) with a port's MAC and MTU, by which the machine's other programs use the port's
//! wire: sshd, BGP, VRRP, DHCP. What is not for the data plane goes there; what the host sends leaves by the port as it is.
//!
//! ```text
//!  worker ──── ring, bytes ────▶ │ thread │ ── write ──▶ TAP ─▶ kernel
//!  worker ◀─── ring, bytes ───── │        │ ◀── read ─── TAP ◀─ kernel
//!                                kernel ── rtnetlink: addresses, routes, neighbours ──▶ control (Follower)
//! ```
//!
//! A worker makes no system call for it: it copies a frame into a bounded ring, or drops it by name. So not DPDK's net_tap, whose
//! bursts are system calls, nor virtio-user, which needs /dev/vhost-net, that many containers and kernels lack.
//! The interface is made at start, not persistent: when the process is gone, however, so is the interface.

pub mod ring;
pub mod rtnetlink;
pub mod tap;
pub mod thread;

pub use ring::{HostEnds, WorkerHost, rings};
