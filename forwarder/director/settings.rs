//! From what the operator says to what the services are told. The two are apart: `config` knows no packets, and the
//! schedulers and the conn table know no file.

use crate::rewrite::tun::{GueChecksum, Tunnel};
use crate::services::book::{ServerSpec, ServiceSpec};
use crate::services::{Defense, MarkRule, Persistence, Policy, ServiceKey};
use crate::steer::Steer;
use config::{Config, Family, Matching};
use conntrack::states::Timeouts;
use conntrack::states::tcp::State;
use conntrack::{Method, Netmask};
use sched::{Expirations, Flags, Kind, Settings, TableSize, Thresholds};

/// What every conn follows.
pub fn policy(config: &Config) -> Policy {
    let ipvs = &config.ipvs;
    let (local_v4, local_v6) = config.fullnat.local_addresses.iter().partition(|address| address.is_ipv4());
    Policy {
        conn_reuse_mode: ipvs.conn_reuse_mode,
        expire_nodest_conn: ipvs.expire_nodest_conn,
        expire_quiescent_template: ipvs.expire_quiescent_template,
        pmtu_disc: ipvs.pmtu_disc,
        sloppy_tcp: ipvs.sloppy_tcp,
        sloppy_sctp: ipvs.sloppy_sctp,
        secure_tcp: defense(ipvs.secure_tcp),
        drop_entry: defense(ipvs.drop_entry),
        drop_packet: defense(ipvs.drop_packet),
        am_droprate: ipvs.am_droprate,
        amemthresh: ipvs.amemthresh,
        cache_bypass: ipvs.cache_bypass,
        schedule_icmp: ipvs.schedule_icmp,
        nat_icmp_send: ipvs.nat_icmp_send,
        run_estimation: ipvs.run_estimation,
        expirations: expirations(config),
        forward: config.director.forward,
        timeouts: timeouts(&config.timeouts),
        local_v4,
        local_v6,
    }
}

fn expirations(config: &Config) -> Expirations {
    let ms = |seconds: u32| u64::from(seconds) * 1000;
    Expirations { lblc_ms: ms(config.ipvs.lblc_expiration), lblcr_ms: ms(config.ipvs.lblcr_expiration) }
}

fn defense(said: config::Defense) -> Defense {
    match said {
        config::Defense::Never => Defense::Never,
        config::Defense::WhenShort => Defense::WhenShort,
        config::Defense::Always => Defense::Always,
    }
}

fn timeouts(said: &config::Timeouts) -> Timeouts {
    let mut timeouts = Timeouts::default();
    for (state, seconds) in [
        (State::Established, said.tcp),
        (State::FinWait, said.tcp_fin),
        (State::SynSent, said.tcp_syn_sent),
        (State::SynRecv, said.tcp_syn_recv),
        (State::TimeWait, said.tcp_time_wait),
        (State::Close, said.tcp_close),
        (State::CloseWait, said.tcp_close_wait),
        (State::LastAck, said.tcp_last_ack),
        (State::Listen, said.tcp_listen),
        (State::SynAck, said.tcp_synack),
    ] {
        timeouts.tcp[state as usize] = seconds.unwrap_or(timeouts.tcp[state as usize]);
    }
    // The states stand in the order of the keys, behind NONE.
    for (timeout, seconds) in timeouts.sctp.iter_mut().skip(1).zip(said.sctp) {
        *timeout = seconds.unwrap_or(*timeout);
    }
    timeouts.udp = said.udp.unwrap_or(timeouts.udp);
    timeouts
}

/// What tells the service from others.
pub fn service_key(matching: &Matching) -> ServiceKey {
    match *matching {
        Matching::Endpoint { protocol, address } => {
            ServiceKey::Endpoint { protocol: protocol_number(protocol), vip: address.ip(), port: address.port() }
        }
        Matching::Mark { mark, family } => ServiceKey::Mark { mark, v6: family == Family::V6 },
    }
}

/// What the service is told.
pub fn service_spec(service: &config::Service) -> ServiceSpec {
    let flags = service.flags;
    ServiceSpec {
        scheduler: scheduler(service.scheduler),
        settings: Settings {
            flags: Flags { port: flags.sh_port || flags.mh_port, fallback: flags.sh_fallback || flags.mh_fallback },
            // config took only sizes that the table can have.
            mh_table: TableSize::try_from(service.mh_table).unwrap_or_default(),
            ..Settings::default()
        },
        persistence: service.persistent.as_ref().map(|persistent| Persistence {
            timeout_s: persistent.timeout_s,
            netmask: match service.matching.family() {
                Family::V4 => Netmask::prefix_v4(persistent.netmask),
                Family::V6 => Netmask::prefix_v6(persistent.netmask),
            },
        }),
        one_packet: service.one_packet,
        steer: steer(service.steer),
    }
}

/// What tells the owner of a service's flows.
pub fn steer(steer: config::Steer) -> Steer {
    match steer {
        config::Steer::Source => Steer::Source,
        config::Steer::Tuple => Steer::Tuple,
    }
}

/// What a real server is told; its next hop is filled in by whoever knows neighbours.
pub fn server_spec(server: &config::RealServer) -> ServerSpec {
    ServerSpec {
        method: match server.method {
            config::Method::Nat => Method::Nat,
            config::Method::Dr => Method::Dr,
            config::Method::Tun(_) => Method::Tun,
            config::Method::FullNat => Method::FullNat,
        },
        tunnel: match server.method {
            config::Method::Tun(tunnel) => self::tunnel(tunnel),
            _ => Tunnel::default(),
        },
        weight: server.weight,
        thresholds: Thresholds { upper: server.upper_threshold, lower: server.lower_threshold },
        next_hop: None,
    }
}

fn tunnel(tunnel: config::Tunnel) -> Tunnel {
    match tunnel {
        config::Tunnel::Ipip => Tunnel::Ipip,
        config::Tunnel::Gre { csum } => Tunnel::Gre { csum },
        config::Tunnel::Gue { port, csum } => {
            let csum = match csum {
                config::GueChecksum::None => GueChecksum::None,
                config::GueChecksum::Full => GueChecksum::Full,
                config::GueChecksum::Remote => GueChecksum::Remote,
            };
            Tunnel::Gue { port, csum }
        }
    }
}

/// A mark rule.
pub fn mark_rule(mark: &config::Mark) -> MarkRule {
    MarkRule {
        source: mark.source,
        destination: mark.destination,
        protocol: mark.protocol.map(protocol_number),
        source_ports: mark.source_ports.clone().unwrap_or(0..=u16::MAX),
        destination_ports: mark.destination_ports.clone().unwrap_or(0..=u16::MAX),
        mark: mark.mark,
    }
}

fn protocol_number(protocol: config::Protocol) -> u8 {
    match protocol {
        config::Protocol::Tcp => crate::wire::protocol::TCP,
        config::Protocol::Udp => crate::wire::protocol::UDP,
        config::Protocol::Sctp => crate::wire::protocol::SCTP,
    }
}

/// Both crates have the kernel's names; neither knows the other.
fn scheduler(scheduler: config::Scheduler) -> Kind {
    scheduler.name().parse().expect("config and sched know the same schedulers")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_and_sched_know_the_same_schedulers() {
        let said: Vec<_> = config::Scheduler::ALL.iter().map(|(_, kind)| scheduler(*kind).to_string()).collect();
        let known: Vec<_> = Kind::ALL.iter().map(Kind::to_string).collect();
        assert!(said.iter().all(|name| known.contains(name)) && said.len() == known.len(), "{said:?} {known:?}");
    }
}
