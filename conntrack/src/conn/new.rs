//! How a conn is made: the few things that admit knows, checked to fit together.

use std::net::{IpAddr, SocketAddr};

use zerocopy::FromZeros;

use super::{Conn, Method, NO_TEMPLATE, flag};
use crate::key::Key;
use crate::templates::TemplateId;
use crate::tick::Tick;

/// A conn to be made. Start from [`NewConn::new`], fill in what differs, and give [`NewConn::conn`] to the table.
#[derive(Clone, Copy, Debug)]
pub struct NewConn {
    /// The key of the client's first packet: client → VIP.
    pub key: Key,
    /// How packets reach the real server.
    pub method: Method,
    /// The real server's endpoint; for NAT and FullNAT of one family with [`NewConn::local`].
    pub real_server: SocketAddr,
    /// The caller's number of the real server.
    pub server: u32,
    /// FullNAT: the director's own endpoint towards the server. NAT takes the client's, others have none.
    pub local: Option<SocketAddr>,
    /// Where inbound packets leave.
    pub next_hop_inbound: u32,
    /// Where outbound packets leave.
    pub next_hop_outbound: u32,
    /// First state.
    pub state: u8,
    /// Ticks without a packet after which it ends.
    pub timeout: u32,
    /// The template that controls it.
    pub template: Option<TemplateId>,
    /// Scheduled packet by packet: replies are not translated back (as in the kernel), so it has no outbound entry.
    pub one_packet: bool,
    /// Counted as active from the start.
    pub active: bool,
}

impl NewConn {
    /// A conn of the flow `key` to a real server, with no next hops, no template and a time-out of a minute.
    pub fn new(key: Key, method: Method, real_server: SocketAddr, server: u32) -> NewConn {
        NewConn {
            key,
            method,
            real_server,
            server,
            local: None,
            next_hop_inbound: 0,
            next_hop_outbound: 0,
            state: 0,
            timeout: Tick::of_seconds(60),
            template: None,
            one_packet: false,
            active: false,
        }
    }

    /// The conn itself; the table gives it its time when it is inserted.
    ///
    /// Panics if a translated conn's server side mixes families, or a FullNAT conn has no local endpoint: admit chose
    /// them, so that would be our mistake.
    pub fn conn(&self) -> Conn {
        let mut conn = Conn::new_zeroed();
        let key = &self.key;
        conn.ports = [key.ports, [self.real_server.port(), 0]];
        conn.protocol = key.protocol;
        conn.method = self.method as u8;
        conn.server = self.server;
        conn.next_hop_inbound = self.next_hop_inbound;
        conn.next_hop_outbound = self.next_hop_outbound;
        conn.state = self.state;
        conn.template = self.template.map_or(NO_TEMPLATE, |id| id.0);
        conn.set_timer(Tick(0), self.timeout);
        conn.put(flag::ONE_PACKET, self.one_packet);
        conn.put(flag::ACTIVE, self.active);
        conn.put(flag::CLIENT_V6, key.is_v6());
        conn.put(flag::SERVER_V6, self.real_server.is_ipv6());
        conn.put(flag::OUTBOUND_ENTRY, self.method.sees_replies() && !self.one_packet);
        if key.is_v6() {
            conn.v6[0] = key.addresses;
        } else {
            conn.v4[0].copy_from_slice(&key.addresses[..8]);
        }
        conn.write_server_side(0, self.real_server.ip());
        if let Some(local) = self.peer_of_server() {
            assert!(local.is_ipv4() == self.real_server.is_ipv4(), "local {local} and {} differ", self.real_server);
            conn.write_server_side(1, local.ip());
            conn.ports[1][1] = local.port();
        }
        conn
    }

    fn peer_of_server(&self) -> Option<SocketAddr> {
        match self.method {
            Method::Nat => Some(SocketAddr::new(self.key.src(), self.key.sport())),
            Method::FullNat => Some(self.local.expect("a FullNAT conn has a local endpoint")),
            _ => None,
        }
    }
}

impl Conn {
    fn write_server_side(&mut self, which: usize, address: IpAddr) {
        match address {
            IpAddr::V4(v4) => self.v4[1][which * 4..][..4].copy_from_slice(&v4.octets()),
            IpAddr::V6(v6) => self.v6[1][which * 16..][..16].copy_from_slice(&v6.octets()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Direction;

    fn endpoint(text: &str) -> (IpAddr, u16) {
        let parsed: SocketAddr = text.parse().unwrap();
        (parsed.ip(), parsed.port())
    }

    #[test]
    fn keys_by_method_and_family() {
        #[rustfmt::skip]
        let rows = [
            // method, client, vip, server, local, outbound key (src, dst)
            (Method::Nat, "10.0.0.1:5", "10.99.0.1:80", "172.16.0.2:8080", None, Some(("172.16.0.2:8080", "10.0.0.1:5"))),
            (Method::Dr, "10.0.0.1:5", "10.99.0.1:80", "172.16.0.2:80", None, None),
            (Method::Tun, "10.0.0.1:5", "10.99.0.1:80", "[fd16::2]:80", None, None),
            (Method::FullNat, "10.0.0.1:5", "10.99.0.1:80", "172.16.0.2:8080", Some("172.16.0.9:7000"),
                Some(("172.16.0.2:8080", "172.16.0.9:7000"))),
            (Method::Nat, "[fd10::1]:5", "[fd99::1]:80", "[fd16::2]:8080", None, Some(("[fd16::2]:8080", "[fd10::1]:5"))),
            (Method::FullNat, "[fd10::1]:5", "[fd99::1]:80", "172.16.0.2:8080", Some("172.16.0.9:7000"),
                Some(("172.16.0.2:8080", "172.16.0.9:7000"))),
        ];
        for (method, client, vip, server, local, outbound) in rows {
            let key = Key::of(endpoint(client), endpoint(vip), 6).unwrap();
            let mut new = NewConn::new(key, method, server.parse().unwrap(), 3);
            new.local = local.map(|text| text.parse().unwrap());
            let conn = new.conn();
            let expected = outbound.map(|(src, dst)| Key::of(endpoint(src), endpoint(dst), 6).unwrap());
            assert_eq!(conn.inbound_key(), key);
            assert_eq!(conn.outbound_key(), expected, "{method:?} {client} {server}");
            assert_eq!((conn.client(), conn.vip()), (endpoint(client), endpoint(vip)));
            assert_eq!(conn.real_server(), endpoint(server));
            assert!(conn.matches(&key, Direction::Inbound) && !conn.matches(&key.reversed(), Direction::Inbound));
            if let Some(expected) = expected {
                assert!(conn.matches(&expected, Direction::Outbound));
            }
            assert_eq!((conn.method(), conn.server, conn.template()), (method, 3, None));
        }
    }

    #[test]
    fn one_packet_has_no_way_back() {
        let key = Key::v4([10, 0, 0, 1], [10, 99, 0, 1], 5, 53, 17);
        let mut new = NewConn::new(key, Method::Nat, "172.16.0.2:53".parse().unwrap(), 0);
        new.one_packet = true;
        assert_eq!(new.conn().outbound_key(), None);
    }
}
