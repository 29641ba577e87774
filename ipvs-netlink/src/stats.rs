//! Counters and rates of a service or a real server, in the two forms in which the protocol has them.

use crate::attribute::Made;

/// Counters since the last zero, and rates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Conns.
    pub conns: u64,
    /// Packets of clients.
    pub inbound_packets: u64,
    /// Packets to clients.
    pub outbound_packets: u64,
    /// Bytes of clients.
    pub inbound_bytes: u64,
    /// Bytes to clients.
    pub outbound_bytes: u64,
    /// Conns a second.
    pub conns_per_s: u64,
    /// Packets of clients a second.
    pub inbound_packets_per_s: u64,
    /// Packets to clients a second.
    pub outbound_packets_per_s: u64,
    /// Bytes of clients a second.
    pub inbound_bytes_per_s: u64,
    /// Bytes to clients a second.
    pub outbound_bytes_per_s: u64,
}

impl std::ops::Add for Stats {
    type Output = Stats;

    fn add(self, other: Stats) -> Stats {
        Stats {
            conns: self.conns + other.conns,
            inbound_packets: self.inbound_packets + other.inbound_packets,
            outbound_packets: self.outbound_packets + other.outbound_packets,
            inbound_bytes: self.inbound_bytes + other.inbound_bytes,
            outbound_bytes: self.outbound_bytes + other.outbound_bytes,
            conns_per_s: self.conns_per_s + other.conns_per_s,
            inbound_packets_per_s: self.inbound_packets_per_s + other.inbound_packets_per_s,
            outbound_packets_per_s: self.outbound_packets_per_s + other.outbound_packets_per_s,
            inbound_bytes_per_s: self.inbound_bytes_per_s + other.inbound_bytes_per_s,
            outbound_bytes_per_s: self.outbound_bytes_per_s + other.outbound_bytes_per_s,
        }
    }
}

/// Bytes are whole even in the narrow form.
const NARROW_BYTES: [u16; 2] = [4, 5];

impl Stats {
    /// All ten numbers, each 32 bits but the bytes: what does not fit is cut off.
    pub(crate) fn narrow(&self) -> Made {
        self.numbered().fold(Made::default(), |made, (kind, number)| match NARROW_BYTES.contains(&kind) {
            true => made.u64(kind, number),
            false => made.u32(kind, number as u32),
        })
    }

    /// All ten numbers in 64 bits.
    pub(crate) fn wide(&self) -> Made {
        self.numbered().fold(Made::default(), |made, (kind, number)| made.u64(kind, number))
    }

    fn numbered(&self) -> impl Iterator<Item = (u16, u64)> {
        let counters = [
            self.conns,
            self.inbound_packets,
            self.outbound_packets,
            self.inbound_bytes,
            self.outbound_bytes,
            self.conns_per_s,
            self.inbound_packets_per_s,
            self.outbound_packets_per_s,
            self.inbound_bytes_per_s,
            self.outbound_bytes_per_s,
        ];
        (1..).zip(counters)
    }
}
