//! The part of DPDK's C interface that the director calls, as bindgen sees it, and the two burst functions, which are
//! inline in C and short enough to be written here. Nothing clever: safe types are `forwarder/dpdk`'s business.
//!
//! Without the feature `bindings` the crate is empty, so that the workspace builds where there is no DPDK.

#[cfg(feature = "bindings")]
mod burst;

#[cfg(feature = "bindings")]
pub use burst::{rx_burst, tx_burst};
#[cfg(feature = "bindings")]
pub use generated::*;

#[cfg(feature = "bindings")]
#[allow(missing_docs, non_camel_case_types, non_snake_case, non_upper_case_globals)]
#[allow(clippy::all, clippy::undocumented_unsafe_blocks, unsafe_op_in_unsafe_fn, dead_code, unnecessary_transmutes)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}
