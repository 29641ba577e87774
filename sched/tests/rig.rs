//! A service under test: the plain list of servers beside the picker that was told of every change to it.

#![allow(dead_code)] // Not every test needs every change.

use std::net::IpAddr;

use proptest::prelude::*;
use sched::{Change, Flow, Kind, Load, Moment, Picker, Server, Settings};

pub struct Service {
    pub kind: Kind,
    pub settings: Settings,
    /// Listed servers in the kernel's order.
    pub list: Vec<(Server, Load)>,
    pub departed: Vec<(Server, Load)>,
    pub picker: Picker,
    next_id: u32,
}

impl Service {
    pub fn new(kind: Kind, settings: Settings, weights: &[u32]) -> Self {
        let picker = Picker::prepare(kind, &settings, Vec::new(), Vec::new());
        let mut service = Service { kind, settings, list: Vec::new(), departed: Vec::new(), picker, next_id: 0 };
        // New servers go to the head, so the last one is added first.
        weights.iter().rev().for_each(|&weight| service.add(weight));
        service
    }

    pub fn add(&mut self, weight: u32) {
        let id = self.next_id;
        self.next_id += 1;
        let address = IpAddr::from([172, 16, (id >> 8) as u8, id as u8]);
        let server = Server { id, address, port: 80, weight, last_weight: weight };
        self.list.insert(0, (server, Load::default()));
        self.publish(Change::Servers);
    }

    pub fn remove(&mut self, index: usize) {
        let gone = self.list.remove(index);
        self.departed.push(gone);
        self.publish(Change::Servers);
    }

    /// The server that was removed first comes back, at the head of the list.
    pub fn bring_back(&mut self) {
        let back = self.departed.remove(0);
        self.list.insert(0, back);
        self.publish(Change::Servers);
    }

    pub fn set_weight(&mut self, index: usize, weight: u32) {
        let server = &mut self.list[index].0;
        server.weight = weight;
        if weight > 0 {
            server.last_weight = weight;
        }
        self.publish(Change::Servers);
    }

    pub fn set_load(&mut self, index: usize, load: Load) {
        self.list[index].1 = load;
        self.picker.set_load(index, load);
    }

    pub fn edit(&mut self, kind: Kind, settings: Settings) {
        (self.kind, self.settings) = (kind, settings);
        self.publish(Change::Service);
    }

    fn publish(&mut self, change: Change) {
        let prepared = Picker::prepare(self.kind, &self.settings, self.list.clone(), self.departed.clone());
        drop(self.picker.replace(prepared, change));
    }

    pub fn pick(&mut self, client: u32) -> Option<usize> {
        self.pick_at(flow(client, 1), Moment::default())
    }

    pub fn pick_at(&mut self, flow: Flow, at: Moment) -> Option<usize> {
        self.picker.pick(&flow, &at)
    }

    /// Counts one more active conn of the server.
    pub fn bind(&mut self, index: usize) {
        let load = self.list[index].1;
        let (active, total) = (load.active.saturating_add(1), load.total.saturating_add(1));
        self.set_load(index, Load { active, total, ..load });
    }
}

pub fn flow(client: u32, vip: u32) -> Flow {
    let (client, vip) = (IpAddr::V4(client.into()), IpAddr::V4(vip.into()));
    Flow { client, client_port: 1025, vip, vip_port: 80 }
}

/// Something happens to a service; indexes are taken modulo the number of servers.
#[derive(Clone, Debug)]
pub enum Event {
    Add(u32),
    Remove(usize),
    BringBack,
    Weight(usize, u32),
    Load(usize, Load),
    /// A conn to destination number so-and-so, after so many milliseconds.
    Conn {
        vip: u32,
        after_ms: u64,
    },
}

impl Service {
    /// What the event does to the servers; a conn is the caller's. Tells whether the picker was replaced.
    pub fn apply(&mut self, event: &Event) -> bool {
        let at = |index: usize| index % self.list.len().max(1);
        match *event {
            Event::Add(weight) => self.add(weight),
            Event::BringBack if !self.departed.is_empty() => self.bring_back(),
            Event::Remove(index) if !self.list.is_empty() => self.remove(at(index)),
            Event::Weight(index, weight) if !self.list.is_empty() => self.set_weight(at(index), weight),
            Event::Load(index, load) if !self.list.is_empty() => {
                self.set_load(at(index), load);
                return false;
            }
            _ => return false,
        }
        true
    }
}

/// Mostly small weights, so that ties and quiesced servers are common; some with products beyond 64 bits.
pub fn weights() -> impl Strategy<Value = u32> {
    prop_oneof![2 => Just(0u32), 10 => 1..8u32, 2 => (1..9u32).prop_map(|n| n * 12), 1 => (1u32 << 31) - 9..1u32 << 31]
}

pub fn loads() -> impl Strategy<Value = Load> {
    let active = prop_oneof![8 => 0..6u32, 1 => 0..u32::MAX / 2];
    let inactive = prop_oneof![8 => 0..6u32, 1 => 250..260u32, 1 => 0..u32::MAX / 2];
    let overloaded = prop_oneof![4 => Just(false), 1 => Just(true)];
    (active, inactive, overloaded).prop_map(|(active, inactive, overloaded)| {
        let total = active + inactive;
        Load { active, total, overloaded }
    })
}

pub fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        2 => weights().prop_map(Event::Add),
        1 => any::<usize>().prop_map(Event::Remove),
        1 => Just(Event::BringBack),
        2 => (any::<usize>(), weights()).prop_map(|(index, weight)| Event::Weight(index, weight)),
        6 => (any::<usize>(), loads()).prop_map(|(index, load)| Event::Load(index, load)),
        12 => (0..4u32, 0..1500u64).prop_map(|(vip, after_ms)| Event::Conn { vip, after_ms }),
    ];
    prop::collection::vec(event, 1..120)
}
