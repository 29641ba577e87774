//! What cannot change while a director runs. Devices, memory and workers are taken at start; a route or a static neighbour
//! is held by conns. Each line says where, what was found, what the director runs with.

use std::collections::{BTreeMap, HashMap};

use super::values::{self, Values, differing};
use crate::{Config, Port, Service};

pub(super) fn between(old: &Config, new: &Config) -> Vec<String> {
    let mut refusals = Vec::new();
    let mut section = |name: &str, old: Values, new: Values| {
        let found = |(key, runs, found)| {
            format!("{name}{key}: found {found}, the director runs with {runs}; restart it, or leave {key} as it was")
        };
        refusals.extend(differing(old, new).map(found));
    };
    section("director.", values::director(&old.director), values::director(&new.director));
    section("eal.", values::eal(&old.eal), values::eal(&new.eal));
    for port in &old.ports {
        if let Some(same) = named(new, &port.name) {
            section(&format!("port {}: ", port.name), values::port(port), values::port(same));
        }
    }
    refusals.extend(steered_otherwise(old, new));
    let names = |config: &Config| config.ports.iter().map(|port| port.name.clone()).collect::<Vec<_>>();
    let (old_names, new_names) = (names(old), names(new));
    if old_names != new_names {
        let (found, runs) = (new_names.join(" "), old_names.join(" "));
        refusals.push(format!("ports: found {found}, the director runs with {runs}, in this order; restart it"));
    }
    refusals.extend(missing_or_new("neighbor", &neighbors(old), &neighbors(new)));
    refusals.extend(missing_or_new("route to", &routes(old), &routes(new)));
    refusals
}

/// Another `steer` would give flows with conns to workers that do not know them.
fn steered_otherwise(old: &Config, new: &Config) -> Vec<String> {
    let runs: HashMap<_, _> = old.services.iter().map(|service| (service.matching, service.steer)).collect();
    let changed = |service: &&Service| runs.get(&service.matching).is_some_and(|steer| *steer != service.steer);
    let refused = |service: &Service| {
        let (matching, found, runs) = (service.matching, service.steer.name(), runs[&service.matching].name());
        format!(
            "service {matching}: steer: found {found}, the director runs with {runs}; its conns would be lost: restart it, or \
             remove the service, and add it again when its conns have ended"
        )
    };
    new.services.iter().filter(changed).map(refused).collect()
}

fn named<'a>(config: &'a Config, name: &str) -> Option<&'a Port> {
    config.ports.iter().find(|port| port.name == name)
}

fn neighbors(config: &Config) -> BTreeMap<String, String> {
    let neighbor = |neighbor: &crate::Neighbor| {
        let port = &config.ports[neighbor.port].name;
        (format!("{} on port {port}", neighbor.address), neighbor.mac.to_string())
    };
    config.neighbors.iter().map(neighbor).collect()
}

fn routes(config: &Config) -> BTreeMap<String, String> {
    let route = |route: &crate::Route| {
        let port = &config.ports[route.port].name;
        (route.destination.to_string(), format!("via {} on port {port}", route.via))
    };
    config.routes.iter().map(route).collect()
}

/// One line for each key that only one of them has, or that has another value.
fn missing_or_new<'a>(
    what: &'a str,
    old: &'a BTreeMap<String, String>,
    new: &'a BTreeMap<String, String>,
) -> impl Iterator<Item = String> + 'a {
    let found = |value: Option<&String>| value.map_or("none".into(), String::clone);
    let keys = old.keys().chain(new.keys().filter(|key| !old.contains_key(*key)));
    keys.filter(|key| old.get(*key) != new.get(*key)).map(move |key| {
        let (runs, found) = (found(old.get(key)), found(new.get(key)));
        format!("{what} {key}: found {found}, the director runs with {runs}; restart it")
    })
}
