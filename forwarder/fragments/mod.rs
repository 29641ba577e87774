//! Packets in fragments: put together before they have a flow, cut again before they leave.
//!
//! ```text
//!   fragments ─▶ piece       what a fragment says: where its part lies in the packet
//!             ─▶ waiting     fragments of unfinished packets: a fixed number of places, a time limit, nobody takes all
//!             ─▶ whole       the parts → one chain under one header ─▶ classify, find, admit, rewrite as any packet
//!             ─▶ cut         the chain, or a frame longer than its way takes → fragments
//! ```
//!
//! Payload is copied only when fragments are made, and never summed: checksums are carried along in the first segment.

pub mod cut;
pub mod piece;
pub mod waiting;
pub mod whole;

pub use cut::{CameIn, Cut};
pub use piece::Piece;
pub use waiting::{Expired, Waiting};
pub use whole::Joined;
