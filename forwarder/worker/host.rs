//! The worker's side of the host interface: what it gives to the host, and what it sends for it. No system call, no memory taken:
//! a copy into a ring, or a drop with a name. The host comes last: a worker that has other work sends few of its frames a turn.

use super::Worker;
use super::peers::Handed;
use crate::host::ring::Unpassed;
use crate::pipeline::classify::{StationMac, classify, no_key};
use crate::pipeline::{Class, Fate, Now, Parsed, Reason, Shard};
use crate::port::{BURST, Frame, Port};
use conntrack::Key;
use std::net::IpAddr;

/// Frames of the host that a busy turn sends; an idle one sends a burst.
const FRAMES_PER_BUSY_TURN: usize = 4;

impl<P: Port> Worker<P> {
    /// Whether what came by `port` for this own address is the host's business.
    #[inline]
    pub(super) fn is_hosts(&self, port: usize, destination: IpAddr) -> bool {
        self.host.is_on(port) && self.shard.next_hops.is_carried(port as u16, destination)
    }

    /// Whether fragments that came by `port` for this address are the host's business: no conn can be theirs, so nobody here
    /// need put them together.
    #[cold]
    pub(super) fn is_hosts_alone(&self, port: usize, destination: IpAddr) -> bool {
        self.is_hosts(port, destination) && !self.shard.services.steering.has_flows(destination)
    }

    /// Whether the host is to have a frame that the data plane refuses for this reason: what it may listen to and we do not.
    #[cold]
    pub(super) fn host_listens(&self, port: usize, reason: Reason) -> bool {
        matches!(reason, Reason::Multicast | Reason::OtherEtherType) && self.host.is_on(port)
    }

    /// Gives a frame to the host interface of its port; a reassembled packet as one.
    #[inline]
    pub(super) fn pass(&mut self, port: usize, frame: &P::Frame) {
        let fate = match self.host.pass(port, frame.segments()) {
            Ok(()) => Fate::Passed,
            Err(Unpassed::Full) => Fate::Dropped(Reason::HostFull),
            Err(Unpassed::TooLong) => Fate::Dropped(Reason::HostTooLong),
        };
        self.shard.counts.count(fate);
    }

    /// ARP and neighbour discovery: control hears all of it, and the host what is not a question that control answers.
    pub(super) fn report_neighbor(&mut self, port: usize, frame: P::Frame) {
        let bytes = frame.bytes();
        let heard = self.rings.report_neighbor(port as u16, bytes);
        let hosts = self.host.is_on(port) && !self.shard.next_hops.asks_for_own(bytes);
        let fate = match (hosts && self.host.pass(port, frame.segments()).is_ok(), heard) {
            (true, _) => Fate::Passed,
            (false, true) => Fate::Consumed,
            (false, false) => Fate::Dropped(Reason::ControlBusy),
        };
        self.shard.counts.count(fate);
    }

    /// Sends what the host wants sent, as it is. What it says as a conn's real server, the conn's owner hears first. True: there
    /// was something.
    pub(super) fn send_for_host(&mut self, busy: bool, now: Now) -> bool {
        let count = if busy { FRAMES_PER_BUSY_TURN } else { BURST };
        for number in 0..count {
            let Some((port, frame)) = self.host.take(&mut self.host_room) else { return number > 0 };
            let (port, reply, own) = (usize::from(port), reply_of_conn(&self.shard, frame), self.egress.peers.own);
            let owner = reply.map_or(own, |(_, reply)| self.shard.services.steering.owner(&reply.reversed()));
            if let Some((parsed, reply)) = reply.filter(|_| owner == own) {
                self.shard.follow_host(&parsed, &reply, now);
            }
            let counts = &mut self.shard.counts;
            if owner == own {
                self.egress.send_made(port, frame, counts);
            } else if let Some(frame) = self.egress.make(port, frame, counts) {
                self.egress.hand(owner, Handed::OfHost { frame, port: port as u16 }, counts);
            } else {
                counts.created += 1;
                counts.count(Fate::Dropped(Reason::NoBuffer));
            }
        }
        true
    }

    /// A frame of the host that another worker took up, because this one would own its conn.
    #[cold]
    pub(super) fn send_for_peer(&mut self, frame: P::Frame, port: u16, now: Now) {
        if let Some((parsed, reply)) = reply_of_conn(&self.shard, frame.bytes()) {
            self.shard.follow_host(&parsed, &reply, now);
        }
        self.egress.send(usize::from(port), frame, &mut self.shard.counts);
    }
}

/// What the host says from an address of services: it may be a conn's real server.
fn reply_of_conn(shard: &Shard, frame: &[u8]) -> Option<(Parsed, Key)> {
    let (mut parsed, mut reply) = (Parsed::NOTHING, no_key());
    // Whatever station it is for.
    let station = StationMac::new(*frame.first_chunk()?);
    classify(frame, 0, station, &mut parsed, &mut reply);
    let may_be = parsed.class == Class::Flow && shard.services.steering.has_flows(reply.src());
    may_be.then_some((parsed, reply))
}
