//! Two directors on one wire, each the other's router: they resolve each other by every port, so frames went both ways there. For
//! what this machine's kernel may not have as a peer: VLAN interfaces, and a bond that negotiates.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use control::Client;
use uvs::demo::Failure;
use uvs::demo::namespace::{Namespace, remove_files, run_tag};
use uvs::demo::process::Process;
use uvs::demo::wait::wait_until;

use crate::uvs_program;

/// A start takes two seconds, LACP a few more, a neighbour that was asked too early ten.
const KNOWN_WITHIN: Duration = Duration::from_secs(60);
/// A director stops at once.
const STOPS_WITHIN: Duration = Duration::from_secs(20);
/// Interfaces of the first and of the second director; the wires are between them, in order.
const ENDS: [[&str; 2]; 2] = [["uvs-a0", "uvs-a1"], ["uvs-b0", "uvs-b1"]];

/// A port of both directors: its name, its VLAN, the middle of its subnets.
type Port = (&'static str, Option<u16>, u8);

/// Three ports of one device. The packet socket has the kernel take tags off and put them on, beside the frame; libpcap's device
/// leaves both to the director's software: what one says the other understands.
pub fn vlans() -> Result<(), Failure> {
    const PORTS: [Port; 3] = [("native", None, 1), ("v100", Some(100), 2), ("v4094", Some(4094), 3)];
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
    run(&[device.clone(), device], &slaves, &[("bond", None, 1), ("v7", Some(7), 2)])
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
    let expected = [1, 0].map(|side| ports.iter().flat_map(|(.., net)| addresses(*net, side)).collect::<BTreeSet<_>>());
    let mut found = [BTreeSet::new(), BTreeSet::new()];
    let known = wait_until("the directors knew each other by every port", KNOWN_WITHIN, || {
        one.check_running()?;
        other.check_running()?;
        found = [&one_dir, &other_dir].map(|run_dir| heard(run_dir));
        Ok(found == expected)
    });
    known.map_err(|failure| {
        Failure::new(format!("{failure}; heard were {found:?}\n{}\n{}", one.output(), other.output()))
    })?;
    for director in [&mut one, &mut other] {
        if !director.stop(STOPS_WITHIN)?.success() {
            return Err(director.failure("did not stop cleanly"));
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
    let text = [format!("10.{net}.0.{}", side + 1), format!("fd0{net}::{}", side + 1)];
    text.map(|text| text.parse().expect("an address"))
}

fn config_file(side: usize, device: &str, eal_args: &[String], ports: &[Port], tag: &str, run_dir: &str) -> String {
    let mut args = vec![format!("--file-prefix={}", file_prefix(tag, side))];
    args.extend_from_slice(eal_args);
    let mut text = format!(
        "[director]\nworkers = [{side}]\nconns_max = 1000\nrun_dir = \"{run_dir}\"\n\
         [eal]\nhuge_pages = \"off\"\nmemory_mb = 64\nargs = {args:?}\n"
    );
    for (name, vlan, net) in ports {
        let own = addresses(*net, side).map(|own| format!("{own}/{}", if own.is_ipv4() { 24 } else { 64 }));
        let _ = write!(text, "[[port]]\nname = \"{name}\"\ndevice = \"{device}\"\naddresses = {own:?}\n");
        if let Some(id) = vlan {
            let _ = writeln!(text, "vlan = {id}");
        }
    }
    // Routers are resolved without a packet that needs them.
    for (.., net) in ports {
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
