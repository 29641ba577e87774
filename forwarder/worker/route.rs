//! Routing for others: a packet to the director's MAC that no conn knows and that is for another host goes on as through any
//! router: connected subnets, routes, gateways. Stateless, so whichever worker has the frame does it, and its addresses stay
//! as they are: there is no source NAT.
//!
//! ```text
//!  no conn, no service, not an own address
//!    → forward = false, link-local, martian, nobody's address                    dropped, in silence
//!    → no route                                                                  net unreachable
//!    → last hop, too long for the next link                                      time exceeded, too big
//!    → back to where it came from                                                redirect, and on it goes
//!    → TTL − 1, Ethernet header of the next hop                                  held, if that is not known yet
//! ```
//!
//! RFC 1812, section 5.2, and RFC 8200. The order of the checks and what is quoted are the kernel's.

use super::Worker;
use super::answer::{addresses, packet};
use super::cutting::must_not_be_cut_again;
use super::forward::Refusal;
use super::held::{Kept, Towards};
use super::reassemble::is_chain;
use crate::fragments::Cut;
use crate::neigh::{NextHop, NextHopState, Route};
use crate::pipeline::{Now, Parsed, Reason, Shard, Tell};
use crate::port::{Frame, Port};
use crate::rewrite::{icmp, ttl};
use conntrack::Key;
use std::net::IpAddr;

/// Redirects a second, and how many at once. A host that listens needs one; one that does not is not worth more.
pub const REDIRECTS_PER_S: u64 = 100;
/// Redirects at once.
pub const REDIRECTS_BURST: u64 = 20;

impl<P: Port> Worker<P> {
    /// A packet for another host, of no conn. What of it goes on the conn of this flow may hear of, if it has one.
    pub(super) fn route(&mut self, port: usize, mut frame: P::Frame, parsed: &Parsed, flow: Option<&Key>, now: Now) {
        let (towards, cut) = match self.shard.way_through(&mut frame, parsed) {
            Ok(way) => way,
            Err((reason, tell)) => return self.refuse(port, frame, parsed, reason, tell, now),
        };
        if let Some(key) = flow {
            self.shard.follow_reply(parsed, key, now);
        }
        let kept = Kept { cut, routed_from: Some(port as u16) };
        match towards {
            Towards::Hop(id) => {
                if self.shard.next_hops.get(id).is_some_and(|hop| usize::from(hop.port) == port) {
                    let mut quoted = [0; icmp::ERROR_BYTES_MAX];
                    self.redirect(port, packet(&frame, parsed, &mut quoted), id, now);
                }
                self.send(frame, id, kept, now);
            }
            Towards::Neighbor { .. } => self.hold(frame, towards, kept, now),
        }
    }

    /// A NAT server's packet of no conn. It is refused where it would leave (recorded: what is quoted has one hop less).
    #[cold]
    pub(super) fn refuse_unmatched(&mut self, port: usize, mut frame: P::Frame, parsed: &Parsed, now: Now) {
        let unmatched = (Reason::ReplyUnmatched, Some(Tell::PortUnreachable));
        let mut refused = self.shard.way_through(&mut frame, parsed).err();
        if must_not_be_cut_again(&frame.bytes()[usize::from(parsed.l3)..], parsed) {
            // That they are too long together would be found out behind this.
            refused = refused.filter(|(reason, _)| *reason != Reason::TooBig);
        }
        let (reason, tell) = refused.unwrap_or(unmatched);
        self.refuse(port, frame, parsed, reason, tell, now);
    }

    /// The packet leaves by the port that it came by: if its sender could have reached the next hop itself, it is told so.
    #[cold]
    fn redirect(&mut self, port: usize, packet: &[u8], id: crate::neigh::NextHopId, now: Now) {
        let Some(better) = self.shard.next_hops.get(id).and_then(|hop| self.shard.better_way(hop, packet)) else {
            return;
        };
        if !self.redirects.allows(now.ms) {
            return;
        }
        let said = self.say(port, packet, now, |room, id| match (better.router, better.target) {
            (IpAddr::V4(router), IpAddr::V4(target)) => {
                icmp::redirect_v4(room, packet, router.octets(), target.octets(), id)
            }
            (IpAddr::V6(router), IpAddr::V6(target)) => {
                icmp::redirect_v6(room, packet, router.octets(), target.octets(), better.target_mac)
            }
            _ => None,
        });
        self.note(said);
    }
}

/// What a host is told that could have sent its packet to a better next hop.
struct Better {
    /// Who says it: the own address that the host knows as its router.
    router: IpAddr,
    /// The next hop to use.
    target: IpAddr,
    target_mac: [u8; 6],
}

impl Shard {
    /// Makes the frame's IP packet what leaves, and says where it goes.
    fn way_through<F: Frame>(&mut self, frame: &mut F, parsed: &Parsed) -> Result<(Towards, Option<Cut>), Refusal> {
        if !self.services.policy.forward {
            return Err((Reason::NotForUs, None));
        }
        if frame.bytes().len() > parsed.end as usize {
            frame.truncate(parsed.end as usize);
        }
        let chained = is_chain(frame, parsed);
        let l3 = &mut frame.bytes_mut()[usize::from(parsed.l3)..];
        let (source, destination) = addresses(l3);
        if is_of_one_link(source) || is_of_one_link(destination) {
            return Err((Reason::Unroutable, None));
        }
        // IPv6 has no such rule, and the kernel forwards (recorded): what a DR server behind the director answers.
        if source.is_ipv4() && self.next_hops.is_local(source) {
            return Err((Reason::Martian, None));
        }
        let interface_mtu = |port| self.next_hops.interface(port).map_or(u16::MAX, |interface| interface.mtu);
        let (towards, mtu) = match self.next_hops.route_beyond(destination) {
            Route::Via(id) => (Towards::Hop(id), self.next_hops.get(id).map_or(u16::MAX, |hop| hop.mtu)),
            Route::OnLink { port, address } => (Towards::Neighbor { port, address }, interface_mtu(port)),
            Route::Local | Route::Nobody => return Err((Reason::Unroutable, None)),
            Route::Unreachable => return Err((Reason::NoRoute, Some(Tell::NetworkUnreachable))),
        };
        // Unlike a conn's packet, one that is too long is quoted as it came; but not what only is so together.
        let mut cut = None;
        let stays_whole = must_not_be_cut_again(l3, parsed);
        let must_be_cut = chained || parsed.leaves_in_fragments(0) || parsed.ip_bytes() > usize::from(mtu);
        if must_be_cut && !stays_whole && ttl::is_left(l3) {
            let id = self.random.u32(..);
            cut = Some(self.cut(frame, parsed, None, usize::from(mtu), usize::from(mtu), id)?);
        }
        if !ttl::decrement(&mut frame.bytes_mut()[usize::from(parsed.l3)..]) {
            return Err((Reason::TtlExpired, Some(Tell::TimeExceeded)));
        }
        if stays_whole {
            return Err((Reason::TooBig, Some(Tell::TooBig(mtu))));
        }
        Ok((towards, cut))
    }

    /// RFC 1812, section 5.2.7.2, and RFC 4861, section 8.2: the sender is a neighbour on the next hop's subnet. A real server
    /// is never told: what it sends to a client must come by here, or replies of a NAT service would go by untranslated.
    fn better_way(&self, hop: &NextHop, packet: &[u8]) -> Option<Better> {
        let (sender, destination) = addresses(packet);
        let interface = self.next_hops.interface(hop.port)?;
        if hop.state != NextHopState::Ready || self.next_hops.is_server(sender) {
            return None;
        }
        let subnet = interface.addresses.iter().find(|subnet| subnet.contains(&sender))?;
        let router = match hop.address {
            IpAddr::V4(_) if subnet.contains(&hop.address) => subnet.addr(),
            // A router is named by its link-local address or not at all, the destination itself by its own.
            IpAddr::V6(v6) if v6.is_unicast_link_local() || hop.address == destination => {
                IpAddr::V6(interface.link_local())
            }
            _ => return None,
        };
        Some(Better { router, target: hop.address, target_mac: hop.destination() })
    }
}

/// 169.254.0.0/16 and fe80::/10 mean nothing on another link (RFC 3927, section 7; RFC 4291, section 2.5.6).
fn is_of_one_link(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}
