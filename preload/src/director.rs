//! Where the director listens: in the folder that `UVS_RUN_DIR` names, else in that of a director whose file names none. The variable is
//! read once, when the library is loaded: programs that set variables in one thread while another connects, or write over their
//! environment, do no harm. A setuid program's variable is not believed.

use core::ffi::{CStr, c_char, c_int};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicU8, AtomicUsize};
use libc::{sockaddr_un, socklen_t, timeval};

use crate::system::{self, Owned};

/// Names the director's run_dir.
const VARIABLE: &CStr = c"UVS_RUN_DIR";
/// `run_dir` of a configuration file that does not name one.
const RUN_DIR: &str = "/run/uvs";
/// As in the configuration file.
const RUN_DIR_BYTES_MAX: usize = 80;
/// A director that says nothing for so long counts as gone: one that was stopped must not stop the program.
pub const SILENCE_MAX: timeval = timeval { tv_sec: 5, tv_usec: 0 };

static FOLDER: [AtomicU8; RUN_DIR_BYTES_MAX] = [const { AtomicU8::new(0) }; RUN_DIR_BYTES_MAX];
/// 0: not read yet, or too long: nothing is found there.
static FOLDER_BYTES: AtomicUsize = AtomicUsize::new(0);

unsafe extern "C" {
    fn secure_getenv(name: *const c_char) -> *const c_char;
}

/// Reads the variable.
pub fn read_environment() {
    // SAFETY: the name is a C string. The library is being loaded: no thread changes the environment yet.
    let value = unsafe { secure_getenv(VARIABLE.as_ptr()) };
    let folder = if value.is_null() {
        RUN_DIR.as_bytes()
    } else {
        // SAFETY: what getenv returns is a C string, and nobody changes it meanwhile, as above.
        unsafe { CStr::from_ptr(value) }.to_bytes()
    };
    if folder.len() > FOLDER.len() {
        return;
    }
    FOLDER.iter().zip(folder).for_each(|(place, byte)| place.store(*byte, Relaxed));
    FOLDER_BYTES.store(folder.len(), Release);
}

/// Connects to one of its sockets. Err is errno: ENOENT for no director, EPERM for one that this user may not talk to.
pub fn connect(kind: c_int, name: &[u8]) -> Result<Owned, c_int> {
    let (address, bytes) = address(name).ok_or(libc::ENOENT)?;
    let socket = system::unix_socket(kind).ok_or(libc::ENOENT)?;
    // Connecting waits while more connections wait than the director lets.
    system::limit_sending(&socket, SILENCE_MAX);
    match system::connect(&socket, &address, bytes) {
        Ok(()) => Ok(socket),
        Err(libc::EACCES | libc::EPERM) => Err(libc::EPERM),
        Err(_) => Err(libc::ENOENT),
    }
}

fn address(name: &[u8]) -> Option<(sockaddr_un, socklen_t)> {
    let length = FOLDER_BYTES.load(Acquire);
    if length == 0 {
        return None;
    }
    let folder = FOLDER.iter().take(length).map(|byte| byte.load(Relaxed));
    let path = folder.chain([b'/']).chain(name.iter().copied());
    // The zeros that are left end the path.
    let mut address = sockaddr_un { sun_family: libc::AF_UNIX as _, sun_path: [0; 108] };
    for (place, byte) in address.sun_path.iter_mut().zip(path) {
        *place = byte as c_char;
    }
    Some((address, size_of::<sockaddr_un>() as socklen_t))
}
