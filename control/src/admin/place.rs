//! Where the director listens: a run directory that belongs to one director at a time.
//!
//! The lock on `admin.lock` says whose it is: the kernel drops it with the process, however that ends, so nobody guesses from a socket
//! file or a process id. The lock file itself stays: removing it would let two directors lock two files of one name.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use crate::protocol::SOCKET_NAME;

const LOCK_NAME: &str = "admin.lock";
/// The socket is made in here and moved out once its mode is right, so that it is never open to all, whatever the umask.
const NURSERY_NAME: &str = ".admin.new";
/// Longest path of a Unix socket, without its final zero (unix(7): sun_path).
const SOCKET_PATH_BYTES_MAX: usize = 107;

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

/// A claimed run directory with its listening socket.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) listener: UnixListener,
    run_dir: PathBuf,
    /// Device and inode of our socket: if someone removed the directory under us, the file there may be another director's.
    socket_id: (u64, u64),
    _lock: File,
}

impl Place {
    pub(super) fn claim(run_dir: &Path) -> Result<Place, BindError> {
        let socket = run_dir.join(SOCKET_NAME);
        let nursery = run_dir.join(NURSERY_NAME);
        if nursery.join(SOCKET_NAME).as_os_str().len() > SOCKET_PATH_BYTES_MAX {
            return Err(BindError::TooLong { socket: nursery.join(SOCKET_NAME) });
        }
        DirBuilder::new().recursive(true).mode(0o755).create(run_dir).map_err(at(run_dir, "make the directory"))?;
        let lock = lock(run_dir)?;
        let listener = listen(&nursery, &socket)?;
        let socket_id = file_id(&socket).map_err(at(&socket, "look at the socket"))?;
        Ok(Place { listener, run_dir: run_dir.to_owned(), socket_id, _lock: lock })
    }

    pub(super) fn socket_path(&self) -> PathBuf {
        self.run_dir.join(SOCKET_NAME)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let socket = self.socket_path();
        if file_id(&socket).is_ok_and(|id| id == self.socket_id)
            && let Err(error) = fs::remove_file(&socket)
        {
            log::warn!("{}: cannot remove the admin socket: {error}", socket.display());
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

fn listen(nursery: &Path, socket: &Path) -> Result<UnixListener, BindError> {
    // Left by a director that was killed just here; the lock is ours, so nobody is in it.
    match fs::remove_dir_all(nursery) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(nursery, "remove")(error)),
        _ => {}
    }
    DirBuilder::new().mode(0o700).create(nursery).map_err(at(nursery, "make the directory"))?;
    let newborn = nursery.join(SOCKET_NAME);
    let listener = UnixListener::bind(&newborn).map_err(at(&newborn, "make the socket"))?;
    listener.set_nonblocking(true).map_err(at(&newborn, "make the socket non-blocking"))?;
    fs::set_permissions(&newborn, Permissions::from_mode(0o600)).map_err(at(&newborn, "set the mode"))?;
    fs::rename(&newborn, socket).map_err(at(socket, "put the socket in place"))?;
    fs::remove_dir(nursery).map_err(at(nursery, "remove"))?;
    Ok(listener)
}

fn file_id(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

fn at(path: &Path, action: &'static str) -> impl Fn(io::Error) -> BindError {
    let path = path.to_owned();
    move |error| BindError::File { path: path.clone(), action, error }
}
