//! Which of the program's descriptors a connection to the director has taken, and what is remembered of each. A table of atomics:
//! threads that use different sockets never meet in it, a fork copies it, and nothing in it can be left locked.
//!
//! A descriptor may be closed by ways that are not seen here (`close_range`, `dup2` over it) and come back as another file: so the
//! connection's inode is remembered, which no other open file has, and compared before anything is done.

use core::ffi::c_int;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};

use crate::request::Header;
use crate::system;

/// Numbers of descriptors that can be taken over: from 0 up to, but without, this one. Netlink sockets are among a program's first.
pub const DESCRIPTORS_MAX: usize = 16_384;

// Never written and so never a page of memory, but for the few that are in use.
static TABLE: [Descriptor; DESCRIPTORS_MAX] = [const { Descriptor::new() }; DESCRIPTORS_MAX];

/// What is remembered of one descriptor.
pub struct Descriptor {
    /// The inode of what stands in its place; 0: nothing of ours.
    connection: AtomicU64,
    /// The netlink port that the kernel gave to the program's socket.
    port: AtomicU32,
    /// The header of the request that waits for its answer, in two halves; zeros: none does.
    request: [AtomicU64; 2],
    /// Whether the limit on waiting to receive is the library's: the program set none.
    limit_is_ours: AtomicBool,
}

/// The descriptor's place, if it has one.
pub fn at(number: c_int) -> Option<&'static Descriptor> {
    TABLE.get(usize::try_from(number).ok()?)
}

/// What is remembered of a descriptor that is taken.
pub fn taken(number: c_int) -> Option<&'static Descriptor> {
    let descriptor = at(number)?;
    let connection = descriptor.connection.load(Acquire);
    (connection != 0 && connection == system::inode(number)).then_some(descriptor)
}

/// The program closes it. To be said before it does: at once afterwards another thread may get the same number.
pub fn forget(number: c_int) {
    if let Some(descriptor) = at(number)
        && descriptor.connection.load(Relaxed) != 0
    {
        descriptor.connection.store(0, Release);
    }
}

impl Descriptor {
    const fn new() -> Descriptor {
        Descriptor {
            connection: AtomicU64::new(0),
            port: AtomicU32::new(0),
            request: [const { AtomicU64::new(0) }; 2],
            limit_is_ours: AtomicBool::new(false),
        }
    }

    pub fn connection(&self) -> u64 {
        self.connection.load(Acquire)
    }

    pub fn set_connection(&self, inode: u64) {
        self.connection.store(inode, Release);
    }

    pub fn port(&self) -> u32 {
        self.port.load(Relaxed)
    }

    pub fn set_port(&self, port: u32) {
        self.port.store(port, Relaxed);
    }

    pub fn limit_is_ours(&self) -> bool {
        self.limit_is_ours.load(Relaxed)
    }

    pub fn set_limit_is_ours(&self, ours: bool) {
        self.limit_is_ours.store(ours, Relaxed);
    }

    /// The request that waits for its answer.
    pub fn request(&self) -> Option<Header> {
        let halves = [&self.request[0], &self.request[1]].map(|half| half.load(Relaxed));
        (halves != [0; 2]).then(|| Header::from_halves(halves))
    }

    pub fn set_request(&self, request: Option<Header>) {
        let halves = request.map_or([0; 2], Header::halves);
        self.request.iter().zip(halves).for_each(|(place, half)| place.store(half, Relaxed));
    }
}
