//! The director's file for a recording: the recorder's network around the services that the recording's own `ipvsadm` lines
//! name. Real servers 172.16.0.2 and fd16::2, and a gateway to the clients per family, are static neighbours.

use crate::recording::{Recording, Side};
use std::fmt::Write;

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
const NEIGHBORS: [(&str, &str); 4] = [
    ("192.168.0.254", "02:00:00:0c:00:00"),
    ("fdc0::fe", "02:00:00:0c:00:00"),
    ("172.16.0.2", "02:00:00:00:00:02"),
    ("fd16::2", "02:00:00:00:00:02"),
];

/// The ports, neighbours and services. `devices` are those of the wiring's ports.
pub fn text(recording: &Recording, wiring: Wiring, devices: &[String]) -> String {
    let mut text = String::new();
    match wiring {
        Wiring::TwoPorts => {
            for (side, device) in Side::BOTH.into_iter().zip(devices) {
                let mtu = mtu(&recording.config, side);
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
    settings(&recording.config, &mut text);
    services(&recording.config, &mut text);
    text
}

/// The MTU of a side, from the line "# director: c1 … mtu 1500 (MAC …), s1 … mtu 1400 (MAC …)".
pub fn mtu(config: &str, side: Side) -> u16 {
    let line = config.lines().find(|line| line.starts_with("# director:")).expect("the recorder names its interfaces");
    let mtus: Vec<_> = line.split(" mtu ").skip(1).filter_map(|rest| rest.split(' ').next()?.parse().ok()).collect();
    mtus[side as usize]
}

fn settings(config: &str, text: &mut String) {
    let settings: Vec<_> = config.lines().filter_map(|line| line.strip_prefix("sysctl net/ipv4/vs/")).collect();
    if !settings.is_empty() {
        let _ = writeln!(text, "\n[ipvs]\n{}", settings.join("\n"));
    }
}

/// `-A` makes a service, `-a` a real server of it, `-e` gives that another weight.
fn services(config: &str, text: &mut String) {
    let lines: Vec<Vec<&str>> =
        config.lines().filter_map(|line| line.strip_prefix("ipvsadm ")).map(|line| line.split(' ').collect()).collect();
    for service in lines.iter().filter(|words| words[0] == "-A") {
        let protocol = match service[1] {
            "-t" => "tcp",
            "-u" => "udp",
            other => panic!("{other}: only services of an address are replayed"),
        };
        let scheduler = after(service, "-s").expect("a service has a scheduler");
        let _ = write!(
            text,
            "\n[[service]]\nprotocol = \"{protocol}\"\naddress = \"{}\"\nscheduler = \"{scheduler}\"\n",
            service[2]
        );
        if let Some(seconds) = after(service, "-p") {
            let _ = writeln!(text, "persistent = \"{seconds}s\"");
        }
        if service.contains(&"-o") {
            text.push_str("one_packet = true\n");
        }
        let of_service = |words: &&Vec<&str>| words[1..3] == service[1..3];
        for server in lines.iter().filter(|words| words[0] == "-a").filter(of_service) {
            let edits = lines.iter().filter(|words| words[0] == "-e").filter(of_service);
            let mut weights = edits.filter(|words| words[4] == server[4]).filter_map(|words| after(words, "-w"));
            let _ = write!(
                text,
                "\n[[service.real_server]]\naddress = \"{}\"\nmethod = \"{}\"\nweight = {}\n",
                server[4],
                method(server[5]),
                weights.next_back().unwrap_or("1")
            );
        }
    }
}

fn after<'a>(words: &[&'a str], option: &str) -> Option<&'a str> {
    let at = words.iter().position(|word| *word == option)?;
    words.get(at + 1).copied()
}

fn method(option: &str) -> &'static str {
    match option {
        "-m" => "nat",
        "-g" => "dr",
        "-i" => "tun",
        other => panic!("{other}: no forwarding method"),
    }
}
