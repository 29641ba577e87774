//! Fragments wait for a bounded time in a bounded number of places, and nobody takes all of them.

use super::*;
use uvs::fragments::waiting::{FRAGMENTS_MAX, PACKETS_MAX, SHARE};

/// Fragments that wait too long: the sender of the first one is told, from the address that it wrote to.
#[test]
fn time_runs_out() {
    for (family, wait_ms, kind) in [(V4, 30_000, 11), (V6, 60_000, 3)] {
        let parts = pieces(&datagram(family.client_sends(), (CPORT, 80), 2_000, 1), &[800, 800], 1);
        let mut lab = lab(family, "nat", family);
        assert!(put_all(&mut lab, WAN, &[parts[2].clone(), parts[0].clone()]).is_empty());
        assert!(lab.advance(wait_ms - 1_000).is_empty(), "{}", family.name);
        assert_eq!(lab.control.counts(0).held, 2);
        let left = lab.advance(2_000);
        assert_eq!(left.len(), 1, "{}: {:?}", family.name, shown(&left));
        let v4 = family.name == "IPv4";
        let quote = &parts[0][14..];
        let expected = if v4 {
            let id = u16::from_be_bytes([left[0].frame[18], left[0].frame[19]]);
            let from = family.client_gets(family.vip).tos(0xc0).dont_fragment(false).id(id);
            from.icmp(kind, 1, 0, &quote[..548])
        } else {
            family.client_gets(family.wan).icmp(kind, 1, 0, quote)
        };
        assert_eq!(left[0].frame, expected, "{}", family.name);
        assert_eq!((lab.dropped(Reason::FragmentTimeout), lab.control.counts(0).held), (2, 0));
        // The rest comes too late, and without the first nobody is told.
        assert!(put_all(&mut lab, WAN, &parts[1..2]).is_empty());
        assert!(lab.advance(wait_ms + 1_000).is_empty());
        assert_eq!(lab.dropped(Reason::FragmentTimeout), 3);
    }
}

/// A flood of first fragments from one sender costs that sender's packets, and nobody else's.
#[test]
fn one_sender_cannot_take_all_places() {
    for family in FAMILIES {
        let mut lab = lab(family, "nat", family);
        let other = if family.name == "IPv4" { "203.0.113.66" } else { "2001:db8:c::66" };
        let flood = |n: u32| {
            let sent = datagram(family.client_at(other), (9, 80), 2_000, n as u16);
            pieces(&sent, &[1_208], 0x10000 + n)[0].clone()
        };
        let sent = datagram(family.client_sends(), (CPORT, 80), 20_000, 1);
        let parts = pieces(&sent, &[1_440; 13], 1);
        let mut left = Vec::new();
        for (n, part) in parts.iter().enumerate() {
            let wave: Vec<_> = (0..100).map(|at| flood(n as u32 * 100 + at)).collect();
            put_all(&mut lab, WAN, &wave);
            left.extend(put_all(&mut lab, WAN, std::slice::from_ref(part)));
        }
        assert_eq!(joined(&left).len(), sent.len(), "{}", family.name);
        let share = (PACKETS_MAX / SHARE) as u64;
        assert_eq!(lab.control.counts(0).held, share, "{}", family.name);
        assert_eq!(lab.dropped(Reason::FragmentsFull), 14 * 100 - share);
        lab.advance(61_000);
        assert_eq!(lab.control.counts(0).held, 0);
    }
}

/// Many senders fill all places: the oldest go, and a packet whose fragments come close together passes.
#[test]
fn the_oldest_make_room() {
    let mut lab = lab(V4, "nat", V4);
    let from = |n: usize| datagram(V4.client_at(&format!("198.18.{}.{}", n / 250, 1 + n % 250)), (9, 80), 2_000, 1);
    for n in 0..2 * PACKETS_MAX {
        lab.cables[WAN].put(&pieces(&from(n), &[1_200], 1)[0]);
    }
    assert!(lab.settle().is_empty());
    assert_eq!(lab.control.counts(0).held, PACKETS_MAX as u64);
    assert_eq!(lab.dropped(Reason::FragmentsFull), PACKETS_MAX as u64);
    let parts = pieces(&datagram(V4.client_sends(), (CPORT, 80), 2_000, 1), &[800, 800], 1);
    assert_eq!(put_all(&mut lab, WAN, &parts).len(), 3);
    // Many fragments each: the places for fragments are full before those for packets.
    for n in 0..40 {
        let parts = pieces(&from(n), &[16; 60], 7);
        put_all(&mut lab, WAN, &parts[..60]);
    }
    let held = lab.control.counts(0).held as usize;
    assert!((FRAGMENTS_MAX - 60..=FRAGMENTS_MAX).contains(&held), "{held}");
}

/// A packet waits for its next hop in one piece, and leaves in fragments when the neighbour has answered; when the pool is
/// dry it is dropped by its name.
#[test]
fn next_hops_and_pools() {
    let mut lab = Lab::unstarted(&config(V4, "nat", V4, "conns_max = 500", 1_500), 0);
    lab.hosts_answer = false;
    let sent = datagram(V4.client_sends(), (CPORT, 80), 4_000, 1);
    let parts = pieces(&sent, &[1_200, 1_200, 1_200], 1);
    assert!(put_all(&mut lab, WAN, &parts).is_empty());
    assert_eq!(lab.control.counts(0).held, 1);
    lab.hosts_answer = true;
    assert_eq!(joined(&lab.advance(3_000)).len(), sent.len());
    // The fragments that come take buffers, too.
    lab.pool.set_free(parts.len() + 2);
    assert_eq!(put_all(&mut lab, WAN, &parts).len(), 2);
    assert_eq!(lab.dropped(Reason::NoBuffer), 1);
}
