//! The schedulers as plain walks along the list, the way the kernel does it: slow, short, and the measure of ours.

use std::collections::HashMap;
use std::net::IpAddr;

use sched::{Load, Server};

pub type List = [(Server, Load)];

fn overhead(load: &Load) -> u128 {
    257 * u128::from(load.active) + u128::from(load.total - load.active)
}

fn usable(list: &List) -> impl Iterator<Item = (usize, u128, &Load)> {
    let usable = list.iter().enumerate().filter(|(_, (server, load))| server.weight > 0 && !load.overloaded);
    usable.map(|(index, (server, load))| (index, u128::from(server.weight), load))
}

/// The first with the least cost / weight.
fn least<'a>(servers: impl Iterator<Item = (usize, u128, &'a Load)>, cost: fn(&Load) -> u128) -> Option<usize> {
    let mut best: Option<(usize, u128, u128)> = None;
    for (index, weight, load) in servers {
        if best.is_none_or(|(_, best_weight, best_cost)| best_cost * weight > cost(load) * best_weight) {
            best = Some((index, weight, cost(load)));
        }
    }
    best.map(|(index, ..)| index)
}

pub fn lc(list: &List) -> Option<usize> {
    least(usable(list).map(|(index, _, load)| (index, 1, load)), overhead)
}

pub fn wlc(list: &List) -> Option<usize> {
    least(usable(list), overhead)
}

pub fn sed(list: &List) -> Option<usize> {
    least(usable(list), |load| u128::from(load.active) + 1)
}

pub fn nq(list: &List) -> Option<usize> {
    let idle = usable(list).find(|(_, _, load)| load.active == 0);
    idle.map(|(index, ..)| index).or_else(|| sed(list))
}

pub fn fo(list: &List) -> Option<usize> {
    least(usable(list), |_| 1)
}

pub fn ovf(list: &List) -> Option<usize> {
    least(usable(list).filter(|&(_, weight, load)| u128::from(load.active) <= weight), |_| 1)
}

/// Round robin: the id of the last one, or the head of the list.
#[derive(Default)]
pub struct Rr {
    last: Option<u32>,
}

impl Rr {
    pub fn servers_changed(&mut self, was: &List, is: &List) {
        let listed = |list: &List, id| list.iter().position(|(server, _)| server.id == id);
        if let Some(last) = self.last.filter(|&last| listed(is, last).is_none()) {
            let place = listed(was, last).expect("it was listed until now");
            self.last = place.checked_sub(1).map(|before| was[before].0.id);
        }
    }

    pub fn pick(&mut self, list: &List) -> Option<usize> {
        let after_last = list.iter().position(|(server, _)| Some(server.id) == self.last).map_or(0, |last| last + 1);
        let round = (after_last..list.len()).chain(0..after_last);
        let next = round.into_iter().find(|&index| list[index].0.weight > 0 && !list[index].1.overloaded)?;
        self.last = Some(list[next].0.id);
        Some(next)
    }
}

/// Weighted round robin, every level and every server visited.
pub struct Wrr {
    last: Option<usize>,
    level: i64,
}

impl Wrr {
    pub fn new(list: &List) -> Self {
        Wrr { last: None, level: top(list) }
    }

    pub fn servers_changed(&mut self, list: &List) {
        self.last = None;
        if self.level > top(list) || self.level == 0 {
            self.level = top(list);
        } else if step(list) > 1 {
            self.level = self.level / step(list) * step(list) + 1;
        }
    }

    pub fn pick(&mut self, list: &List) -> Option<usize> {
        if top(list) == 0 {
            return None;
        }
        let began_at = self.last;
        let mut place = began_at.map_or(0, |last| last + 1);
        let (mut on_lowest, mut wrapped, mut end) = (false, false, None);
        loop {
            while place < list.len() {
                let (server, load) = &list[place];
                if !load.overloaded && i64::from(server.weight) >= self.level {
                    self.last = Some(place);
                    return self.last;
                }
                if Some(place) == end {
                    self.last = end;
                    return None;
                }
                place += 1;
            }
            place = 0;
            self.level -= step(list);
            if self.level <= 0 {
                self.level = top(list);
                if on_lowest || began_at.is_none() {
                    self.last = None;
                    return None;
                }
                wrapped = true;
            }
            on_lowest = self.level <= step(list);
            if on_lowest && wrapped {
                end = began_at;
            }
        }
    }
}

fn step(list: &List) -> i64 {
    let weights = || list.iter().map(|(server, _)| i64::from(server.weight));
    let most = weights().max().unwrap_or(0);
    (1..=most).rev().find(|divisor| weights().all(|weight| weight % divisor == 0)).unwrap_or(1)
}

fn top(list: &List) -> i64 {
    list.iter().map(|(server, _)| i64::from(server.weight)).max().unwrap_or(0) - (step(list) - 1)
}

/// Locality-based least connection: the id of each destination's server.
#[derive(Default)]
pub struct Lblc {
    servers: HashMap<IpAddr, u32>,
}

impl Lblc {
    pub fn pick(&mut self, list: &List, vip: IpAddr) -> Option<usize> {
        let known = self.servers.get(&vip).and_then(|&id| list.iter().position(|(server, _)| server.id == id));
        if let Some(known) = known.filter(|&known| list[known].0.weight > 0 && !should_leave(list, known)) {
            return Some(known);
        }
        let index = wlc(list)?;
        self.servers.insert(vip, list[index].0.id);
        Some(index)
    }
}

/// The same with sets: ids, the newest first, and when the set changed.
#[derive(Default)]
pub struct Lblcr {
    sets: HashMap<IpAddr, (Vec<u32>, u64)>,
}

impl Lblcr {
    pub fn pick(&mut self, list: &List, departed: &List, vip: IpAddr, now: u64, expiration: u64) -> Option<usize> {
        let Some((set, changed)) = self.sets.get_mut(&vip) else {
            let index = wlc(list)?;
            self.sets.insert(vip, (vec![list[index].0.id], now));
            return Some(index);
        };
        let place = |id: &u32| list.iter().position(|(server, _)| server.id == *id);
        let members: Vec<usize> = set.iter().filter_map(place).collect();
        let copies: Vec<_> = members.iter().map(|&index| list[index].clone()).collect();
        let chosen = wlc(&copies).map(|index| members[index]);
        if set.len() > 1 && now > *changed + expiration {
            let whole = || list.iter().chain(departed);
            let member = |id: &u32| whole().find(|(server, _)| server.id == *id).expect("nobody is gone for good");
            let mut most: Option<usize> = None;
            for (at, (server, load)) in set.iter().map(member).enumerate().filter(|(_, (server, _))| server.weight > 0)
            {
                let busier = |than: usize| {
                    let (other, other_load) = member(&set[than]);
                    overhead(load) * u128::from(other.weight) > overhead(other_load) * u128::from(server.weight)
                };
                if most.is_none_or(busier) {
                    most = Some(at);
                }
            }
            if let Some(at) = most {
                set.remove(at);
                *changed = now;
            }
        }
        if let Some(index) = chosen.filter(|&index| !should_leave(list, index)) {
            return Some(index);
        }
        let index = wlc(list)?;
        if !set.contains(&list[index].0.id) {
            set.insert(0, list[index].0.id);
            *changed = now;
        }
        Some(index)
    }
}

fn should_leave(list: &List, index: usize) -> bool {
    let busy = list[index].1.active > list[index].0.weight;
    busy && list.iter().any(|(server, load)| u64::from(load.active) * 2 < u64::from(server.weight))
}
