//! One answer, made a part at a time as its client reads. What it holds meanwhile is a cursor, or the services as the director gave
//! them; never the text of more than a chunk.

use serde::Serialize;

use crate::director::{Cursor, Director, ReloadId};
use crate::filter::ConnFilter;
use crate::protocol::{Ending, Request, What};
use crate::show::Service;

/// Conns in one chunk.
const CHUNK_CONNS: usize = 256;
/// Services in one chunk: each may have many servers.
const CHUNK_SERVICES: usize = 16;

/// What is still to be said.
#[derive(Debug)]
pub(super) enum Answer {
    Lines(Vec<u8>),
    Services(std::vec::IntoIter<Service>),
    Conns(ConnFilter, Cursor),
    Reload(ReloadId),
    Ended,
}

impl Answer {
    pub(super) fn to(request: Request, director: &mut dyn Director) -> Answer {
        let what = match request {
            Request::Show(what) => what,
            Request::Conns(filter) => return Answer::Conns(filter, Cursor::START),
            Request::Reload(_) => return Answer::Reload(director.reload()),
        };
        match what {
            What::Services | What::Rates => Answer::Services(director.services().services.into_iter()),
            What::Conns => Answer::Conns(ConnFilter::default(), Cursor::START),
            What::Ports => Answer::Lines(line(&director.ports())),
            What::Workers => Answer::Lines(line(&director.workers())),
            What::Drops => Answer::Lines(line(&director.drops())),
            What::Neighbors => Answer::Lines(line(&director.neighbors())),
            What::Routes => Answer::Lines(line(&director.routes())),
            What::Version => Answer::Lines(line(&director.version())),
        }
    }

    pub(super) fn is_ended(&self) -> bool {
        matches!(self, Answer::Ended)
    }

    /// Appends the next part to `out`. Returns false if the director has nothing to say in this turn.
    pub(super) fn next_chunk(&mut self, director: &mut dyn Director, out: &mut Vec<u8>) -> bool {
        let more = match self {
            Answer::Lines(lines) => {
                out.append(lines);
                false
            }
            Answer::Services(services) => {
                services.by_ref().take(CHUNK_SERVICES).for_each(|service| write_line(&service, out));
                services.len() > 0
            }
            Answer::Conns(filter, cursor) => {
                let chunk = director.conns(filter, *cursor, CHUNK_CONNS);
                chunk.conns.iter().for_each(|conn| write_line(conn, out));
                match chunk.next {
                    Some(next) if chunk.conns.is_empty() && next == *cursor => return false,
                    Some(next) => {
                        *cursor = next;
                        true
                    }
                    None => false,
                }
            }
            Answer::Reload(id) => {
                let Some(reloaded) = director.reloaded(*id) else { return false };
                write_line(&reloaded, out);
                false
            }
            Answer::Ended => return false,
        };
        if !more {
            write_line(&Ending::End(true), out);
            *self = Answer::Ended;
        }
        true
    }
}

/// One object as one line.
pub(super) fn line(object: &impl Serialize) -> Vec<u8> {
    let mut out = Vec::new();
    write_line(object, &mut out);
    out
}

fn write_line(object: &impl Serialize, out: &mut Vec<u8>) {
    serde_json::to_writer(&mut *out, object).expect("plain data with string keys always becomes JSON");
    out.push(b'\n');
}
