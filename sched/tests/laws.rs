//! Kept orders and caches choose what a plain walk along the list chooses, for any servers, loads and edits.

mod rig;
mod walk;

use proptest::prelude::*;
use rig::{Event, Service, events, flow, weights};
use sched::{Kind, Load, Moment, Server, Settings};

type Walk = fn(&[(Server, Load)]) -> Option<usize>;

const WALKS: [(Kind, Walk); 6] = [
    (Kind::Lc, walk::lc),
    (Kind::Wlc, walk::wlc),
    (Kind::Sed, walk::sed),
    (Kind::Nq, walk::nq),
    (Kind::Fo, walk::fo),
    (Kind::Ovf, walk::ovf),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn kept_orders_choose_as_walks(events in events(), start in prop::collection::vec(weights(), 0..20)) {
        for (kind, walk) in WALKS {
            let mut service = Service::new(kind, Settings::default(), &start);
            for event in &events {
                service.apply(event);
                let picked = service.pick(1);
                prop_assert_eq!(picked, walk(&service.list), "{} {:?}", kind, service.list);
                if let (Event::Conn { .. }, Some(index)) = (event, picked) {
                    service.bind(index);
                }
            }
        }
    }

    #[test]
    fn rr_goes_on_where_it_was(events in events(), start in prop::collection::vec(weights(), 0..12)) {
        let mut service = Service::new(Kind::Rr, Settings::default(), &start);
        let mut walk = walk::Rr::default();
        for event in &events {
            let was = service.list.clone();
            if service.apply(event) {
                walk.servers_changed(&was, &service.list);
            }
            prop_assert_eq!(service.pick(1), walk.pick(&service.list), "{:?}", service.list);
        }
    }

    #[test]
    fn wrr_visits_the_levels(events in events(), start in prop::collection::vec(0..9u32, 0..12)) {
        // Its level depends on how the list came about, so the walk sees that too.
        let mut service = Service::new(Kind::Wrr, Settings::default(), &[]);
        let mut walk = walk::Wrr::new(&service.list);
        for event in start.into_iter().map(Event::Add).chain(events) {
            if service.apply(&with_few_levels(&event)) {
                walk.servers_changed(&service.list);
            }
            prop_assert_eq!(service.pick(1), walk.pick(&service.list), "{:?}", service.list);
        }
    }

    #[test]
    fn lblc_and_lblcr_remember(events in events(), start in prop::collection::vec(0..6u32, 0..8)) {
        let expiration_ms = 4000;
        let settings = Settings { lblcr_expiration_ms: expiration_ms, ..Settings::default() };
        let mut lblc = Service::new(Kind::Lblc, settings, &start);
        let mut lblcr = Service::new(Kind::Lblcr, settings, &start);
        let (mut lblc_walk, mut lblcr_walk) = (walk::Lblc::default(), walk::Lblcr::default());
        let mut at = Moment::default();
        for event in &events {
            lblc.apply(event);
            lblcr.apply(event);
            let Event::Conn { vip, after_ms } = *event else { continue };
            at.now_ms += after_ms;
            let flow = flow(1, vip);
            let picked = lblc.pick_at(flow, at);
            prop_assert_eq!(picked, lblc_walk.pick(&lblc.list, flow.vip), "{:?}", lblc.list);
            picked.into_iter().for_each(|index| lblc.bind(index));
            let picked = lblcr.pick_at(flow, at);
            let walked = lblcr_walk.pick(&lblcr.list, &lblcr.departed, flow.vip, at.now_ms, expiration_ms);
            prop_assert_eq!(picked, walked, "{:?} {:?}", lblcr.list, lblcr.departed);
            picked.into_iter().for_each(|index| lblcr.bind(index));
        }
    }
}

/// The walk visits every level.
fn with_few_levels(event: &Event) -> Event {
    match *event {
        Event::Add(weight) => Event::Add(weight % 64),
        Event::Weight(index, weight) => Event::Weight(index, weight % 64),
        ref other => other.clone(),
    }
}

#[test]
fn wrr_skips_millions_of_levels_of_an_overloaded_server() {
    let mut service = Service::new(Kind::Wrr, Settings::default(), &[(1 << 31) - 1, 1, 2]);
    service.set_load(0, Load { overloaded: true, ..Load::default() });
    let picks: Vec<_> = (0..6).map(|_| service.pick(1)).collect();
    assert_eq!(picks, [Some(1), Some(2), Some(2), Some(1), Some(2), Some(2)]);
    (1..3).for_each(|index| service.set_load(index, Load { overloaded: true, ..Load::default() }));
    assert_eq!([service.pick(1), service.pick(1)], [None, None]);
}

#[test]
fn an_edited_service_keeps_its_turn_unless_the_scheduler_is_another() {
    for kind in [Kind::Rr, Kind::Wrr] {
        let mut service = Service::new(kind, Settings::default(), &[2, 2, 2]);
        assert_eq!(service.pick(1), Some(0));
        service.edit(kind, Settings::default());
        assert_eq!(service.pick(1), Some(1), "{kind}: the same scheduler goes on");
        service.edit(Kind::Lc, Settings::default());
        service.edit(kind, Settings::default());
        assert_eq!(service.pick(1), Some(0), "{kind}: another one and back starts anew");
    }
}
