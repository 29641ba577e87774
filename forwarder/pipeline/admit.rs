//! The stage that makes conns: service → persistence template → scheduler → real server (→ local port) → conn.
//!
//! A new conn is decided on here, in the order of the frames, and put into the table at the end of the burst ([`planned`]).
//!
//! It also decides which conns a packet ends: a SYN on a conn that is over is a new flow, and a conn whose real server was
//! removed may go. Ended conns leave the table when the burst is done, for other frames of it may hold their ids.

use super::planned::Planned;
use super::quoted::WRONG_CHECKSUM;
use super::{Batch, Class, Now, Parsed, Reason, Shard, Step, Tell};
use crate::neigh::NextHopId;
use crate::services::{Persistence, RealServer, ServerId, Service, ServiceKey, Services};
use crate::steer::Steer;
use crate::wire::protocol;
use conntrack::states::tcp::{self, State};
use conntrack::states::{self, Seen, sctp};
use conntrack::{ConnId, Direction, Hit, Key, Method, NewConn, TemplateKey, Tick};
use sched::{Flow, Moment};
use std::net::SocketAddr;

/// Seconds that a conn lives of which only an ICMP error was seen (recorded).
const UNSEEN_S: u32 = 3;

/// Gives each frame without a conn one, or what to do instead.
#[inline]
pub fn admit(shard: &mut Shard, batch: &mut Batch, now: Now) {
    let mut planned = Planned::default();
    let mut services = None;
    for i in 0..batch.steps.len() {
        if let Step::Forward(hit) = batch.steps[i] {
            if shard.goes_on(&batch.parsed[i], hit) {
                continue;
            }
            batch.steps[i] = shard.reconsider(&batch.parsed[i], hit);
        }
        if batch.steps[i] == Step::Admit {
            // Counted once a burst: the count is a line that all workers write.
            let services = services.get_or_insert_with(|| shard.services.clone());
            shard.admit(services, &mut planned, batch, i, now);
        }
    }
    shard.make(&mut planned, &mut batch.steps, now);
}

impl Shard {
    /// A packet of a conn: is the conn beyond doubt the right one?
    #[inline]
    fn goes_on(&self, parsed: &Parsed, hit: Hit) -> bool {
        if hit.direction == Direction::Outbound || parsed.class != Class::Flow {
            return true;
        }
        self.is_server_available(hit) && !parsed.opens && !self.has_ending()
    }

    #[inline]
    fn is_server_available(&self, hit: Hit) -> bool {
        self.shared.live.is_available(ServerId(self.table.conn(hit.id).server))
    }

    /// A packet of a conn, if nobody looks at such packets any more: as if there were none. An ICMP error with a wrong checksum
    /// would get a right one by being translated, or told: it goes nowhere, but to a server of DR or behind a tunnel, as it is
    /// (recorded).
    #[cold]
    pub(super) fn with_doubts(&self, parsed: &Parsed, hit: Hit) -> Step {
        if self.is_unserved(parsed, hit) {
            return Step::Admit;
        }
        let is_translated = match parsed.class {
            Class::TunnelError => true,
            Class::IcmpError => self.table.conn(hit.id).method().sees_replies(),
            _ => false,
        };
        match is_translated && parsed.signal == WRONG_CHECKSUM {
            true => Step::Refuse(Reason::BadChecksum, None),
            false => Step::Forward(hit),
        }
    }

    /// The last service of the packet's family was removed, and the conn's VIP is an own address without services: nobody looks
    /// at such packets any more (recorded). Where the VIP went with its service, nobody would answer, and the conn goes on.
    pub(super) fn is_unserved(&self, parsed: &Parsed, hit: Hit) -> bool {
        self.services.is_unserved(parsed.v6) && self.next_hops.is_local(self.table.conn(hit.id).vip().0)
    }

    /// A packet towards a conn's real server, about which there are doubts.
    fn reconsider(&mut self, parsed: &Parsed, hit: Hit) -> Step {
        let available = self.is_server_available(hit);
        if self.is_ending(hit.id) {
            return Step::Admit;
        }
        if parsed.opens && (self.is_over(hit.id) || self.is_quiesced(hit.id)) {
            self.end_later(hit.id);
            return Step::Admit;
        }
        if available {
            return Step::Forward(hit);
        }
        if !self.services.policy.expire_nodest_conn {
            return Step::Refuse(Reason::ServerGone, None);
        }
        self.end_later(hit.id);
        // As if it had never been: the packet may begin another one.
        Step::Admit
    }

    /// Is this conn so far done that a SYN or INIT starts another one? Conns of a template are not: the kernel leaves them.
    fn is_over(&self, id: ConnId) -> bool {
        let conn = self.table.conn(id);
        let mode = self.services.policy.conn_reuse_mode;
        let over = match (conn.protocol(), State::of(conn.state)) {
            (protocol::TCP, State::TimeWait | State::Close) => true,
            // Nobody knows then what the server said. If it answered by way of the director, that is known (recorded).
            (protocol::TCP, State::FinWait) => {
                mode & 2 != 0 && !conn.method().sees_replies() && !conn.are_replies_seen()
            }
            (protocol::SCTP, _) => sctp::State::of(conn.state) == sctp::State::Closed,
            _ => false,
        };
        mode != 0 && over && conn.template().is_none()
    }

    /// With expire_nodest_conn a SYN or INIT does not go on to a server of weight 0, whatever the conn's state.
    fn is_quiesced(&self, id: ConnId) -> bool {
        let conn = self.table.conn(id);
        let weight = || {
            let service = self.services.find(&conn.inbound_key())?;
            service.lock(&self.shared.live).server(ServerId(conn.server)).map(|server| server.weight)
        };
        self.services.policy.expire_nodest_conn && weight() == Some(0)
    }

    /// Frame `i` is the first of a flow, as far as the table knew when the burst came in. What the table says after all the
    /// frames before it counts; only where that makes a difference are the planned conns made at once.
    fn admit(&mut self, services: &Services, planned: &mut Planned, batch: &mut Batch, i: usize, now: Now) {
        let Batch { parsed, keys, steps, .. } = batch;
        let (parsed, key) = (&parsed[i], &keys[i]);
        let hash = self.table.hash(key);
        let of_flow = parsed.class == Class::Flow;
        let service = services.find(key).filter(|_| self.starts_conn(parsed, key));
        if service.is_none() || planned.knows(hash) || self.table.len() + planned.len() == self.table.conns_max() {
            self.make(planned, steps, now);
        }
        let found = self.table.find_hashed(key, hash, now.tick).filter(|hit| !self.is_ending(hit.id));
        if let Some(hit) = found.filter(|hit| !self.is_unserved(parsed, *hit)) {
            steps[i] = Step::Forward(hit);
            return;
        }
        let Some(service) = service else {
            let of_service = of_flow && services.find(key).is_some();
            steps[i] = match self.next_hops.is_local(key.dst()) {
                _ if !of_flow => Step::Local,
                true if of_service => Step::Stray,
                true => Step::Local,
                // Marked, so the network leads it here: sent on, it would come back.
                false if of_service => Step::Refuse(Reason::NotForUs, None),
                false if services.is_of_nat_server(key) && !ends_conn(parsed) => Step::Unmatched,
                false => Step::Route,
            };
            return;
        };
        if self.defenses.drops_packet(&self.shared.until_drop) {
            steps[i] = Step::Refuse(Reason::DropPacket, None);
            return;
        }
        match self.schedule(service, parsed, key, now) {
            Ok(conn) => self.plan(planned, conn, hash, i),
            Err(Reason::NoServer) => match self.bypass(service, parsed, key) {
                Some(conn) => self.plan(planned, conn, hash, i),
                None => steps[i] = Step::Refuse(Reason::NoServer, Some(Tell::PortUnreachable)),
            },
            Err(reason) => steps[i] = Step::Refuse(reason, None),
        }
        if service.one_packet {
            // Such a conn ends as it is made, and the next pick sees that.
            self.make(planned, steps, now);
        }
    }

    /// Only a SYN starts a TCP conn, an INIT an SCTP one; with sloppy_tcp and sloppy_sctp any but a RST or ABORT. A mark takes
    /// any protocol, but a rewrite must know how to mend the checksum: others start none. With schedule_icmp an ICMP error that
    /// came to an own address starts one; its key is that of the packet that it quotes, seen from the client.
    fn starts_conn(&self, parsed: &Parsed, key: &Key) -> bool {
        match parsed.class {
            Class::Flow => parsed.protocol == protocol::UDP || self.first_state(parsed, Seen::Inbound).is_some(),
            Class::IcmpError => self.services.policy.schedule_icmp && self.next_hops.is_local(key.dst()),
            _ => false,
        }
    }

    /// The state that a packet without a conn begins one with; none: it begins none.
    fn first_state(&self, parsed: &Parsed, seen: Seen) -> Option<u8> {
        let policy = &self.services.policy;
        match parsed.protocol {
            protocol::TCP => {
                let event = tcp::Event::of(parsed.signal);
                tcp::first(event, seen, self.defenses.secure_tcp, policy.sloppy_tcp).map(|state| state as u8)
            }
            protocol::SCTP => {
                // Track takes the packet's own step from here: a second INIT leads on, unlike a second SYN.
                let starts = sctp::first(sctp::Event::of(parsed.signal), seen, policy.sloppy_sctp).is_some();
                starts.then_some(sctp::State::None as u8)
            }
            _ => None,
        }
    }

    /// How the conn that this packet starts begins.
    fn first(&self, parsed: &Parsed, server: RealServer) -> First {
        if parsed.class == Class::IcmpError {
            // What it is about has not been seen: the first packet that is leads on from here.
            return First { server, state: 0, active: false, timeout: Tick::of_seconds(UNSEEN_S) };
        }
        let seen = Seen::of(server.method, Direction::Inbound);
        let state = self.first_state(parsed, seen).unwrap_or(0);
        let active = states::is_active(parsed.protocol, state);
        First { server, state, active, timeout: self.services.policy.timeouts.ticks(parsed.protocol, state) }
    }

    /// The conn that this packet starts; its server counts it already.
    fn schedule(&mut self, service: &Service, parsed: &Parsed, key: &Key, now: Now) -> Result<NewConn, Reason> {
        if self.table.is_full() {
            return Err(Reason::TableFull);
        }
        let one_packet = service.one_packet && key.protocol() == protocol::UDP;
        let conn = match service.persistence {
            Some(persistence) => self.schedule_persistent(service, persistence, parsed, key, now)?,
            None => self.pick(service, parsed, key, now).ok_or(Reason::NoServer)?.conn(key),
        };
        Ok(NewConn { one_packet, ..conn })
    }

    /// With cache_bypass a flow that a marked service takes and no server does goes where it was going, if that is elsewhere.
    fn bypass(&mut self, service: &Service, parsed: &Parsed, key: &Key) -> Option<NewConn> {
        let marked = matches!(service.key, ServiceKey::Mark { .. });
        // Of an own address of IPv6 the kernel does not ask whether it is elsewhere: such a flow ends in its conn (recorded).
        let elsewhere = parsed.v6 || !self.next_hops.is_local(key.dst());
        if !(self.services.policy.cache_bypass && marked && elsewhere) {
            return None;
        }
        let (id, method) = (self.shared.live.nobody(), Method::Bypass);
        let (address, port) = (key.dst(), key.dport());
        let first = self.first(parsed, RealServer { id, address, port, method, weight: 0, next_hop: None });
        self.shared.live.bind(id, first.active);
        Some(first.conn(key))
    }

    /// A client of a persistent service keeps its real server: its template says which. The template stays locked until it
    /// names the server, so that two workers cannot send one client to two servers.
    fn schedule_persistent(
        &mut self,
        service: &Service,
        persistence: Persistence,
        parsed: &Parsed,
        key: &Key,
        now: Now,
    ) -> Result<NewConn, Reason> {
        let shared = self.shared.clone();
        let client = TemplateKey::mask(key.src(), persistence.netmask);
        let of_service = match service.key {
            ServiceKey::Mark { mark, .. } => conntrack::Service::Mark(mark),
            ServiceKey::Endpoint { protocol, vip, port } => conntrack::Service::Address { protocol, vip, port },
        };
        let template_key = TemplateKey::new(client, of_service).ok_or(Reason::NoServer)?;
        let mut entry = shared.templates.entry(template_key, now.tick);
        let kept = entry.template().and_then(|template| self.follow_template(service, ServerId(template.server)));
        let mut first = match kept {
            Some(server) => {
                let first = self.first(parsed, self.at_home(service, server));
                shared.live.bind(server.id, first.active);
                first
            }
            None => {
                // Even if nothing can be scheduled: its server takes no conns.
                entry.invalidate();
                let first = self.pick(service, parsed, key, now).ok_or(Reason::NoServer)?;
                if entry.insert(first.server.id.0, Tick::of_seconds(persistence.timeout_s)).is_err() {
                    shared.live.unbind(first.server.id, first.active);
                    return Err(Reason::TemplatesFull);
                }
                first
            }
        };
        if service.key.is_of_all_ports() {
            // Recorded; who must know asks `ServiceSpec::keeps_ports`.
            first.server.port = 0;
        }
        let template = entry.attach();
        // With sloppy_tcp a conn may begin so, and then the packets that follow change nothing.
        if key.protocol() == protocol::TCP && first.state == State::Established as u8 {
            template.inspect(|template| shared.templates.assure(*template));
        }
        Ok(NewConn { template, ..first.conn(key) })
    }

    /// The template's server, if it still takes the client. A quiesced or overloaded one does.
    fn follow_template(&self, service: &Service, id: ServerId) -> Option<RealServer> {
        let live = &self.shared.live;
        let server = service.lock(live).server(id).filter(|_| live.is_available(id))?;
        (server.weight > 0 || !self.services.policy.expire_quiescent_template).then_some(server)
    }

    /// A real server that is the director itself gets the packets of DR and TUN as they are, and no wire sees them; those of
    /// FullNAT with the client's address, for its replies come by here anyway. Only a server without a next hop can be one, so
    /// nearly all need no look-up.
    fn at_home(&self, service: &Service, server: RealServer) -> RealServer {
        match server.method {
            _ if server.next_hop.is_some() => server,
            Method::Dr | Method::Tun if self.is_own(server.address) => RealServer { method: Method::Local, ..server },
            Method::FullNat if service.steer == Steer::Source && self.is_own(server.address) => {
                RealServer { method: Method::Nat, ..server }
            }
            _ => server,
        }
    }

    /// Picks a real server and counts the conn that it will get, under one lock: the next pick sees it.
    fn pick(&mut self, service: &Service, parsed: &Parsed, key: &Key, now: Now) -> Option<First> {
        // Of an ICMP error the kernel's schedulers by destination take that of the packet that it quotes (recorded).
        let vip = if parsed.class == Class::IcmpError { key.src() } else { key.dst() };
        let flow = Flow { client: key.src(), client_port: key.sport(), vip, vip_port: key.dport() };
        let moment = Moment { now_ms: now.ms, random: self.random.u64(..) };
        let live = &self.shared.live;
        let mut pool = service.lock(live);
        let first = self.first(parsed, self.at_home(service, pool.pick(&flow, &moment)?));
        live.bind(first.server.id, first.active);
        Some(first)
    }
}

/// Does the packet end a conn? Then its sender need not be told that there is none.
fn ends_conn(parsed: &Parsed) -> bool {
    match parsed.protocol {
        protocol::TCP => tcp::Event::of(parsed.signal) == tcp::Event::Rst,
        protocol::SCTP => sctp::Event::of(parsed.signal) == sctp::Event::Abort,
        _ => false,
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

impl First {
    /// The conn of a flow. FullNAT's has no local endpoint yet.
    fn conn(&self, key: &Key) -> NewConn {
        let server = &self.server;
        let port = if server.port == 0 { key.dport() } else { server.port };
        NewConn {
            next_hop_inbound: server.next_hop.map_or(0, NextHopId::to_bits),
            state: self.state,
            active: self.active,
            timeout: self.timeout,
            ..NewConn::new(*key, server.method, SocketAddr::new(server.address, port), server.id.0)
        }
    }
}
