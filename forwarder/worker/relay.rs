//! ICMP errors about tunnel packets: a router between director and real server tells the director, who is the tunnel packet's
//! sender, and the director tells the client, whose packet was inside. IPv4 in IPv4 only, as the kernel does it (recorded).
//!
//! ```text
//!  router → director   | ICMP | DIP > RIP | (GRE, UDP GUE) | CIP > VIP … |
//!  director → client   | ICMP |                              CIP > VIP … |     "fragmentation needed" less the tunnel's headers
//! ```

use super::Worker;
use super::answer::packet;
use crate::pipeline::{Fate, Now, Parsed, Reason};
use crate::port::Port;
use crate::rewrite::icmp::{self, Cause};
use crate::rewrite::tun;
use crate::services::ServerId;
use crate::wire::icmp::v4::{FRAGMENTATION_NEEDED, UNREACHABLE};
use crate::wire::{Icmp, Ipv4, protocol};
use conntrack::{Direction, Hit, Method};

impl<P: Port> Worker<P> {
    /// An error about a packet that the conn sent through its tunnel.
    #[cold]
    pub(super) fn relay(&mut self, port: usize, frame: P::Frame, parsed: &Parsed, hit: Hit, now: Now) {
        let mut whole = [0; icmp::ERROR_BYTES_MAX];
        let error = packet(&frame, parsed, &mut whole);
        let fate = match self.relayed(error, parsed.header_bytes(), hit, now) {
            Some((at, cause)) => self.tell(port, &error[at..], cause, now).fate(),
            None => Fate::Dropped(Reason::IcmpUnmatched),
        };
        self.shard.counts.count(fate);
    }

    /// Where the client's packet begins in the error, and what its sender is told. None: the error is not about a packet of
    /// this conn, or says nothing that the client could heed.
    fn relayed(&mut self, error: &[u8], l4: usize, hit: Hit, now: Now) -> Option<(usize, Cause)> {
        let message = Icmp::of(error.get(l4..)?)?;
        let outer_at = l4 + Icmp::BYTES;
        let outer = Ipv4::of(error.get(outer_at..)?)?;
        let conn = self.shard.table.conn(hit.id);
        let next_hops = &self.shard.next_hops;
        let server = ServerId(conn.server);
        let ours = hit.direction == Direction::Inbound
            && conn.method() == Method::Tun
            && outer.destination_bytes()[..] == *conn.server_bytes()
            && next_hops.is_local(outer.source().into())
            && next_hops.is_local(Ipv4::of(error)?.destination().into());
        let inner_at = outer_at + tun::inner_at(&error[outer_at..], |_| true).filter(|_| ours)?;
        let (kind, code) = (message.kind(), message.code());
        // Of a removed server nobody knows that it had a tunnel. To the kernel GUE's packets are still UDP of its own, of which it
        // learns the path's MTU; IP in IP and GRE are nothing (recorded).
        let is_known = self.shard.shared.live.is_available(server);
        if (kind, code) != (UNREACHABLE, FRAGMENTATION_NEEDED) {
            return is_known.then_some((inner_at, Cause::Relayed { kind, code, rest: 0 }));
        }
        if !is_known && outer.protocol() != protocol::UDP {
            return None;
        }
        let port_mtu = self.shard.tunnel_mtu(hit);
        let (tunnel, path_mtu) = self.shard.shared.tunnels.learn_path_mtu(server, message.mtu_v4(), port_mtu, now);
        let rest = tunnel.inner_bytes_max(usize::from(path_mtu), false) as u32;
        // A client that allows fragments does not look for the path's MTU.
        let heeds = is_known && Ipv4::of(&error[inner_at..])?.dont_fragment();
        heeds.then_some((inner_at, Cause::Relayed { kind, code, rest }))
    }
}
