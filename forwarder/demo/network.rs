//! The network around the director, in namespaces: clients, the director's own (which has no addresses), a bridge, four real servers.
//! Shared by `uvs demo` and the end-to-end tests. Everything ends when it is dropped.
//!
//! The director's ports are either net_tap devices, which appear in the director's namespace when it starts and whose kernel ends are
//! then moved to where the wire leads, or net_af_packet on veth pairs, which are there before. With VLANs both ports are on one such
//! device, and its far end is a trunk from which the kernel's VLAN interfaces lead on.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::Failure;
use super::namespace::{Namespace, remove_files, run_tag, wait_for_interface};
use super::plan::{Attached, CLIENTS, FAMILIES, Family, MTU, Method, SERVERS, Service};

/// Interface in the client's namespace that leads to the director.
pub const CLIENT_WAN: &str = "wan";
/// The director's interfaces in its own namespace, wan and lan.
const DIRECTOR_ENDS: [&str; 2] = ["uvs-wan", "uvs-lan"];
/// The director's only interface, if both ports are VLANs of one device, and its far end.
const DIRECTOR_TRUNK: &str = "uvs-trunk";
const TRUNK: &str = "trunk";
/// The VLANs of wan and lan.
const VLANS: [u16; 2] = [100, 200];
/// The bond's taps, and the wires that they go over to.
const BOND_SLAVES: [&str; 2] = ["uvs-bond0", "uvs-bond1"];
const BOND_WIRES: [&str; 2] = ["wire0", "wire1"];
/// The bridge's end of the director's lan.
const BRIDGE_LAN: &str = "director";
/// Routing table for what DR and TUN servers send from a VIP.
const WAY_BACK_TABLE: u32 = 100;

/// Settings every namespace gets, before it has an interface: no duplicate address detection (a second of silence per IPv6 address),
/// no reverse path filter (answers of DR and TUN come by another way than the requests went).
const COMMON: [&str; 6] = [
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.default.rp_filter=0",
    "net.ipv6.conf.all.accept_dad=0",
    "net.ipv6.conf.default.accept_dad=0",
    "net.ipv6.conf.default.router_solicitations=0",
    "net.ipv4.ip_forward=0",
];

/// What the director's ports are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// net_tap.
    Tap,
    /// net_af_packet on the ends of veth pairs.
    AfPacket,
    /// One net_tap with two VLANs.
    TapTrunk,
    /// One net_af_packet with two VLANs.
    AfPacketTrunk,
    /// net_tap; the clients' port is an active-backup bond of two.
    Bond,
}

/// The namespaces, and a directory for files.
#[derive(Debug)]
pub struct Network {
    /// Where requests come from.
    pub client: Namespace,
    /// Where the director runs.
    pub director: Namespace,
    /// Holds the servers' bridge and nothing else.
    pub lan: Namespace,
    /// The real servers.
    pub servers: Vec<Namespace>,
    tag: String,
    attachment: Attachment,
    directory: PathBuf,
}

impl Network {
    /// Builds network `number` of this process, with real servers that serve `services`. All but what needs the director.
    pub fn build(number: u32, attachment: Attachment, services: &[Service]) -> Result<Network, Failure> {
        let tag = run_tag(number);
        let create = |role: &str| Namespace::create(&tag, role);
        let client = create("client")?;
        let director = create("director")?;
        let lan = create("lan")?;
        let servers = SERVER_NAMES.iter().map(|name| create(name)).collect::<Result<_, _>>()?;
        let directory = std::env::temp_dir().join(&tag);
        fs::create_dir(&directory).map_err(|error| Failure::new(format!("{}: {error}", directory.display())))?;
        let network = Network { client, director, lan, servers, tag, attachment, directory };
        network.wire()?;
        for index in 0..SERVERS {
            network.set_up_server(index, services)?;
        }
        Ok(network)
    }

    /// Directory for this network's files; it goes when the network goes.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Start of the names of everything that belongs to it.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// What the director's ports are attached to.
    pub fn attachment(&self) -> Attachment {
        self.attachment
    }

    /// What the director's file says of wan and lan. A tap has as many queues as it is asked for; packet sockets are told, and
    /// the kernel spreads flows over them (a fanout by hash).
    pub fn attached(&self, queues: usize) -> [Attached; 2] {
        let tap = |number: usize, end: &str| format!("net_tap{number},iface={end}");
        let af_packet = |number: usize, end: &str| format!("net_af_packet{number},iface={end},qpairs={queues}");
        let plain = |device: String| Attached { device, vlan: None };
        [0, 1].map(|port| match self.attachment {
            Attachment::Tap => plain(tap(port, DIRECTOR_ENDS[port])),
            Attachment::AfPacket => plain(af_packet(port, DIRECTOR_ENDS[port])),
            Attachment::TapTrunk => Attached { device: tap(0, DIRECTOR_TRUNK), vlan: Some(VLANS[port]) },
            Attachment::AfPacketTrunk => Attached { device: af_packet(0, DIRECTOR_TRUNK), vlan: Some(VLANS[port]) },
            Attachment::Bond if port == 0 => plain("net_bonding0,mode=1,slave=net_tap1,slave=net_tap2".into()),
            Attachment::Bond => plain(tap(0, DIRECTOR_ENDS[port])),
        })
    }

    /// Takes the director's lan "down", so that the device refuses to transmit, and "up" again: a tap's kernel side, or the
    /// interface under a packet socket.
    pub fn set_way_to_servers(&self, state: &str) -> Result<(), Failure> {
        let [_, lan] = DIRECTOR_ENDS;
        match self.attachment {
            Attachment::Tap | Attachment::Bond => self.lan.ip(&format!("link set {BRIDGE_LAN} {state}")),
            Attachment::AfPacket => self.director.ip(&format!("link set {lan} {state}")),
            Attachment::TapTrunk => self.lan.ip(&format!("link set {TRUNK} {state}")),
            Attachment::AfPacketTrunk => self.director.ip(&format!("link set {DIRECTOR_TRUNK} {state}")),
        }
    }

    /// Takes one of the bond's two wires "down" or "up".
    pub fn set_bond_wire(&self, number: usize, state: &str) -> Result<(), Failure> {
        self.director.ip(&format!("link set {} {state}", BOND_SLAVES[number]))
    }

    /// Frames that the director has sent by one of the bond's wires.
    pub fn sent_by_bond_wire(&self, number: usize) -> Result<u64, Failure> {
        let file = format!("/sys/class/net/{}/statistics/tx_packets", BOND_WIRES[number]);
        let count = self.director.run("cat", &[&file])?;
        count.trim().parse().map_err(|_| Failure::new(format!("{file}: found {count:?}, must be a number")))
    }

    /// What DPDK is told beside: whose files are whose, and what the bond is made of.
    pub fn eal_args(&self) -> Vec<String> {
        let mut args = vec![format!("--file-prefix={}", self.tag)];
        if self.attachment == Attachment::Bond {
            let slave = |(number, slave): (usize, &&str)| format!("--vdev=net_tap{},iface={slave}", number + 1);
            args.extend(BOND_SLAVES.iter().enumerate().map(slave));
        }
        args
    }

    /// The bond's two taps stay where they are, for a tap that was moved says that its link is down. What passes each goes over to
    /// a wire that ends at the clients' switch.
    fn wire_bond(&self) -> Result<(), Failure> {
        self.client.ip(&format!("link add name {CLIENT_WAN} mtu {MTU} type bridge mcast_snooping 0\n"))?;
        let name = self.client.name();
        for (tap, wire) in BOND_SLAVES.into_iter().zip(BOND_WIRES) {
            wait_for_interface(&self.director, tap)?;
            self.director.ip(&format!(
                "link add name {wire} mtu {MTU} type veth peer name {wire} mtu {MTU} netns {name}\nlink set dev {wire} arp off up\n"
            ))?;
            self.client.run("ethtool", &["-K", wire, "tx", "off", "gro", "off"])?;
            self.client.ip(&format!("link set dev {wire} master {CLIENT_WAN} up\n"))?;
            for (from, to) in [(tap, wire), (wire, tap)] {
                self.director.run("tc", &["qdisc", "add", "dev", from, "clsact"])?;
                let all = "protocol all u32 match u32 0 0 action mirred egress redirect dev";
                let words = ["filter", "add", "dev", from, "ingress"].into_iter().chain(all.split(' ')).chain([to]);
                self.director.run("tc", &words.collect::<Vec<_>>())?;
            }
        }
        // Only from here on frames of the bond's arrive: checksums of what the clients send are finished before the wire.
        self.client.run("ethtool", &["-K", CLIENT_WAN, "tx", "off"])?;
        self.move_tap(DIRECTOR_ENDS[1], &self.lan, BRIDGE_LAN, "02:00:00:00:c1:02")?;
        self.wire_ends()
    }

    /// Connects the wires to a director, which runs and has configured its ports by now.
    pub fn attach(&self) -> Result<(), Failure> {
        if self.attachment == Attachment::Bond {
            self.wire_bond()?;
        }
        if self.attachment == Attachment::TapTrunk {
            self.move_tap(DIRECTOR_TRUNK, &self.lan, TRUNK, "02:00:00:00:c1:00")?;
            self.split_trunk()?;
        }
        if self.attachment == Attachment::Tap {
            self.move_tap(DIRECTOR_ENDS[0], &self.client, CLIENT_WAN, "02:00:00:00:c1:01")?;
            self.move_tap(DIRECTOR_ENDS[1], &self.lan, BRIDGE_LAN, "02:00:00:00:c1:02")?;
            self.wire_ends()?;
        }
        Ok(())
    }

    /// Both ends of a tap have one MAC address at first. The kernel's gets another: a bridge would take what is for the director as its own.
    fn move_tap(&self, tap: &str, to: &Namespace, name: &str, mac: &str) -> Result<(), Failure> {
        wait_for_interface(&self.director, tap)?;
        self.director.ip(&format!("link set dev {tap} netns {} name {name}", to.name()))?;
        to.ip(&format!("link set dev {name} address {mac} mtu {MTU}"))
    }

    /// The bridge, the veth pairs, the clients' way back.
    fn wire(&self) -> Result<(), Failure> {
        for namespace in [&self.client, &self.lan].into_iter().chain(&self.servers) {
            namespace.sysctl(&COMMON)?;
        }
        // The kernel is to see nothing of what passes through the director's namespace.
        self.director.sysctl(&["net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1"])?;
        self.lan.sysctl(&["net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1"])?;

        let mut lines = String::from("link add name bridge type bridge mcast_snooping 0\nlink set dev bridge up\n");
        for (namespace, name) in self.servers.iter().zip(SERVER_NAMES).chain([(&self.client, "client")]) {
            let peer = if name == "client" { "lan" } else { "eth0" };
            lines += &format!(
                "link add name {name} mtu {MTU} type veth peer name {peer} mtu {MTU} netns {}\n",
                namespace.name()
            );
            lines += &format!("link set dev {name} master bridge up\n");
        }
        self.lan.ip(&lines)?;

        let way_back = FAMILIES.map(|family| add_address(family.way_back(), family.prefix(), "lan"));
        self.client.ip(&format!("link set lan up\n{}", way_back.concat()))?;
        match self.attachment {
            Attachment::AfPacket => self.wire_veths(),
            Attachment::AfPacketTrunk => {
                self.wire_veth(DIRECTOR_TRUNK, TRUNK, &self.lan)?;
                self.split_trunk()
            }
            Attachment::Tap | Attachment::TapTrunk | Attachment::Bond => Ok(()),
        }
    }

    /// The trunk's two VLANs as the kernel's interfaces, each where the wire of its port would lead.
    fn split_trunk(&self) -> Result<(), Failure> {
        let [wan, lan] = VLANS;
        self.lan.ip(&format!(
            "link set dev {TRUNK} up\n\
             link add link {TRUNK} name {BRIDGE_LAN} type vlan id {lan}\n\
             link add link {TRUNK} name {CLIENT_WAN} type vlan id {wan}\n\
             link set dev {CLIENT_WAN} netns {}\n",
            self.client.name()
        ))?;
        self.wire_ends()
    }

    /// The director's ports as veth pairs. A veth peer would leave checksums unfinished and join segments to 64 KB frames, which a
    /// packet socket hands over as they are: both are switched off on both ends.
    fn wire_veths(&self) -> Result<(), Failure> {
        let [wan, lan] = DIRECTOR_ENDS;
        self.wire_veth(wan, CLIENT_WAN, &self.client)?;
        self.wire_veth(lan, BRIDGE_LAN, &self.lan)?;
        self.wire_ends()
    }

    fn wire_veth(&self, end: &str, peer: &str, namespace: &Namespace) -> Result<(), Failure> {
        let name = namespace.name();
        self.director.ip(&format!(
            "link add name {end} mtu {MTU} type veth peer name {peer} mtu {MTU} netns {name}\n\
             link set dev {end} arp off up\n"
        ))?;
        self.director.run("ethtool", &["-K", end, "tx", "off", "gro", "off"])?;
        namespace.run("ethtool", &["-K", peer, "tx", "off", "gro", "off"]).map(drop)
    }

    /// Addresses and bridge port at the far ends of the director's wires.
    fn wire_ends(&self) -> Result<(), Failure> {
        let mut lines = format!("link set dev {CLIENT_WAN} up\n");
        for family in FAMILIES {
            for index in 0..CLIENTS {
                lines += &add_address(family.client(index), family.prefix(), CLIENT_WAN);
            }
        }
        self.client.ip(&lines)?;
        self.lan.ip(&format!("link set dev {BRIDGE_LAN} master bridge up\n"))
    }

    /// Addresses and routes of a real server. VIPs of DR and TUN sit on `lo`, and nobody else is told: arp_ignore and arp_announce for
    /// IPv4; IPv6 answers neighbour solicitations only for addresses of the interface that hears them.
    fn set_up_server(&self, index: usize, services: &[Service]) -> Result<(), Failure> {
        let server = &self.servers[index];
        server.sysctl(&["net.ipv4.conf.all.arp_ignore=1", "net.ipv4.conf.all.arp_announce=2"])?;
        server.ip("link set eth0 up")?;
        for family in FAMILIES {
            let mut lines = add_address(family.server(index), family.prefix(), "eth0");
            lines += &format!("route add default via {}\n", family.director_lan());
            lines += &format!("route add default via {} table {WAY_BACK_TABLE}\n", family.way_back());
            let mut vips: Vec<IpAddr> = kept_vips(services).filter(|vip| Family::of(*vip) == family).collect();
            vips.sort_unstable();
            vips.dedup();
            for vip in vips {
                lines += &add_address(vip, if family == Family::V4 { 32 } else { 128 }, "lo");
                lines += &format!("rule add from {vip} table {WAY_BACK_TABLE}\n");
            }
            if services.iter().any(|service| service.method == Method::Tun) {
                lines += &silence_tunnel_errors(family);
            }
            server.ip_of(family, &lines)?;
        }
        Ok(())
    }
}

/// VIPs of services whose servers get the client's packets as they are.
fn kept_vips(services: &[Service]) -> impl Iterator<Item = IpAddr> {
    services.iter().filter(|service| service.keeps_vip()).map(|service| service.vip.ip())
}

/// Names of the real servers; each serves its own.
pub const SERVER_NAMES: [&str; SERVERS] = ["s1", "s2", "s3", "s4"];

/// Where a kernel's tunnel module is loaded without a tunnel, it answers "port unreachable" to the tunnel packets that our program takes.
fn silence_tunnel_errors(family: Family) -> String {
    let protocol = if family == Family::V4 { "icmp" } else { "ipv6-icmp" };
    format!("rule add ipproto {protocol} to {} blackhole\n", family.director_lan())
}

fn add_address(address: IpAddr, prefix: u8, interface: &str) -> String {
    let nodad = if address.is_ipv6() { " nodad" } else { "" };
    format!("address add {address}/{prefix} dev {interface}{nodad}\n")
}

impl Drop for Network {
    fn drop(&mut self) {
        remove_files(&self.tag);
    }
}
