//! A difference for people: one line for each change, and a summary.

use std::fmt;

use super::values::{self, Values, differing};
use super::{Changed, Difference, ServiceDifference};
use crate::{FullNat, RealServer};

/// How many were added, removed and changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// New ones.
    pub added: usize,
    /// Those that are gone.
    pub removed: usize,
    /// Those that stay with other settings.
    pub changed: usize,
}

/// A difference in numbers. `Display` prints it in one line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Services.
    pub services: Counts,
    /// Real servers, those of added and removed services included.
    pub servers: Counts,
    /// The other sections that changed, as they stand in the file.
    pub sections: Vec<&'static str>,
}

impl Difference {
    /// One line for each change; what is refused is not among them.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        let added = self.services_added.iter().map(|service| {
            format!(
                "service {}: added, {} with {} real servers",
                service.matching,
                service.scheduler,
                service.servers.len()
            )
        });
        let removed = self.services_removed.iter().map(|service| {
            format!("service {}: removed, with {} real servers", service.matching, service.servers.len())
        });
        let changed = self.services_changed.iter().flat_map(ServiceDifference::lines);
        let ipvs = self.ipvs.iter().flat_map(|ipvs| arrows("ipvs.", ipvs, values::ipvs));
        let timeouts = self.timeouts.iter().flat_map(|timeouts| arrows("timeouts.", timeouts, values::timeouts));
        let marks = self
            .marks
            .iter()
            .map(|marks| format!("mark: other rules, {} instead of {}", marks.after.len(), marks.before.len()));
        let fullnat = self.fullnat.iter().flat_map(fullnat);
        let ways = self.ways.iter().map(ToString::to_string);
        ways.chain(removed).chain(added).chain(changed).chain(marks).chain(ipvs).chain(timeouts).chain(fullnat)
    }

    /// The difference in numbers.
    pub fn summary(&self) -> Summary {
        let changed = &self.services_changed;
        let servers = |services: &[crate::Service]| services.iter().map(|service| service.servers.len()).sum::<usize>();
        let of_changed = |count: fn(&ServiceDifference) -> usize| changed.iter().map(count).sum::<usize>();
        let way = |section| self.ways.iter().any(|way| way.section == section);
        let sections = [
            ("gateways", way("[[port]]")),
            ("[[neighbor]]", way("[[neighbor]]")),
            ("[[route]]", way("[[route]]")),
            ("[[mark]]", self.marks.is_some()),
            ("[ipvs]", self.ipvs.is_some()),
            ("[timeouts]", self.timeouts.is_some()),
            ("[fullnat]", self.fullnat.is_some()),
        ];
        Summary {
            services: Counts {
                added: self.services_added.len(),
                removed: self.services_removed.len(),
                changed: changed.len(),
            },
            servers: Counts {
                added: servers(&self.services_added) + of_changed(|service| service.servers_added.len()),
                removed: servers(&self.services_removed) + of_changed(|service| service.servers_removed.len()),
                changed: of_changed(|service| service.servers_changed.len()),
            },
            sections: sections.into_iter().filter(|(_, changed)| *changed).map(|(section, _)| section).collect(),
        }
    }
}

/// What is refused, or else each change and the summary.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.refusals.iter().try_for_each(|refusal| writeln!(f, "refused: {refusal}"))?;
        self.lines().try_for_each(|line| writeln!(f, "{line}"))?;
        write!(f, "{}", self.summary())
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Summary::default() {
            return f.write_str("nothing changed");
        }
        write!(f, "services: {}; real servers: {}", self.services, self.servers)?;
        if !self.sections.is_empty() {
            write!(f, "; {} changed", self.sections.join(" "))?;
        }
        Ok(())
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} added, {} removed, {} changed", self.added, self.removed, self.changed)
    }
}

impl ServiceDifference {
    fn lines(&self) -> impl Iterator<Item = String> + '_ {
        let of_server = |address, what: String| format!("service {}, real server {address}: {what}", self.matching);
        let settings = self.settings.iter().flat_map(|settings| {
            arrows(&format!("service {}: ", self.matching), settings, values::service).collect::<Vec<_>>()
        });
        let removed = self.servers_removed.iter().map(move |address| of_server(address, "removed".into()));
        let added = self.servers_added.iter().map(move |server| {
            let RealServer { address, method, weight, .. } = server;
            of_server(address, format!("added, {} with weight {weight}", method.name()))
        });
        let changed = self.servers_changed.iter().flat_map(move |server| {
            let drains = server.after.weight == 0 && server.before.weight > 0;
            let place = of_server(&server.after.address, String::new());
            let mut lines: Vec<_> = arrows(&place, server, values::server).collect();
            if drains {
                lines.push(format!("{place}drains: its conns stay, no new ones"));
            }
            lines
        });
        settings.chain(removed).chain(added).chain(changed)
    }
}

/// A line for each key that differs: `ipvs.pmtu_disc: 1 → 0`.
fn arrows<T>(place: &str, changed: &Changed<T>, values: fn(&T) -> Values) -> impl Iterator<Item = String> + use<T> {
    let place = place.to_string();
    differing(values(&changed.before), values(&changed.after))
        .map(move |(key, before, after)| format!("{place}{key}: {before} → {after}"))
}

fn fullnat(changed: &Changed<FullNat>) -> Vec<String> {
    let only_in = |one: &FullNat, other: &FullNat| {
        let known: std::collections::HashSet<_> = other.local_addresses.iter().collect();
        one.local_addresses.iter().filter(|address| !known.contains(address)).count()
    };
    let (added, removed) = (only_in(&changed.after, &changed.before), only_in(&changed.before, &changed.after));
    let mut lines = Vec::new();
    if added + removed > 0 {
        lines.push(format!("fullnat.local_addresses: {added} added, {removed} removed"));
    }
    if removed > 0 {
        lines.push("fullnat.local_addresses: replies to a removed address are not answered for any more".into());
    }
    let (before, after) = (&changed.before.masquerade, &changed.after.masquerade);
    if before != after {
        lines.push(format!("fullnat.masquerade: {before} → {after}"));
    }
    lines
}
