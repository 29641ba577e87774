//! Fragments at a worker: they wait for each other at the owner of their packet; the whole packet then goes the way of all
//! packets, at the owner of its flow.

use super::{Class, Worker};
use crate::fragments::Joined;
use crate::pipeline::{Batch, Fate, Now, Parsed, Reason, Tell};
use crate::port::{Burst, Frame, Port};
use crate::rewrite::icmp::Cause;
use crate::rewrite::ttl;
use crate::wire::Ipv4;
use conntrack::Key;

/// A packet to be worked on behind a burst.
pub(super) struct Whole<F> {
    /// The packet: a chain, or one segment.
    pub frame: F,
    /// The port that it, or its last fragment, came by.
    pub port: u16,
    /// Bytes of the longest fragment that it came in. 0: of none.
    pub longest_fragment: u16,
}

impl<P: Port> Worker<P> {
    /// A fragment. If its packet is whole now, that is worked on behind this burst.
    #[cold]
    pub(super) fn reassemble(&mut self, frame: P::Frame, parsed: &Parsed, key: &Key, now: Now) {
        if let Some(mtu) = self.too_long_alone(&frame, parsed, key) {
            let tell = Some(Tell::TooBig(mtu));
            return self.refuse(parsed.port.into(), frame, parsed, Reason::TooBig, tell, now);
        }
        let counts = &mut self.shard.counts;
        let dropped = |reason: Reason| counts.count(Fate::Dropped(reason));
        if let Some(Joined { frame, fragments, longest }) = self.fragments.add(frame, parsed, key, now.ms, dropped) {
            self.shard.counts.consumed += fragments;
            self.shard.counts.created += 1;
            self.whole.push(Whole { frame, port: parsed.port.into(), longest_fragment: longest });
        }
    }

    /// A fragment of IPv4 for another host that must not be cut further, though its way takes no more than this. The kernel's
    /// router meets it before IPVS does (recorded).
    fn too_long_alone(&self, frame: &P::Frame, parsed: &Parsed, key: &Key) -> Option<u16> {
        let next_hops = &self.shard.next_hops;
        let bytes = parsed.ip_bytes();
        if parsed.v6 || bytes <= usize::from(next_hops.mtu_min()) || parsed.ttl <= 1 {
            return None;
        }
        let ip = Ipv4::of(&frame.bytes()[usize::from(parsed.l3)..])?;
        let mtu = next_hops.mtu_towards(key.dst()).filter(|_| ip.dont_fragment())?;
        (bytes > usize::from(mtu)).then_some(mtu)
    }

    /// The packets that a burst's fragments made whole go to the owners of their flows.
    #[cold]
    pub(super) fn hand_out_whole(&mut self, now: Now) {
        let whole = std::mem::take(&mut self.whole);
        let (mut batch, mut frames) = self.classify_whole(whole);
        if !self.shard.services.steering.is_single() {
            self.hand_out(&mut batch, &mut frames);
        }
        self.walk(&mut batch, &mut frames, now);
    }

    /// Works on whole packets of flows that are this worker's.
    #[cold]
    pub(super) fn walk_whole(&mut self, whole: Burst<Whole<P::Frame>>, now: Now) {
        let (mut batch, mut frames) = self.classify_whole(whole);
        self.walk(&mut batch, &mut frames, now);
    }

    fn classify_whole(&self, whole: Burst<Whole<P::Frame>>) -> (Batch, Burst<P::Frame>) {
        let (mut batch, mut frames) = (Batch::default(), Burst::new());
        for Whole { frame, port, longest_fragment } in whole {
            let first = frame.bytes();
            let rest_bytes = frame.total_bytes() - first.len();
            batch.add_whole(first, rest_bytes, longest_fragment, port as u8, self.egress.mac(usize::from(port)));
            frames.push(frame);
        }
        (batch, frames)
    }

    /// Lets go fragments that have waited too long. The sender of a packet's first one is told (RFC 1122, section 3.3.2, RFC
    /// 8200, section 4.5).
    pub(super) fn expire_fragments(&mut self, now: Now) {
        while let Some(expired) = self.fragments.take_expired(now.ms) {
            self.shard.counts.dropped[Reason::FragmentTimeout as usize] += expired.fragments;
            if let Some((mut frame, parsed)) = expired.first {
                frame.truncate(parsed.end as usize);
                let l3 = &mut frame.bytes_mut()[usize::from(parsed.l3)..];
                let (_, destination) = super::answer::addresses(l3);
                // One that was to be forwarded is quoted as far as it had come; IPv6 as it came (recorded).
                if !parsed.v6 && !self.shard.next_hops.is_local(destination) {
                    ttl::decrement(l3);
                }
                self.tell(usize::from(parsed.port), l3, Cause::ReassemblyTimeExceeded, now);
            }
        }
    }
}

/// Is this frame only the first segment of what classify saw?
#[inline]
pub(super) fn is_chain<F: Frame>(frame: &F, parsed: &Parsed) -> bool {
    frame.bytes().len() < parsed.end as usize && !matches!(parsed.class, Class::Neighbor | Class::Refused(_))
}
