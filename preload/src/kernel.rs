//! The kernel's own IPVS, which must not answer in the director's stead. Both tools try its socket options when there is no netlink
//! family; here there is never such an option, as in a kernel without IPVS.

use core::ffi::c_int;
use core::ops::RangeInclusive;

/// Options of `getsockopt` and `setsockopt` at level IPPROTO_IP that are IPVS's.
const OPTIONS: RangeInclusive<c_int> = 1152..=1167;

/// Whether an option is one of the kernel's IPVS.
pub fn is_of_ipvs(level: c_int, name: c_int) -> bool {
    level == libc::IPPROTO_IP && OPTIONS.contains(&name)
}
