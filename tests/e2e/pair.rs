//! Two directors on one wire, each the other's router: they resolve each other by every port, so frames went both ways there. For
//! what this machine's kernel may not have as a peer: VLAN interfaces, and a bond that negotiates.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use control::Client;
use uvs::demo::Failure;
use uvs::demo::namespace::{Namespace, remove_files, run_tag};
use uvs::demo::plan::MTU;
use uvs::demo::process::Process;
use uvs::demo::wait::wait_until;

use crate::uvs_program;

/// Interfaces of the first and of the second director; the wires are between them, in order.
const ENDS: [[&str; 2]; 2] = [["uvs-a0", "uvs-a1"], ["uvs-b0", "uvs-b1"]];

/// A port of both directors.
#[derive(Clone, Copy)]
struct Port {
    name: &'static str,
    vlan: Option<u16>,
    /// The middle of its subnets.
    net: u8,
    host: Option<&'static str>,
}

impl Port {
    const fn new(name: &'static str, vlan: Option<u16>, net: u8) -> Port {
        Port { name, vlan, net, host: None }
    }
}

/// Three ports of one device. The packet socket has the kernel take tags off and put them on, beside the frame; libpcap's device
/// leaves both to the director's software: what one says the other understands. By two of them the hosts talk to each other.
pub fn vlans() -> Result<(), Failure> {
    const PORTS: [Port; 3] = [
        Port { host: Some("uvs-native"), ..Port::new("native", None, 1) },
        Port { host: Some("uvs-v100"), ..Port::new("v100", Some(100), 2) },
        Port::new("v4094", Some(4094), 3),
    ];
    let devices = ["net_af_packet0,iface=uvs-a0", "net_pcap0,iface=uvs-b0"].map(String::from);
    run(&devices, &[vec![], vec![]], &PORTS)
}

/// Two bonds by 802.3ad over two wires: nothing is sent by a wire before both sides agreed about it.
pub fn lacp() -> Result<(), Failure> {
    let device = "net_bonding0,mode=4,slave=net_af_packet0,slave=net_af_packet1".to_string();
    let slaves = ENDS.map(|ends| {
        let slave = |(number, end): (usize, &str)| format!("--vdev=net_af_packet{number},iface={end}");
        ends.into_iter().enumerate().map(slave).collect()
    });
    run(&[device.clone(), device], &slaves, &[Port::new("bond", None, 1), Port::new("v7", Some(7), 2)])
}

fn run(devices: &[String; 2], eal_args: &[Vec<String>; 2], ports: &[Port]) -> Result<(), Failure> {
    let tag = run_tag(0);
    let _files = Files(tag.clone());
    // A namespace each: DPDK's packet sockets would meet in one fan-out group.
    let sides = [Namespace::create(&tag, "one")?, Namespace::create(&tag, "other")?];
    for side in &sides {
        side.sysctl(&["net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1"])?;
    }
    for (one, other) in ENDS[0].into_iter().zip(ENDS[1]) {
        sides[0].ip(&format!(
            "link add name {one} type veth peer name {other} netns {}\nlink set dev {one} arp off up\n",
            sides[1].name()
        ))?;
        sides[1].ip(&format!("link set dev {other} arp off up\n"))?;
    }
    let start = |side: usize| -> Result<(Process, std::path::PathBuf), Failure> {
        let folder = std::env::temp_dir().join(&tag).join(side.to_string());
        let (file, run_dir) = (folder.join("uvs.toml"), folder.join("run"));
        let text = config_file(side, &devices[side], &eal_args[side], ports, &tag, &run_dir.display().to_string());
        fs::create_dir_all(&run_dir)
            .and_then(|()| fs::write(&file, text))
            .map_err(|error| Failure::new(format!("{}: {error}", file.display())))?;
        let mut command = sides[side].command(uvs_program());
        command.arg("run").arg("-c").arg(&file);
        Ok((Process::start("a director", &mut command, &folder.join("log"))?, run_dir))
    };
    let (mut one, one_dir) = start(0)?;
    let (mut other, other_dir) = start(1)?;
    let expected = [1, 0].map(|side| ports.iter().flat_map(|port| addresses(port.net, side)).collect::<BTreeSet<_>>());
    let mut found = [BTreeSet::new(), BTreeSet::new()];
    let known = wait_until("the directors knew each other by every port", || {
        one.check_running()?;
        other.check_running()?;
        found = [&one_dir, &other_dir].map(|run_dir| heard(run_dir));
        Ok(found == expected)
    });
    known.map_err(|failure| {
        Failure::new(format!("{failure}; heard were {found:?}\n{}\n{}", one.output(), other.output()))
    })?;
    hosts_talk(&sides, ports)
        .map_err(|failure| Failure::new(format!("{failure}\n{}\n{}", one.output(), other.output())))?;
    for director in [&mut one, &mut other] {
        if !director.stop()?.success() {
            return Err(director.failure("did not stop cleanly"));
        }
    }
    Ok(())
}

/// The kernels of both sides by their host interfaces: untagged there, with the port's tag on the wire, up to the longest packet.
fn hosts_talk(sides: &[Namespace; 2], ports: &[Port]) -> Result<(), Failure> {
    for (port, host) in ports.iter().filter_map(|port| Some((port, port.host?))) {
        for (side, namespace) in sides.iter().enumerate() {
            namespace.sysctl(&[&format!("net.ipv6.conf.{host}.disable_ipv6=0")])?;
            let own = host_addresses(port.net, side);
            namespace.ip(&format!(
                "link set dev {host} up\naddress add {}/24 dev {host}\naddress add {}/64 dev {host} nodad\n",
                own[0], own[1]
            ))?;
        }
        for (other, header_bytes) in host_addresses(port.net, 1).iter().zip([28, 48]) {
            let bytes = (MTU - header_bytes).to_string();
            let args = ["-n", "-c", "1", "-W", "1", "-M", "do", "-s", &bytes, &other.to_string()];
            wait_until(&format!("{other} answered by {host}"), || Ok(sides[0].run("ping", &args).is_ok()))?;
        }
    }
    Ok(())
}

/// The neighbours that a director has a MAC of: what they sent came, a request if not an answer. Two that ask each other at once
/// may do without answers, so it is both that are asked.
fn heard(run_dir: &Path) -> BTreeSet<IpAddr> {
    let answer = Client::connect(run_dir).and_then(|mut client| client.neighbors()).unwrap_or_default();
    answer.neighbors.into_iter().filter(|neighbor| neighbor.mac.is_some()).map(|neighbor| neighbor.address).collect()
}

/// The addresses of a side's port.
fn addresses(net: u8, side: usize) -> [IpAddr; 2] {
    numbered(net, side + 1)
}

/// The addresses of its host interface.
fn host_addresses(net: u8, side: usize) -> [IpAddr; 2] {
    numbered(net, side + 11)
}

fn numbered(net: u8, host: usize) -> [IpAddr; 2] {
    let text = [format!("10.{net}.0.{host}"), format!("fd0{net}::{host}")];
    text.map(|text| text.parse().expect("an address"))
}

fn config_file(side: usize, device: &str, eal_args: &[String], ports: &[Port], tag: &str, run_dir: &str) -> String {
    let mut args = vec![format!("--file-prefix={}", file_prefix(tag, side))];
    args.extend_from_slice(eal_args);
    let mut text = format!(
        "[director]\nworkers = [{side}]\nconns_max = 1000\nrun_dir = \"{run_dir}\"\n\
         [eal]\nhuge_pages = \"off\"\nmemory_mb = 64\nargs = {args:?}\n"
    );
    for Port { name, vlan, net, host } in ports {
        let own = addresses(*net, side).map(|own| format!("{own}/{}", if own.is_ipv4() { 24 } else { 64 }));
        let _ = write!(text, "[[port]]\nname = \"{name}\"\ndevice = \"{device}\"\naddresses = {own:?}\n");
        if let Some(id) = vlan {
            let _ = writeln!(text, "vlan = {id}");
        }
        if let Some(host) = host {
            let _ = writeln!(text, "host = \"{host}\"");
        }
    }
    // Routers are resolved without a packet that needs them.
    for Port { net, .. } in ports {
        for (to, via) in [format!("10.77.{net}.0/24"), format!("fd77:{net}::/64")].iter().zip(addresses(*net, 1 - side))
        {
            let _ = write!(text, "[[route]]\ndestination = \"{to}\"\nvia = \"{via}\"\n");
        }
    }
    text
}

fn file_prefix(tag: &str, side: usize) -> String {
    format!("{tag}-{side}")
}

struct Files(String);

impl Drop for Files {
    fn drop(&mut self) {
        remove_files(&self.0);
        // What DPDK made for each side, if it was killed.
        (0..ENDS.len()).for_each(|side| remove_files(&file_prefix(&self.0, side)));
    }
}
