//! The one place that builds and starts everything.
//!
//! ```text
//! config ─▶ Control::new ─▶ control thread: neighbours, services, snapshots, admin socket      (no DPDK, no clock)
//!                      └──▶ WorkerParts + ports ─▶ Worker on an lcore, or in the lab
//! ```

mod control;
mod listing;
pub mod plan;
#[cfg(feature = "dpdk")]
pub mod run;
pub mod settings;
mod show;

pub use control::{Control, StartError, WorkerParts};
pub use show::Answering;
