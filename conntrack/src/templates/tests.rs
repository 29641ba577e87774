//! What the kernel's recording shows of templates (`tests/golden/timers`), limits, and ids that outlive their template.

use super::*;
use std::net::IpAddr;

fn second(number: u32) -> Tick {
    Tick(u32::MAX - 500).after(number * Tick::PER_SECOND)
}

fn key(client: u8) -> TemplateKey {
    let service = Service::Address { protocol: 6, vip: "10.99.0.1".parse().unwrap(), port: 80 };
    TemplateKey::new([10, 0, 0, client].into(), service).unwrap()
}

fn templates(max: usize) -> Templates {
    Templates::new(max, Seed::from_u64(1), second(0))
}

fn is_live(all: &Templates, client: u8, now: u32) -> bool {
    all.entry(key(client), second(now)).template().is_some()
}

/// Seconds at which the wheel is called each second and the template is last there.
fn lives_until(all: &Templates, end: u32, mut at: impl FnMut(u32)) -> Option<u32> {
    let mut last = None;
    for now in 0..end {
        at(now);
        all.expire(second(now), 1000);
        if !all.is_empty() {
            last = Some(now);
        }
    }
    last
}

#[test]
fn unused_template_ends_after_its_timeout() {
    let all = templates(10);
    all.entry(key(1), second(0)).insert(7, Tick::of_seconds(20)).unwrap();
    assert!(is_live(&all, 1, 19) && !is_live(&all, 1, 20));
    let all = templates(10);
    all.entry(key(1), second(0)).insert(7, Tick::of_seconds(20)).unwrap();
    assert_eq!(lives_until(&all, 60, |_| ()), Some(20));
}

/// The recording's c1: 3 s, its conn ends at 41 s, the template a minute after its first end.
#[test]
fn template_with_conns_rearms_for_a_minute() {
    let all = templates(10);
    let mut entry = all.entry(key(1), second(0));
    entry.insert(7, Tick::of_seconds(3)).unwrap();
    let id = entry.attach().unwrap();
    drop(entry);
    let last = lives_until(&all, 100, |now| {
        if now == 41 {
            all.release(id);
        }
        if now == 10 {
            assert_eq!(all.entry(key(1), second(now)).template().unwrap().timeout, Tick::of_seconds(60));
        }
    });
    assert!(last.is_some_and(|last| (63..=65).contains(&last)), "{last:?}");
}

/// The recording's c2: the next conn shows 60 s left, not the service's 3.
#[test]
fn use_after_the_first_end_gives_a_minute() {
    let all = templates(10);
    let mut entry = all.entry(key(1), second(0));
    entry.insert(7, Tick::of_seconds(3)).unwrap();
    entry.attach().unwrap();
    drop(entry);
    // The wheel has not come by: the entry settles what is due.
    let mut entry = all.entry(key(1), second(6));
    entry.attach().unwrap();
    let template = entry.template().unwrap();
    assert_eq!((template.ticks_left, template.controls, template.server), (6000, 2, 7));
}

#[test]
fn full_is_refused_and_room_comes_back() {
    let all = templates(2);
    for client in 1..=2 {
        all.entry(key(client), second(0)).insert(1, 100).unwrap();
    }
    assert_eq!(all.entry(key(3), second(0)).insert(1, 100), Err(TemplatesFull));
    all.entry(key(1), second(0)).invalidate();
    all.entry(key(3), second(0)).insert(1, 100).unwrap();
    assert_eq!(all.len(), 2);
}

#[test]
fn sharded_room_is_all_usable() {
    let all = templates(100_000);
    for client in 0..100_000u32 {
        let key = TemplateKey::new(client.to_be_bytes().into(), Service::Mark(7)).unwrap();
        all.entry(key, second(0)).insert(client, 100).unwrap();
    }
    let key = TemplateKey::new([255; 4].into(), Service::Mark(7)).unwrap();
    assert_eq!(all.entry(key, second(0)).insert(1, 100), Err(TemplatesFull));
}

/// Recorded: nobody is sent by it, it is there until its time is over, and then while it controls conns.
#[test]
fn an_invalid_template_is_shown_until_its_end() {
    for (controls, ends) in [(false, 20..=21), (true, 80..=82)] {
        let all = templates(10);
        let mut entry = all.entry(key(1), second(0));
        entry.insert(7, Tick::of_seconds(20)).unwrap();
        let id = controls.then(|| entry.attach().unwrap());
        entry.invalidate();
        assert!(entry.template().is_none() && entry.attach().is_none());
        entry.insert(8, Tick::of_seconds(10)).unwrap();
        drop(entry);
        let (mut shown, mut last) = (Vec::new(), 0);
        for now in 0..200 {
            all.expire(second(now), 1000);
            shown.clear();
            all.visit(second(now), |template| shown.push((template.server, template.valid, template.ticks_left)));
            if now == 0 {
                assert_eq!(shown, [(7, false, 2000), (8, true, 1000)]);
            }
            last = if shown.iter().any(|(server, ..)| *server == 7) { now } else { last };
            if now == 50 {
                id.inspect(|id| all.release(*id));
            }
        }
        assert!(ends.contains(&(last + 1)), "controls {controls}: shown until {last}");
        assert!(all.is_empty());
    }
}

/// Walked through in parts, whatever lies in them: those that control conns stay.
#[test]
fn templates_that_are_not_wanted_are_dropped() {
    for (part, max) in [(1, 10), (3, 10), (1_000, 10), (7, 5_000)] {
        let all = templates(max);
        for client in 1..=8 {
            let mut entry = all.entry(key(client), second(0));
            entry.insert(u32::from(client % 2), Tick::of_seconds(300)).unwrap();
            if client > 4 {
                entry.attach().unwrap();
            }
            if client == 1 || client == 5 {
                entry.invalidate();
            }
        }
        let mut from = Some(0);
        while let Some(place) = from {
            from = all.drop_places(place, part, second(1), |template| template.server == 0);
        }
        let mut left = Vec::new();
        all.visit(second(1), |template| left.push((template.server, template.controls, template.valid)));
        left.sort();
        let with_conns = [(0, 1, true), (0, 1, true), (1, 1, false), (1, 1, true)];
        assert_eq!(left, [&[(0, 0, true); 2][..], &with_conns].concat(), "in parts of {part}");
        assert_eq!(all.len(), 6);
    }
}

/// Only what controls no conn, and never one that was established; a place that is another's by then, or nobody's, is left alone.
#[test]
fn idle_templates_are_dropped_by_id() {
    let all = templates(10);
    let made = |client| {
        let mut entry = all.entry(key(client), second(0));
        entry.insert(7, Tick::of_seconds(300)).unwrap();
        entry.attach().unwrap()
    };
    let [controls, assured, idle] = [1, 2, 3].map(made);
    all.assure(assured);
    all.release(assured);
    all.release(idle);
    assert_eq!([controls, assured, idle].map(|id| all.is_idle(id)), [false, false, true]);
    for id in [controls, assured, idle, idle] {
        all.drop_idle(id, second(1));
    }
    assert_eq!([1, 2, 3].map(|client| is_live(&all, client, 1)), [true, true, false]);
    assert_eq!(all.len(), 2);
}

/// Where room is short a template that nobody is sent by makes place, or waits for its conns only.
#[test]
fn a_dropped_template_keeps_its_place_until_its_conns_end() {
    let all = templates(1);
    let mut entry = all.entry(key(1), second(0));
    entry.insert(7, Tick::of_seconds(300)).unwrap();
    let id = entry.attach().unwrap();
    entry.invalidate();
    assert!(entry.template().is_none() && entry.attach().is_none());
    assert_eq!(entry.insert(8, 100), Err(TemplatesFull));
    drop(entry);
    all.assure(id);
    all.release(id);
    for now in 0..62 {
        all.expire(second(now), 10);
    }
    all.entry(key(2), second(62)).insert(9, 100).unwrap();
    let template = all.entry(key(2), second(62)).template().unwrap();
    assert_eq!((template.server, template.controls, template.assured), (9, 0, false));
}

#[test]
fn listing_shows_assured_and_skips_the_dead() {
    let all = templates(10);
    let mut entry = all.entry(key(1), second(0));
    entry.insert(7, Tick::of_seconds(3)).unwrap();
    let id = entry.attach().unwrap();
    drop(entry);
    all.assure(id);
    all.entry(key(2), second(0)).insert(8, Tick::of_seconds(3)).unwrap();
    let mut seen = Vec::new();
    all.visit(second(5), |template| seen.push((template.server, template.assured)));
    assert_eq!(seen, [(7, true)]);
}

#[test]
fn keys_tell_clients_services_and_marks_apart() {
    let service = |port| Service::Address { protocol: 6, vip: "10.99.0.1".parse().unwrap(), port };
    let client = "10.0.0.1".parse().unwrap();
    let keys = [
        TemplateKey::new(client, service(80)),
        TemplateKey::new(client, service(0)),
        TemplateKey::new(client, Service::Mark(1)),
        TemplateKey::new(client, Service::Mark(0x0a63_0001)),
        TemplateKey::new("10.0.0.2".parse().unwrap(), service(80)),
        TemplateKey::new("fd10::1".parse().unwrap(), Service::Mark(1)),
    ];
    for (i, one) in keys.iter().enumerate() {
        assert!(keys.iter().skip(i + 1).all(|other| other != one), "{one:?}");
    }
    assert_eq!(keys[1].unwrap().service(), service(0));
    assert_eq!(keys[3].unwrap().service(), Service::Mark(0x0a63_0001));
    assert!(TemplateKey::new("fd10::1".parse().unwrap(), service(80)).is_none());
}

#[test]
fn masks() {
    let rows = [
        ("10.1.2.3", 24, "10.1.2.0"),
        ("10.1.2.3", 32, "10.1.2.3"),
        ("10.1.2.3", 0, "0.0.0.0"),
        ("fd10:1:2:3:4::5", 64, "fd10:1:2:3::"),
        ("fd10::5", 128, "fd10::5"),
    ];
    for (client, bits, masked) in rows {
        let client: IpAddr = client.parse().unwrap();
        let netmask = if client.is_ipv4() { Netmask::prefix_v4(bits) } else { Netmask::prefix_v6(bits) };
        assert_eq!(TemplateKey::mask(client, netmask), masked.parse::<IpAddr>().unwrap());
        assert_eq!(netmask.count(), bits);
    }
}

/// The recording's c2: its conn ends together with the template, and is counted until the table's wheel comes by.
#[test]
fn template_ends_with_its_last_conn() {
    let rows = [("at once", 30, 30..=32), ("a second later", 31, 31..=33), ("when it lives on", 35, 89..=92)];
    for (what, released, expected) in rows {
        let all = templates(10);
        let mut entry = all.entry(key(1), second(0));
        entry.insert(7, Tick::of_seconds(30)).unwrap();
        let id = entry.attach().unwrap();
        drop(entry);
        let mut last = 0;
        for now in 0..200 {
            // Control looks before the worker says that the conn is gone.
            all.expire(second(now), 1000);
            last = if all.is_empty() { last } else { now };
            if now == released {
                all.release(id);
            }
        }
        assert!(expected.contains(&last), "released {what}: lived until {last}, not {expected:?}");
    }
}
