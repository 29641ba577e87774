//! The library that brings a stock program (ipvsadm, keepalived) to the director. It is preloaded (`uvs exec`, LD_PRELOAD), never linked.
//!
//! A program talks to the kernel's IPVS by generic netlink. It may open, bind and query such a socket as it likes; when it asks on it
//! for the family "IPVS", a connection to `<run_dir>/ipvs.sock` takes the descriptor's place ([`takeover`]), and from there on the
//! director answers ([`exchange`]). Other families and other netlink protocols stay with the kernel. `/proc/net/ip_vs_conn` and its
//! siblings are streams from `<run_dir>/proc.sock` ([`procfiles`]). With no director the program is told what a kernel without IPVS
//! tells; it never reaches the kernel's own IPVS ([`kernel`]).
//!
//! It lives in other people's processes: no allocation, no lock (a fork in one thread, while another held it, would keep it for
//! ever), no panic, nothing printed. State is a table of atomics by descriptor, which a fork copies.
//!
//! Limits: descriptors below [`descriptors::DESCRIPTORS_MAX`]; what a socket asks of other families after it asked for IPVS goes to
//! the director; duplicates of a descriptor (`dup`) are not known, nor `read`, `write`, `sendmmsg` and `recvmmsg` on it; static and
//! setuid programs, and those that make system calls without the C library (Go), are not reached at all.

#![no_std]

// A program that is preloaded needs no second standard library. Builds whose panics unwind (tests') cannot do without one.
#[cfg(not(panic = "abort"))]
extern crate std;

mod calls;
mod descriptors;
mod director;
mod exchange;
mod kernel;
mod next;
mod procfiles;
mod refusal;
mod request;
mod system;
mod takeover;
mod watchers;

/// Nothing here panics; the compiler wants to be told what would happen.
#[cfg(panic = "abort")]
#[panic_handler]
fn panicked(_: &core::panic::PanicInfo) -> ! {
    // SAFETY: always sound.
    unsafe { libc::abort() }
}
