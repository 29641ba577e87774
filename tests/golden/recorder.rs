//! The recorder's network around a director in the lab: clients behind a gateway on one side, real servers on the other.
//! `tests/golden/README.md` has the picture.

use crate::kit::{self, Lab};
use crate::recording::{Recording, Side};
use ipnet::IpNet;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::IpAddr;
use uvs::wire::Mac;

/// The gateways to the clients have this MAC.
const GATEWAY_MAC: Mac = Mac([2, 0, 0, 0x0c, 0, 0]);
const GATEWAYS: [&str; 2] = ["192.168.0.254", "fdc0::fe"];
const CLIENT_NETWORKS: [(&str, &str); 3] =
    [("10.0.0.0/8", GATEWAYS[0]), ("198.18.0.0/15", GATEWAYS[0]), ("fd10::/16", GATEWAYS[1])];
const SIDES: [(&str, [&str; 2]); 2] =
    [("c1", ["192.168.0.1/24", "fdc0::1/64"]), ("s1", ["172.16.0.1/16", "fd16::1/64"])];

/// Is this an address of the recorded kernel's interfaces?
pub fn is_own(address: IpAddr) -> bool {
    let own = |text: &str| text.split_once('/').and_then(|(own, _)| own.parse().ok()) == Some(address);
    SIDES.iter().any(|(_, addresses)| addresses.iter().any(|text| own(text)))
}

/// What a case changes of it.
pub struct Setup<'a> {
    pub workers: usize,
    pub mtus: [u16; 2],
    /// Addresses beside those of the interfaces.
    pub virtual_addresses: BTreeSet<IpAddr>,
    /// `name=value`, as below net/ipv4/vs.
    pub settings: Vec<&'a str>,
    /// Where FullNAT speaks from.
    pub local_addresses: Vec<IpNet>,
    /// Lines of `[timeouts]`.
    pub timeouts: Vec<String>,
}

impl<'a> Setup<'a> {
    pub fn of(recording: &'a Recording, workers: usize) -> Setup<'a> {
        let mtus = Side::BOTH.map(|side| recording.mtu(side));
        let virtual_addresses = recording.virtual_addresses();
        let settings = recording.settings().collect();
        let local_addresses = recording.local_addresses();
        Setup { workers, mtus, virtual_addresses, settings, local_addresses, timeouts: Vec::new() }
    }

    /// A setting as `name=value` is another one from now on.
    pub fn set(&mut self, setting: &'a str) {
        let name = |setting: &str| setting.split('=').next().map(str::to_string);
        self.settings.retain(|other| name(other) != name(setting));
        self.settings.push(setting);
    }

    /// What the director is told. An error: what of the settings it does not take.
    pub fn config(&self) -> Result<config::Config, String> {
        config::parse(&self.text(), "recording").map_err(|faults| faults.to_string())
    }

    /// The director, after its first turns. An error: what of the settings it does not take.
    pub fn lab(&self) -> Result<Lab, String> {
        self.config()?;
        let mut lab = Lab::unstarted(&self.text(), 0);
        lab.mac_of = recorded_mac;
        lab.advance(5_000);
        Ok(lab)
    }

    fn text(&self) -> String {
        let workers: Vec<_> = (0..self.workers).collect();
        let mut text = format!("[director]\nworkers = {workers:?}\nconns_max = 20000\ntemplates_max = 10000\n");
        for (at, (name, addresses)) in SIDES.into_iter().enumerate() {
            let mtu = self.mtus[at];
            let virtual_addresses = self.virtual_addresses.iter().filter(|_| at == 0).map(|address| {
                let bits = if address.is_ipv4() { 32 } else { 128 };
                format!("{address}/{bits}")
            });
            let addresses: Vec<_> = addresses.map(str::to_string).into_iter().chain(virtual_addresses).collect();
            let _ = write!(
                text,
                "[[port]]\nname = \"{name}\"\ndevice = \"net_null{at}\"\nmtu = {mtu}\naddresses = {addresses:?}\n"
            );
        }
        for (destination, via) in CLIENT_NETWORKS {
            let _ = write!(text, "[[route]]\ndestination = \"{destination}\"\nvia = \"{via}\"\n");
        }
        if !self.local_addresses.is_empty() {
            let prefixes: Vec<_> = self.local_addresses.iter().map(IpNet::to_string).collect();
            let _ = writeln!(text, "[fullnat]\nlocal_addresses = {prefixes:?}");
        }
        let _ = writeln!(text, "[ipvs]\n{}\n[timeouts]\n{}", self.settings.join("\n"), self.timeouts.join("\n"));
        text
    }
}

/// The MAC of a host: a real server's names it.
fn recorded_mac(address: IpAddr) -> Mac {
    let gateway = GATEWAYS.iter().any(|gateway| gateway.parse() == Ok(address));
    match address {
        _ if gateway => GATEWAY_MAC,
        IpAddr::V4(v4) if v4.octets()[..2] == [172, 16] => Mac([2, 0, 0, 0, v4.octets()[2], v4.octets()[3]]),
        IpAddr::V6(v6) if v6.segments()[0] == 0xfd16 => {
            let [high, low] = v6.segments()[7].to_be_bytes();
            Mac([2, 0, 0, 0, high, low])
        }
        _ => kit::host_mac(address),
    }
}
