//! One client of the admin socket, as the director sees it: requests come in, an answer goes out as fast as the client takes it.

use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixStream;

use super::answer::{self, Answer};
use crate::clients::{self, Client as _};
use crate::director::Director;
use crate::outbound::Outbound;
use crate::protocol::{Ending, REQUEST_BYTES_MAX, Request};

/// How long a client may neither send nor read anything.
pub(super) const SILENCE_MS_MAX: u64 = 10_000;
/// The next chunk of an answer is made only when less than this waits to be read: what waits is bounded by this and one chunk.
pub(super) const PENDING_BYTES_LOW: usize = 16 * 1024;

/// A connected client.
#[derive(Debug)]
pub(super) struct Client {
    stream: UnixStream,
    /// What came and is not yet a whole line; at most one request and its newline.
    inbound: Vec<u8>,
    outbound: Outbound,
    answer: Answer,
    /// When something last moved.
    moved_ms: u64,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    /// It sends nothing more (or nothing that we will read): what was asked is answered, then we hang up.
    Closing,
    Gone,
}

impl clients::Client for Client {
    fn is_gone(&self) -> bool {
        self.stage == Stage::Gone
    }
}

impl Client {
    /// Of a stream that does not block.
    pub(super) fn new(stream: UnixStream, now_ms: u64) -> Client {
        Client {
            stream,
            inbound: Vec::new(),
            outbound: Outbound::default(),
            answer: Answer::Ended,
            moved_ms: now_ms,
            stage: Stage::Open,
        }
    }

    /// One turn: read, answer, write; whatever can be done now, within `chunks_left`.
    pub(super) fn serve(&mut self, director: &mut dyn Director, chunks_left: &mut usize, now_ms: u64) {
        self.read(now_ms);
        loop {
            self.write(now_ms);
            if self.is_gone() || self.pending() > PENDING_BYTES_LOW {
                break;
            }
            if self.answer.is_ended() && !self.take_request(director) {
                break;
            }
            if *chunks_left == 0 || !self.answer.next_chunk(director, &mut self.outbound.bytes) {
                break;
            }
            *chunks_left -= 1;
        }
        self.write(now_ms);
        self.judge(now_ms);
    }

    /// Whether to stay connected.
    fn judge(&mut self, now_ms: u64) {
        let all_said = self.answer.is_ended() && self.pending() == 0;
        let waits_for_director = !self.answer.is_ended() && self.pending() == 0;
        if self.stage == Stage::Closing && all_said && !self.inbound.contains(&b'\n') {
            self.stage = Stage::Gone;
        } else if self.stage == Stage::Open && waits_for_director {
            self.moved_ms = now_ms;
        } else if now_ms.saturating_sub(self.moved_ms) > SILENCE_MS_MAX {
            log::debug!("admin socket: a client that neither sent nor read for {SILENCE_MS_MAX} ms is dropped");
            self.stage = Stage::Gone;
        }
    }

    /// Bytes that wait for the client to read.
    pub(super) fn pending(&self) -> usize {
        self.outbound.pending()
    }

    fn read(&mut self, now_ms: u64) {
        let room = REQUEST_BYTES_MAX + 1 - self.inbound.len();
        if self.stage != Stage::Open || room == 0 {
            return;
        }
        let mut bytes = [0; REQUEST_BYTES_MAX + 1];
        match self.stream.read(&mut bytes[..room]) {
            Ok(0) => self.stage = Stage::Closing,
            Ok(count) => {
                self.inbound.extend_from_slice(&bytes[..count]);
                self.moved_ms = now_ms;
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => self.stage = Stage::Gone,
        }
    }

    /// Begins the answer to the next whole line, if there is one.
    fn take_request(&mut self, director: &mut dyn Director) -> bool {
        let Some(end) = self.inbound.iter().position(|&byte| byte == b'\n') else {
            if self.inbound.len() > REQUEST_BYTES_MAX {
                self.reject(format!(
                    "request longer than {REQUEST_BYTES_MAX} bytes; must be one line such as {EXAMPLE}"
                ));
            }
            return false;
        };
        let request = serde_json::from_slice::<Request>(&self.inbound[..end]);
        self.inbound.drain(..=end);
        match request {
            Ok(request) => {
                self.answer = Answer::to(request, director);
                true
            }
            Err(error) => {
                self.reject(format!("request: {error}; must be one line such as {EXAMPLE}"));
                false
            }
        }
    }

    fn reject(&mut self, reason: String) {
        self.outbound.bytes.extend(answer::line(&Ending::Error(reason)));
        self.inbound.clear();
        self.stage = Stage::Closing;
    }

    fn write(&mut self, now_ms: u64) {
        match self.outbound.write(&self.stream) {
            Ok(true) => self.moved_ms = now_ms,
            Ok(false) => {}
            Err(_) => self.stage = Stage::Gone,
        }
    }
}

const EXAMPLE: &str = r#"{"show":"services"}"#;
