//! UVS: the Linux Virtual Server in user space, on DPDK. See ARCHITECTURE.md.

#![forbid(unsafe_op_in_unsafe_fn)]

#[cfg(feature = "dpdk")]
pub mod bench;
pub mod cores;
#[cfg(feature = "dpdk")]
pub mod demo;
pub mod director;
#[cfg(feature = "dpdk")]
pub mod dpdk;
pub mod exec;
pub mod fragments;
pub mod host;
pub mod local_ports;
pub mod manual;
pub mod neigh;
pub mod pipeline;
pub mod port;
pub mod rewrite;
pub mod services;
pub mod snapshot;
pub mod stats;
pub mod steer;
pub mod wire;
pub mod worker;
