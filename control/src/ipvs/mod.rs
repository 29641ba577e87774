//! The socket that stock ipvsadm and keepalived come to, by a library that is loaded into them: the kernel's IPVS protocol, a packet of
//! the socket for each datagram of netlink. It lives in the control thread: a turn never blocks, does a bounded amount, and holds a
//! bounded amount for each client.
//!
//! The kernel demands CAP_NET_ADMIN of whoever as much as looks. Here root may do all, and so may whoever the director runs as; the
//! socket's mode lets nobody else in but a group, which may look.

mod client;
#[cfg(test)]
mod tests;

use std::path::Path;

use ipvs_netlink::{DATAGRAM_BYTES_MAX, Ipvs};
use rustix::event::PollFd;

use crate::clients::{Client as _, Clients, has_place};
use crate::run_dir::{BindError, Kind, RunDir};
use client::Client;

/// Name of the socket in the run directory.
const SOCKET_NAME: &str = "ipvs.sock";
/// Clients at once, half of them such as may only look. For one more, who has been idle the longest is hung up on: keepalived says
/// nothing for hours, and comes again when it has something to say.
const CLIENTS_MAX: usize = 64;
/// Requests done and packets of lists made in one turn, for all clients together: some milliseconds.
const PACKETS_PER_TURN: usize = 64;
/// Of these that are for clients who may only look: what they ask for, however much, makes nobody else wait for long.
const LOOKERS_PACKETS_PER_TURN: usize = 8;
/// Clients taken up in one turn.
const NEWCOMERS_PER_TURN: usize = 16;
/// A client that has waited so long for an answer was told by its library that there is none (`preload/src/director.rs`), and hung up.
const ANSWER_MS_MAX: u64 = 5_000;
/// After a standstill it takes so long at most until all are taken up who came meanwhile.
const AFTER_STANDSTILL_MS: u64 = 1_000;

/// The socket `<run_dir>/ipvs.sock` and the clients that are connected to it. Dropping it removes the socket.
#[derive(Debug)]
pub struct IpvsSocket {
    clients: Clients<Client>,
    /// Where a datagram is received.
    room: Vec<u8>,
    /// When the last turn was, and when the first one after a standstill.
    turn_ms: Option<u64>,
    stood_still_ms: Option<u64>,
}

impl IpvsSocket {
    /// Listens in the run directory, for root, and for a group (by its number) that may look.
    pub fn bind(run_dir: &RunDir, group: Option<u32>) -> Result<IpvsSocket, BindError> {
        let socket = run_dir.listen(SOCKET_NAME, Kind::Packets, group)?;
        let clients = Clients::new(socket);
        Ok(IpvsSocket { clients, room: vec![0; DATAGRAM_BYTES_MAX], turn_ms: None, stood_still_ms: None })
    }

    /// Path of the socket.
    pub fn path(&self) -> &Path {
        self.clients.socket.path()
    }

    /// Serves whoever is there. Returns true if a client could be served further at once.
    pub fn turn(&mut self, ipvs: &mut dyn Ipvs, now_ms: u64) -> bool {
        let stood_still = self.has_stood_still(now_ms);
        self.clients.accept(NEWCOMERS_PER_TURN, |clients, stream| {
            let client = Client::new(stream, now_ms)?;
            Ok(has_place(clients, &client, CLIENTS_MAX).then_some(client))
        });
        let (mut packets_left, mut lookers_left) = (PACKETS_PER_TURN, LOOKERS_PACKETS_PER_TURN);
        let room = &mut self.room;
        self.clients.serve(|client| {
            let left = if client.is_owners() { &mut packets_left } else { &mut lookers_left };
            if stood_still && client.has_hung_up() {
                client.forget();
            }
            client.serve(ipvs, room, left, now_ms);
        });
        packets_left == 0 || lookers_left == 0
    }

    /// Was nobody served for long (the process was stopped, the machine suspended)? Who gave up meanwhile believes that nothing was done,
    /// so nothing must be. At any other time a request is done whether its client waits or not, as by the kernel.
    fn has_stood_still(&mut self, now_ms: u64) -> bool {
        let since = |then: Option<u64>| then.map_or(0, |then| now_ms.saturating_sub(then));
        if since(self.turn_ms) >= ANSWER_MS_MAX {
            self.stood_still_ms = Some(now_ms);
        }
        self.turn_ms = Some(now_ms);
        self.stood_still_ms.is_some() && since(self.stood_still_ms) < AFTER_STANDSTILL_MS
    }

    /// What would let a client be served further.
    pub fn wakers(&self) -> impl Iterator<Item = PollFd<'_>> {
        self.clients.wakers()
    }
}
