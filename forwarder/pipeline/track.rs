//! The stage that keeps a conn true: protocol state, time of the last packet, active and inactive counts, traffic.

use super::{Batch, Class, Now, Parsed, Shard, Step};
use crate::services::ServerId;
use crate::wire::protocol;
use conntrack::states::Seen;
use conntrack::states::tcp::{self, Event, State};
use conntrack::{Direction, Hit};

/// The flags that a TCP conn's state hangs on: FIN, SYN, RST and ACK.
const STATE_FLAGS: u8 = 0x17;
/// Of those, what nearly every packet of an established conn has. It changes nothing.
const ACK_ALONE: u8 = 0x10;

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
        let conn = self.table.conn_mut(hit.id);
        let bytes = parsed.ip_bytes() as u64;
        let traffic = &self.traffic[conn.server as usize];
        match hit.direction {
            Direction::Inbound => traffic.inbound(bytes),
            Direction::Outbound => traffic.outbound(bytes),
        }
        if parsed.class == Class::Flow {
            conn.touch(now.tick);
            let settled = conn.state == State::Established as u8 && parsed.tcp_flags & STATE_FLAGS == ACK_ALONE;
            if parsed.protocol == protocol::TCP && !settled {
                return self.follow_tcp(parsed, hit, now);
            }
            // A reload may have changed the time-outs: the next packet makes them the conn's.
            let timeout = self.services.policy.timeouts.ticks(parsed.protocol, conn.state);
            if conn.timeout() != timeout {
                self.table.set_timeout(hit.id, timeout, now.tick);
            }
        }
    }

    /// A TCP packet that may change its conn's state.
    fn follow_tcp(&mut self, parsed: &Parsed, hit: Hit, now: Now) {
        // A later packet of the burst ended the conn: its counts are settled.
        if self.is_ending(hit.id) {
            return;
        }
        let policy = &self.services.policy;
        let conn = self.table.conn_mut(hit.id);
        let seen = Seen::of(conn.method(), hit.direction);
        let next = tcp::next(State::of(conn.state), Event::of(parsed.tcp_flags), seen, policy.secure_tcp);
        if next.is_active() != conn.is_active() {
            conn.set_active(next.is_active());
            self.shared.live.set_active(ServerId(conn.server), next.is_active());
        }
        conn.state = next as u8;
        if let (State::Established, Some(template)) = (next, conn.template()) {
            self.shared.templates.assure(template);
        }
        let timeout = policy.timeouts.ticks(protocol::TCP, next as u8);
        self.table.set_timeout(hit.id, timeout, now.tick);
    }
}
