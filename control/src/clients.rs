//! Clients of a socket, whatever they speak. They are served in the control thread, which has more urgent work: nothing here blocks,
//! and whoever serves a client bounds what is done and held for it.

use std::io::{self, ErrorKind};
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags};

use crate::run_dir::Socket;

/// A connected client.
pub(crate) trait Client {
    /// It hung up, or was hung up on.
    fn is_gone(&self) -> bool;

    /// What would let it be served further. None: nothing that it does, or it is not waited for.
    fn waker(&self) -> Option<PollFd<'_>> {
        None
    }
}

/// A listening socket and who is connected.
#[derive(Debug)]
pub(crate) struct Clients<C> {
    pub(crate) socket: Socket,
    pub(crate) all: Vec<C>,
    /// Who is served first in the next turn, so that a client who lists a million conns does not use up every turn.
    first: usize,
    /// Why nobody could be accepted the last time.
    failing: Option<ErrorKind>,
}

impl<C: Client> Clients<C> {
    pub(crate) fn new(socket: Socket) -> Clients<C> {
        Clients { socket, all: Vec::new(), first: 0, failing: None }
    }

    /// Takes up who came, at most `most` in a turn. What `make` makes none of is hung up on.
    pub(crate) fn accept(
        &mut self,
        most: usize,
        mut make: impl FnMut(&mut Vec<C>, UnixStream) -> io::Result<Option<C>>,
    ) {
        for _ in 0..most {
            let accepted = self.socket.listener.accept().and_then(|(stream, _)| {
                stream.set_nonblocking(true)?;
                make(&mut self.all, stream)
            });
            match accepted {
                Ok(client) => {
                    self.all.extend(client);
                    self.failing = None;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.failing = None;
                    return;
                }
                Err(error) => {
                    // Once, not every few milliseconds while files are short.
                    if self.failing != Some(error.kind()) {
                        log::warn!("{}: accept: {error}", self.socket.path().display());
                    }
                    self.failing = Some(error.kind());
                    return;
                }
            }
        }
    }

    /// Serves each client, another one first each time, and forgets who is gone.
    pub(crate) fn serve(&mut self, mut serve: impl FnMut(&mut C)) {
        let count = self.all.len();
        for i in 0..count {
            serve(&mut self.all[(self.first + i) % count]);
        }
        self.first = if count == 0 { 0 } else { (self.first + 1) % count };
        self.all.retain(|client| !client.is_gone());
    }

    /// What would wake the control thread: who comes, and what clients do.
    pub(crate) fn wakers(&self) -> impl Iterator<Item = PollFd<'_>> {
        // Who cannot be accepted now would wake us again and again.
        let newcomer = self.failing.is_none().then(|| PollFd::new(&self.socket.listener, PollFlags::IN));
        newcomer.into_iter().chain(self.all.iter().filter_map(Client::waker))
    }
}

/// A client that is waited for: it is to read what it was sent, or to say what it wants.
pub(crate) fn waker(socket: &UnixStream, has_pending: bool) -> PollFd<'_> {
    PollFd::new(socket, if has_pending { PollFlags::OUT } else { PollFlags::IN })
}
