//! The stage that makes conns: service → persistence template → scheduler → real server (→ local port) → conn.
//!
//! It also decides which conns a packet ends: a SYN on a conn that is over is a new flow, and a conn whose real server was
//! removed may go. Ended conns leave the table when the burst is done, for other frames of it may hold their ids.

use super::{Batch, Class, Now, Parsed, Reason, Shard, Step, Tell};
use crate::neigh::NextHopId;
use crate::services::{Persistence, RealServer, ServerId, Service, ServiceKey};
use crate::wire::protocol;
use conntrack::states::tcp::{self, Event, State};
use conntrack::states::{self, Seen};
use conntrack::{ConnId, Direction, Hit, Key, Method, NewConn, TemplateId, TemplateKey, Tick};
use sched::{Flow, Moment};
use std::net::SocketAddr;

const SYN: u8 = 0x02;

/// Gives each frame without a conn one, or what to do instead.
#[inline]
pub fn admit(shard: &mut Shard, batch: &mut Batch, now: Now) {
    for i in 0..batch.steps.len() {
        let step = batch.steps[i];
        if let Step::Forward(hit) = step {
            batch.steps[i] = shard.reconsider(&batch.parsed[i], hit);
        }
        if batch.steps[i] == Step::Admit {
            batch.steps[i] = shard.admit(&batch.parsed[i], &batch.keys[i], now);
        }
    }
}

impl Shard {
    /// A packet of a conn: is the conn still the right one?
    #[inline]
    fn reconsider(&mut self, parsed: &Parsed, hit: Hit) -> Step {
        let conn = self.table.conn(hit.id);
        if hit.direction == Direction::Outbound || parsed.class != Class::Flow {
            return Step::Forward(hit);
        }
        let available = self.shared.live.is_available(ServerId(conn.server));
        if available && parsed.tcp_flags & SYN == 0 && !self.has_ending() {
            return Step::Forward(hit);
        }
        if self.is_ending(hit.id) {
            return Step::Admit;
        }
        if parsed.tcp_flags & SYN != 0 && self.is_over(hit.id) {
            self.end(hit.id);
            return Step::Admit;
        }
        if available {
            return Step::Forward(hit);
        }
        if !self.services.policy.expire_nodest_conn {
            return Step::Refuse(Reason::ServerGone, None);
        }
        self.end(hit.id);
        Step::Local
    }

    /// Is this TCP conn so far done that a SYN starts another one? Conns of a template are not: the kernel leaves them.
    fn is_over(&self, id: ConnId) -> bool {
        let conn = self.table.conn(id);
        let mode = self.services.policy.conn_reuse_mode;
        let over = match State::of(conn.state) {
            State::TimeWait | State::Close => true,
            State::FinWait => mode & 2 != 0 && !conn.method().sees_replies(),
            _ => false,
        };
        mode != 0 && over && conn.protocol() == protocol::TCP && conn.template().is_none()
    }

    /// The first packet of a flow, as far as the table knew when the burst came in.
    fn admit(&mut self, parsed: &Parsed, key: &Key, now: Now) -> Step {
        // Its conn may have been made by a frame of this burst.
        if let Some(hit) = self.table.find(key, now.tick).filter(|hit| !self.is_ending(hit.id)) {
            return Step::Forward(hit);
        }
        if parsed.class == Class::IcmpError {
            // Its key is that of the packet that it quotes: no service is asked for.
            return Step::Local;
        }
        let services = self.services.clone();
        let Some(service) = services.find(key).filter(|_| self.starts_conn(parsed)) else {
            return match self.next_hops.is_local(key.dst()) {
                true => Step::Local,
                false => Step::Refuse(Reason::NotForUs, None),
            };
        };
        match self.schedule(service, parsed, key, now) {
            Ok(id) => Step::Forward(Hit { id, direction: Direction::Inbound }),
            Err(Reason::NoServer) => Step::Refuse(Reason::NoServer, Some(Tell::PortUnreachable)),
            Err(reason) => Step::Refuse(reason, None),
        }
    }

    /// Only a SYN starts a TCP conn; with sloppy_tcp any segment but a RST. Other protocols than TCP and UDP start none yet.
    fn starts_conn(&self, parsed: &Parsed) -> bool {
        match parsed.protocol {
            protocol::TCP => self.tcp_state(parsed, Seen::Inbound).is_some(),
            // A mark takes any protocol, but a rewrite must know how to mend the checksum.
            protocol => protocol == protocol::UDP,
        }
    }

    fn tcp_state(&self, parsed: &Parsed, seen: Seen) -> Option<State> {
        let policy = &self.services.policy;
        tcp::first(Event::of(parsed.tcp_flags), seen, policy.secure_tcp, policy.sloppy_tcp)
    }

    /// How the conn that this packet starts begins.
    fn first(&self, parsed: &Parsed, server: RealServer) -> First {
        let seen = Seen::of(server.method, Direction::Inbound);
        let state = match parsed.protocol {
            protocol::TCP => self.tcp_state(parsed, seen).unwrap_or(State::None) as u8,
            _ => 0,
        };
        let active = states::is_active(parsed.protocol, state);
        First { server, state, active, timeout: self.services.policy.timeouts.ticks(parsed.protocol, state) }
    }

    fn schedule(&mut self, service: &Service, parsed: &Parsed, key: &Key, now: Now) -> Result<ConnId, Reason> {
        if self.table.is_full() {
            return Err(Reason::TableFull);
        }
        if service.one_packet && parsed.protocol == protocol::UDP {
            let first = self.pick(service, parsed, key, now).ok_or(Reason::NoServer)?;
            let id = self.connect(first, None, true, key, now)?;
            self.end(id);
            return Ok(id);
        }
        match service.persistence {
            Some(persistence) => self.schedule_persistent(service, persistence, parsed, key, now),
            None => {
                let first = self.pick(service, parsed, key, now).ok_or(Reason::NoServer)?;
                self.connect(first, None, false, key, now)
            }
        }
    }

    /// A client of a persistent service keeps its real server: its template says which. The template stays locked until its
    /// conn is made, so that two workers cannot send one client to two servers.
    fn schedule_persistent(
        &mut self,
        service: &Service,
        persistence: Persistence,
        parsed: &Parsed,
        key: &Key,
        now: Now,
    ) -> Result<ConnId, Reason> {
        let shared = self.shared.clone();
        let client = TemplateKey::mask(key.src(), persistence.prefix_bits);
        let of_service = match service.key {
            ServiceKey::Mark { mark, .. } => conntrack::Service::Mark(mark),
            ServiceKey::Endpoint { protocol, vip, port } => conntrack::Service::Address { protocol, vip, port },
        };
        let template_key = TemplateKey::new(client, of_service).ok_or(Reason::NoServer)?;
        let mut entry = shared.templates.entry(template_key, now.tick);
        let kept = entry.template().and_then(|template| self.follow_template(service, ServerId(template.server)));
        let first = match kept {
            Some(server) => {
                let first = self.first(parsed, server);
                shared.live.bind(server.id, first.active);
                first
            }
            None => {
                // Dropped even if nothing can be scheduled: its server takes no conns.
                entry.forget();
                let first = self.pick(service, parsed, key, now).ok_or(Reason::NoServer)?;
                if entry.insert(first.server.id.0, Tick::of_seconds(persistence.timeout_s)).is_err() {
                    shared.live.unbind(first.server.id, first.active);
                    return Err(Reason::TemplatesFull);
                }
                first
            }
        };
        let template = entry.attach();
        let id = self.connect(first, template, false, key, now);
        if let (Err(_), Some(template)) = (&id, template) {
            shared.templates.release(template);
        }
        id
    }

    /// The template's server, if it still takes the client. A quiesced or overloaded one does.
    fn follow_template(&self, service: &Service, id: ServerId) -> Option<RealServer> {
        let live = &self.shared.live;
        let server = service.lock(live).server(id).filter(|_| live.is_available(id))?;
        (server.weight > 0 || !self.services.policy.expire_quiescent_template).then_some(server)
    }

    /// Picks a real server and counts the conn that it will get, under one lock: the next pick sees it.
    fn pick(&mut self, service: &Service, parsed: &Parsed, key: &Key, now: Now) -> Option<First> {
        let flow = Flow { client: key.src(), client_port: key.sport(), vip: key.dst(), vip_port: key.dport() };
        let moment = Moment { now_ms: now.ms, random: self.random.u64(..) };
        let live = &self.shared.live;
        let mut pool = service.lock(live);
        let first = self.first(parsed, pool.pick(&flow, &moment)?);
        live.bind(first.server.id, first.active);
        Some(first)
    }

    /// Makes the conn to a server for which it is counted already.
    fn connect(
        &mut self,
        first: First,
        template: Option<TemplateId>,
        one_packet: bool,
        key: &Key,
        now: Now,
    ) -> Result<ConnId, Reason> {
        let server = first.server;
        let id = self.insert(first, template, one_packet, key, now);
        match id {
            Ok(_) => self.traffic[server.id.0 as usize].conn(),
            Err(_) => self.shared.live.unbind(server.id, first.active),
        }
        id
    }

    fn insert(
        &mut self,
        first: First,
        template: Option<TemplateId>,
        one_packet: bool,
        key: &Key,
        now: Now,
    ) -> Result<ConnId, Reason> {
        let server = first.server;
        let port = if server.port == 0 { key.dport() } else { server.port };
        let real_server = SocketAddr::new(server.address, port);
        let mut conn = NewConn::new(*key, server.method, real_server, server.id.0);
        if server.method == Method::FullNat {
            conn.local = Some(self.local_endpoint(key, server.id, real_server, now).ok_or(Reason::LocalPorts)?);
        }
        conn.next_hop_inbound = server.next_hop.map_or(0, NextHopId::to_bits);
        conn.state = first.state;
        conn.active = first.active;
        conn.timeout = first.timeout;
        conn.template = template;
        conn.one_packet = one_packet;
        self.counts.conns_made += 1;
        self.table.insert(conn.conn(), now.tick).map_err(|_| Reason::TableFull)
    }
}

/// How a conn begins.
#[derive(Clone, Copy)]
struct First {
    server: RealServer,
    state: u8,
    active: bool,
    timeout: u32,
}
