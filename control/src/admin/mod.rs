//! The admin socket of a running director. It lives in the control thread, which has more urgent work: a turn never blocks, does a
//! bounded amount, and holds a bounded amount for each client. Who stops reading, says nothing or says nonsense is hung up on.

mod answer;
mod client;
mod place;
#[cfg(test)]
mod tests;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::director::Director;
use crate::protocol::Ending;
use client::Client;
pub use place::BindError;
use place::Place;

/// Clients at once. More are told so and hung up on.
const CLIENTS_MAX: usize = 16;
/// Chunks of an answer made in one turn, for all clients together: about 4000 conns, some milliseconds.
const CHUNKS_PER_TURN: usize = 16;

/// The socket `<run_dir>/admin.sock` and the clients that are connected to it. Dropping it removes the socket.
#[derive(Debug)]
pub struct Admin {
    place: Place,
    clients: Vec<Client>,
    /// Who is served first in the next turn, so that a client who lists a million conns does not use up every turn's chunks.
    first: usize,
    /// Why nobody could be accepted the last time.
    failing: Option<ErrorKind>,
}

impl Admin {
    /// Claims the run directory (made with mode 0755 if missing) and listens there, for root alone. A socket that a dead director left
    /// is replaced; a living director is not disturbed.
    pub fn bind(run_dir: &Path) -> Result<Admin, BindError> {
        Ok(Admin { place: Place::claim(run_dir)?, clients: Vec::new(), first: 0, failing: None })
    }

    /// Path of the socket.
    pub fn path(&self) -> PathBuf {
        self.place.socket_path()
    }

    /// Serves whoever is there; to be called every few milliseconds. Returns true if a client could be served further at once, so that
    /// the control thread should not sleep before the next turn.
    pub fn turn(&mut self, director: &mut dyn Director, now_ms: u64) -> bool {
        self.accept(now_ms);
        let mut chunks_left = CHUNKS_PER_TURN;
        let count = self.clients.len();
        for i in 0..count {
            self.clients[(self.first + i) % count].serve(director, &mut chunks_left, now_ms);
        }
        self.first = if count == 0 { 0 } else { (self.first + 1) % count };
        self.clients.retain(|client| !client.is_gone());
        chunks_left == 0
    }

    fn accept(&mut self, now_ms: u64) {
        for _ in 0..CLIENTS_MAX {
            match self.place.listener.accept() {
                Ok((stream, _)) if self.clients.len() < CLIENTS_MAX => match Client::new(stream, now_ms) {
                    Ok(client) => self.clients.push(client),
                    Err(error) => log::warn!("admin socket: a client could not be served: {error}"),
                },
                Ok((stream, _)) => refuse(stream),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.failing = None;
                    return;
                }
                Err(error) => {
                    // Once, not every few milliseconds while files are short.
                    if self.failing != Some(error.kind()) {
                        log::warn!("admin socket: accept: {error}");
                    }
                    self.failing = Some(error.kind());
                    return;
                }
            }
        }
    }
}

fn refuse(stream: std::os::unix::net::UnixStream) {
    let reason = format!("{CLIENTS_MAX} clients are connected to the director, which is the most it serves; try again");
    let line = answer::line(&Ending::Error(reason));
    // A socket that nobody wrote to yet takes a line at once; if it does not, the client sees the end of the stream.
    let _ = stream.set_nonblocking(true).and_then(|()| std::io::Write::write(&mut &stream, &line));
}
