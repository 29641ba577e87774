//! The bounded rings between a worker and control. Neither waits for the other: what finds a ring full is dropped and
//! counted (ARP and neighbour discovery), or comes again by itself (everything else).

use crate::local_ports::Failure;
use crate::neigh::{NextHopId, SLOTS_MAX};
use crate::wire::protocol;
use arrayvec::ArrayVec;
use conntrack::{Conn, Table, TemplateId, Tick};
use control::ConnFilter;
use control::show::Protocol;
use std::net::{IpAddr, SocketAddr};

/// Longest frame that goes through a ring: ARP and neighbour discovery messages with their options are shorter.
pub const FRAME_BYTES_MAX: usize = 256;
/// ARP and neighbour discovery frames on their way to control.
const NEIGHBORS_MAX: usize = 512;
/// Other reports on their way to control.
const REPORTS_MAX: usize = 512;
/// Orders on their way to a worker.
const ORDERS_MAX: usize = 512;
/// Conns in one answer to a listing.
pub const LISTING_CONNS: usize = 256;
/// Places of the table that a worker looks at for one answer: some 20 µs away from its queues.
const LISTING_PLACES: usize = 2_048;

/// A frame in a ring.
pub type SmallFrame = ArrayVec<u8, FRAME_BYTES_MAX>;

/// An ARP or neighbour discovery frame that a worker received.
pub struct NeighborFrame {
    /// The port it came by.
    pub port: u16,
    /// The frame.
    pub frame: SmallFrame,
}

/// What else a worker tells control.
pub enum Report {
    /// A frame waits for this neighbour.
    Wanted {
        /// The port it is on.
        port: u16,
        /// Its address.
        address: IpAddr,
    },
    /// Local ports ran out.
    LocalPorts(Failure),
    /// drop_entry ended this template's last conn, and none of them was ever established.
    Unused(TemplateId),
}

/// What control tells a worker.
#[expect(clippy::large_enum_variant, reason = "a box would make the worker free memory")]
pub enum Order {
    /// Transmit this frame.
    Send {
        /// By which port.
        port: u16,
        /// The frame.
        frame: SmallFrame,
    },
    /// List conns into this buffer and give it back.
    List(Box<Listing>),
    /// End the conns of removed servers.
    EndOrphans,
}

/// A buffer for a part of a worker's conn table. Control makes it and frees it; the worker fills it.
pub struct Listing {
    /// The worker's number.
    pub worker: usize,
    /// The first place of the table to look at.
    pub asked_from: usize,
    /// The first place not looked at; none: the whole table was.
    pub next: Option<usize>,
    /// Which conns are wanted.
    pub filter: ConnFilter,
    /// Conns and the ticks they have left.
    pub conns: ArrayVec<(Conn, u32), LISTING_CONNS>,
}

impl Listing {
    /// An empty buffer for the conns from this place on.
    pub fn new(worker: usize, asked_from: usize, filter: ConnFilter) -> Box<Self> {
        Box::new(Self { worker, asked_from, next: None, filter, conns: ArrayVec::new() })
    }

    /// Fills the buffer from the next places of the table.
    pub fn fill(&mut self, table: &Table, now: Tick) {
        let end = (self.asked_from + LISTING_PLACES).min(table.conns_max());
        let mut next = end;
        let all = self.filter == ConnFilter::default();
        for (id, conn) in table.listing(self.asked_from, LISTING_PLACES, now) {
            if !all && !takes(&self.filter, conn) {
                continue;
            }
            if self.conns.is_full() {
                next = id.0 as usize;
                break;
            }
            self.conns.push((*conn, conn.ticks_left(now)));
        }
        self.next = (next < table.conns_max()).then_some(next);
    }
}

fn takes(filter: &ConnFilter, conn: &Conn) -> bool {
    let [client, vip, server] = [conn.client(), conn.vip(), conn.real_server()].map(SocketAddr::from);
    filter.takes(shown_protocol(conn.protocol()), client, vip, server)
}

/// A protocol's number as it is shown.
pub fn shown_protocol(number: u8) -> Protocol {
    match number {
        protocol::TCP => Protocol::Tcp,
        protocol::UDP => Protocol::Udp,
        protocol::SCTP => Protocol::Sctp,
        protocol::ICMP => Protocol::Icmp,
        protocol::ICMPV6 => Protocol::Icmpv6,
        _ => Protocol::Ip,
    }
}

/// The worker's ends.
pub struct WorkerRings {
    /// Orders to obey.
    pub orders: rtrb::Consumer<Order>,
    /// Reports to make.
    pub reports: rtrb::Producer<Report>,
    neighbors: rtrb::Producer<NeighborFrame>,
    /// Filled buffers on their way back: as many as orders at once, so a worker never has to free one.
    listings: rtrb::Producer<Box<Listing>>,
    /// Next hops that control was asked for since the last housekeeping, one bit each: a flood towards a next hop that is
    /// not ready makes one report, not a million.
    asked: Box<[u64; SLOTS_MAX / 64]>,
}

/// Control's ends.
pub struct ControlRings {
    /// Orders to give.
    pub orders: rtrb::Producer<Order>,
    /// Reports to hear.
    pub reports: rtrb::Consumer<Report>,
    /// ARP and neighbour discovery frames to look at.
    pub neighbors: rtrb::Consumer<NeighborFrame>,
    /// Parts of the conn table that were asked for.
    pub listings: rtrb::Consumer<Box<Listing>>,
}

/// The rings of one worker, both ends.
pub fn rings() -> (WorkerRings, ControlRings) {
    let (order_in, orders) = rtrb::RingBuffer::new(ORDERS_MAX);
    let (reports, report_out) = rtrb::RingBuffer::new(REPORTS_MAX);
    let (neighbors, neighbor_out) = rtrb::RingBuffer::new(NEIGHBORS_MAX);
    let (listings, listing_out) = rtrb::RingBuffer::new(ORDERS_MAX);
    let asked = Box::new([0; SLOTS_MAX / 64]);
    let worker = WorkerRings { orders, reports, neighbors, listings, asked };
    (worker, ControlRings { orders: order_in, reports: report_out, neighbors: neighbor_out, listings: listing_out })
}

impl WorkerRings {
    /// Gives back a filled buffer.
    pub fn give_back(&mut self, listing: Box<Listing>) {
        if let Err(rtrb::PushError::Full(listing)) = self.listings.push(listing) {
            // Control asked for more than it fetches, which it does not; better a leak than a worker that frees memory.
            std::mem::forget(listing);
        }
    }

    /// Copies an ARP or neighbour discovery frame to control. False: no room.
    pub fn report_neighbor(&mut self, port: u16, frame: &[u8]) -> bool {
        let mut copy = SmallFrame::new();
        // No message that control understands is longer; of a longer one the front is enough to see that.
        copy.extend(frame.iter().copied().take(FRAME_BYTES_MAX));
        self.neighbors.push(NeighborFrame { port, frame: copy }).is_ok()
    }

    /// Tells control that a frame waits for a neighbour that has no next hop yet.
    pub fn want(&mut self, port: u16, address: IpAddr) {
        // A full ring: the next frame asks again.
        drop(self.reports.push(Report::Wanted { port, address }));
    }

    /// Tells control, once between two housekeepings, that a frame waits for a next hop.
    pub fn want_hop(&mut self, id: NextHopId, port: u16, address: IpAddr) {
        let (word, bit) = (&mut self.asked[id.slot() / 64], 1 << (id.slot() % 64));
        if *word & bit == 0 {
            *word |= bit;
            self.want(port, address);
        }
    }

    /// Next hops may be asked for again.
    pub fn forget_asked(&mut self) {
        self.asked.fill(0);
    }
}
