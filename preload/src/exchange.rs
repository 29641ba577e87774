//! Sending to and receiving from the director, on a descriptor that was taken over, as if it were the kernel: a request always goes,
//! and is always answered, by the director or by a refusal.

use core::ffi::{c_int, c_void};
use core::ptr::null_mut;
use libc::{AF_NETLINK, msghdr, sockaddr_nl, ssize_t};

use crate::descriptors::Descriptor;
use crate::next;
use crate::refusal;
use crate::request::{Header, LOOKED_AT_BYTES};
use crate::system::{self, errno, set_errno};
use crate::takeover;

/// The start of what a program sends, put together from its pieces.
pub struct Start {
    bytes: [u8; LOOKED_AT_BYTES],
    length: usize,
}

impl Start {
    /// # Safety
    /// The message and its pieces must be as sendmsg wants them.
    pub unsafe fn of(message: &msghdr) -> Start {
        let mut start = Start { bytes: [0; LOOKED_AT_BYTES], length: 0 };
        // SAFETY: the caller's promise.
        for piece in unsafe { pieces(message) } {
            let room = start.bytes.get_mut(start.length..).unwrap_or(&mut []);
            let count = room.len().min(piece.iov_len);
            // SAFETY: the piece has `iov_len` bytes, by the caller's promise, and `room` has `count`; they do not overlap.
            unsafe { core::ptr::copy_nonoverlapping(piece.iov_base.cast(), room.as_mut_ptr(), count) };
            start.length += count;
        }
        start
    }

    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&[])
    }
}

/// # Safety
/// The message's pieces must be there, as sendmsg and recvmsg want them.
unsafe fn pieces(message: &msghdr) -> &[libc::iovec] {
    if message.msg_iov.is_null() {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { core::slice::from_raw_parts(message.msg_iov, message.msg_iovlen) }
}

/// Sends to the director, if need be to one that was started since. It does not fail for the director's sake: if there is none, the
/// refusal waits to be received.
///
/// # Safety
/// As sendmsg.
pub unsafe fn send(number: c_int, descriptor: &Descriptor, message: &msghdr, flags: c_int) -> ssize_t {
    // SAFETY: the caller's promise.
    let start = unsafe { Start::of(message) };
    let request = Header::of(start.bytes());
    descriptor.set_request(request);
    // A netlink address and credentials mean nothing on this socket; who we are the director asks the kernel.
    let bare = msghdr { msg_name: null_mut(), msg_namelen: 0, msg_control: null_mut(), msg_controllen: 0, ..*message };
    let mut reconnected = false;
    let refusal = loop {
        // SAFETY: the caller's promise, for a message with less in it.
        let sent = unsafe { next::SENDMSG.get()(number, &bare, flags | libc::MSG_NOSIGNAL) };
        if sent >= 0 {
            return sent;
        }
        match errno() {
            libc::EINTR => {}
            libc::EPIPE | libc::ECONNRESET | libc::ENOTCONN if !reconnected => {
                reconnected = true;
                match takeover::connect(number, descriptor) {
                    Ok(()) => {}
                    Err(libc::EPERM) => break libc::EPERM,
                    Err(_) => break request.map_or(libc::EBUSY, refusal::reason),
                }
            }
            libc::EAGAIN if is_nonblocking(number, flags) => {
                descriptor.set_request(None);
                return -1;
            }
            libc::EMSGSIZE => break libc::EMSGSIZE,
            _ => break request.map_or(libc::EBUSY, refusal::reason),
        }
    };
    let Some(request) = request else { return fail(libc::EINVAL) };
    if !refusal::leave(number, descriptor, request, refusal) {
        return fail(refusal);
    }
    // SAFETY: the caller's promise.
    let total = unsafe { pieces(message) }.iter().fold(0usize, |sum, piece| sum.saturating_add(piece.iov_len));
    ssize_t::try_from(total).unwrap_or(ssize_t::MAX)
}

/// Receives from the director. The end of the connection never reaches the program, because netlink has none: it is the refusal of
/// the request that waits, or ENOTCONN. So is a silence that the program set no limit on.
///
/// # Safety
/// As recvmsg.
pub unsafe fn receive(number: c_int, descriptor: &Descriptor, message: &mut msghdr, flags: c_int) -> ssize_t {
    let mut bare = msghdr { msg_name: null_mut(), msg_namelen: 0, ..*message };
    // SAFETY: the caller's promise; no name is asked for.
    let mut read = unsafe { next::RECVMSG.get()(number, &mut bare, flags) };
    if is_over(number, descriptor, read, flags) {
        match descriptor.request() {
            Some(request) if refusal::leave(number, descriptor, request, refusal::reason(request)) => {
                bare = msghdr { msg_name: null_mut(), msg_namelen: 0, ..*message };
                // SAFETY: as above.
                read = unsafe { next::RECVMSG.get()(number, &mut bare, flags) };
            }
            _ => return fail(libc::ENOTCONN),
        }
    }
    let Ok(length) = usize::try_from(read) else { return read };
    if flags & libc::MSG_PEEK == 0 {
        // SAFETY: the caller's promise.
        if let [first, ..] = unsafe { pieces(&bare) } {
            // SAFETY: recvmsg has just filled the first piece with as much of `length` as it holds.
            let datagram = unsafe { core::slice::from_raw_parts(first.iov_base.cast(), length.min(first.iov_len)) };
            if descriptor.request().is_some_and(|request| request.is_answered_by(datagram)) {
                descriptor.set_request(None);
            }
        }
    }
    message.msg_controllen = bare.msg_controllen;
    message.msg_flags = bare.msg_flags;
    if !message.msg_name.is_null() {
        // SAFETY: there is room for `msg_namelen` bytes, by the caller's promise.
        message.msg_namelen = unsafe { write_name(message.msg_name, message.msg_namelen, 0) };
    }
    read
}

/// Writes a netlink address as far as there is room, and returns how long it is.
///
/// # Safety
/// `place` must have room for `room` bytes.
pub unsafe fn write_name(place: *mut c_void, room: u32, port: u32) -> u32 {
    // SAFETY: zeros are a valid sockaddr_nl, whose padding cannot be named.
    let mut name: sockaddr_nl = unsafe { core::mem::zeroed() };
    name.nl_family = AF_NETLINK as _;
    name.nl_pid = port;
    let count = size_of::<sockaddr_nl>().min(room as usize);
    // SAFETY: a sockaddr_nl has that many bytes, and so has `place`, by the caller's promise.
    unsafe { core::ptr::copy_nonoverlapping((&raw const name).cast::<u8>(), place.cast(), count) };
    size_of::<sockaddr_nl>() as u32
}

/// Whether this result of receiving says that no answer will come.
fn is_over(number: c_int, descriptor: &Descriptor, read: ssize_t, flags: c_int) -> bool {
    match read {
        0 => system::has_ended(number),
        1.. => false,
        _ => match errno() {
            libc::ECONNRESET | libc::EPIPE | libc::ENOTCONN => true,
            libc::EAGAIN => {
                descriptor.limit_is_ours() && descriptor.request().is_some() && !is_nonblocking(number, flags)
            }
            _ => false,
        },
    }
}

fn is_nonblocking(number: c_int, flags: c_int) -> bool {
    let errno = errno();
    let nonblocking = flags & libc::MSG_DONTWAIT != 0 || system::is_nonblocking(number);
    set_errno(errno);
    nonblocking
}

fn fail(errno: c_int) -> ssize_t {
    set_errno(errno);
    -1
}
