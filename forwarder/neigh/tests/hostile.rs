//! Frames from anybody, in any order, at any time: nothing breaks, nothing grows, nobody is asked more than once a second.

use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

const NEIGHBORS_MAX: usize = 6;

#[derive(Clone, Debug)]
enum Step {
    Hear(u16, Vec<u8>),
    Want(u16, IpAddr),
    Send(IpAddr),
    Pass(u64),
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        (0..12u8).prop_map(|n| format!("10.0.0.{n}")),
        (0..12u8).prop_map(|n| format!("fd00::{n:x}")),
        Just("fe80::7".to_string()),
        Just("10.0.0.255".to_string()),
        Just("198.51.100.1".to_string()),
        Just("224.0.0.1".to_string()),
        Just("10.0.0.250".to_string()),
    ]
}

fn mac() -> impl Strategy<Value = Mac> {
    prop_oneof![
        Just(HOST),
        Just(OTHER),
        Just(LAN_MAC),
        Just(Mac::ZERO),
        Just(Mac::BROADCAST),
        any::<[u8; 6]>().prop_map(Mac)
    ]
}

fn sound_frame() -> impl Strategy<Value = Vec<u8>> {
    (host(), mac(), 0..3u8).prop_map(|(who, mac, kind)| {
        let own = if address(&who).is_ipv4() { "10.0.0.1" } else { "fd00::1" };
        match kind {
            0 => asks(&who, mac, own),
            1 => tells(&who, mac, own, LAN_MAC),
            _ => announces(&who, mac),
        }
    })
}

/// Sound frames with a few bytes changed, cut, or with something behind them.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let wounds = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let wounded = (sound_frame(), wounds, 0..140usize, proptest::collection::vec(any::<u8>(), 0..40));
    let wounded = wounded.prop_map(|(mut frame, wounds, length, tail)| {
        for (at, byte) in wounds {
            let at = at.index(frame.len());
            frame[at] = byte;
        }
        frame.extend(tail);
        frame.truncate(length);
        frame
    });
    prop_oneof![sound_frame(), wounded, proptest::collection::vec(any::<u8>(), 0..200)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3u16, frame()).prop_map(|(port, frame)| Step::Hear(port, frame)),
        2 => (0..3u16, host()).prop_map(|(port, who)| Step::Want(port, address(&who))),
        2 => host().prop_map(|who| Step::Send(address(&who))),
        3 => prop_oneof![Just(0), 1..1_500u64, Just(1_000), 20_000..40_000u64].prop_map(Step::Pass),
    ]
}

/// Entries that are forgotten and made again may be asked sooner; with room for all they are not.
fn run(steps: Vec<Step>, neighbors_max: usize) -> Result<(), TestCaseError> {
    let mut director = Director::new(neighbors_max);
    let mut asked_ms: HashMap<String, u64> = HashMap::new();
    for step in steps {
        match step {
            Step::Hear(port, frame) => director.hear(port, &frame),
            Step::Want(port, who) => director.neighbors.wanted(port, who, director.now_ms),
            Step::Send(who) => {
                director.send(&who.to_string());
            }
            Step::Pass(ms) => {
                for line in director.pass(ms) {
                    let Some((_, whom)) = line.split_once(" asks ") else { continue };
                    let key = format!("{} {whom}", &line[..1]);
                    let before_ms = asked_ms.insert(key, director.now_ms);
                    let gap_ms = before_ms.map_or(u64::MAX, |before_ms| director.now_ms - before_ms);
                    prop_assert!(neighbors_max == NEIGHBORS_MAX || gap_ms >= 1_000, "{line} after {gap_ms} ms");
                }
            }
        }
        check(&mut director, neighbors_max)?;
    }
    Ok(())
}

fn check(director: &mut Director, neighbors_max: usize) -> Result<(), TestCaseError> {
    director.hops = director.neighbors.snapshot().unwrap_or(director.hops.clone());
    let lines = director.neighbors.list();
    let dynamic = lines.iter().filter(|line| line.kind == Kind::Dynamic).count();
    prop_assert!(dynamic <= neighbors_max, "{dynamic} entries");
    prop_assert_eq!(dynamic, director.neighbors.dynamic_entries());
    for line in lines {
        let port = if line.port == "lan" { LAN } else { WAN };
        let Route::Via(id) = director.hops.route_on(port, line.address) else {
            return Err(TestCaseError::fail(format!("{line:?} is not in the snapshot")));
        };
        let hop = director.hops.get(id).unwrap();
        let ready = hop.state == NextHopState::Ready;
        prop_assert_eq!((hop.port, hop.address), (port, line.address));
        prop_assert!(hop.header.starts_with(&line.mac.map_or([0; 6], |mac| mac.0)), "{:?}", line);
        prop_assert_eq!(ready, line.mac.is_some_and(|mac| !mac.is_group()), "{:?}", line);
        prop_assert!(!director.hops.is_local(line.address), "{:?}", line);
        prop_assert!(line.kind != Kind::Static || hop.header[..6] == OTHER.0, "{:?}", line);
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_small_table_survives_everything(steps in proptest::collection::vec(step(), 0..80)) {
        run(steps, NEIGHBORS_MAX)?;
    }

    #[test]
    fn nobody_is_asked_more_than_once_a_second(steps in proptest::collection::vec(step(), 0..80)) {
        run(steps, 1_000)?;
    }
}
