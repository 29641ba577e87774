//! The table against a naive model: a list that is searched from its end.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use conntrack::{Conn, ConnId, Direction, Hit, Key, Method, NewConn, Seed, Table, TableFull, Tick, Verdict};
use proptest::prelude::*;

/// Few clients, VIPs, servers and ports, so that keys of both kinds meet again.
#[derive(Clone, Copy, Debug)]
struct Flow {
    v6: bool,
    client: u8,
    vip: u8,
    server: u8,
    method: u8,
    local_port: u16,
}

#[derive(Clone, Debug)]
enum Op {
    Insert(Flow, u32),
    Remove(usize),
    Touch(usize),
    SetTimeout(usize, u32),
    Advance(u32),
    Expire { budget: usize, keep_each: u32 },
}

fn flows() -> impl Strategy<Value = Flow> {
    (any::<bool>(), 0..3u8, 0..3u8, 0..2u8, 0..4u8, 0..2u16)
        .prop_map(|(v6, client, vip, server, method, local_port)| Flow { v6, client, vip, server, method, local_port })
}

fn ops() -> impl Strategy<Value = Op> {
    prop_oneof![
        5 => (flows(), 0..3000u32).prop_map(|(flow, timeout)| Op::Insert(flow, timeout)),
        2 => any::<usize>().prop_map(Op::Remove),
        1 => any::<usize>().prop_map(Op::Touch),
        1 => (any::<usize>(), 0..3000u32).prop_map(|(which, timeout)| Op::SetTimeout(which, timeout)),
        2 => (0..1000u32).prop_map(Op::Advance),
        2 => (0..20usize, 0..4u32).prop_map(|(budget, keep_each)| Op::Expire { budget, keep_each }),
    ]
}

fn address(v6: bool, net: u8, host: u8) -> IpAddr {
    if v6 {
        IpAddr::from([0xfd, net, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host])
    } else {
        IpAddr::from([10, net, 0, host])
    }
}

impl Flow {
    fn conn(self, timeout: u32) -> Conn {
        let methods = [Method::Nat, Method::Dr, Method::Tun, Method::FullNat];
        let client = (address(self.v6, 1, self.client), 1000);
        let vip = (address(self.v6, 2, self.vip), 80);
        let server = SocketAddr::new(address(self.v6, 3, self.server), 8080);
        let method = methods[usize::from(self.method)];
        let mut new = NewConn::new(Key::of(client, vip, 6).unwrap(), method, server, 1);
        new.local = Some(SocketAddr::new(address(self.v6, 4, 1), 2000 + self.local_port));
        new.timeout = timeout;
        new.conn()
    }
}

fn all_keys() -> Vec<Key> {
    let mut keys = Vec::new();
    for v6 in [false, true] {
        for client in 0..3 {
            for vip in 0..3 {
                keys.push((address(v6, 1, client), 1000, address(v6, 2, vip), 80));
            }
            for server in 0..2 {
                keys.push((address(v6, 3, server), 8080, address(v6, 1, client), 1000));
            }
        }
        for server in 0..2 {
            for port in 0..2 {
                keys.push((address(v6, 3, server), 8080, address(v6, 4, 1), 2000 + port));
            }
        }
    }
    keys.into_iter().map(|(src, sport, dst, dport)| Key::of((src, sport), (dst, dport), 6).unwrap()).collect()
}

/// Oldest first.
#[derive(Default)]
struct Model(Vec<(ConnId, Conn)>);

impl Model {
    fn find(&self, key: &Key, now: Tick) -> Option<Hit> {
        self.0.iter().rev().filter(|(_, conn)| !conn.is_dead(now)).find_map(|&(id, conn)| {
            let direction = if conn.inbound_key() == *key {
                Direction::Inbound
            } else if conn.outbound_key() == Some(*key) {
                Direction::Outbound
            } else {
                return None;
            };
            Some(Hit { id, direction })
        })
    }

    fn pick(&self, which: usize) -> Option<usize> {
        (!self.0.is_empty()).then(|| which % self.0.len())
    }
}

struct Run {
    table: Table,
    model: Model,
    now: Tick,
}

impl Run {
    fn step(&mut self, op: &Op) {
        let Run { table, model, now } = self;
        match *op {
            Op::Insert(flow, timeout) => {
                let conn = flow.conn(timeout);
                match table.insert(conn, *now) {
                    Ok(id) => {
                        assert!(model.0.iter().all(|&(other, _)| other != id), "{id:?} given twice");
                        model.0.push((id, *table.conn(id)));
                    }
                    Err(TableFull) => assert_eq!(model.0.len(), table.conns_max()),
                }
            }
            Op::Remove(which) => {
                let Some(which) = model.pick(which) else { return };
                let (id, conn) = model.0.remove(which);
                assert_eq!(table.remove(id).inbound_key(), conn.inbound_key());
            }
            Op::Touch(which) => {
                let Some(which) = model.pick(which) else { return };
                table.conn_mut(model.0[which].0).touch(*now);
                model.0[which].1.touch(*now);
            }
            Op::SetTimeout(which, timeout) => {
                let Some(which) = model.pick(which) else { return };
                table.set_timeout(model.0[which].0, timeout, *now);
                model.0[which].1 = *table.conn(model.0[which].0);
                assert_eq!(model.0[which].1.ticks_left(*now), timeout);
            }
            Op::Advance(ticks) => *now = now.after(ticks),
            Op::Expire { budget, keep_each } => self.expire(budget, keep_each),
        }
    }

    fn expire(&mut self, budget: usize, keep_each: u32) {
        let (now, mut asked) = (self.now, HashMap::new());
        let seen = self.table.expire(now, budget, &mut |id, conn| {
            assert!(conn.is_dead(now), "asked about a conn with {} ticks left", conn.ticks_left(now));
            let keep = keep_each != 0 && id.0 % 4 < keep_each;
            assert!(asked.insert(id, keep).is_none(), "asked twice about {id:?}");
            if keep { Verdict::Keep(500) } else { Verdict::End }
        });
        assert!(seen <= budget && asked.len() <= seen);
        self.model.0.retain(|(id, _)| asked.get(id).copied().unwrap_or(true));
        for (id, conn) in &mut self.model.0 {
            *conn = *self.table.conn(*id);
            assert!(!asked.contains_key(id) || conn.ticks_left(now) == 500);
        }
    }

    fn check(&self, keys: &[Key]) {
        let Run { table, model, now } = self;
        assert_eq!(table.len(), model.0.len());
        assert_eq!(table.is_full(), table.len() == table.conns_max());
        let expected: Vec<_> = keys.iter().map(|key| model.find(key, *now)).collect();
        let mut hits = vec![None; keys.len()];
        table.find_burst(keys, *now, &mut hits);
        assert_eq!(hits, expected);
        for (key, expected) in keys.iter().zip(&expected) {
            assert_eq!(table.find(key, *now), *expected);
        }
        let free = table.probe_burst(&keys[..32], *now);
        for (i, expected) in expected[..32].iter().enumerate() {
            assert_eq!(free >> i & 1 == 1, expected.is_none());
        }
        let mut listed: Vec<_> = table.listing(0, table.conns_max(), *now).map(|(id, _)| id).collect();
        let mut live: Vec<_> = model.0.iter().filter(|(_, conn)| !conn.is_dead(*now)).map(|(id, _)| *id).collect();
        listed.sort();
        live.sort();
        assert_eq!(listed, live);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 64 } else { 2000 }))]

    #[test]
    fn table_is_the_model(
        conns_max in 1..40usize,
        start in prop_oneof![any::<u32>(), u32::MAX - 5000..u32::MAX],
        seed in any::<u64>(),
        ops in prop::collection::vec(ops(), 1..150),
    ) {
        let keys = all_keys();
        let table = Table::new(conns_max, Seed::from_u64(seed), Tick(start)).unwrap();
        let mut run = Run { table, model: Model::default(), now: Tick(start) };
        for op in &ops {
            run.step(op);
            run.check(&keys);
        }
    }
}

/// Every conn translated, the table full, then replaced over and over: the index neither fails nor decays.
#[test]
fn a_full_table_of_translated_conns_can_be_churned() {
    const CONNS_MAX: u32 = 5000;
    let now = Tick(0);
    let conn = |i: u32| {
        let key = Key::v4((0x0a01_0000 + i / 1000).to_be_bytes(), [10, 2, 0, 1], 1024 + (i % 1000) as u16, 80, 6);
        NewConn::new(key, Method::Nat, "10.3.0.1:8080".parse().unwrap(), 1).conn()
    };
    let mut table = Table::new(CONNS_MAX as usize, Seed::from_u64(3), now).unwrap();
    let mut ids: Vec<_> = (0..CONNS_MAX).map(|i| table.insert(conn(i), now).unwrap()).collect();
    assert_eq!(table.insert(conn(CONNS_MAX), now), Err(TableFull));
    for i in 0..10 * CONNS_MAX {
        let (old, place) = (conn(i), (i % CONNS_MAX) as usize);
        assert_eq!(table.remove(ids[place]).inbound_key(), old.inbound_key());
        assert_eq!(table.find(&old.inbound_key(), now), None);
        ids[place] = table.insert(conn(i + CONNS_MAX), now).unwrap();
    }
    for i in 10 * CONNS_MAX..11 * CONNS_MAX {
        let (conn, id) = (conn(i), ids[(i % CONNS_MAX) as usize]);
        let hit = |direction| Some(Hit { id, direction });
        assert_eq!(table.find(&conn.inbound_key(), now), hit(Direction::Inbound));
        assert_eq!(table.find(&conn.outbound_key().unwrap(), now), hit(Direction::Outbound));
    }
}

/// Many conns with one key: all in one path, newest first, each found again when the newer ones are gone.
#[test]
fn equal_keys_are_a_stack() {
    let now = Tick(0);
    let conn = Flow { v6: false, client: 0, vip: 0, server: 0, method: 0, local_port: 0 }.conn(1000);
    let mut table = Table::new(100, Seed::from_u64(1), now).unwrap();
    let ids: Vec<_> = (0..100).map(|_| table.insert(conn, now).unwrap()).collect();
    for id in ids.into_iter().rev() {
        assert_eq!(table.find(&conn.inbound_key(), now).unwrap().id, id);
        assert_eq!(table.find(&conn.outbound_key().unwrap(), now).unwrap().id, id);
        table.remove(id);
    }
    assert!(table.is_empty() && table.find(&conn.inbound_key(), now).is_none());
}

#[test]
fn memory_per_conn_stays_in_budget() {
    for conns_max in [100_000, 1_000_000, 10_000_000] {
        let per_conn = Table::memory_bytes(conns_max) as f64 / conns_max as f64;
        assert!(per_conn <= 160.0, "{per_conn} bytes per conn at {conns_max}");
    }
}

#[test]
fn wrong_sizes_are_refused() {
    for conns_max in [0, (1 << 30) + 1] {
        let error = Table::new(conns_max, Seed::from_u64(1), Tick(0)).err().unwrap().to_string();
        assert!(error.contains(&format!("conns_max: {conns_max}, must be 1 to")), "{error}");
    }
}
