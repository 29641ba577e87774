//! The conns that a burst makes, between the decision and the table.
//!
//! Putting a conn into the table waits for memory: the bucket of its outbound key was never looked at. So admit decides on
//! the whole burst's conns first and asks for each bucket as it goes; then the conns are made, in the same order.
//!
//! ```text
//!  frame 0  service → server → outbound key ─ prefetch ┐        ┌ (local port →) insert
//!  frame 1  service → server → outbound key ─ prefetch ┤  ...   ├ (local port →) insert
//!     …                                                └────────┘
//! ```
//!
//! A frame that a planned conn may concern makes the plan good before it goes on: nothing is seen in another order than if
//! each conn were made at once. One thing differs: a pick does not see yet that an earlier frame of its burst found no local port.

use super::{Now, Reason, Shard, Step};
use crate::local_ports::Search;
use crate::port::BURST;
use crate::services::ServerId;
use arrayvec::ArrayVec;
use conntrack::{ConnId, Direction, Hit, Key, Method, NewConn};

/// Conns that are decided on and not in the table yet.
#[derive(Default)]
pub struct Planned {
    conns: ArrayVec<PlannedConn, BURST>,
    /// Hashes of their keys, both directions.
    hashes: ArrayVec<u64, { 2 * BURST }>,
}

struct PlannedConn {
    /// The place in the burst of the frame that starts it.
    frame: usize,
    conn: NewConn,
    /// FullNAT: where a local endpoint is looked for; none if there are no local addresses.
    search: Option<Search>,
}

impl Planned {
    /// How many.
    pub fn len(&self) -> usize {
        self.conns.len()
    }

    /// Might a packet with this hash be one of theirs?
    pub fn knows(&self, hash: u64) -> bool {
        self.hashes.contains(&hash)
    }
}

impl Shard {
    /// Plans the conn that frame `i` starts, and starts to load where its outbound key goes.
    pub(super) fn plan(&mut self, planned: &mut Planned, conn: NewConn, hash: u64, i: usize) {
        let (key, server) = (&conn.key, conn.real_server);
        let (search, peer) = match conn.method {
            Method::Nat if !conn.one_packet => (None, Some((key.src(), key.sport()))),
            Method::FullNat => {
                let addresses = self.services.policy.local_addresses(server.is_ipv6());
                let search = self.local_ports.begin(hash, addresses, ServerId(conn.server));
                (search, search.map(|search| self.local_ports.endpoint(&search, addresses, 0, 0)))
            }
            _ => (None, None),
        };
        planned.hashes.push(hash);
        if let Some(outbound) = peer.and_then(|peer| Key::of((server.ip(), server.port()), peer, key.protocol())) {
            planned.hashes.push(self.table.prefetch_key(&outbound));
        }
        planned.conns.push(PlannedConn { frame: i, conn, search });
    }

    /// Makes the planned conns. Their frames go along them, or are refused.
    #[inline]
    pub(super) fn make(&mut self, planned: &mut Planned, steps: &mut [Step], now: Now) {
        planned.hashes.clear();
        for PlannedConn { frame, conn, search } in planned.conns.drain(..) {
            steps[frame] = match self.insert(conn, search, now) {
                Ok(id) => Step::Forward(Hit { id, direction: Direction::Inbound }),
                Err(reason) => Step::Refuse(reason, None),
            };
        }
    }

    /// Puts a conn into the table that its server, and its template, count already.
    fn insert(&mut self, mut conn: NewConn, search: Option<Search>, now: Now) -> Result<ConnId, Reason> {
        let server = ServerId(conn.server);
        let id = match self.find_local(&mut conn, search, now) {
            Ok(()) => {
                self.counts.conns_made += 1;
                self.table.insert(conn.conn(), now.tick).map_err(|_| Reason::TableFull)
            }
            Err(reason) => Err(reason),
        };
        match id {
            Ok(id) => {
                self.traffic[server.0 as usize].conn();
                if conn.one_packet {
                    self.end(id);
                }
            }
            Err(_) => {
                self.shared.live.unbind(server, conn.active);
                if let Some(template) = conn.template {
                    self.shared.templates.release(template);
                }
            }
        }
        id
    }

    /// FullNAT: a free local endpoint towards the real server.
    fn find_local(&mut self, conn: &mut NewConn, search: Option<Search>, now: Now) -> Result<(), Reason> {
        if conn.method == Method::FullNat {
            let search = search.ok_or(Reason::LocalPorts)?;
            let addresses = self.services.policy.local_addresses(conn.real_server.is_ipv6());
            let found = self.local_ports.choose(&self.table, addresses, &search, conn, now.tick);
            conn.local = Some(found.ok_or(Reason::LocalPorts)?);
        }
        Ok(())
    }
}
