//! `sendmsg`, `sendto`, `send`: where a program's socket is taken over, and where its requests pass.

use core::ffi::{c_int, c_void};
use core::ptr::null;
use libc::{iovec, msghdr, sockaddr, socklen_t, ssize_t};

use crate::descriptors::{self, Descriptor};
use crate::exchange::{self, Start};
use crate::request::asks_for_ipvs;
use crate::{next, system, takeover};

/// # Safety
/// As sendmsg.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendmsg(number: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
    // SAFETY: the caller's promise; null, which the kernel would refuse, is passed on to it.
    let routed = unsafe { message.as_ref().map(|message| route(number, message)) };
    match (routed, message) {
        // SAFETY: passed on.
        (None | Some(Route::Kernel), _) => unsafe { next::SENDMSG.get()(number, message, flags) },
        (Some(Route::TooMany), _) => too_many(),
        // SAFETY: the caller's promise; it is not null, or there were no route.
        (Some(Route::Director(descriptor)), _) => unsafe { exchange::send(number, descriptor, &*message, flags) },
    }
}

/// # Safety
/// As sendto.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendto(
    number: c_int,
    bytes: *const c_void,
    length: usize,
    flags: c_int,
    to: *const sockaddr,
    to_bytes: socklen_t,
) -> ssize_t {
    let mut piece = iovec { iov_base: bytes.cast_mut(), iov_len: length };
    // SAFETY: zeros are a valid msghdr, whose padding cannot be named.
    let mut message: msghdr = unsafe { core::mem::zeroed() };
    message.msg_iov = &raw mut piece;
    message.msg_iovlen = usize::from(!bytes.is_null());
    // SAFETY: the message has one piece, which is what the caller promised, or none.
    match unsafe { route(number, &message) } {
        // SAFETY: passed on.
        Route::Kernel => unsafe { next::SENDTO.get()(number, bytes, length, flags, to, to_bytes) },
        Route::TooMany => too_many(),
        // SAFETY: as above.
        Route::Director(descriptor) => unsafe { exchange::send(number, descriptor, &message, flags) },
    }
}

/// # Safety
/// As send.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn send(number: c_int, bytes: *const c_void, length: usize, flags: c_int) -> ssize_t {
    // SAFETY: the same call by another name.
    unsafe { sendto(number, bytes, length, flags, null(), 0) }
}

enum Route {
    Kernel,
    Director(&'static Descriptor),
    /// It asks for IPVS on a descriptor that there is no place for.
    TooMany,
}

/// Where a message goes. One that asks for IPVS takes its socket over.
///
/// # Safety
/// The message must be as sendmsg wants it.
unsafe fn route(number: c_int, message: &msghdr) -> Route {
    if let Some(descriptor) = descriptors::taken(number) {
        return Route::Director(descriptor);
    }
    // SAFETY: the caller's promise.
    let start = unsafe { Start::of(message) };
    if !asks_for_ipvs(start.bytes()) || !takeover::is_generic_netlink(number) {
        return Route::Kernel;
    }
    let Some(descriptor) = descriptors::at(number) else { return Route::TooMany };
    if takeover::take(number, descriptor) { Route::Director(descriptor) } else { Route::TooMany }
}

/// An error of the program's, not of the director's; never the kernel's IPVS instead.
fn too_many() -> ssize_t {
    system::set_errno(libc::EMFILE);
    -1
}
