//! Bytes that wait for a client to read them.

use std::io::{ErrorKind, Write};
use std::os::unix::net::UnixStream;

/// What is to be sent, from `sent` on.
#[derive(Debug, Default)]
pub(crate) struct Outbound {
    pub(crate) bytes: Vec<u8>,
    sent: usize,
}

impl Outbound {
    /// Bytes that wait.
    pub(crate) fn pending(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Sends what the client takes now. Gives whether that was anything; an error if the client is gone.
    pub(crate) fn write(&mut self, mut stream: &UnixStream) -> Result<bool, ErrorKind> {
        let mut moved = false;
        while self.pending() > 0 {
            match stream.write(&self.bytes[self.sent..]) {
                Ok(count) => {
                    self.sent += count;
                    moved = true;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.kind()),
            }
        }
        match self.pending() {
            0 => self.bytes.clear(),
            _ => drop(self.bytes.drain(..self.sent)),
        }
        self.sent = 0;
        Ok(moved)
    }
}
