//! What a worker does against floods of new flows: drop some of their first packets (drop_packet), end conns that stay half
//! open and some of those that are idle (drop_entry), believe TCP less (secure_tcp). Each of the three never, always, or while
//! memory is short: while the free places of the worker's conn table are fewer than `amemthresh` pages of 4096 bytes. Looked
//! at once a second, as by the kernel.

use super::{Now, Shard};
use crate::services::{Defense, Policy};
use crate::wire::protocol;
use conntrack::states::{sctp, tcp};
use conntrack::{Conn, ConnId, Table, TemplateId, Tick};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Milliseconds between two looks at how short memory is.
const LOOK_MS: u64 = 1_000;
/// `amemthresh` counts in these.
const PAGE_BYTES: u128 = 4_096;
/// drop_entry looks at one of so many places a second.
const SWEEP_SHARE: usize = 32;
/// From so many seconds without a packet on a conn is idle.
const IDLE_S: u32 = 60;
/// A second's places are looked at in parts, one a turn: so many, or as many as get done in so many turns.
const SWEEP_PLACES: usize = 64;
const SWEEP_TURNS: usize = 1_000;

/// One worker's defences as they are now.
#[derive(Debug, Default)]
pub struct Defenses {
    /// TCP's stricter states are in force.
    pub secure_tcp: bool,
    /// Of so many first packets one is dropped. 0: none.
    drop_rate: u64,
    /// Half-open conns are ended, and some idle ones.
    drop_entry: bool,
    /// By the packets that idle conns had: how many of those are still to be passed over.
    spared: [u8; Conn::PACKETS_MAX as usize],
    /// Where the second's places begin that are still to be looked at, and how many they are.
    sweep_from: usize,
    sweep_places: usize,
    look_ms: u64,
}

impl Defenses {
    /// Other settings: looked at with the next turn.
    pub fn look_again(&mut self) {
        self.look_ms = 0;
    }

    /// Is this first packet of a flow one of those that are dropped? All workers count together, as they do conns. Another rate
    /// is in force from the next dropped one on (recorded).
    #[inline]
    pub fn drops_packet(&self, until_drop: &AtomicU64) -> bool {
        let next = |left: u64| Some(if left <= 1 { self.drop_rate } else { left - 1 });
        self.drop_rate > 0 && until_drop.fetch_update(Relaxed, Relaxed, next).is_ok_and(|left| left <= 1)
    }

    /// Which are up now.
    pub fn up(&self) -> Up {
        Up { drop_entry: self.drop_entry, drop_packet: self.drop_rate > 0, secure_tcp: self.secure_tcp }
    }

    /// Does drop_entry end this conn? Half-open ones always; of idle ones the first of those that had one packet, every second
    /// of those that had two, and so on; none that had more than eight (measured: `tests/oracle/scenarios/drop_entry.py`).
    fn drops_conn(&mut self, conn: &Conn, now: Tick) -> bool {
        match phase(conn) {
            Phase::HalfOpen => true,
            Phase::Open => {
                let idle = now.since(conn.last_seen()) >= Tick::of_seconds(IDLE_S) as i32;
                idle && self.spared.get_mut(conn.packets() as usize).is_some_and(|spared| take(spared, conn.packets()))
            }
            Phase::Ending => false,
        }
    }

    #[cold]
    fn look(&mut self, policy: &Policy, table: &Table, until_drop: &AtomicU64, random: u64) {
        let free = table.conns_max() - table.len();
        let missing = u64::from(policy.amemthresh).saturating_sub(pages_of_conns(free, table.conns_max()));
        let is_up = |defense| match defense {
            Defense::Never => false,
            Defense::WhenShort => missing > 0,
            Defense::Always => true,
        };
        self.secure_tcp = is_up(policy.secure_tcp);
        self.drop_entry = is_up(policy.drop_entry);
        match policy.drop_packet {
            // The last of so many (recorded).
            Defense::WhenShort if missing > 0 => {
                self.drop_rate = u64::from(policy.amemthresh) / missing;
                until_drop.store(self.drop_rate, Relaxed);
            }
            Defense::Always => self.drop_rate = policy.am_droprate.into(),
            Defense::WhenShort | Defense::Never => self.drop_rate = 0,
        }
        if self.drop_entry {
            self.sweep_from = random as usize % table.conns_max().max(1);
            self.sweep_places = table.conns_max().div_ceil(SWEEP_SHARE);
        }
    }
}

impl Shard {
    /// A part of this second's defence. Templates that it leaves without use are given to `unused`.
    #[inline]
    pub fn defend(&mut self, now: Now, unused: impl FnMut(TemplateId)) {
        if now.ms >= self.defenses.look_ms {
            let random = self.random.u64(..);
            self.defenses.look(&self.services.policy, &self.table, &self.shared.until_drop, random);
            self.defenses.look_ms = now.ms + LOOK_MS;
            self.counts.defenses = self.defenses.up().to_bits();
        }
        if self.defenses.sweep_places > 0 {
            self.sweep(now, unused);
        }
    }

    /// Ends what drop_entry ends among the next places.
    #[cold]
    fn sweep(&mut self, now: Now, mut unused: impl FnMut(TemplateId)) {
        let conns_max = self.table.conns_max();
        let a_turn = SWEEP_PLACES.max(conns_max / SWEEP_SHARE / SWEEP_TURNS);
        let Defenses { sweep_from: from, sweep_places: left, .. } = self.defenses;
        let places = a_turn.min(left).min(conns_max - from);
        let mut at = from;
        while at < from + places {
            let defenses = &mut self.defenses;
            let ends = |(_, conn): &(ConnId, &Conn)| defenses.drops_conn(conn, now.tick);
            let next = self.table.listing(at, from + places - at, now.tick).find(ends);
            let Some(id) = next.map(|(id, _)| id) else { break };
            at = id.0 as usize + 1;
            if let Some(template) = self.end_now(id)
                && self.shared.templates.is_idle(template)
            {
                unused(template);
            }
        }
        self.defenses.sweep_from = (from + places) % conns_max;
        self.defenses.sweep_places = left - places;
    }
}

/// Which defences are up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Up {
    /// Half-open and idle conns are ended.
    pub drop_entry: bool,
    /// First packets are dropped.
    pub drop_packet: bool,
    /// TCP's stricter states are in force.
    pub secure_tcp: bool,
}

impl Up {
    /// As a number.
    pub fn to_bits(self) -> u64 {
        u64::from(self.drop_entry) | u64::from(self.drop_packet) << 1 | u64::from(self.secure_tcp) << 2
    }

    /// By the names of their settings.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let all = [(self.drop_entry, "drop_entry"), (self.drop_packet, "drop_packet"), (self.secure_tcp, "secure_tcp")];
        all.into_iter().filter(|(up, _)| *up).map(|(_, name)| name)
    }

    /// From such a number.
    pub fn of_bits(bits: u64) -> Up {
        let is = |bit: u32| bits >> bit & 1 != 0;
        Up { drop_entry: is(0), drop_packet: is(1), secure_tcp: is(2) }
    }
}

/// Whole pages that so many conns of a table take.
fn pages_of_conns(conns: usize, conns_max: usize) -> u64 {
    (conns as u128 * Table::memory_bytes(conns_max) as u128 / (conns_max.max(1) as u128 * PAGE_BYTES)) as u64
}

/// Fewest conns of a table that take so many pages.
pub fn conns_of_pages(pages: usize, conns_max: usize) -> usize {
    (pages as u128 * PAGE_BYTES * conns_max as u128).div_ceil(Table::memory_bytes(conns_max) as u128) as usize
}

/// How far a conn has come, as drop_entry sees it.
enum Phase {
    /// Nobody but the client has said anything, or nothing that the client heard.
    HalfOpen,
    /// It may go on.
    Open,
    /// It ends soon by itself.
    Ending,
}

fn phase(conn: &Conn) -> Phase {
    match conn.protocol() {
        protocol::TCP => match tcp::State::of(conn.state) {
            tcp::State::SynRecv | tcp::State::SynAck => Phase::HalfOpen,
            tcp::State::Established => Phase::Open,
            _ => Phase::Ending,
        },
        protocol::SCTP => match sctp::State::of(conn.state) {
            sctp::State::Init1 | sctp::State::Init => Phase::HalfOpen,
            sctp::State::Established => Phase::Open,
            _ => Phase::Ending,
        },
        _ => Phase::Open,
    }
}

/// Of so many one is taken, the first of them: is it this one? Of none, none.
fn take(spared: &mut u8, of: u8) -> bool {
    let taken = *spared == 0 && of > 0;
    *spared = if taken { of - 1 } else { spared.saturating_sub(1) };
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use conntrack::{Key, Method, NewConn};

    const NOW: Tick = Tick(100_000);

    fn conn(protocol: u8, state: u8, packets: u8, idle_s: u32) -> Conn {
        let key = Key::v4([10, 0, 0, 1], [10, 99, 0, 1], 5, 80, protocol);
        let mut conn = NewConn::new(key, Method::Nat, "172.16.0.2:80".parse().unwrap(), 0).conn();
        conn.state = state;
        conn.touch(Tick(NOW.0 - Tick::of_seconds(idle_s)));
        (0..packets).for_each(|_| conn.count_packet());
        conn
    }

    /// As measured: the state, the packets, the idle seconds, and how many of 24 such conns end when each is looked at once.
    #[test]
    fn which_conns_drop_entry_ends() {
        use sctp::State as Sctp;
        use tcp::State as Tcp;
        let (syn_recv, established) = (Tcp::SynRecv as u8, Tcp::Established as u8);
        #[rustfmt::skip]
        let mut rows = vec![
            (protocol::TCP, syn_recv, 1, 0, 24), (protocol::TCP, Tcp::SynAck as u8, 9, 0, 24),
            (protocol::TCP, established, 1, 59, 0), (protocol::TCP, established, 1, 60, 24), (protocol::TCP, established, 4, 600, 6),
            (protocol::TCP, Tcp::FinWait as u8, 1, 100, 0), (protocol::TCP, Tcp::TimeWait as u8, 1, 100, 0),
            (protocol::TCP, Tcp::Close as u8, 1, 100, 0), (protocol::TCP, Tcp::CloseWait as u8, 1, 100, 0),
            (protocol::SCTP, Sctp::Init1 as u8, 1, 0, 24), (protocol::SCTP, Sctp::Init as u8, 1, 0, 24),
            (protocol::SCTP, Sctp::Established as u8, 3, 59, 0), (protocol::SCTP, Sctp::Established as u8, 3, 60, 8),
            (protocol::SCTP, Sctp::Closed as u8, 1, 100, 0),
            (protocol::UDP, 0, 1, 59, 0),
        ];
        let of = [0, 24, 12, 8, 6, 5, 4, 4, 3, 0, 0];
        rows.extend((0..).zip(of).map(|(packets, ended)| (protocol::UDP, 0, packets, 60, ended)));
        for (protocol, state, packets, idle_s, ended) in rows {
            let mut defenses = Defenses::default();
            let conn = conn(protocol, state, packets, idle_s);
            let found = (0..24).filter(|_| defenses.drops_conn(&conn, NOW)).count();
            assert_eq!(found, ended, "protocol {protocol}, state {state}, {packets} packets, idle for {idle_s} s");
        }
    }

    /// Conns of one number of packets do not spare those of another.
    #[test]
    fn one_of_each_kind_by_itself() {
        let mut defenses = Defenses::default();
        let [two, three] = [2, 3].map(|packets| conn(protocol::UDP, 0, packets, 60));
        let found: String = [&two, &three]
            .repeat(6)
            .into_iter()
            .map(|conn| if defenses.drops_conn(conn, NOW) { 'x' } else { '.' })
            .collect();
        assert_eq!(found, "xx..x..xx...".to_string());
    }
}
