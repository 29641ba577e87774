//! More than a director can take, beside conns that are established: each flood meets its bound and its counter, the conns that
//! are there go on in the midst of it, and when its cause ends everything is as before, to the last conn, buffer and byte. With
//! one worker and with two; that a worker's turn takes no memory is asserted by the kit.

use crate::flood::*;
use crate::kit::port_mac;
use crate::network::*;
use uvs::pipeline::Reason;
use uvs::wire::build::Frame;
use uvs::wire::tcp;
use uvs::worker::held::HELD_MAX;
use uvs::worker::limit::{ANSWERS_BURST, ANSWERS_PER_S};

#[test]
fn new_flows_at_full_rate() {
    withstands(Flood {
        what: "new flows",
        counters: |lab| (0..lab.workers.len()).map(|worker| lab.control.counts(worker).conns_made).sum(),
        bound: |lab, left| assert_eq!((left, lab.dropped(Reason::TableFull)), (1_000, 0), "each new flow is forwarded"),
        seen: |seen| seen.conns >= 4_000,
        ..FLOOD
    });
}

#[test]
fn a_full_table() {
    withstands(Flood {
        what: "a full table",
        conns_max: 300,
        counters: |lab| lab.dropped(Reason::TableFull),
        bound: |lab, _| assert!(lab.workers.iter().all(|worker| worker.shard().table.len() <= 300)),
        seen: |seen| seen.conns >= 300 && seen.counted >= 3_000,
        ..FLOOD
    });
}

#[test]
fn no_local_ports_left() {
    withstands(Flood {
        what: "no local ports",
        conns_max: 70_000,
        rounds: 14,
        frames: 5_000,
        frame: |n| (WAN, datagram(n, ONE_SERVER)),
        counters: |lab| lab.dropped(Reason::LocalPorts),
        bound: |lab, _| assert!(conns(lab) <= 64_512 + 2 * usize::from(ESTABLISHED)),
        seen: |seen| seen.conns > 60_000 && seen.counted > 5_000,
        ..FLOOD
    });
}

#[test]
fn next_hops_that_never_answer() {
    withstands(Flood {
        what: "silent next hops",
        // Until they are given up, and well beyond.
        rounds: 30,
        round_ms: 2_000,
        frame: |n| (WAN, datagram(n % 1_000, SILENT)),
        begin: |lab| lab.moved.extend(silent().map(|server| (server, None))),
        from_start: true,
        end: |lab| {
            lab.moved.clear();
            // A frame that is dropped makes control ask again.
            (0..1_000).for_each(|n| lab.cables[WAN].put(&datagram(n, SILENT)));
            lab.advance(2_000);
        },
        counters: |lab| {
            [Reason::HeldFull, Reason::HeldTooLong, Reason::NeighborFailed]
                .map(|reason| lab.dropped(reason))
                .iter()
                .sum()
        },
        bound: |lab, _| {
            let held = |worker| lab.control.counts(worker).held;
            assert!((0..lab.workers.len()).all(|worker| held(worker) <= HELD_MAX as u64));
        },
        seen: |seen| seen.counted > 10_000 && seen.held >= HELD_MAX as u64,
        ..FLOOD
    });
}

/// RSTs, port unreachable, echo, and time exceeded about a service's packets.
#[test]
fn what_must_be_answered() {
    withstands(Flood {
        what: "answers",
        frame: |n| {
            let from = |to| Frame::new(client(n).ip(), ip(to)).macs(mac(ROUTER), port_mac(WAN));
            let frame = match n % 4 {
                0 => from(VIP).tcp((client(n).port(), NOBODY), (1, 0), tcp::SYN, b""),
                1 => from(VIP).udp(client(n).port(), NOBODY, b""),
                2 => from(V4.wan).icmp(8, 0, 1, b"ping"),
                _ => from(VIP).ttl(1).udp(client(n % 400).port(), NEW, b""),
            };
            (WAN, frame)
        },
        counters: |lab| lab.dropped(Reason::AnswerLimited),
        bound: |lab, left| assert!(left as u64 <= lab.workers.len() as u64 * (ANSWERS_BURST + ANSWERS_PER_S / 100)),
        // What was refused for a reason of its own counts when its sender is not told, too.
        seen: |seen| seen.counted >= 4_000 - 2 * (ANSWERS_BURST + 4 * ANSWERS_PER_S / 100) && seen.left > 0,
        ..FLOOD
    });
}

/// One buffer is left: what comes one by one is forwarded, for it gives back what it takes; what comes at once is lost in the
/// device, and nothing of the director's own can be made.
#[test]
fn a_pool_that_is_nearly_dry() {
    withstands(Flood {
        what: "one buffer",
        frame: |_| (WAN, Frame::between(CLIENT, VIP).macs(mac(ROUTER), port_mac(WAN)).icmp(8, 0, 1, b"ping")),
        begin: |lab| lab.pool.set_free(1),
        end: |lab| lab.pool.set_free(BUFFERS),
        one_by_one: true,
        counters: |lab| lab.dropped(Reason::NoBuffer) + lost_in_devices(lab),
        bound: |lab, left| assert_eq!((left, lab.pool.free()), (0, 1)),
        seen: |seen| seen.counted == 4_000,
        ..FLOOD
    });
}

#[test]
fn a_pool_that_is_dry() {
    withstands(Flood {
        what: "no buffer",
        begin: |lab| lab.pool.set_free(0),
        end: |lab| lab.pool.set_free(BUFFERS),
        passes: &[],
        counters: lost_in_devices,
        bound: |lab, left| assert_eq!((left, lab.pool.free()), (0, 0)),
        seen: |seen| seen.counted >= 4_000,
        ..FLOOD
    });
}

#[test]
fn a_device_that_refuses_to_transmit() {
    withstands(Flood {
        what: "a device that refuses",
        begin: |lab| ports(lab, LAN).for_each(|port| lab.cables[port].set_tx_room(0)),
        end: |lab| ports(lab, LAN).for_each(|port| lab.cables[port].set_tx_room(usize::MAX)),
        // To the clients they go on.
        passes: &[LAN],
        counters: |lab| lab.dropped(Reason::TxRefused),
        bound: |lab, left| assert_eq!((left, lab.pool.free()), (0, BUFFERS)),
        seen: |seen| seen.counted >= 4_000,
        ..FLOOD
    });
}
