//! Is some server under half its weight? Kept as a count: lblc and lblcr ask it at a pick for a busy server.

use crate::Servers;

/// Which listed servers have fewer active conns than half their weight.
pub struct Slack {
    under_half: Vec<bool>,
    count: usize,
}

impl Slack {
    /// The listed servers.
    pub fn of(servers: &Servers) -> Self {
        let under_half: Vec<bool> = (0..servers.len()).map(|index| is_under_half(servers, index)).collect();
        let count = under_half.iter().filter(|&&under| under).count();
        Slack { under_half, count }
    }

    /// Takes up the load of the server at `index`.
    pub fn update(&mut self, servers: &Servers, index: usize) {
        let is = is_under_half(servers, index);
        let was = std::mem::replace(&mut self.under_half[index], is);
        self.count = self.count + usize::from(is) - usize::from(was);
    }

    /// Whether the server at `index` has more active conns than weight while another has less than half of its own.
    pub fn should_leave(&self, servers: &Servers, index: usize) -> bool {
        self.count > 0 && servers.load(index).active > servers.server(index).weight
    }
}

/// Overloaded servers count too: the kernel asks only for active conns and weight.
fn is_under_half(servers: &Servers, index: usize) -> bool {
    u64::from(servers.load(index).active) * 2 < u64::from(servers.server(index).weight)
}
