//! Clients of a socket, whatever they speak. They are served in the control thread, which has more urgent work: nothing here blocks,
//! and whoever serves a client bounds what is done and held for it. Who may only look has half of the places at most: whatever they do,
//! the owner of the director finds one.

use std::io::{self, ErrorKind};
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags};
use rustix::net::sockopt;

use crate::run_dir::Socket;

/// A connected client.
pub(crate) trait Client {
    /// It hung up, or was hung up on.
    fn is_gone(&self) -> bool;

    /// What would let it be served further. None: nothing that it does, or it is not waited for.
    fn waker(&self) -> Option<PollFd<'_>> {
        None
    }

    /// It may do anything. See [`is_owners`].
    fn is_owners(&self) -> bool {
        true
    }

    /// Since when it has been told all that it asked for, so that it may have to go for another one. None: it is being served.
    fn idle_since_ms(&self) -> Option<u64> {
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

/// Whether there is a place for a newcomer; if need be, who has been idle the longest is hung up on for it. A client that may only look
/// takes a place of no other.
pub(crate) fn has_place<C: Client>(all: &mut Vec<C>, newcomer: &C, places: usize) -> bool {
    let lookers = all.iter().filter(|client| !client.is_owners()).count();
    if all.len() < places && (newcomer.is_owners() || lookers < places / 2) {
        return true;
    }
    let may_go = all.iter().enumerate().filter(|(_, client)| newcomer.is_owners() || !client.is_owners());
    let longest = may_go.filter_map(|(index, client)| Some((client.idle_since_ms()?, index))).min();
    longest.map(|(_, index)| all.swap_remove(index)).is_some()
}

/// Whether root is at the other end, or whoever the director runs as: they may change things.
pub(crate) fn is_owners(socket: &UnixStream) -> io::Result<bool> {
    let user = sockopt::socket_peercred(socket)?.uid.as_raw();
    Ok(is_owner(user, rustix::process::geteuid().as_raw()))
}

fn is_owner(user: u32, own: u32) -> bool {
    user == 0 || user == own
}

/// A client that is waited for: it is to read what it was sent, or to say what it wants.
pub(crate) fn waker(socket: &UnixStream, has_pending: bool) -> PollFd<'_> {
    PollFd::new(socket, if has_pending { PollFlags::OUT } else { PollFlags::IN })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether it is the owner's, and since when it is idle.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Someone(bool, Option<u64>);

    impl Client for Someone {
        fn is_gone(&self) -> bool {
            false
        }

        fn is_owners(&self) -> bool {
            self.0
        }

        fn idle_since_ms(&self) -> Option<u64> {
            self.1
        }
    }

    const ROOT: Someone = Someone(true, None);
    const LOOKER: Someone = Someone(false, None);

    #[test]
    fn who_may_only_look_leaves_places_to_the_owner() {
        let idle = |client: Someone, since_ms| Someone(client.0, Some(since_ms));
        // Connected, newcomer, whether it finds one of four places, who had to go.
        let rows: [(&[Someone], Someone, bool, Option<usize>); 9] = [
            (&[ROOT; 3], ROOT, true, None),
            (&[ROOT; 3], LOOKER, true, None),
            (&[LOOKER; 2], ROOT, true, None),
            (&[LOOKER; 2], LOOKER, false, None),
            (&[LOOKER, idle(LOOKER, 9)], LOOKER, true, Some(1)),
            (&[ROOT; 4], ROOT, false, None),
            (&[ROOT, idle(ROOT, 5), idle(LOOKER, 6), LOOKER], ROOT, true, Some(1)),
            (&[ROOT, idle(ROOT, 5), idle(LOOKER, 6), ROOT], LOOKER, true, Some(2)),
            (&[ROOT, idle(ROOT, 5), ROOT, ROOT], LOOKER, false, None),
        ];
        for (connected, newcomer, finds, gone) in rows {
            let (mut all, mut left) = (connected.to_vec(), connected.to_vec());
            gone.map(|index| left.swap_remove(index));
            assert_eq!((has_place(&mut all, &newcomer, 4), all), (finds, left), "{connected:?} {newcomer:?}");
        }
    }

    #[test]
    fn root_and_the_directors_own_user_are_owners() {
        let rows = [(0, 0, true), (0, 7, true), (7, 7, true), (7, 0, false), (8, 7, false)];
        for (user, own, owner) in rows {
            assert_eq!(is_owner(user, own), owner, "user {user} of a director that runs as {own}");
        }
    }
}
