//! What the director says about itself: the answers to `uvs show`.

use super::Control;
use super::listing::{cursor, place};
use crate::neigh;
use crate::pipeline::Reason;
use crate::pipeline::defense::Up;
use crate::services::book::Listed;
use crate::services::live::TrafficCounts;
use crate::services::{ServerId, Service, ServiceKey};
use crate::worker::rings::{Listing, Order, shown_protocol};
use conntrack::{Method, Netmask, Tick, states};
use control::show::{self, Name};
use control::{ConnChunk, ConnFilter, Cursor, ReloadId};
use hashbrown::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// In the place of both ports of a template that nobody is sent by any more.
const INVALID_PORT: u16 = 65_535;

/// A director that answers: its control side, and what its devices say.
pub struct Answering<'a> {
    /// The control side.
    pub control: &'a mut Control,
    /// What the devices count and are.
    pub ports: &'a dyn Fn() -> show::Ports,
}

impl control::Director for Answering<'_> {
    fn version(&self) -> show::Version {
        show::Version {
            version: env!("UVS_VERSION").into(),
            pid: std::process::id(),
            uptime_s: (self.control.now.ms - self.control.started_ms) / 1000,
        }
    }

    fn services(&self) -> show::Services {
        let persistent = self.control.templates_by_server();
        let services =
            self.control.book.list().map(|(service, servers)| self.control.service(service, servers, &persistent));
        show::Services { services: services.collect() }
    }

    fn ports(&self) -> show::Ports {
        (self.ports)()
    }

    fn workers(&self) -> show::Workers {
        let conns_max = u64::from(self.control.config.director.conns_max);
        let worker = |(i, link): (usize, &super::control::WorkerLink)| {
            let counts = self.control.counts(i);
            show::Worker {
                lcore: link.lcore,
                received: counts.received,
                handed_in: counts.handed_in,
                created: counts.created,
                sent: counts.sent,
                passed: counts.passed,
                handed_out: counts.handed_out,
                consumed: counts.consumed,
                dropped: counts.dropped_total(),
                held: counts.held,
                conns: counts.conns,
                conns_max,
                turns: counts.turns,
                busy_turns: counts.busy_turns,
                sleeps: counts.sleeps,
                defenses: Up::of_bits(counts.defenses).names().map(Name::from).collect(),
            }
        };
        show::Workers { workers: self.control.workers.iter().enumerate().map(worker).collect() }
    }

    fn drops(&self) -> show::Drops {
        let counts: Vec<_> = (0..self.control.workers.len()).map(|worker| self.control.counts(worker)).collect();
        let drop_reason = |reason: &Reason| {
            let per_worker: Vec<u64> = counts.iter().map(|counts| counts.dropped[*reason as usize]).collect();
            let total = per_worker.iter().sum();
            show::DropReason { reason: reason.name().into(), meaning: reason.meaning().into(), per_worker, total }
        };
        show::Drops {
            lcores: self.control.workers.iter().map(|worker| worker.lcore).collect(),
            drops: Reason::ALL.iter().map(drop_reason).collect(),
            local_ports: self.control.local_ports(),
        }
    }

    fn neighbors(&self) -> show::Neighbors {
        show::Neighbors { neighbors: self.control.neighbors.list().into_iter().map(neighbor).collect() }
    }

    fn routes(&self) -> show::Routes {
        let route = |route: neigh::RouteLine| show::Route {
            destination: route.to.to_string().into(),
            via: route.via,
            port: route.port.into(),
            origin: route.origin.name().into(),
        };
        show::Routes { routes: self.control.neighbors.routes().into_iter().map(route).collect() }
    }

    fn reload(&mut self) -> ReloadId {
        self.control.reload()
    }

    fn reloaded(&mut self, id: ReloadId) -> Option<show::Reloaded> {
        self.control.reloaded(id)
    }

    fn conns(&mut self, filter: &ConnFilter, from: Cursor, limit: usize) -> ConnChunk {
        let (worker, asked_from) = place(from);
        let control = &mut *self.control;
        let Some(lcore) = control.workers.get(worker).map(|link| link.lcore) else {
            // Behind the last worker's conns come the templates, which all workers share.
            return control.templates(filter, worker, asked_from, limit);
        };
        let Some(listing) = control.listings.take(filter, from) else {
            if control.listings.ask(filter, from, control.now.ms) {
                // A full ring: asked again when patience ends.
                drop(control.workers[worker].rings.orders.push(Order::List(Listing::new(worker, asked_from, *filter))));
            }
            return ConnChunk { conns: Vec::new(), next: Some(from) };
        };
        let next = listing.next.map_or_else(|| cursor(worker + 1, 0), |next| cursor(worker, next));
        let marked = filter.mark().map(|mark| control.servers_of_mark(mark));
        let taken = |(conn, _): &&(conntrack::Conn, u32)| {
            marked.as_ref().is_none_or(|servers| servers.contains(&ServerId(conn.server)))
        };
        let conns = listing.conns.iter().filter(taken).map(|(conn, ticks)| self::conn(conn, *ticks, lcore)).collect();
        ConnChunk { conns, next: Some(next) }
    }
}

impl Control {
    fn service(&self, service: &Service, listed: &[Listed], persistent: &HashMap<ServerId, u32>) -> show::Service {
        let servers: Vec<_> = listed.iter().map(|listed| self.server(listed, persistent)).collect();
        let (protocol, address, fwmark, fwmark_ipv6) = match service.key {
            ServiceKey::Endpoint { protocol, vip, port } => {
                (Some(shown_protocol(protocol)), Some(SocketAddr::new(vip, port)), None, false)
            }
            ServiceKey::Mark { mark, v6 } => (None, None, Some(mark), v6),
        };
        show::Service {
            protocol,
            address,
            fwmark,
            fwmark_ipv6,
            scheduler: service.scheduler.to_string().into(),
            flags: flags(service),
            persistent_s: service.persistence.map(|persistence| persistence.timeout_s),
            netmask: service.persistence.and_then(|persistence| netmask(service.key, persistence.netmask)),
            one_packet: service.one_packet,
            totals: traffic(self.service_traffic(service.key)),
            rates: traffic(self.rates_of_service(service.key)),
            servers,
        }
    }

    fn server(&self, listed: &Listed, persistent: &HashMap<ServerId, u32>) -> show::Server {
        let server = listed.server;
        let load = self.shared.live.load(server.id);
        show::Server {
            address: listed.address(),
            method: method(server.method),
            tunnel: (server.method == Method::Tun).then(|| listed.tunnel.to_string().into()),
            weight: server.weight,
            upper_threshold: listed.thresholds.upper,
            lower_threshold: listed.thresholds.lower,
            active: load.active,
            inactive: load.total.saturating_sub(load.active),
            persistent: persistent.get(&server.id).copied().unwrap_or(0),
            overloaded: load.overloaded,
            traffic: traffic(self.traffic_of(server.id)),
            rates: traffic(self.rates_of_server(server.id)),
        }
    }

    /// The servers of a mark's services, with those that were removed: a conn knows its server, not its mark.
    fn servers_of_mark(&self, mark: u32) -> HashSet<ServerId> {
        let keys = [false, true].map(|v6| ServiceKey::Mark { mark, v6 });
        let listed = keys.iter().filter_map(|key| self.book.get(*key)).flat_map(|(_, listed)| listed);
        let removed = keys.iter().flat_map(|key| self.book.removed(*key));
        listed.map(|listed| listed.server.id).chain(removed).collect()
    }

    /// Templates from this place on, as the kernel lists them: client port 0.
    fn templates(&self, filter: &ConnFilter, after_workers: usize, from: usize, limit: usize) -> ConnChunk {
        let listed = self.book.list().flat_map(|(_, servers)| servers);
        let listed = listed.map(|listed| (listed.server.id, listed.address(), listed.server.method));
        // One of a server that was removed leads nowhere, but it is there: the server may come back.
        let servers: HashMap<_, _> =
            listed.chain(self.book.all_removed()).map(|(id, address, by)| (id, (address, method(by)))).collect();
        let mut conns = Vec::new();
        let next = self.shared.templates.visit_places(from, limit, self.now.tick, |template| {
            let of_mark = |mark| template.key.service() == conntrack::Service::Mark(mark);
            if let Some(&(server, method)) = servers.get(&ServerId(template.server))
                && filter.mark().is_none_or(of_mark)
            {
                let shown = self::template(template, server, method);
                conns.extend(
                    Some(shown).filter(|shown| filter.takes(shown.protocol, shown.client, shown.vip, shown.server)),
                );
            }
        });
        ConnChunk { conns, next: next.map(|next| cursor(after_workers, next)) }
    }

    pub(super) fn templates_by_server(&self) -> HashMap<ServerId, u32> {
        let mut counts = HashMap::new();
        if !self.shared.templates.is_empty() {
            self.shared.templates.visit(self.now.tick, |template| {
                *counts.entry(ServerId(template.server)).or_insert(0) += 1;
            });
        }
        counts
    }

    fn local_ports(&self) -> Vec<show::LocalPortsExhausted> {
        let listed = self.book.list().flat_map(|(_, servers)| servers);
        let servers: HashMap<_, _> = listed.map(|listed| (listed.server.id, listed.address())).collect();
        let failure = |(&(local, server), &times): (&(IpAddr, ServerId), &u64)| show::LocalPortsExhausted {
            local,
            server: servers.get(&server).copied(),
            times,
        };
        self.local_port_failures.iter().map(failure).collect()
    }
}

fn conn(conn: &conntrack::Conn, ticks_left: u32, lcore: u32) -> show::Conn {
    let endpoint = |(address, port)| SocketAddr::new(address, port);
    show::Conn {
        protocol: shown_protocol(conn.protocol()),
        client: endpoint(conn.client()),
        vip: endpoint(conn.vip()),
        server: real_server(conn),
        local: (conn.method() == Method::FullNat).then(|| endpoint(conn.local())),
        method: method(conn.method()),
        state: states::name(conn.protocol(), conn.state).into(),
        expires_s: ticks_left / Tick::PER_SECOND,
        worker: lcore,
    }
}

/// The kernel shows none of a conn that goes past its service.
fn real_server(conn: &conntrack::Conn) -> SocketAddr {
    match (conn.method(), conn.is_server_v6()) {
        (Method::Bypass, false) => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
        (Method::Bypass, true) => SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0),
        _ => conn.real_server().into(),
    }
}

fn template(template: &conntrack::Template, mut server: SocketAddr, method: show::Method) -> show::Conn {
    let client = template.key.client();
    let (protocol, mut vip) = match template.key.service() {
        conntrack::Service::Address { protocol, vip, port } => (shown_protocol(protocol), SocketAddr::new(vip, port)),
        // The kernel prints the mark in the VIP's place, in its first four bytes.
        conntrack::Service::Mark(mark) if client.is_ipv4() => {
            (show::Protocol::Ip, SocketAddr::new(Ipv4Addr::from_bits(mark).into(), 0))
        }
        conntrack::Service::Mark(mark) => {
            (show::Protocol::Ip, SocketAddr::new(Ipv6Addr::from_bits(u128::from(mark) << 96).into(), 0))
        }
    };
    if !template.valid {
        // As the kernel lists one that nobody is sent by (recorded).
        vip.set_port(INVALID_PORT);
        server.set_port(INVALID_PORT);
    }
    show::Conn {
        protocol,
        client: SocketAddr::new(client, 0),
        vip,
        server,
        local: None,
        method,
        state: if template.assured { "ASSURED" } else { "NONE" }.into(),
        expires_s: template.ticks_left / Tick::PER_SECOND,
        worker: 0,
    }
}

fn neighbor(neighbor: neigh::Neighbor) -> show::Neighbor {
    show::Neighbor {
        address: neighbor.address,
        mac: neighbor.mac.map(|mac| mac.to_string().into()),
        port: neighbor.port.into(),
        state: match (neighbor.kind, neighbor.state) {
            (neigh::Kind::Static, _) => "static",
            (_, neigh::State::Waiting) => "waiting",
            (_, neigh::State::Reachable) => "reachable",
            (_, neigh::State::Stale) => "stale",
            (_, neigh::State::Probing) => "probing",
            (_, neigh::State::Failed) => "failed",
        }
        .into(),
        origin: neighbor.origin.name().into(),
        age_s: neighbor.confirmed_ms_ago.map(|ago_ms| ago_ms / 1000),
    }
}

fn traffic(counts: TrafficCounts) -> show::Traffic {
    let TrafficCounts { conns, in_packets, in_bytes, out_packets, out_bytes } = counts;
    show::Traffic { conns, in_packets, out_packets, in_bytes, out_bytes }
}

fn method(method: Method) -> show::Method {
    match method {
        Method::Nat => show::Method::Nat,
        Method::Dr => show::Method::Dr,
        Method::Tun => show::Method::Tun,
        Method::FullNat => show::Method::FullNat,
        Method::Local => show::Method::Local,
        Method::Bypass => show::Method::Bypass,
    }
}

fn flags(service: &Service) -> Vec<Name> {
    let flags = service.settings.flags;
    [("port", flags.port), ("fallback", flags.fallback)]
        .into_iter()
        .filter(|(_, set)| *set)
        .map(|(flag, _)| format!("{}-{flag}", service.scheduler).into())
        .collect()
}

/// As ipvsadm prints it; none if each client is its own.
fn netmask(key: ServiceKey, netmask: Netmask) -> Option<Name> {
    match key.is_v6() {
        false if netmask.to_v4() == u32::MAX => None,
        false => Some(Ipv4Addr::from_bits(netmask.to_v4()).to_string().into()),
        true if netmask.count() == 128 => None,
        true => Some(netmask.count().to_string().into()),
    }
}
