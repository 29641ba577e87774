//! System calls of the library's own. Those that it takes over it makes by number: through the C library they would come back to it.
//! All of them are safe in memory; a wrong descriptor is an error of the kernel's.

use core::ffi::{CStr, c_int, c_void};
use libc::{MSG_DONTWAIT, MSG_NOSIGNAL, MSG_PEEK, SOCK_CLOEXEC, SOL_SOCKET, sockaddr_un, socklen_t, timeval};

/// A descriptor of the library's own, closed when dropped.
pub struct Owned(c_int);

impl Owned {
    fn from(result: c_int) -> Option<Owned> {
        (result >= 0).then_some(Owned(result))
    }

    pub fn number(&self) -> c_int {
        self.0
    }

    /// Hands it over to the program.
    pub fn into_number(self) -> c_int {
        let number = self.0;
        core::mem::forget(self);
        number
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        close(self.0);
    }
}

pub fn close(descriptor: c_int) {
    let before = errno();
    // SAFETY: it takes no memory.
    unsafe { libc::syscall(libc::SYS_close, descriptor) };
    set_errno(before);
}

pub fn errno() -> c_int {
    // SAFETY: the address of the thread's errno is always valid.
    unsafe { *libc::__errno_location() }
}

pub fn set_errno(errno: c_int) {
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno }
}

/// A Unix socket that is closed on exec.
pub fn unix_socket(kind: c_int) -> Option<Owned> {
    // SAFETY: it takes no memory.
    Owned::from(unsafe { libc::socket(libc::AF_UNIX, kind | SOCK_CLOEXEC, 0) })
}

/// Two SEQPACKET sockets that are connected to each other.
pub fn pair() -> Option<(Owned, Owned)> {
    let mut ends = [-1; 2];
    // SAFETY: `ends` has room for two.
    let made = unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.as_mut_ptr()) };
    (made == 0).then_some((Owned(ends[0]), Owned(ends[1])))
}

/// Connects to what listens at the address. Err is errno.
pub fn connect(socket: &Owned, address: &sockaddr_un, bytes: socklen_t) -> Result<(), c_int> {
    // SAFETY: the address is a whole sockaddr_un, and `bytes` at most its size, or the kernel refuses.
    let result = unsafe { libc::connect(socket.0, (&raw const *address).cast(), bytes) };
    if result == 0 { Ok(()) } else { Err(errno()) }
}

/// Whether all of it was sent. Never a SIGPIPE.
pub fn send(socket: &Owned, bytes: &[u8]) -> bool {
    let nobody = core::ptr::null::<c_void>();
    let (first, length) = (bytes.as_ptr(), bytes.len());
    // SAFETY: pointer and length are those of a slice; there is no address.
    let sent = unsafe { libc::syscall(libc::SYS_sendto, socket.0, first, length, MSG_NOSIGNAL, nobody, 0) };
    usize::try_from(sent) == Ok(bytes.len())
}

/// Says that nothing more will be sent.
pub fn end_sending(socket: &Owned) {
    // SAFETY: it takes no memory.
    unsafe { libc::shutdown(socket.0, libc::SHUT_WR) };
}

/// Whether the other end has gone and everything from it was read. A packet that was read into no buffer looks alike else.
pub fn has_ended(socket: c_int) -> bool {
    let mut byte = 0u8;
    let nobody = core::ptr::null_mut::<c_void>();
    let flags = MSG_PEEK | MSG_DONTWAIT;
    // SAFETY: there is room for one byte, and no address is asked for.
    let read = unsafe { libc::syscall(libc::SYS_recvfrom, socket, &raw mut byte, 1usize, flags, nobody, nobody) };
    read == 0 || (read < 0 && errno() == libc::ECONNRESET)
}

/// Puts `new` in the place of `old`, in one step.
pub fn put_in_place(new: &Owned, old: c_int, close_on_exec: bool) -> bool {
    // SAFETY: it takes no memory.
    unsafe { libc::dup3(new.0, old, if close_on_exec { libc::O_CLOEXEC } else { 0 }) >= 0 }
}

/// Opens a file or a folder to read it.
pub fn open(path: &CStr) -> Option<Owned> {
    open_at(libc::AT_FDCWD, path)
}

/// The same in a folder.
pub fn open_in(folder: &Owned, name: &CStr) -> Option<Owned> {
    open_at(folder.0, name)
}

fn open_at(folder: c_int, path: &CStr) -> Option<Owned> {
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    // SAFETY: the path is a C string.
    Owned::from(unsafe { libc::syscall(libc::SYS_openat, folder, path.as_ptr(), flags) } as c_int)
}

/// How much was read; 0: there is no more, or it cannot be.
pub fn read(file: &Owned, room: &mut [u8]) -> usize {
    // SAFETY: pointer and length are those of a slice.
    let read = unsafe { libc::syscall(libc::SYS_read, file.0, room.as_mut_ptr(), room.len()) };
    usize::try_from(read).unwrap_or(0)
}

/// The next entries of a folder, as the kernel writes them; none: there are no more.
pub fn entries<'a>(folder: &Owned, room: &'a mut [u8]) -> &'a [u8] {
    // SAFETY: pointer and length are those of a slice.
    let written = unsafe { libc::syscall(libc::SYS_getdents64, folder.0, room.as_mut_ptr(), room.len()) };
    usize::try_from(written).ok().and_then(|written| room.get(..written)).unwrap_or(&[])
}

/// Whether a link in a folder leads to this.
pub fn link_is(folder: &Owned, name: &CStr, target: &[u8]) -> bool {
    let mut room = [0u8; 64];
    let (place, bytes) = (room.as_mut_ptr().cast(), room.len());
    // SAFETY: the name is a C string, pointer and length are those of an array.
    let length = unsafe { libc::readlinkat(folder.0, name.as_ptr(), place, bytes) };
    usize::try_from(length).ok().and_then(|length| room.get(..length)) == Some(target)
}

/// Has an epoll set watch a descriptor.
pub fn watch(set: c_int, descriptor: c_int, events: u32, data: u64) {
    let mut event = libc::epoll_event { events, u64: data };
    // SAFETY: the event is a whole one.
    unsafe { libc::epoll_ctl(set, libc::EPOLL_CTL_ADD, descriptor, &raw mut event) };
}

/// The number that the kernel gave to an open socket, 0 if the descriptor is none.
pub fn inode(descriptor: c_int) -> u64 {
    let mut found = core::mem::MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: there is room for a stat; zeros are a valid one, should the kernel fill nothing in.
    let found = unsafe {
        libc::fstat(descriptor, found.as_mut_ptr());
        found.assume_init()
    };
    if found.st_mode & libc::S_IFMT == libc::S_IFSOCK { found.st_ino } else { 0 }
}

pub fn descriptor_flags(descriptor: c_int) -> Option<c_int> {
    // SAFETY: this fcntl takes no memory.
    let flags = unsafe { libc::fcntl(descriptor, libc::F_GETFD) };
    (flags >= 0).then_some(flags)
}

/// Clears close-on-exec.
pub fn keep_on_exec(socket: &Owned) {
    // SAFETY: this fcntl takes no memory.
    unsafe { libc::fcntl(socket.0, libc::F_SETFD, 0) };
}

pub fn is_nonblocking(descriptor: c_int) -> bool {
    // SAFETY: this fcntl takes no memory.
    let flags = unsafe { libc::fcntl(descriptor, libc::F_GETFL) };
    flags >= 0 && flags & libc::O_NONBLOCK != 0
}

pub fn set_nonblocking(socket: &Owned) {
    // SAFETY: this fcntl takes no memory.
    unsafe { libc::fcntl(socket.0, libc::F_SETFL, libc::O_NONBLOCK) };
}

/// The port of a netlink socket; 0 if it has none yet.
pub fn netlink_port(socket: c_int) -> u32 {
    // SAFETY: zeros are a valid sockaddr_nl, whose padding cannot be named.
    let mut name: libc::sockaddr_nl = unsafe { core::mem::zeroed() };
    let mut bytes = size_of::<libc::sockaddr_nl>() as socklen_t;
    // SAFETY: the kernel writes at most `bytes`, the room that there is.
    unsafe { libc::syscall(libc::SYS_getsockname, socket, &raw mut name, &raw mut bytes) };
    name.nl_pid
}

/// A socket's option that is a number.
pub fn option(socket: c_int, name: c_int) -> Option<c_int> {
    let mut value = 0;
    get_option(socket, name, &mut value).then_some(value)
}

/// How long the program lets it wait for something to read; None is for ever.
pub fn receive_limit(socket: c_int) -> Option<timeval> {
    let mut limit = timeval { tv_sec: 0, tv_usec: 0 };
    let found = get_option(socket, libc::SO_RCVTIMEO, &mut limit);
    (found && (limit.tv_sec, limit.tv_usec) != (0, 0)).then_some(limit)
}

pub fn limit_receiving(socket: c_int, limit: timeval) {
    set_option(socket, libc::SO_RCVTIMEO, &limit);
}

/// Sending and connecting.
pub fn limit_sending(socket: &Owned, limit: timeval) {
    set_option(socket.0, libc::SO_SNDTIMEO, &limit);
}

fn get_option<T>(socket: c_int, name: c_int, value: &mut T) -> bool {
    let mut bytes = size_of::<T>() as socklen_t;
    // SAFETY: the kernel writes at most `bytes`, the room that there is; T is c_int or timeval, as the option is.
    let got = unsafe { libc::syscall(libc::SYS_getsockopt, socket, SOL_SOCKET, name, &raw mut *value, &raw mut bytes) };
    got == 0
}

fn set_option<T>(socket: c_int, name: c_int, value: &T) {
    let bytes = size_of::<T>() as socklen_t;
    // SAFETY: the value is as long as it says.
    unsafe { libc::syscall(libc::SYS_setsockopt, socket, SOL_SOCKET, name, &raw const *value, bytes) };
}
