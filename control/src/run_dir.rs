//! Where the director listens: a run directory that belongs to one director at a time, and the sockets in it.
//!
//! The lock on `admin.lock` says whose it is: the kernel drops it with the process, however that ends, so nobody guesses from a socket
//! file or a process id. The lock file itself stays: removing it would let two directors lock two files of one name.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};

const LOCK_NAME: &str = "admin.lock";
/// A socket is made in here and moved out once its mode is right, so that it is never open to all, whatever the umask.
const NURSERY_NAME: &str = ".admin.new";
/// Longest path of a Unix socket, without its final zero (unix(7): sun_path).
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Clients that may wait to be accepted.
const BACKLOG: i32 = 128;

/// Why the director cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another director runs.
    #[error("{run_dir}: another director{who} runs here; stop it, or give this one another run_dir", run_dir = .run_dir.display())]
    Taken {
        /// The directory.
        run_dir: PathBuf,
        /// " (process 1234)", or nothing if it did not say.
        who: String,
    },
    /// The path of the socket is too long for the kernel.
    #[error("{socket}: {bytes} bytes long, must be at most {SOCKET_PATH_BYTES_MAX} for a Unix socket; choose a shorter run_dir", socket = .socket.display(), bytes = .socket.as_os_str().len())]
    TooLong {
        /// The path.
        socket: PathBuf,
    },
    /// The file system refuses.
    #[error("{path}: cannot {action}: {error}{cure}", path = .path.display(), cure = cure(.error))]
    File {
        /// Which file.
        path: PathBuf,
        /// What was tried with it.
        action: &'static str,
        /// What the kernel said.
        error: io::Error,
    },
}

fn cure(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "; run as root, or choose a run_dir that you may write to",
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => "; run_dir must be a directory",
        _ => "",
    }
}

/// A claimed run directory.
#[derive(Clone, Debug)]
pub struct RunDir {
    path: PathBuf,
    /// Held as long as somebody listens here.
    lock: Arc<File>,
}

/// What goes over a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Bytes in a row.
    Stream,
    /// Packets.
    Packets,
}

/// A listening socket. Dropping it removes its file.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) listener: UnixListener,
    path: PathBuf,
    /// Device and inode of our socket: if someone removed the directory under us, the file there may be another director's.
    id: (u64, u64),
    _lock: Arc<File>,
}

impl RunDir {
    /// Claims a directory, which is made with mode 0755 if it is missing. A living director is not disturbed.
    pub fn claim(path: &Path) -> Result<RunDir, BindError> {
        DirBuilder::new().recursive(true).mode(0o755).create(path).map_err(at(path, "make the directory"))?;
        Ok(RunDir { lock: Arc::new(lock(path)?), path: path.to_owned() })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Listens at a socket of this name, for root and perhaps a group. One that a dead director left is replaced.
    pub(crate) fn listen(&self, name: &str, kind: Kind, group: Option<u32>) -> Result<Socket, BindError> {
        let (path, nursery) = (self.path.join(name), self.path.join(NURSERY_NAME));
        if nursery.join(name).as_os_str().len() > SOCKET_PATH_BYTES_MAX {
            return Err(BindError::TooLong { socket: nursery.join(name) });
        }
        let listener = listen_at(&nursery, &path, kind, group)?;
        let id = file_id(&path).map_err(at(&path, "look at the socket"))?;
        Ok(Socket { listener, path, id, _lock: self.lock.clone() })
    }
}

impl Socket {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if file_id(&self.path).is_ok_and(|id| id == self.id)
            && let Err(error) = fs::remove_file(&self.path)
        {
            log::warn!("{}: cannot remove the socket: {error}", self.path.display());
        }
    }
}

fn lock(run_dir: &Path) -> Result<File, BindError> {
    let path = run_dir.join(LOCK_NAME);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o644);
    let mut file = options.open(&path).map_err(at(&path, "open the lock file"))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(BindError::Taken { run_dir: run_dir.to_owned(), who: who_holds(&mut file) });
        }
        Err(TryLockError::Error(error)) => return Err(at(&path, "lock")(error)),
    }
    // For the message to the next one only: the lock decides, not this number.
    file.set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(at(&path, "write the lock file"))?;
    Ok(file)
}

fn who_holds(lock: &mut File) -> String {
    let mut text = String::new();
    match lock.take(32).read_to_string(&mut text).map(|_| text.trim().parse::<u32>()) {
        Ok(Ok(pid)) => format!(" (process {pid})"),
        _ => String::new(),
    }
}

fn listen_at(nursery: &Path, path: &Path, kind: Kind, group: Option<u32>) -> Result<UnixListener, BindError> {
    // Left by a director that was killed just here; the lock is ours, so nobody is in it.
    match fs::remove_dir_all(nursery) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(nursery, "remove")(error)),
        _ => {}
    }
    DirBuilder::new().mode(0o700).create(nursery).map_err(at(nursery, "make the directory"))?;
    let newborn = nursery.join(path.file_name().unwrap_or_default());
    let listener = bound(&newborn, kind).map_err(at(&newborn, "make the socket"))?;
    let mode = if group.is_some() { 0o660 } else { 0o600 };
    chown(&newborn, None, group).map_err(at(&newborn, "give the socket to the group"))?;
    fs::set_permissions(&newborn, Permissions::from_mode(mode)).map_err(at(&newborn, "set the mode"))?;
    fs::rename(&newborn, path).map_err(at(path, "put the socket in place"))?;
    fs::remove_dir(nursery).map_err(at(nursery, "remove"))?;
    Ok(listener)
}

fn bound(path: &Path, kind: Kind) -> io::Result<UnixListener> {
    let kind = match kind {
        Kind::Stream => SocketType::STREAM,
        Kind::Packets => SocketType::SEQPACKET,
    };
    let socket = socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

fn file_id(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

fn at(path: &Path, action: &'static str) -> impl Fn(io::Error) -> BindError {
    let path = path.to_owned();
    move |error| BindError::File { path: path.clone(), action, error }
}
