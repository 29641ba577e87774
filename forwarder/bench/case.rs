//! What is measured: the cases of a run, in rounds. A round's cases differ by method and number of workers only.

use crate::demo::plan::{FAMILIES, Family, Method, Protocol};
use std::fmt;

/// Every method, cheapest first.
pub const METHODS: [Method; 4] = [Method::Dr, Method::Tun, Method::Nat, Method::FullNat];
/// Methods whose answers come back through the director.
const BOTH_WAYS: [Method; 2] = [Method::Nat, Method::FullNat];
const FLOWS: [u32; 4] = [1, 1_000, 100_000, 1_000_000];
const FLOWS_BOTH_WAYS: u32 = 100_000;

/// What the clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// So many flows, each packet of another one; the director knows them all.
    Established {
        /// Client flows.
        flows: u32,
    },
    /// Each packet is the first of a flow; conns end after a second.
    New,
    /// As established, and real servers answer each packet.
    BothWays,
}

/// What all cases of a round have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Family of clients, VIP and real servers.
    pub family: Family,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// What the clients do.
    pub traffic: Traffic,
}

/// One case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// Who sends what.
    pub load: Load,
    /// How packets reach the real servers.
    pub method: Method,
    /// Workers, each with a queue of its own.
    pub workers: usize,
}

/// Cases under one load.
#[derive(Clone, Debug)]
pub struct Round {
    /// Who sends what.
    pub load: Load,
    /// What is measured under it: a method's cases side by side.
    pub cases: Vec<Case>,
}

/// The rounds of a run, each case with each of these numbers of workers. `only`: words that a case's name must contain, as
/// "nat ipv4 udp 1000".
pub fn rounds(quick: bool, workers: &[usize], only: &[String]) -> Vec<Round> {
    let families: &[Family] = if quick { &[Family::V4] } else { &FAMILIES };
    let protocols: &[Protocol] = if quick { &[Protocol::Udp] } else { &[Protocol::Udp, Protocol::Tcp] };
    let flows: &[u32] = if quick { &[1_000, 1_000_000] } else { &FLOWS };
    let mut rounds = Vec::new();
    for &family in families {
        for &protocol in protocols {
            let mut add = |traffic, methods: &[Method]| {
                let load = Load { family, protocol, traffic };
                let with_workers = |&method| workers.iter().map(move |&workers| Case { load, method, workers });
                let cases = methods.iter().flat_map(with_workers).filter(|case| case.is_called(only));
                let cases: Vec<_> = cases.collect();
                if !cases.is_empty() {
                    rounds.push(Round { load, cases });
                }
            };
            flows.iter().for_each(|&flows| add(Traffic::Established { flows }, &METHODS));
            add(Traffic::New, &METHODS);
            add(Traffic::BothWays, &BOTH_WAYS);
        }
    }
    rounds
}

impl Case {
    /// Client flows, as far as they are counted: each queue has one at least.
    pub fn flows(&self) -> u32 {
        self.load.flows().max(self.workers as u32)
    }

    fn is_called(&self, words: &[String]) -> bool {
        let name = format!("{} {}", method_name(self.method), self.load).to_lowercase();
        words.iter().all(|word| name.split(' ').any(|part| part == word.to_lowercase()))
    }
}

impl Load {
    /// Client flows, as far as they are counted.
    pub fn flows(&self) -> u32 {
        match self.traffic {
            Traffic::Established { flows } => flows,
            Traffic::New => 1,
            Traffic::BothWays => FLOWS_BOTH_WAYS,
        }
    }

    /// Conns a worker's table must hold. New conns: the rate of a fast core times the second they live, and some.
    pub fn conns_max(&self) -> u32 {
        match self.traffic {
            Traffic::New => 8_000_000,
            _ => self.flows() + self.flows() / 4 + 1_000,
        }
    }

    /// "udp" or "tcp".
    pub fn protocol_name(&self) -> &'static str {
        if self.protocol == Protocol::Tcp { "tcp" } else { "udp" }
    }
}

/// "nat" as in the configuration file.
pub fn method_name(method: Method) -> &'static str {
    match method {
        Method::Nat => "nat",
        Method::Dr => "dr",
        Method::Tun => "tun",
        Method::FullNat => "fullnat",
        Method::Local => "local",
        Method::Bypass => "bypass",
    }
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Traffic::Established { flows } => write!(f, "{flows}"),
            Traffic::New => f.write_str("new"),
            Traffic::BothWays => f.write_str("both"),
        }
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} {} {}", self.family.name(), self.protocol_name(), self.traffic)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let workers = if self.workers == 1 { String::new() } else { format!(", {} workers", self.workers) };
        f.pad(&format!("{} {}{workers}", method_name(self.method), self.load))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cases(rounds: &[Round]) -> usize {
        rounds.iter().map(|round| round.cases.len()).sum()
    }

    #[test]
    fn every_method_meets_every_load_once() {
        assert_eq!(cases(&rounds(false, &[1], &[])), 2 * 2 * (4 * 4 + 4 + 2));
        assert_eq!(cases(&rounds(false, &[1, 2], &[])), 2 * 2 * 2 * (4 * 4 + 4 + 2));
        assert_eq!(cases(&rounds(true, &[1], &[])), 2 * 4 + 4 + 2);
    }

    #[test]
    fn words_choose_whole_words() {
        let only = |words: &str| {
            let words: Vec<String> = words.split(' ').map(Into::into).collect();
            cases(&rounds(false, &[1], &words))
        };
        assert_eq!(only("NAT"), 2 * 2 * 6, "nat is not fullnat");
        assert_eq!(only("ipv6 tcp fullnat new"), 1);
        assert_eq!(only("1000"), 2 * 2 * 4, "a thousand is no million");
        assert_eq!(only("gre"), 0);
    }
}
