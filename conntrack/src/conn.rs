//! A conn: what is remembered of one flow. 128 bytes of plain data, two cache lines, no pointers.
//!
//! An IPv4 packet of an established flow needs only the first line; IPv6 addresses fill the second. What the inbound and
//! the outbound key consist of lies in pairs, so that one compare verifies either:
//!
//! ```text
//!   0  v4 pair inbound  | client 4 | vip 4 |      16  ports | client | vip | server | local |
//!   8  v4 pair outbound | server 4 | local 4 |    24  server id, next hops, last seen, time-out, wheel links,
//!  64  v6 pair inbound  | client 16 | vip 16 |        template, extended            60  protocol state method flags
//!  96  v6 pair outbound | server 16 | local 16 |
//! ```
//!
//! `local` is the address that the server sees as its peer: the director's own in FullNAT, the client's in NAT. So the
//! outbound key is (server → local) in both.

use std::net::IpAddr;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::key::{Key, address};
use crate::templates::TemplateId;
use crate::tick::Tick;
use crate::timers::{Links, Timed};

mod new;
mod packets;
pub use new::NewConn;

/// Which conn of a worker's table: an index that stays valid until the conn is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub u32);

/// Which way a packet goes: inbound is client to real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Direction {
    /// Client → real server.
    Inbound = 0,
    /// Real server → client.
    Outbound = 1,
}

/// How a conn's packets reach the real server. Zero in memory means that the place is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Method {
    /// Destination translated; replies come back through the director.
    Nat = 1,
    /// Only the link-layer destination changes.
    Dr = 2,
    /// Sent in a tunnel.
    Tun = 3,
    /// Source and destination translated.
    FullNat = 4,
    /// Delivered to the director's own host.
    Local = 5,
    /// Sent on as it is, past the service.
    Bypass = 6,
}

impl Method {
    /// Whether replies come back through the director and have an index entry of their own.
    #[inline(always)]
    pub const fn sees_replies(self) -> bool {
        matches!(self, Method::Nat | Method::FullNat)
    }

    const fn of(number: u8) -> Option<Method> {
        Some(match number {
            1 => Method::Nat,
            2 => Method::Dr,
            3 => Method::Tun,
            4 => Method::FullNat,
            5 => Method::Local,
            6 => Method::Bypass,
            _ => return None,
        })
    }
}

/// What is remembered of one flow.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(64))]
pub struct Conn {
    v4: [[u8; 8]; 2],
    ports: [[u16; 2]; 2],
    /// The real server, by the caller's number.
    pub server: u32,
    /// Where inbound packets leave, by the caller's number.
    pub next_hop_inbound: u32,
    /// Where outbound packets leave, by the caller's number.
    pub next_hop_outbound: u32,
    last_seen: Tick,
    timeout: u32,
    links: Links,
    template: u32,
    /// Place in the side slab, meaningful while [`Conn::is_extended`].
    pub extended: u32,
    protocol: u8,
    /// State of the protocol, a number of [`crate::states`].
    pub state: u8,
    /// The method, and above it the packets of the client ([`Conn::packets`]). 0: the place is free.
    method: u8,
    flags: u8,
    v6: [[u8; 32]; 2],
}

const _: () = assert!(size_of::<Conn>() == 128 && align_of::<Conn>() == 64);
const _: () = assert!(std::mem::offset_of!(Conn, flags) == 63 && std::mem::offset_of!(Conn, v6) == 64);

/// A set of these is a conn's `flags`.
mod flag {
    pub const CLIENT_V6: u8 = 1;
    pub const SERVER_V6: u8 = 2;
    pub const OUTBOUND_ENTRY: u8 = 4;
    pub const ONE_PACKET: u8 = 8;
    pub const EXTENDED: u8 = 16;
    pub const TRACED: u8 = 32;
    pub const ACTIVE: u8 = 64;
    pub const REPLIES_SEEN: u8 = 128;
}

const NO_TEMPLATE: u32 = u32::MAX;

impl Conn {
    /// The client's address and port.
    pub fn client(&self) -> (IpAddr, u16) {
        (address(self.client_bytes()), self.client_port())
    }

    /// The virtual address and port that the client speaks to.
    pub fn vip(&self) -> (IpAddr, u16) {
        (address(self.vip_bytes()), self.vip_port())
    }

    /// The real server's address and port.
    pub fn real_server(&self) -> (IpAddr, u16) {
        (address(self.server_bytes()), self.server_port())
    }

    /// The peer that the real server sees: a local address in FullNAT, the client in NAT, unspecified otherwise.
    pub fn local(&self) -> (IpAddr, u16) {
        (address(self.local_bytes()), self.local_port())
    }

    /// The client's address as in a header, 4 or 16 bytes.
    #[inline(always)]
    pub fn client_bytes(&self) -> &[u8] {
        self.half(Direction::Inbound, 0)
    }

    /// The VIP as in a header, 4 or 16 bytes.
    #[inline(always)]
    pub fn vip_bytes(&self) -> &[u8] {
        self.half(Direction::Inbound, 1)
    }

    /// The real server's address as in a header, 4 or 16 bytes.
    #[inline(always)]
    pub fn server_bytes(&self) -> &[u8] {
        self.half(Direction::Outbound, 0)
    }

    /// The address that the real server sees, as in a header, 4 or 16 bytes.
    #[inline(always)]
    pub fn local_bytes(&self) -> &[u8] {
        self.half(Direction::Outbound, 1)
    }

    /// The client's port.
    #[inline(always)]
    pub fn client_port(&self) -> u16 {
        self.ports[0][0]
    }

    /// The port of the virtual service.
    #[inline(always)]
    pub fn vip_port(&self) -> u16 {
        self.ports[0][1]
    }

    /// The real server's port.
    #[inline(always)]
    pub fn server_port(&self) -> u16 {
        self.ports[1][0]
    }

    /// The port that the real server sees.
    #[inline(always)]
    pub fn local_port(&self) -> u16 {
        self.ports[1][1]
    }

    /// The key of the client's packets.
    #[inline(always)]
    pub fn inbound_key(&self) -> Key {
        self.key(Direction::Inbound)
    }

    /// The key of the real server's packets, if they come back through the director.
    #[inline(always)]
    pub fn outbound_key(&self) -> Option<Key> {
        self.has_outbound_entry().then(|| self.key(Direction::Outbound))
    }

    /// The IP protocol number.
    #[inline(always)]
    pub fn protocol(&self) -> u8 {
        self.protocol
    }

    /// The tick of the last packet.
    #[inline(always)]
    pub fn last_seen(&self) -> Tick {
        self.last_seen
    }

    /// A packet passed: the deadline moves with it. The wheel learns of it when the old one comes up.
    #[inline(always)]
    pub fn touch(&mut self, now: Tick) {
        self.last_seen = now;
    }

    /// Ticks without a packet after which the conn ends.
    #[inline(always)]
    pub fn timeout(&self) -> u32 {
        self.timeout
    }

    /// Whether the deadline has come: such a conn is dead, whether or not the wheel has come by.
    #[inline(always)]
    pub fn is_dead(&self, now: Tick) -> bool {
        now.since(self.deadline()) >= 0
    }

    /// Ticks until the deadline; 0 when it has passed.
    pub fn ticks_left(&self, now: Tick) -> u32 {
        self.deadline().since(now).max(0) as u32
    }

    /// The persistence template that this conn belongs to.
    pub fn template(&self) -> Option<TemplateId> {
        (self.template != NO_TEMPLATE).then_some(TemplateId(self.template))
    }

    /// Whether the client's side is IPv6.
    #[inline(always)]
    pub fn is_client_v6(&self) -> bool {
        self.has(flag::CLIENT_V6)
    }

    /// Whether the real server's side is IPv6.
    #[inline(always)]
    pub fn is_server_v6(&self) -> bool {
        self.has(flag::SERVER_V6)
    }

    /// Whether replies have an index entry.
    #[inline(always)]
    pub fn has_outbound_entry(&self) -> bool {
        self.has(flag::OUTBOUND_ENTRY)
    }

    /// Whether the service schedules each packet by itself.
    #[inline(always)]
    pub fn is_one_packet(&self) -> bool {
        self.has(flag::ONE_PACKET)
    }

    /// Whether [`Conn::extended`] points into the side slab.
    #[inline(always)]
    pub fn is_extended(&self) -> bool {
        self.has(flag::EXTENDED)
    }

    /// Points to the side slab, or away from it.
    pub fn set_extended(&mut self, place: Option<u32>) {
        self.extended = place.unwrap_or(0);
        self.put(flag::EXTENDED, place.is_some());
    }

    /// Whether an operator follows this conn's packets.
    #[inline(always)]
    pub fn is_traced(&self) -> bool {
        self.has(flag::TRACED)
    }

    /// Starts or stops following this conn's packets.
    pub fn set_traced(&mut self, traced: bool) {
        self.put(flag::TRACED, traced);
    }

    /// Whether the server counts this conn as active (else inactive).
    #[inline(always)]
    pub fn is_active(&self) -> bool {
        self.has(flag::ACTIVE)
    }

    /// Notes how the server counts this conn.
    #[inline(always)]
    pub fn set_active(&mut self, active: bool) {
        self.put(flag::ACTIVE, active);
    }

    /// Whether replies of a conn without an outbound key passed by: its server answers by way of the director.
    #[inline(always)]
    pub fn are_replies_seen(&self) -> bool {
        self.has(flag::REPLIES_SEEN)
    }

    /// Notes that a reply passed by.
    pub fn set_replies_seen(&mut self) {
        self.put(flag::REPLIES_SEEN, true);
    }

    /// Whether this place of the slab holds a conn at all.
    #[inline(always)]
    pub(crate) fn is_in_use(&self) -> bool {
        self.method != 0
    }

    /// Makes this place free.
    #[inline(always)]
    pub(crate) fn clear(&mut self) {
        self.method = 0;
    }

    /// Whether `key` is this conn's key of that direction.
    #[inline(always)]
    pub(crate) fn matches(&self, key: &Key, direction: Direction) -> bool {
        let way = direction as usize;
        let v6 = self.is_v6(direction);
        if self.ports[way] != key.ports || self.protocol != key.protocol || v6 != key.is_v6() {
            return false;
        }
        if v6 { self.v6[way] == key.addresses } else { self.v4[way] == key.addresses[..8] }
    }

    #[inline(always)]
    pub(crate) fn key(&self, direction: Direction) -> Key {
        let way = direction as usize;
        Key::from_pairs(self.is_v6(direction), &self.v4[way], &self.v6[way], self.ports[way], self.protocol)
    }

    /// Where the IPv6 half of a key lies: the second line.
    #[inline(always)]
    pub(crate) fn v6_pair(&self, direction: Direction) -> &[u8; 32] {
        &self.v6[direction as usize]
    }

    pub(crate) fn set_timer(&mut self, now: Tick, timeout: u32) {
        self.last_seen = now;
        self.timeout = timeout.min(Tick::DISTANCE_MAX);
    }

    #[inline(always)]
    fn is_v6(&self, direction: Direction) -> bool {
        self.flags & (flag::CLIENT_V6 << direction as u8) != 0
    }

    #[inline(always)]
    fn half(&self, direction: Direction, which: usize) -> &[u8] {
        let way = direction as usize;
        if self.is_v6(direction) { &self.v6[way][which * 16..][..16] } else { &self.v4[way][which * 4..][..4] }
    }

    #[inline(always)]
    fn has(&self, bit: u8) -> bool {
        self.flags & bit != 0
    }

    #[inline(always)]
    fn put(&mut self, bit: u8, on: bool) {
        self.flags = if on { self.flags | bit } else { self.flags & !bit };
    }
}

impl Timed for Conn {
    #[inline(always)]
    fn deadline(&self) -> Tick {
        self.last_seen.after(self.timeout)
    }

    #[inline(always)]
    fn links(&mut self) -> &mut Links {
        &mut self.links
    }
}

impl std::fmt::Debug for Conn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} conn {:?} server {:?}", self.method(), self.inbound_key(), self.real_server())
    }
}
