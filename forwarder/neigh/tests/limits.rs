//! Full is a state: tables, frames, requests, and what an old id finds.

use super::*;
use crate::neigh::table::BUSY_MS;

fn lan_host(number: u32) -> String {
    format!("fd00::1:{number:x}")
}

fn lan_entries(director: &Director) -> usize {
    director.neighbors.list().iter().filter(|line| line.kind == Kind::Dynamic).count()
}

#[test]
fn a_full_table_gives_up_the_idle_and_keeps_the_used_and_the_pinned() {
    let mut director = Director::quiet(4);
    director.neighbors.servers([address("10.0.0.7")]);
    director.hear(LAN, &answer_of("10.0.0.7", HOST));
    for number in 0..4 {
        director.hear(LAN, &asks(&lan_host(number), HOST, "fd00::1"));
    }
    director.pass(0);
    // Hosts 0, 1 and 2 are used; 3 was only heard of: a newcomer takes its place.
    for number in 0..3 {
        assert!(director.send(&lan_host(number)));
    }
    director.pass(1_000);
    director.want(&lan_host(10));
    assert_eq!(director.known(&lan_host(3)), None);
    // All are busy: nobody is given up, the newcomer is refused.
    director.want(&lan_host(11));
    director.hear(LAN, &asks(&lan_host(12), HOST, "fd00::1"));
    assert_eq!((director.known(&lan_host(11)), director.known(&lan_host(12))), (None, None));
    assert_eq!(director.neighbors.counters().refused, 2);
    // Host 0 stays in use, 1 and 2 fall idle, 10 has failed by then and goes first.
    for _ in 0..BUSY_MS / 1_000 {
        for number in 0..3 {
            director.hear(LAN, &answer_of(&lan_host(number), HOST));
        }
        assert!(director.send(&lan_host(0)));
        director.pass(1_000);
    }
    director.want(&lan_host(20));
    assert_eq!(director.known(&lan_host(10)), None, "the failed one");
    director.want(&lan_host(21));
    director.want(&lan_host(22));
    assert_eq!((director.known(&lan_host(1)), director.known(&lan_host(2))), (None, None), "the idle ones");
    director.want(&lan_host(23));
    assert_eq!(director.known(&lan_host(23)), None);
    assert!(director.known(&lan_host(0)).is_some(), "the used one");
    assert!(director.known("10.0.0.7").is_some(), "the server");
    assert!(director.known("192.0.2.254").is_some(), "the gateway");
    assert_eq!(lan_entries(&director), 4);
}

#[test]
fn an_id_of_the_former_owner_finds_nothing() {
    let mut director = Director::quiet(1);
    director.want("fd00::7");
    director.pass(0);
    let Route::Via(old) = director.hops.route(address("fd00::7")) else { panic!("it has a slot") };
    assert_eq!(NextHopId::from_bits(old.to_bits()), Some(old));
    for _ in 0..4 {
        director.pass(1_000);
    }
    director.want("fd00::8");
    director.pass(0);
    let Route::Via(new) = director.hops.route(address("fd00::8")) else { panic!("it took the slot") };
    assert_eq!(new.slot(), old.slot());
    assert!(director.hops.get(old).is_none());
    assert_eq!(director.hops.get(new).unwrap().address, address("fd00::8"));
    assert_eq!(director.hops.route(address("fd00::7")), Route::OnLink { port: LAN, address: address("fd00::7") });
    director.neighbors.used(old, director.now_ms);
}

#[test]
fn many_at_once_are_asked_turn_by_turn_and_scans_are_cut() {
    let mut director = Director::quiet(5_000);
    for number in 0..WANTED_PER_SECOND + 50 {
        director.want(&lan_host(number));
    }
    assert_eq!(director.neighbors.counters().refused, 50);
    let turns: Vec<usize> = (0..5).map(|_| director.pass(1).len()).collect();
    assert_eq!(turns, [256, 256, 256, 232, 0]);
    // The clock of none was forgotten: all of them fail.
    for _ in 0..40 {
        director.pass(100);
    }
    assert_eq!(director.neighbors.counters().failed, u64::from(WANTED_PER_SECOND));
}

#[test]
fn frames_that_nobody_fetches_are_bounded() {
    let mut director = Director::quiet(10);
    for _ in 0..FRAMES_MAX + 3 {
        director.hear(LAN, &asks("10.0.0.7", HOST, "10.0.0.1"));
    }
    assert_eq!(director.neighbors.counters().unsent, 3);
    assert_eq!(director.pass(0).len(), FRAMES_MAX);
}

#[test]
fn servers_that_leave_do_not_overfill_the_table() {
    let mut director = Director::quiet(10);
    director.neighbors.servers((0..100).map(|number| address(&lan_host(number))));
    assert_eq!(lan_entries(&director), 0);
    director.neighbors.servers((0..50).map(|number| address(&lan_host(number))));
    assert_eq!(lan_entries(&director), 10);
    director.neighbors.servers([]);
    assert_eq!(lan_entries(&director), 10);
    assert_eq!(director.neighbors.dynamic_entries(), 10);
}
