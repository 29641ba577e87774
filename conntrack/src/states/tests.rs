//! Replays the recordings of the kernel: every state, every time-out, every change of ActiveConn.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::*;

/// A conn as the recordings see it.
struct Replay {
    protocol: u8,
    two_way: bool,
    secure: bool,
    sloppy: bool,
    timeouts: Timeouts,
}

impl Replay {
    fn of(case: &Value) -> Replay {
        let on = |name: &str| case["sysctls"].get(name).is_some();
        Replay {
            protocol: if case["proto"] == "TCP" { TCP } else { SCTP },
            two_way: case["fwd"] == "nat",
            secure: on("net/ipv4/vs/secure_tcp"),
            sloppy: on("net/ipv4/vs/sloppy_tcp") || on("net/ipv4/vs/sloppy_sctp"),
            timeouts: Timeouts::default(),
        }
    }

    fn step(&self, state: Option<u8>, packet: &str) -> Option<u8> {
        let (side, what) = packet.split_once(':').unwrap();
        let seen = match (side, self.two_way) {
            ("c", true) => Seen::Inbound,
            ("c", false) => Seen::InboundOnly,
            _ => Seen::Outbound,
        };
        if self.protocol == TCP {
            let event = tcp::Event::of(tcp_flags(what));
            match state {
                Some(state) => Some(tcp::next(tcp::State::of(state), event, seen, self.secure) as u8),
                None if side == "s" => None,
                None => tcp::first(event, seen, self.secure, self.sloppy).map(|state| state as u8),
            }
        } else {
            let event = sctp::Event::of(chunk_type(what));
            match state {
                Some(state) => Some(sctp::next(sctp::State::of(state), event, seen) as u8),
                None if side == "s" => None,
                None => sctp::first(event, seen, self.sloppy).map(|state| state as u8),
            }
        }
    }
}

fn tcp_flags(what: &str) -> u8 {
    match what {
        "syn" => 0x02,
        "synack" => 0x12,
        "ack" => 0x10,
        "fin" => 0x11,
        "rst" => 0x04,
        "none" => 0,
        "psh" => 0x08,
        "synfin" => 0x03,
        "synrst" => 0x06,
        "finrst" => 0x05,
        "finonly" => 0x01,
        other => panic!("unknown segment {other}"),
    }
}

fn chunk_type(what: &str) -> u8 {
    let names = ["data", "init", "init_ack", "sack", "heartbeat", "heartbeat_ack", "abort", "shutdown", "shutdown_ack"];
    let more = ["error", "cookie_echo", "cookie_ack", "ecne", "cwr", "shutdown_complete", "auth"];
    let all = names.iter().chain(&more);
    all.zip(0..).find(|(name, _)| **name == what).map_or(0xc1, |(_, number)| number)
}

/// Replays a folder; returns how many packets it held.
fn replay_folder(folder: &Path) -> usize {
    let mut packets = 0;
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            packets += replay_file(&path);
        }
    }
    packets
}

fn replay_file(path: &Path) -> usize {
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let replay = Replay::of(&lines.next().unwrap());
    let mut packets = 0;
    for line in lines {
        let mut state = None;
        for (packet, expected) in line["seq"].as_array().unwrap().iter().zip(line["states"].as_array().unwrap()) {
            let packet = packet.as_str().unwrap();
            let place = || format!("{}: {packet} of {}", path.display(), line["seq"]);
            let before = state.is_some_and(|state| is_active(replay.protocol, state));
            state = replay.step(state, packet);
            let after = state.is_some_and(|state| is_active(replay.protocol, state));
            let shown = state.map_or("-", |state| name(replay.protocol, state));
            assert_eq!(shown, expected[0], "{}", place());
            assert_eq!(i64::from(after) - i64::from(before), expected[2].as_i64().unwrap(), "active, {}", place());
            if let Some(state) = state {
                // /proc rounds down, was read up to some 10 ms later, and rounds SCTP's up: a second either way.
                let seconds = i64::from(replay.timeouts.seconds(replay.protocol, state));
                assert!((seconds - expected[1].as_i64().unwrap()).abs() <= 1, "{seconds} s, {expected}, {}", place());
            }
            packets += 1;
        }
    }
    packets
}

#[test]
fn kernel_recordings() {
    let golden = std::env::var_os("GOLDEN_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden"), PathBuf::from);
    let packets = replay_folder(&golden.join("states"));
    println!("states: {packets} packets, 0 wrong");
    assert!(packets > 9_000, "only {packets} packets in {}: is the folder complete?", golden.display());
}

#[test]
fn deeper_recordings() {
    let packets = replay_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/states"));
    assert!(packets > 1_000, "only {packets} packets");
}

#[test]
fn first_packets_are_in_the_recordings_of_both_kinds() {
    use tcp::{Event, State};
    assert_eq!(tcp::first(Event::Ack, Seen::Inbound, false, false), None);
    assert_eq!(tcp::first(Event::Ack, Seen::Inbound, false, true), Some(State::Established));
    assert_eq!(tcp::first(Event::Rst, Seen::Inbound, false, true), None);
    assert_eq!(Seen::of(Method::Dr, Direction::Inbound), Seen::InboundOnly);
    assert_eq!(Seen::of(Method::FullNat, Direction::Outbound), Seen::Outbound);
}

#[test]
fn numbers_and_states_agree() {
    for number in 0..tcp::STATES as u8 {
        assert_eq!(tcp::State::of(number) as u8, number);
    }
    for number in 0..sctp::STATES as u8 {
        assert_eq!(sctp::State::of(number) as u8, number);
    }
    assert_eq!((tcp::State::of(200), sctp::State::of(200)), (tcp::State::None, sctp::State::None));
    assert_eq!((name(UDP, 0), name(50, 0)), ("UDP", "NONE"));
}
