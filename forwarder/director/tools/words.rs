//! Between the protocol's words and the book's: neither knows the other.

use crate::director::settings;
use crate::rewrite::tun::{GueChecksum, Tunnel};
use crate::services::book::{Listed, Refused, ServerSpec, ServiceSpec};
use crate::services::{Persistence, Service, ServiceKey};
use crate::wire::protocol::{SCTP, TCP, UDP};
use config::Config;
use conntrack::{Method, Netmask};
use ipvs_netlink::{Errno, Family, Flags, FlagsTold, ForwardMethod, RealServerTold, ServiceId, ServiceTold};
use sched::{Kind, Settings, Thresholds};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// What tells the service from others; none of a protocol that cannot be served.
pub(super) fn key(id: &ServiceId) -> Option<ServiceKey> {
    Some(match *id {
        ServiceId::Endpoint { protocol: protocol @ (TCP | UDP | SCTP), address } => {
            ServiceKey::Endpoint { protocol, vip: address.ip(), port: address.port() }
        }
        ServiceId::Endpoint { .. } => return None,
        ServiceId::Mark { mark, family } => ServiceKey::Mark { mark, v6: family == Family::V6 },
    })
}

pub(super) fn id(key: ServiceKey) -> ServiceId {
    match key {
        ServiceKey::Endpoint { protocol, vip, port } => {
            ServiceId::Endpoint { protocol, address: SocketAddr::new(vip, port) }
        }
        ServiceKey::Mark { mark, v6 } => ServiceId::Mark { mark, family: if v6 { Family::V6 } else { Family::V4 } },
    }
}

/// The flags of a service.
pub(super) fn flags(spec: &ServiceSpec, third: bool) -> Flags {
    Flags::HASHED
        .with(Flags::PERSISTENT, spec.persistence.is_some())
        .with(Flags::ONE_PACKET, spec.one_packet)
        .with(Flags::FALLBACK, spec.settings.flags.fallback)
        .with(Flags::PORT, spec.settings.flags.port)
        .with(Flags::THIRD, third)
}

/// What a service was told.
pub(super) fn told(service: &Service, third: bool) -> ServiceTold {
    let spec = service.spec();
    let v6 = service.key.is_v6();
    let any_client = if v6 { Netmask::prefix_v6(128) } else { Netmask::prefix_v4(32) };
    let netmask = spec.persistence.map_or(any_client, |persistence| persistence.netmask);
    ServiceTold {
        scheduler: (spec.scheduler != Kind::NoOne).then(|| spec.scheduler.to_string()),
        engine: None,
        flags: FlagsTold::all(flags(&spec, third)),
        timeout_s: spec.persistence.map_or(0, |persistence| persistence.timeout_s),
        netmask: if v6 { netmask.count().into() } else { netmask.to_v4() },
    }
}

/// What a service is to be, and whether it has the third flag. What the protocol has no words for stays as it was.
pub(super) fn spec(
    key: ServiceKey,
    told: &ServiceTold,
    before: Option<(ServiceSpec, bool)>,
) -> Result<(ServiceSpec, bool), Errno> {
    let flags_before = before.as_ref().map_or_else(Flags::default, |(spec, third)| flags(spec, *third));
    let flags = told.flags.applied_to(flags_before);
    let scheduler = match &told.scheduler {
        Some(name) => name.parse().map_err(|_| Errno::NOENT)?,
        None => Kind::NoOne,
    };
    // Persistence engines are not there: as if the kernel had no such module.
    if told.engine.is_some() {
        return Err(Errno::NOENT);
    }
    let before_settings = before.as_ref().map_or_else(Settings::default, |(spec, _)| spec.settings);
    let netmask = match key.is_v6() {
        true => Netmask::prefix_v6(told.netmask as u8),
        false => Netmask::v4(told.netmask),
    };
    let spec = ServiceSpec {
        scheduler,
        settings: Settings {
            flags: sched::Flags { port: flags.has(Flags::PORT), fallback: flags.has(Flags::FALLBACK) },
            ..before_settings
        },
        persistence: flags.has(Flags::PERSISTENT).then_some(Persistence { timeout_s: told.timeout_s, netmask }),
        one_packet: flags.has(Flags::ONE_PACKET),
        steer: before.as_ref().map_or_else(Default::default, |(spec, _)| spec.steer),
    };
    Ok((spec, flags.has(Flags::THIRD)))
}

/// What a real server was told.
pub(super) fn server_told(listed: &Listed) -> RealServerTold {
    let (method, tunnel) = match listed.server.method {
        Method::Nat | Method::FullNat => (ForwardMethod::Masquerade, ipvs_netlink::Tunnel::Ipip),
        Method::Tun => (ForwardMethod::Tunnel, told_tunnel(listed.tunnel)),
        Method::Dr | Method::Bypass => (ForwardMethod::Route, ipvs_netlink::Tunnel::Ipip),
        Method::Local => (ForwardMethod::Local, ipvs_netlink::Tunnel::Ipip),
    };
    RealServerTold {
        method,
        tunnel,
        weight: listed.server.weight,
        upper_threshold: listed.thresholds.upper,
        lower_threshold: listed.thresholds.lower,
    }
}

/// What a real server is to be; `masquerade` is what masquerading means.
pub(super) fn server_spec(told: &RealServerTold, masquerade: Method) -> Result<ServerSpec, Errno> {
    let method = match told.method {
        ForwardMethod::Masquerade => masquerade,
        ForwardMethod::Tunnel => Method::Tun,
        ForwardMethod::Route => Method::Dr,
        // The kernel finds that out by itself; no tool says it.
        ForwardMethod::Local => return Err(Errno::INVAL),
    };
    Ok(ServerSpec {
        method,
        tunnel: if method == Method::Tun { tunnel(told.tunnel) } else { Tunnel::default() },
        weight: told.weight,
        thresholds: Thresholds { upper: told.upper_threshold, lower: told.lower_threshold },
        next_hop: None,
    })
}

fn told_tunnel(tunnel: Tunnel) -> ipvs_netlink::Tunnel {
    match tunnel {
        Tunnel::Ipip => ipvs_netlink::Tunnel::Ipip,
        Tunnel::Gre { csum } => ipvs_netlink::Tunnel::Gre { csum },
        Tunnel::Gue { port, csum } => {
            ipvs_netlink::Tunnel::Gue { port, csum: csum == GueChecksum::Full, remcsum: csum == GueChecksum::Remote }
        }
    }
}

fn tunnel(told: ipvs_netlink::Tunnel) -> Tunnel {
    match told {
        ipvs_netlink::Tunnel::Ipip => Tunnel::Ipip,
        ipvs_netlink::Tunnel::Gre { csum } => Tunnel::Gre { csum },
        ipvs_netlink::Tunnel::Gue { port, csum, remcsum } => {
            let csum = match (csum, remcsum) {
                (_, true) => GueChecksum::Remote,
                (true, false) => GueChecksum::Full,
                (false, false) => GueChecksum::None,
            };
            Tunnel::Gue { port, csum }
        }
    }
}

/// Can a real server have this address?
pub(super) fn is_unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.octets()[0] != 0 && !v4.is_multicast() && v4 != Ipv4Addr::BROADCAST,
        IpAddr::V6(v6) => !v6.is_unspecified() && !v6.is_multicast() && !v6.is_unicast_link_local(),
    }
}

/// The kernel's error for what the book refuses.
pub(super) fn errno(refused: Refused) -> Errno {
    match refused {
        Refused::ServiceExists | Refused::ServerExists => Errno::EXIST,
        Refused::NoService => Errno::SRCH,
        Refused::NoServer => Errno::NOENT,
        Refused::Full => Errno::NOMEM,
        Refused::SteerIsFixed | Refused::SteeredOtherwise | Refused::NatByTuple => Errno::INVAL,
    }
}

/// The keys of a file's services.
pub(super) fn keys_of(config: &Config) -> impl Iterator<Item = ServiceKey> + '_ {
    config.services.iter().map(|service| settings::service_key(&service.matching))
}
