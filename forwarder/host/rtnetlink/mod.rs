//! Follows what the host configures on its host interfaces: the kernel tells of addresses, routes and neighbours as they change,
//! and is asked for all of them at start, after it had to leave something out, and after what it changes in silence (an interface
//! that goes down or loses an address loses IPv4 routes, and nobody is told of those).
//!
//! Only in the director's own network namespace: an interface that is moved to another one is known there by another number.

mod message;
mod socket;
mod tables;
#[cfg(test)]
mod tests;

pub use message::{Told, WhatChanged, read};
pub use socket::Follower;
pub use tables::{ADDRESSES_MAX, NEIGHBORS_MAX, ROUTES_MAX, Tables};
