//! A port as IP sees it: its name, MAC, MTU and addresses, those of the operator's file and those that its host interface carries.

use super::VipAnswer;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv6Addr};

/// An IP interface: one per port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The port's index.
    pub port: u16,
    /// The port's name in the operator's file.
    pub name: String,
    /// The port's own MAC.
    pub mac: [u8; 6],
    /// Largest IP packet, in bytes.
    pub mtu: u16,
    /// Own addresses, each with the prefix of its subnet (host bits kept).
    pub addresses: Vec<IpNet>,
    /// Who decides whether VIPs are answered here.
    pub vip_answer: VipAnswer,
}

impl Interface {
    /// The link-local address made from the MAC (RFC 4291, appendix A: EUI-64 with the universal bit flipped).
    pub fn link_local(&self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.mac;
        let octets = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f];
        Ipv6Addr::from(octets)
    }

    /// Whether `address` can be reached from here without a router. IPv6 link-local addresses are, on every interface.
    pub fn connects(&self, address: IpAddr) -> bool {
        is_link_local(address) || self.addresses.iter().any(|subnet| subnet.contains(&address))
    }

    /// Own addresses without their prefixes: the configured ones, then the link-local one.
    pub fn own_addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.addresses.iter().map(IpNet::addr).chain([IpAddr::V6(self.link_local())])
    }

    /// The subnets of its addresses, with its port.
    pub(super) fn subnets(&self) -> impl Iterator<Item = (u16, IpNet)> + '_ {
        self.addresses.iter().map(|subnet| (self.port, *subnet))
    }

    /// The own address to send from to `to`: of the same subnet, else the first one of the family that is not link-local.
    pub(super) fn source_towards(&self, to: IpAddr) -> Option<IpAddr> {
        if is_link_local(to) {
            return Some(IpAddr::V6(self.link_local()));
        }
        let same_subnet = self.addresses.iter().find(|subnet| subnet.contains(&to));
        let same_family = || {
            let routable = |own: &&IpNet| own.addr().is_ipv4() == to.is_ipv4() && !is_link_local(own.addr());
            self.addresses.iter().find(routable)
        };
        same_subnet.or_else(same_family).map(IpNet::addr)
    }
}

/// Whether `address` is of fe80::/10: it means something only together with a port.
pub(super) fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_local_address_comes_from_the_mac() {
        let wan = Interface {
            port: 0,
            name: "wan".into(),
            mac: [0x02, 0, 0, 0x0c, 0, 1],
            mtu: 1500,
            addresses: vec!["192.0.2.1/24".parse().unwrap(), "2001:db8::1/64".parse().unwrap()],
            vip_answer: VipAnswer::Always,
        };
        assert_eq!(wan.link_local(), "fe80::ff:fe0c:1".parse::<Ipv6Addr>().unwrap());
        let rows = [
            ("192.0.2.9", Some("192.0.2.1"), true),
            ("203.0.113.1", Some("192.0.2.1"), false),
            ("2001:db8::7", Some("2001:db8::1"), true),
            ("2001:db9::7", Some("2001:db8::1"), false),
            ("fe80::7", Some("fe80::ff:fe0c:1"), true),
        ];
        for (to, source, connected) in rows {
            let to: IpAddr = to.parse().unwrap();
            assert_eq!(wan.source_towards(to), source.map(|text| text.parse().unwrap()), "source towards {to}");
            assert_eq!(wan.connects(to), connected, "{to}");
        }
    }
}
