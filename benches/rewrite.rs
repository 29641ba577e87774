//! What the rewrites cost per packet, in place and with their checksums, on the 32 packets of one burst over and
//! over, as they lie in the cache when their turn comes. The time that criterion prints is that of one packet, its
//! loop (half a nanosecond) included. A rewrite costs the same whether or not the packet already has the new ends, so
//! nothing is set back.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Bencher, Criterion, criterion_group, criterion_main};
use uvs::rewrite::tun::{Outer, Tunnel};
use uvs::rewrite::{Endpoint, fullnat, icmp, nat, ttl, tun};
use uvs::wire::build::Frame;
use uvs::wire::{checksum, protocol};

/// Packets of one burst.
const BURST: usize = 32;

/// An address of each family.
type Addresses = ([u8; 4], [u8; 16]);

const CLIENT: Addresses = ([10, 1, 2, 3], [0xfd; 16]);
const VIP: Addresses = ([10, 99, 0, 1], [0xfa; 16]);
const REAL: Addresses = ([172, 16, 0, 2], [0xfb; 16]);
const LOCAL: Addresses = ([172, 16, 9, 9], [0xfc; 16]);

fn address(addresses: &Addresses, is_ipv6: bool) -> &[u8] {
    if is_ipv6 { &addresses.1 } else { &addresses.0 }
}

fn burst(is_ipv6: bool, protocol: u8, payload_bytes: usize) -> Vec<Vec<u8>> {
    let ends = if is_ipv6 { (CLIENT.1.into(), VIP.1.into()) } else { (CLIENT.0.into(), VIP.0.into()) };
    let frame = Frame::new(ends.0, ends.1);
    let payload = vec![0x71; payload_bytes];
    let packet = |n: u16| match protocol {
        protocol::TCP => frame.tcp((20_000 + n, 80), (1, 2), 0x10, &payload),
        _ => frame.udp(20_000 + n, 80, &payload),
    };
    (0..BURST as u16).map(|n| packet(n)[14..].to_vec()).collect()
}

/// One packet of the burst after the other.
fn each(bencher: &mut Bencher<'_>, packets: &mut [Vec<u8>], mut rewrite: impl FnMut(&mut [u8])) {
    let mut n = 0;
    bencher.iter(|| {
        n = (n + 1) % BURST;
        rewrite(black_box(&mut packets[n]));
    });
}

fn translations(criterion: &mut Criterion) {
    for (family, is_ipv6, l4) in [("v4", false, 20), ("v6", true, 40)] {
        let local = Endpoint { address: address(&LOCAL, is_ipv6), port: 1024 };
        let real = Endpoint { address: address(&REAL, is_ipv6), port: 8080 };
        for (name, protocol) in [("tcp", protocol::TCP), ("udp", protocol::UDP)] {
            let mut packets = burst(is_ipv6, protocol, 20);
            criterion.bench_function(&format!("rewrite/nat/{family}/{name}"), |bencher| {
                each(bencher, &mut packets, |l3| {
                    nat::translate_destination(l3, l4, protocol, black_box(real.address), real.port);
                });
            });
            criterion.bench_function(&format!("rewrite/fullnat/{family}/{name}"), |bencher| {
                each(bencher, &mut packets, |l3| {
                    fullnat::translate(l3, l4, protocol, black_box(local), black_box(real));
                });
            });
        }
    }
}

fn forwarding(criterion: &mut Criterion) {
    for (family, is_ipv6, ttl_at) in [("v4", false, 8), ("v6", true, 7)] {
        let mut packets = burst(is_ipv6, protocol::TCP, 20);
        criterion.bench_function(&format!("rewrite/ttl/{family}"), |bencher| {
            each(bencher, &mut packets, |l3| {
                l3[ttl_at] = 64;
                black_box(ttl::decrement(l3));
            });
        });
        for (outer, is_outer_ipv6) in [("v4", false), ("v6", true)] {
            let room = vec![0; Tunnel::Ipip.outer_bytes(is_outer_ipv6)];
            let mut packets: Vec<_> = packets.iter().map(|inner| [&room[..], inner].concat()).collect();
            let (source, destination) = (address(&LOCAL, is_outer_ipv6), address(&REAL, is_outer_ipv6));
            criterion.bench_function(&format!("rewrite/tun/{family}_in_{outer}"), |bencher| {
                each(bencher, &mut packets, |l3| {
                    let total = l3.len();
                    let outer = Outer { source, destination, pmtu_discovery: true, id: 1, source_port: 1 };
                    black_box(tun::encapsulate(l3, total, Tunnel::Ipip, black_box(outer)));
                });
            });
        }
    }
}

fn answers(criterion: &mut Criterion) {
    for (family, is_ipv6, l4) in [("v4", false, 20), ("v6", true, 40)] {
        let mut packets = burst(is_ipv6, protocol::TCP, 1400);
        let source = address(&VIP, is_ipv6);
        let mut room = [0; icmp::ERROR_BYTES_MAX];
        criterion.bench_function(&format!("rewrite/icmp_error/{family}"), |bencher| {
            each(bencher, &mut packets, |l3| {
                black_box(icmp::error(&mut room, l3, icmp::Cause::TooBig { mtu: 1400 }, source, 1));
            });
        });
        criterion.bench_function(&format!("checksum/whole_tcp_1420_bytes/{family}"), |bencher| {
            each(bencher, &mut packets, |l3| {
                black_box(checksum::transport_is_right(l3, l4, protocol::TCP));
            });
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = translations, forwarding, answers
}
criterion_main!(benches);
