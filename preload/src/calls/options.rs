//! `getsockname`, `getsockopt`, `setsockopt`: a descriptor that was taken over is still a netlink socket to its program.

use core::ffi::{c_int, c_void};
use libc::{SOL_NETLINK, SOL_SOCKET, sockaddr, socklen_t};

use crate::{descriptors, exchange, kernel, next, system, takeover};

/// # Safety
/// As getsockname.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getsockname(number: c_int, name: *mut sockaddr, bytes: *mut socklen_t) -> c_int {
    // SAFETY: the caller's promise; null, which the kernel would refuse, is passed on to it.
    match (descriptors::taken(number), unsafe { bytes.as_mut() }) {
        (Some(descriptor), Some(bytes)) if !name.is_null() => {
            // SAFETY: there is room for so many bytes, by the caller's promise.
            *bytes = unsafe { exchange::write_name(name.cast(), *bytes, descriptor.port()) };
            0
        }
        // SAFETY: passed on.
        _ => unsafe { next::GETSOCKNAME.get()(number, name, bytes) },
    }
}

/// # Safety
/// As getsockopt.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getsockopt(
    number: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    bytes: *mut socklen_t,
) -> c_int {
    if kernel::is_of_ipvs(level, name) {
        return unknown();
    }
    // SAFETY: passed on.
    unsafe { next::GETSOCKOPT.get()(number, level, name, value, bytes) }
}

/// # Safety
/// As setsockopt.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn setsockopt(
    number: c_int,
    level: c_int,
    name: c_int,
    value: *const c_void,
    bytes: socklen_t,
) -> c_int {
    if kernel::is_of_ipvs(level, name) {
        return unknown();
    }
    let taken = (level == SOL_NETLINK || level == SOL_SOCKET).then(|| descriptors::taken(number)).flatten();
    match taken {
        Some(_) if level == SOL_NETLINK => netlink_option(name),
        Some(descriptor) if name == libc::SO_RCVTIMEO => {
            // SAFETY: passed on.
            let result = unsafe { next::SETSOCKOPT.get()(number, level, name, value, bytes) };
            takeover::limit_is_the_programs(number, descriptor);
            result
        }
        // SAFETY: passed on.
        _ => unsafe { next::SETSOCKOPT.get()(number, level, name, value, bytes) },
    }
}

/// Options that would change how the kernel words its errors, whom it checks, or what it does when a buffer is full: the director's
/// answers are right either way. The family has no groups to join, and no answer carries control data.
fn netlink_option(name: c_int) -> c_int {
    match name {
        libc::NETLINK_EXT_ACK | libc::NETLINK_CAP_ACK | libc::NETLINK_NO_ENOBUFS | libc::NETLINK_BROADCAST_ERROR => 0,
        _ => unknown(),
    }
}

fn unknown() -> c_int {
    system::set_errno(libc::ENOPROTOOPT);
    -1
}
