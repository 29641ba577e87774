//! `fopen` and `open`: the files of `/proc/net` that the director has. The C library's `fopen` does not pass through `open`.

use core::ffi::{c_char, c_int, c_uint};
use libc::{FILE, mode_t};

use crate::next;
use crate::procfiles::Name;

macro_rules! like_fopen {
    ($name:ident, $next:ident) => {
        /// # Safety
        /// As fopen.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(path: *const c_char, mode: *const c_char) -> *mut FILE {
            // SAFETY: the caller's promise: both are C strings.
            unsafe {
                match Name::of(path) {
                    Some(name) => name.fopen(mode),
                    None => next::$next.get()(path, mode),
                }
            }
        }
    };
}

like_fopen!(fopen, FOPEN);
like_fopen!(fopen64, FOPEN64);

// In C the mode is a variable argument. On the 64-bit processors that DPDK is built for here (x86-64, aarch64) such an integer is
// passed as a fixed one; a caller that gives none leaves a number that the kernel does not look at.
macro_rules! like_open {
    ($name:ident, $next:ident $(, $folder:ident)?) => {
        /// # Safety
        /// As open or openat.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($folder: c_int,)? path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
            // SAFETY: the caller's promise: the path is a C string.
            unsafe {
                match Name::of(path) {
                    Some(name) => name.open(flags),
                    None => next::$next.get()($($folder,)? path, flags, mode as c_uint),
                }
            }
        }
    };
}

like_open!(open, OPEN);
like_open!(open64, OPEN64);
like_open!(openat, OPENAT, folder);
like_open!(openat64, OPENAT64, folder);
