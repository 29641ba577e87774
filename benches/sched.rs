//! What a pick costs: every scheduler, with few and with thousands of real servers.
//!
//! A round is what a new conn costs under the service's lock: the pick, and telling the load of the server that was
//! picked (one conn more). Clients and, for lblc and lblcr, destinations change from pick to pick. `oldest` also ends
//! the conn that began a thousand picks ago, so that loads stay level and orders keep changing.

use std::collections::VecDeque;
use std::hint::black_box;
use std::net::IpAddr;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use sched::{Change, Flow, Kind, Load, Moment, Picker, Server, Settings};

const SERVERS: [u32; 2] = [8, 4096];
const CONNS: usize = 1000;

fn servers(count: u32) -> Vec<(Server, Load)> {
    let server = |id: u32| {
        let weight = 100 * (id % 5 + 1); // Eight servers of ovf hold the thousand conns.
        let address = IpAddr::from([172, 16, (id >> 8) as u8, id as u8]);
        (Server { id, address, port: 80, weight, last_weight: weight }, Load::default())
    };
    (0..count).map(server).collect()
}

fn picker(kind: Kind, count: u32) -> Picker {
    Picker::prepare(kind, &Settings::default(), servers(count), Vec::new())
}

/// Conn number so-and-so: a client of its own, one of 1024 destinations, a millisecond after the one before.
fn conn(number: u64) -> (Flow, Moment) {
    let bits = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let client = IpAddr::V4(((bits >> 32) as u32).into());
    let vip = IpAddr::V4((0x0a63_0000 | (bits >> 22) as u32 & 1023).into());
    (Flow { client, client_port: 1025, vip, vip_port: 80 }, Moment { now_ms: number, random: bits })
}

fn add(picker: &mut Picker, index: usize, conns: i32) {
    let load = *picker.servers().load(index);
    let (active, total) = (load.active.wrapping_add_signed(conns), load.total.wrapping_add_signed(conns));
    picker.set_load(index, Load { active, total, ..load });
}

fn picks(criterion: &mut Criterion) {
    for kind in Kind::ALL {
        let mut group = criterion.benchmark_group(format!("sched/{kind}"));
        for count in SERVERS {
            group.bench_function(BenchmarkId::new("new_conn_and_oldest", count), |bencher| {
                let mut picker = picker(kind, count);
                let mut conns = VecDeque::with_capacity(CONNS + 1);
                let mut number = 0;
                bencher.iter(|| {
                    let (flow, at) = conn(number);
                    number += 1;
                    if let Some(index) = black_box(picker.pick(&flow, &at)) {
                        add(&mut picker, index, 1);
                        conns.push_back(index);
                    }
                    if conns.len() > CONNS {
                        add(&mut picker, conns.pop_front().expect("there are conns"), -1);
                    }
                });
            });
        }
        group.finish();
    }
}

/// What an edit costs: built without the lock, put in place under it.
fn replacements(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sched/replace");
    for kind in [Kind::Wlc, Kind::Lblcr, Kind::Mh] {
        let count = SERVERS[1];
        group.bench_function(format!("{kind}/prepare/{count}"), |bencher| {
            bencher.iter_with_large_drop(|| picker(kind, count));
        });
        group.bench_function(format!("{kind}/under_lock/{count}"), |bencher| {
            let mut in_use = picker(kind, count);
            let prepared = || picker(kind, count);
            let replace = |prepared| in_use.replace(prepared, Change::Servers);
            bencher.iter_batched(prepared, replace, criterion::BatchSize::LargeInput);
        });
    }
    group.finish();
}

criterion_group!(benches, picks, replacements);
criterion_main!(benches);
