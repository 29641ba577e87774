//! The C library's functions that the library stands before. Each asks whether the call concerns the director and else passes it on
//! unchanged. Their contracts are those of the C functions: what they are given is what the manual page asks for.

mod files;
mod options;
mod receiving;
mod sending;

use core::ffi::c_int;

use crate::{descriptors, director, next};

// The loader calls what stands here before the program starts: while there is one thread, and nobody holds its lock.
#[used]
#[unsafe(link_section = ".init_array")]
static AT_LOAD: extern "C" fn() = at_load;

extern "C" fn at_load() {
    next::find_all();
    director::read_environment();
}

/// # Safety
/// As close.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn close(number: c_int) -> c_int {
    descriptors::forget(number);
    // SAFETY: passed on.
    unsafe { next::CLOSE.get()(number) }
}
