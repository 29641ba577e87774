//! `recvmsg`, `recvfrom`, `recv`: answers, which seem to come from the kernel.

use core::ffi::{c_int, c_void};
use core::ptr::null_mut;
use libc::{iovec, msghdr, sockaddr, socklen_t, ssize_t};

use crate::{descriptors, exchange, next};

/// # Safety
/// As recvmsg.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn recvmsg(number: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
    // SAFETY: the caller's promise; null, which the kernel would refuse, is passed on to it.
    match (descriptors::taken(number), unsafe { message.as_mut() }) {
        // SAFETY: the caller's promise.
        (Some(descriptor), Some(message)) => unsafe { exchange::receive(number, descriptor, message, flags) },
        // SAFETY: passed on.
        _ => unsafe { next::RECVMSG.get()(number, message, flags) },
    }
}

/// # Safety
/// As recvfrom.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn recvfrom(
    number: c_int,
    bytes: *mut c_void,
    length: usize,
    flags: c_int,
    from: *mut sockaddr,
    from_bytes: *mut socklen_t,
) -> ssize_t {
    let Some(descriptor) = descriptors::taken(number) else {
        // SAFETY: passed on.
        return unsafe { next::RECVFROM.get()(number, bytes, length, flags, from, from_bytes) };
    };
    let mut piece = iovec { iov_base: bytes, iov_len: length };
    // SAFETY: zeros are a valid msghdr, whose padding cannot be named.
    let mut message: msghdr = unsafe { core::mem::zeroed() };
    message.msg_iov = &raw mut piece;
    message.msg_iovlen = 1;
    // SAFETY: the caller's promise: both are null, or there is room for as many bytes as the second says.
    let from_bytes = unsafe { from_bytes.as_mut() }.filter(|_| !from.is_null());
    if let Some(room) = &from_bytes {
        message.msg_name = from.cast();
        message.msg_namelen = **room;
    }
    // SAFETY: the piece is what the caller promised, and so is the room for the name.
    let read = unsafe { exchange::receive(number, descriptor, &mut message, flags) };
    if let Some(room) = from_bytes {
        *room = message.msg_namelen;
    }
    read
}

/// # Safety
/// As recv.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn recv(number: c_int, bytes: *mut c_void, length: usize, flags: c_int) -> ssize_t {
    // SAFETY: the same call by another name.
    unsafe { recvfrom(number, bytes, length, flags, null_mut(), null_mut()) }
}
