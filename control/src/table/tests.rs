//! What people see, as they see it.

use super::*;
use crate::mock;
use crate::show::{Drops, Services};

/// Compares text with lines written below each other in the test, so that a difference can be seen.
fn assert_looks(text: String, expect: &[&str]) {
    assert_eq!(text, expect.join("\n") + "\n", "\n{text}");
}

#[test]
fn services_look_like_ipvsadm() {
    assert_looks(
        services(&mock::services(), None),
        &[
            "Prot LocalAddress:Port Scheduler Flags",
            "  -> RemoteAddress:Port        Forward       Weight ActiveConn InActConn Conns InPkts OutPkts InBytes OutBytes",
            "TCP  192.0.2.10:80 wlc                                                      14     56      42    3360    1728K",
            "  -> 10.0.0.11:8080            Masq               3          6         4     7     28      21    1680   864192",
            "  -> 10.0.0.12:8080 overloaded FullNAT            1          6         4     7     28      21    1680   864192",
            "SCTP [2001:db8::10]:443 sh (sh-fallback,sh-port) persistent 600 mask 64  1234K  4938K   3703K    296M     152G",
            "  -> [fd00::11]:443            Route              1          6         4     7     28      21    1680   864192",
            "  -> 10.0.0.13:443             gue:6080+csum      0          6         4     7     28      21    1680   864192",
            "FWM  7 IPv6 rr ops                                                           0      0       0       0        0",
        ],
    );
}

#[test]
fn services_fit_a_narrow_terminal() {
    let mut few = mock::services();
    few.services.truncate(1);
    few.services[0].servers.truncate(1);
    let text = services(&few, Some(80));
    assert!(text.lines().all(|line| line.len() <= 80));
    assert_looks(
        text,
        &[
            "Prot LocalAddress:Port Scheduler Flags",
            "  -> RemoteAddress:Port Forward Weight Active InAct Conns Packets  Bytes",
            "TCP  192.0.2.10:80 wlc                                 14      98  1731K",
            "  -> 10.0.0.11:8080     Masq         3      6     4     7      49 865872",
        ],
    );
}

#[test]
fn rates_look_like_ipvsadm() {
    assert_looks(
        rates(&mock::services(), None),
        &[
            "Prot LocalAddress:Port",
            "  -> RemoteAddress:Port CPS InPPS OutPPS InBPS OutBPS",
            "TCP  192.0.2.10:80        0     0      0     0      0",
            "  -> 10.0.0.11:8080       2     8      6   480 246912",
            "  -> 10.0.0.12:8080       2     8      6   480 246912",
            "SCTP [2001:db8::10]:443 321  1284    963 77040 39629K",
            "  -> [fd00::11]:443       2     8      6   480 246912",
            "  -> 10.0.0.13:443        2     8      6   480 246912",
            "FWM  7 IPv6               0     0      0     0      0",
        ],
    );
    assert!(rates(&mock::services(), Some(60)).lines().all(|line| line.len() <= 60));
}

#[test]
fn a_director_without_services_shows_the_titles() {
    assert_eq!(services(&Services::default(), Some(80)).lines().count(), 2);
}

#[test]
fn conns_look_like_ipvsadm() {
    assert_looks(
        ConnTable::within(None).lines(&mock::conns()),
        &[
            "pro expire state       source               virtual            destination        local",
            "TCP 14:47  ESTABLISHED 10.0.0.0:30004       192.0.2.10:80      10.0.0.11:8080",
            "UDP 04:48  UDP         [2001:db8::c1]:40001 [2001:db8::10]:53  [fd00::11]:53",
            "TCP 100:01 ESTABLISHED 10.0.0.1:14464       192.0.2.10:80      10.0.0.11:8080     10.0.0.240:1024",
            "IP  14:47  ASSURED     10.4.5.0:0           192.0.2.10:80      10.0.0.11:8080",
        ],
    );
}

#[test]
fn conns_have_titles_once() {
    let mut table = ConnTable::within(None);
    assert_looks(
        table.lines(&[]),
        &["pro expire state       source             virtual            destination        local"],
    );
    assert_looks(
        table.lines(&mock::conns()[..1]),
        &["TCP 14:47  ESTABLISHED 10.0.0.0:30004     192.0.2.10:80      10.0.0.11:8080"],
    );
}

#[test]
fn workers_show_fates_and_turns() {
    let fine = [
        "lcore received handed_in created  sent passed handed_out consumed dropped held",
        "1        2000M        20       3 2000M     40         50        6       7   20",
        "2        2000M        20       3 2000M     40         50        6       7   20",
        "",
        "lcore conns conns_max turns busy_turns busy sleeps defenses",
        "1      1000   1000000  4000       3000  75%     12 drop_entry secure_tcp",
        "2      1000   1000000     0          0   0%     12 -",
    ];
    assert_looks(workers(&mock::workers()), &fine);
    let mut broken = mock::workers();
    broken.workers[1].consumed += 1;
    assert!(
        workers(&broken).ends_with("\nworker 2: frames in and frames out differ; this is a defect, please report it\n")
    );
}

#[test]
fn ports_show_device_counters_and_addresses() {
    assert_looks(
        ports(&mock::ports(), Some(80)),
        &[
            "port vlan link Mbit/s  mtu mac               rxq txq driver  rss",
            "wan     - up    10000 1500 02:00:00:00:00:01   2   2 net_tap 4-tuple",
            "lan   100 down      - 1500 02:00:00:00:00:01   2   2 net_tap -",
            "",
            "port rx_packets tx_packets rx_missed rx_errors rx_chained rx_no_buffer tx_errors",
            "wan+lan",
            "           123M         12         3         0          0            0         0",
            "",
            "wan: device net_tap0,iface=uvs-wan, mtu 1504",
            "  one worker owns every flow",
            "  sends by net_tap2",
            "  host uvs0: 12 to it, 7 from it, 1 it did not take",
            "  192.0.2.1/24",
            "  2001:db8::1/64",
            "lan: device net_tap0,iface=uvs-wan, mtu 1504",
            "  one worker owns every flow",
            "  sends by net_tap2",
        ],
    );
}

#[test]
fn drops_show_what_occurred_and_fit() {
    assert_looks(
        drops(&mock::drops(), Some(80)),
        &[
            "reason          total worker 1 worker 2 meaning",
            "no_local_port 2000034    2000K       34 every local address has used up its",
            "                                        ports towards this server",
            "ttl_expired         1        1        0 the hop limit ran out on the way;",
            "                                        the sender was told",
            "reasons that did not occur: 1 (--json has them)",
            "",
            "no local port at towards      times",
            "10.0.0.240       10.0.0.11:80     3",
        ],
    );
    assert_looks(
        drops(&mock::drops(), Some(60)),
        &[
            "reason          total meaning",
            "no_local_port 2000034 every local address has used up its",
            "                      ports towards this server",
            "ttl_expired         1 the hop limit ran out on the way; the",
            "                      sender was told",
            "reasons that did not occur: 1 (--json has them)",
            "",
            "no local port at towards      times",
            "10.0.0.240       10.0.0.11:80     3",
        ],
    );
    let one = drops(&mock::drops(), None);
    assert!(one.contains(" 34 every local address has used up its ports towards this server\n"), "{one}");
    assert_looks(drops(&Drops::default(), Some(80)), &["no frame was dropped (0 reasons; all of them with --json)"]);
    drops(&mock::drops(), Some(0));
}

#[test]
fn neighbors_show_who_is_known() {
    assert_looks(
        neighbors(&mock::neighbors(), Some(80)),
        &[
            "address     mac               port state     origin   age",
            "192.0.2.254 02:00:00:00:00:fe wan  reachable resolved 12s",
            "fd00::11    -                 wan  probing   resolved   -",
        ],
    );
}

#[test]
fn routes_show_who_said_so() {
    assert_looks(
        routes(&mock::routes(), Some(80)),
        &[
            "destination  via         port origin",
            "0.0.0.0/0    192.0.2.254 wan  host",
            "192.0.2.0/24 -           wan  connected",
        ],
    );
}

#[test]
fn counts_take_six_characters() {
    let rows = [
        (0, "0"),
        (999_999, "999999"),
        (1_000_000, "1000K"),
        (99_999_999, "99999K"),
        (100_000_000, "100M"),
        (99_999_999_999, "99999M"),
        (100_000_000_000, "100G"),
        (u64::MAX, "18446P"),
    ];
    for (number, expect) in rows {
        assert_eq!(count(number), expect, "{number}");
    }
}

#[test]
fn ten_thousand_services_are_a_line_each() {
    let mut many = mock::services();
    many.services = many.services.iter().cycle().take(10_000).cloned().collect();
    let servers: usize = many.services.iter().map(|service| service.servers.len()).sum();
    assert_eq!(services(&many, None).lines().count(), 2 + 10_000 + servers);
}

/// The longest addresses and counts there can be, on terminals from 80 columns on: no line is longer, and each word is there.
#[test]
fn everything_fits_a_terminal() {
    const LONG: &str = "[2001:db8:1111:2222:3333:4444:5555:6666]:65535";
    let long: std::net::SocketAddr = LONG.parse().unwrap();
    let mut many = mock::services();
    for service in &mut many.services {
        service.address = service.address.map(|_| long);
        for server in &mut service.servers {
            (server.address, server.overloaded) = (long, true);
            (server.weight, server.active, server.inactive) = (i32::MAX as u32, u32::MAX, u32::MAX);
            server.traffic = crate::show::Traffic { conns: u64::MAX, in_packets: u64::MAX / 2, ..server.traffic };
        }
    }
    let mut conns = mock::conns();
    for conn in &mut conns[1..3] {
        (conn.client, conn.vip, conn.server, conn.local) = (long, long, long, Some(long));
    }
    let mut places = mock::neighbors();
    places.neighbors[0].address = long.ip();
    places.neighbors[0].port = "a-port-of-fifteen".into();
    let mut devices = mock::ports();
    devices.ports[0].name = "a-port-of-fifteen".into();
    let mut drops_and_ports = mock::drops();
    drops_and_ports.local_ports[0] =
        crate::show::LocalPortsExhausted { local: long.ip(), server: Some(long), times: u64::MAX };
    let mut busy = mock::workers();
    (busy.workers[0].received, busy.workers[0].sent) = (u64::MAX, u64::MAX);
    for width in 80..=240 {
        let columns = Some(width);
        let tables = [
            services(&many, columns),
            services(&mock::services(), columns),
            ConnTable::within(columns).lines(&conns),
            neighbors(&places, columns),
            ports(&devices, columns),
            drops(&drops_and_ports, columns),
            workers(&mock::workers()),
        ];
        for text in &tables {
            let longest = text.lines().max_by_key(|line| line.chars().count()).unwrap();
            assert!(longest.chars().count() <= width, "{width}: {} {longest}", longest.chars().count());
        }
        assert_eq!(tables[0].matches(LONG).count(), 6, "{}", tables[0]);
        assert_eq!(tables[2].matches(LONG).count(), 8, "{}", tables[2]);
    }
    assert_looks(
        ConnTable::within(Some(80)).lines(&conns[1..2]),
        &[
            "pro expire state       source",
            "                       virtual",
            "                       destination",
            "                       local",
            "UDP 04:48  UDP         [2001:db8:1111:2222:3333:4444:5555:6666]:65535",
            "                       [2001:db8:1111:2222:3333:4444:5555:6666]:65535",
            "                       [2001:db8:1111:2222:3333:4444:5555:6666]:65535",
            "                       [2001:db8:1111:2222:3333:4444:5555:6666]:65535",
        ],
    );
}
