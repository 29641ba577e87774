//! The next server of the list that takes conns and weighs enough: a tree of maxima over list positions.
//!
//! It gives what a walk along the list would give. The walk looks at every quiesced, overloaded or too light server on
//! its way; with one heavy server among thousands of light ones that is nearly all of them, for nearly every pick.

use crate::Servers;

/// Usable weights of the listed servers, and the heaviest of each half, quarter and so on.
pub struct Reach {
    /// A power of two, at least the number of servers.
    leaves: usize,
    /// 1 is the root; node n's children are 2n and 2n + 1, node `leaves + i` is server i.
    heaviest: Vec<u32>,
}

impl Reach {
    /// The usable weights of the listed servers.
    pub fn of(servers: &Servers) -> Self {
        let leaves = servers.len().next_power_of_two();
        let mut heaviest = vec![0; 2 * leaves];
        for index in 0..servers.len() {
            heaviest[leaves + index] = servers.usable_weight(index);
        }
        for node in (1..leaves).rev() {
            heaviest[node] = heaviest[2 * node].max(heaviest[2 * node + 1]);
        }
        Reach { leaves, heaviest }
    }

    /// The first usable server at `from` or behind it with at least `weight` (not 0).
    pub fn first(&self, from: usize, weight: u32) -> Option<usize> {
        if from >= self.leaves {
            return None;
        }
        let mut node = self.leaves + from;
        while self.heaviest[node] < weight {
            // Up from a right child; then to the right, to the subtree that follows in the list.
            node >>= node.trailing_ones();
            if node == 0 {
                return None;
            }
            node += 1;
        }
        while node < self.leaves {
            node *= 2;
            if self.heaviest[node] < weight {
                node += 1;
            }
        }
        Some(node - self.leaves)
    }

    /// The greatest usable weight; 0: no server takes conns.
    pub fn max(&self) -> u32 {
        self.heaviest[1]
    }

    /// Takes up the usable weight of the server at `index`.
    pub fn update(&mut self, servers: &Servers, index: usize) {
        let mut node = self.leaves + index;
        let mut heaviest = servers.usable_weight(index);
        while node > 0 && self.heaviest[node] != heaviest {
            self.heaviest[node] = heaviest;
            heaviest = heaviest.max(self.heaviest[node ^ 1]);
            node /= 2;
        }
    }
}
