//! Defences against floods of new flows: drop_packet, drop_entry and secure_tcp, always and while memory is short. What the
//! kernel drops and believes is recorded (`tests/golden`); here: when they are up, what they cost, and that they end.

use crate::kit::Lab;
use crate::network::*;
use conntrack::Table;
use conntrack::states::tcp::State;
use uvs::pipeline::Reason;
use uvs::wire::tcp;

const CONNS_MAX: usize = 2_000;

fn file(ipvs: &str) -> String {
    let base = network(&format!("conns_max = {CONNS_MAX}")) + &format!("[ipvs]\n{ipvs}\n");
    base + &service("tcp", "198.51.100.10:80", "scheduler = \"rr\"") + &server("10.0.0.11:80", "nat")
}

fn reload(lab: &mut Lab, ipvs: &str) {
    let config = config::parse(&file(ipvs), "new.toml").unwrap_or_else(|errors| panic!("{errors}"));
    lab.control.apply(config).unwrap();
    lab.settle();
}

fn send(lab: &mut Lab, port: u16, flags: u8) -> bool {
    !lab.send(WAN, &V4.client_sends().tcp((port, 80), (1, 1), flags, b"")).is_empty()
}

/// Pages of the table that hold so many places.
fn pages(places: usize) -> u64 {
    (places * Table::memory_bytes(CONNS_MAX) / CONNS_MAX / 4_096) as u64
}

/// Which of so many SYNs go through: `1` does, `0` does not.
fn syns(lab: &mut Lab, from: u16, count: u16) -> String {
    (from..from + count).map(|port| if send(lab, port, tcp::SYN) { '1' } else { '0' }).collect()
}

#[test]
fn drop_packet_while_memory_is_short() {
    let all = pages(CONNS_MAX);
    // Twice what there is: one of two is dropped, the second. A tenth more: one of eleven.
    let short = format!("drop_packet = 1\namemthresh = {}", all * 2);
    let mut lab = Lab::new(&file(&short));
    assert_eq!(syns(&mut lab, 1_000, 10), "1010101010");
    assert_eq!(lab.dropped(Reason::DropPacket), 5);
    reload(&mut lab, &format!("drop_packet = 2\namemthresh = {}", all * 11 / 10));
    let dropped = syns(&mut lab, 2_000, 110).matches('0').count();
    let rate = (all * 11 / 10) / (all * 11 / 10 - pages(CONNS_MAX - 5));
    assert!(dropped.abs_diff(110 / rate as usize) <= 1, "{dropped} dropped at one of {rate}");
    // There is enough: none.
    reload(&mut lab, &format!("drop_packet = 1\namemthresh = {}", all / 2));
    assert_eq!(syns(&mut lab, 3_000, 20).matches('0').count(), 0);
    // What has a conn is never dropped, even where all first packets are.
    reload(&mut lab, "drop_packet = 3\nam_droprate = 1");
    assert_eq!(syns(&mut lab, 4_000, 20).matches('1').count(), 0);
    assert!(send(&mut lab, 3_000, tcp::ACK) && send(&mut lab, 3_001, tcp::ACK));
    // The table fills: what was enough becomes too little, and is again when it empties.
    reload(&mut lab, &format!("drop_packet = 1\namemthresh = {}", all / 2));
    assert!(syns(&mut lab, 10_000, 1_500).starts_with("1111"));
    lab.advance(1_000);
    assert!(syns(&mut lab, 20_000, 300).contains('0'));
    lab.advance_in_steps(62_000, 100);
    assert_eq!(syns(&mut lab, 30_000, 300).matches('0').count(), 0);
}

/// Each second one of 32 places is looked at. What is half open there ends; what is established, or more, never does.
#[test]
fn drop_entry_ends_half_open_conns() {
    const SECONDS: usize = 20;
    let rows = [
        ("never", "drop_entry = 0", 0),
        ("always", "drop_entry = 3", SECONDS),
        ("memory is short", "drop_entry = 1\namemthresh = 4194304", SECONDS),
        ("it is not", "drop_entry = 2\namemthresh = 1", 0),
    ];
    for (what, ipvs, looks) in rows {
        let mut lab = Lab::new(&file(ipvs));
        for port in 0..1_000 {
            send(&mut lab, 1_000 + port, tcp::SYN);
            send(&mut lab, 10_000 + port, tcp::SYN);
            send(&mut lab, 10_000 + port, tcp::ACK);
        }
        let of = |lab: &Lab, state: State| lab.conns().iter().filter(|conn| conn.state == state as u8).count();
        let begun = of(&lab, State::SynRecv);
        lab.advance_in_steps(SECONDS as u64 * 1_000, 10);
        let ended = begun - of(&lab, State::SynRecv);
        assert_eq!(of(&lab, State::Established), 1_000, "{what}: established");
        // All places are taken, every other one by a half-open conn; a place may be looked at again.
        let at_most = looks * CONNS_MAX.div_ceil(32) + CONNS_MAX.div_ceil(32);
        assert!(ended <= at_most, "{what}: {ended} ended, of {at_most} looked at");
        assert!(looks == 0 || ended >= at_most / 10, "{what}: {ended} ended, of {at_most} looked at");
    }
}

#[test]
fn secure_tcp_while_memory_is_short() {
    let rows = [
        ("never", "secure_tcp = 0", State::Established),
        ("always", "secure_tcp = 3", State::SynAck),
        ("memory is short", "secure_tcp = 2\namemthresh = 4194304", State::SynAck),
        ("it is not", "secure_tcp = 1\namemthresh = 1", State::Established),
    ];
    for (what, ipvs, state) in rows {
        let mut lab = Lab::new(&file(""));
        reload(&mut lab, ipvs);
        send(&mut lab, 1_000, tcp::SYN);
        lab.send(LAN, &V4.server_sends(CLIENT).tcp((80, 1_000), (1, 1), tcp::SYN | tcp::ACK, b""));
        send(&mut lab, 1_000, tcp::ACK);
        assert_eq!(State::of(lab.conns()[0].state), state, "{what}");
    }
}
