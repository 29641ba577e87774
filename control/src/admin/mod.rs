//! The admin socket of a running director. It lives in the control thread, which has more urgent work: a turn never blocks, does a
//! bounded amount, and holds a bounded amount for each client. Who stops reading, says nothing or says nonsense is hung up on.

mod answer;
mod client;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use crate::clients::Clients;
use crate::director::Director;
use crate::protocol::{Ending, SOCKET_NAME};
use crate::run_dir::{BindError, Kind, RunDir};
use client::Client;

/// Clients at once. More are told so and hung up on.
const CLIENTS_MAX: usize = 16;
/// Chunks of an answer made in one turn, for all clients together: about 4000 conns, some milliseconds.
const CHUNKS_PER_TURN: usize = 16;

/// The socket `<run_dir>/admin.sock` and the clients that are connected to it. Dropping it removes the socket.
#[derive(Debug)]
pub struct Admin(Clients<Client>);

impl Admin {
    /// Listens in the run directory, for root alone.
    pub fn bind(run_dir: &RunDir) -> Result<Admin, BindError> {
        Ok(Admin(Clients::new(run_dir.listen(SOCKET_NAME, Kind::Stream, None)?)))
    }

    /// Path of the socket.
    pub fn path(&self) -> PathBuf {
        self.0.socket.path().to_owned()
    }

    /// Serves whoever is there; to be called every few milliseconds. Returns true if a client could be served further at once, so that
    /// the control thread should not sleep before the next turn.
    pub fn turn(&mut self, director: &mut dyn Director, now_ms: u64) -> bool {
        self.0.accept(CLIENTS_MAX, |clients, stream| {
            if clients.len() >= CLIENTS_MAX {
                refuse(stream);
                return Ok(None);
            }
            Ok(Some(Client::new(stream, now_ms)))
        });
        let mut chunks_left = CHUNKS_PER_TURN;
        self.0.serve(|client| client.serve(director, &mut chunks_left, now_ms));
        chunks_left == 0
    }
}

fn refuse(stream: std::os::unix::net::UnixStream) {
    let reason = format!("{CLIENTS_MAX} clients are connected to the director, which is the most it serves; try again");
    let line = answer::line(&Ending::Error(reason));
    // A socket that nobody wrote to yet takes a line at once; if it does not, the client sees the end of the stream.
    let _ = std::io::Write::write(&mut &stream, &line);
}
