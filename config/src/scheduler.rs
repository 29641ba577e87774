//! Who picks the real server of a new conn: names, and the switches that belong to one scheduler only. A switch of another
//! scheduler is a fault: it would be accepted and ignored.

use std::fmt;
use std::str::FromStr;

use crate::read::{Table, Value};

/// Entries of mh's table in Debian's kernel.
pub const MH_TABLE_DEFAULT: u32 = 4093;
/// Least number of entries of mh's table (the kernel's smallest).
pub const MH_TABLE_MIN: u32 = 251;
/// Greatest number of entries of mh's table.
pub const MH_TABLE_MAX: u32 = 131_071;

/// The schedulers, by the kernel's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheduler {
    /// Round robin.
    Rr,
    /// Weighted round robin.
    Wrr,
    /// Least connections.
    Lc,
    /// Weighted least connections.
    Wlc,
    /// Locality-based least connections.
    Lblc,
    /// The same with sets of servers.
    Lblcr,
    /// Destination hash.
    Dh,
    /// Source hash.
    Sh,
    /// Shortest expected delay.
    Sed,
    /// Never queue.
    Nq,
    /// Maglev hash.
    Mh,
    /// Weighted failover.
    Fo,
    /// Weighted overflow.
    Ovf,
    /// Power of two random choices.
    Twos,
    /// None: no new conn finds a server.
    NoOne,
}

impl Scheduler {
    /// Each scheduler with its name.
    pub const ALL: [(&str, Scheduler); 15] = [
        ("rr", Scheduler::Rr),
        ("wrr", Scheduler::Wrr),
        ("lc", Scheduler::Lc),
        ("wlc", Scheduler::Wlc),
        ("lblc", Scheduler::Lblc),
        ("lblcr", Scheduler::Lblcr),
        ("dh", Scheduler::Dh),
        ("sh", Scheduler::Sh),
        ("sed", Scheduler::Sed),
        ("nq", Scheduler::Nq),
        ("mh", Scheduler::Mh),
        ("fo", Scheduler::Fo),
        ("ovf", Scheduler::Ovf),
        ("twos", Scheduler::Twos),
        ("none", Scheduler::NoOne),
    ];

    /// The kernel's name.
    pub fn name(self) -> &'static str {
        // ALL holds every variant in the order of their declaration; a test keeps it so.
        Scheduler::ALL[self as usize].0
    }
}

impl FromStr for Scheduler {
    type Err = UnknownScheduler;

    fn from_str(name: &str) -> Result<Self, UnknownScheduler> {
        let known = Scheduler::ALL.iter().find(|(known, _)| *known == name);
        known.map(|(_, scheduler)| *scheduler).ok_or_else(|| UnknownScheduler(name.to_string()))
    }
}

impl fmt::Display for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no scheduler's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownScheduler(pub String);

impl std::error::Error for UnknownScheduler {}

impl fmt::Display for UnknownScheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Scheduler::ALL.map(|(name, _)| name).join(", ");
        write!(f, "no scheduler {:?}; must be one of {names}", self.0)
    }
}
/// Switches of the hash schedulers; only those of the service's own scheduler are ever set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags {
    /// sh hashes the client's port too.
    pub sh_port: bool,
    /// sh goes on to another server when the chosen one takes no conns.
    pub sh_fallback: bool,
    /// mh hashes the client's port too.
    pub mh_port: bool,
    /// mh goes on to another server when the chosen one takes no conns.
    pub mh_fallback: bool,
}

const FLAGS: [(&str, Scheduler); 4] = [
    ("sh-port", Scheduler::Sh),
    ("sh-fallback", Scheduler::Sh),
    ("mh-port", Scheduler::Mh),
    ("mh-fallback", Scheduler::Mh),
];

pub(crate) fn read_scheduler(table: &Table) -> Scheduler {
    table.get("scheduler").and_then(|v| v.word(&Scheduler::ALL)).unwrap_or(Scheduler::Wlc)
}

pub(crate) fn read_flags(table: &Table, scheduler: Scheduler) -> Flags {
    let mut flags = Flags::default();
    for item in table.get("flags").iter().flat_map(|v| v.items(FLAGS.len())) {
        let Some((name, of)) = item.word(&FLAGS.map(|flag| (flag.0, flag))) else { continue };
        if of != scheduler {
            item.fault(format!("found \"{name}\" with scheduler {scheduler}; must be with scheduler {of}, or absent"));
            continue;
        }
        match name {
            "sh-port" => flags.sh_port = true,
            "sh-fallback" => flags.sh_fallback = true,
            "mh-port" => flags.mh_port = true,
            _ => flags.mh_fallback = true,
        }
    }
    flags
}

pub(crate) fn read_mh_table(table: &Table, scheduler: Scheduler) -> u32 {
    let Some(value) = table.get("mh_table") else { return MH_TABLE_DEFAULT };
    if scheduler != Scheduler::Mh {
        value.fault(format!("found mh_table with scheduler {scheduler}; must be with scheduler mh, or absent"));
        return MH_TABLE_DEFAULT;
    }
    let entries = value.number(MH_TABLE_MIN..=MH_TABLE_MAX).unwrap_or(MH_TABLE_DEFAULT);
    if !is_prime(entries) {
        not_prime(&value, entries);
    }
    entries
}

fn not_prime(value: &Value, entries: u32) {
    let below = (MH_TABLE_MIN..entries).rev().find(|n| is_prime(*n));
    // The greatest bound is a prime itself, so there is always one above.
    let above = (entries..=MH_TABLE_MAX).find(|n| is_prime(*n));
    let near = below.into_iter().chain(above).map(|n| n.to_string()).collect::<Vec<_>>().join(" or ");
    value.fault(format!("found {entries}, which is no prime; must be a prime such as {near}"));
}

fn is_prime(n: u32) -> bool {
    n >= 2 && (2..).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scheduler_has_its_name() {
        for (name, scheduler) in Scheduler::ALL {
            assert_eq!(scheduler.name(), name);
            assert_eq!(name.parse(), Ok(scheduler));
        }
        assert_eq!("WLC".parse::<Scheduler>(), Err(UnknownScheduler("WLC".to_string())));
    }

    #[test]
    fn the_bounds_of_the_mh_table_are_primes() {
        assert!([MH_TABLE_MIN, MH_TABLE_DEFAULT, MH_TABLE_MAX].into_iter().all(is_prime));
        assert!(![0, 1, 4, 4095, 131_073].into_iter().any(is_prime));
    }
}
