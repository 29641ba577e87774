//! One client of the IPVS socket: a datagram comes in, its answer goes out a packet at a time, as fast as the client takes it. The next
//! datagram is read when all of that is done, so whoever floods waits for himself.

use std::io;
use std::os::unix::net::UnixStream;

use ipvs_netlink::{Ipvs, Rights, Session};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::clients::{self, is_owners, waker};

/// How long a client may not read what it is sent.
pub(super) const SILENCE_MS_MAX: u64 = 10_000;

/// A connected client.
#[derive(Debug)]
pub(super) struct Client {
    socket: UnixStream,
    rights: Rights,
    session: Session,
    /// A packet that the client did not take yet.
    pending: Option<Vec<u8>>,
    /// When something last moved.
    moved_ms: u64,
    is_gone: bool,
}

impl clients::Client for Client {
    fn is_gone(&self) -> bool {
        self.is_gone
    }

    fn waker(&self) -> Option<PollFd<'_>> {
        Some(waker(&self.socket, self.pending.is_some()))
    }

    fn is_owners(&self) -> bool {
        self.rights == Rights::Edit
    }

    fn idle_since_ms(&self) -> Option<u64> {
        (self.pending.is_none() && self.session.is_idle()).then_some(self.moved_ms)
    }
}

impl Client {
    /// Of a socket that does not block.
    pub(super) fn new(socket: UnixStream, now_ms: u64) -> io::Result<Client> {
        let rights = if is_owners(&socket)? { Rights::Edit } else { Rights::Read };
        Ok(Client { socket, rights, session: Session::default(), pending: None, moved_ms: now_ms, is_gone: false })
    }

    /// Does it wait for nothing any more?
    pub(super) fn has_hung_up(&self) -> bool {
        let mut socket = [PollFd::new(&self.socket, PollFlags::empty())];
        poll(&mut socket, Some(&Timespec::default())).is_ok() && socket[0].revents().contains(PollFlags::HUP)
    }

    /// What it asked for is not done.
    pub(super) fn forget(&mut self) {
        self.is_gone = true;
    }

    /// One turn: whatever can be done now, within `packets_left`.
    pub(super) fn serve(&mut self, ipvs: &mut dyn Ipvs, room: &mut [u8], packets_left: &mut usize, now_ms: u64) {
        while *packets_left > 0 && !self.is_gone {
            let goes_on = match &self.pending {
                Some(_) => self.send(now_ms),
                None if self.session.is_idle() => self.receive(room, now_ms),
                None => {
                    *packets_left -= 1;
                    self.pending = self.session.next_packet(ipvs, self.rights).filter(|packet| !packet.is_empty());
                    true
                }
            };
            if !goes_on {
                break;
            }
        }
        if self.pending.is_some() && now_ms.saturating_sub(self.moved_ms) > SILENCE_MS_MAX {
            log::debug!("IPVS socket: a client that did not read for {SILENCE_MS_MAX} ms is dropped");
            self.is_gone = true;
        }
    }

    /// Sends the packet that waits. False: the client does not take it now.
    fn send(&mut self, now_ms: u64) -> bool {
        let Some(packet) = &self.pending else { return true };
        match send(&self.socket, packet, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(_) => {
                self.pending = None;
                self.moved_ms = now_ms;
            }
            Err(Errno::AGAIN) => return false,
            Err(Errno::INTR) => {}
            Err(_) => self.is_gone = true,
        }
        true
    }

    /// Takes the next datagram. False: there is none now.
    fn receive(&mut self, room: &mut [u8], now_ms: u64) -> bool {
        match recv(&self.socket, &mut *room, RecvFlags::TRUNC | RecvFlags::DONTWAIT) {
            Ok((0, _)) => self.is_gone = true,
            Ok((_, length)) if length > room.len() => {
                log::debug!("IPVS socket: a client that sent {length} bytes at once is dropped");
                self.is_gone = true;
            }
            Ok((length, _)) => {
                self.session.take(&room[..length]);
                self.moved_ms = now_ms;
            }
            Err(Errno::AGAIN) => return false,
            Err(Errno::INTR) => {}
            Err(_) => self.is_gone = true,
        }
        true
    }
}
