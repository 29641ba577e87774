//! The stage that keeps a conn true: protocol state, time of the last packet, active and inactive counts, traffic.

use super::{Batch, Class, Now, Parsed, Shard, Step};
use crate::services::ServerId;
use crate::wire::{self, protocol};
use conntrack::states::tcp::{self, State};
use conntrack::states::{self, Seen, sctp, udp};
use conntrack::{Direction, Hit, Key, Method};

/// The flags that a TCP conn's state hangs on: FIN, SYN, RST and ACK.
const STATE_FLAGS: u8 = 0x17;
/// Of those, what nearly every packet of an established conn has. It changes nothing.
const ACK_ALONE: u8 = 0x10;

/// What a RST says.
const RESET: Parsed = Parsed { protocol: protocol::TCP, class: Class::Flow, signal: wire::tcp::RST, ..Parsed::NOTHING };

/// Follows the conns of a burst.
#[inline]
pub fn track(shard: &mut Shard, batch: &Batch, now: Now) {
    for (parsed, step) in batch.parsed.iter().zip(&batch.steps) {
        if let Step::Forward(hit) = *step {
            shard.follow(parsed, hit, now);
        }
    }
}

impl Shard {
    /// One packet of a conn.
    #[inline]
    fn follow(&mut self, parsed: &Parsed, hit: Hit, now: Now) {
        if parsed.class == Class::TunnelError {
            // What the director's own packet met with on its way is no traffic of the conn.
            return;
        }
        let conn = self.table.conn_mut(hit.id);
        let bytes = parsed.ip_bytes() as u64;
        let traffic = &self.traffic[conn.server as usize];
        match hit.direction {
            Direction::Inbound => {
                traffic.inbound(bytes);
                if parsed.class == Class::Flow {
                    conn.count_packet();
                }
            }
            // The kernel's router ends such a packet before IPVS sees it (recorded); a client's IPVS sees first.
            Direction::Outbound if parsed.ttl <= 1 => return,
            Direction::Outbound => traffic.outbound(bytes),
        }
        if parsed.class == Class::Flow {
            conn.touch(now.tick);
            let settled = conn.state == State::Established as u8 && parsed.signal & STATE_FLAGS == ACK_ALONE;
            match parsed.protocol {
                protocol::TCP if !settled => return self.follow_state(parsed, hit, now),
                protocol::SCTP => return self.follow_state(parsed, hit, now),
                protocol::UDP if hit.direction == Direction::Outbound && conn.state != udp::ANSWERED => {
                    conn.state = udp::ANSWERED;
                    conn.template().inspect(|template| self.shared.templates.assure(*template));
                }
                _ => {}
            }
            // A reload may have changed the time-outs: the next packet makes them the conn's.
            let timeout = self.services.policy.timeouts.ticks(parsed.protocol, conn.state);
            if conn.timeout() != timeout {
                self.table.set_timeout(hit.id, timeout, now.tick);
            }
        }
    }

    /// A packet of no conn's that is routed on. A server behind DR or a tunnel may answer by way of the director: the packet
    /// goes as it is, but the conn hears of it, and trusts its client less from then on (recorded).
    #[cold]
    pub fn follow_reply(&mut self, parsed: &Parsed, key: &Key, now: Now) {
        let key = key.reversed();
        let hit = self.table.find_hashed(&key, self.table.hash(&key), now.tick);
        let of_flow = parsed.class == Class::Flow;
        if let Some(hit) = hit.filter(|hit| of_flow && hit.direction == Direction::Inbound)
            && !self.is_unserved(parsed, hit)
            && !self.table.conn(hit.id).method().sees_replies()
        {
            self.table.conn_mut(hit.id).set_replies_seen();
            self.follow(parsed, Hit { direction: Direction::Outbound, ..hit }, now);
        }
    }

    /// Is a packet with this key from a conn's real server whose packets are translated?
    #[cold]
    pub fn is_translated(&self, reply: &Key, now: Now) -> bool {
        let hit = self.table.find_hashed(reply, self.table.hash(reply), now.tick);
        hit.is_some_and(|hit| hit.direction == Direction::Outbound)
    }

    /// What the host sends. If it is the real server of a conn, the conn hears of it as of any server's reply (recorded).
    #[cold]
    pub fn follow_host(&mut self, parsed: &Parsed, reply: &Key, now: Now) {
        let key = reply.reversed();
        let hit = self.table.find_hashed(&key, self.table.hash(&key), now.tick);
        if let Some(hit) = hit.filter(|hit| self.table.conn(hit.id).method() == Method::Local) {
            self.table.conn_mut(hit.id).set_replies_seen();
            // No hop is behind it yet, whatever its TTL.
            let parsed = Parsed { ttl: u8::MAX, ..*parsed };
            self.follow(&parsed, Hit { direction: Direction::Outbound, ..hit }, now);
        }
    }

    /// The director answered a TCP segment with a RST, as the conn's real server.
    pub fn saw_reset(&mut self, hit: Hit, now: Now) {
        self.follow_state(&RESET, Hit { direction: Direction::Outbound, ..hit }, now);
    }

    /// The director answered a TCP segment with a RST from the VIP. If the segment ended a conn of a server that answers clients
    /// itself, the conn takes it for that server's, and is closed instead (recorded: so the kernel's own RST saves it).
    #[cold]
    pub fn saw_own_reset(&mut self, key: &Key, now: Now) {
        let hit = self.table.find_hashed(key, self.table.hash(key), now.tick);
        // The newest conn is found: another one that took its place is none that ends.
        if let Some(Hit { id, .. }) = hit
            && !self.table.conn(id).method().sees_replies()
            && self.spare(id)
        {
            self.table.conn_mut(id).set_replies_seen();
            let (v6, end) = if key.is_v6() { (true, 60) } else { (false, 40) };
            let reset = Parsed { end, v6, ttl: u8::MAX, ..RESET };
            self.follow(&reset, Hit { id, direction: Direction::Outbound }, now);
        }
    }

    /// A TCP or SCTP packet that may change its conn's state.
    fn follow_state(&mut self, parsed: &Parsed, hit: Hit, now: Now) {
        // A later packet of the burst ended the conn: its counts are settled, or will be as they are.
        if self.is_ending(hit.id) {
            return;
        }
        let policy = &self.services.policy;
        let conn = self.table.conn_mut(hit.id);
        let seen = match hit.direction {
            Direction::Inbound if conn.are_replies_seen() => Seen::Inbound,
            direction => Seen::of(conn.method(), direction),
        };
        let (next, established) = match parsed.protocol {
            protocol::SCTP => {
                let next = sctp::next(sctp::State::of(conn.state), sctp::Event::of(parsed.signal), seen);
                (next as u8, next == sctp::State::Established)
            }
            _ => {
                let event = tcp::Event::of(parsed.signal);
                let next = tcp::next(State::of(conn.state), event, seen, self.defenses.secure_tcp);
                (next as u8, next == State::Established)
            }
        };
        let active = states::is_active(parsed.protocol, next);
        if active != conn.is_active() {
            conn.set_active(active);
            self.shared.live.set_active(ServerId(conn.server), active);
        }
        conn.state = next;
        if let (true, Some(template)) = (established, conn.template()) {
            self.shared.templates.assure(template);
        }
        let timeout = policy.timeouts.ticks(parsed.protocol, next);
        self.table.set_timeout(hit.id, timeout, now.tick);
    }
}
