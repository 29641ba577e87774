//! Reads recordings of the kernel's schedulers: files of JSON lines, each an event, grouped into cases.
//!
//! It knows the format and nothing else, so that a recording can be replayed at any depth: against a scheduler alone,
//! or as frames through a director. Anything it does not understand ends the test: a skipped event would prove nothing.

#![allow(dead_code)] // A replay uses the fields it can drive.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// One independent run of the kernel: one service, its servers, its conns.
#[derive(Debug)]
pub struct Case {
    pub file: PathBuf,
    pub setup: Setup,
    pub steps: Vec<Step>,
}

/// The first line of a case.
#[derive(Debug, Deserialize)]
pub struct Setup {
    pub name: String,
    pub scheduler: String,
    /// Address family: 4 or 6.
    #[serde(rename = "af")]
    pub family: u8,
    #[serde(rename = "desc")]
    pub description: String,
    /// Kernel settings that were changed, by their path below /proc/sys.
    pub sysctls: BTreeMap<String, serde_json::Value>,
}

/// One line of a case.
#[derive(Debug, Deserialize)]
pub struct Step {
    #[serde(skip)]
    pub line: usize,
    /// Milliseconds since the case began.
    #[serde(rename = "t")]
    pub at_ms: u64,
    /// The kernel's list of servers after the event.
    pub order: Option<Vec<SocketAddr>>,
    /// Of each listed server, in the kernel's order; after the event, but before the decision of a connect.
    pub counts: Option<Vec<Counts>>,
    #[serde(flatten)]
    pub event: Event,
}

/// What the kernel shows of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "(u32, u32, u32)")]
pub struct Counts {
    pub weight: u32,
    pub active: u32,
    pub inactive: u32,
}

impl From<(u32, u32, u32)> for Counts {
    fn from((weight, active, inactive): (u32, u32, u32)) -> Self {
        Counts { weight, active, inactive }
    }
}

/// What happened.
#[derive(Debug, Deserialize)]
#[serde(tag = "ev", rename_all = "snake_case")]
pub enum Event {
    AddService(Service),
    EditService {
        sched: String,
        flags: Vec<String>,
    },
    AddServer(Server),
    SetServer(Server),
    DelServer {
        server: SocketAddr,
    },
    Connect(Connect),
    Packet {
        id: u32,
        /// From the client: ack rst fin data; from the server: s_synack s_fin s_rst s_ack.
        what: String,
        /// The kernel's name of the conn's state after the packet.
        state: String,
    },
    /// These conns went away.
    Expire {
        ids: Vec<u32>,
        /// By the state's own time-out, not by one that was shortened for it.
        #[serde(default)]
        natural: bool,
    },
    Sleep {
        ms: u64,
    },
    End,
}

#[derive(Debug, Deserialize)]
pub struct Service {
    /// 0: the service is an address and a port.
    pub fwmark: u32,
    pub proto: Option<Protocol>,
    pub vip: Option<IpAddr>,
    pub port: u16,
    pub sched: String,
    pub flags: Vec<String>,
    /// Seconds; 0: not persistent.
    #[serde(rename = "persistent")]
    pub persistent_s: u32,
    pub netmask: Option<String>,
    /// One-packet scheduling: a datagram leaves no conn behind.
    #[serde(rename = "ops")]
    pub one_packet: bool,
}

impl Service {
    /// How many leading bits of a client's address a persistence template is for.
    pub fn netmask_bits(&self, client: IpAddr) -> u32 {
        match (&self.netmask, client) {
            (None, IpAddr::V4(_)) => 32,
            (None, IpAddr::V6(_)) => 128,
            (Some(mask), IpAddr::V4(_)) => mask.parse::<Ipv4Addr>().expect("an IPv4 netmask").to_bits().leading_ones(),
            (Some(bits), IpAddr::V6(_)) => bits.parse().expect("an IPv6 prefix length"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Tcp,
    Udp,
}

#[derive(Debug, Deserialize)]
pub struct Server {
    pub server: SocketAddr,
    pub weight: u32,
    /// 0: none.
    #[serde(rename = "uthresh")]
    pub upper_threshold: u32,
    /// 0: none.
    #[serde(rename = "lthresh")]
    pub lower_threshold: u32,
}

/// A first packet: a TCP SYN or a UDP datagram.
#[derive(Debug, Deserialize)]
pub struct Connect {
    pub id: u32,
    pub proto: Protocol,
    pub client: SocketAddr,
    pub vip: SocketAddr,
    /// Who got it.
    pub expect: Option<SocketAddr>,
    /// What the client got if nobody did: "icmp 3/3", "icmp 1/4".
    pub reject: Option<String>,
}

impl Case {
    /// A kernel setting of net/ipv4/vs, if the case changed it.
    pub fn sysctl(&self, name: &str) -> Option<u64> {
        let value = self.setup.sysctls.get(&format!("net/ipv4/vs/{name}"))?;
        let number = value.as_u64().or_else(|| value.as_str()?.trim().parse().ok());
        Some(number.unwrap_or_else(|| panic!("{}: {name} = {value}: must be a number", self.setup.name)))
    }

    /// Where a step is, for messages.
    pub fn place(&self, step: &Step) -> String {
        let file = self.file.file_name().unwrap_or_default().display();
        format!("{file}:{} case {}", step.line, self.setup.name)
    }
}

/// All cases below `folder`/sched, file by file. A folder without recordings is an error.
pub fn read_folder(folder: &Path) -> Vec<Case> {
    let folder = folder.join("sched");
    let listing = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = listing.map(|entry| entry.expect("a readable folder").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    assert!(!files.is_empty(), "{}: found no recording: must hold *.jsonl files", folder.display());
    files.iter().flat_map(|file| read_file(file)).collect()
}

fn read_file(file: &Path) -> Vec<Case> {
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut cases: Vec<Case> = Vec::new();
    for (line, content) in (1..).zip(text.lines()) {
        let wrong = |error| -> ! { panic!("{}:{line}: {error}", file.display()) };
        if content.starts_with(r#"{"ev":"case""#) {
            let setup = serde_json::from_str(content).unwrap_or_else(|error| wrong(error));
            cases.push(Case { file: file.to_owned(), setup, steps: Vec::new() });
        } else {
            let step: Step = serde_json::from_str(content).unwrap_or_else(|error| wrong(error));
            let case = cases.last_mut().unwrap_or_else(|| panic!("{}:{line}: no case has begun", file.display()));
            case.steps.push(Step { line, ..step });
        }
    }
    for case in &cases {
        let ends = case.steps.last().is_some_and(|step| matches!(step.event, Event::End));
        assert!(ends, "{}: case {} has no end", file.display(), case.setup.name);
    }
    assert!(!cases.is_empty(), "{}: holds no case", file.display());
    cases
}
