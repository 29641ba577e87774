//! The worker's side of the host interface: what it gives to the host, and what it sends for it. No system call, no memory taken:
//! a copy into a ring, or a drop with a name. The host comes last: a worker that has other work sends few of its frames a turn.

use super::Worker;
use super::peers::Handed;
use super::reassemble::Whole;
use crate::host::ring::Unpassed;
use crate::pipeline::classify::{StationMac, classify, no_key};
use crate::pipeline::{Class, Fate, Now, Parsed, Reason, Shard};
use crate::port::{BURST, Frame, Port};
use crate::rewrite::ttl;
use conntrack::Key;
use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;

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

    /// Sends what the host wants sent. What it says as a conn's real server goes through the conn's owner. True: there was
    /// something.
    pub(super) fn send_for_host(&mut self, busy: bool, now: Now) -> bool {
        let count = if busy { FRAMES_PER_BUSY_TURN } else { BURST };
        for number in 0..count {
            let Some((port, frame)) = self.host.take(&mut self.host_room) else { return number > 0 };
            let (port, reply, own) = (usize::from(port), Reply::of(&self.shard, frame), self.egress.peers.own);
            let counts = &mut self.shard.counts;
            let Some(frame) = self.egress.make(port, frame, counts) else {
                counts.created += 1;
                counts.count(Fate::Dropped(Reason::NoBuffer));
                continue;
            };
            match reply {
                Some(reply) if reply.owner == own => self.send_reply(frame, port, &reply, now),
                Some(reply) => self.egress.hand(reply.owner, Handed::OfHost { frame, port: port as u16 }, counts),
                None => self.egress.send(port, frame, counts),
            }
        }
        true
    }

    /// A frame of the host that another worker took up, because this one would own its conn.
    #[cold]
    pub(super) fn send_for_peer(&mut self, frame: P::Frame, port: u16, now: Now) {
        match Reply::of(&self.shard, frame.bytes()) {
            Some(reply) => self.send_reply(frame, port.into(), &reply, now),
            None => self.egress.send(port.into(), frame, &mut self.shard.counts),
        }
    }

    /// What the host says as a NAT conn's real server is a reply like any other, but that no hop is behind it yet. All else leaves
    /// as it is; a conn of a real server at home hears of it.
    #[cold]
    fn send_reply(&mut self, mut frame: P::Frame, port: usize, reply: &Reply, now: Now) {
        if !self.shard.is_translated(&reply.key, now) {
            self.shard.follow_host(&reply.parsed, &reply.key, now);
            return self.egress.send(port, frame, &mut self.shard.counts);
        }
        let mac = self.egress.mac(port).bytes();
        frame.bytes_mut()[..mac.len()].copy_from_slice(&mac);
        ttl::restore(&mut frame.bytes_mut()[usize::from(reply.parsed.l3)..]);
        let reply = Whole { frame, port: port as u16, longest_fragment: 0 };
        self.walk_whole([reply].into_iter().collect(), now);
    }
}

/// What the host says from an address that a real server may have.
struct Reply {
    parsed: Parsed,
    key: Key,
    /// The worker that owns its conn, if it has one.
    owner: usize,
}

impl Reply {
    fn of(shard: &Shard, frame: &[u8]) -> Option<Reply> {
        let (mut parsed, mut key) = (Parsed::NOTHING, no_key());
        // Whatever station it is for.
        let station = StationMac::new(*frame.first_chunk()?);
        classify(frame, 0, station, &mut parsed, &mut key);
        let steering = &shard.services.steering;
        let translated = || shard.shared.host_serves.load(Relaxed);
        let owner = match parsed.class {
            Class::Flow if steering.has_flows(key.src()) => steering.owner(&key.reversed()),
            Class::Flow | Class::IcmpError if translated() => steering.owner_from_own(&key),
            _ => return None,
        };
        Some(Reply { parsed, key, owner })
    }
}
