//! One client that reads a text.

use std::io::{self, ErrorKind, Read};
use std::os::unix::net::UnixStream;

use rustix::event::PollFd;

use super::ProcNet;
use super::answer::Answer;
use crate::clients::{self, is_owners, waker};
use crate::outbound::Outbound;

/// How long a client may neither ask nor read.
pub(super) const SILENCE_MS_MAX: u64 = 10_000;
/// The next chunk is made only when less than this waits to be read.
pub(super) const PENDING_BYTES_LOW: usize = 16 * 1024;
/// The longest name of a file, with its newline.
const NAME_BYTES_MAX: usize = 32;

/// A connected client.
#[derive(Debug)]
pub(super) struct Client {
    stream: UnixStream,
    is_owners: bool,
    /// What came of the file's name.
    name: Vec<u8>,
    answer: Option<Answer>,
    outbound: Outbound,
    /// When something last moved.
    moved_ms: u64,
    is_gone: bool,
}

impl clients::Client for Client {
    fn is_gone(&self) -> bool {
        self.is_gone
    }

    fn waker(&self) -> Option<PollFd<'_>> {
        let has_pending = self.outbound.pending() > 0;
        // Once it has asked, it says nothing more, and a poll would tell of its silence again and again.
        (has_pending || self.answer.is_none()).then(|| waker(&self.stream, has_pending))
    }

    fn is_owners(&self) -> bool {
        self.is_owners
    }
}

impl Client {
    /// Of a stream that does not block.
    pub(super) fn new(stream: UnixStream, now_ms: u64) -> io::Result<Client> {
        let (is_owners, outbound) = (is_owners(&stream)?, Outbound::default());
        Ok(Client { stream, is_owners, name: Vec::new(), answer: None, outbound, moved_ms: now_ms, is_gone: false })
    }

    #[cfg(test)]
    pub(super) fn pending(&self) -> usize {
        self.outbound.pending()
    }

    /// One turn: whatever can be done now, within `chunks_left`.
    pub(super) fn serve(&mut self, director: &mut dyn ProcNet, chunks_left: &mut usize, now_ms: u64) {
        if self.answer.is_none() {
            self.read(director, now_ms);
        }
        self.write(now_ms);
        while let Some(answer) = self.answer.as_mut().filter(|answer| !answer.is_ended()) {
            if self.is_gone || self.outbound.pending() > PENDING_BYTES_LOW || *chunks_left == 0 {
                break;
            }
            if !answer.next_chunk(director, &mut self.outbound.bytes) {
                // The director asks a worker: not the client's silence.
                self.moved_ms = if self.outbound.pending() == 0 { now_ms } else { self.moved_ms };
                break;
            }
            *chunks_left -= 1;
            self.write(now_ms);
        }
        let all_said = self.answer.as_ref().is_some_and(Answer::is_ended) && self.outbound.pending() == 0;
        self.is_gone |= all_said || now_ms.saturating_sub(self.moved_ms) > SILENCE_MS_MAX;
    }

    /// Reads the file's name. One that there is not has no text: the client sees the end at once.
    fn read(&mut self, director: &dyn ProcNet, now_ms: u64) {
        let mut bytes = [0; NAME_BYTES_MAX];
        match self.stream.read(&mut bytes[self.name.len()..]) {
            Ok(count) => {
                let start = self.name.len();
                self.name.extend_from_slice(&bytes[start..start + count]);
                self.moved_ms = now_ms;
                let end = self.name.iter().position(|byte| *byte == b'\n');
                self.answer = end.and_then(|end| Answer::to(&self.name[..end], director, &mut self.outbound.bytes));
                let is_over = count == 0 || end.is_some() || self.name.len() == NAME_BYTES_MAX;
                self.is_gone = is_over && self.answer.is_none();
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => self.is_gone = true,
        }
    }

    fn write(&mut self, now_ms: u64) {
        match self.outbound.write(&self.stream) {
            Ok(true) => self.moved_ms = now_ms,
            Ok(false) => {}
            Err(_) => self.is_gone = true,
        }
    }
}
