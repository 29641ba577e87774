//! The last stage for a frame that has a conn: next hop, TTL, MTU, rewrite, and out.

use super::Worker;
use super::cutting::{IPV6_MTU_MIN, must_not_be_cut_again};
use super::held::{Kept, Towards};
use super::translate::translate;
use crate::fragments::Cut;
use crate::neigh::{NextHopId, NextHopState, Route};
use crate::pipeline::classify::ETHERNET_BYTES;
use crate::pipeline::{Class, Fate, Now, Parsed, Reason, Shard, Tell};
use crate::port::{Burst, Frame, Port};
use crate::rewrite::icmp::Cause;
use crate::rewrite::tun::Tunnel;
use crate::rewrite::{ttl, tun};
use crate::services::ServerId;
use crate::wire::Ipv4;
use conntrack::{Conn, Direction, Hit, Method};
use std::net::IpAddr;

const ETHERTYPE_AT: usize = 12;
const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];

/// Why a frame could not be forwarded, and what its sender is told.
pub(super) type Refusal = (Reason, Option<Tell>);

/// A packet that is finished.
struct Ready {
    /// Where it goes. None: to a neighbour that has no next hop yet.
    hop: Option<NextHopId>,
    /// How it is to be cut, if it must leave in fragments.
    cut: Option<Cut>,
}

/// Where a conn's packets go in one direction, and how long they may be.
#[derive(Clone, Copy)]
pub(super) struct Way {
    /// None: to a neighbour that has no next hop yet.
    hop: Option<NextHopId>,
    pub(super) mtu: u16,
}

impl<P: Port> Worker<P> {
    /// A frame of a conn.
    #[inline]
    pub(super) fn forward(&mut self, mut frame: P::Frame, parsed: &Parsed, hit: Hit, now: Now) {
        let port = usize::from(parsed.port);
        if parsed.class == Class::TunnelError {
            return self.relay(port, frame, parsed, hit, now);
        }
        match self.shard.prepare(&mut frame, parsed, hit, now) {
            Ok(Ready { hop: Some(hop), cut }) => self.send(frame, hop, Kept { cut, routed_from: None }, now),
            Ok(Ready { hop: None, cut }) => match self.shard.neighbor(hit) {
                Ok(towards) => self.hold(frame, towards, Kept { cut, routed_from: None }, now),
                Err((reason, tell)) => self.refuse(port, frame, parsed, reason, tell, now),
            },
            // Of such a conn nothing leaves in this direction, so no packet of it finds a way.
            Err(_) if self.shard.is_at_home(hit) => self.deliver(frame, parsed, hit, now),
            Err((reason, tell)) => self.refuse(port, frame, parsed, reason, tell, now),
        }
    }

    /// Sends a frame that was made here.
    pub(super) fn emit(&mut self, frame: P::Frame, towards: Towards, cut: Option<Cut>, now: Now) {
        match towards {
            Towards::Hop(id) => self.send(frame, id, Kept { cut, routed_from: None }, now),
            Towards::Neighbor { .. } => self.hold(frame, towards, Kept { cut, routed_from: None }, now),
        }
    }

    /// Sends a frame whose IP packet is finished, or keeps it until its next hop is ready. `routed_from`: the port by which a
    /// packet came that is only routed.
    #[inline(always)]
    pub(super) fn send(&mut self, mut frame: P::Frame, id: NextHopId, kept: Kept, now: Now) {
        if let Some(hop) = self.shard.next_hops.get(id)
            && hop.state == NextHopState::Ready
        {
            frame.bytes_mut()[..ETHERTYPE_AT].copy_from_slice(&hop.header);
            hop.mark_used();
            let (port, counts) = (usize::from(hop.port), &mut self.shard.counts);
            match kept.cut {
                None => self.egress.send(port, frame, counts),
                Some(cut) => self.egress.send_in_fragments(port, frame, cut, counts),
            }
        } else {
            self.hold(frame, Towards::Hop(id), kept, now);
        }
    }

    /// The next hop is not ready: asks control for it, and keeps the frame unless the last asking failed.
    #[cold]
    pub(super) fn hold(&mut self, frame: P::Frame, towards: Towards, kept: Kept, now: Now) {
        let failed = match towards {
            Towards::Neighbor { port, address } => {
                self.rings.want(port, address);
                false
            }
            Towards::Hop(id) => match self.shard.next_hops.get(id) {
                Some(hop) => {
                    self.rings.want_hop(id, hop.port, hop.address);
                    hop.state == NextHopState::Failed
                }
                None => true,
            },
        };
        if failed {
            self.shard.counts.count(Fate::Dropped(Reason::NeighborFailed));
            self.tell_of_failure(&frame, kept.routed_from, now);
        } else if let Err(reason) = self.held.keep(frame, towards, kept, now.ms) {
            self.shard.counts.count(Fate::Dropped(reason));
        }
    }

    /// The next hop of a packet does not answer. The sender of one that is only routed is told.
    fn tell_of_failure(&mut self, frame: &P::Frame, routed_from: Option<u16>, now: Now) {
        if let Some(port) = routed_from {
            let said = self.tell(usize::from(port), &frame.bytes()[ETHERNET_BYTES..], Cause::HostUnreachable, now);
            self.note(said);
        }
    }

    /// Sends the held frames whose next hop is known by now.
    pub(super) fn release_held(&mut self, now: Now) {
        let Self { held, shard, egress, .. } = self;
        let Shard { next_hops, counts, .. } = shard;
        let mut refused = [0u64; Reason::ALL.len()];
        let mut failed: Burst<(P::Frame, Option<u16>)> = Burst::new();
        held.release(
            next_hops,
            now.ms,
            |mut frame, id, cut| {
                if let Some(hop) = next_hops.get(id) {
                    frame.bytes_mut()[..ETHERTYPE_AT].copy_from_slice(&hop.header);
                    match cut {
                        None => egress.send(usize::from(hop.port), frame, counts),
                        Some(cut) => egress.send_in_fragments(usize::from(hop.port), frame, cut, counts),
                    }
                }
            },
            |frame, routed_from, reason| {
                refused[reason as usize] += 1;
                // Those beyond a burst are dropped without a word: answers are limited anyway.
                if reason == Reason::NeighborFailed && routed_from.is_some() {
                    drop(failed.try_push((frame, routed_from)));
                }
            },
        );
        for (counter, count) in counts.dropped.iter_mut().zip(refused) {
            *counter += count;
        }
        for (frame, routed_from) in failed {
            self.tell_of_failure(&frame, routed_from, now);
        }
    }
}

impl Shard {
    /// Makes the frame's IP packet what leaves, and says where it goes.
    #[inline]
    fn prepare<F: Frame>(&mut self, frame: &mut F, parsed: &Parsed, hit: Hit, now: Now) -> Result<Ready, Refusal> {
        let Way { hop, mtu } = self.way(hit)?;
        let conn = self.table.conn(hit.id);
        let ip_bytes = parsed.ip_bytes();
        if frame.bytes().len() > parsed.end as usize {
            frame.truncate(parsed.end as usize);
        }
        let chained = frame.bytes().len() < parsed.end as usize;
        let l3 = &mut frame.bytes_mut()[usize::from(parsed.l3)..];
        if !ttl::decrement(l3) {
            if conn.method() == Method::Tun {
                // The kernel has looked its route up by then, and what it knows of the path is in use (recorded).
                self.shared.tunnels.for_packet(ServerId(conn.server), mtu, now);
            }
            return Err((Reason::TtlExpired, Some(Tell::TimeExceeded)));
        }
        let (tunnel, mtu, longest) = match conn.method() {
            Method::Tun => {
                let (tunnel, path_mtu) = self.shared.tunnels.for_packet(ServerId(conn.server), mtu, now);
                let longest = tunnel.inner_bytes_max(usize::from(path_mtu), conn.is_server_v6());
                // As the kernel has it, whatever the packet inside (recorded).
                if conn.is_server_v6() && longest < IPV6_MTU_MIN {
                    return Err((Reason::NarrowTunnel, None));
                }
                (tunnel, path_mtu, longest)
            }
            _ => (Tunnel::Ipip, mtu, usize::from(mtu)),
        };
        let (mut cut, mut refused) = (None, None);
        let came_in_fragments = parsed.longest_fragment != 0;
        if ip_bytes > longest || came_in_fragments && (chained || self.leaves_in_fragments(parsed, conn, tunnel)) {
            let id = self.random.u32(..);
            let outer = (conn.method() == Method::Tun).then(|| (tunnel, conn.is_server_v6()));
            let outbound = hit.direction == Direction::Outbound;
            match self.cut(frame, parsed, outer, usize::from(mtu), longest, id) {
                Ok(into) => cut = Some(into),
                // A client is quoted its packet with one hop less; a server's reply is found too long when it is translated, and
                // the error comes back through the conn as any other (recorded).
                Err(refusal) if outbound => refused = Some(refusal),
                Err(refusal) => return Err(refusal),
            }
            if outbound && must_not_be_cut_again(&frame.bytes()[usize::from(parsed.l3)..], parsed) {
                refused = Some((Reason::TooBig, Some(Tell::TooBig(mtu))));
            }
            if conn.method() == Method::FullNat && hit.direction == Direction::Inbound {
                name_anew(&mut frame.bytes_mut()[usize::from(parsed.l3)..], id as u16);
            }
        }
        match conn.method() {
            Method::Tun => {
                let id = self.random.u16(..);
                self.encapsulate(frame, parsed, hit, hop, (tunnel, id))?;
            }
            Method::Nat | Method::FullNat => translate(frame, parsed, conn, hit.direction)?,
            Method::Dr | Method::Local | Method::Bypass => {}
        }
        if let Some(refusal) = refused {
            return Err(refusal);
        }
        Ok(Ready { hop, cut })
    }

    /// Whether a packet that came in fragments, all of which are in this segment, leaves in fragments.
    #[cold]
    fn leaves_in_fragments(&self, parsed: &Parsed, conn: &Conn, tunnel: Tunnel) -> bool {
        // A tunnel of the other family knows nothing of them.
        let around_bytes = match conn.method() {
            Method::Tun if conn.is_server_v6() == parsed.v6 => tunnel.outer_bytes(parsed.v6),
            _ => 0,
        };
        parsed.leaves_in_fragments(around_bytes)
    }

    /// Puts the tunnel header between Ethernet and the packet.
    fn encapsulate<F: Frame>(
        &self,
        frame: &mut F,
        parsed: &Parsed,
        hit: Hit,
        hop: Option<NextHopId>,
        (tunnel, id): (Tunnel, u16),
    ) -> Result<(), Refusal> {
        let conn = self.table.conn(hit.id);
        // By reference: of an address that is copied the CPU would wait for each store.
        let unresolved;
        let source = match hop.and_then(|id| self.next_hops.get(id)) {
            Some(hop) => &hop.source,
            None => {
                unresolved = self.source_towards_server(hit)?;
                &unresolved
            }
        };
        let source = source.as_ref().ok_or((Reason::NoRoute, None))?;
        if !frame.prepend(tunnel.outer_bytes(conn.is_server_v6())) {
            return Err((Reason::NoHeadroom, None));
        }
        let bytes = frame.bytes_mut();
        let ethertype = if conn.is_server_v6() { ETHERTYPE_IPV6 } else { ETHERTYPE_IPV4 };
        bytes[ETHERTYPE_AT..ETHERTYPE_AT + 2].copy_from_slice(&ethertype);
        let packet = &mut bytes[usize::from(parsed.l3)..];
        let source = match source {
            IpAddr::V4(source) => &source.octets()[..],
            IpAddr::V6(source) => &source.octets()[..],
        };
        let source_port = match tunnel {
            Tunnel::Gue { .. } => tun::source_port(self.table.hash(&conn.inbound_key())),
            _ => 0,
        };
        let outer = tun::Outer {
            source,
            destination: conn.server_bytes(),
            pmtu_discovery: self.services.policy.pmtu_disc,
            id,
            source_port,
        };
        let total = parsed.ip_bytes() + tunnel.outer_bytes(conn.is_server_v6());
        if !tun::encapsulate(packet, total, tunnel, outer) {
            return Err((Reason::BadHeader, None));
        }
        let at = Tunnel::Ipip.outer_bytes(conn.is_server_v6());
        let sum = tunnel.checksum(&frame.bytes()[usize::from(parsed.l3)..], at, frame.segments().skip(1));
        if let Some((at, sum)) = sum {
            let at = usize::from(parsed.l3) + at;
            frame.bytes_mut()[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        }
        Ok(())
    }

    /// The own address that a real server sees which has no next hop yet.
    #[cold]
    fn source_towards_server(&self, hit: Hit) -> Result<Option<IpAddr>, Refusal> {
        Ok(match self.neighbor(hit)? {
            Towards::Neighbor { port, address } => self.next_hops.source_towards(port, address),
            Towards::Hop(id) => self.next_hops.get(id).and_then(|hop| hop.source),
        })
    }

    /// Where the conn's packets go in this direction. The answer is kept in the conn.
    #[inline]
    pub(super) fn way(&mut self, hit: Hit) -> Result<Way, Refusal> {
        let conn = self.table.conn(hit.id);
        let cached = match hit.direction {
            Direction::Inbound => conn.next_hop_inbound,
            Direction::Outbound => conn.next_hop_outbound,
        };
        if let Some(id) = NextHopId::from_bits(cached)
            && let Some(hop) = self.next_hops.get(id)
        {
            return Ok(Way { hop: Some(id), mtu: hop.mtu });
        }
        self.find_way(hit)
    }

    /// The MTU of the port that the conn's tunnel packets leave by.
    pub(super) fn tunnel_mtu(&mut self, hit: Hit) -> u16 {
        self.way(hit).map_or(u16::MAX, |way| way.mtu)
    }

    /// The conn has no next hop in this direction, or its slot is another neighbour's by now.
    #[cold]
    fn find_way(&mut self, hit: Hit) -> Result<Way, Refusal> {
        match self.neighbor(hit)? {
            Towards::Hop(id) => {
                let conn = self.table.conn_mut(hit.id);
                match hit.direction {
                    Direction::Inbound => conn.next_hop_inbound = id.to_bits(),
                    Direction::Outbound => conn.next_hop_outbound = id.to_bits(),
                }
                Ok(Way { hop: Some(id), mtu: self.next_hops.get(id).map_or(u16::MAX, |hop| hop.mtu) })
            }
            Towards::Neighbor { port, .. } => {
                let mtu = self.next_hops.interface(port).map_or(u16::MAX, |interface| interface.mtu);
                Ok(Way { hop: None, mtu })
            }
        }
    }

    /// Who is next on the conn's way in this direction.
    #[cold]
    fn neighbor(&self, hit: Hit) -> Result<Towards, Refusal> {
        let conn = self.table.conn(hit.id);
        let (to, _) = match hit.direction {
            Direction::Inbound => conn.real_server(),
            Direction::Outbound => conn.client(),
        };
        match self.next_hops.route(to) {
            Route::Via(id) => Ok(Towards::Hop(id)),
            Route::OnLink { port, address } => Ok(Towards::Neighbor { port, address }),
            // Nobody is told (recorded).
            Route::Nobody if to.is_loopback() => Err((Reason::NoRoute, None)),
            Route::Local if conn.method() == Method::Bypass => Err((Reason::NoRoute, None)),
            Route::Local | Route::Nobody | Route::Unreachable => Err((Reason::NoRoute, Some(Tell::HostUnreachable))),
        }
    }
}

/// RFC 6864, section 5.3.1: behind one local address many clients' fragments meet, and their identifications were theirs alone.
/// The header checksum is made when the packet is cut; IPv6 fragments have a new identification anyway.
#[cold]
fn name_anew(l3: &mut [u8], id: u16) {
    if let Some(ip) = Ipv4::of_mut(l3).filter(|ip| ip.version() == 4) {
        ip.set_id(id);
    }
}
