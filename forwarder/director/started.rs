//! Tells who started the director that it forwards, or that it ends: systemd, by the protocol of sd_notify(3), so that `systemctl
//! start` returns when packets pass and fails when they never will. Without systemd nobody is told.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Where systemd listens: the path of a socket, or `@` and an abstract name.
const VARIABLE: &str = "NOTIFY_SOCKET";

/// What there is to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Frames are forwarded.
    Ready,
    /// The director was told to end.
    Stopping,
}

/// Tells it. That nobody could be told is in the log, and no reason to end.
pub(super) fn tell(state: State) {
    let Some(socket) = std::env::var_os(VARIABLE).filter(|socket| !socket.is_empty()) else { return };
    if let Err(error) = send(&socket, state) {
        log::warn!("{VARIABLE} is {socket:?}, but nobody could be told there that the director is {state:?}: {error}");
    }
}

fn send(socket: &OsStr, state: State) -> io::Result<()> {
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    let message = match state {
        State::Ready => "READY=1",
        State::Stopping => "STOPPING=1",
    };
    UnixDatagram::unbound()?.send_to_addr(message.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_sockets_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("uvs-test-{}", std::process::id());
        let abstract_address = SocketAddr::from_abstract_name(&name).unwrap();
        let rows = [
            (path.clone().into_os_string(), UnixDatagram::bind(&path).unwrap(), State::Ready, "READY=1"),
            (
                format!("@{name}").into(),
                UnixDatagram::bind_addr(&abstract_address).unwrap(),
                State::Stopping,
                "STOPPING=1",
            ),
        ];
        for (socket, listener, state, expect) in rows {
            send(&socket, state).unwrap();
            let mut bytes = [0; 32];
            let length = listener.recv(&mut bytes).unwrap();
            assert_eq!(&bytes[..length], expect.as_bytes(), "{socket:?}");
        }
        assert!(send(OsStr::new("/nowhere/notify"), State::Ready).is_err());
    }
}
