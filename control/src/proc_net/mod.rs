//! The socket for the kernel's texts about IPVS, which are files in /proc/net there: `ipvsadm -Lc` knows no other way to conns. A client
//! says the file's name on a line and reads the text to its end. A million conns are made a part at a time, as the client reads them.

mod answer;
mod client;
#[cfg(test)]
mod tests;
mod text;

use std::path::Path;

use ipvs_netlink::{Ipvs, Stats};
use rustix::event::PollFd;

use crate::clients::{Client as _, Clients, has_place};
use crate::director::Director;
use crate::run_dir::{BindError, Kind, RunDir};
use client::Client;

/// Name of the socket in the run directory.
const SOCKET_NAME: &str = "proc.sock";
/// Clients at once, half of them such as may only look. More are hung up on.
const CLIENTS_MAX: usize = 32;
/// Chunks of text made in one turn, for all clients together.
const CHUNKS_PER_TURN: usize = 16;
/// Of these that are for clients who may only look.
const LOOKERS_CHUNKS_PER_TURN: usize = 4;
/// Clients taken up in one turn.
const NEWCOMERS_PER_TURN: usize = 16;

/// Whom the texts are about.
pub trait ProcNet: Director + Ipvs {
    /// What each worker counted for all services together, since the last zero of all.
    fn totals(&self) -> Vec<Stats>;
}

/// The socket `<run_dir>/proc.sock` and the clients that are connected to it. Dropping it removes the socket.
#[derive(Debug)]
pub struct ProcSocket(Clients<Client>);

impl ProcSocket {
    /// Listens in the run directory, for root, and for a group (by its number).
    pub fn bind(run_dir: &RunDir, group: Option<u32>) -> Result<ProcSocket, BindError> {
        Ok(ProcSocket(Clients::new(run_dir.listen(SOCKET_NAME, Kind::Stream, group)?)))
    }

    /// Path of the socket.
    pub fn path(&self) -> &Path {
        self.0.socket.path()
    }

    /// Serves whoever is there. Returns true if a client could be served further at once.
    pub fn turn(&mut self, director: &mut dyn ProcNet, now_ms: u64) -> bool {
        self.0.accept(NEWCOMERS_PER_TURN, |clients, stream| {
            let client = Client::new(stream, now_ms)?;
            Ok(has_place(clients, &client, CLIENTS_MAX).then_some(client))
        });
        let (mut chunks_left, mut lookers_left) = (CHUNKS_PER_TURN, LOOKERS_CHUNKS_PER_TURN);
        self.0.serve(|client| {
            let left = if client.is_owners() { &mut chunks_left } else { &mut lookers_left };
            client.serve(director, left, now_ms);
        });
        chunks_left == 0 || lookers_left == 0
    }

    /// What would let a client be served further.
    pub fn wakers(&self) -> impl Iterator<Item = PollFd<'_>> {
        self.0.wakers()
    }
}
