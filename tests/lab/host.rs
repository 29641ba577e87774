//! The host interface: what goes to the host and what does not, what the host configures and what that means, and that it costs
//! the data plane nothing. The port wan has one, lan has none.

mod configured;
mod traffic;
mod vlans;

use crate::kit::{Lab, Left, port_mac};
use crate::network::*;
use uvs::neigh::{HostNetwork, HostRoute};
use uvs::wire::build::Frame;

/// The host's own address, beside the director's of the file.
fn host_address(family: Family) -> &'static str {
    if family.name == "IPv4" { "192.0.2.2" } else { "2001:db8::2" }
}

/// What the client sends to this address.
fn to(family: Family, address: &str) -> Frame {
    Frame::between(family.client, address).macs(mac(family.router), port_mac(WAN))
}

fn prefix(family: Family) -> u8 {
    if family.name == "IPv4" { 24 } else { 64 }
}

/// The network of all tests with a host interface on wan, and a service by NAT for each family. `more`: lines of that port.
fn config_with(director: &str, more: &str) -> String {
    let network = network(director).replace("\"net_null0\"", &format!("\"net_null0\"\nhost = \"uvs0\"\n{more}"));
    let service = |family: Family| {
        service("tcp", &endpoint(family.vip, 80), "scheduler = \"rr\"") + &server(&endpoint(family.rip, 8080), "nat")
    };
    network + &FAMILIES.map(service).concat()
}

fn config() -> String {
    config_with("conns_max = 5000", "")
}

/// The host has these addresses on wan's interface.
fn carrying(addresses: &[&str]) -> HostNetwork {
    let own = |text: &&str| (WAN as u16, text.parse().unwrap());
    HostNetwork { addresses: addresses.iter().map(own).collect(), ..HostNetwork::default() }
}

fn route(to: &str, gateway: Option<&str>, metric: u32) -> HostRoute {
    HostRoute { to: to.parse().unwrap(), metric, port: WAN as u16, gateway: gateway.map(ip) }
}

/// A lab whose host has an address of each family.
fn lab() -> Lab {
    let mut lab = Lab::new(&config());
    let own = FAMILIES.map(|family| format!("{}/{}", host_address(family), prefix(family)));
    lab.host_has(carrying(&own.each_ref().map(String::as_str)));
    lab
}

/// Puts a frame in and gives all that left, ARP and neighbour discovery too.
fn everything_left(lab: &mut Lab, port: usize, frame: &[u8]) -> Vec<Left> {
    lab.cables[port].put(frame);
    let mut left = Vec::new();
    for _ in 0..4 {
        let now = lab.now();
        for worker in &mut lab.workers {
            worker.turn(now);
        }
        lab.control.turn(now);
        left.extend(taken(lab));
    }
    left
}

fn taken(lab: &Lab) -> Vec<Left> {
    let take = |(i, cable): (usize, &uvs::port::memory::Cable)| {
        cable.take().into_iter().map(move |frame| Left { port: i % 2, frame })
    };
    lab.cables.iter().enumerate().flat_map(take).collect()
}
