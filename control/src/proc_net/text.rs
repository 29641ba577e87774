//! The kernel's texts, column by column: addresses are hexadecimal numbers (IPv6 in full), times of services are ticks of 4 ms.

use std::fmt;
use std::io::Write;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipvs_netlink::{CONN_TAB_SIZE, Family, Flags, ForwardMethod, RealServer, Service, ServiceId, Stats, VERSION};

use crate::show::{Conn, Protocol};

/// Ticks a second, as Debian builds its kernels: persistence is told in them.
const TICKS_PER_S: u64 = 250;

const FTP_PORT: u16 = 21;

const PUT: &str = "a vector takes all that is written to it";

/// Who lists conns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conns {
    Plain,
    /// With a column that says whether they are the director's own.
    WithOrigin,
}

impl Conns {
    pub(super) fn head(self) -> &'static str {
        match self {
            Conns::Plain => "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData\n",
            Conns::WithOrigin => "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Origin Expires\n",
        }
    }

    /// One conn.
    pub(super) fn put(self, conn: &Conn, out: &mut Vec<u8>) {
        let protocol = conn.protocol.name();
        let (client, vip, server) = (Number(conn.client.ip()), Number(conn.vip.ip()), Number(conn.server.ip()));
        let (cport, mut vport, mut dport) = (conn.client.port(), conn.vip.port(), conn.server.port());
        // A persistent client of FTP is bound for all ports, and so the kernel lists it.
        if (conn.protocol, cport, vport) == (Protocol::Tcp, 0, FTP_PORT) {
            (vport, dport) = (0, 0);
        }
        let origin = if self == Conns::WithOrigin { "LOCAL  " } else { "" };
        let (state, expires_s) = (&conn.state, conn.expires_s);
        writeln!(
            out,
            "{protocol:<3} {client} {cport:04X} {vip} {vport:04X} {server} {dport:04X} {state:<11} {origin}{expires_s:7}"
        )
        .expect(PUT);
    }
}

/// An address as a hexadecimal number.
struct Number(IpAddr);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(v4) => write!(f, "{:08X}", v4.to_bits()),
            IpAddr::V6(v6) => whole(v6, f),
        }
    }
}

fn whole(address: Ipv6Addr, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let [first, rest @ ..] = address.segments();
    write!(f, "{first:04x}")?;
    rest.iter().try_for_each(|segment| write!(f, ":{segment:04x}"))
}

/// An address with its port.
struct Endpoint(SocketAddr);

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (address, port) = (Number(self.0.ip()), self.0.port());
        match self.0 {
            SocketAddr::V4(_) => write!(f, "{address}:{port:04X}"),
            SocketAddr::V6(_) => write!(f, "[{address}]:{port:04X}"),
        }
    }
}

/// What stands before the services.
pub(super) fn services_head() -> String {
    let [_, major, minor, patch] = VERSION.to_be_bytes();
    format!(
        "IP Virtual Server version {major}.{minor}.{patch} (size={CONN_TAB_SIZE})\n\
         Prot LocalAddress:Port Scheduler Flags\n  -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n"
    )
}

/// One service with its real servers.
pub(super) fn service(service: &Service, servers: &[RealServer], out: &mut Vec<u8>) {
    let told = &service.told;
    let one_packet = if told.flags.flags.has(Flags::ONE_PACKET) { "ops " } else { "" };
    let scheduler = told.scheduler.as_deref().unwrap_or("none");
    match service.id {
        ServiceId::Endpoint { protocol, address } => {
            let protocol = match protocol {
                6 => "TCP",
                17 => "UDP",
                _ => "SCTP",
            };
            write!(out, "{protocol}  {} {scheduler} ", Endpoint(address)).expect(PUT);
            // Of IPv6 the kernel does not say it.
            if address.is_ipv4() {
                write!(out, "{one_packet} ").expect(PUT);
            }
        }
        ServiceId::Mark { mark, .. } => write!(out, "FWM  {mark:08X} {scheduler} {one_packet}").expect(PUT),
    }
    if told.flags.flags.has(Flags::PERSISTENT) {
        // The kernel takes a prefix's length for a mask in network order.
        let netmask = match service.id.family() {
            Family::V4 => told.netmask,
            Family::V6 => u32::from_be(told.netmask),
        };
        write!(out, "persistent {} {netmask:08X}", u64::from(told.timeout_s) * TICKS_PER_S).expect(PUT);
    }
    out.push(b'\n');
    for server in servers {
        let method = match server.told.method {
            ForwardMethod::Masquerade => "Masq",
            ForwardMethod::Local => "Local",
            ForwardMethod::Tunnel => "Tunnel",
            ForwardMethod::Route => "Route",
        };
        let (weight, active, inactive) = (server.told.weight, server.active, server.inactive);
        let address = Endpoint(server.address);
        writeln!(out, "  -> {address}      {method:<7} {weight:<6} {active:<10} {inactive:<10}").expect(PUT);
    }
}

/// What was counted of all services together.
pub(super) fn stats(workers: &[Stats]) -> Vec<u8> {
    let sum = sum(workers);
    format!(
        "   Total Incoming Outgoing         Incoming         Outgoing\n   \
         Conns  Packets  Packets            Bytes            Bytes\n{}\n\n \
         Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s\n{}\n",
        counters(&sum),
        rates(&sum)
    )
    .into_bytes()
}

/// The same by worker, in the place of the kernel's CPUs.
pub(super) fn stats_by_worker(workers: &[Stats]) -> Vec<u8> {
    let sum = sum(workers);
    let mut text = String::from(
        "       Total Incoming Outgoing         Incoming         Outgoing\n\
         CPU    Conns  Packets  Packets            Bytes            Bytes\n",
    );
    for (number, worker) in workers.iter().enumerate() {
        text += &format!("{number:3X} {}\n", counters(worker));
    }
    text += &format!("  ~ {}\n\n", counters(&sum));
    text += "     Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s\n";
    text += &format!("    {}\n", rates(&sum));
    text.into_bytes()
}

fn sum(workers: &[Stats]) -> Stats {
    workers.iter().fold(Stats::default(), |sum, worker| sum + *worker)
}

fn counters(stats: &Stats) -> String {
    let Stats { conns, inbound_packets, outbound_packets, inbound_bytes, outbound_bytes, .. } = stats;
    format!("{conns:8X} {inbound_packets:8X} {outbound_packets:8X} {inbound_bytes:16X} {outbound_bytes:16X}")
}

fn rates(stats: &Stats) -> String {
    let Stats { conns_per_s, inbound_packets_per_s, outbound_packets_per_s, .. } = stats;
    let Stats { inbound_bytes_per_s, outbound_bytes_per_s, .. } = stats;
    format!(
        "{conns_per_s:8X} {inbound_packets_per_s:8X} {outbound_packets_per_s:8X} {inbound_bytes_per_s:16X} \
         {outbound_bytes_per_s:16X}"
    )
}
