//! `[[service.real_server]]`: where a service's conns go, and how.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::address::{Family, check_global, read_endpoint};
use crate::read::{Table, Value};
use crate::service::{Matching, Surroundings};

/// The greatest weight (the kernel's is an `int`).
pub const WEIGHT_MAX: u32 = 0x7fff_ffff;
/// The greatest threshold (ipvsadm's bound).
pub const THRESHOLD_MAX: u32 = 0x7fff_ffff;
/// Bound of the number of one service's real servers.
pub const SERVICE_SERVERS_MAX: usize = 65_536;

/// `[[service.real_server]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RealServer {
    /// RIP and port. The port is 0, "as the client asked", only where the service's is.
    pub address: SocketAddr,
    /// How frames get there.
    pub method: Method,
    /// Share of new conns, 0 to `WEIGHT_MAX`; 0 takes none.
    pub weight: u32,
    /// No new conns from this many on; 0 is no limit.
    pub upper_threshold: u32,
    /// New conns again below this many; 0 is three quarters of the upper one.
    pub lower_threshold: u32,
}

/// How frames get to a real server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// The destination is rewritten; replies come back through the director.
    Nat,
    /// Only the destination MAC is rewritten; replies go directly to the client.
    Dr,
    /// The packet travels inside another one; replies go directly to the client.
    Tun(Tunnel),
    /// Both ends are rewritten; the server sees a local address of the director.
    FullNat,
}

/// What a tunnelled packet travels in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tunnel {
    /// IP in IP, in any mixture of families.
    Ipip,
    /// GRE (RFC 2784).
    Gre {
        /// With a checksum over what it carries.
        csum: bool,
    },
    /// Generic UDP encapsulation.
    Gue {
        /// UDP port at the real server.
        port: u16,
        /// What becomes of UDP's checksum.
        csum: GueChecksum,
    },
}

/// The checksum of a GUE tunnel's UDP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GueChecksum {
    /// 0: none.
    None,
    /// Over all that it carries.
    Full,
    /// Remote checksum offload: the kernel uses it for its host's own packets only; forwarded ones have a full checksum.
    Remote,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Method::Tun(Tunnel::Gre { csum }) => write!(f, " gre{}", if *csum { " csum" } else { "" }),
            Method::Tun(Tunnel::Gue { port, csum }) => write!(f, " gue {port} {}", csum.name()),
            _ => Ok(()),
        }
    }
}

impl GueChecksum {
    const NAMES: &[(&str, GueChecksum)] =
        &[("none", GueChecksum::None), ("csum", GueChecksum::Full), ("remcsum", GueChecksum::Remote)];

    fn name(self) -> &'static str {
        GueChecksum::NAMES.iter().find(|(_, csum)| *csum == self).map_or("none", |(name, _)| name)
    }
}

impl Method {
    /// The name in the file.
    pub fn name(self) -> &'static str {
        match self {
            Method::Nat => "nat",
            Method::Dr => "dr",
            Method::Tun(_) => "tun",
            Method::FullNat => "fullnat",
        }
    }

    /// Whether the method can change the destination port.
    pub fn maps_ports(self) -> bool {
        matches!(self, Method::Nat | Method::FullNat)
    }
}

/// IANA's port of GUE.
const GUE_PORT: u16 = 6080;

pub(crate) const KEYS: &[&str] =
    &["address", "method", "tunnel", "tunnel_port", "tunnel_csum", "weight", "upper_threshold", "lower_threshold"];

/// Reads the servers of a service; without `matching`, which had a fault, only what can be said of each alone.
pub(crate) fn read_all(service: &Table, matching: Option<&Matching>, surroundings: &Surroundings) -> Vec<RealServer> {
    let mut servers = Vec::new();
    let mut numbers = HashMap::new();
    for (index, table) in service.tables("real_server", SERVICE_SERVERS_MAX).into_iter().enumerate() {
        table.check_keys(KEYS, &[]);
        let Some(server) = read_server(&table, matching, surroundings) else { continue };
        if let Some(number) = numbers.get(&server.address) {
            table.fault(format!("found {} a second time; real_server {number} has it", server.address));
            continue;
        }
        numbers.insert(server.address, index + 1);
        servers.push(server);
    }
    servers
}

fn read_server(table: &Table, matching: Option<&Matching>, surroundings: &Surroundings) -> Option<RealServer> {
    let method = table.need("method", "one of nat, dr, tun, fullnat").and_then(|v| read_method(&v, table));
    let address = table.need("address", "an address with a port, such as \"10.0.0.11:8080\"").and_then(|v| {
        let address = read_address(&v, matching)?;
        check_address(&v, address.ip(), method, surroundings)?;
        match (method, matching) {
            (Some(method), Some(matching)) => check_method(&v, address, method, matching, surroundings)?,
            _ => return None,
        }
        Some(address)
    });
    let weight = table.get("weight").map_or(Some(1), |v| v.number(0..=WEIGHT_MAX));
    let upper = table.get("upper_threshold").map_or(Some(0), |v| v.number(0..=THRESHOLD_MAX));
    let lower = table.get("lower_threshold").map_or(Some(0), |v| check_lower(&v, upper));
    Some(RealServer {
        address: address?,
        method: method?,
        weight: weight?,
        upper_threshold: upper?,
        lower_threshold: lower?,
    })
}

fn read_method(value: &Value, table: &Table) -> Option<Method> {
    let tun = Method::Tun(Tunnel::Ipip);
    let methods = [("nat", Method::Nat), ("dr", Method::Dr), ("tun", tun), ("fullnat", Method::FullNat)];
    let method = value.word(&methods)?;
    if method != tun {
        let of_tunnels = ["tunnel", "tunnel_port", "tunnel_csum"];
        let found = of_tunnels.into_iter().find_map(|key| table.get(key).map(|value| (key, value)));
        let Some((key, value)) = found else { return Some(method) };
        value.fault(format!("found `{key}` with method {}; must be with method tun, or absent", method.name()));
        return None;
    }
    read_tunnel(table).map(Method::Tun)
}

fn read_tunnel(table: &Table) -> Option<Tunnel> {
    let kinds = [("ipip", "ipip"), ("gre", "gre"), ("gue", "gue")];
    let kind = table.get("tunnel").map_or(Some("ipip"), |value| value.word(&kinds))?;
    if let Some(value) = table.get("tunnel_port").filter(|_| kind != "gue") {
        value.fault(format!("found a port with tunnel {kind}, which has none; must be with tunnel gue, or absent"));
        return None;
    }
    let csum = table.get("tunnel_csum");
    match kind {
        "gue" => {
            let port = table.get("tunnel_port").map_or(Some(GUE_PORT), |value| value.number(1..=u16::MAX));
            let csum = csum.map_or(Some(GueChecksum::None), |value| value.word(GueChecksum::NAMES));
            Some(Tunnel::Gue { port: port?, csum: csum? })
        }
        "gre" => {
            let csum = csum.map_or(Some(false), |value| value.word(&[("none", false), ("csum", true)]))?;
            Some(Tunnel::Gre { csum })
        }
        _ => match csum {
            Some(value) => {
                value.fault(
                    "found a checksum with tunnel ipip, which has none; must be with tunnel gre or gue, or absent",
                );
                None
            }
            None => Some(Tunnel::Ipip),
        },
    }
}

fn read_address(value: &Value, matching: Option<&Matching>) -> Option<SocketAddr> {
    // Where the service takes several ports, an address alone means the port that the client asked for.
    let several = matching.is_some_and(|matching| matching.port() == 0);
    let bare = value.as_text().and_then(|text| text.parse::<IpAddr>().ok());
    let Some(bare) = bare.filter(|_| several) else { return read_endpoint(value) };
    check_global(value, bare)?;
    Some(SocketAddr::new(bare, 0))
}

/// What must hold for a real server of any service.
fn check_address(value: &Value, rip: IpAddr, method: Option<Method>, surroundings: &Surroundings) -> Option<()> {
    let network = surroundings.network;
    let message = if let Some(port) = network.own(rip) {
        // With FullNAT the host would have to answer an address of the director.
        if method != Some(Method::FullNat) && port.host.is_some() {
            return Some(());
        }
        format!(
            "found {rip}, an address of port {}; must be another host's: the director serves nothing itself, and its host \
             only with nat, dr or tun, if the port has a `host`",
            port.name
        )
    } else if surroundings.local_addresses.contains(&rip) {
        format!("found {rip}, a local address of [fullnat]; must be another host's")
    } else if let Some(number) = surroundings.vips.get(&rip) {
        format!("found {rip}, the virtual address of service {number}; must be the server's own")
    } else if let Some(subnet) = network.subnet_without_host(rip) {
        format!("found {rip}, which no host of {subnet} can have; must be one host's address")
    } else if network.complete && !network.reaches(rip) {
        format!("found {rip}, to which no subnet, [[route]] or gateway leads; must be reachable")
    } else {
        return Some(());
    };
    value.fault(message);
    None
}

/// What must hold for a real server of this method in this service.
fn check_method(
    value: &Value,
    server: SocketAddr,
    method: Method,
    matching: &Matching,
    surroundings: &Surroundings,
) -> Option<()> {
    let (family, name) = (Family::of(server.ip()), method.name());
    if family != matching.family() && !matches!(method, Method::Tun(_)) {
        let right = matching.family();
        value.fault(format!(
            "found an {family} server of an {right} service with method {name}; must be {right}, or tun"
        ));
        return None;
    }
    check_port(value, server, method, matching)?;
    let has_local = || surroundings.local_addresses.iter().any(|local| Family::of(*local) == family);
    if method == Method::FullNat && surroundings.local_addresses_complete && !has_local() {
        value.fault(format!("found a fullnat server; [fullnat] local_addresses must have an {family} address for it"));
        return None;
    }
    Some(())
}

fn check_port(value: &Value, server: SocketAddr, method: Method, matching: &Matching) -> Option<()> {
    let (found, asked, name) = (server.port(), matching.port(), method.name());
    let one_of_many = asked == 0 && matches!(matching, Matching::Endpoint { .. });
    let message = if found != asked && !method.maps_ports() {
        format!("found port {found} with method {name}; must be the service's port {asked}: {name} cannot change it")
    } else if found != 0 && one_of_many {
        format!("found port {found} in a service of all ports; must be 0: the port the client asked for stays")
    } else if found == 0 && asked != 0 {
        "found port 0; must be a port from 1 to 65535".to_string()
    } else {
        return Some(());
    };
    value.fault(message);
    None
}

fn check_lower(value: &Value, upper: Option<u32>) -> Option<u32> {
    let lower = value.number(0..=THRESHOLD_MAX)?;
    if let Some(upper) = upper.filter(|upper| lower > *upper) {
        value.fault(format!("found {lower}; must be at most the upper_threshold, {upper}"));
        return None;
    }
    Some(lower)
}
