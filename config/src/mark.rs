//! `[[mark]]`: which flows get a firewall mark, for services that match marks. The first rule that fits counts.

use std::ops::RangeInclusive;

use ipnet::IpNet;

use crate::address::{Family, read_prefix};
use crate::read::{Table, Value};
use crate::service::{Protocol, read_protocol};

/// Bound of the number of rules: a new flow is held against them one by one.
pub const MARKS_MAX: usize = 1024;

/// `[[mark]]`. What is absent fits everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Prefix of the client; host bits are 0.
    pub source: Option<IpNet>,
    /// Prefix of the destination, of the same family as the source's.
    pub destination: Option<IpNet>,
    /// The transport protocol.
    pub protocol: Option<Protocol>,
    /// Ports of the client; only with a protocol.
    pub source_ports: Option<RangeInclusive<u16>>,
    /// Ports of the destination; only with a protocol.
    pub destination_ports: Option<RangeInclusive<u16>>,
    /// The mark that fitting flows get; not 0.
    pub mark: u32,
}

impl Mark {
    /// The family that the prefixes confine the rule to.
    pub fn family(&self) -> Option<Family> {
        self.source.or(self.destination).map(|prefix| Family::of(prefix.addr()))
    }
}

pub(crate) const KEYS: &[&str] = &["source", "destination", "protocol", "source_ports", "destination_ports", "mark"];

pub(crate) fn read(root: &Table) -> Vec<Mark> {
    root.tables("mark", MARKS_MAX).iter().filter_map(read_mark).collect()
}

fn read_mark(table: &Table) -> Option<Mark> {
    table.check_keys(KEYS, &[]);
    let source = table.get("source").and_then(|v| read_prefix(&v));
    let destination = table.get("destination").and_then(|v| {
        let prefix = read_prefix(&v)?;
        if source.is_some_and(|source| Family::of(source.addr()) != Family::of(prefix.addr())) {
            v.fault(format!("found {prefix}; must be of the same family as the source"));
            return None;
        }
        Some(prefix)
    });
    let protocol = table.get("protocol").and_then(|v| read_protocol(&v));
    let source_ports = table.get("source_ports").and_then(|v| read_ports(&v, table));
    let destination_ports = table.get("destination_ports").and_then(|v| read_ports(&v, table));
    let mark = table.need("mark", "a whole number from 1 to 4294967295")?.number(1..=u32::MAX)?;
    Some(Mark { source, destination, protocol, source_ports, destination_ports, mark })
}

/// A port, or a range of ports such as `"8000-8010"`.
fn read_ports(value: &Value, table: &Table) -> Option<RangeInclusive<u16>> {
    if !table.has("protocol") {
        value.fault("found ports without `protocol`; must be with protocol = \"tcp\", \"udp\" or \"sctp\"");
        return None;
    }
    if value.is_number() {
        return value.number(0..=u16::MAX).map(|port| port..=port);
    }
    value.text("a port such as 80, or a range of ports such as \"8000-8010\"", |text| {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        (first <= last).then_some(first..=last)
    })
}
