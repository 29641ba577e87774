//! A packet's fragments come to any workers, in any order, and leave as one worker would have sent them.

use super::*;
use std::collections::BTreeMap;

/// Ports of a worker.
const PORTS: usize = 2;

/// Datagrams of many clients, their fragments spread over workers' queues in random order, between turns in random order.
fn run(workers: usize, seed: u64) -> BTreeMap<Vec<u8>, usize> {
    let lcores: Vec<String> = (1..=workers).map(|lcore| lcore.to_string()).collect();
    let director = format!("workers = [{}]\nconns_max = 2000", lcores.join(", "));
    let text = FAMILIES.map(|family| {
        let methods = ["nat", "dr", "tun"].into_iter().enumerate();
        let of = |(at, method): (usize, &str)| {
            let port = 80 + at as u16;
            service("udp", &endpoint(family.vip, port), "") + &server(&endpoint(family.rip, port), method)
        };
        methods.map(of).collect::<String>()
    });
    let mut lab = Lab::new(&(network(&director) + &text.concat()));
    let mut random = fastrand::Rng::with_seed(seed);
    let mut frames = Vec::new();
    for n in 0..60u16 {
        let family = FAMILIES[usize::from(n) % 2];
        let sent = datagram(family.client_sends(), (CPORT + n, 80 + n % 3), 500 + 97 * usize::from(n), n);
        frames.extend(pieces(&sent, &vec![400; sent.len() / 450], u32::from(n)));
    }
    random.shuffle(&mut frames);
    let mut left = Vec::new();
    for frame in frames {
        lab.cables[random.usize(..workers) * PORTS + WAN].put(&frame);
        if random.u8(..) < 40 {
            let now = lab.now();
            lab.workers[random.usize(..workers)].turn(now);
            lab.check_accounts();
        }
    }
    left.extend(lab.settle());
    assert_eq!(lab.conns().len(), 60, "{workers} workers, seed {seed}");
    // Of each packet that left: its fragments stand together, for one worker made them.
    let mut packets: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    let mut fragments: Vec<Left> = Vec::new();
    for frame in left {
        let l3 = &frame.frame[14..];
        let more = if l3[0] >> 4 == 4 {
            Ipv4::of(l3).unwrap().more_fragments()
        } else {
            ipv6::upper_layer(l3).unwrap().fragment.is_some_and(|part| part.more)
        };
        fragments.push(frame);
        if !more {
            let mut whole = joined(&std::mem::take(&mut fragments));
            if whole[14] >> 4 == 4 && whole[23] == protocol::IPIP {
                whole[18..20].fill(0);
                ipv4::fill_checksum(&mut whole[14..]);
            }
            *packets.entry(whole).or_default() += 1;
        }
    }
    packets
}

#[test]
fn any_worker_may_get_any_fragment() {
    let expected = run(1, 1);
    assert_eq!(expected.values().sum::<usize>(), 60);
    for workers in 1..=4 {
        for seed in 0..4 {
            assert!(run(workers, seed) == expected, "{workers} workers, seed {seed}");
        }
    }
}
