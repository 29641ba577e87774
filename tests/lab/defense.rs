//! Defences against floods of new flows: drop_packet, drop_entry and secure_tcp, always and while memory is short. What the
//! kernel drops and believes is recorded (`tests/golden`); here: when they are up, what they cost, and that they end.

use crate::kit::Lab;
use crate::network::*;
use conntrack::Table;
use conntrack::states::tcp::State;
use uvs::pipeline::Reason;
use uvs::wire::tcp;

const CONNS_MAX: usize = 2_000;
/// drop_entry looks at one of so many places a second, as the kernel at one of so many buckets.
const SHARE: f64 = 32.0;

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
    // Another rate counts from the next dropped one on.
    let first = syns(&mut lab, 4_000, rate as u16 + 20);
    let dropped = first.trim_start_matches('1');
    assert!(dropped.len() >= 20 && !dropped.contains('1'), "{first}");
    assert!(send(&mut lab, 3_000, tcp::ACK) && send(&mut lab, 3_001, tcp::ACK));
    // The table fills: what was enough becomes too little, and is again when it empties.
    reload(&mut lab, &format!("drop_packet = 1\namemthresh = {}", all / 2));
    assert!(syns(&mut lab, 10_000, 1_500).starts_with("1111"));
    lab.advance(1_000);
    assert!(syns(&mut lab, 20_000, 300).contains('0'));
    lab.advance_in_steps(62_000, 100);
    assert_eq!(syns(&mut lab, 30_000, 300).matches('0').count(), 0);
}

/// Each second one of 32 places is looked at. What is half open there ends; what is established does not, while it is in use.
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

/// How much of what a look ends is left after so many looks, each at one of 32: what the kernel's measured conns do, too.
fn left_after(looks: f64, of: f64) -> f64 {
    (-looks / SHARE / of).exp()
}

/// Found and expected shares that are not further apart than chance, of these few conns and these few looks, explains.
#[track_caller]
fn near(found: usize, all: usize, expected: f64, what: &str) {
    let found = found as f64 / all as f64;
    assert!((found - expected).abs() < 0.15, "{what}: {found} are left, expected {expected}");
}

/// Idle conns: the fewer packets of its client one had, the sooner it goes; with nine it never does. Not before a minute.
#[test]
fn drop_entry_ends_idle_conns_by_their_packets() {
    const PACKETS: [u16; 5] = [1, 2, 4, 8, 9];
    const EACH: u16 = 300;
    let config = network(&format!("conns_max = {CONNS_MAX}")) + "[ipvs]\ndrop_entry = 3\n";
    let mut lab = Lab::new(&(config + &service("udp", "198.51.100.10:80", "") + &server("10.0.0.11:80", "nat")));
    let port = |packets: u16, i: u16| packets * 1_000 + i;
    // One beside the other: a look is at places that lie one behind the other.
    for i in 0..EACH {
        for packets in PACKETS {
            for _ in 0..packets {
                one(&mut lab, WAN, &V4.client_sends().udp(port(packets, i), 80, b"x"), LAN);
            }
            // What its server says does not count.
            for _ in 0..3 {
                one(&mut lab, LAN, &V4.server_sends(CLIENT).udp(80, port(packets, i), b"x"), WAN);
            }
        }
    }
    let all = usize::from(EACH);
    let of = |lab: &Lab, packets: u16| {
        lab.conns().iter().filter(|conn| (port(packets, 0)..port(packets, EACH)).contains(&conn.client().1)).count()
    };
    lab.advance_in_steps(59_000, 250);
    assert_eq!(lab.conns().len(), PACKETS.len() * all, "none is idle for a minute");
    lab.advance_in_steps(61_000, 250);
    for packets in PACKETS {
        let expected = if packets > 8 { 1.0 } else { left_after(60.0, packets.into()) };
        near(of(&lab, packets), all, expected, &format!("{packets} packets"));
    }
    assert_eq!(of(&lab, 9), all);
}

fn persistent(timeouts: &str) -> Lab {
    let config = network("conns_max = 700\ntemplates_max = 700");
    let config = config + "[ipvs]\ndrop_entry = 3\n[timeouts]\n" + timeouts + "\n";
    let tcp = service("tcp", "198.51.100.10:80", "persistent = \"10m\"") + &server("10.0.0.11:80", "nat");
    Lab::new(
        &(config + &tcp + &service("udp", "198.51.100.10:80", "persistent = \"10m\"") + &server("10.0.0.11:80", "nat")),
    )
}

fn of_client(i: u16) -> uvs::wire::build::Frame {
    V4.client_at(&format!("203.0.{}.{}", i >> 8, i & 255))
}

/// A template goes with the conn that drop_entry ended, if that was its only one and none ever was established.
#[test]
fn drop_entry_ends_templates_with_their_conns() {
    let mut lab = persistent("");
    for i in 0..400 {
        // A third has an established conn beside the half-open one, or had one.
        let more: &[u8] = [&[][..], &[tcp::SYN, tcp::ACK], &[tcp::SYN, tcp::ACK, tcp::RST]][usize::from(i % 3)];
        for flags in more {
            one(&mut lab, WAN, &of_client(i).tcp((1, 80), (5, 9), *flags, b""), LAN);
        }
        one(&mut lab, WAN, &of_client(i).tcp((2, 80), (5, 9), tcp::SYN, b""), LAN);
    }
    for _ in 0..50 {
        lab.advance_in_steps(1_000, 250);
        let conns = lab.conns();
        let only_half_open = (0..400u16).filter(|i| i % 3 == 0);
        let alive = only_half_open
            .filter(|i| conns.iter().any(|conn| conn.client().0 == ip(&format!("203.0.{}.{}", i >> 8, i & 255))));
        // 266 of the others stay: they are assured.
        assert_eq!(lab.control.shared().templates.len(), alive.count() + 266);
    }
    let left = lab.control.shared().templates.len() - 266;
    near(left, 134, left_after(50.0, 1.0), "templates");
}

/// Templates that outlived their conns: those that were never assured go, one of 32 places a second, the others stay.
#[test]
fn drop_entry_ends_templates_without_conns() {
    let mut lab = persistent("udp = \"2s\"");
    for i in 0..600 {
        one(&mut lab, WAN, &of_client(i).udp(1, 80, b"x"), LAN);
        if i % 2 == 0 {
            let client = format!("203.0.{}.{}", i >> 8, i & 255);
            one(&mut lab, LAN, &V4.server_sends(&client).udp(80, 1, b"x"), WAN);
        }
    }
    lab.advance_in_steps(4_000, 250);
    assert_eq!(lab.conns().len(), 0);
    let begun = lab.control.shared().templates.len() - 300;
    lab.advance_in_steps(40_000, 250);
    near(lab.control.shared().templates.len() - 300, begun, left_after(40.0, 1.0), "templates");
    lab.advance_in_steps(300_000, 1_000);
    assert_eq!(lab.control.shared().templates.len(), 300, "assured ones live their time");
}

/// `uvs show workers` says which defences are up now: those of value 3 always, the others come and go with the memory.
#[test]
fn show_says_which_defenses_are_up() {
    let up = |lab: &mut Lab| crate::show::workers(lab).workers[0].defenses.join(" ");
    let mut lab = Lab::new(&file(""));
    assert_eq!(up(&mut lab), "");
    reload(&mut lab, "drop_packet = 3\nsecure_tcp = 3\ndrop_entry = 3");
    assert_eq!(up(&mut lab), "drop_entry drop_packet secure_tcp");
    reload(&mut lab, &format!("secure_tcp = 1\ndrop_entry = 2\namemthresh = {}", pages(CONNS_MAX) / 2));
    assert_eq!(up(&mut lab), "");
    for port in 0..1_200 {
        assert!(send(&mut lab, 1_000 + port, tcp::SYN));
    }
    lab.advance_in_steps(1_500, 250);
    assert_eq!(up(&mut lab), "drop_entry secure_tcp");
    lab.advance_in_steps(62_000, 250);
    assert_eq!(up(&mut lab), "", "the conns have ended, in an idle worker");
}
