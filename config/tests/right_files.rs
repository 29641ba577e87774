//! Right files: what each key becomes, what the defaults are, and that every example of the repository is right.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use config::{
    Config, Device, Family, Flags, HugePages, Idle, Masquerade, Matching, Method, Persistence, Protocol, Scheduler,
    Steer, Timeouts, Tunnel, VipAnswer,
};

const PORT: &str = "[[port]]\nname = \"lan\"\ndevice = \"3b:00.1\"\naddresses = [\"10.0.0.1/24\", \"fd00::1/64\"]\n";

fn parse(text: &str) -> Config {
    config::parse(&format!("{text}\n{PORT}"), "uvs.toml").unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn every_example_is_right() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut count = 0;
    for entry in fs::read_dir(folder).expect("the examples") {
        let path = entry.expect("an example").path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            config::load(&path).unwrap_or_else(|errors| panic!("{errors}"));
            count += 1;
        }
    }
    assert!(count >= 6, "only {count} examples");
}

#[test]
fn defaults() {
    let config = parse("");
    assert_eq!(config.director.workers, [1]);
    assert_eq!(config.director.conns_max, 1_000_000);
    assert_eq!(config.director.run_dir, Path::new("/run/uvs"));
    assert_eq!((config.director.idle, config.director.forward), (Idle::Adaptive, true));
    assert_eq!((config.eal.huge_pages, config.eal.memory_mb), (HugePages::Auto, 1024));
    assert_eq!(config.ports[0].device, Device::Pci("0000:3b:00.1".to_string()));
    assert_eq!((config.ports[0].mtu, config.ports[0].gateway, config.ports[0].gateway6), (1500, None, None));
    assert_eq!(config.ports[0].queues, None);
    assert_eq!(config.timeouts, Timeouts::default());
    let ipvs = &config.ipvs;
    assert_eq!((ipvs.conn_reuse_mode, ipvs.pmtu_disc, ipvs.lblc_expiration), (1, true, 86_400));
    assert_eq!((ipvs.expire_nodest_conn, ipvs.expire_quiescent_template, ipvs.sloppy_tcp), (false, false, false));
    assert!(config.services.is_empty() && config.routes.is_empty() && config.fullnat.local_addresses.is_empty());
}

/// Ports on one device, tagged and not; the devices are in the order in which the file first names them.
#[test]
fn ports_share_a_device_by_vlan() {
    let port = |name: &str, device: &str, vlan: &str, net: u8| {
        format!("[[port]]\nname = \"{name}\"\ndevice = \"{device}\"\n{vlan}\naddresses = [\"192.0.{net}.1/24\"]\n")
    };
    let text = port("wan", "0000:3b:00.0", "vlan = 100", 1)
        + &port("other", "net_tap0", "", 2)
        + &port("dmz", "3b:00.0", "vlan = 4094\nqueues = 1", 3)
        + &port("native", "3b:00.0", "", 4);
    let config = parse(&text);
    let vlans: Vec<_> = config.ports.iter().map(|port| port.vlan).collect();
    assert_eq!(vlans, [Some(100), None, Some(4094), None, None]);
    let devices: Vec<_> = config.devices().into_iter().map(|trunk| (trunk.name, trunk.ports, trunk.queues)).collect();
    let expected = [("wan+dmz+native", vec![0, 2, 3], Some(1)), ("other", vec![1], None), ("lan", vec![4], None)];
    assert_eq!(devices, expected.map(|(name, ports, queues)| (name.to_string(), ports, queues)));
}

#[test]
fn a_port_with_a_host_interface() {
    let config = parse("[[port]]\nname = \"wan\"\ndevice = \"net_null0\"\nhost = \"uvs0\"\nvip_answer = \"host\"\n");
    assert_eq!((config.ports[0].host.as_deref(), config.ports[0].vip_answer), (Some("uvs0"), VipAnswer::Host));
    let config = parse("[[port]]\nname = \"wan\"\ndevice = \"net_null0\"\n");
    assert_eq!((config.ports[0].host.as_deref(), config.ports[0].vip_answer), (None, VipAnswer::Always));
}

#[test]
fn a_service_with_everything() {
    let config = parse(
        r#"
        [[service]]
        protocol = "udp"
        address = "[2001:db8::10]:53"
        scheduler = "mh"
        flags = ["mh-port", "mh-fallback"]
        mh_table = 131071
        persistent = "1h 30m"
        netmask = 64
        one_packet = true
        steer = "source"
        [[service.real_server]]
        address = "10.0.0.11:53"
        method = "tun"
        weight = 2147483647
        upper_threshold = 10
        lower_threshold = 10
        [[service.real_server]]
        address = "[fd00::12]:5353"
        method = "nat"
        weight = 0
        "#,
    );
    let service = &config.services[0];
    let address = "[2001:db8::10]:53".parse().expect("an endpoint");
    assert_eq!(service.matching, Matching::Endpoint { protocol: Protocol::Udp, address });
    assert_eq!(service.matching.to_string(), "udp [2001:db8::10]:53");
    assert_eq!(service.scheduler, Scheduler::Mh);
    assert_eq!(service.flags, Flags { mh_port: true, mh_fallback: true, ..Flags::default() });
    assert_eq!((service.mh_table, service.one_packet, service.steer), (131_071, true, Steer::Source));
    assert_eq!(service.persistent, Some(Persistence { timeout_s: 5400, netmask: 64 }));
    let [tun, nat] = service.servers.as_slice() else { panic!("two servers") };
    assert_eq!((tun.method, tun.weight), (Method::Tun(Tunnel::Ipip), 2_147_483_647));
    assert_eq!((tun.upper_threshold, tun.lower_threshold), (10, 10));
    assert_eq!((nat.method, nat.weight, nat.address.port()), (Method::Nat, 0, 5353));
}

#[test]
fn a_marked_service_and_its_rule() {
    let config = parse(
        r#"
        [[mark]]
        destination = "192.0.2.10"
        protocol = "tcp"
        source_ports = "1024-65535"
        destination_ports = 80
        mark = 7
        [[service]]
        fwmark = 7
        persistent = "6m"
        netmask = "255.255.255.0"
        steer = "tuple"
        [[service.real_server]]
        address = "10.0.0.11"
        method = "dr"
        "#,
    );
    let mark = &config.marks[0];
    assert_eq!((mark.family(), mark.protocol, mark.mark), (Some(Family::V4), Some(Protocol::Tcp), 7));
    assert_eq!((mark.source_ports.clone(), mark.destination_ports.clone()), (Some(1024..=65535), Some(80..=80)));
    let service = &config.services[0];
    assert_eq!(service.matching, Matching::Mark { mark: 7, family: Family::V4 });
    assert_eq!(service.persistent, Some(Persistence { timeout_s: 360, netmask: 24 }));
    assert_eq!(service.steer, Steer::Tuple);
    assert_eq!(service.servers[0].address, "10.0.0.11:0".parse().expect("an endpoint"));
}

#[test]
fn local_addresses_are_all_of_the_prefixes_but_what_no_host_can_have() {
    let config = parse("[fullnat]\nlocal_addresses = [\"10.0.0.252/30\", \"10.1.0.0/31\", \"fd00::f0/127\"]");
    let expected = ["10.0.0.252", "10.0.0.253", "10.0.0.254", "10.1.0.0", "10.1.0.1", "fd00::f0", "fd00::f1"];
    let expected: Vec<IpAddr> = expected.iter().map(|address| address.parse().expect("an address")).collect();
    assert_eq!(config.fullnat.local_addresses, expected);
}

#[test]
fn masquerading_is_fullnat_nowhere_everywhere_or_at_services() {
    let endpoint =
        |protocol, address: &str| Matching::Endpoint { protocol, address: address.parse().expect("an endpoint") };
    let mark = |family| Matching::Mark { mark: 7, family };
    let of = vec![
        endpoint(Protocol::Tcp, "192.0.2.10:80"),
        endpoint(Protocol::Sctp, "[2001:db8::10]:0"),
        mark(Family::V4),
        mark(Family::V6),
    ];
    let rows = [
        ("false", Masquerade::Nat),
        ("true", Masquerade::FullNat),
        ("[]", Masquerade::Of(Vec::new())),
        ("[\"tcp 192.0.2.10:80\", \"sctp [2001:db8::10]:0\", \"fwmark 7\"]", Masquerade::Of(of)),
    ];
    for (text, expected) in rows {
        let config = parse(&format!("[fullnat]\nlocal_addresses = [\"10.0.0.252/30\"]\nmasquerade = {text}"));
        assert_eq!(config.fullnat.masquerade, expected, "{text}");
    }
}

#[test]
fn routes_and_neighbours_find_their_ports() {
    let config = parse(
        r#"
        [[port]]
        name = "wan"
        device = "net_tap0,iface=uvs-wan"
        addresses = ["192.0.2.1/24", "fe80::1/64"]
        gateway6 = "fe80::fe"
        [[neighbor]]
        address = "10.0.0.254"
        mac = "02:00:00:00:00:FE"
        [[neighbor]]
        address = "fe80::fe"
        mac = "02:00:00:00:00:01"
        port = "wan"
        [[route]]
        destination = "0.0.0.0/0"
        via = "10.0.0.254"
        "#,
    );
    assert_eq!(config.ports[0].device.to_string(), "net_tap0,iface=uvs-wan");
    assert_eq!(config.neighbors.iter().map(|neighbor| neighbor.port).collect::<Vec<_>>(), [1, 0]);
    assert_eq!(config.neighbors[0].mac.to_string(), "02:00:00:00:00:fe");
    assert_eq!(config.routes[0].port, 1);
}

#[test]
fn a_port_with_fewer_queues_than_workers() {
    let port = "[director]\nworkers = [1, 2, 3]\n[[port]]\nname = \"wan\"\ndevice = \"net_tap0\"\nqueues = 2\n";
    let config = parse(port);
    assert_eq!((config.ports[0].queues, config.ports[1].queues), (Some(2), None));
}

#[test]
fn time_outs_by_either_name() {
    let config = parse("[timeouts]\ntcp = \"15m\"\ntcp_fin_wait = \"2m\"\ntcp_syn_recv = \"24d\"");
    let expected =
        Timeouts { tcp: Some(900), tcp_fin: Some(120), tcp_syn_recv: Some(2_073_600), ..Timeouts::default() };
    assert_eq!(config.timeouts, expected);
}

#[test]
fn the_vip_may_be_an_own_address() {
    let config = parse("[[service]]\nprotocol = \"tcp\"\naddress = \"10.0.0.1:80\"");
    assert_eq!(config.services.len(), 1);
}
