//! One text, made a part at a time. What it holds meanwhile is a cursor, or the names of what is still to be listed.

use std::collections::VecDeque;

use ipvs_netlink::{Ipvs, ServiceId};

use super::{ProcNet, text};
use crate::director::Cursor;
use crate::filter::ConnFilter;

/// Conns in one chunk.
const CHUNK_CONNS: usize = 256;
/// Services in one chunk: each may have many servers.
const CHUNK_SERVICES: usize = 16;

/// What is still to be said.
#[derive(Debug)]
pub(super) enum Answer {
    Text(Vec<u8>),
    Services(VecDeque<ServiceId>),
    Conns(Cursor, text::Conns),
    Ended,
}

impl Answer {
    /// The text of a file, of which the head is put into `out`; none: there is no such file.
    pub(super) fn to(name: &[u8], director: &dyn ProcNet, out: &mut Vec<u8>) -> Option<Answer> {
        let conns = |kind: text::Conns, out: &mut Vec<u8>| {
            out.extend(kind.head().as_bytes());
            Answer::Conns(Cursor::START, kind)
        };
        Some(match name {
            b"ip_vs" => {
                out.extend(text::services_head().as_bytes());
                Answer::Services(Ipvs::services(director).into())
            }
            b"ip_vs_conn" => conns(text::Conns::Plain, out),
            b"ip_vs_conn_sync" => conns(text::Conns::WithOrigin, out),
            b"ip_vs_stats" => Answer::Text(text::stats(&director.totals())),
            b"ip_vs_stats_percpu" => Answer::Text(text::stats_by_worker(&director.totals())),
            _ => return None,
        })
    }

    pub(super) fn is_ended(&self) -> bool {
        matches!(self, Answer::Ended)
    }

    /// Appends the next part to `out`. Returns false if the director has nothing to say in this turn.
    pub(super) fn next_chunk(&mut self, director: &mut dyn ProcNet, out: &mut Vec<u8>) -> bool {
        let more = match self {
            Answer::Text(text) => {
                out.append(text);
                false
            }
            Answer::Services(ids) => {
                let chunk = ids.drain(..CHUNK_SERVICES.min(ids.len()));
                for service in chunk.filter_map(|id| director.service(&id)) {
                    text::service(&service, &director.real_servers(&service.id), out);
                }
                !ids.is_empty()
            }
            Answer::Conns(cursor, kind) => {
                let chunk = director.conns(&ConnFilter::default(), *cursor, CHUNK_CONNS);
                chunk.conns.iter().for_each(|conn| kind.put(conn, out));
                match chunk.next {
                    Some(next) if chunk.conns.is_empty() && next == *cursor => return false,
                    Some(next) => {
                        *cursor = next;
                        true
                    }
                    None => false,
                }
            }
            Answer::Ended => return false,
        };
        if !more {
            *self = Answer::Ended;
        }
        true
    }
}
