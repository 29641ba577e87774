//! What the operator says: a TOML file becomes types that cannot be wrong.
//!
//! `load` reports every fault of a file at once; each says where, what was found, what would be right. After it nobody
//! checks again, except for what only the machine can answer (is there such a device, so much memory). The crate knows no
//! packets and no DPDK.
//!
//! | section | key | default | right |
//! |---|---|---|---|
//! | `[director]` | `workers` | `[1]` | lcores that forward, 64 at most |
//! | | `conns_max` | `1_000_000` | conns per worker |
//! | | `templates_max` | `100_000` | persistence templates |
//! | | `servers_max` | `65_536` | real servers of all services |
//! | | `neighbors_max` | `8_192` | neighbours |
//! | | `run_dir` | `"/run/uvs"` | absolute path |
//! | | `group` | none | a group of users who may look as `ipvsadm -L` does; nobody but root may otherwise |
//! | | `idle` | `"adaptive"` | `"adaptive"`, `"busy"` |
//! | | `forward` | `true` | packets for other hosts are routed |
//! | `[eal]` | `huge_pages` | `"auto"` | `"auto"`, `"require"`, `"off"` |
//! | | `memory_mb` | `1024` | MiB |
//! | | `args` | `[]` | more words for `rte_eal_init` |
//! | `[[port]]` | `name` | needed | letters, digits, `-_.` |
//! | | `device` | needed | PCI address, or vdev with its arguments |
//! | | `addresses` | `[]` | own addresses with prefix lengths |
//! | | `gateway`, `gateway6` | none | one port's per family |
//! | | `mtu` | `1500` | 68 (IPv6: 1280) to 9216 |
//! | | `queues` | one per worker | 1 to the number of workers; the others get their frames handed over; ports of one device that say it say the same |
//! | | `vlan` | none | 1 to 4094; several ports may have one device, each with another vlan, one with none |
//! | | `host` | none | name of the kernel interface that is made for the host |
//! | | `vip_answer` | `"always"` | `"always"`, `"host"`: while the host interface carries the VIP |
//! | `[[neighbor]]` | `address`, `mac` | needed | a host next door |
//! | | `port` | by subnet | needed for link-local addresses if there are several ports |
//! | `[[route]]` | `destination`, `via` | needed | prefix, router next door |
//! | | `port` | by subnet | as above |
//! | `[fullnat]` | `local_addresses` | `[]` | prefixes; every address of them |
//! | | `masquerade` | `false` | `true`: what tools call masquerading (`ipvsadm -m`) is FullNAT; a list: at these services, `["tcp 192.0.2.10:80", "fwmark 7"]` |
//! | `[timeouts]` | `tcp` (`tcp_established`), `tcp_fin` (`tcp_fin_wait`), `udp` | the kernel's | `"1s"` to `"24d"` |
//! | | `tcp_syn_sent`, `tcp_syn_recv`, `tcp_time_wait`, `tcp_close`, `tcp_close_wait`, `tcp_last_ack`, `tcp_listen`, `tcp_synack` | the kernel's | likewise |
//! | | `sctp_init1`, `sctp_init`, `sctp_cookie_sent`, `sctp_cookie_replied`, `sctp_cookie_wait`, `sctp_cookie`, `sctp_cookie_echoed`, `sctp_established`, `sctp_shutdown_sent`, `sctp_shutdown_received`, `sctp_shutdown_ack_sent`, `sctp_rejected`, `sctp_closed` | the kernel's | likewise |
//! | `[ipvs]` | `conn_reuse_mode` | `1` | 0 to 3 |
//! | | `pmtu_disc`, `run_estimation`, `snat_reroute` | `1` | 0 or 1 |
//! | | `expire_nodest_conn`, `expire_quiescent_template`, `sloppy_tcp`, `sloppy_sctp`, `nat_icmp_send`, `schedule_icmp`, `cache_bypass`, `ignore_tunneled` | `0` | 0 or 1 |
//! | | `drop_entry`, `drop_packet`, `secure_tcp` | `0` | 0 never; 1, 2 while memory is short; 3 always |
//! | | `amemthresh`, `am_droprate` | `1024`, `10` | pages of a conn table that are too few, 0 to 4194304; one packet in so many, 1 to 4194304 |
//! | | `lblc_expiration`, `lblcr_expiration` | `86_400` | seconds |
//! | `[[mark]]` | `mark` | needed | not 0 |
//! | | `source`, `destination` | any | prefixes |
//! | | `protocol`, `source_ports`, `destination_ports` | any | `"tcp"`, `"udp"`, `"sctp"`; a port or `"8000-8010"` |
//! | `[[service]]` | `protocol`, `address` | needed, or `fwmark` | `"tcp"`, `"udp"`, `"sctp"`; VIP with port |
//! | | `fwmark`, `family` | none, `"ipv4"` | a mark that a rule gives |
//! | | `scheduler` | `"wlc"` | rr wrr lc wlc lblc lblcr dh sh sed nq mh fo ovf twos none |
//! | | `flags` | `[]` | `"sh-port"`, `"sh-fallback"`, `"mh-port"`, `"mh-fallback"` |
//! | | `mh_table` | `4093` | a prime from 251 to 131071 |
//! | | `persistent` | none | `"1s"` to `"24d"` |
//! | | `netmask` | one host | `"255.255.255.0"`, or a prefix length |
//! | | `one_packet` | `false` | with UDP or a mark |
//! | | `steer` | `"source"` | `"source"`, `"tuple"`: what tells the worker that owns a flow; `"tuple"` without nat servers |
//! | `[[service.real_server]]` | `address` | needed | RIP with port; an own address with nat, dr or tun, if its port has a `host` |
//! | | `method` | needed | `"nat"`, `"dr"`, `"tun"`, `"fullnat"` |
//! | | `tunnel` | `"ipip"` | `"ipip"`, `"gre"`, `"gue"` |
//! | | `tunnel_port` | `6080` | gue's UDP port |
//! | | `tunnel_csum` | `"none"` | `"none"`, `"csum"`; gue: `"remcsum"` |
//! | | `weight` | `1` | 0 to 2147483647 |
//! | | `upper_threshold`, `lower_threshold` | `0` | conns |

mod address;
mod device;
mod difference;
mod director;
mod errors;
mod fullnat;
mod ipvs;
pub mod limits;
mod mark;
mod nearest;
mod network;
mod port;
mod read;
mod route;
mod scheduler;
mod server;
mod service;
mod steer;
mod timeouts;

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use toml::de::DeTable;

pub use address::{Family, MacAddr};
pub use device::{Device, Trunk};
pub use difference::{Changed, Counts, Difference, ServiceDifference, Summary, Way};
pub use director::{Director, Eal, HugePages, Idle};
pub use errors::{Errors, Fault};
pub use fullnat::{FullNat, Masquerade};
pub use ipvs::{Defense, Ipvs};
pub use mark::Mark;
pub use port::{Port, VipAnswer};
pub use route::{Neighbor, Route};
pub use scheduler::{Flags, Scheduler, UnknownScheduler};
pub use server::{GueChecksum, Method, RealServer, Tunnel};
pub use service::{Matching, Persistence, Protocol, Service};
pub use steer::Steer;
pub use timeouts::Timeouts;

use network::Network;
use read::{Place, Source, Table};
use service::Surroundings;

/// A whole configuration. After `load` nothing in it needs a check that does not ask the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `[director]`.
    pub director: Director,
    /// `[eal]`.
    pub eal: Eal,
    /// `[[port]]`: at least one.
    pub ports: Vec<Port>,
    /// `[[neighbor]]`.
    pub neighbors: Vec<Neighbor>,
    /// `[[route]]`, without the gateways.
    pub routes: Vec<Route>,
    /// `[fullnat]`.
    pub fullnat: FullNat,
    /// `[timeouts]`.
    pub timeouts: Timeouts,
    /// `[ipvs]`.
    pub ipvs: Ipvs,
    /// `[[mark]]`, in the order they are tried.
    pub marks: Vec<Mark>,
    /// `[[service]]`; no two match the same flows.
    pub services: Vec<Service>,
}

impl Config {
    /// The devices, each with its ports.
    pub fn devices(&self) -> Vec<Trunk<'_>> {
        device::devices(&self.ports)
    }
}

/// Reads and checks a file of at most `limits::FILE_BYTES_MAX`.
pub fn load(path: impl AsRef<Path>) -> Result<Config, Errors> {
    let name = path.as_ref().display().to_string();
    let bytes = read_bounded(path.as_ref()).map_err(|error| {
        Errors::of_file(&name, format!("found no file to read ({error}); must be a configuration file"))
    })?;
    if bytes.len() > limits::FILE_BYTES_MAX {
        return Err(too_long(&name));
    }
    let text = std::str::from_utf8(&bytes).map_err(|error| not_utf8(&bytes, error.valid_up_to(), &name))?;
    parse(text, &name)
}

/// Checks a file's text; `file_name` is only for messages.
pub fn parse(text: &str, file_name: &str) -> Result<Config, Errors> {
    if text.len() > limits::FILE_BYTES_MAX {
        return Err(too_long(file_name));
    }
    let source = Source::new(file_name, text);
    // Beyond the first broken line it is unknown what was meant, and everything would be judged wrongly.
    let tree = DeTable::parse(text).map_err(|error| not_toml(&source, &error))?;
    let config = read_config(&source.root(tree.get_ref()));
    source.take_errors().map_or(Ok(config), Err)
}

const SECTIONS: &[&str] =
    &["director", "eal", "port", "neighbor", "route", "fullnat", "timeouts", "ipvs", "mark", "service"];

/// Reads all sections in the order in which they lean on each other. The result counts only if no fault was noted.
fn read_config(root: &Table) -> Config {
    root.check_keys(SECTIONS, &[]);
    let director = director::read_director(root);
    let eal = director::read_eal(root);
    let mut network = Network::default();
    let faults_before = root.source().fault_count();
    port::read(root, director.workers.len().max(1), &mut network);
    network.complete = root.source().fault_count() == faults_before;
    route::read_routes(root, &mut network);
    network.complete = root.source().fault_count() == faults_before;
    route::read_neighbors(root, director.neighbors_max, &mut network);
    let faults_before = root.source().fault_count();
    let fullnat = fullnat::read(root, &network);
    let local_addresses_complete = root.source().fault_count() == faults_before;
    let timeouts = timeouts::read(root);
    let ipvs = ipvs::read(root);
    let faults_before = root.source().fault_count();
    let marks = mark::read(root);
    let surroundings = Surroundings {
        network: &network,
        marks: &marks,
        marks_complete: root.source().fault_count() == faults_before,
        local_addresses: &fullnat.local_addresses.iter().copied().collect(),
        local_addresses_complete,
        vips: Default::default(),
        servers_max: director.servers_max,
    };
    let services = service::read(root, surroundings);
    let Network { ports, neighbors, routes, .. } = network;
    Config { director, eal, ports, neighbors, routes, fullnat, timeouts, ipvs, marks, services }
}

/// A file's bytes; one more than allowed if it is too long. Whatever the path leads to, this returns soon: a running director
/// reads its file again on request, and by then the path may be a pipe that nobody writes to.
fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut options = File::options();
    options.read(true).custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32);
    let file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is a directory, a pipe or a device"));
    }
    let mut bytes = Vec::new();
    file.take(limits::FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn not_toml(source: &Source, error: &toml::de::Error) -> Errors {
    let offset = error.span().map_or(usize::MAX, |span| span.start);
    source.error(
        &Place { offset, path: String::new() },
        match error.message() {
            "duplicate key" => "found a key a second time; must be there once".to_string(),
            message => format!("found what is no TOML: {message}"),
        },
    )
}

fn too_long(file_name: &str) -> Errors {
    let right = limits::FILE_BYTES_MAX >> 20;
    Errors::of_file(file_name, format!("found more than {right} MiB; must be at most that"))
}

fn not_utf8(bytes: &[u8], offset: usize, file_name: &str) -> Errors {
    let (line, column) = read::line_and_column(bytes, offset);
    let message = format!("found the byte 0x{:02x}, which is not UTF-8; must be text in UTF-8", bytes[offset]);
    Errors { file: file_name.to_string(), faults: vec![Fault { line, column, path: String::new(), message }], more: 0 }
}

#[cfg(test)]
mod tests {
    /// A key that is read but not in the table above would be known to nobody.
    #[test]
    fn the_table_names_every_key() {
        let docs: String = include_str!("lib.rs").lines().take_while(|line| line.starts_with("//!")).collect();
        let keys = [
            crate::director::DIRECTOR_KEYS,
            crate::director::EAL_KEYS,
            crate::port::KEYS,
            crate::route::NEIGHBOR_KEYS,
            crate::route::ROUTE_KEYS,
            crate::fullnat::KEYS,
            &crate::timeouts::keys(),
            &crate::ipvs::working(),
            crate::mark::KEYS,
            crate::service::KEYS,
            crate::server::KEYS,
        ];
        for key in keys.concat() {
            let section = docs.contains(&format!("`[[service.{key}]]`"));
            assert!(section || docs.contains(&format!("`{key}`")), "{key} is not in the table");
        }
    }
}
