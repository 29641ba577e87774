//! A real server's own traffic: it reaches the clients' network through the director, which is its gateway, and is reached from there.

use std::net::SocketAddr;

use uvs::demo::Failure;
use uvs::demo::network::{CLIENT_WAN, Network};
use uvs::demo::plan::{FAMILIES, Family, Protocol};
use uvs::demo::process::Process;
use uvs::demo::wait::wait_until;

use crate::programs;

/// Port of the client's iperf3.
const PORT: u16 = 5301;
/// What an echo reply has left of 64 hops after one router.
const TTL: &str = "ttl=63";

/// Ping and TCP, both ways, both families.
pub fn through_the_director(network: &Network) -> Result<(), Failure> {
    let (client, server) = (&network.client, &network.servers[0]);
    // The clients' router has a way of its own to the servers' network, for answers of DR and TUN: not for this server.
    for family in FAMILIES {
        let route = format!("{} via {} dev {CLIENT_WAN}", family.server(0), family.director_wan());
        client.ip_of(family, &format!("route replace {route}\n"))?;
    }
    let mut listening = FAMILIES.map(|family| listen(network, family)).into_iter().collect::<Result<Vec<_>, _>>()?;
    for family in FAMILIES {
        for (from, to) in [(server, family.client(1)), (client, family.server(0))] {
            let said = from.run("ping", &["-n", "-c", "2", "-i", "0.2", "-W", "20", &to.to_string()])?;
            if !said.contains(TTL) {
                return Err(Failure::new(format!("{to} is not one router away:\n{said}")));
            }
        }
        for reverse in [false, true] {
            let at = SocketAddr::new(family.client(1), PORT);
            let rate = programs::iperf3(server, at, Protocol::Tcp, reverse, programs::DATAGRAM_BYTES)?;
            println!("e2e:     routed {} {}: {rate:.0} Mbit/s", family.name(), if reverse { "down" } else { "up" });
        }
        client.ip_of(family, &format!("route del {} dev {CLIENT_WAN}\n", family.server(0)))?;
    }
    listening.iter_mut().try_for_each(Process::check_running)
}

fn listen(network: &Network, family: Family) -> Result<Process, Failure> {
    let mut command = network.client.command("iperf3");
    command.args(["-s", "-B", &family.client(1).to_string(), "-p", &PORT.to_string(), "--forceflush"]);
    let log = network.directory().join(format!("iperf3-client-{}.log", family.name()));
    let mut iperf = Process::start("the client's iperf3", &mut command, &log)?;
    wait_until("the client's iperf3 listened", || {
        iperf.check_running()?;
        Ok(iperf.output().contains("Server listening"))
    })?;
    Ok(iperf)
}
