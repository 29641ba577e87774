//! The one place that builds and starts everything.
//!
//! ```text
//! config ─▶ Control::new ─▶ control thread: neighbours, services, snapshots, admin socket      (no DPDK, no clock)
//!                      └──▶ WorkerParts + ports ─▶ Worker on an lcore, or in the lab
//! ```

#[cfg(feature = "dpdk")]
mod bonds;
mod change;
mod control;
mod idle_templates;
mod listing;
mod network;
mod orphans;
mod owners;
pub mod plan;
mod rates;
mod reload;
#[cfg(feature = "dpdk")]
pub mod run;
pub mod settings;
mod show;
#[cfg(feature = "dpdk")]
mod started;
mod tools;

pub use change::Applied;
pub use control::{Control, StartError, WorkerParts};
pub use show::Answering;
