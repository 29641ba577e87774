//! The network of the tests: a router with clients behind it on one port, real servers on the other, one VIP per family.
//!
//! ```text
//!  203.0.113.7, 2001:db8:c::7 ── .254 router ── 192.0.2.0/24 ── wan │ director │ lan ── 10.0.0.0/24 ── 10.0.0.11, .12, …
//!                                ::fe           2001:db8::/64       │ VIPs     │        fd00:1::/64     fd00:1::11, …
//! ```

use crate::kit::{Lab, Left, host_mac, port_mac};
use conntrack::Conn;
use std::net::{IpAddr, SocketAddr};
use uvs::services::ServerId;
use uvs::wire::build::Frame;
use uvs::wire::{Mac, checksum, describe, ipv4, ipv6, protocol};

/// The clients' port.
pub const WAN: usize = 0;
/// The real servers' port.
pub const LAN: usize = 1;

pub const CLIENT: &str = "203.0.113.7";
pub const CLIENT6: &str = "2001:db8:c::7";
pub const VIP: &str = "198.51.100.10";
pub const VIP6: &str = "2001:db8:99::10";
pub const RIP: &str = "10.0.0.11";
pub const RIP6: &str = "fd00:1::11";
pub const ROUTER: &str = "192.0.2.254";
pub const ROUTER6: &str = "2001:db8::fe";

/// One family's part of the network.
#[derive(Clone, Copy)]
pub struct Family {
    pub name: &'static str,
    pub client: &'static str,
    pub vip: &'static str,
    pub rip: &'static str,
    pub router: &'static str,
    /// The director's own addresses.
    pub wan: &'static str,
    pub lan: &'static str,
    /// FullNAT's local address.
    pub lip: &'static str,
    pub header_bytes: usize,
}

pub const V4: Family = Family {
    name: "IPv4",
    client: CLIENT,
    vip: VIP,
    rip: RIP,
    router: ROUTER,
    wan: "192.0.2.1",
    lan: "10.0.0.1",
    lip: "10.0.0.240",
    header_bytes: 20,
};

pub const V6: Family = Family {
    name: "IPv6",
    client: CLIENT6,
    vip: VIP6,
    rip: RIP6,
    router: ROUTER6,
    wan: "2001:db8::1",
    lan: "fd00:1::1",
    lip: "fd00:1::f0",
    header_bytes: 40,
};

pub const FAMILIES: [Family; 2] = [V4, V6];

/// The network's part of a configuration; `director` are lines of `[director]`.
pub fn network(director: &str) -> String {
    format!(
        r#"
        [director]
        {director}
        [[port]]
        name = "wan"
        device = "net_null0"
        addresses = ["192.0.2.1/24", "2001:db8::1/64"]
        gateway = "{ROUTER}"
        gateway6 = "{ROUTER6}"
        [[port]]
        name = "lan"
        device = "net_null1"
        addresses = ["10.0.0.1/24", "fd00:1::1/64"]
        [fullnat]
        local_addresses = ["10.0.0.240/32", "fd00:1::f0/128"]
        "#
    )
}

/// A service of a configuration. `rest`: more of its lines.
pub fn service(protocol: &str, address: &str, rest: &str) -> String {
    format!("[[service]]\nprotocol = {protocol:?}\naddress = {address:?}\n{rest}\n")
}

/// A real server of the service before it.
pub fn server(address: &str, method: &str) -> String {
    format!("[[service.real_server]]\naddress = {address:?}\nmethod = {method:?}\n")
}

/// `address:port`, in brackets where the family wants them.
pub fn endpoint(address: &str, port: u16) -> String {
    SocketAddr::new(ip(address), port).to_string()
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is no address"))
}

/// The MAC of the host with this address.
pub fn mac(address: &str) -> Mac {
    host_mac(ip(address))
}

impl Family {
    /// A packet of the client as it comes in.
    pub fn client_sends(&self) -> Frame {
        self.client_at(self.client)
    }

    /// A packet of another client.
    pub fn client_at(&self, client: &str) -> Frame {
        Frame::between(client, self.vip).macs(mac(self.router), port_mac(WAN))
    }

    /// A packet as it goes out to the client.
    pub fn client_gets(&self, source: &str) -> Frame {
        Frame::between(source, self.client).macs(port_mac(WAN), mac(self.router))
    }

    /// A packet of the real server as it comes in.
    pub fn server_sends(&self, to: &str) -> Frame {
        Frame::between(self.rip, to).macs(mac(self.rip), port_mac(LAN))
    }

    /// A packet as it goes out to the real server.
    pub fn server_gets(&self, source: &str, destination: &str) -> Frame {
        Frame::between(source, destination).macs(port_mac(LAN), mac(self.rip))
    }
}

/// Sends a frame and wants exactly one to leave, by this port.
pub fn one(lab: &mut Lab, by: usize, frame: &[u8], leaves_by: usize) -> Vec<u8> {
    let left = lab.send(by, frame);
    assert_eq!(shown(&left).len(), 1, "{}: {:?}", describe::describe(frame), shown(&left));
    assert_eq!(left[0].port, leaves_by, "{}", describe::describe(&left[0].frame));
    checksums_are_right(&left[0].frame);
    left[0].frame.clone()
}

/// Sends a frame and wants nothing to leave.
pub fn nothing(lab: &mut Lab, by: usize, frame: &[u8]) {
    let left = lab.send(by, frame);
    assert!(left.is_empty(), "{}: {:?}", describe::describe(frame), shown(&left));
}

/// Sends a frame and wants exactly this one to leave.
#[track_caller]
pub fn becomes(lab: &mut Lab, by: usize, frame: &[u8], leaves_by: usize, expected: &[u8]) {
    let left = one(lab, by, frame, leaves_by);
    let (is, should) = (describe::describe(&left), describe::describe(expected));
    assert!(
        left == expected,
        "{}\nbecame     {is}\ninstead of {should}\n{left:02x?}\n{expected:02x?}",
        describe::describe(frame)
    );
}

/// Frames in words.
pub fn shown(left: &[Left]) -> Vec<String> {
    left.iter().map(|left| format!("port {}: {}", left.port, describe::describe(&left.frame))).collect()
}

/// Computes every checksum of a frame anew, those of a tunnelled packet too.
#[track_caller]
pub fn checksums_are_right(frame: &[u8]) {
    packet_is_right(&frame[14..]);
}

#[track_caller]
fn packet_is_right(l3: &[u8]) {
    let (protocol, l4, length) = if l3[0] >> 4 == 4 {
        assert!(ipv4::checksum_is_right(l3), "IPv4 header checksum of {}", describe::describe_packet(l3));
        (l3[9], usize::from(l3[0] & 15) * 4, usize::from(u16::from_be_bytes([l3[2], l3[3]])))
    } else {
        let at = ipv6::upper_layer(l3).unwrap();
        (at.protocol, at.offset, 40 + usize::from(u16::from_be_bytes([l3[4], l3[5]])))
    };
    assert_eq!(length, l3.len(), "length of {}", describe::describe_packet(l3));
    match protocol {
        protocol::IPIP | protocol::IPV6 => packet_is_right(&l3[l4..]),
        _ => assert!(
            checksum::transport_is_right(l3, l4, protocol),
            "transport checksum of {}",
            describe::describe_packet(l3)
        ),
    }
}

/// What is counted for the only real server, or the first one: active and inactive conns.
pub fn counts(lab: &Lab) -> (u32, u32) {
    counts_of(lab, 0)
}

/// The same for the n-th server of the first service, in the kernel's order.
pub fn counts_of(lab: &Lab, server: usize) -> (u32, u32) {
    let (_, servers) = lab.control.book().list().next().unwrap();
    load(lab, servers[server].server.id)
}

/// Active and inactive conns of a server's place.
pub fn load(lab: &Lab, id: ServerId) -> (u32, u32) {
    let load = lab.control.shared().live.load(id);
    (load.active, load.total - load.active)
}

/// The only conn.
#[track_caller]
pub fn conn(lab: &Lab) -> Conn {
    let conns = lab.conns();
    assert_eq!(conns.len(), 1, "conns in the table");
    conns[0]
}

/// The state of the only conn, by its name.
#[track_caller]
pub fn state(lab: &Lab) -> &'static str {
    let conn = conn(lab);
    conntrack::states::name(conn.protocol(), conn.state)
}
