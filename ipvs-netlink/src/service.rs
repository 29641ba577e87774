//! A virtual service: by what it is known, what it is told, and what is told of it.

use std::net::{IpAddr, SocketAddr};

use rustix::io::Errno;

use crate::attribute::{Attributes, Made};
use crate::stats::Stats;

const AF: u16 = 1;
const PROTOCOL: u16 = 2;
const ADDRESS: u16 = 3;
const PORT: u16 = 4;
const FWMARK: u16 = 5;
const SCHEDULER: u16 = 6;
const FLAGS: u16 = 7;
const TIMEOUT: u16 = 8;
const NETMASK: u16 = 9;
const STATS: u16 = 10;
const ENGINE: u16 = 11;
const STATS64: u16 = 12;

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
/// The protocol that the kernel keeps for a service of a mark.
const TCP: u8 = 6;

const SCHEDULER_BYTES_MAX: usize = 15;
const ENGINE_BYTES_MAX: usize = 16;
/// How a service without a scheduler says so.
const NO_SCHEDULER: &str = "none";

/// The family of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// An address's.
    pub fn of(address: IpAddr) -> Family {
        if address.is_ipv4() { Family::V4 } else { Family::V6 }
    }

    pub(crate) fn from_number(number: u16) -> Result<Family, Errno> {
        match number {
            AF_INET => Ok(Family::V4),
            AF_INET6 => Ok(Family::V6),
            _ => Err(Errno::AFNOSUPPORT),
        }
    }

    pub(crate) fn number(self) -> u16 {
        match self {
            Family::V4 => AF_INET,
            Family::V6 => AF_INET6,
        }
    }
}

/// What tells a service from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceId {
    /// An address and a port (0: all ports).
    Endpoint {
        /// IP protocol number.
        protocol: u8,
        /// VIP and port.
        address: SocketAddr,
    },
    /// A firewall mark.
    Mark {
        /// The mark, not 0.
        mark: u32,
        /// Of which packets.
        family: Family,
    },
}

impl ServiceId {
    /// The family of its packets.
    pub fn family(&self) -> Family {
        match self {
            ServiceId::Endpoint { address, .. } => Family::of(address.ip()),
            ServiceId::Mark { family, .. } => *family,
        }
    }

    pub(crate) fn read(service: &Attributes) -> Result<ServiceId, Errno> {
        let family = Family::from_number(service.u16(AF)?)?;
        if service.get(FWMARK).is_some() {
            let mark = service.u32(FWMARK)?;
            return if mark == 0 { Err(Errno::INVAL) } else { Ok(ServiceId::Mark { mark, family }) };
        }
        let protocol = u8::try_from(service.u16(PROTOCOL)?).map_err(|_| Errno::INVAL)?;
        let address = SocketAddr::new(service.address(ADDRESS, family)?, service.port(PORT)?);
        Ok(ServiceId::Endpoint { protocol, address })
    }

    pub(crate) fn put(&self, made: Made) -> Made {
        let made = made.u16(AF, self.family().number());
        match self {
            ServiceId::Endpoint { protocol, address } => {
                made.u16(PROTOCOL, u16::from(*protocol)).address(ADDRESS, address.ip()).port(PORT, address.port())
            }
            ServiceId::Mark { mark, .. } => made.u16(PROTOCOL, u16::from(TCP)).u32(FWMARK, *mark),
        }
    }
}

/// A service's flags, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u32);

impl Flags {
    /// Clients keep their real servers.
    pub const PERSISTENT: Flags = Flags(1);
    /// Every service has it.
    pub const HASHED: Flags = Flags(2);
    /// Each datagram is scheduled by itself.
    pub const ONE_PACKET: Flags = Flags(4);
    /// The scheduler's first flag: fallback.
    pub const FALLBACK: Flags = Flags(8);
    /// The scheduler's second flag: port.
    pub const PORT: Flags = Flags(0x10);
    /// The scheduler's third flag, which means nothing to any.
    pub const THIRD: Flags = Flags(0x20);

    /// Are all of these set?
    pub fn has(self, flags: Flags) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// These and those, if `condition` holds.
    pub fn with(self, flags: Flags, condition: bool) -> Flags {
        if condition { Flags(self.0 | flags.0) } else { self }
    }
}

/// Flags to set or clear: those of the mask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlagsTold {
    /// What the flags of the mask become.
    pub flags: Flags,
    /// Which flags.
    pub mask: u32,
}

impl FlagsTold {
    /// All flags.
    pub fn all(flags: Flags) -> FlagsTold {
        FlagsTold { flags, mask: u32::MAX }
    }

    /// What becomes of a service's flags.
    pub fn applied_to(self, before: Flags) -> Flags {
        Flags(before.0 & !self.mask | self.flags.0 & self.mask)
    }
}

/// What a service is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceTold {
    /// The scheduler's name; none: it has none.
    pub scheduler: Option<String>,
    /// The persistence engine's name.
    pub engine: Option<String>,
    /// Flags.
    pub flags: FlagsTold,
    /// Seconds that a client keeps its real server.
    pub timeout_s: u32,
    /// Clients that are the same after it count as one. IPv4: any mask; IPv6: the length of a prefix, 1 to 128.
    pub netmask: u32,
}

impl ServiceTold {
    pub(crate) fn read(service: &Attributes, family: Family) -> Result<ServiceTold, Errno> {
        let scheduler = service.text(SCHEDULER, SCHEDULER_BYTES_MAX)?;
        let engine = service.get(ENGINE).map(|_| service.text(ENGINE, ENGINE_BYTES_MAX)).transpose()?;
        let [flags, mask] = service.u32_pair(FLAGS)?;
        let netmask = match family {
            Family::V4 => service.u32_be(NETMASK)?,
            Family::V6 => service.u32(NETMASK)?,
        };
        if family == Family::V6 && !(1..=128).contains(&netmask) {
            return Err(Errno::INVAL);
        }
        Ok(ServiceTold {
            scheduler: (scheduler != NO_SCHEDULER).then(|| scheduler.to_string()),
            engine: engine.filter(|name| !name.is_empty()).map(String::from),
            flags: FlagsTold { flags: Flags(flags), mask },
            timeout_s: service.u32(TIMEOUT)?,
            netmask,
        })
    }

    pub(crate) fn put(&self, family: Family, made: Made) -> Made {
        let made = made.text(SCHEDULER, self.scheduler.as_deref().unwrap_or(NO_SCHEDULER));
        let made = match &self.engine {
            Some(engine) => made.text(ENGINE, engine),
            None => made,
        };
        let made = made.u32_pair(FLAGS, [self.flags.flags.0, self.flags.mask]).u32(TIMEOUT, self.timeout_s);
        match family {
            Family::V4 => made.u32_be(NETMASK, self.netmask),
            Family::V6 => made.u32(NETMASK, self.netmask),
        }
    }
}

/// A service, as a client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Which.
    pub id: ServiceId,
    /// What it was told; of flags, all that it has.
    pub told: ServiceTold,
    /// What it counted.
    pub stats: Stats,
}

impl Service {
    pub(crate) fn put(&self) -> Made {
        let made = self.told.put(self.id.family(), self.id.put(Made::default()));
        made.nest(STATS, self.stats.narrow()).nest(STATS64, self.stats.wide())
    }
}
