//! What a template is found by: the masked client and the service, packed into the form of a flow key.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::key::Key;

/// The service of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// A virtual address and port (0: all ports).
    Address {
        /// IP protocol number.
        protocol: u8,
        /// Of the client's family.
        vip: IpAddr,
        /// 0 for a service of all ports.
        port: u16,
    },
    /// A firewall mark.
    Mark(u32),
}

/// Which bits of a client's address count. In IPv4 any may: ipvsadm takes 0.0.0.24 for a mask, and the kernel obeys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Netmask(u128);

impl Netmask {
    /// The first `bits` bits of an IPv4 address.
    pub fn prefix_v4(bits: u8) -> Netmask {
        Netmask::v4(u32::MAX.checked_shl(32 - u32::from(bits.min(32))).unwrap_or(0))
    }

    /// The first `bits` bits of an IPv6 address.
    pub fn prefix_v6(bits: u8) -> Netmask {
        Netmask(u128::MAX.checked_shl(128 - u32::from(bits.min(128))).unwrap_or(0))
    }

    /// These bits of an IPv4 address.
    pub fn v4(bits: u32) -> Netmask {
        Netmask(bits.into())
    }

    /// The bits, if it is of IPv4.
    pub fn to_v4(self) -> u32 {
        self.0 as u32
    }

    /// How many bits count.
    pub fn count(self) -> u8 {
        self.0.count_ones() as u8
    }
}

/// Which template: the client's address after the service's netmask, and the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TemplateKey(pub(super) Key);

/// The source port that tells a mark from an address.
const MARKED: u16 = 1;

impl TemplateKey {
    /// The key of `client`, already masked (see [`TemplateKey::mask`]). `None` when client and VIP are of two families.
    pub fn new(client: IpAddr, service: Service) -> Option<TemplateKey> {
        let key = match service {
            Service::Address { protocol, vip, port } => Key::of((client, 0), (vip, port), protocol)?,
            Service::Mark(mark) => {
                let vip = match client {
                    IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from_bits(mark)),
                    IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(mark.into())),
                };
                Key::of((client, MARKED), (vip, 0), 0)?
            }
        };
        Some(TemplateKey(key))
    }

    /// The bits of a client's address that the mask leaves, the others zero.
    pub fn mask(client: IpAddr, netmask: Netmask) -> IpAddr {
        match client {
            IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & netmask.to_v4())),
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & netmask.0)),
        }
    }

    /// The masked client.
    pub fn client(&self) -> IpAddr {
        self.0.src()
    }

    /// The service.
    pub fn service(&self) -> Service {
        if self.0.sport() == MARKED {
            let mark = match self.0.dst() {
                IpAddr::V4(v4) => v4.to_bits(),
                IpAddr::V6(v6) => v6.to_bits() as u32,
            };
            Service::Mark(mark)
        } else {
            Service::Address { protocol: self.0.protocol(), vip: self.0.dst(), port: self.0.dport() }
        }
    }
}
