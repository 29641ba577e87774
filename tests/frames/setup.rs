//! The director's file for a recording: the recorder's network around the services that the recording's own `ipvsadm` lines
//! name. Real servers 172.16.0.2 and fd16::2, and a gateway to the clients per family, are static neighbours.

use crate::ipvsadm::Command;
use crate::recording::{Recording, Side};
use conntrack::Method;
use std::fmt::Write;
use std::net::SocketAddr;
use uvs::services::ServiceKey;
use uvs::services::book::{ServerSpec, ServiceSpec};
use uvs::wire::protocol;

/// How the director is wired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wiring {
    /// As the recorded kernel was: clients behind one port, real servers behind the other.
    TwoPorts,
    /// Everything behind one port: frames of both sides come in the order in which they were recorded.
    OneArm,
}

const ADDRESSES: [[&str; 2]; 2] = [["192.168.0.1/24", "fdc0::1/64"], ["172.16.0.1/16", "fd16::1/64"]];
const GATEWAYS: &str = "gateway = \"192.168.0.254\"\ngateway6 = \"fdc0::fe\"\n";
const NEIGHBORS: [(&str, &str); 6] = [
    ("192.168.0.254", "02:00:00:0c:00:00"),
    ("fdc0::fe", "02:00:00:0c:00:00"),
    ("172.16.0.2", "02:00:00:00:00:02"),
    ("fd16::2", "02:00:00:00:00:02"),
    ("172.16.0.3", "02:00:00:00:00:03"),
    ("fd16::3", "02:00:00:00:00:03"),
];

/// Frames that a worker takes from a port before it looks at the next port.
const BURST: usize = 32;

/// Why a recording cannot be said in a file, if it cannot.
pub fn why_not(recording: &Recording) -> Option<&'static str> {
    let by_mark = |(key, ..): &(ServiceKey, ServiceSpec, Servers)| matches!(key, ServiceKey::Mark { .. });
    if services(recording).iter().any(by_mark) {
        return Some("a service is of a mark");
    }
    if recording.steps.iter().any(|step| step.edits.as_ref().is_some_and(|edits| !edits.is_empty())) {
        return Some("its services change under way");
    }
    let shown = recording.steps.iter().filter_map(|step| step.shown.as_ref());
    let weights: Vec<_> = shown.map(|shown| shown.weights().expect("servers are understood")).collect();
    if weights.windows(2).any(|two| two[0] != two[1]) {
        return Some("its servers change under way");
    }
    if recording.inputs.iter().filter(|input| input.side == Side::Wan).count() > BURST {
        return Some("more frames from clients than a burst");
    }
    let own = |address: &SocketAddr| {
        let is = |own: &&str| own.split('/').next() == Some(&*address.ip().to_string());
        address.ip().is_loopback() || ADDRESSES.iter().flatten().any(is)
    };
    let by_itself = services(recording).iter().flat_map(|(.., servers)| servers).any(|(address, _)| own(address));
    by_itself.then_some("a real server is the director itself")
}

/// The ports, neighbours and services. `devices` are those of the wiring's ports.
pub fn text(recording: &Recording, wiring: Wiring, devices: &[String]) -> String {
    let mut text = String::new();
    match wiring {
        Wiring::TwoPorts => {
            for (side, device) in Side::BOTH.into_iter().zip(devices) {
                let mtu = recording.mtu(side);
                let _ = write!(text, "[[port]]\nname = \"{side:?}\"\ndevice = {device:?}\nmtu = {mtu}\n");
                let _ = writeln!(text, "addresses = {:?}", ADDRESSES[side as usize]);
                text += if side == Side::Wan { GATEWAYS } else { "" };
            }
        }
        Wiring::OneArm => {
            let _ = write!(text, "[[port]]\nname = \"arm\"\ndevice = {:?}\n", devices[0]);
            let _ = writeln!(text, "addresses = {:?}\n{GATEWAYS}", ADDRESSES.concat());
        }
    }
    for (address, mac) in NEIGHBORS {
        let _ = write!(text, "\n[[neighbor]]\naddress = \"{address}\"\nmac = \"{mac}\"\n");
    }
    let settings: Vec<_> = recording.settings().collect();
    if !settings.is_empty() {
        let _ = writeln!(text, "\n[ipvs]\n{}", settings.join("\n"));
    }
    for (key, spec, servers) in services(recording) {
        service(key, spec, &mut text);
        servers.iter().for_each(|(address, spec)| server(*address, *spec, &mut text));
    }
    text
}

type Servers = Vec<(SocketAddr, ServerSpec)>;

/// The services as they stand after the last edit.
fn services(recording: &Recording) -> Vec<(ServiceKey, ServiceSpec, Servers)> {
    let mut services: Vec<(ServiceKey, ServiceSpec, Servers)> = Vec::new();
    for edit in recording.edits().expect("ipvsadm's lines are understood") {
        match edit {
            Command::AddService(key, spec) => services.push((key, spec, Servers::new())),
            Command::AddServer(key, address, spec) => servers_of(&mut services, key).push((address, spec)),
            Command::EditServer(key, address, spec) => {
                let same = servers_of(&mut services, key).iter_mut().filter(|(of, _)| *of == address);
                same.for_each(|(_, old)| *old = spec);
            }
            other => panic!("{other:?}: no recording did that before its first step"),
        }
    }
    services
}

fn servers_of(services: &mut [(ServiceKey, ServiceSpec, Servers)], key: ServiceKey) -> &mut Servers {
    let service = services.iter_mut().find(|(of, ..)| *of == key);
    service.map(|(.., servers)| servers).expect("a server's service was added before")
}

fn service(key: ServiceKey, spec: ServiceSpec, text: &mut String) {
    let ServiceKey::Endpoint { protocol, vip, port } = key else { panic!("{key:?}: only services of an address") };
    let protocol = match protocol {
        protocol::TCP => "tcp",
        protocol::UDP => "udp",
        _ => "sctp",
    };
    let address = SocketAddr::new(vip, port);
    let _ = write!(
        text,
        "\n[[service]]\nprotocol = \"{protocol}\"\naddress = \"{address}\"\nscheduler = \"{}\"\none_packet = {}\n",
        spec.scheduler, spec.one_packet
    );
    if let Some(persistence) = spec.persistence {
        let _ =
            writeln!(text, "persistent = \"{}s\"\nnetmask = {}", persistence.timeout_s, persistence.netmask.count());
    }
}

fn server(address: SocketAddr, spec: ServerSpec, text: &mut String) {
    let method = match spec.method {
        Method::Nat => "nat",
        Method::Dr => "dr",
        Method::Tun => "tun",
        other => panic!("{other:?}: not of the kernel"),
    };
    let _ = write!(
        text,
        "\n[[service.real_server]]\naddress = \"{address}\"\nmethod = \"{method}\"\nweight = {}\n",
        spec.weight
    );
}
