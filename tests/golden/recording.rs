//! A recording of the kernel: what it was told (`config.txt`), the frames that were put in (`in.pcap`), those that left
//! (`out.pcap`), and what the kernel showed after each step (`steps.jsonl`; some have none, and only `tests/frames` replays those).
//! Step N has the time stamp N seconds in both captures.

use crate::capture;
use crate::ipvsadm::{Command, endpoint, mark_rules};
use conntrack::Method;
use ipnet::IpNet;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use uvs::services::MarkRule;
use uvs::wire::{Ethernet, Ipv4, Ipv6, Mac, ethernet};

const VIRTUAL_NETWORKS: [&str; 2] = ["10.99.0.0/16", "fd99::/64"];

/// Where a frame came in or left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The clients' side.
    Wan,
    /// The real servers' side.
    Lan,
}

impl Side {
    /// Both.
    pub const BOTH: [Side; 2] = [Side::Wan, Side::Lan];

    /// The MAC that the recorded kernel had there.
    pub fn mac(self) -> Mac {
        match self {
            Side::Wan => Mac([2, 0, 0, 0x0c, 0, 1]),
            Side::Lan => Mac([2, 0, 0, 0x05, 0, 1]),
        }
    }

    fn of(mac: Mac) -> Side {
        let side = Side::BOTH.into_iter().find(|side| side.mac() == mac);
        side.unwrap_or_else(|| panic!("{mac} is no MAC of the recorded director"))
    }
}

/// A recorded frame.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The step that put it in, or caused it.
    pub step: u32,
    /// Where it came in or left.
    pub side: Side,
    /// The frame, with the MAC of the recorded kernel.
    pub bytes: Vec<u8>,
}

/// Something that was done to the kernel.
#[derive(Clone, Debug, Deserialize)]
pub struct Step {
    /// Its number.
    pub step: u32,
    /// What it is about.
    pub what: String,
    /// When its packets came, in milliseconds after the case began. None in older recordings: conns that wait tell.
    pub ms: Option<u64>,
    /// `ipvsadm` lines that came before its packets. None in older recordings: what was changed shows in the servers.
    pub edits: Option<Vec<String>>,
    /// None: the recorder did not look, and went on at once.
    #[serde(flatten)]
    pub shown: Option<Shown>,
}

/// What the kernel showed after a step.
#[derive(Clone, Debug, Deserialize)]
pub struct Shown {
    /// When, in milliseconds after the case began. None in older recordings.
    pub shown_ms: Option<u64>,
    /// `TCP 10.1.2.3:20001 10.99.0.1:80 -> 172.16.0.2:8080 SYN_RECV 59`
    pub conns: Vec<String>,
    /// Address, weight, active and inactive conns, in the kernel's order.
    pub servers: Vec<(String, u32, u32, u32)>,
}

impl Shown {
    /// The real servers and their weights.
    pub fn weights(&self) -> Result<Vec<(SocketAddr, u32)>, String> {
        self.servers.iter().map(|(address, weight, ..)| Ok((endpoint(address)?, *weight))).collect()
    }
}

/// A case.
pub struct Recording {
    /// Its folder.
    pub folder: PathBuf,
    /// What the kernel was told.
    pub config: String,
    /// Frames that were put in.
    pub inputs: Vec<Recorded>,
    /// Frames that left.
    pub outputs: Vec<Recorded>,
    /// What the kernel showed, if that was recorded.
    pub steps: Vec<Step>,
}

impl Recording {
    /// Reads the case in a folder.
    pub fn read(folder: &Path) -> Recording {
        let text = |name: &str| {
            let file = folder.join(name);
            fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
        };
        let shown = if has_steps(folder) { text("steps.jsonl") } else { String::new() };
        let inputs = frames(&folder.join("in.pcap"), Ethernet::destination);
        assert!(!inputs.is_empty(), "{}: no frames", folder.display());
        let step =
            |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let steps: Vec<Step> = shown.lines().map(step).collect();
        let looked = steps.last().is_none_or(|step| step.shown.is_some());
        assert!(looked, "{}: nobody looked what the last step came to", folder.display());
        Recording {
            folder: folder.to_path_buf(),
            config: text("config.txt"),
            inputs,
            outputs: frames(&folder.join("out.pcap"), Ethernet::source),
            steps,
        }
    }

    /// Every recording with steps below a folder, by name.
    pub fn all(folder: &Path) -> Vec<Recording> {
        let mut found = Vec::new();
        let mut folders = vec![folder.to_path_buf()];
        while let Some(folder) = folders.pop() {
            let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
            folders.extend(entries.filter(|entry| entry.path().is_dir()).map(|entry| entry.path()));
            if has_steps(&folder) {
                found.push(Recording::read(&folder));
            }
        }
        found.sort_by(|one, other| one.folder.cmp(&other.folder));
        found
    }

    /// The frame that a step put in, first if it is several.
    pub fn input(&self, step: u32) -> &Recorded {
        self.inputs.iter().find(|input| input.step == step).expect("what left was caused by what came in")
    }

    /// The frames of one step that left on one side.
    pub fn outputs_of(&self, step: u32, side: Side) -> impl Iterator<Item = &Recorded> {
        self.outputs.iter().filter(move |output| output.step == step && output.side == side)
    }

    /// The MTU of a side, from the line "# director: c1 … mtu 1500 (MAC …), s1 … mtu 1400 (MAC …)".
    pub fn mtu(&self, side: Side) -> u16 {
        let line = self
            .config
            .lines()
            .find(|line| line.starts_with("# director:"))
            .expect("the recorder names its interfaces");
        let mtus: Vec<_> =
            line.split(" mtu ").skip(1).filter_map(|rest| rest.split(' ').next()?.parse().ok()).collect();
        mtus[side as usize]
    }

    /// The settings below net/ipv4/vs that were changed, `name=value` each.
    pub fn settings(&self) -> impl Iterator<Item = &str> {
        self.config.lines().filter_map(|line| line.strip_prefix("sysctl net/ipv4/vs/"))
    }

    /// The edits before the first step.
    pub fn edits(&self) -> Result<Vec<Command>, String> {
        self.config.lines().filter_map(|line| line.strip_prefix("ipvsadm ")).map(|line| self.command(line)).collect()
    }

    /// An `ipvsadm` line of the case.
    pub fn command(&self, line: &str) -> Result<Command, String> {
        let masquerading = if self.local_addresses().is_empty() { Method::Nat } else { Method::FullNat };
        Ok(Command::parse(line)?.masquerading_by(masquerading))
    }

    /// The prefixes of local addresses, from the line "fullnat 172.16.255.1/32 fd16::ffff/128", which also says that
    /// masquerading is FullNAT from there. None: it is NAT.
    pub fn local_addresses(&self) -> Vec<IpNet> {
        let lines = self.config.lines().filter_map(|line| line.strip_prefix("fullnat "));
        let prefix = |word: &str| word.parse().unwrap_or_else(|_| panic!("fullnat: {word:?} is no prefix"));
        lines.flat_map(str::split_whitespace).map(prefix).collect()
    }

    /// UDP ports of GUE tunnels.
    pub fn gue_ports(&self) -> Vec<u16> {
        let edits = self.steps.iter().flat_map(|step| step.edits.iter().flatten()).map(String::as_str);
        let ports =
            self.config.lines().chain(edits).filter_map(|line| line.split_once("--tun-port ")?.1.split(' ').next());
        ports.filter_map(|port| port.parse().ok()).collect()
    }

    /// Addresses of the director, as far as packets were sent to them: the recorder's networks of virtual addresses are
    /// local as a whole.
    pub fn virtual_addresses(&self) -> BTreeSet<IpAddr> {
        let networks = VIRTUAL_NETWORKS.map(|network| network.parse::<IpNet>().expect("a network"));
        let destinations = self.inputs.iter().filter_map(|input| destination(&input.bytes));
        destinations.filter(|address| networks.iter().any(|network| network.contains(address))).collect()
    }

    /// The firewall's mark rules.
    pub fn marks(&self) -> Result<Vec<MarkRule>, String> {
        let scripts = self.config.lines().filter_map(|line| line.strip_prefix("# nft: "));
        let rules: Vec<_> = scripts.map(mark_rules).collect::<Result<_, _>>()?;
        Ok(rules.concat())
    }
}

fn destination(frame: &[u8]) -> Option<IpAddr> {
    let l3 = frame.get(Ethernet::BYTES..)?;
    match Ethernet::of(frame)?.ether_type() {
        ethernet::IPV4 => Ipv4::of(l3).map(|ip| ip.destination().into()),
        ethernet::IPV6 => Ipv6::of(l3).map(|ip| ip.destination().into()),
        _ => None,
    }
}

fn has_steps(folder: &Path) -> bool {
    folder.join("steps.jsonl").is_file()
}

fn frames(file: &Path, director: impl Fn(&Ethernet) -> Mac) -> Vec<Recorded> {
    let recorded = |captured: capture::Captured| {
        let ethernet = Ethernet::of(&captured.bytes).expect("a recorded frame has an Ethernet header");
        Recorded { step: captured.seconds, side: Side::of(director(ethernet)), bytes: captured.bytes }
    };
    capture::read(file).into_iter().map(recorded).collect()
}
