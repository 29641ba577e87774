//! What goes over the admin socket: one JSON object a line, both ways.
//!
//! ```text
//!   → {"show":"services"}
//!   ← {"protocol":"tcp","address":"192.0.2.10:80",…}      services, conns: one line each, so that no answer must be held whole
//!   ← {"end":true}
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
    /// Version, process id and uptime of the running director
    Version,
}

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", try_from = "Keys")]
pub(crate) enum Request {
    Show(What),
    /// Always true.
    Reload(bool),
}

/// A request as it came. (Enums of serde would say neither which keys there are nor which one is wrong.)
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    show: Option<What>,
    reload: Option<bool>,
}

impl TryFrom<Keys> for Request {
    type Error = &'static str;

    fn try_from(keys: Keys) -> Result<Self, Self::Error> {
        match keys {
            Keys { show: Some(what), reload: None } => Ok(Request::Show(what)),
            Keys { show: None, reload: Some(true) } => Ok(Request::Reload(true)),
            Keys { show: None, reload: Some(false) } => Err("`reload` can only be true"),
            Keys { show: None, reload: None } => Err("missing field `show` or `reload`"),
            Keys { show: Some(_), reload: Some(_) } => Err("`show` and `reload` are two requests"),
        }
    }
}

/// The last line of every answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Ending {
    End(bool),
    Error(String),
}
