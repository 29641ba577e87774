//! The kernel's texts about IPVS (`ipvsadm -Lc` reads one), as streams from the director: a connection to `<run_dir>/proc.sock`, on
//! which the file's name and a newline are sent, and the text is read. Where there is no director there is no such file.

use core::ffi::{CStr, c_char, c_int};
use libc::FILE;

use crate::director::{self, SILENCE_MAX};
use crate::system::{self, Owned};

const FOLDERS: [&[u8]; 3] = [b"/proc/net/", b"/proc/self/net/", b"/proc/thread-self/net/"];
/// What the director has. The sixth of a kernel with ip_vs_ftp, ip_vs_app, names modules.
const NAMES: [&[u8]; 5] = [b"ip_vs", b"ip_vs_conn", b"ip_vs_conn_sync", b"ip_vs_stats", b"ip_vs_stats_percpu"];

/// The name of one of these files.
pub struct Name(&'static [u8]);

impl Name {
    /// # Safety
    /// The path must be a C string, or null.
    pub unsafe fn of(path: *const c_char) -> Option<Name> {
        if path.is_null() {
            return None;
        }
        // SAFETY: the caller's promise.
        let path = unsafe { CStr::from_ptr(path) }.to_bytes();
        let name = FOLDERS.iter().find_map(|folder| path.strip_prefix(*folder))?;
        NAMES.iter().find(|known| **known == name).map(|known| Name(known))
    }

    /// As `open`: a descriptor, or -1 and errno.
    pub fn open(&self, flags: c_int) -> c_int {
        if flags & libc::O_ACCMODE != libc::O_RDONLY {
            return fail(libc::EACCES);
        }
        match self.stream(flags & libc::O_NONBLOCK != 0) {
            Ok(stream) => {
                if flags & libc::O_CLOEXEC == 0 {
                    system::keep_on_exec(&stream);
                }
                stream.into_number()
            }
            Err(errno) => fail(errno),
        }
    }

    /// As `fopen`: a stream, or null and errno.
    ///
    /// # Safety
    /// The mode must be a C string.
    pub unsafe fn fopen(&self, mode: *const c_char) -> *mut FILE {
        // SAFETY: the caller's promise.
        let mode = unsafe { CStr::from_ptr(mode) }.to_bytes();
        let flags = match mode {
            [b'r', rest @ ..] if !rest.contains(&b'+') && rest.contains(&b'e') => libc::O_CLOEXEC,
            [b'r', rest @ ..] if !rest.contains(&b'+') => 0,
            _ => libc::O_RDWR,
        };
        let number = self.open(flags);
        if number < 0 {
            return core::ptr::null_mut();
        }
        // SAFETY: the mode is a C string.
        let file = unsafe { libc::fdopen(number, c"r".as_ptr()) };
        if file.is_null() {
            system::close(number);
        }
        file
    }

    fn stream(&self, nonblocking: bool) -> Result<Owned, c_int> {
        let stream = director::connect(libc::SOCK_STREAM, b"proc.sock").map_err(|errno| match errno {
            libc::EPERM => libc::EACCES,
            other => other,
        })?;
        if !system::send(&stream, self.0) || !system::send(&stream, b"\n") {
            return Err(libc::ENOENT);
        }
        system::end_sending(&stream);
        system::limit_receiving(stream.number(), SILENCE_MAX);
        if nonblocking {
            system::set_nonblocking(&stream);
        }
        Ok(stream)
    }
}

fn fail(errno: c_int) -> c_int {
    system::set_errno(errno);
    -1
}
