//! What is remembered of a flow: keys, the conn table of one worker, protocol states, timers, persistence templates.
//!
//! The crate knows no packets, no services and no clock: the time is an argument ([`Tick`]), servers, next hops and
//! templates are plain numbers that the caller understands. Everything is bounded and made at start; a full table refuses.
//!
//! ```text
//!  Key ──hash──▶ Index (buckets of tags) ──ConnId──▶ Conn (128 bytes) ◀──links── Wheel (who may have expired)
//! ```

mod bucket;
mod burst;
mod conn;
mod index;
mod key;
mod mapped;
mod processor;
mod seed;
pub mod states;
mod table;
mod templates;
mod tick;
mod timers;

pub use burst::BURST;
pub use conn::{Conn, ConnId, Direction, Method, NewConn};
pub use key::Key;
pub use seed::Seed;

pub use states::Timeouts;
pub use table::{Hit, Table, TableFull};
pub use templates::{Entry, Netmask, Service, Template, TemplateId, TemplateKey, Templates, TemplatesFull};
pub use tick::Tick;
pub use timers::Verdict;
