//! Addresses as people write them. An address that can be sent to is a unicast one; everything else that looks like an
//! address is refused by its kind, for "invalid address" would leave the operator to guess.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

use crate::read::Value;

/// An Ethernet address of one station.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MacAddr(pub [u8; 6]);

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// IPv4 or IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Family::V4 } else { Family::V6 }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        })
    }
}

/// Why an address cannot be that of one host; none if it can.
pub(crate) fn not_unicast(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) if v4.is_unspecified() => Some("the unspecified address"),
        IpAddr::V4(v4) if v4.is_loopback() => Some("a loopback address"),
        IpAddr::V4(v4) if v4.is_multicast() => Some("a multicast address"),
        IpAddr::V4(v4) if v4.is_broadcast() => Some("the broadcast address"),
        IpAddr::V4(v4) if v4.octets()[0] == 0 || v4.octets()[0] >= 240 => Some("a reserved address"),
        IpAddr::V6(v6) if v6.is_unspecified() => Some("the unspecified address"),
        IpAddr::V6(v6) if v6.is_loopback() => Some("a loopback address"),
        IpAddr::V6(v6) if v6.is_multicast() => Some("a multicast address"),
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Some("an IPv4-mapped address"),
        _ => None,
    }
}

pub(crate) fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if Ipv6Addr::is_unicast_link_local(&v6))
}

/// Whether the address names the subnet itself or all of its hosts: no host can have it. Prefixes of one or two
/// addresses (/31, /32, /127, /128) have neither (RFC 3021, RFC 6164).
pub(crate) fn is_not_a_host_of(address: IpAddr, subnet: &IpNet) -> bool {
    let ends = subnet.prefix_len() + 1 < subnet.max_prefix_len();
    ends && (address == subnet.network() || (address.is_ipv4() && address == subnet.broadcast()))
}

/// Reads an address with its port, such as `192.0.2.10:80` or `[2001:db8::10]:80`.
pub(crate) fn read_endpoint(value: &Value) -> Option<SocketAddr> {
    let right = "an address with a port, such as \"192.0.2.10:80\" or \"[2001:db8::10]:80\"";
    if let Some(bare) = value.as_text().and_then(|text| text.parse::<IpAddr>().ok()) {
        let example = SocketAddr::new(bare, 80);
        value.fault(format!(
            "found {} without a port; must be an address with a port, such as \"{example}\"",
            value.shown()
        ));
        return None;
    }
    let endpoint: SocketAddr = value.text(right, parse_endpoint)?;
    check_global(value, endpoint.ip())?;
    Some(endpoint)
}

/// `SocketAddr` without the scope and flow label that IPv6 texts may carry: they would be accepted and ignored.
pub(crate) fn parse_endpoint(text: &str) -> Option<SocketAddr> {
    text.parse().ok().filter(|_| !text.contains('%'))
}

/// Notes a fault when the address is none of one host.
pub(crate) fn check_unicast(value: &Value, address: IpAddr) -> Option<()> {
    let Some(kind) = not_unicast(address) else { return Some(()) };
    value.fault(format!("found {address}, {kind}; must be the unicast address of one host"));
    None
}

/// Notes a fault when the address is none of one host, or valid on one link only.
pub(crate) fn check_global(value: &Value, address: IpAddr) -> Option<()> {
    check_unicast(value, address)?;
    if is_link_local(address) {
        value.fault(format!("found {address}, a link-local address; must be valid beyond one link"));
        return None;
    }
    Some(())
}

/// Reads a prefix whose host bits are zero; an address alone is the prefix of one.
pub(crate) fn read_prefix(value: &Value) -> Option<IpNet> {
    let prefix = value.text("a prefix such as \"10.0.0.240/28\" or an address", |text| {
        text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
    })?;
    if prefix.addr() != prefix.network() {
        value.fault(format!("found {prefix}, whose host bits are not zero; must be {}", prefix.trunc()));
        return None;
    }
    Some(prefix)
}

/// Reads a station's Ethernet address.
pub(crate) fn read_mac(value: &Value) -> Option<MacAddr> {
    let mac = value.text("a MAC such as \"02:00:00:00:00:fe\"", parse_mac)?;
    // The lowest bit of the first byte marks a group (IEEE 802).
    if mac.0[0] & 1 == 1 || mac.0 == [0; 6] {
        value.fault(format!("found {mac}, which no single station can have; must be a unicast MAC"));
        return None;
    }
    Some(mac)
}

fn parse_mac(text: &str) -> Option<MacAddr> {
    let mut bytes = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut bytes {
        let part = parts.next().filter(|part| part.len() == 2 && part.bytes().all(|c| c.is_ascii_hexdigit()))?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(MacAddr(bytes))
}
