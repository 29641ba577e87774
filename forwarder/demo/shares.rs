//! What a scheduler promises, from the `sched` crate's own picker: the rest of the demo compares it with what happened.
//!
//! rr and wrr: so many conns to each server, whoever asks. Hashes: to each client its server. The others weigh what is open at the moment,
//! which nobody can foresee: over time they follow the weights, within [`TOLERANCE`].

use std::net::IpAddr;

use control::show;
use sched::{Flow, Kind, Load, Moment, Picker, Server, Settings};

use super::Failure;
use super::plan::{Protocol, SERVERS, Service};
use super::requests::Request;

/// How far a server's share of the conns may be from its weight's where the scheduler looks at open conns: percentage points.
pub const TOLERANCE: f64 = 5.0;
/// Two shares that are equal but for the rounding of a division.
const SAME: f64 = 1e-9;

/// What the scheduler of one service promises.
pub struct Promise {
    /// How exact it is.
    pub exactness: Exactness,
    picker: Picker,
    /// Which real server stands at each place of the picker's list.
    places: Vec<usize>,
    vip: (IpAddr, u16),
    weights: [u32; SERVERS],
    asked: [u64; SERVERS],
}

/// How exact a promise is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exactness {
    /// Every client has its server.
    EachClient,
    /// Every server has its number of conns.
    EachServer,
    /// Shares follow the weights, within [`TOLERANCE`].
    ByWeight,
}

impl Promise {
    /// `told` is the director's own listing of the service, for the order in which the scheduler walks its servers.
    pub fn of(service: &Service, told: &show::Service) -> Result<Promise, Failure> {
        let kind: Kind =
            service.scheduler.parse().map_err(|error| Failure::new(format!("{}: {error}", service.vip)))?;
        let mut places = Vec::new();
        let mut listed = Vec::new();
        for server in &told.servers {
            let address = server.address.ip();
            let known = service.servers.iter().find(|known| service.family().server(known.index) == address);
            let Some(known) = known.filter(|known| known.weight == server.weight) else {
                return Err(Failure::new(format!(
                    "the director lists real server {} of {} with weight {}, which is not what its file says",
                    server.address, service.vip, server.weight
                )));
            };
            places.push(known.index);
            let (id, port, weight) = (known.index as u32, service.server_port, known.weight);
            listed.push((Server { id, address, port, weight, last_weight: weight }, Load::default()));
        }
        if places.len() != service.servers.len() {
            return Err(Failure::new(format!(
                "the director lists {} real servers of {}, its file {}",
                places.len(),
                service.vip,
                service.servers.len()
            )));
        }
        let mut weights = [0; SERVERS];
        service.servers.iter().for_each(|server| weights[server.index] = server.weight);
        let settings = Settings { clients_v6: service.vip.is_ipv6(), ..Settings::default() };
        Ok(Promise {
            exactness: exactness(service.scheduler),
            picker: Picker::prepare(kind, &settings, listed, Vec::new()),
            places,
            vip: (service.vip.ip(), service.vip.port()),
            weights,
            asked: [0; SERVERS],
        })
    }

    /// Counts a request; gives the one server it must reach, if the scheduler promises that.
    pub fn ask(&mut self, request: &Request) -> Option<usize> {
        let flow = Flow { client: request.client, client_port: 0, vip: self.vip.0, vip_port: self.vip.1 };
        let server = self.places[self.picker.pick(&flow, &Moment::default())?];
        self.asked[server] += 1;
        (self.exactness == Exactness::EachClient).then_some(server)
    }

    /// The share of each server in percent: of what was asked so far, or by weight.
    pub fn shares(&self) -> [f64; SERVERS] {
        match self.exactness {
            Exactness::EachClient | Exactness::EachServer => percent(self.asked),
            Exactness::ByWeight => percent(self.weights.map(u64::from)),
        }
    }

    /// A share in percent is near enough to what was asked.
    pub fn kept(&self, asked: f64, got: f64) -> bool {
        let tolerance = if self.exactness == Exactness::ByWeight { TOLERANCE } else { SAME };
        (asked - got).abs() <= tolerance
    }

    /// Says what is wrong with the conns that each server `got`.
    pub fn broken_by(&self, got: [u64; SERVERS]) -> Option<String> {
        if self.exactness != Exactness::ByWeight {
            return (got != self.asked)
                .then(|| format!("the servers got {got:?} conns, the scheduler promises {:?}", self.asked));
        }
        let (shares, promised) = (percent(got), self.shares());
        let too_far = shares.iter().zip(promised).any(|(&got, asked)| !self.kept(asked, got));
        too_far.then(|| format!("the servers got {shares:.1?} %, more than {TOLERANCE} points from {promised:.1?} %"))
    }
}

fn exactness(scheduler: &str) -> Exactness {
    match scheduler {
        "rr" | "wrr" => Exactness::EachServer,
        "sh" | "mh" | "dh" => Exactness::EachClient,
        _ => Exactness::ByWeight,
    }
}

/// Shares of a whole in percent; zeros of nothing.
pub fn percent(parts: [u64; SERVERS]) -> [f64; SERVERS] {
    let whole: u64 = parts.iter().sum();
    parts.map(|part| if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 })
}

/// The director's listing of a service.
pub fn listing_of<'a>(listing: &'a [show::Service], service: &Service) -> Option<&'a show::Service> {
    let protocol: Protocol = service.protocol;
    listing.iter().find(|told| told.protocol == Some(protocol) && told.address == Some(service.vip))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::plan::{Family, Method, RealServer};
    use crate::demo::requests::of_every_client;

    fn service(scheduler: &'static str, weights: [u32; SERVERS]) -> (Service, show::Service) {
        let vip = std::net::SocketAddr::new(Family::V4.vip(0), 80);
        let servers = (0..SERVERS).map(|index| RealServer { index, weight: weights[index] }).collect();
        let service =
            Service { protocol: Protocol::Tcp, vip, scheduler, method: Method::Nat, server_port: 8080, servers };
        let told = service.servers.iter().rev().map(|server| show::Server {
            address: std::net::SocketAddr::new(Family::V4.server(server.index), 8080),
            method: Method::Nat,
            tunnel: None,
            weight: server.weight,
            upper_threshold: 0,
            lower_threshold: 0,
            active: 0,
            inactive: 0,
            persistent: 0,
            overloaded: false,
            traffic: show::Traffic::default(),
            rates: show::Traffic::default(),
        });
        let told = show::Service { address: Some(vip), servers: told.collect(), ..show::Service::default() };
        (service, told)
    }

    fn asked(scheduler: &'static str, weights: [u32; SERVERS]) -> Promise {
        let (service, told) = service(scheduler, weights);
        let mut promise = Promise::of(&service, &told).unwrap();
        for round in 0..6 {
            for request in of_every_client(std::slice::from_ref(&service), round) {
                promise.ask(&request);
            }
        }
        promise
    }

    #[test]
    fn round_robin_promises_numbers() {
        assert_eq!(asked("rr", [1; SERVERS]).broken_by([60; SERVERS]), None);
        assert_eq!(asked("wrr", [1, 2, 3, 4]).broken_by([24, 48, 72, 96]), None);
        assert!(asked("wrr", [1, 2, 3, 4]).broken_by([24, 48, 73, 95]).is_some());
    }

    #[test]
    fn hashes_promise_a_server_to_each_client() {
        let (service, told) = service("sh", [1; SERVERS]);
        let mut promise = Promise::of(&service, &told).unwrap();
        let request = of_every_client(&[service], 0)[7];
        let first = promise.ask(&request);
        assert!(first.is_some());
        assert_eq!(promise.ask(&request), first);
    }

    #[test]
    fn others_promise_shares_within_the_tolerance() {
        let promise = asked("wlc", [4, 3, 2, 1]);
        assert_eq!(promise.broken_by([400, 300, 200, 100]), None);
        assert_eq!(promise.broken_by([440, 280, 190, 90]), None);
        assert!(promise.broken_by([460, 260, 190, 90]).is_some());
    }

    #[test]
    fn a_listing_with_another_weight_is_refused() {
        let (service, mut told) = service("rr", [1; SERVERS]);
        told.servers[2].weight = 5;
        assert!(Promise::of(&service, &told).is_err());
    }
}
