//! What a test network is to serve: its addresses, its services, and the director's configuration file that follows from them.
//!
//! ```text
//!   client 192.0.2.100.. ── wan ── director ── lan ──┬── s1 10.0.0.11
//!          2001:db8::100..   .1            .1 10.0.0.0/24   ├── s2 10.0.0.12
//!             │                               fd00::/64     ├── s3 10.0.0.13
//!             └──────────── .2 (answers of DR and TUN) ─────┴── s4 10.0.0.14
//! ```

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

pub use control::show::{Method, Protocol};

/// Real servers of a network.
pub const SERVERS: usize = 4;
/// Client addresses per family: so many sources a hashing scheduler sees.
pub const CLIENTS: usize = 40;
/// Port of the real servers of NAT and FullNAT services.
pub const SERVER_PORT: u16 = 8080;
/// Bytes of the largest packet on every wire.
pub const MTU: u16 = 1500;

/// Both families, in the order everything is listed.
pub const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    /// That of an address.
    pub fn of(address: IpAddr) -> Family {
        if address.is_ipv4() { Family::V4 } else { Family::V6 }
    }

    /// "IPv4" or "IPv6".
    pub fn name(self) -> &'static str {
        match self {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        }
    }

    /// Host `number` of the clients' network, 192.0.2.0/24 or 2001:db8::/64. IPv6 writes the number in decimal digits: ::100.
    fn on_wan(self, number: u16) -> IpAddr {
        match self {
            Family::V4 => Ipv4Addr::new(192, 0, 2, number.to_le_bytes()[0]).into(),
            Family::V6 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, as_digits(number)).into(),
        }
    }

    /// Host `number` of the servers' network, 10.0.0.0/24 or fd00::/64.
    fn on_lan(self, number: u16) -> IpAddr {
        match self {
            Family::V4 => Ipv4Addr::new(10, 0, 0, number.to_le_bytes()[0]).into(),
            Family::V6 => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, as_digits(number)).into(),
        }
    }

    /// Prefix length of both networks.
    pub fn prefix(self) -> u8 {
        match self {
            Family::V4 => 24,
            Family::V6 => 64,
        }
    }

    /// The director towards the clients.
    pub fn director_wan(self) -> IpAddr {
        self.on_wan(1)
    }

    /// The director towards the real servers: the gateway of those of NAT services.
    pub fn director_lan(self) -> IpAddr {
        self.on_lan(1)
    }

    /// The clients' router on the servers' network: there the answers of DR and TUN go.
    pub fn way_back(self) -> IpAddr {
        self.on_lan(2)
    }

    /// Client `index`, below [`CLIENTS`].
    pub fn client(self, index: usize) -> IpAddr {
        self.on_wan(100 + index as u16)
    }

    /// Real server `index`, below [`SERVERS`].
    pub fn server(self, index: usize) -> IpAddr {
        self.on_lan(11 + index as u16)
    }

    /// Virtual address `index`, below 80.
    pub fn vip(self, index: usize) -> IpAddr {
        self.on_wan(10 + index as u16)
    }

    /// The director's local addresses of FullNAT.
    pub fn local_addresses(self) -> &'static str {
        match self {
            Family::V4 => "10.0.0.240/28",
            Family::V6 => "fd00::f0/124",
        }
    }
}

/// 100 → 0x100: so the last group of an IPv6 address reads like the last number of its IPv4 twin.
fn as_digits(number: u16) -> u16 {
    number.to_string().bytes().fold(0, |digits, digit| digits << 4 | u16::from(digit - b'0'))
}

/// A real server of a service.
#[derive(Clone, Copy, Debug)]
pub struct RealServer {
    /// Which of the network's servers.
    pub index: usize,
    /// Its share of the conns.
    pub weight: u32,
}

/// A virtual service. All its servers are reached by one method and listen on one port.
#[derive(Clone, Debug)]
pub struct Service {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// VIP and port.
    pub vip: SocketAddr,
    /// "rr", "wlc"...
    pub scheduler: &'static str,
    /// How packets reach the servers.
    pub method: Method,
    /// Port of the servers; the VIP's with DR and TUN.
    pub server_port: u16,
    /// The servers, in the order of the file.
    pub servers: Vec<RealServer>,
}

impl Service {
    /// The family of its VIP and of its servers.
    pub fn family(&self) -> Family {
        Family::of(self.vip.ip())
    }

    /// Where server `index` listens: on the VIP if the packet still names it when it arrives.
    pub fn listens(&self, index: usize) -> SocketAddr {
        if self.keeps_vip() { self.vip } else { SocketAddr::new(self.family().server(index), self.server_port) }
    }

    /// The server sees the client's packet with the VIP as destination, and answers the client without the director.
    pub fn keeps_vip(&self) -> bool {
        matches!(self.method, Method::Dr | Method::Tun)
    }
}

/// The word of the configuration file for a method.
pub fn method_word(method: Method) -> &'static str {
    match method {
        Method::Nat => "nat",
        Method::Dr => "dr",
        Method::Tun => "tun",
        Method::FullNat => "fullnat",
        Method::Local => "local",
        Method::Bypass => "bypass",
    }
}

/// The word of the configuration file for a protocol.
pub fn protocol_word(protocol: Protocol) -> &'static str {
    if protocol == Protocol::Udp { "udp" } else { "tcp" }
}

/// Who forwards.
#[derive(Clone, Copy, Debug)]
pub struct Cores<'a> {
    /// The workers' lcores.
    pub lcores: &'a [usize],
    /// Queues of each port.
    pub queues: usize,
    /// Conns of each worker.
    pub conns_max: u32,
}

/// What a port of the director is made of.
#[derive(Clone, Debug)]
pub struct Attached {
    /// What the file says under `device`.
    pub device: String,
    /// And under `vlan`.
    pub vlan: Option<u16>,
}

/// The director's configuration file. `attached` is for the ports wan and lan.
pub fn config_file(
    services: &[Service],
    attached: &[Attached; 2],
    run_dir: &Path,
    cores: Cores,
    eal_args: &[String],
) -> String {
    let mut text = format!(
        "[director]\n\
         workers = {:?}\n\
         conns_max = {}\n\
         run_dir = \"{}\"\n\n\
         [eal]\n\
         huge_pages = \"off\"\n\
         memory_mb = 256\n\
         args = {eal_args:?}\n",
        cores.lcores,
        cores.conns_max,
        run_dir.display()
    );
    let [v4, v6] = FAMILIES;
    let ports = [
        ("wan", &attached[0], FAMILIES.map(Family::director_wan)),
        ("lan", &attached[1], FAMILIES.map(Family::director_lan)),
    ];
    for (name, Attached { device, vlan }, addresses) in ports {
        let addresses = FAMILIES.map(|family| {
            let address = addresses.iter().find(|&&address| Family::of(address) == family);
            address.map(|address| format!("\"{address}/{}\"", family.prefix())).unwrap_or_default()
        });
        let addresses = addresses.join(", ");
        let _ = write!(
            text,
            "\n[[port]]\nname = \"{name}\"\ndevice = \"{device}\"\naddresses = [{addresses}]\nmtu = {MTU}\nqueues = {}\n",
            cores.queues
        );
        if let Some(id) = vlan {
            let _ = writeln!(text, "vlan = {id}");
        }
    }
    let _ =
        write!(text, "\n[fullnat]\nlocal_addresses = [\"{}\", \"{}\"]\n", v4.local_addresses(), v6.local_addresses());
    for service in services {
        service_text(&mut text, service);
    }
    text
}

fn service_text(text: &mut String, service: &Service) {
    let _ = write!(
        text,
        "\n[[service]]\nprotocol = \"{}\"\naddress = \"{}\"\nscheduler = \"{}\"\n",
        protocol_word(service.protocol),
        service.vip,
        service.scheduler
    );
    for server in &service.servers {
        let address = SocketAddr::new(service.family().server(server.index), service.server_port);
        let _ = write!(
            text,
            "\n[[service.real_server]]\naddress = \"{address}\"\nmethod = \"{}\"\nweight = {}\n",
            method_word(service.method),
            server.weight
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_both_families_read_alike() {
        assert_eq!(Family::V4.client(0).to_string(), "192.0.2.100");
        assert_eq!(Family::V6.client(39).to_string(), "2001:db8::139");
        assert_eq!(Family::V6.server(3).to_string(), "fd00::14");
        assert_eq!(Family::V6.vip(3).to_string(), "2001:db8::13");
    }

    #[test]
    fn the_director_takes_the_file() {
        let services = crate::demo::services();
        let port = |device: &str| Attached { device: device.into(), vlan: None };
        let attached = ["net_tap0,iface=uvs-wan", "net_tap1,iface=uvs-lan"].map(port);
        let cores = Cores { lcores: &[1], queues: 1, conns_max: 1_000 };
        let eal_args = ["--file-prefix=uvs-1-0".into()];
        let text = config_file(&services, &attached, Path::new("/tmp/uvs-1-0/run"), cores, &eal_args);
        let config = config::parse(&text, "uvs.toml").unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        assert_eq!(config.ports.len(), 2);
        assert_eq!(config.services.len(), services.len());
        assert!(config.services.iter().all(|service| service.servers.len() == SERVERS));
    }
}
