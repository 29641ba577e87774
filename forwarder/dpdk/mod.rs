//! The director's ports on DPDK: the only folder that calls `dpdk-sys`, and, with it, the only one with `unsafe`.
//!
//! ```text
//! control thread                                   worker (an EAL lcore)
//!   Eal::start ── Device::open ── Pool::create
//!                   │ configure, start
//!                   └───────────────── DpdkPort ─▶ rx_burst, tx_burst, make  (crate::port::Port)
//!   lcore::launch ───────────────────────────────▶ the worker's loop         (moves Mbufs: crate::port::Frame)
//!   Launched::join, Device::stop, Eal::cleanup
//! ```
//!
//! A worker's side never allocates, locks or logs. Whatever a queue, a pool or a frame still needs is kept until nobody
//! holds it any more: `stop` and `cleanup` refuse and say who holds what, they never pull memory away.

mod address;
mod backup;
mod bond;
mod claim;
mod device;
mod eal;
mod error;
mod huge;
mod info;
pub mod lcore;
mod mbuf;
mod mempool;
mod pci;
mod port;
mod processes;
mod queues;
mod rss;
mod runtime_dir;
mod unfinished;
mod vlan;

pub use address::{Bus, DeviceAddress};
pub use backup::ActiveBackup;
pub use claim::Claim;
pub use device::Device;
pub use eal::{Eal, EalLog, EalPlan};
pub use error::Error;
pub use huge::{HugePages, Memory, Pages};
pub use info::{Link, PortInfo, PortStats};
pub use mbuf::Mbuf;
pub use mempool::Pool;
pub use port::{DpdkPort, RxRefused};
pub use queues::Queues;
pub use rss::Spread;
pub use runtime_dir::file_prefix;
pub use vlan::VlanOffload;
