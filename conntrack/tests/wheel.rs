//! The timer wheel through the table: never early, at most a second late, bounded work, whatever the clock does.

use std::collections::HashMap;

use conntrack::{Conn, ConnId, Key, Method, NewConn, Seed, Table, Tick, Verdict};
use proptest::prelude::*;

const SECOND: u32 = Tick::PER_SECOND;
const HOUR: u32 = 3600 * SECOND;
const DAY: u32 = 24 * HOUR;

fn conn(number: u32, timeout: u32) -> Conn {
    let key = Key::v4(number.to_be_bytes(), [10, 2, 0, 1], 1000, 80, 6);
    let mut new = NewConn::new(key, Method::Dr, "10.3.0.1:80".parse().unwrap(), 1);
    new.timeout = timeout;
    new.conn()
}

fn table(conns_max: usize, start: u32) -> Table {
    Table::new(conns_max, Seed::from_u64(1), Tick(start)).unwrap()
}

fn timeouts() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 0..30 * SECOND, 3 => 0..900 * SECOND, 2 => 0..6 * HOUR, 1 => 20 * DAY..24 * DAY]
}

#[derive(Clone, Debug)]
enum Change {
    Touch,
    Timeout(u32),
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 30 } else { 300 }))]

    #[test]
    fn never_early_and_at_most_a_second_late(
        start in prop_oneof![any::<u32>(), u32::MAX - HOUR..u32::MAX],
        first in prop::collection::vec(timeouts(), 1..60),
        changes in prop::collection::vec((0..60usize, 1..50 * SECOND, prop_oneof![
            Just(Change::Touch), timeouts().prop_map(Change::Timeout)]), 0..60),
    ) {
        let mut now = Tick(start);
        let mut table = table(first.len(), start);
        let mut deadlines: HashMap<ConnId, (Tick, u32)> = HashMap::new();
        let mut ids = Vec::new();
        for (number, timeout) in first.iter().enumerate() {
            let id = table.insert(conn(number as u32, *timeout), now).unwrap();
            deadlines.insert(id, (now.after(*timeout), *timeout));
            ids.push(id);
        }
        for (which, wait, change) in changes {
            run_for(&mut table, &mut now, wait, &mut deadlines);
            let id = ids[which % ids.len()];
            let Some((deadline, timeout)) = deadlines.get_mut(&id) else { continue };
            match change {
                Change::Touch => table.conn_mut(id).touch(now),
                Change::Timeout(new) => {
                    table.set_timeout(id, new, now);
                    *timeout = new;
                }
            }
            *deadline = now.after(*timeout);
        }
        run_for(&mut table, &mut now, 1000 * SECOND, &mut deadlines);
        // What is left has deadlines up to weeks ahead: leap to just before and just after each.
        let mut left: Vec<_> = deadlines.iter().map(|(id, (deadline, _))| (deadline.since(now), *id)).collect();
        left.sort();
        for (_, id) in left {
            let Some((deadline, _)) = deadlines.get(&id).copied() else { continue };
            now = now.after((deadline.since(now) - 1).max(0) as u32);
            catch_up(&mut table, now, &mut deadlines);
            run_for(&mut table, &mut now, 2 * SECOND, &mut deadlines);
            prop_assert!(!deadlines.contains_key(&id));
        }
        prop_assert!(table.is_empty());
    }

    /// After a leap of the clock each call is bounded, and a bounded number of calls catches up.
    #[test]
    fn leaps_are_caught_up(
        start in any::<u32>(),
        leap in prop_oneof![0..HOUR, 0..100 * DAY],
        first in prop::collection::vec(timeouts(), 1..200),
        budget in 1..64usize,
    ) {
        let mut table = table(first.len(), start);
        for (number, timeout) in first.iter().enumerate() {
            table.insert(conn(number as u32, *timeout), Tick(start)).unwrap();
        }
        let now = Tick(start).after(leap);
        // A turn of the wheel in steps of 256 slots, and each conn looked at twice at most.
        let calls_max = 4096 / 256 + 2 * first.len() / budget + 8;
        for _ in 0..calls_max {
            let seen = table.expire(now, budget, &mut |_, conn| {
                assert!(conn.is_dead(now));
                Verdict::End
            });
            prop_assert!(seen <= budget);
        }
        let alive = first.iter().filter(|timeout| **timeout > leap).count();
        // A conn whose deadline lies within the slot being drained may wait for the next one.
        let just_dead = first.iter().filter(|timeout| **timeout <= leap && **timeout + 32 > leap).count();
        prop_assert!((alive..=alive + just_dead).contains(&table.len()), "{} of {alive} alive", table.len());
        prop_assert!(table.expire_behind(now) < 32);
    }
}

/// Half-second steps, as a worker that is called often enough.
fn run_for(table: &mut Table, now: &mut Tick, ticks: u32, deadlines: &mut HashMap<ConnId, (Tick, u32)>) {
    let end = now.after(ticks);
    while end.since(*now) > 0 {
        *now = now.after(50.min(end.since(*now) as u32));
        table.expire(*now, 1000, &mut |id, _| {
            let (deadline, _) = deadlines.remove(&id).expect("a conn ends once");
            let late = now.since(deadline);
            assert!((0..=SECOND as i32).contains(&late), "{late} ticks late");
            Verdict::End
        });
    }
}

fn catch_up(table: &mut Table, now: Tick, deadlines: &mut HashMap<ConnId, (Tick, u32)>) {
    for _ in 0..32 {
        table.expire(now, 1000, &mut |id, _| {
            let (deadline, _) = deadlines.remove(&id).expect("a conn ends once");
            assert!(now.since(deadline) >= 0);
            Verdict::End
        });
    }
}

/// A hundred thousand conns that end in one moment are taken out in bounded portions.
#[test]
fn a_long_tick_is_split() {
    let mut table = table(100_000, 0);
    for number in 0..100_000 {
        table.insert(conn(number, 60 * SECOND), Tick(0)).unwrap();
    }
    let now = Tick(60 * SECOND + 32);
    let mut ended = 0;
    let mut calls = 0;
    while !table.is_empty() {
        let seen = table.expire(now, 64, &mut |_, _| {
            ended += 1;
            Verdict::End
        });
        assert!(seen <= 64);
        calls += 1;
        assert!(calls < 2000, "{} conns left", table.len());
    }
    assert_eq!(ended, 100_000);
}
