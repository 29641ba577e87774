//! The first server of the list with the least ratio, always at hand: a tournament over list positions.
//!
//! ```text
//!                 winner 1: 2                 a match: the right one wins only if it is really less,
//!            ┌────────┴────────┐              so among equals the first of the list wins, as in a walk
//!        winner 2: 0       winner 3: 2
//!         ┌──┴──┐           ┌──┴──┐
//!        0:1/3  1:1/2      2:1/4  3:never
//! ```
//!
//! Ratios are compared exactly, by cross products in 128 bits: rounding would break ties, which decide who is next.

use crate::{Flow, Load, Moment, Scheduler, Server, Servers, Settings};

/// Cost for each unit of weight. Weight 0 is an infinite ratio: it never wins against a finite one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio {
    cost: u64,
    weight: u32,
}

impl Ratio {
    /// The ratio of a server that takes no conns.
    pub const NEVER: Ratio = Ratio { cost: 1, weight: 0 };

    /// `cost / weight`; with weight 0 it is [`Ratio::NEVER`].
    pub fn new(cost: u64, weight: u32) -> Self {
        if weight == 0 { Self::NEVER } else { Ratio { cost, weight } }
    }

    /// Whether this is really less than `other`.
    pub fn is_less_than(self, other: Ratio) -> bool {
        u128::from(self.cost) * u128::from(other.weight) < u128::from(other.cost) * u128::from(self.weight)
    }

    /// Whether a server with this ratio takes conns.
    pub fn is_finite(self) -> bool {
        self.weight > 0
    }
}

/// What a scheduler holds against a server; the first server with the least of it takes the conn.
pub trait Measure: Send {
    /// The measure of a server, which may be overloaded or quiesced: then [`Ratio::NEVER`].
    fn ratio(server: &Server, load: &Load) -> Ratio;
}

/// The tournament. It is the whole scheduler for the kinds that choose by a measure alone.
pub struct Least<M: Measure> {
    /// A power of two, at least the number of servers.
    leaves: usize,
    ratios: Vec<Ratio>,
    /// Of each inner node, 1 the root; node n's children are 2n and 2n + 1, node `leaves + i` is server i.
    winners: Vec<u32>,
    measure: std::marker::PhantomData<M>,
}

impl<M: Measure> Least<M> {
    /// The tournament of the listed servers.
    pub fn of(servers: &Servers) -> Self {
        let leaves = servers.len().next_power_of_two();
        let mut ratios = vec![Ratio::NEVER; leaves];
        for (index, ratio) in ratios.iter_mut().enumerate().take(servers.len()) {
            *ratio = M::ratio(servers.server(index), servers.load(index));
        }
        let mut least = Least { leaves, ratios, winners: vec![0; leaves], measure: std::marker::PhantomData };
        for node in (1..leaves).rev() {
            least.winners[node] = least.play(node);
        }
        least
    }

    /// The first server with the least finite ratio.
    pub fn first(&self) -> Option<usize> {
        let winner = self.winner(1) as usize;
        self.ratios[winner].is_finite().then_some(winner)
    }

    /// Plays the matches of `index` again; ends early where a match goes as before and `index` had no part in it.
    pub fn update(&mut self, servers: &Servers, index: usize) {
        let ratio = M::ratio(servers.server(index), servers.load(index));
        if std::mem::replace(&mut self.ratios[index], ratio) == ratio {
            return;
        }
        let mut node = (self.leaves + index) / 2;
        while node > 0 {
            let (was, is) = (self.winners[node], self.play(node));
            if was == is && is as usize != index {
                return;
            }
            self.winners[node] = is;
            node /= 2;
        }
    }

    fn play(&self, node: usize) -> u32 {
        let (left, right) = (self.winner(2 * node), self.winner(2 * node + 1));
        if self.ratios[right as usize].is_less_than(self.ratios[left as usize]) { right } else { left }
    }

    fn winner(&self, node: usize) -> u32 {
        if node < self.leaves { self.winners[node] } else { (node - self.leaves) as u32 }
    }
}

impl<M: Measure> Scheduler for Least<M> {
    fn new(servers: &Servers, _: &Settings) -> Self {
        Least::of(servers)
    }

    fn pick(&mut self, _: &Servers, _: &Flow, _: &Moment) -> Option<usize> {
        self.first()
    }

    fn load_changed(&mut self, servers: &Servers, index: usize) {
        self.update(servers, index);
    }
}
