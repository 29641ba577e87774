//! What the forwarder keeps behind one lock per service: the servers, their loads, and the scheduler.

use crate::kind::AnyScheduler;
use crate::{Change, Flow, Kind, Load, Moment, Server, Servers, Settings};

/// Picks the real server of each new conn of one service.
///
/// It does not count conns: the forwarder binds a conn to the server that was picked and tells the new load.
pub struct Picker {
    kind: Kind,
    servers: Servers,
    scheduler: AnyScheduler,
}

impl Picker {
    /// Builds everything that costs time and memory; called without the lock.
    ///
    /// `listed` is in the kernel's order: the server that was added last comes first. `departed` are removed servers
    /// that may still come back or still have conns; only lblcr looks at them, others may be given none.
    pub fn prepare(
        kind: Kind,
        settings: &Settings,
        listed: Vec<(Server, Load)>,
        departed: Vec<(Server, Load)>,
    ) -> Self {
        let servers = Servers::new(listed, departed);
        let scheduler = AnyScheduler::new(kind, &servers, settings);
        Picker { kind, servers, scheduler }
    }

    /// Puts `prepared` in the place of this picker and gives the old one back, to be dropped without the lock.
    ///
    /// Loads of servers that both know are taken from this picker, whose loads are newer. What the scheduler remembers
    /// moves over as the kernel does it for one `change`; a picker of another kind starts fresh. A replacement that
    /// stands for several edits counts as one (wrr rounds its level once, not once per edit).
    #[must_use = "dropping the retired picker frees tables: do it without the lock"]
    pub fn replace(&mut self, mut prepared: Picker, change: Change) -> Picker {
        let mut behind_last = 0;
        for (index, server) in self.servers.all().iter().enumerate() {
            if let Some(place) = prepared.servers.place_near(behind_last, server.id) {
                prepared.set_load(place, *self.servers.load(index));
                behind_last = place + 1;
            }
        }
        prepared.scheduler.inherit(&mut self.scheduler, &self.servers, &prepared.servers, change);
        std::mem::replace(self, prepared)
    }

    /// Tells the load of the server at `index`; costs little when nothing changed.
    pub fn set_load(&mut self, index: usize, load: Load) {
        if self.servers.set_load(index, load) && self.servers.is_listed(index) {
            self.scheduler.load_changed(&self.servers, index);
        }
    }

    /// The index of the listed server that takes a new conn, or none if no server can.
    pub fn pick(&mut self, flow: &Flow, at: &Moment) -> Option<usize> {
        self.scheduler.pick(&self.servers, flow, at)
    }

    /// Which scheduler this is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The servers and their loads as last told.
    pub fn servers(&self) -> &Servers {
        &self.servers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The forwarder sends prepared pickers to other threads and shares the one in use behind a lock.
    const fn is_send<T: Send>() {}
    const _: () = is_send::<Picker>();
}
