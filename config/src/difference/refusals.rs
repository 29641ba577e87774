//! What cannot change while a director runs: devices, memory and workers are taken at start. Each line says where, what was
//! found, what the director runs with.

use std::collections::HashMap;

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
