//! The real servers of one service as schedulers see them: a list in the kernel's order, and what each carries now.
//!
//! The kernel puts a new server at the HEAD of its list, and every scheduler walks the list from there; whoever builds
//! the list keeps that order. Behind the listed servers stand the departed ones: removed, but a removed server may come
//! back with its conns, and lblcr's sets still weigh it. No pick ever returns a departed server.

use std::net::IpAddr;

use hashbrown::HashMap;

/// A real server of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Names this server through edits, and when it is removed and comes back with its conns. When it is neither listed nor departed
    /// any more, another one may get it.
    pub id: u32,
    /// Address.
    pub address: IpAddr,
    /// Port.
    pub port: u16,
    /// Share of the conns; 0 takes no new ones.
    pub weight: u32,
    /// The last weight above 0 since the server was added (0 if there was none): mh's table stays when it is quiesced.
    pub last_weight: u32,
}

/// What a real server carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Conns in an active state.
    pub active: u32,
    /// All conns, the active ones included.
    pub total: u32,
    /// The upper threshold was reached: see [`Thresholds`](crate::Thresholds).
    pub overloaded: bool,
}

/// The servers of a service with their loads.
#[derive(Debug)]
pub struct Servers {
    servers: Vec<Server>,
    loads: Vec<Load>,
    listed: usize,
    places: HashMap<u32, u32>,
}

impl Servers {
    /// `listed` in the kernel's order; `departed` in any.
    pub(crate) fn new(listed: Vec<(Server, Load)>, departed: Vec<(Server, Load)>) -> Self {
        let count = listed.len();
        let (servers, loads): (Vec<_>, Vec<_>) = listed.into_iter().chain(departed).unzip();
        let places: HashMap<u32, u32> = servers.iter().zip(0..).map(|(server, place)| (server.id, place)).collect();
        assert_eq!(places.len(), servers.len(), "two servers of a service share an id");
        Servers { servers, loads, listed: count, places }
    }

    /// How many servers are listed.
    pub fn len(&self) -> usize {
        self.listed
    }

    /// Whether no server is listed.
    pub fn is_empty(&self) -> bool {
        self.listed == 0
    }

    /// The listed servers, in the kernel's order.
    pub fn listed(&self) -> &[Server] {
        &self.servers[..self.listed]
    }

    /// Every server, the departed behind the listed.
    pub fn all(&self) -> &[Server] {
        &self.servers
    }

    /// The server at `index`.
    pub fn server(&self, index: usize) -> &Server {
        &self.servers[index]
    }

    /// The load of the server at `index`.
    pub fn load(&self, index: usize) -> &Load {
        &self.loads[index]
    }

    /// Where the server `id` stands, listed or departed.
    pub fn place_of(&self, id: u32) -> Option<usize> {
        self.places.get(&id).map(|&place| place as usize)
    }

    /// The same, looking at `guess` first: in two lists that differ by one edit, neighbours stay neighbours.
    pub(crate) fn place_near(&self, guess: usize, id: u32) -> Option<usize> {
        let guessed = self.servers.get(guess).is_some_and(|server| server.id == id);
        if guessed { Some(guess) } else { self.place_of(id) }
    }

    /// Whether the id names another server than it did `before`, or named none.
    pub fn is_new(&self, id: u32, before: &Servers) -> bool {
        let endpoint = |servers: &Servers| {
            let server = servers.server(servers.place_of(id)?);
            Some((server.address, server.port))
        };
        endpoint(self).is_some() && endpoint(self) != endpoint(before)
    }

    /// Whether there are such.
    pub fn has_new(&self, before: &Servers) -> bool {
        self.servers.iter().any(|server| self.is_new(server.id, before))
    }

    /// Where the server `id` stands in the list.
    pub fn listed_place_of(&self, id: u32) -> Option<usize> {
        self.place_of(id).filter(|&place| self.is_listed(place))
    }

    /// Whether the server at `index` is listed, not departed.
    pub fn is_listed(&self, index: usize) -> bool {
        index < self.listed
    }

    /// The weight with which the server at `index` takes new conns: none while it is overloaded.
    pub fn usable_weight(&self, index: usize) -> u32 {
        if self.loads[index].overloaded { 0 } else { self.servers[index].weight }
    }

    /// Whether the server at `index` takes new conns.
    pub fn is_usable(&self, index: usize) -> bool {
        self.usable_weight(index) > 0
    }

    pub(crate) fn set_load(&mut self, index: usize, load: Load) -> bool {
        std::mem::replace(&mut self.loads[index], load) != load
    }
}
