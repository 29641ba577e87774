//! The network that the load device pretends to be, and the director's configuration file that follows from it. Everything hangs on
//! one port: gateway and clients on one side, eight real servers on the other.
//!
//! ```text
//!   clients 10.0.0.1 …      gateway 192.168.1.254   ┐                      ┌ s0 192.168.2.10   2001:db8:2::10
//!   2001:db8:c::a00:1 …     2001:db8:1::fe          ├── director 192.168.1.1, 192.168.2.1, ── …
//!   VIP 192.168.1.100:80, 2001:db8:1::100           ┘            2001:db8:1::1, 2001:db8:2::1 └ s7 192.168.2.17   2001:db8:2::17
//! ```

use super::case::{Case, Load, Traffic, method_name};
use crate::demo::plan::{Family, Method};
use crate::wire::Mac;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// Real servers.
pub const SERVERS: usize = 8;
/// The director's MAC.
pub const PORT_MAC: Mac = Mac([0x02, 0x70, 0x63, 0x61, 0x70, 0x00]);
/// The gateway's MAC.
pub const GATEWAY_MAC: Mac = Mac([2, 0, 0, 0, 0, 0xfe]);
/// The VIP's port.
pub const VIP_PORT: u16 = 80;
/// Frames and device rings fit in this.
pub const MEMORY_MB: u32 = 128;
/// Frames at the beginning of a case that are looked at.
const SAMPLE_FRAMES: u32 = 200;

/// The VIP.
pub fn vip(family: Family) -> IpAddr {
    on_wan(family, 100, 0x100)
}

/// The director's address towards the real servers.
pub fn director(family: Family) -> IpAddr {
    on_lan(family, 1, 1)
}

/// A real server's address, by its number.
pub fn server(family: Family, number: usize) -> IpAddr {
    on_lan(family, 10 + number as u8, 0x10 + number as u16)
}

/// A real server's MAC.
pub fn server_mac(number: usize) -> Mac {
    Mac([2, 0, 0, 0, 2, 1 + number as u8])
}

/// The port that real servers of a method listen on.
pub fn server_port(method: Method) -> u16 {
    if matches!(method, Method::Nat | Method::FullNat) { 8080 } else { VIP_PORT }
}

/// Whether this is one of the director's local addresses.
pub fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => (200..232).contains(&address.octets()[3]) && address.octets()[..3] == [192, 168, 2],
        IpAddr::V6(address) => {
            let groups = address.segments();
            groups[..7] == [0x2001, 0xdb8, 2, 0, 0, 0, 0] && (0x200..0x220).contains(&groups[7])
        }
    }
}

/// Whether the load device makes this flow.
pub fn is_client(case: &Case, client: SocketAddr) -> bool {
    let low = match client.ip() {
        IpAddr::V4(address) => address.to_bits(),
        IpAddr::V6(address) if address.segments()[..6] == [0x2001, 0xdb8, 0xc, 0, 0, 0] => address.to_bits() as u32,
        IpAddr::V6(_) => return false,
    };
    let number = low.wrapping_sub(0x0a00_0001);
    match case.load.traffic {
        Traffic::New => number < 1 << 22 && client.port() >= 1024,
        _ => number < case.flows() && u32::from(client.port()) == 1024 + (number.wrapping_mul(40503) & 0x7fff),
    }
}

/// What the load device is told, but for its files.
pub fn device(load: &Load, queues: usize) -> String {
    let family = if load.family == Family::V4 { 4 } else { 6 };
    let (mode, echo) = match load.traffic {
        Traffic::Established { .. } => ("est", 0),
        Traffic::New => ("new", 0),
        Traffic::BothWays => ("est", 1),
    };
    format!(
        "net_lbgen0,family={family},proto={},flows={},mode={mode},echo={echo},queues={queues}",
        load.protocol_name(),
        load.flows(),
    )
}

/// The files of the load device in `folder`.
pub fn device_files(folder: &Path) -> String {
    let folder = folder.display();
    format!("start={folder}/start,stat={folder}/stat,dump={folder}/sample.pcap,dumpn={SAMPLE_FRAMES}")
}

/// The director's configuration file.
pub fn config_file(case: &Case, lcores: &[usize], folder: &Path, arguments: &[String]) -> String {
    let Case { load, method, workers } = case;
    let family = load.family;
    let mut text = format!(
        "[director]\nworkers = {lcores:?}\nconns_max = {}\nrun_dir = \"{folder}\"\nidle = \"busy\"\n\
         [eal]\nhuge_pages = \"auto\"\nmemory_mb = {MEMORY_MB}\nargs = {arguments:?}\n\
         [[port]]\nname = \"load\"\ndevice = \"{},{}\"\naddresses = [\"{}/{prefix}\", \"{}/{prefix}\"]\n{} = \"{}\"\n",
        load.conns_max(),
        device(load, *workers),
        device_files(folder),
        on_wan(family, 1, 1),
        director(family),
        if family == Family::V4 { "gateway" } else { "gateway6" },
        gateway(family),
        folder = folder.display(),
        prefix = family.prefix(),
    );
    let mut neighbor = |address: IpAddr, mac: Mac| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "[[neighbor]]\naddress = \"{address}\"\nmac = \"{mac}\"");
    };
    neighbor(gateway(family), GATEWAY_MAC);
    (0..SERVERS).for_each(|number| neighbor(server(family, number), server_mac(number)));
    if load.traffic == Traffic::New {
        text += "[timeouts]\nudp = \"1s\"\ntcp = \"1s\"\ntcp_syn_recv = \"1s\"\n";
    }
    if *method == Method::FullNat {
        text += match family {
            Family::V4 => {
                "[fullnat]\nlocal_addresses = [\"192.168.2.200/29\", \"192.168.2.208/28\", \"192.168.2.224/29\"]\n"
            }
            Family::V6 => "[fullnat]\nlocal_addresses = [\"2001:db8:2::200/123\"]\n",
        };
    }
    let vip = SocketAddr::new(vip(family), VIP_PORT);
    let _ = writeln!(text, "[[service]]\nprotocol = \"{}\"\naddress = \"{vip}\"", load.protocol_name());
    text += "scheduler = \"rr\"\n";
    for number in 0..SERVERS {
        let address = SocketAddr::new(server(family, number), server_port(*method));
        let method = method_name(*method);
        let _ = writeln!(text, "[[service.real_server]]\naddress = \"{address}\"\nmethod = \"{method}\"\nweight = 1");
    }
    text
}

fn gateway(family: Family) -> IpAddr {
    on_wan(family, 254, 0xfe)
}

fn on_wan(family: Family, v4: u8, v6: u16) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(192, 168, 1, v4).into(),
        Family::V6 => Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, v6).into(),
    }
}

fn on_lan(family: Family, v4: u8, v6: u16) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(192, 168, 2, v4).into(),
        Family::V6 => Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, v6).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::case;
    use super::*;

    #[test]
    fn the_director_takes_every_file() {
        for round in case::rounds(false, &[1, 2], &[]) {
            for case in round.cases {
                let text =
                    config_file(&case, &[1, 0][..case.workers], Path::new("/nowhere"), &["-d".into(), "x.so".into()]);
                let config =
                    config::parse(&text, "bench.toml").unwrap_or_else(|error| panic!("{case}: {error}\n{text}"));
                assert_eq!(config.services[0].servers.len(), SERVERS, "{case}");
                let locals = &config.fullnat.local_addresses;
                assert_eq!(locals.len(), if case.method == Method::FullNat { 32 } else { 0 }, "{case}");
                assert!(locals.iter().all(|&address| is_local(address)), "{case}: {locals:?}");
            }
        }
    }
}
