//! What the kernel said (recorded: `ip` in a namespace with the interface 4, a socket that listened), and garbage.

use super::message::{Told, WhatChanged, read};
use super::{ROUTES_MAX, Tables};
use crate::neigh::{HostNetwork, HostRoute};
use hashbrown::HashMap;
use ipnet::IpNet;
use proptest::prelude::*;

/// Titles and the datagrams of each.
fn recorded() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let text = include_str!("../recorded.txt");
    let part = |part: &'static str| {
        let (title, lines) = part.split_once('\n').unwrap();
        (title, lines.lines().map(bytes).collect())
    };
    text.split("== ").skip(1).map(part).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn interfaces() -> HashMap<u32, u16> {
    [(4, 7)].into_iter().collect()
}

fn told(datagram: &[u8]) -> Vec<Told> {
    let mut all = Vec::new();
    read(datagram, &interfaces(), |one| all.push(one));
    all
}

/// A network as text: port, then what the port's interface has.
fn spelled(network: &HostNetwork) -> Vec<String> {
    let addresses = network.addresses.iter().map(|(port, own)| format!("{port} {own}"));
    let routes = network.routes.iter().map(|HostRoute { to, metric, port, gateway }| {
        let via = gateway.map_or(String::new(), |gateway| format!(" via {gateway}"));
        format!("{port} {to}{via} metric {metric}")
    });
    let neighbors = network.neighbors.iter().map(|neighbor| {
        let permanent = if neighbor.permanent { " permanent" } else { "" };
        format!("{} {} at {}{permanent}", neighbor.port, neighbor.address, neighbor.mac)
    });
    addresses.chain(routes).chain(neighbors).collect()
}

/// What is known after each recorded step more than before it, or less, and whether the kernel must be asked.
#[test]
fn the_kernels_words_are_understood() {
    let rows: [(&str, &[&str], bool); 22] = [
        ("an IPv4 address comes", &["+7 192.0.2.1/24", "+7 192.0.2.0/24 metric 0"], false),
        ("a second address of one host", &["+7 198.51.100.10/32"], false),
        ("an IPv6 address comes", &["+7 2001:db8::1/64", "+7 2001:db8::/64 metric 256"], false),
        ("a default route comes", &["+7 0.0.0.0/0 via 192.0.2.254 metric 0"], false),
        ("it is replaced", &["-7 0.0.0.0/0 via 192.0.2.254 metric 0", "+7 0.0.0.0/0 via 192.0.2.253 metric 0"], false),
        ("one with a metric comes", &["+7 0.0.0.0/0 via 192.0.2.252 metric 200"], false),
        ("an IPv6 default route comes", &["+7 ::/0 via 2001:db8::fe metric 1024"], false),
        ("a route without a router comes", &["+7 10.9.0.0/16 metric 0"], false),
        ("a route with two routers comes", &["+7 10.8.0.0/16 via 192.0.2.254 metric 0"], false),
        ("a blackhole comes", &[], false),
        ("a route of another table comes", &[], false),
        ("a permanent neighbour comes", &["+7 192.0.2.77 at 02:00:00:00:00:77 permanent"], false),
        ("a neighbour is reachable", &["+7 192.0.2.78 at 02:00:00:00:00:78"], false),
        ("an IPv6 neighbour is reachable", &["+7 2001:db8::78 at 02:00:00:00:00:78"], false),
        ("a neighbour is stale", &["-7 192.0.2.78 at 02:00:00:00:00:78"], false),
        // The link-local address was there before anybody listened.
        ("all addresses", &["+7 fe80::ff:fe00:100/64"], false),
        ("all routes", &[], false),
        ("all neighbours", &[], false),
        ("the permanent neighbour goes", &["-7 192.0.2.77 at 02:00:00:00:00:77 permanent"], false),
        ("the default route goes", &["-7 0.0.0.0/0 via 192.0.2.253 metric 0"], false),
        ("an IPv4 address goes", &["-7 198.51.100.10/32"], true),
        // IPv4 routes go in silence: the link is all that is told.
        (
            "the interface goes down",
            &[
                "-7 2001:db8::/64 metric 256",
                "-7 2001:db8::1/64",
                "-7 2001:db8::78 at 02:00:00:00:00:78",
                "-7 ::/0 via 2001:db8::fe metric 1024",
                "-7 fe80::ff:fe00:100/64",
            ],
            true,
        ),
    ];
    let (mut tables, mut before) = (Tables::default(), Vec::new());
    for ((title, datagrams), (expected_title, expected, expected_ask)) in recorded().into_iter().zip(rows) {
        assert_eq!(title, expected_title);
        let mut ask = false;
        for one in datagrams.iter().flat_map(|datagram| told(datagram)) {
            ask |= tables.hear(one.what);
        }
        let after = tables.take_changed().map_or(before.clone(), |network| spelled(&network));
        let more = after.iter().filter(|line| !before.contains(line)).map(|line| format!("+{line}"));
        let less = before.iter().filter(|line| !after.contains(line)).map(|line| format!("-{line}"));
        let (mut found, mut expected) = (more.chain(less).collect::<Vec<_>>(), expected.to_vec());
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{title}");
        assert_eq!(ask, expected_ask, "{title}: must the kernel be asked?");
        before = after;
    }
}

#[test]
fn an_answer_ends_and_says_whose_it_is() {
    for (title, datagrams) in recorded().into_iter().filter(|(title, _)| title.starts_with("all ")) {
        let last = told(datagrams.last().unwrap()).pop();
        assert_eq!(last, Some(Told { what: WhatChanged::Complete, request: 7, interrupted: false }), "{title}");
    }
}

#[test]
fn what_a_complete_answer_does_not_repeat_is_gone() {
    let mut tables = Tables::default();
    let route = |third: u8| HostRoute {
        to: IpNet::from(ipnet::Ipv4Net::new([10, 0, third, 0].into(), 24).unwrap()),
        metric: 0,
        port: 7,
        gateway: None,
    };
    for third in [1, 2] {
        tables.hear(WhatChanged::Route { route: route(third), there: true });
    }
    tables.begin();
    tables.hear(WhatChanged::Route { route: route(2), there: true });
    tables.complete(super::message::Kind::Addresses);
    assert_eq!(tables.take_changed().unwrap().routes.len(), 2, "another answer than that about routes");
    tables.complete(super::message::Kind::Routes);
    assert_eq!(tables.take_changed().unwrap().routes, [route(2)]);
    assert_eq!(tables.take_changed(), None);
}

#[test]
fn more_routes_than_there_is_room_for_are_left_out_and_asked_for_when_one_goes() {
    let mut tables = Tables::default();
    let route = |number: usize| {
        let to = IpNet::from(ipnet::Ipv4Net::new(std::net::Ipv4Addr::from_bits((number as u32) << 8), 24).unwrap());
        WhatChanged::Route { route: HostRoute { to, metric: 0, port: 7, gateway: None }, there: true }
    };
    (0..ROUTES_MAX + 10).for_each(|number| assert!(!tables.hear(route(number))));
    assert_eq!(tables.take_changed().unwrap().routes.len(), ROUTES_MAX);
    assert!(tables.left_out());
    let WhatChanged::Route { route: first, .. } = route(0) else { unreachable!() };
    assert!(tables.hear(WhatChanged::Route { route: first, there: false }), "there may be others in its place");
}

proptest! {
    #[test]
    fn garbage_tells_nothing_and_breaks_nothing(garbage in proptest::collection::vec(any::<u8>(), 0..600)) {
        told(&garbage);
    }

    /// The kernel's own words with some bytes changed, or cut off.
    #[test]
    fn spoilt_messages_break_nothing(
        which in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let datagrams: Vec<_> = recorded().into_iter().flat_map(|(_, datagrams)| datagrams).collect();
        let mut datagram = which.get(&datagrams).clone();
        for (at, byte) in changes {
            let at = at.index(datagram.len());
            datagram[at] = byte;
        }
        datagram.truncate(cut.index(datagram.len() + 1));
        let mut tables = Tables::default();
        for one in told(&datagram) {
            tables.hear(one.what);
        }
        tables.take_changed();
    }
}
