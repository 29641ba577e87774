//! The kernel's IPVS protocol of generic netlink (family "IPVS", version 1), as `ipvsadm` and `keepalived` speak it: bytes to typed
//! requests and back, and a [`Session`] that answers them from whoever implements [`Ipvs`].
//!
//! Pure: no socket, no clock, no packets, no file. What comes in is not trusted: any bytes are either understood or refused with the
//! error that the kernel would give. What is answered is made a packet at a time, so that a client who does not read costs one packet.
//!
//! ```text
//! datagram ─▶ message ─▶ attribute ─▶ Request ─▶ session ─▶ Ipvs      one datagram of netlink is one packet of the socket
//!   packet ◀─ message ◀─ attribute ◀── Service, RealServer, … ◀─┘
//! ```
//!
//! Written from the protocol's numbers and from what was observed of the kernel and the two tools.

mod attribute;
mod daemon;
mod family;
mod ipvs;
mod message;
#[cfg(test)]
mod mock;
mod real_server;
mod request;
mod service;
mod session;
mod stats;
#[cfg(test)]
mod tests;

pub use daemon::{Daemon, DaemonState};
pub use family::FAMILY_ID;
pub use ipvs::{CONN_TAB_SIZE, Ipvs, Rights, Timeouts, VERSION};
pub use message::DATAGRAM_BYTES_MAX;
pub use real_server::{ForwardMethod, RealServer, RealServerTold, Tunnel};
pub use request::{Edit, requests};
pub use rustix::io::Errno;
pub use service::{Family, Flags, FlagsTold, Service, ServiceId, ServiceTold};
pub use session::{PACKET_BYTES_MAX, Session};
pub use stats::Stats;
