//! Another socket in the place of a descriptor of the program's: the director's when the program asks for IPVS, a new one when the
//! director was started again, and one that holds only a refusal ([`crate::refusal`]). The number stays, and so does what the
//! program set: close-on-exec, non-blocking, its limit on waiting, the epoll sets that watch it.

use core::ffi::c_int;
use libc::{AF_NETLINK, NETLINK_GENERIC, SO_DOMAIN, SO_PROTOCOL};

use crate::descriptors::Descriptor;
use crate::director::{self, SILENCE_MAX};
use crate::system::{self, Owned};
use crate::watchers::Watchers;

/// Whether the descriptor is a generic-netlink socket. Route netlink's RTM_NEWLINK has the number of generic netlink's controller.
pub fn is_generic_netlink(number: c_int) -> bool {
    system::option(number, SO_DOMAIN) == Some(AF_NETLINK)
        && system::option(number, SO_PROTOCOL) == Some(NETLINK_GENERIC)
}

/// Takes a generic-netlink socket over: from here on it is the director's, there or not. Without a director its place is taken by a
/// socket that has ended, so that whatever is sent looks for one. False if there are no descriptors left to do it with.
pub fn take(number: c_int, descriptor: &Descriptor) -> bool {
    descriptor.set_port(system::netlink_port(number));
    descriptor.set_limit_is_ours(false);
    connect(number, descriptor).is_ok() || system::pair().is_some_and(|(near, _)| replace(number, descriptor, near))
}

/// Puts a connection to the director in the descriptor's place. Err is the errno of [`director::connect`].
pub fn connect(number: c_int, descriptor: &Descriptor) -> Result<(), c_int> {
    let connection = director::connect(libc::SOCK_SEQPACKET, b"ipvs.sock")?;
    replace(number, descriptor, connection).then_some(()).ok_or(libc::ENOENT)
}

/// The program has set its limit on waiting to receive; for ever is ours.
pub fn limit_is_the_programs(number: c_int, descriptor: &Descriptor) {
    let errno = system::errno();
    let unlimited = system::receive_limit(number).is_none();
    if unlimited {
        system::limit_receiving(number, SILENCE_MAX);
    }
    descriptor.set_limit_is_ours(unlimited);
    system::set_errno(errno);
}

/// Puts a socket in the descriptor's place, as the program had configured the one before.
pub fn replace(number: c_int, descriptor: &Descriptor, socket: Owned) -> bool {
    let Some(flags) = system::descriptor_flags(number) else { return false };
    let limit = system::receive_limit(number).filter(|_| !descriptor.limit_is_ours());
    system::limit_receiving(socket.number(), limit.unwrap_or(SILENCE_MAX));
    if system::is_nonblocking(number) {
        system::set_nonblocking(&socket);
    }
    let watchers = Watchers::of(number);
    let before = descriptor.connection();
    // Known before it is there: another thread that sees the new socket takes it for ours.
    descriptor.set_connection(system::inode(socket.number()));
    descriptor.set_limit_is_ours(limit.is_none());
    let replaced = system::put_in_place(&socket, number, flags & libc::FD_CLOEXEC != 0);
    if replaced {
        watchers.watch(number);
    } else {
        descriptor.set_connection(before);
    }
    replaced
}
