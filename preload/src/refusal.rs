//! What the program reads when the director cannot answer: an NLMSG_ERROR for its request, as a kernel's, from a socket pair in the
//! descriptor's place, so that MSG_PEEK, poll and epoll see a message like any.
//!
//! Both tools need it: keepalived takes a send that fails for success, and reads for ever from a connection that has ended.

use core::ffi::c_int;

use crate::descriptors::Descriptor;
use crate::request::Header;
use crate::system;
use crate::takeover;

/// Leaves a refusal to be read. False if there are no descriptors left to make it with.
pub fn leave(number: c_int, descriptor: &Descriptor, request: Header, errno: c_int) -> bool {
    // Its end has gone once the message is read: the next request looks for the director again.
    system::pair().is_some_and(|(near, far)| {
        system::send(&far, &request.refused(errno)) && takeover::replace(number, descriptor, near)
    })
}

/// Why there is no answer. A kernel without IPVS does not know the family; of one that had it, and whose module is busy, EBUSY is an
/// error that libnl hands on as it is (others become EPERM).
pub fn reason(request: Header) -> c_int {
    if request.is_for_controller() { libc::ENOENT } else { libc::EBUSY }
}
