//! A real server that is the director itself. With DR and TUN the host gets the client's packets as they came; with NAT it gets
//! what any real server gets, and what it answers goes back through the conn. Where no host carries the address nothing listens,
//! and the director says so, as the kernel's host does.

use super::Worker;
use super::answer::{addresses, error_from, packet};
use super::translate::translate;
use crate::pipeline::classify::ETHERNET_BYTES;
use crate::pipeline::{Class, Fate, Now, Parsed, Shard};
use crate::port::{Frame, Port};
use crate::rewrite::icmp::{self, Cause};
use crate::rewrite::reset::reset;
use crate::rewrite::ttl;
use crate::wire::{protocol, tcp};
use conntrack::{Direction, Hit, Method};
use std::sync::atomic::Ordering::Relaxed;

impl<P: Port> Worker<P> {
    /// A packet of a conn whose real server is the director itself: to the host that carries the address, or answered.
    #[cold]
    pub(super) fn deliver(&mut self, mut frame: P::Frame, parsed: &Parsed, hit: Hit, now: Now) {
        let port = usize::from(parsed.port);
        let conn = self.shard.table.conn(hit.id);
        let translated = conn.method() == Method::Nat;
        let to = if translated { conn.real_server().0 } else { conn.vip().0 };
        if translated && let Err((reason, _)) = translate(&mut frame, parsed, conn, hit.direction) {
            return self.shard.counts.count(Fate::Dropped(reason));
        }
        let hosts = self.is_hosts(port, to);
        match (hosts, translated) {
            (true, true) => {
                self.shard.expect_replies_of_host();
                self.pass(port, &frame);
            }
            (true, false) => self.pass(port, &frame),
            (false, true) => self.answer_as_server(port, frame, parsed, now),
            (false, false) => {
                if parsed.class == Class::Flow && parsed.protocol == protocol::TCP && parsed.signal & tcp::RST == 0 {
                    self.shard.saw_reset(hit, now);
                }
                self.answer_own(port, frame, parsed, now);
            }
        }
    }

    /// Nothing listens at the NAT server's address: what the director says there is translated as any server's answer is.
    fn answer_as_server(&mut self, port: usize, frame: P::Frame, parsed: &Parsed, now: Now) {
        let mut room = [0; icmp::ERROR_BYTES_MAX];
        let l3 = packet(&frame, parsed, &mut room);
        let (l4, (_, own)) = (parsed.header_bytes(), addresses(l3));
        let said = self.say_here(port, &frame.bytes()[..ETHERNET_BYTES], now, |answer, id| {
            let bytes = match parsed.protocol {
                _ if parsed.class != Class::Flow => None,
                protocol::TCP => reset(answer, l3, l4),
                protocol::UDP => error_from(own, answer, l3, Cause::PortUnreachable, id),
                _ => error_from(own, answer, l3, Cause::ProtocolUnreachable, id),
            };
            // It is at its first hop here, which takes one.
            if bytes.is_some() {
                ttl::restore(answer);
            }
            bytes
        });
        self.shard.counts.count(said.fate());
    }
}

impl Shard {
    /// Is the conn's real server in this direction the director itself?
    #[cold]
    pub(super) fn is_at_home(&self, hit: Hit) -> bool {
        let conn = self.table.conn(hit.id);
        match conn.method() {
            Method::Local => true,
            Method::Nat => hit.direction == Direction::Inbound && self.next_hops.is_local(conn.real_server().0),
            _ => false,
        }
    }

    /// From now on what the host sends may be a NAT server's reply.
    fn expect_replies_of_host(&self) {
        if !self.shared.host_serves.load(Relaxed) {
            self.shared.host_serves.store(true, Relaxed);
        }
    }
}
