//! The other end of the admin socket: blocking, with a time limit, for `uvs show`, `uvs reload` and the demo.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::filter::ConnFilter;
use crate::protocol::{Ending, Request, SOCKET_NAME, What};
use crate::show::{Conn, Drops, Neighbors, Ports, Reloaded, Routes, Service, Services, Version, Workers};

/// How long the director may stay silent, unless [`Client::with_time_limit`] says otherwise.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// Longest line that is read: a service with tens of thousands of servers.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// Why a director could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("no director runs in {run_dir}: {found}; start one with `uvs run -c FILE`, or name its directory with --run-dir", run_dir = .run_dir.display())]
    NoDirector {
        /// Where.
        run_dir: PathBuf,
        /// What is there instead.
        found: &'static str,
    },
    /// The socket is for root.
    #[error("{socket}: permission denied; run as root", socket = .socket.display())]
    Permission {
        /// The socket.
        socket: PathBuf,
    },
    /// The director is silent.
    #[error("{socket}: the director did not answer within {time_limit:?}", socket = .socket.display())]
    Silent {
        /// The socket.
        socket: PathBuf,
        /// How long we waited.
        time_limit: Duration,
    },
    /// The director said no.
    #[error("{socket}: the director refused: {reason}", socket = .socket.display())]
    Refused {
        /// The socket.
        socket: PathBuf,
        /// Its words.
        reason: String,
    },
    /// The director went away before its answer was complete.
    #[error("{socket}: the director hung up before its answer was complete", socket = .socket.display())]
    HungUp {
        /// The socket.
        socket: PathBuf,
    },
    /// The answer is not what this program expects.
    #[error("{socket}: the director's answer is not understood ({error}); is it of the same version as this program?", socket = .socket.display())]
    NotUnderstood {
        /// The socket.
        socket: PathBuf,
        /// What is wrong with it.
        error: serde_json::Error,
    },
    /// Anything else.
    #[error("{socket}: {error}", socket = .socket.display())]
    Other {
        /// The socket.
        socket: PathBuf,
        /// What the kernel said.
        error: io::Error,
    },
}

/// A connection to a director. The director hangs up on one that is silent for ten seconds: connect anew for a later question.
#[derive(Debug)]
pub struct Client {
    socket: PathBuf,
    stream: BufReader<UnixStream>,
    time_limit: Duration,
    line: Vec<u8>,
}

impl Client {
    /// Connects to the director that runs in `run_dir`.
    pub fn connect(run_dir: &Path) -> Result<Client, ClientError> {
        let socket = run_dir.join(SOCKET_NAME);
        let no_director = |found| ClientError::NoDirector { run_dir: run_dir.to_owned(), found };
        match UnixStream::connect(&socket) {
            Ok(stream) => {
                let client =
                    Client { socket, stream: BufReader::new(stream), time_limit: SILENCE_MAX, line: Vec::new() };
                client.with_time_limit(SILENCE_MAX)
            }
            Err(error) => Err(match error.kind() {
                ErrorKind::NotFound => no_director("it has no admin.sock"),
                ErrorKind::ConnectionRefused => no_director("its admin.sock is left from one that has ended"),
                ErrorKind::PermissionDenied => ClientError::Permission { socket },
                _ => ClientError::Other { socket, error },
            }),
        }
    }

    /// How long the director may stay silent before a request fails; not zero.
    pub fn with_time_limit(mut self, time_limit: Duration) -> Result<Client, ClientError> {
        let stream = self.stream.get_ref();
        let set = stream.set_read_timeout(Some(time_limit)).and_then(|()| stream.set_write_timeout(Some(time_limit)));
        set.map_err(|error| self.failed(error))?;
        self.time_limit = time_limit;
        Ok(self)
    }

    /// Version of the director.
    pub fn version(&mut self) -> Result<Version, ClientError> {
        self.one(What::Version)
    }

    /// Its services.
    pub fn services(&mut self) -> Result<Services, ClientError> {
        self.ask(What::Services)?;
        let mut services = Vec::new();
        while let Some(service) = self.next_object::<Service>()? {
            services.push(service);
        }
        Ok(Services { services })
    }

    /// Its ports.
    pub fn ports(&mut self) -> Result<Ports, ClientError> {
        self.one(What::Ports)
    }

    /// Its workers.
    pub fn workers(&mut self) -> Result<Workers, ClientError> {
        self.one(What::Workers)
    }

    /// Its reasons to drop frames.
    pub fn drops(&mut self) -> Result<Drops, ClientError> {
        self.one(What::Drops)
    }

    /// Its neighbours.
    pub fn neighbors(&mut self) -> Result<Neighbors, ClientError> {
        self.one(What::Neighbors)
    }

    /// Its routes.
    pub fn routes(&mut self) -> Result<Routes, ClientError> {
        self.one(What::Routes)
    }

    /// Its conns, one after the other in constant memory. Takes the client, because a listing that was left in the middle leaves the
    /// connection of no use.
    pub fn conns(mut self, filter: &ConnFilter) -> Result<Conns, ClientError> {
        self.request(Request::Conns(*filter))?;
        Ok(Conns { client: self, ended: false })
    }

    /// Has it read its configuration file again. A long file takes it a while: see [`Client::with_time_limit`].
    pub fn reload(&mut self) -> Result<Reloaded, ClientError> {
        self.request(Request::Reload(true))?;
        self.only_object()
    }

    fn ask(&mut self, what: What) -> Result<(), ClientError> {
        self.request(Request::Show(what))
    }

    fn request(&mut self, request: Request) -> Result<(), ClientError> {
        match self.stream.get_ref().write_all(&request.line()) {
            // Refused and hung up on: why is still there to be read.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            result => result.map_err(|error| self.failed(error)),
        }
    }

    fn one<T: DeserializeOwned>(&mut self, what: What) -> Result<T, ClientError> {
        self.ask(what)?;
        self.only_object()
    }

    fn only_object<T: DeserializeOwned>(&mut self) -> Result<T, ClientError> {
        if let Some(object) = self.next_object()?
            && self.next_object::<T>()?.is_none()
        {
            return Ok(object);
        }
        Err(self.not_understood(serde::de::Error::custom("not exactly one object")))
    }

    /// The next object of the answer, or `None` at its end.
    fn next_object<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ClientError> {
        self.read_line()?;
        // Only the last line has one of these keys, first and alone; no need to parse each line twice.
        if self.line.starts_with(b"{\"end\":") || self.line.starts_with(b"{\"error\":") {
            return match serde_json::from_slice(&self.line) {
                Ok(Ending::End(_)) => Ok(None),
                Ok(Ending::Error(reason)) => Err(ClientError::Refused { socket: self.socket.clone(), reason }),
                Err(error) => Err(self.not_understood(error)),
            };
        }
        serde_json::from_slice(&self.line).map(Some).map_err(|error| self.not_understood(error))
    }

    fn read_line(&mut self) -> Result<(), ClientError> {
        self.line.clear();
        let read = (&mut self.stream).take(LINE_BYTES_MAX).read_until(b'\n', &mut self.line);
        match read {
            Ok(_) if self.line.ends_with(b"\n") => Ok(()),
            Ok(count) if count as u64 == LINE_BYTES_MAX => {
                Err(self.not_understood(serde::de::Error::custom("a line without end")))
            }
            Ok(_) => Err(ClientError::HungUp { socket: self.socket.clone() }),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn failed(&self, error: io::Error) -> ClientError {
        let socket = self.socket.clone();
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => ClientError::Silent { socket, time_limit: self.time_limit },
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => ClientError::HungUp { socket },
            _ => ClientError::Other { socket, error },
        }
    }

    fn not_understood(&self, error: serde_json::Error) -> ClientError {
        ClientError::NotUnderstood { socket: self.socket.clone(), error }
    }
}

/// The conns of a director as they arrive. After an error there is nothing more.
#[derive(Debug)]
pub struct Conns {
    client: Client,
    ended: bool,
}

impl Iterator for Conns {
    type Item = Result<Conn, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.client.next_object().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}
