//! Every setting as the file's key and a text, so that two of a kind can be compared and shown key by key. The types are
//! taken apart without `..`: a setting that is added to one of them cannot be forgotten here.

use humantime::format_duration;
use std::time::Duration;

use crate::timeouts::SCTP_KEYS;
use crate::{Defense, Director, Eal, HugePages, Idle, Ipvs, Port, RealServer, Service, Timeouts, VipAnswer};

/// Keys with their values.
pub(super) type Values = Vec<(&'static str, String)>;

/// The keys whose values differ, with both.
pub(super) fn differing(before: Values, after: Values) -> impl Iterator<Item = (&'static str, String, String)> {
    let both = before.into_iter().zip(after).map(|((key, before), (_, after))| (key, before, after));
    both.filter(|(_, before, after)| before != after)
}

pub(super) fn director(director: &Director) -> Values {
    let Director { workers, conns_max, templates_max, servers_max, neighbors_max, run_dir, group, idle, forward } =
        director;
    let idle = match idle {
        Idle::Adaptive => "adaptive",
        Idle::Busy => "busy",
    };
    vec![
        ("workers", format!("{workers:?}")),
        ("conns_max", conns_max.to_string()),
        ("templates_max", templates_max.to_string()),
        ("servers_max", servers_max.to_string()),
        ("neighbors_max", neighbors_max.to_string()),
        ("run_dir", run_dir.display().to_string()),
        ("group", or_none(group.as_deref())),
        ("idle", idle.into()),
        ("forward", forward.to_string()),
    ]
}

pub(super) fn eal(eal: &Eal) -> Values {
    let Eal { huge_pages, memory_mb, args } = eal;
    let huge_pages = match huge_pages {
        HugePages::Auto => "auto",
        HugePages::Require => "require",
        HugePages::Off => "off",
    };
    vec![("huge_pages", huge_pages.into()), ("memory_mb", memory_mb.to_string()), ("args", format!("{args:?}"))]
}

/// All but the name, by which ports are compared, and the gateways.
pub(super) fn port(port: &Port) -> Values {
    let Port { name: _, device, vlan, addresses, gateway: _, gateway6: _, mtu, queues, host, vip_answer } = port;
    let answer = VipAnswer::WORDS.iter().find(|(_, answer)| answer == vip_answer).map(|(word, _)| *word);
    vec![
        ("device", device.to_string()),
        ("vlan", or_none(*vlan)),
        ("addresses", list(addresses)),
        ("mtu", mtu.to_string()),
        ("queues", or_none(*queues)),
        ("host", or_none(host.as_deref())),
        ("vip_answer", or_none(answer)),
    ]
}

/// Of a port, what may change while a director runs.
pub(super) fn gateways(port: &Port) -> Values {
    vec![("gateway", or_none(port.gateway)), ("gateway6", or_none(port.gateway6))]
}

pub(super) fn ipvs(ipvs: &Ipvs) -> Values {
    let Ipvs {
        am_droprate,
        amemthresh,
        cache_bypass,
        conn_reuse_mode,
        drop_entry,
        drop_packet,
        expire_nodest_conn,
        expire_quiescent_template,
        ignore_tunneled,
        lblc_expiration,
        lblcr_expiration,
        nat_icmp_send,
        pmtu_disc,
        run_estimation,
        schedule_icmp,
        secure_tcp,
        sloppy_sctp,
        sloppy_tcp,
        snat_reroute,
    } = ipvs;
    let switch = |on: &bool| u8::from(*on).to_string();
    let defense = |defense: &Defense| match defense {
        Defense::Never => "0".into(),
        Defense::WhenShort => "1".into(),
        Defense::Always => "3".into(),
    };
    vec![
        ("am_droprate", am_droprate.to_string()),
        ("amemthresh", amemthresh.to_string()),
        ("cache_bypass", switch(cache_bypass)),
        ("conn_reuse_mode", conn_reuse_mode.to_string()),
        ("drop_entry", defense(drop_entry)),
        ("drop_packet", defense(drop_packet)),
        ("expire_nodest_conn", switch(expire_nodest_conn)),
        ("expire_quiescent_template", switch(expire_quiescent_template)),
        ("ignore_tunneled", switch(ignore_tunneled)),
        ("lblc_expiration", lblc_expiration.to_string()),
        ("lblcr_expiration", lblcr_expiration.to_string()),
        ("nat_icmp_send", switch(nat_icmp_send)),
        ("pmtu_disc", switch(pmtu_disc)),
        ("run_estimation", switch(run_estimation)),
        ("schedule_icmp", switch(schedule_icmp)),
        ("secure_tcp", defense(secure_tcp)),
        ("sloppy_sctp", switch(sloppy_sctp)),
        ("sloppy_tcp", switch(sloppy_tcp)),
        ("snat_reroute", switch(snat_reroute)),
    ]
}

pub(super) fn timeouts(timeouts: &Timeouts) -> Values {
    let Timeouts {
        tcp,
        tcp_fin,
        udp,
        tcp_syn_sent,
        tcp_syn_recv,
        tcp_time_wait,
        tcp_close,
        tcp_close_wait,
        tcp_last_ack,
        tcp_listen,
        tcp_synack,
        sctp,
    } = timeouts;
    let time = |seconds: &Option<u32>| seconds.map_or("the kernel's".into(), duration);
    let mut values = vec![
        ("tcp", time(tcp)),
        ("tcp_fin", time(tcp_fin)),
        ("udp", time(udp)),
        ("tcp_syn_sent", time(tcp_syn_sent)),
        ("tcp_syn_recv", time(tcp_syn_recv)),
        ("tcp_time_wait", time(tcp_time_wait)),
        ("tcp_close", time(tcp_close)),
        ("tcp_close_wait", time(tcp_close_wait)),
        ("tcp_last_ack", time(tcp_last_ack)),
        ("tcp_listen", time(tcp_listen)),
        ("tcp_synack", time(tcp_synack)),
    ];
    values.extend(SCTP_KEYS.into_iter().zip(sctp.iter().map(time)));
    values
}

/// All but what it matches and its servers.
pub(super) fn service(service: &Service) -> Values {
    let Service { matching: _, scheduler, flags, mh_table, persistent, one_packet, steer, servers: _ } = service;
    let flags = [
        ("sh-port", flags.sh_port),
        ("sh-fallback", flags.sh_fallback),
        ("mh-port", flags.mh_port),
        ("mh-fallback", flags.mh_fallback),
    ];
    let set: Vec<_> = flags.into_iter().filter(|(_, set)| *set).map(|(flag, _)| flag).collect();
    vec![
        ("scheduler", scheduler.to_string()),
        ("flags", list(&set)),
        ("mh_table", mh_table.to_string()),
        ("persistent", persistent.map_or("none".into(), |persistent| duration(persistent.timeout_s))),
        ("netmask", persistent.map_or("none".into(), |persistent| persistent.netmask.to_string())),
        ("one_packet", one_packet.to_string()),
        ("steer", steer.name().into()),
    ]
}

/// All but the address.
pub(super) fn server(server: &RealServer) -> Values {
    let RealServer { address: _, method, weight, upper_threshold, lower_threshold } = server;
    vec![
        ("method", method.to_string()),
        ("weight", weight.to_string()),
        ("upper_threshold", upper_threshold.to_string()),
        ("lower_threshold", lower_threshold.to_string()),
    ]
}

fn duration(seconds: u32) -> String {
    format_duration(Duration::from_secs(seconds.into())).to_string()
}

fn or_none(value: Option<impl ToString>) -> String {
    value.map_or("none".into(), |value| value.to_string())
}

fn list(items: &[impl ToString]) -> String {
    let items: Vec<_> = items.iter().map(ToString::to_string).collect();
    if items.is_empty() { "none".into() } else { items.join(" ") }
}
