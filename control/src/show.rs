//! What a director says about itself, as plain data: the types behind `uvs show` and the objects that `--json` prints.
//!
//! The JSON names are an interface: a field may be added, none is renamed or changes its unit. Counters count from the start of the
//! director (a server's and a service's: from when it was added) and never go down; they are 64 bits wide and do not wrap in practice.
//! Addresses with ports print as "192.0.2.10:80" and "[2001:db8::1]:80".

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// A short word such as a scheduler or a state. The director gives constants, so that a list of a million conns copies none.
pub type Name = Cow<'static, str>;

/// The protocol of a service or of a conn; `ip` is that of a persistence template of a firewall mark, as in the kernel's list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Protocol {
    #[default]
    Tcp,
    Udp,
    Sctp,
    Icmp,
    Icmpv6,
    Ip,
}

impl Protocol {
    /// As the kernel's listings name it.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Tcp => "TCP",
            Protocol::Udp => "UDP",
            Protocol::Sctp => "SCTP",
            Protocol::Icmp => "ICMP",
            Protocol::Icmpv6 => "ICMPv6",
            Protocol::Ip => "IP",
        }
    }
}

/// How packets reach a real server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Destination translated; replies come back through the director. ipvsadm: Masq.
    #[default]
    Nat,
    /// Sent to the server's MAC address unchanged. ipvsadm: Route.
    Dr,
    /// Wrapped in a tunnel header. ipvsadm: Tunnel.
    Tun,
    /// Source and destination translated; the server sees a local address. Not in the kernel.
    FullNat,
    /// The real server is the director's own host. ipvsadm: Local.
    Local,
    /// To where it was going, past the service (cache_bypass). Of conns only.
    Bypass,
}

/// What went through a service or a real server. Bytes are those of IP packets, without the Ethernet header, as the kernel counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Conns made.
    pub conns: u64,
    /// Packets from clients.
    pub in_packets: u64,
    /// Packets from the real server that the director saw: none with DR and TUN.
    pub out_packets: u64,
    /// Bytes from clients.
    pub in_bytes: u64,
    /// Bytes from the real server that the director saw.
    pub out_bytes: u64,
}

/// Every virtual service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Services {
    /// In the order of the director.
    pub services: Vec<Service>,
}

/// One virtual service: either `protocol` and `address` are set, or `fwmark` is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// null for a firewall mark.
    pub protocol: Option<Protocol>,
    /// VIP and port (0: every port); null for a firewall mark.
    pub address: Option<SocketAddr>,
    /// Firewall mark; null for an address.
    pub fwmark: Option<u32>,
    /// The mark is one of IPv6 packets; the kernel keeps marks of both families apart. false for an address of either family.
    pub fwmark_ipv6: bool,
    /// "rr", "wlc", …
    pub scheduler: Name,
    /// The scheduler's flags: "sh-port", "mh-fallback", …
    pub flags: Vec<Name>,
    /// Seconds that a persistence template lives; null: not persistent.
    pub persistent_s: Option<u32>,
    /// Which clients share a template: "255.255.255.0", or a prefix length for IPv6: "64". null: each address is its own.
    pub netmask: Option<Name>,
    /// One-packet scheduling (UDP).
    pub one_packet: bool,
    /// Sum over all real servers, with those that were removed.
    pub totals: Traffic,
    /// The same each second, as estimated every two seconds.
    #[serde(default)]
    pub rates: Traffic,
    /// In the order in which the scheduler walks them.
    pub servers: Vec<Server>,
}

/// One real server of one service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// RIP and port.
    pub address: SocketAddr,
    /// "nat", "dr", "tun", "fullnat" or "local".
    pub method: Method,
    /// What its packets travel in, with "tun": "ipip", "gre", "gre+csum", "gue:6080", "gue:6080+csum", "gue:6080+remcsum".
    #[serde(default)]
    pub tunnel: Option<Name>,
    /// 0: takes no new conns.
    pub weight: u32,
    /// Conns above which the server is overloaded; 0: no limit.
    pub upper_threshold: u32,
    /// Conns below which an overloaded server is no longer so; 0: three quarters of the upper threshold.
    pub lower_threshold: u32,
    /// Active conns (TCP: established or being so).
    pub active: u32,
    /// All other conns, with every UDP conn.
    pub inactive: u32,
    /// Persistence templates that point here.
    pub persistent: u32,
    /// Passed its upper threshold: takes no new conns.
    pub overloaded: bool,
    /// What went through it.
    pub traffic: Traffic,
    /// What goes through it each second, as estimated every two seconds.
    #[serde(default)]
    pub rates: Traffic,
}

/// Every port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports {
    /// In the order of the file.
    pub ports: Vec<Port>,
}

/// One port and the device behind it. The counters are the device's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Its name in the file: "wan".
    pub name: Name,
    /// As in the file: "0000:3b:00.0", "net_tap0,iface=uvs-wan".
    pub device: Name,
    /// The id in the tag of its frames; null: they have none. Ports with a VLAN share their device, MAC, link, queues and counters.
    #[serde(default)]
    pub vlan: Option<u16>,
    /// DPDK's driver: "net_tap", "net_ixgbe".
    pub driver: Name,
    /// "02:00:00:00:00:01".
    pub mac: Name,
    /// Largest IP packet in bytes.
    pub mtu: u16,
    /// The device's MTU: the largest of its ports', with room for a tag.
    #[serde(default)]
    pub device_mtu: u16,
    /// The link is up.
    pub link: bool,
    /// Megabits a second; null when the device does not know.
    pub speed_mbps: Option<u32>,
    /// Receive queues.
    pub rx_queues: u16,
    /// Transmit queues.
    pub tx_queues: u16,
    /// What the device spreads frames by: "4-tuple" (the director's hash), "other"; null: it does not, or has one queue.
    pub rss: Option<Name>,
    /// Which way frames come to the workers that own their flows, and why.
    #[serde(default)]
    pub steering: Name,
    /// The device by which it sends, if its device is an active-backup bond of several: "net_tap2".
    #[serde(default)]
    pub sends_by: Option<Name>,
    /// Frames received.
    pub rx_packets: u64,
    /// Frames transmitted.
    pub tx_packets: u64,
    /// Frames the device dropped because the director did not take them in time.
    pub rx_missed: u64,
    /// Frames the device found broken.
    pub rx_errors: u64,
    /// Frames dropped before they were counted as received, because they came in several buffers: longer than the MTU allows.
    #[serde(default)]
    pub rx_chained: u64,
    /// Times the device found no free buffer.
    pub rx_no_buffer: u64,
    /// Frames the device failed to transmit.
    pub tx_errors: u64,
    /// Its addresses with prefix length: "192.0.2.1/24".
    pub addresses: Vec<Name>,
    /// Its host interface, if it has one.
    #[serde(default)]
    pub host: Option<HostInterface>,
}

/// The kernel interface by which the host uses a port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostInterface {
    /// Its name: "uvs0".
    pub name: Name,
    /// Frames that the kernel took.
    pub to_host: u64,
    /// Frames that the kernel sent.
    pub from_host: u64,
    /// Frames that the kernel did not take: the interface is down.
    pub refused: u64,
}

/// Every worker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workers {
    /// In the order of the file.
    pub workers: Vec<Worker>,
}

/// One worker: the fates of its frames, its conns, its turns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// The lcore it runs on.
    pub lcore: u32,
    /// Frames from ports.
    pub received: u64,
    /// Frames from other workers.
    pub handed_in: u64,
    /// Frames made: ICMP errors, RSTs, echo replies, fragments, reassembled packets.
    pub created: u64,
    /// Frames a port took.
    pub sent: u64,
    /// Frames given to the host interface.
    pub passed: u64,
    /// Frames given to the worker that owns their flow.
    pub handed_out: u64,
    /// Frames that ended here as they should: ARP, neighbour discovery, fragments that were reassembled, frames answered.
    pub consumed: u64,
    /// Frames dropped, for the reasons in [`Drops`].
    pub dropped: u64,
    /// Frames that wait for a next hop or for fragments, now.
    pub held: u64,
    /// Conns in its table, now.
    pub conns: u64,
    /// Conns its table can hold.
    pub conns_max: u64,
    /// Passes of its loop.
    pub turns: u64,
    /// Passes that found work.
    pub busy_turns: u64,
    /// Times it went to sleep because there was no work.
    pub sleeps: u64,
    /// The defences against floods that are up now: `drop_entry`, `drop_packet`, `secure_tcp`.
    pub defenses: Vec<Name>,
}

impl Worker {
    /// Every frame has one fate. Holds at the end of each turn; the director must publish a worker's counters as of one such moment.
    pub fn identity_holds(&self) -> bool {
        self.received + self.handed_in + self.created
            == self.sent + self.passed + self.handed_out + self.consumed + self.dropped + self.held
    }
}

/// Every reason for which a frame can be dropped, those with no drops too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drops {
    /// The workers' lcores, in the order of [`DropReason::per_worker`].
    pub lcores: Vec<u32>,
    /// One per reason.
    pub drops: Vec<DropReason>,
    /// Behind the reason `local_ports`: where FullNAT's local ports ran out.
    #[serde(default)]
    pub local_ports: Vec<LocalPortsExhausted>,
}

/// New conns to a real server found no free port at a local address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalPortsExhausted {
    /// LIP.
    pub local: IpAddr,
    /// RIP and port; null: the server was removed since.
    pub server: Option<SocketAddr>,
    /// How often.
    pub times: u64,
}

/// One reason to drop a frame.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropReason {
    /// Its name: "no_local_port".
    pub reason: Name,
    /// A sentence for the operator.
    pub meaning: Name,
    /// Frames, per worker.
    pub per_worker: Vec<u64>,
    /// Their sum.
    pub total: u64,
}

/// One conn, or one persistence template (its client is the masked address with port 0). Streamed, one object a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conn {
    /// "tcp", "udp", …
    pub protocol: Protocol,
    /// CIP and port.
    pub client: SocketAddr,
    /// VIP and port.
    pub vip: SocketAddr,
    /// RIP and port.
    pub server: SocketAddr,
    /// LIP and port towards the server: FullNAT only.
    pub local: Option<SocketAddr>,
    /// How packets reach the server.
    pub method: Method,
    /// The kernel's name of the state: "ESTABLISHED", "UDP", …
    pub state: Name,
    /// Whole seconds until it ends if no packet comes.
    pub expires_s: u32,
    /// lcore of the worker that owns it.
    pub worker: u32,
}

/// Every neighbour.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbors {
    /// In the order of the director.
    pub neighbors: Vec<Neighbor>,
}

/// One neighbour: a next hop on a port's wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbor {
    /// Its address.
    pub address: IpAddr,
    /// Its MAC address; null while it is not known.
    pub mac: Option<Name>,
    /// Name of the port it is behind.
    pub port: Name,
    /// "static", "reachable", "stale", "probing", "failed", …
    pub state: Name,
    /// Who told its MAC: "file", "host", "resolved".
    #[serde(default)]
    pub origin: Name,
    /// Seconds since it was last heard of; null: never, or static.
    pub age_s: Option<u64>,
}

/// Every route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Routes {
    /// In the order of destinations. Of several routes to one destination only the one in use.
    pub routes: Vec<Route>,
}

/// One route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The destinations: "10.1.0.0/16".
    pub destination: Name,
    /// The router; null: the destinations are on the port's link.
    pub via: Option<IpAddr>,
    /// Name of the port.
    pub port: Name,
    /// Who said so: "connected", "file", "host".
    pub origin: Name,
}

/// What became of a request to read the configuration file again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// The file is what the director runs with now. False: nothing changed.
    pub applied: bool,
    /// What changed, the summary last; or what is wrong. Bounded: the last line says how many there are more.
    pub lines: Vec<String>,
}

/// Which director answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// "0.1.0 (a1b2c3d)".
    pub version: Name,
    /// Process id.
    pub pid: u32,
    /// Seconds since it started.
    pub uptime_s: u64,
}

#[cfg(test)]
mod tests;
