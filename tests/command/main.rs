//! The command line as a person meets it: what is printed, where, and the exit status. Directors that run here have devices of
//! software only: neither root nor huge pages are needed, and no network is touched.
//!
//! What each wrong file is told is in a table of the crate `config`; how shown objects are laid out, in the crate `control`.

#[cfg(feature = "dpdk")]
#[path = "../frames/capture.rs"]
#[allow(dead_code)] // The tests in `frames` read such files, too.
mod capture;
mod check;
#[cfg(feature = "dpdk")]
mod director;
mod exec;
mod install;
#[cfg(feature = "dpdk")]
mod keepalived;
#[path = "../../preload/tests/library.rs"]
#[allow(dead_code)] // The library's own tests start programs with it.
mod library;
mod program;
mod reload;
#[cfg(feature = "dpdk")]
mod rights;
#[cfg(feature = "dpdk")]
mod run;
#[cfg(feature = "dpdk")]
mod show;
#[cfg(feature = "dpdk")]
mod tools;
