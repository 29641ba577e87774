//! What the director says itself: echo replies, RSTs and ICMP errors, as a host answers for its own addresses and as a
//! router does for what it cannot forward. Rate-limited, and never about something that must not be answered.

use super::Worker;
use super::held::Towards;
use super::reassemble::{Whole, is_chain};
use crate::fragments::Cut;
use crate::neigh::Route;
use crate::pipeline::classify::ETHERNET_BYTES;
use crate::pipeline::{Fate, Now, Parsed, Reason, Tell};
use crate::port::{Frame, Port};
use crate::rewrite::icmp::{self, Cause};
use crate::rewrite::reset::{reset, reset_of_pieces};
use crate::wire::{self, protocol};
use conntrack::Key;
use std::net::IpAddr;

/// Longest answer made in place, Ethernet header included. (An echo reply is as long as its request and has its own frame.)
const ROOM_BYTES: usize = ETHERNET_BYTES + icmp::ERROR_BYTES_MAX;

/// What became of an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// It is on its way.
    Yes,
    /// There is nothing to say: RFCs forbid it.
    Nothing,
    /// Over the rate limit, no way back, or no buffer: the reason.
    Unsaid(Reason),
}

impl Said {
    /// What it means for the packet that asked.
    pub(super) fn fate(self) -> Fate {
        match self {
            Said::Yes | Said::Nothing => Fate::Consumed,
            Said::Unsaid(reason) => Fate::Dropped(reason),
        }
    }
}

impl<P: Port> Worker<P> {
    /// A packet that no service takes: the host's, if it has the address.
    pub(super) fn local(&mut self, port: usize, frame: P::Frame, parsed: &Parsed, now: Now) {
        let (_, destination) = addresses(&frame.bytes()[usize::from(parsed.l3)..]);
        match self.is_hosts(port, destination) {
            true => self.pass(port, &frame),
            false => self.answer(port, frame, parsed, now),
        }
    }

    /// A packet that neither a conn nor the host takes. For an own address it is answered as a host does, for another one it
    /// is routed.
    pub(super) fn answer(&mut self, port: usize, frame: P::Frame, parsed: &Parsed, now: Now) {
        let (_, destination) = addresses(&frame.bytes()[usize::from(parsed.l3)..]);
        match self.shard.next_hops.is_local(destination) {
            true => self.answer_own(port, frame, parsed, now),
            false => self.route(port, frame, parsed, None, now),
        }
    }

    /// A packet for an own address at which nothing listens.
    pub(super) fn answer_own(&mut self, port: usize, frame: P::Frame, parsed: &Parsed, now: Now) {
        let mut room = [0; icmp::ERROR_BYTES_MAX];
        let l3 = packet(&frame, parsed, &mut room);
        let l4 = parsed.header_bytes();
        let fate = match parsed.protocol {
            protocol::TCP => {
                let said = self.say(port, l3, now, |room, _| match is_chain(&frame, parsed) {
                    true => {
                        let first = &frame.bytes()[usize::from(parsed.l4)..];
                        let pieces = std::iter::once(first).chain(frame.segments().skip(1));
                        reset_of_pieces(room, l3, l4, parsed.ip_bytes() - l4, pieces)
                    }
                    false => reset(room, l3, l4),
                });
                if said == Said::Yes
                    && self.shard.has_ending()
                    && let Some(key) = tcp_flow(l3, l4)
                {
                    self.shard.saw_own_reset(&key, now);
                }
                said.fate()
            }
            protocol::UDP => self.tell(port, l3, Cause::PortUnreachable, now).fate(),
            // The other family's ICMP is a protocol like any other, and classify has not seen a header of it.
            protocol::ICMP | protocol::ICMPV6 if (parsed.protocol == protocol::ICMPV6) == parsed.v6 => {
                match is_chain(&frame, parsed) {
                    true => self.echo_long(port, frame, parsed, now),
                    false => self.echo(port, &frame, parsed, now),
                }
            }
            _ => {
                let said = self.tell(port, l3, Cause::ProtocolUnreachable, now);
                self.note(said);
                Fate::Dropped(Reason::OtherProtocol)
            }
        };
        self.shard.counts.count(fate);
    }

    /// A packet that goes no further: its sender is told, if there is something to say.
    #[cold]
    pub(super) fn refuse(
        &mut self,
        port: usize,
        frame: P::Frame,
        parsed: &Parsed,
        reason: Reason,
        tell: Option<Tell>,
        now: Now,
    ) {
        self.shard.counts.count(Fate::Dropped(reason));
        let cause = match tell {
            Some(Tell::PortUnreachable) => Cause::PortUnreachable,
            Some(Tell::HostUnreachable) => Cause::HostUnreachable,
            Some(Tell::NetworkUnreachable) => Cause::NetworkUnreachable,
            Some(Tell::TimeExceeded) => Cause::TimeExceeded,
            Some(Tell::TooBig(mtu)) => Cause::TooBig { mtu: u32::from(mtu) },
            None => return,
        };
        let mut quoted = [0; icmp::ERROR_BYTES_MAX];
        let quoted = packet(&frame, parsed, &mut quoted);
        let said = match self.shard.next_hops.is_local(addresses(quoted).0) {
            true => self.tell_real_server(port, &frame.bytes()[..ETHERNET_BYTES], quoted, cause, now),
            false => self.tell(port, quoted, cause, now),
        };
        self.note(said);
    }

    /// An ICMP error about what a server answered: a DR or TUN server from the VIP and by way of the director, or a NAT server in
    /// fragments that are too long together. It is for the VIP, and takes the way of any error that a router sends there: to the
    /// conn's real server (recorded).
    #[cold]
    fn tell_real_server(&mut self, port: usize, ethernet: &[u8], packet: &[u8], cause: Cause, now: Now) -> Said {
        // Between own addresses an IPv4 host has but one (recorded).
        let (vip, _) = addresses(packet);
        let source = if vip.is_ipv4() { Some(vip) } else { self.shard.next_hops.source_towards(port as u16, vip) };
        let Some(source) = source else { return Said::Nothing };
        self.say_here(port, ethernet, now, |room, id| error_from(source, room, packet, cause, id))
    }

    /// Works on what `build` writes behind this burst, as if it had come like the frame with this Ethernet header.
    pub(super) fn say_here(
        &mut self,
        port: usize,
        ethernet: &[u8],
        now: Now,
        build: impl FnOnce(&mut [u8], u16) -> Option<usize>,
    ) -> Said {
        if !self.answers.allows(now.ms) {
            return Said::Unsaid(Reason::AnswerLimited);
        }
        let mut room = [0; ROOM_BYTES];
        room[..ETHERNET_BYTES].copy_from_slice(ethernet);
        let Some(bytes) = build(&mut room[ETHERNET_BYTES..], self.shard.random.u16(..)) else {
            self.answers.give_back();
            return Said::Nothing;
        };
        match self.egress.make(port, &room[..ETHERNET_BYTES + bytes], &mut self.shard.counts) {
            Some(made) => {
                self.whole.push(Whole { frame: made, port: port as u16, longest_fragment: 0 });
                Said::Yes
            }
            None => Said::Unsaid(Reason::NoBuffer),
        }
    }

    /// Counts an answer that was due to a packet with a fate of its own and was not made, as one that was made and dropped.
    pub(super) fn note(&mut self, said: Said) {
        if let Said::Unsaid(reason) = said {
            self.shard.counts.created += 1;
            self.shard.counts.count(Fate::Dropped(reason));
        }
    }

    /// An ICMP error about `packet`, to its sender. From the address it was for, if that is ours (IPv4); else, and with IPv6
    /// always, from the one that the sender is reached from: so the kernel does.
    pub(super) fn tell(&mut self, port: usize, packet: &[u8], cause: Cause, now: Now) -> Said {
        let (sender, destination) = addresses(packet);
        let next_hops = &self.shard.next_hops;
        let source = match destination {
            IpAddr::V4(_) if next_hops.is_local(destination) => Some(destination),
            _ => next_hops.source_towards(port as u16, sender),
        };
        match source {
            Some(source) => self.say(port, packet, now, |room, id| error_from(source, room, packet, cause, id)),
            None => Said::Unsaid(Reason::AnswerLimited),
        }
    }

    /// Sends what `build` writes to the sender of `packet`.
    pub(super) fn say(
        &mut self,
        port: usize,
        packet: &[u8],
        now: Now,
        build: impl FnOnce(&mut [u8], u16) -> Option<usize>,
    ) -> Said {
        let (sender, _) = addresses(packet);
        let Some((egress, towards)) = self.way_back(port, sender) else {
            return Said::Unsaid(Reason::AnswerLimited);
        };
        if !self.answers.allows(now.ms) {
            return Said::Unsaid(Reason::AnswerLimited);
        }
        let mut room = [0; ROOM_BYTES];
        let (ethernet, l3) = room.split_at_mut(ETHERNET_BYTES);
        let ethertype: [u8; 2] = if sender.is_ipv4() { [0x08, 0x00] } else { [0x86, 0xdd] };
        ethernet[12..].copy_from_slice(&ethertype);
        let Some(bytes) = build(l3, self.shard.random.u16(..)) else {
            self.answers.give_back();
            return Said::Nothing;
        };
        let made = self.egress.make(egress, &room[..ETHERNET_BYTES + bytes], &mut self.shard.counts);
        self.emit_made(made, towards, now)
    }

    /// An ICMP or ICMPv6 message to an own address: an echo request is answered, anything else is nobody's.
    fn echo(&mut self, port: usize, frame: &P::Frame, parsed: &Parsed, now: Now) -> Fate {
        let (l3, l4) = (usize::from(parsed.l3), parsed.header_bytes());
        if !asks_echo(&frame.bytes()[l3..], l4, parsed) {
            return Fate::Dropped(Reason::IcmpUnmatched);
        }
        let (sender, _) = addresses(&frame.bytes()[l3..]);
        let Some((egress, towards)) = self.way_back(port, sender) else {
            return Fate::Dropped(Reason::AnswerLimited);
        };
        if !self.answers.allows(now.ms) {
            return Fate::Dropped(Reason::AnswerLimited);
        }
        let id = self.shard.random.u16(..);
        let copy = &frame.bytes()[..parsed.end as usize];
        let made = self.egress.make(egress, copy, &mut self.shard.counts).map(|mut reply| {
            let bytes = icmp::echo_reply(&mut reply.bytes_mut()[l3..], 0, l4, id).unwrap_or(0);
            reply.truncate(l3 + bytes);
            reply
        });
        self.emit_made(made, towards, now).fate()
    }

    /// An echo request that came in fragments becomes its own reply, which leaves in as few as the way back takes (recorded).
    fn echo_long(&mut self, port: usize, mut frame: P::Frame, parsed: &Parsed, now: Now) -> Fate {
        let (l3, l4) = (usize::from(parsed.l3), parsed.header_bytes());
        if !asks_echo(&frame.bytes()[l3..], l4, parsed) {
            return Fate::Dropped(Reason::IcmpUnmatched);
        }
        let (sender, _) = addresses(&frame.bytes()[l3..]);
        let Some((egress, towards)) = self.way_back(port, sender) else {
            return Fate::Dropped(Reason::AnswerLimited);
        };
        let Some(mtu) = self.shard.next_hops.interface(egress as u16).map(|interface| interface.mtu) else {
            return Fate::Dropped(Reason::AnswerLimited);
        };
        if !self.answers.allows(now.ms) {
            return Fate::Dropped(Reason::AnswerLimited);
        }
        let id = self.shard.random.u32(..);
        let rest_bytes = frame.total_bytes() - frame.bytes().len();
        let Some(bytes) = icmp::echo_reply(&mut frame.bytes_mut()[l3..], rest_bytes, l4, id as u16) else {
            return Fate::Dropped(Reason::AnswerLimited);
        };
        frame.truncate(l3 + bytes - rest_bytes);
        self.shard.counts.created += 1;
        self.emit(frame, towards, Some(Cut { bytes_max: mtu, as_it_came: None, atomic: false, id }), now);
        Fate::Consumed
    }

    fn emit_made(&mut self, made: Option<P::Frame>, towards: Towards, now: Now) -> Said {
        match made {
            Some(frame) => {
                self.emit(frame, towards, None, now);
                Said::Yes
            }
            None => Said::Unsaid(Reason::NoBuffer),
        }
    }

    /// The way to the sender of something that came in by `port`.
    fn way_back(&self, port: usize, sender: IpAddr) -> Option<(usize, Towards)> {
        let next_hops = &self.shard.next_hops;
        match next_hops.route_on(port as u16, sender) {
            Route::Via(id) => Some((usize::from(next_hops.get(id)?.port), Towards::Hop(id))),
            Route::OnLink { port, address } => Some((usize::from(port), Towards::Neighbor { port, address })),
            Route::Local | Route::Nobody | Route::Unreachable => None,
        }
    }
}

/// Writes an ICMP error about `packet`, from an own address.
pub(super) fn error_from(source: IpAddr, room: &mut [u8], packet: &[u8], cause: Cause, id: u16) -> Option<usize> {
    match source {
        IpAddr::V4(source) => icmp::error(room, packet, cause, &source.octets(), id),
        IpAddr::V6(source) => icmp::error(room, packet, cause, &source.octets(), id),
    }
}

/// The IP packet in a frame. Of a chain, as much of it as an error quotes and answers need, copied into `room`.
pub(super) fn packet<'a, F: Frame>(frame: &'a F, parsed: &Parsed, room: &'a mut [u8]) -> &'a [u8] {
    let l3 = usize::from(parsed.l3);
    if !is_chain(frame, parsed) {
        return &frame.bytes()[l3..parsed.end as usize];
    }
    let mut filled = 0;
    let first = std::iter::once(&frame.bytes()[l3..]);
    for segment in first.chain(frame.segments().skip(1)) {
        let bytes = segment.len().min(room.len() - filled);
        room[filled..filled + bytes].copy_from_slice(&segment[..bytes]);
        filled += bytes;
    }
    &room[..filled]
}

/// Is the ICMP or ICMPv6 message an echo request?
fn asks_echo(l3: &[u8], l4: usize, parsed: &Parsed) -> bool {
    let request = if parsed.v6 { wire::icmp::v6::ECHO_REQUEST } else { wire::icmp::v4::ECHO_REQUEST };
    l3[l4] == request
}

/// The flow of a TCP segment that classify has seen.
fn tcp_flow(packet: &[u8], l4: usize) -> Option<Key> {
    let port = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    let (source, destination) = addresses(packet);
    Key::of((source, port(l4)), (destination, port(l4 + 2)), protocol::TCP)
}

/// Source and destination of a packet that classify has seen.
pub(super) fn addresses(packet: &[u8]) -> (IpAddr, IpAddr) {
    let v4 = |at: usize| IpAddr::from([packet[at], packet[at + 1], packet[at + 2], packet[at + 3]]);
    let v6 = |at: usize| IpAddr::from(std::array::from_fn::<u8, 16, _>(|i| packet[at + i]));
    match packet[0] >> 4 {
        4 => (v4(12), v4(16)),
        _ => (v6(8), v6(24)),
    }
}
