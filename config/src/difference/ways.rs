//! What leads packets to their next hop: gateways, static neighbours, routes. In a file their order means nothing.

use std::collections::BTreeMap;
use std::fmt;

use super::values::{self, differing};
use crate::{Config, Neighbor, Route};

/// One of them that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// The section it stands in: `[[route]]`.
    pub section: &'static str,
    /// Which one, for people: `route to 10.9.0.0/16`.
    pub what: String,
    /// As the director runs; none: it is new.
    pub before: Option<String>,
    /// As the new file says; none: it is gone.
    pub after: Option<String>,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let none = "none".to_string();
        let (before, after) = (self.before.as_ref().unwrap_or(&none), self.after.as_ref().unwrap_or(&none));
        write!(f, "{}: {before} → {after}", self.what)
    }
}

pub(super) fn between(old: &Config, new: &Config) -> Vec<Way> {
    let ports = old.ports.iter().filter_map(|port| Some((port, new.ports.iter().find(|same| same.name == port.name)?)));
    let gateways = ports.flat_map(|(before, after)| {
        let differing = differing(values::gateways(before), values::gateways(after));
        differing.map(|(key, runs, found)| Way {
            section: "[[port]]",
            what: format!("port {}: {key}", before.name),
            before: Some(runs),
            after: Some(found),
        })
    });
    let neighbors = compared("[[neighbor]]", &neighbors(old), &neighbors(new));
    let routes = compared("[[route]]", &routes(old), &routes(new));
    gateways.chain(neighbors).chain(routes).collect()
}

fn neighbors(config: &Config) -> BTreeMap<String, String> {
    let neighbor = |Neighbor { address, mac, port }: &Neighbor| {
        (format!("neighbor {address} on port {}", config.ports[*port].name), mac.to_string())
    };
    config.neighbors.iter().map(neighbor).collect()
}

fn routes(config: &Config) -> BTreeMap<String, String> {
    let route = |Route { destination, via, port }: &Route| {
        (format!("route to {destination}"), format!("via {via} on port {}", config.ports[*port].name))
    };
    config.routes.iter().map(route).collect()
}

fn compared(section: &'static str, old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Vec<Way> {
    let keys = old.keys().chain(new.keys().filter(|key| !old.contains_key(*key)));
    let way = |what: &String| Way {
        section,
        what: what.clone(),
        before: old.get(what).cloned(),
        after: new.get(what).cloned(),
    };
    keys.map(way).filter(|way| way.before != way.after).collect()
}
