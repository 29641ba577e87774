//! The calls as the program would have made them without us: the C library's, or another preloaded library's. They are looked up
//! when the library is loaded, so that neither a signal handler nor the child of a fork ever waits for the loader's lock.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::marker::PhantomData;
use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};
use libc::{FILE, msghdr, sockaddr, socklen_t, ssize_t};

/// A call with the signature `F`.
pub struct Call<F> {
    name: &'static CStr,
    found: AtomicPtr<c_void>,
    signature: PhantomData<F>,
}

impl<F: Copy> Call<F> {
    /// # Safety
    /// `F` must be the type of a pointer to the C function of that name.
    const unsafe fn named(name: &'static CStr) -> Call<F> {
        const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
        Call { name, found: AtomicPtr::new(core::ptr::null_mut()), signature: PhantomData }
    }

    fn find(&self) -> *mut c_void {
        // SAFETY: the name is a C string.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
        self.found.store(found, Relaxed);
        found
    }

    /// The function. Without one there is nothing that could be done instead: every C library of Linux has them all.
    pub fn get(&self) -> F {
        let mut found = self.found.load(Relaxed);
        if found.is_null() {
            found = self.find();
        }
        if found.is_null() {
            // SAFETY: always sound.
            unsafe { libc::abort() }
        }
        // SAFETY: `named` was promised that F is the type of a pointer to this function; the sizes are asserted there.
        unsafe { core::mem::transmute_copy(&found) }
    }
}

macro_rules! calls {
    ($($name:ident = $symbol:literal: $signature:ty;)*) => {
        $(
            // SAFETY: the signature is that of the C library's manual pages.
            pub static $name: Call<$signature> = unsafe { Call::named($symbol) };
        )*
        /// Looks all of them up.
        pub fn find_all() {
            $($name.find();)*
        }
    };
}

calls! {
    SENDMSG = c"sendmsg": unsafe extern "C" fn(c_int, *const msghdr, c_int) -> ssize_t;
    SENDTO = c"sendto": unsafe extern "C" fn(c_int, *const c_void, usize, c_int, *const sockaddr, socklen_t) -> ssize_t;
    RECVMSG = c"recvmsg": unsafe extern "C" fn(c_int, *mut msghdr, c_int) -> ssize_t;
    RECVFROM = c"recvfrom": unsafe extern "C" fn(c_int, *mut c_void, usize, c_int, *mut sockaddr, *mut socklen_t) -> ssize_t;
    GETSOCKNAME = c"getsockname": unsafe extern "C" fn(c_int, *mut sockaddr, *mut socklen_t) -> c_int;
    GETSOCKOPT = c"getsockopt": unsafe extern "C" fn(c_int, c_int, c_int, *mut c_void, *mut socklen_t) -> c_int;
    SETSOCKOPT = c"setsockopt": unsafe extern "C" fn(c_int, c_int, c_int, *const c_void, socklen_t) -> c_int;
    CLOSE = c"close": unsafe extern "C" fn(c_int) -> c_int;
    FOPEN = c"fopen": unsafe extern "C" fn(*const c_char, *const c_char) -> *mut FILE;
    FOPEN64 = c"fopen64": unsafe extern "C" fn(*const c_char, *const c_char) -> *mut FILE;
    OPEN = c"open": unsafe extern "C" fn(*const c_char, c_int, ...) -> c_int;
    OPEN64 = c"open64": unsafe extern "C" fn(*const c_char, c_int, ...) -> c_int;
    OPENAT = c"openat": unsafe extern "C" fn(c_int, *const c_char, c_int, ...) -> c_int;
    OPENAT64 = c"openat64": unsafe extern "C" fn(c_int, *const c_char, c_int, ...) -> c_int;
}
