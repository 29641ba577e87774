//! A server drawn at random, in proportion to weight: a tree of sums over list positions.

use crate::Servers;

/// Usable weights of the listed servers, and the sum of each half, quarter and so on.
pub struct Share {
    /// A power of two, at least the number of servers.
    leaves: usize,
    /// 1 is the root; node n's children are 2n and 2n + 1, node `leaves + i` is server i.
    sums: Vec<u64>,
}

impl Share {
    /// The usable weights of the listed servers.
    pub fn of(servers: &Servers) -> Self {
        let leaves = servers.len().next_power_of_two();
        let mut sums = vec![0; 2 * leaves];
        for index in 0..servers.len() {
            sums[leaves + index] = servers.usable_weight(index).into();
        }
        for node in (1..leaves).rev() {
            sums[node] = sums[2 * node] + sums[2 * node + 1];
        }
        Share { leaves, sums }
    }

    /// The server that `random` falls on, each with the probability usable weight / sum of usable weights.
    pub fn draw(&self, random: u64) -> Option<usize> {
        let mut rest = ((u128::from(random) * u128::from(self.sums[1])) >> 64) as u64;
        let mut node = 1;
        while node < self.leaves {
            node *= 2;
            if rest >= self.sums[node] {
                rest -= self.sums[node];
                node += 1;
            }
        }
        (self.sums[node] > 0).then_some(node - self.leaves)
    }

    /// Takes up the usable weight of the server at `index`.
    pub fn update(&mut self, servers: &Servers, index: usize) {
        let mut node = self.leaves + index;
        let (was, is) = (self.sums[node], u64::from(servers.usable_weight(index)));
        while node > 0 && was != is {
            self.sums[node] = self.sums[node] - was + is;
            node /= 2;
        }
    }
}
