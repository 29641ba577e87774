//! What is served in the end-to-end tests: pages by every method, iperf3 by every method, a big file.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use uvs::demo::Failure;
use uvs::demo::network::Network;
use uvs::demo::plan::{FAMILIES, Family, Method, Protocol, RealServer, SERVER_PORT, SERVERS, Service};
use uvs::demo::process::Process;
use uvs::demo::servers::Server;
use uvs::demo::wait::wait_until;

use crate::programs;

/// The big file.
const BIG_BYTES: usize = 20_000_000;
/// Port of the iperf3 services.
const IPERF_PORT: u16 = 5201;

const METHODS: [Method; 4] = [Method::Nat, Method::Dr, Method::Tun, Method::FullNat];

/// Round robin over all four servers, by every method.
pub fn web_services() -> Vec<Service> {
    let service = |family: Family, at: usize| {
        let method = METHODS[at];
        let keeps_port = matches!(method, Method::Dr | Method::Tun);
        Service {
            protocol: Protocol::Tcp,
            vip: SocketAddr::new(family.vip(at), 80),
            scheduler: "rr",
            method,
            server_port: if keeps_port { 80 } else { SERVER_PORT },
            servers: (0..SERVERS).map(|index| RealServer { index, weight: 1 }).collect(),
        }
    };
    FAMILIES.into_iter().flat_map(|family| (0..METHODS.len()).map(move |at| service(family, at))).collect()
}

/// TCP and UDP services for iperf3, one server each: its control conn and its streams must meet.
pub fn stream_services() -> Vec<Service> {
    let service = |family: Family, at: usize, protocol: Protocol| Service {
        protocol,
        vip: SocketAddr::new(family.vip(at), IPERF_PORT),
        scheduler: "rr",
        method: METHODS[at],
        // NAT and FullNAT have the same real server; a port each keeps their iperf3 apart.
        server_port: if METHODS[at] == Method::FullNat { IPERF_PORT + 1 } else { IPERF_PORT },
        servers: vec![RealServer { index: 0, weight: 1 }],
    };
    let of = |family| {
        (0..METHODS.len())
            .flat_map(move |at| [Protocol::Tcp, Protocol::Udp].map(|protocol| service(family, at, protocol)))
    };
    FAMILIES.into_iter().flat_map(of).collect()
}

/// One iperf3 for each address that a service's packets arrive at: it answers UDP from the address it is bound to.
pub fn start_iperf(network: &Network, streams: &[Service]) -> Result<Vec<Process>, Failure> {
    let tcp = streams.iter().filter(|service| service.protocol == Protocol::Tcp);
    let start = |service: &Service| {
        let address = service.listens(0);
        let (ip, port) = (address.ip().to_string(), address.port().to_string());
        let mut command = network.servers[0].command("iperf3");
        command.args(["-s", "-B", &ip, "-p", &port, "--forceflush"]);
        let log = network.directory().join(format!("iperf3-{port}-{}.log", ip.replace(':', "_")));
        let mut iperf = Process::start(&format!("iperf3 on {address}"), &mut command, &log)?;
        wait_until(&format!("iperf3 listened on {address}"), || {
            iperf.check_running()?;
            Ok(iperf.output().contains("Server listening"))
        })?;
        Ok(iperf)
    };
    tcp.map(start).collect()
}

/// A file of pseudo-random bytes that every real server serves as `/big`, and its digest.
pub fn big_file(network: &Network, servers: &[Server]) -> Result<(PathBuf, String), Failure> {
    let path = network.directory().join("big");
    let mut word = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(BIG_BYTES + 8);
    while bytes.len() < BIG_BYTES {
        // xorshift64: no two segments alike, so none can take another's place.
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        bytes.extend(word.to_le_bytes());
    }
    bytes.truncate(BIG_BYTES);
    let failure = |error: std::io::Error| Failure::new(format!("{}: {error}", path.display()));
    fs::write(&path, bytes).map_err(failure)?;
    for server in servers {
        fs::hard_link(&path, server.files().join("big")).map_err(failure)?;
    }
    let digest = programs::sha256(&path)?;
    Ok((path, digest))
}
