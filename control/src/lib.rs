//! What a running director tells, and how one asks it.
//!
//! The director implements [`Director`] and gives it to [`Admin::turn`] every few milliseconds; `uvs show` and the demo ask with
//! a [`Client`]. Between them is a Unix socket that speaks JSON lines (`protocol.rs`). This crate knows no packets and no devices: it
//! publishes plain types ([`show`]), carries them and prints them ([`table`]).

mod admin;
mod client;
mod clients;
mod command;
mod director;
mod filter;
mod ipvs;
#[cfg(test)]
mod mock;
mod outbound;
mod proc_net;
mod protocol;
mod reload;
mod run_dir;
pub mod show;
pub mod table;
#[cfg(test)]
mod tests;
mod wait;

pub use admin::Admin;
pub use client::{Client, ClientError, Conns};
pub use command::{ShowArgs, ShowError, show};
pub use director::{ConnChunk, Cursor, Director, ReloadId};
pub use filter::{ClientFilter, ConnFilter, ServerFilter, ServiceFilter};
pub use ipvs::IpvsSocket;
pub use proc_net::{ProcNet, ProcSocket};
pub use protocol::What;
pub use reload::{ReloadArgs, ReloadError, reload};
pub use run_dir::{BindError, RunDir};
pub use wait::wait;
