//! What goes over the admin socket: one JSON object a line, both ways.
//!
//! ```text
//!   → {"show":"services"}
//!   ← {"protocol":"tcp","address":"192.0.2.10:80",…}      services, conns: one line each, so that no answer must be held whole
//!   ← {"end":true}
//!   → {"show":"conns","service":"tcp:192.0.2.10:80","server":"10.0.0.11","client":"203.0.113.0/24"}      only some
//!   → {"show":"workers"}
//!   ← {"workers":[…]}                                     everything else: one line
//!   ← {"end":true}
//!   → {"reload":true}                                      reads the configuration file again
//!   ← {"applied":true,"lines":[…]}                        what changed, or why nothing did; once that is known
//!   ← {"end":true}
//!   → {"show":"wrokers"}
//!   ← {"error":"unknown variant `wrokers`, expected …"}   and the director hangs up
//! ```

use serde::{Deserialize, Serialize};

use crate::filter::{ClientFilter, ConnFilter, ServerFilter, ServiceFilter};

/// Name of the socket in the run directory.
pub(crate) const SOCKET_NAME: &str = "admin.sock";

/// Longest request line in bytes, without its newline.
pub(crate) const REQUEST_BYTES_MAX: usize = 4096;

/// What can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// Virtual services and their real servers
    Services,
    /// What goes through services and their real servers each second
    Rates,
    /// Conns and persistence templates
    Conns,
    /// Ports, their devices and counters
    Ports,
    /// Workers: the fates of their frames, conns, turns
    Workers,
    /// Why frames were dropped
    Drops,
    /// Next hops and their MAC addresses
    Neighbors,
    /// Where packets go, by their destinations
    Routes,
    /// Version, process id and uptime of the running director
    Version,
}

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", try_from = "Keys")]
pub(crate) enum Request {
    Show(What),
    /// Conns of which a filter takes only some. Not written by this derive: see [`Request::line`].
    Conns(ConnFilter),
    /// Always true.
    Reload(bool),
}

/// A request as it came. (Enums of serde would say neither which keys there are nor which one is wrong.)
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    show: Option<What>,
    reload: Option<bool>,
    service: Option<ServiceFilter>,
    server: Option<ServerFilter>,
    client: Option<ClientFilter>,
}

impl TryFrom<Keys> for Request {
    type Error = &'static str;

    fn try_from(keys: Keys) -> Result<Self, Self::Error> {
        let Keys { show, reload, service, server, client } = keys;
        let filter = ConnFilter { service, server, client };
        match (show, reload) {
            (Some(What::Conns), None) => Ok(Request::Conns(filter)),
            _ if filter != ConnFilter::default() => {
                Err("`service`, `server` and `client` go with \"show\":\"conns\" only")
            }
            (Some(what), None) => Ok(Request::Show(what)),
            (None, Some(true)) => Ok(Request::Reload(true)),
            (None, Some(false)) => Err("`reload` can only be true"),
            (None, None) => Err("missing field `show` or `reload`"),
            (Some(_), Some(_)) => Err("`show` and `reload` are two requests"),
        }
    }
}

impl Request {
    /// The request as it is sent.
    pub(crate) fn line(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Conns<'a> {
            show: What,
            #[serde(flatten)]
            filter: &'a ConnFilter,
        }
        let line = match self {
            Request::Conns(filter) => serde_json::to_vec(&Conns { show: What::Conns, filter }),
            request => serde_json::to_vec(request),
        };
        let mut line = line.expect("a request always becomes JSON");
        line.push(b'\n');
        line
    }
}

/// The last line of every answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Ending {
    End(bool),
    Error(String),
}
