//! The JSON names and the identity of a worker's counters.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::*;
use crate::director::Director;
use crate::mock::{self, MockDirector};

#[test]
fn every_type_survives_json() {
    fn survives<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: T) {
        let text = serde_json::to_string(&value).unwrap();
        assert_eq!(serde_json::from_str::<T>(&text).unwrap(), value, "{text}");
    }
    survives(mock::services());
    survives(mock::ports());
    survives(mock::workers());
    survives(mock::drops());
    survives(mock::neighbors());
    survives(mock::routes());
    survives(mock::conns());
    survives(MockDirector::default().version());
    survives([Protocol::Tcp, Protocol::Udp, Protocol::Sctp, Protocol::Icmp, Protocol::Icmpv6, Protocol::Ip]);
    survives([Method::Nat, Method::Dr, Method::Tun, Method::FullNat, Method::Local, Method::Bypass]);
}

fn as_json(value: &impl Serialize) -> serde_json::Value {
    serde_json::to_value(value).unwrap()
}

/// The names that scripts rely on. A change here breaks them.
#[test]
fn json_names_are_stable() {
    assert_eq!(
        as_json(&mock::services().services[1])["servers"][0],
        json!({
            "address": "[fd00::11]:443", "method": "dr", "tunnel": null, "weight": 1, "upper_threshold": 0, "lower_threshold": 0,
            "active": 6, "inactive": 4, "persistent": 0, "overloaded": false,
            "traffic": {"conns": 7, "in_packets": 28, "out_packets": 21, "in_bytes": 1680, "out_bytes": 864_192},
            "rates": {"conns": 2, "in_packets": 8, "out_packets": 6, "in_bytes": 480, "out_bytes": 246_912},
        })
    );
    assert_eq!(
        as_json(&mock::services().services[2]),
        json!({
            "protocol": null, "address": null, "fwmark": 7, "fwmark_ipv6": true, "scheduler": "rr", "flags": [],
            "persistent_s": null, "netmask": null, "one_packet": true, "servers": [],
            "totals": {"conns": 0, "in_packets": 0, "out_packets": 0, "in_bytes": 0, "out_bytes": 0},
            "rates": {"conns": 0, "in_packets": 0, "out_packets": 0, "in_bytes": 0, "out_bytes": 0},
        })
    );
    assert_eq!(
        as_json(&mock::conns()[2]),
        json!({
            "protocol": "tcp", "client": "10.0.0.1:14464", "vip": "192.0.2.10:80", "server": "10.0.0.11:8080",
            "local": "10.0.0.240:1024", "method": "fullnat", "state": "ESTABLISHED", "expires_s": 6001, "worker": 1,
        })
    );
    assert_eq!(
        as_json(&mock::ports().ports[0]),
        json!({
            "name": "wan", "device": "net_tap0,iface=uvs-wan", "driver": "net_tap", "mac": "02:00:00:00:00:01",
            "vlan": null, "mtu": 1500, "device_mtu": 1504, "link": true, "speed_mbps": 10_000, "rx_queues": 2, "tx_queues": 2, "rss": "4-tuple",
            "steering": "one worker owns every flow", "sends_by": "net_tap2",
            "rx_packets": 123_456_789, "tx_packets": 12, "rx_missed": 3, "rx_errors": 0, "rx_chained": 0, "rx_no_buffer": 0,
            "tx_errors": 0, "addresses": ["192.0.2.1/24", "2001:db8::1/64"],
            "host": {"name": "uvs0", "to_host": 12, "from_host": 7, "refused": 1},
        })
    );
    assert_eq!(
        as_json(&mock::workers().workers[0]),
        json!({
            "lcore": 1, "received": 2_000_000_100_u64, "handed_in": 20, "created": 3, "sent": 2_000_000_000,
            "passed": 40, "handed_out": 50, "consumed": 6, "dropped": 7, "held": 20, "conns": 1000,
            "conns_max": 1_000_000, "turns": 4000, "busy_turns": 3000, "sleeps": 12,
            "defenses": ["drop_entry", "secure_tcp"],
        })
    );
    assert_eq!(
        as_json(&mock::drops())["drops"][1],
        json!({
            "reason": "ttl_expired", "meaning": "the hop limit ran out on the way; the sender was told",
            "per_worker": [1, 0], "total": 1,
        })
    );
    assert_eq!(
        as_json(&mock::neighbors())["neighbors"][0],
        json!({"address": "192.0.2.254", "mac": "02:00:00:00:00:fe", "port": "wan", "state": "reachable", "origin": "resolved", "age_s": 12})
    );
    assert_eq!(
        as_json(&mock::routes())["routes"][0],
        json!({"destination": "0.0.0.0/0", "via": "192.0.2.254", "port": "wan", "origin": "host"})
    );
    assert_eq!(as_json(&mock::drops())["lcores"], json!([1, 2]));
    assert_eq!(
        as_json(&mock::drops())["local_ports"],
        json!([{"local": "10.0.0.240", "server": "10.0.0.11:80", "times": 3}])
    );
    assert_eq!(as_json(&mock::reloaded(false)), json!({"applied": false, "lines": ["uvs.toml:1:1: x", "y: z"]}));
    assert_eq!(
        as_json(&MockDirector::default().version()),
        json!({"version": "0.1.0 (a1b2c3d)", "pid": 4711, "uptime_s": 61})
    );
}

#[test]
fn a_worker_accounts_for_each_frame() {
    let whole = mock::workers().workers[0].clone();
    assert!(whole.identity_holds());
    let each_with_one_more: [fn(&mut Worker); 9] = [
        |worker| worker.received += 1,
        |worker| worker.handed_in += 1,
        |worker| worker.created += 1,
        |worker| worker.sent += 1,
        |worker| worker.passed += 1,
        |worker| worker.handed_out += 1,
        |worker| worker.consumed += 1,
        |worker| worker.dropped += 1,
        |worker| worker.held += 1,
    ];
    for (number, add) in each_with_one_more.into_iter().enumerate() {
        let mut broken = whole.clone();
        add(&mut broken);
        assert!(!broken.identity_holds(), "counter {number} is not part of the identity");
    }
}
