//! What becomes of a frame. Every frame has exactly one fate, every drop one named reason, every reason one counter:
//! "why is this packet dropped?" always has an answer.

/// The one end of a frame's way through a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Left by a port.
    Sent,
    /// Given to the host interface.
    Passed,
    /// Given to the worker that owns its flow.
    HandedOut,
    /// Used up here: ARP, neighbour discovery, a frame that was answered, fragments that became a packet, a packet that
    /// became fragments.
    Consumed,
    /// Waits for its next hop, or for other fragments.
    Held,
    /// Thrown away, and why.
    Dropped(Reason),
}

macro_rules! reasons {
    ($($name:ident = $text:literal: $meaning:literal,)*) => {
        /// Why a frame was dropped.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Reason { $(#[doc = $meaning] $name,)* }

        impl Reason {
            /// Every reason, in the order of its counter.
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)*];
            /// The reason's stable name, as `uvs show drops` prints it.
            pub const fn name(self) -> &'static str {
                match self { $(Reason::$name => $text,)* }
            }
            /// What happened, for a person.
            pub const fn meaning(self) -> &'static str {
                match self { $(Reason::$name => $meaning,)* }
            }
        }
    };
}

reasons! {
    Truncated = "truncated": "the frame ends inside a header, or before the length that its IP header gives",
    BadHeader = "bad_header": "a header field is impossible: version, header length, total length, extension chain",
    BadChecksum = "bad_checksum": "the checksum is wrong of an IPv4 header, or of an ICMP error that was to be translated",
    OtherMac = "other_mac": "the frame is addressed to another station",
    OtherEtherType = "other_ethertype": "neither IPv4, IPv6 nor ARP, or a VLAN tag where no port has a vlan",
    OtherVlan = "other_vlan": "a VLAN tag, or none, for which the device has no port",
    Multicast = "multicast": "an IP packet to a multicast or broadcast address that nothing here listens to",
    Martian = "martian": "a source address that no sender can have: multicast, broadcast, unspecified, loopback, or an own one",
    BadFragment = "bad_fragment": "a fragment that cannot be a part of a packet: impossible length, offset or end",
    FragmentOverlap = "fragment_overlap": "fragments of a packet overlap, so that nobody knows what it says",
    FragmentDuplicate = "fragment_duplicate": "the fragment was there already",
    FragmentTimeout = "fragment_timeout": "other fragments of the packet did not come in time",
    FragmentsFull = "fragments_full": "the oldest fragments made room for newer ones: too many wait, or too many of one sender",
    NotForUs = "not_for_us": "for another host, and no conn knows it: forward is false, or a marked service takes it",
    Unroutable = "unroutable": "source-routed; or for another host, but no router forwards it: link-local, or nobody's address",
    OtherProtocol = "other_protocol": "for an address of the director, of a protocol that it does not serve",
    IcmpUnmatched = "icmp_unmatched": "an ICMP message about no conn that is known here",
    NoServer = "no_server": "the service has no real server that can take a new conn",
    ServerGone = "server_gone": "the conn's real server was removed",
    DropPacket = "drop_packet": "the first packet of a flow, dropped by the setting drop_packet",
    ReplyUnmatched = "reply_unmatched": "a NAT real server's packet of no conn; the server was told (nat_icmp_send)",
    TableFull = "table_full": "the conn table holds conns_max conns",
    TemplatesFull = "templates_full": "the persistence templates hold templates_max entries",
    LocalPorts = "local_ports": "no local address has a free port towards the real server",
    NoRoute = "no_route": "no connected subnet, route or gateway leads to the destination",
    NeighborFailed = "neighbor_failed": "the next hop does not answer ARP or neighbour discovery",
    HeldFull = "held_full": "too many frames wait for their next hops already",
    HeldTooLong = "held_too_long": "the frame waited for its next hop longer than its time limit",
    TtlExpired = "ttl_expired": "the TTL or hop limit is used up",
    TooBig = "too_big": "longer than the path takes; the sender was told (fragmentation needed, packet too big)",
    NarrowTunnel = "narrow_tunnel": "the way to a real server in an IPv6 tunnel has no room for a packet of 1280 bytes",
    NoHeadroom = "no_headroom": "the device left no room in front of the frame for a tunnel header or a VLAN tag",
    HandoffFull = "handoff_full": "the ring to the worker that owns the flow, or that can transmit, was full",
    TxRefused = "tx_refused": "the device refused to transmit",
    AnswerLimited = "answer_limited": "an answer of the director's own was due but over its rate limit, or not to be had",
    NoBuffer = "no_buffer": "a frame of the director's own, of the host's, or a fragment was due, but every buffer was in use",
    HostFull = "host_full": "a frame for the host interface found the ring to it full",
    HostTooLong = "host_too_long": "a reassembled packet for the host is longer than any frame of a port",
    ControlBusy = "control_busy": "an ARP or neighbour discovery frame found the ring to control full",
    Stopped = "stopped": "the director stopped while the frame waited",
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_reason_has_its_own_name_and_counter() {
        let names: HashSet<_> = Reason::ALL.iter().map(|r| r.name()).collect();
        assert_eq!(names.len(), Reason::ALL.len());
        for (index, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index, "{}", reason.name());
        }
    }
}
