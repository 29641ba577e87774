//! What the conn table costs: look-ups of a burst, a conn's whole life, the wheel.
//!
//! An honest feed: look-ups come in another order than the conns were made in, or the hardware prefetcher would hide the misses.
//! Every figure is per key or per conn.

use std::hint::black_box;
use std::time::Duration;

use conntrack::{BURST, Conn, Key, Method, NewConn, Seed, Table, Tick, Verdict};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// A small generator of distinct numbers (xorshift, Marsaglia 2003); the order matters, not the quality.
struct Shuffle(u64);

impl Shuffle {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((u128::from(self.0) * u128::from(limit)) >> 64) as u32
    }
}

/// Every flow has its own address and port.
fn key(v6: bool, number: u32) -> Key {
    let (client, port) = (number / 60_000, 1024 + (number % 60_000) as u16);
    if v6 {
        let mut src = [0xfd; 16];
        src[12..].copy_from_slice(&client.to_be_bytes());
        Key::v6(src, [0x99; 16], port, 80, 6)
    } else {
        Key::v4((0x0a00_0000 + client).to_be_bytes(), [192, 168, 0, 1], port, 80, 6)
    }
}

fn conn(v6: bool, number: u32, method: Method) -> Conn {
    let server = if v6 { "[fd16::2]:80" } else { "172.16.0.2:80" };
    let mut new = NewConn::new(key(v6, number), method, server.parse().expect("an endpoint"), 1);
    new.timeout = Tick::of_seconds(900);
    new.conn()
}

fn filled(v6: bool, count: u32, method: Method) -> Table {
    let mut table = Table::new(count as usize, Seed::from_u64(1), Tick(0)).expect("memory for the table");
    for number in 0..count {
        table.insert(conn(v6, number, method), Tick(0)).expect("room for every conn");
    }
    table
}

fn find(criterion: &mut Criterion) {
    for (family, v6) in [("v4", false), ("v6", true)] {
        for (kind, missing) in [("hit", false), ("miss", true)] {
            let mut group = criterion.benchmark_group(format!("table/find_burst/{family}/{kind}"));
            group.throughput(Throughput::Elements(BURST as u64));
            for count in [1_000, 100_000, 1_000_000] {
                let mut table = filled(v6, count, Method::Nat);
                let mut shuffle = Shuffle(88_172_645_463_325_252);
                let first = if missing { count } else { 0 };
                let keys: Vec<Key> = (0..1 << 20).map(|_| key(v6, first + shuffle.below(count))).collect();
                let mut bursts = keys.chunks_exact(BURST).cycle();
                let mut hits = [None; BURST];
                group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
                    bencher.iter(|| {
                        table.find_burst(bursts.next().expect("endless"), Tick(1), &mut hits);
                        for hit in hits.iter().flatten() {
                            table.conn_mut(hit.id).touch(Tick(1));
                        }
                        black_box(&hits);
                    });
                });
                let found = hits.iter().flatten().count();
                assert_eq!(found, if missing { 0 } else { BURST }, "the look-ups must find what they claim to");
            }
            group.finish();
        }
    }
}

/// One conn out, another in, at a full table.
fn replace(criterion: &mut Criterion) {
    for (name, method) in [("dr", Method::Dr), ("nat", Method::Nat)] {
        let mut group = criterion.benchmark_group(format!("table/remove_and_insert/{name}"));
        group.throughput(Throughput::Elements(1));
        for count in [1_000, 100_000, 1_000_000] {
            let mut table = filled(false, count, method);
            let mut ids: Vec<_> = table.listing(0, count as usize, Tick(0)).map(|(id, _)| id).collect();
            let (mut shuffle, mut next) = (Shuffle(7), count);
            group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
                bencher.iter(|| {
                    let place = shuffle.below(count) as usize;
                    table.remove(ids[place]);
                    next = next.wrapping_add(1);
                    ids[place] = table.insert(conn(false, next, method), Tick(0)).expect("one was removed");
                });
            });
        }
        group.finish();
    }
}

/// A conn is made, waits for its time-out and is taken out by the wheel: per conn, at a steady rate, the table nearly full.
fn live_and_expire(criterion: &mut Criterion) {
    for (name, method) in [("dr", Method::Dr), ("nat", Method::Nat)] {
        let mut group = criterion.benchmark_group(format!("table/insert_and_expire/{name}"));
        group.throughput(Throughput::Elements(BURST as u64));
        for conns_max in [100_000u32, 1_000_000] {
            let mut table = Table::new(conns_max as usize, Seed::from_u64(1), Tick(0)).expect("memory for the table");
            // In a second as many as fit in 90 %; the time-out is a second.
            let per_tick = conns_max * 9 / 1000;
            let (mut now, mut in_tick, mut next, mut full) = (Tick(0), 0, 0u32, 0u64);
            group.bench_function(BenchmarkId::from_parameter(conns_max), |bencher| {
                bencher.iter(|| {
                    for _ in 0..BURST {
                        next = next.wrapping_add(1);
                        let mut conn = NewConn::new(key(false, next), method, ([172, 16, 0, 2], 80).into(), 1);
                        conn.timeout = 60;
                        full += u64::from(table.insert(conn.conn(), now).is_err());
                    }
                    in_tick += BURST as u32;
                    if in_tick >= per_tick {
                        in_tick -= per_tick;
                        now = now.after(1);
                    }
                    table.expire(now, 2 * BURST, &mut |_, _| Verdict::End);
                });
            });
            assert_eq!(full, 0, "the wheel must keep up");
        }
        group.finish();
    }
}

/// Established conns that the wheel visits and finds alive.
fn visit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("table/visit_alive");
    group.throughput(Throughput::Elements(1));
    let count = 1_000_000;
    let mut table = filled(false, count, Method::Nat);
    let mut now = Tick(0);
    group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
        bencher.iter_custom(|visits| {
            let mut spent = Duration::ZERO;
            let mut seen = 0;
            while seen < visits {
                now = now.after(Tick::of_seconds(901));
                for place in 0..count {
                    table.conn_mut(conntrack::ConnId(place)).touch(now.after(place % 50_000));
                }
                let begin = std::time::Instant::now();
                loop {
                    let looked_at = table.expire(now, 64, &mut |_, _| Verdict::End);
                    seen += looked_at as u64;
                    if looked_at == 0 && table.expire_behind(now) < 32 {
                        break;
                    }
                }
                spent += begin.elapsed();
            }
            spent.mul_f64(visits as f64 / seen as f64)
        });
    });
    group.finish();
}

fn quick() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20)
}

criterion_group! { name = benches; config = quick(); targets = find, replace, live_and_expire, visit }
criterion_main!(benches);
