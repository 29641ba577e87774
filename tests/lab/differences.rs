//! Laws of applying another configuration: whatever a director ran with before, it ends up as one that was started with the
//! last file, but for the order of real servers, which is the kernel's.

use crate::kit::port_mac;
use crate::network::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use uvs::director::Control;
use uvs::pipeline::Now;
use uvs::services::ServiceKey;

fn parse(text: &str) -> config::Config {
    config::parse(text, "new.toml").unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

/// What a generated file says of one service: scheduler, persistence, servers with weights.
type Said = (usize, bool, BTreeMap<u8, (u32, bool)>);

const SCHEDULERS: [&str; 6] = ["rr", "wrr", "wlc", "sh", "mh", "lblcr"];

/// The services of a file, by number. Servers are in the order of their last byte, or backwards.
fn text_of(services: &BTreeMap<u8, Said>, backwards: bool) -> String {
    let mut text = network("conns_max = 100\nservers_max = 4096");
    for (number, (scheduler, persistent, servers)) in services {
        let persistent = if *persistent { "persistent = \"2m\"" } else { "" };
        let rest = format!("scheduler = \"{}\"\n{persistent}", SCHEDULERS[*scheduler]);
        text += &service("tcp", &format!("198.51.100.{number}:80"), &rest);
        for (byte, (weight, nat)) in in_order(servers, backwards) {
            text += &server(&format!("10.0.0.{byte}:80"), if *nat { "nat" } else { "dr" });
            text += &format!("weight = {weight}\n");
        }
    }
    text
}

fn in_order<K, V>(map: &BTreeMap<K, V>, backwards: bool) -> Vec<(&K, &V)> {
    let mut items: Vec<_> = map.iter().collect();
    if backwards {
        items.reverse();
    }
    items
}

fn any_services() -> impl Strategy<Value = BTreeMap<u8, Said>> {
    let servers = prop::collection::btree_map(11u8..17, (0u32..4, any::<bool>()), 0..6);
    prop::collection::btree_map(10u8..15, (0..SCHEDULERS.len(), any::<bool>(), servers), 0..5)
}

fn control(text: &str) -> Control {
    let macs = [port_mac(0).0, port_mac(1).0];
    Control::new(parse(text), &macs, 1, Now::from_ms(1_000)).unwrap().0
}

/// Everything that was said about the services and their servers, these sorted.
fn said(control: &Control) -> Vec<String> {
    let service = |(service, servers): (&uvs::services::Service, &[uvs::services::book::Listed])| {
        let mut lines: Vec<_> = servers
            .iter()
            .map(|listed| {
                format!(
                    "{} {:?} {} {:?} {}",
                    listed.address(),
                    listed.server.method,
                    listed.server.weight,
                    listed.thresholds,
                    listed.server.next_hop.is_some()
                )
            })
            .collect();
        lines.sort();
        let (key, settings, persistence) = (service.key, service.settings, service.persistence);
        format!("{key:?} {} {settings:?} {persistence:?} {} {lines:?}", service.scheduler, service.one_packet)
    };
    control.book().list().map(service).collect()
}

fn orders(control: &Control) -> HashMap<ServiceKey, Vec<SocketAddr>> {
    control
        .book()
        .list()
        .map(|(service, listed)| (service.key, listed.iter().map(|listed| listed.address()).collect()))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

    /// Whatever led there, the services are those of a director that was started with the last file; a server that stayed
    /// kept its place, and new ones came to the head one by one.
    #[test]
    fn a_difference_leads_where_a_start_does(files in prop::collection::vec((any_services(), any::<bool>()), 2..6)) {
        let mut running = control(&text_of(&files[0].0, files[0].1));
        for (services, backwards) in &files[1..] {
            let text = text_of(services, *backwards);
            let before = orders(&running);
            running.apply(parse(&text)).unwrap();
            running.publish();
            let fresh = control(&text);
            prop_assert_eq!(said(&running), said(&fresh));
            for (key, after) in orders(&fresh) {
                // A start adds one after the other too: `after` is the file's order backwards.
                let stayed: Vec<_> = before.get(&key).into_iter().flatten().filter(|address| after.contains(address)).collect();
                let new = after.iter().filter(|address| !stayed.contains(address));
                let expected: Vec<_> = new.chain(stayed.iter().copied()).copied().collect();
                prop_assert_eq!(&orders(&running)[&key], &expected);
            }
        }
    }
}
