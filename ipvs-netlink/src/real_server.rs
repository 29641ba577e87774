//! A real server of a service (the kernel's "destination"): by what it is known, what it is told, and what is told of it.

use std::net::{IpAddr, SocketAddr};

use rustix::io::Errno;

use crate::attribute::{Attributes, Made};
use crate::service::Family;
use crate::stats::Stats;

const ADDRESS: u16 = 1;
const PORT: u16 = 2;
const FORWARD_METHOD: u16 = 3;
const WEIGHT: u16 = 4;
const UPPER_THRESHOLD: u16 = 5;
const LOWER_THRESHOLD: u16 = 6;
const ACTIVE_CONNS: u16 = 7;
const INACTIVE_CONNS: u16 = 8;
const PERSISTENT_CONNS: u16 = 9;
const STATS: u16 = 10;
const AF: u16 = 11;
const STATS64: u16 = 12;
const TUNNEL_TYPE: u16 = 13;
const TUNNEL_PORT: u16 = 14;
const TUNNEL_FLAGS: u16 = 15;

/// The part of the forwarding method that says which.
const METHOD_MASK: u32 = 7;
const CSUM: u16 = 1;
const REMCSUM: u16 = 2;

/// How packets get to a real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardMethod {
    /// NAT, and FullNAT, which the protocol has no word for.
    Masquerade,
    /// To the director's own host.
    Local,
    /// In another packet.
    Tunnel,
    /// As they are.
    Route,
}

/// What packets travel in, with [`ForwardMethod::Tunnel`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tunnel {
    /// IP in IP.
    #[default]
    Ipip,
    /// Generic UDP encapsulation.
    Gue {
        /// UDP port at the real server, not 0.
        port: u16,
        /// With a checksum.
        csum: bool,
        /// With remote checksum offload.
        remcsum: bool,
    },
    /// GRE.
    Gre {
        /// With a checksum.
        csum: bool,
    },
}

impl Tunnel {
    fn read(server: &Attributes) -> Result<Tunnel, Errno> {
        let optional = |kind: u16| server.get(kind).is_some();
        let kind = if optional(TUNNEL_TYPE) { server.u8(TUNNEL_TYPE)? } else { 0 };
        let port = if optional(TUNNEL_PORT) { server.port(TUNNEL_PORT)? } else { 0 };
        let flags = if optional(TUNNEL_FLAGS) { server.u16(TUNNEL_FLAGS)? } else { 0 };
        let (csum, remcsum) = (flags & CSUM != 0, flags & REMCSUM != 0);
        match kind {
            0 => Ok(Tunnel::Ipip),
            1 if port != 0 => Ok(Tunnel::Gue { port, csum, remcsum }),
            2 if !remcsum => Ok(Tunnel::Gre { csum }),
            _ => Err(Errno::INVAL),
        }
    }

    fn put(self, made: Made) -> Made {
        let (kind, port, csum, remcsum) = match self {
            Tunnel::Ipip => (0, 0, false, false),
            Tunnel::Gue { port, csum, remcsum } => (1, port, csum, remcsum),
            Tunnel::Gre { csum } => (2, 0, csum, false),
        };
        let flags = if csum { CSUM } else { 0 } | if remcsum { REMCSUM } else { 0 };
        made.u8(TUNNEL_TYPE, kind).port(TUNNEL_PORT, port).u16(TUNNEL_FLAGS, flags)
    }
}

/// What a real server is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RealServerTold {
    /// How packets get there.
    pub method: ForwardMethod,
    /// What they travel in, with [`ForwardMethod::Tunnel`].
    pub tunnel: Tunnel,
    /// 0 to 2^31 − 1.
    pub weight: u32,
    /// No new conns from this many on; 0: no limit.
    pub upper_threshold: u32,
    /// New conns again below this many; at most the upper one.
    pub lower_threshold: u32,
}

/// By what a real server is known: its address and port. An address without a family is of the service's.
pub(crate) fn read_address(server: &Attributes, service: Family) -> Result<SocketAddr, Errno> {
    server.need(ADDRESS)?;
    let family = match server.get(AF) {
        Some(_) if server.u16(AF)? != 0 => Family::from_number(server.u16(AF)?)?,
        _ => service,
    };
    Ok(SocketAddr::new(server.address(ADDRESS, family)?, server.port(PORT)?))
}

/// Puts by what a real server is known.
pub(crate) fn put_address(address: SocketAddr, made: Made) -> Made {
    let made = made.address(ADDRESS, address.ip()).port(PORT, address.port());
    made.u16(AF, Family::of(address.ip()).number())
}

impl RealServerTold {
    pub(crate) fn read(server: &Attributes, of: IpAddr, service: Family) -> Result<RealServerTold, Errno> {
        let (method, weight) = (server.u32(FORWARD_METHOD)? & METHOD_MASK, server.u32(WEIGHT)?);
        let (upper, lower) = (server.u32(UPPER_THRESHOLD)?, server.u32(LOWER_THRESHOLD)?);
        let method = match method {
            0 => ForwardMethod::Masquerade,
            1 => ForwardMethod::Local,
            2 => ForwardMethod::Tunnel,
            3 => ForwardMethod::Route,
            _ => return Err(Errno::INVAL),
        };
        if Family::of(of) != service && method != ForwardMethod::Tunnel {
            return Err(Errno::INVAL);
        }
        if weight > i32::MAX as u32 || lower > upper {
            return Err(Errno::RANGE);
        }
        Ok(RealServerTold {
            method,
            tunnel: Tunnel::read(server)?,
            weight,
            upper_threshold: upper,
            lower_threshold: lower,
        })
    }

    pub(crate) fn put(&self, made: Made) -> Made {
        let method = match self.method {
            ForwardMethod::Masquerade => 0,
            ForwardMethod::Local => 1,
            ForwardMethod::Tunnel => 2,
            ForwardMethod::Route => 3,
        };
        let made = made.u32(FORWARD_METHOD, method).u32(WEIGHT, self.weight);
        let made = made.u32(UPPER_THRESHOLD, self.upper_threshold).u32(LOWER_THRESHOLD, self.lower_threshold);
        self.tunnel.put(made)
    }
}

/// A real server, as a client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RealServer {
    /// Which.
    pub address: SocketAddr,
    /// What it was told.
    pub told: RealServerTold,
    /// Active conns.
    pub active: u32,
    /// Inactive conns.
    pub inactive: u32,
    /// Persistence templates.
    pub persistent: u32,
    /// What it counted.
    pub stats: Stats,
}

impl RealServer {
    pub(crate) fn put(&self) -> Made {
        let made = self.told.put(put_address(self.address, Made::default()));
        let made = made.u32(ACTIVE_CONNS, self.active).u32(INACTIVE_CONNS, self.inactive);
        let made = made.u32(PERSISTENT_CONNS, self.persistent);
        made.nest(STATS, self.stats.narrow()).nest(STATS64, self.stats.wide())
    }
}
