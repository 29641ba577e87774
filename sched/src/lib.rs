//! Which real server takes a new conn.
//!
//! The schedulers of the kernel's IPVS, decision for decision. This crate knows no packets, no clock and no threads: a
//! flow, the time and random bits are arguments, so every decision can be replayed from a recording.
//!
//! ```text
//! control:  Picker::prepare(kind, settings, listed, departed)      cold: tables and orders are built here
//! worker:   lock · set_load (what changed) · pick · set_load · unlock
//! control:  lock · replace(prepared, change) · unlock · drop the retired one
//! ```
//!
//! A new scheduler is one file in `kind/` and one line in `kind/mod.rs`.

mod hash;
mod kind;
mod order;
mod picker;
mod scheduler;
mod servers;
mod settings;
mod thresholds;

pub use kind::{Kind, UnknownScheduler};
pub use picker::Picker;
pub use scheduler::{Change, Flow, Moment, Scheduler};
pub use servers::{Load, Server, Servers};
pub use settings::{BadTableSize, Expirations, Flags, Settings, TableSize};
pub use thresholds::Thresholds;

/// Limits of the caches that lblc and lblcr keep.
pub mod limits {
    pub use crate::kind::cache::ADDRESSES_MAX;
    pub use crate::kind::lblcr::SET_SERVERS_MAX;
}
