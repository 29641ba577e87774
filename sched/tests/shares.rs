//! What schedulers promise over many conns: exact shares of a cycle, fair tables that stay put, fair lots.

mod rig;

use proptest::prelude::*;
use rig::{Service, flow};
use sched::{Flags, Kind, Load, Moment, Settings, TableSize};

const OVERLOADED: Load = Load { active: 0, total: 0, overloaded: true };

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_cycle_of_wrr_gives_everyone_its_weight(base in prop::collection::vec(0..30u32, 1..30), unit in 1..5u32) {
        let weights: Vec<u32> = base.iter().map(|weight| weight * unit).collect();
        let divisor = (1..=150).rev().find(|divisor| weights.iter().all(|weight| weight % divisor == 0)).unwrap();
        let shares: Vec<u32> = weights.iter().map(|weight| weight / divisor).collect();
        let mut service = Service::new(Kind::Wrr, Settings::default(), &weights);
        for _ in 0..3 {
            prop_assert_eq!(conns(&mut service, shares.iter().sum()), shares.clone());
        }
    }

    #[test]
    fn a_cycle_of_rr_gives_everyone_one(weights in prop::collection::vec(0..4u32, 1..30)) {
        let shares: Vec<u32> = weights.iter().map(|&weight| weight.min(1)).collect();
        let mut service = Service::new(Kind::Rr, Settings::default(), &weights);
        for _ in 0..3 {
            prop_assert_eq!(conns(&mut service, shares.iter().sum()), shares.clone());
        }
    }

    #[test]
    fn hashes_are_functions_of_the_flow(weights in prop::collection::vec(0..9u32, 0..40), clients in prop::collection::vec(any::<u32>(), 20)) {
        for kind in [Kind::Dh, Kind::Sh, Kind::Mh] {
            let mut service = Service::new(kind, Settings::default(), &weights);
            let mut again = Service::new(kind, Settings::default(), &weights);
            for &client in clients.iter().chain(&clients) {
                let picked = service.pick(client);
                prop_assert_eq!(picked, again.pick(client));
                prop_assert!(picked.is_none_or(|index| weights[index] > 0));
            }
        }
    }

    #[test]
    fn with_fallback_somebody_takes_it_while_anybody_can(weights in prop::collection::vec(0..3u32, 1..12), client: u32, down: usize) {
        let flags = Flags { fallback: true, port: false };
        for kind in [Kind::Sh, Kind::Mh] {
            let mut service = Service::new(kind, Settings { flags, ..Settings::default() }, &weights);
            let down = down % weights.len();
            service.set_load(down, OVERLOADED);
            let anybody = weights.iter().enumerate().any(|(index, &weight)| weight > 0 && index != down);
            let picked = service.pick(client);
            prop_assert_eq!(picked.is_some(), anybody, "{}", kind);
            prop_assert!(picked.is_none_or(|index| weights[index] > 0 && index != down));
        }
    }

    #[test]
    fn mh_leaves_clients_alone_when_a_server_is_quiesced(weights in prop::collection::vec(1..9u32, 2..20), quiesced: usize) {
        let mut service = Service::new(Kind::Mh, Settings::default(), &weights);
        let before: Vec<_> = (0..500).map(|client| service.pick(client)).collect();
        let quiesced = quiesced % weights.len();
        service.set_weight(quiesced, 0);
        for (client, before) in before.into_iter().enumerate() {
            let expected = before.filter(|&index| index != quiesced);
            prop_assert_eq!(service.pick(client as u32), expected);
        }
    }
}

/// How many of so many conns each server got.
fn conns(service: &mut Service, count: u32) -> Vec<u32> {
    let mut got = vec![0; service.list.len()];
    for _ in 0..count {
        got[service.pick(1).expect("some server has a weight")] += 1;
    }
    got
}

/// Picks for many clients.
fn owners(service: &mut Service, clients: u32) -> Vec<usize> {
    let spread = |client: u32| client.wrapping_mul(0x9e37_79b1);
    (0..clients).map(|client| service.pick(spread(client)).expect("every server takes conns")).collect()
}

#[test]
fn dh_and_sh_deal_buckets_in_list_order() {
    // The bucket of an address is the top of its product with an odd number: addresses of all 256 buckets.
    let inverse = (0..5).fold(1u32, |x, _| x.wrapping_mul(2u32.wrapping_sub(x.wrapping_mul(0x61C8_8647))));
    let address_of = |bucket: u32| (bucket << 24).wrapping_mul(inverse);
    let mut dh = Service::new(Kind::Dh, Settings::default(), &[5, 1, 2]);
    let mut sh = Service::new(Kind::Sh, Settings::default(), &[3, 1, 2]);
    for bucket in 0..256 {
        let owner = dh.pick_at(flow(1, address_of(bucket)), Moment::default());
        assert_eq!(owner, Some(bucket as usize % 3));
        assert_eq!(sh.pick(address_of(bucket)), Some([0, 0, 0, 1, 2, 2][bucket as usize % 6]));
    }
    sh.set_weight(1, 0);
    assert_eq!(sh.pick(address_of(3)), None, "a quiesced server still has its bucket, and no fallback was asked for");
    assert_eq!(sh.pick(address_of(4)), Some(2));
}

#[test]
fn mh_deals_fairly_and_moves_few_clients() {
    for size in [4093, 65_521] {
        let settings = Settings { mh_table: TableSize::try_from(size).unwrap(), ..Settings::default() };
        let mut service = Service::new(Kind::Mh, settings, &[1; 10]);
        let before = owners(&mut service, 20_000);
        for server in 0..10 {
            let share = before.iter().filter(|&&owner| owner == server).count();
            assert!((1800..2200).contains(&share), "table {size}: server {server} has {share} of 20000");
        }
        // The tenth server leaves: its clients go to others; of the others' clients few move.
        service.remove(9);
        let after = owners(&mut service, 20_000);
        let moved = before.iter().zip(&after).filter(|(before, after)| **before != 9 && before != after).count();
        assert!(moved < 18_000 / 20, "table {size}: {moved} of 18000 clients moved without need");
    }
}

#[test]
fn mh_gives_shares_by_weight() {
    let mut service = Service::new(Kind::Mh, Settings::default(), &[1, 2, 5]);
    let owners = owners(&mut service, 16_000);
    for (server, weight) in [1, 2, 5].into_iter().enumerate() {
        let share = owners.iter().filter(|&&owner| owner == server).count() as f64 / 16_000.0;
        assert!((share - f64::from(weight) / 8.0).abs() < 0.02, "server {server} has {share}");
    }
}

/// Equal bits for equal seeds, and enough of them.
fn random_moments(count: usize) -> impl Iterator<Item = Moment> {
    let next =
        |state: &u64| Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407));
    std::iter::successors(Some(42), next).skip(1).take(count).map(|random| Moment { now_ms: 0, random })
}

#[test]
fn twos_draws_by_weight_and_takes_the_better_of_two() {
    let weights = [1, 3, 0, 4, 8];
    let mut service = Service::new(Kind::Twos, Settings::default(), &weights);
    let mut got = [0u32; 5];
    for at in random_moments(40_000) {
        got[service.pick_at(flow(1, 1), at).unwrap()] += 1;
    }
    // All idle: every comparison is a tie, the first lot stands, and lots fall by weight.
    for (server, weight) in weights.into_iter().enumerate() {
        let share = f64::from(got[server]) / 40_000.0;
        assert!((share - f64::from(weight) / 16.0).abs() < 0.01, "server {server} has {share}");
    }

    // Server 4 is busy: it gets a conn only when both lots fall on it, half times half.
    service.set_load(4, Load { active: 100, total: 100, overloaded: false });
    let busy = random_moments(40_000).filter(|at| service.pick_at(flow(1, 1), *at) == Some(4)).count();
    assert!((f64::from(busy as u32) / 40_000.0 - 0.25).abs() < 0.01, "the busy server got {busy} of 40000");

    // Overloaded, it gets none; and when nobody takes conns, nobody is picked.
    service.set_load(4, OVERLOADED);
    assert!(random_moments(5_000).all(|at| matches!(service.pick_at(flow(1, 1), at), Some(0 | 1 | 3))));
    (0..4).for_each(|server| service.set_load(server, OVERLOADED));
    assert!(random_moments(100).all(|at| service.pick_at(flow(1, 1), at).is_none()));
}

#[test]
fn twos_keeps_loads_near_the_weights() {
    let weights = [1, 2, 3, 4];
    let mut service = Service::new(Kind::Twos, Settings::default(), &weights);
    for at in random_moments(10_000) {
        let index = service.pick_at(flow(1, 1), at).unwrap();
        service.bind(index);
    }
    for (weight, (_, load)) in weights.into_iter().zip(&service.list) {
        let asked = 1000 * weight;
        assert!(load.total.abs_diff(asked) < 50, "weight {weight} got {} conns, asked {asked}", load.total);
    }
}

#[test]
fn no_servers_no_pick() {
    for kind in Kind::ALL {
        let mut service = Service::new(kind, Settings::default(), &[]);
        assert_eq!(service.pick(1), None, "{kind}");
        service.add(0);
        assert_eq!(service.pick(1), None, "{kind}: weight 0");
        service.set_weight(0, 1);
        assert_eq!(service.pick(1), (kind != Kind::NoOne).then_some(0), "{kind}");
        service.remove(0);
        assert_eq!(service.pick(1), None, "{kind}: removed");
    }
}
