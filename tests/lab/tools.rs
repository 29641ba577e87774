//! What `ipvsadm` and `keepalived` have the director do, in their protocol: it reaches the workers, lives beside the file's services by
//! one rule, and outlives the director (`kept`).

mod kept;

use crate::kit::Lab;
use crate::network::*;
use ipvs_netlink::{
    Daemon, DaemonState, Edit, Errno, Family as Af, Flags, FlagsTold, ForwardMethod, Ipvs, RealServerTold, Rights,
    ServiceId, ServiceTold, Session, Timeouts, Tunnel,
};
use std::net::SocketAddr;
use uvs::director::Control;
use uvs::pipeline::Now;
use uvs::wire::tcp;

const SECOND: &str = "198.51.100.11:80";
/// Clients of that service.
const OF_TOOLS: Family = Family { vip: "198.51.100.11", ..V4 };

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn tcp_at(text: &str) -> ServiceId {
    ServiceId::Endpoint { protocol: 6, address: address(text) }
}

fn told(scheduler: &str) -> ServiceTold {
    let flags = FlagsTold::all(Flags::default());
    ServiceTold { scheduler: Some(scheduler.into()), engine: None, flags, timeout_s: 0, netmask: u32::MAX }
}

fn persistent(timeout_s: u32, netmask: u32) -> ServiceTold {
    ServiceTold { flags: FlagsTold::all(Flags::PERSISTENT), timeout_s, netmask, ..told("rr") }
}

fn masq(weight: u32) -> RealServerTold {
    let (method, tunnel) = (ForwardMethod::Masquerade, Tunnel::Ipip);
    RealServerTold { method, tunnel, weight, upper_threshold: 0, lower_threshold: 0 }
}

fn method(method: ForwardMethod) -> RealServerTold {
    RealServerTold { method, ..masq(1) }
}

fn edit(lab: &mut Lab, edit: Edit) {
    lab.control.edit(&edit).unwrap_or_else(|error| panic!("{edit:?}: {error}"));
    lab.settle();
}

/// The file's one service.
fn base() -> String {
    network("conns_max = 1000")
        + &service("tcp", "198.51.100.10:80", "scheduler = \"rr\"")
        + &server("10.0.0.11:80", "nat")
}

fn parse(text: &str) -> config::Config {
    config::parse(text, "lab.toml").unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

fn control(text: &str) -> Control {
    Control::new(parse(text), &[[2, 0, 0, 0, 1, 0], [2, 0, 0, 0, 1, 1]], 1, Now::from_ms(1_000)).unwrap().0
}

/// A service as tools are told of it, with its real servers.
type Told = (ServiceId, ServiceTold, Vec<(SocketAddr, RealServerTold)>);

/// Everything that tools are told, but what was counted.
fn table(ipvs: &impl Ipvs) -> Vec<Told> {
    let servers =
        |id: &ServiceId| ipvs.real_servers(id).iter().map(|server| (server.address, server.told)).collect::<Vec<_>>();
    let service = |id: ServiceId| (id, ipvs.service(&id).unwrap().told, servers(&id));
    ipvs.services().into_iter().map(service).collect()
}

fn segment(port: u16, flags: u8) -> Vec<u8> {
    OF_TOOLS.client_sends().tcp((port, 80), (5, 9), flags, b"")
}

/// The bytes of a tool go in, packets go through, and what is counted comes out.
#[test]
fn what_a_tool_makes_forwards() {
    let mut lab = Lab::new(&base());
    let mut requests = Vec::new();
    Edit::AddService(tcp_at(SECOND), told("wlc")).put_request(1, &mut requests);
    Edit::AddServer(tcp_at(SECOND), address("10.0.0.12:8080"), masq(3)).put_request(2, &mut requests);
    let mut session = Session::default();
    session.take(&requests);
    let mut errors = Vec::new();
    while let Some(packet) = session.next_packet(&mut lab.control, Rights::Edit) {
        errors.push(i32::from_ne_bytes(packet[16..20].try_into().unwrap()));
    }
    assert_eq!(errors, [0, 0]);
    lab.advance(1_000);
    one(&mut lab, WAN, &segment(1_000, tcp::SYN), LAN);
    one(&mut lab, WAN, &segment(1_000, tcp::ACK), LAN);
    one(&mut lab, WAN, &segment(1_001, tcp::SYN), LAN);
    one(&mut lab, WAN, &segment(1_001, tcp::FIN | tcp::ACK), LAN);
    lab.advance(1_000);
    let [server] = &lab.control.real_servers(&tcp_at(SECOND))[..] else { panic!() };
    assert_eq!((server.active, server.inactive, server.persistent), (1, 1, 0));
    assert_eq!((server.stats.conns, server.stats.inbound_packets, server.stats.inbound_bytes), (2, 4, 160));
    let service = lab.control.service(&tcp_at(SECOND)).unwrap();
    assert_eq!(service.stats, server.stats);
    assert_eq!(service.told.flags.flags, Flags::HASHED);

    for _ in 0..100 {
        one(&mut lab, WAN, &segment(1_000, tcp::ACK), LAN);
    }
    lab.advance(2_000);
    let rates = |lab: &Lab| lab.control.service(&tcp_at(SECOND)).unwrap().stats.inbound_packets_per_s;
    assert_ne!(rates(&lab), 0);
    edit(&mut lab, Edit::Zero(Some(tcp_at(SECOND))));
    assert_eq!(rates(&lab), 0);
    assert_eq!(lab.control.service(&tcp_at(SECOND)).unwrap().stats.conns, 0);
    one(&mut lab, WAN, &segment(1_000, tcp::ACK), LAN);
    lab.advance(1_000);
    let stats = lab.control.service(&tcp_at(SECOND)).unwrap().stats;
    assert_eq!((stats.conns, stats.inbound_packets), (0, 1), "counted from the zero on");

    edit(&mut lab, Edit::EditServer(tcp_at(SECOND), address("10.0.0.12:8080"), masq(0)));
    assert!(lab.send(WAN, &segment(1_002, tcp::SYN)).iter().all(|left| left.port == WAN), "weight 0");
    one(&mut lab, WAN, &segment(1_000, tcp::ACK), LAN);
    edit(&mut lab, Edit::DeleteServer(tcp_at(SECOND), address("10.0.0.12:8080")));
    nothing(&mut lab, WAN, &segment(1_000, tcp::ACK));
}

#[test]
fn edits_are_refused_with_the_kernels_errors() {
    let (web, none) = (tcp_at("198.51.100.10:80"), tcp_at(SECOND));
    let (rip, other) = (address("10.0.0.11:80"), address("10.0.0.12:80"));
    let mark = ServiceId::Mark { mark: 7, family: Af::V6 };
    let engine = ServiceTold { engine: Some("sip".into()), ..told("rr") };
    let daemon = |interface: &str| {
        Edit::StartDaemon(Daemon {
            state: DaemonState::Master,
            interface: interface.into(),
            sync_id: 0,
            message_bytes_max: 0,
            group: "224.0.0.81".parse().unwrap(),
            port: 8848,
            ttl: 1,
        })
    };
    let to = |text: &str| Edit::AddServer(web, address(text), masq(1));
    let rows = [
        ("a service twice", Edit::AddService(web, told("rr")), Err(Errno::EXIST)),
        ("a service twice, of no scheduler there is", Edit::AddService(web, told("nosuch")), Err(Errno::EXIST)),
        ("a scheduler that there is not", Edit::AddService(none, told("nosuch")), Err(Errno::NOENT)),
        ("no scheduler", Edit::AddService(none, ServiceTold { scheduler: None, ..told("") }), Ok(())),
        ("a persistence engine", Edit::AddService(none, engine), Err(Errno::NOENT)),
        ("ICMP", Edit::AddService(ServiceId::Endpoint { protocol: 1, address: rip }, told("rr")), Err(Errno::INVAL)),
        ("a local address", Edit::AddService(tcp_at("10.0.0.240:80"), told("rr")), Err(Errno::INVAL)),
        ("edits of no service", Edit::EditService(none, told("rr")), Err(Errno::SRCH)),
        ("its removal", Edit::DeleteService(mark), Err(Errno::SRCH)),
        ("its zero", Edit::Zero(Some(none)), Err(Errno::SRCH)),
        ("its server", Edit::AddServer(none, rip, masq(1)), Err(Errno::SRCH)),
        ("a server twice", Edit::AddServer(web, rip, masq(9)), Err(Errno::EXIST)),
        ("no server to edit", Edit::EditServer(web, other, masq(9)), Err(Errno::NOENT)),
        ("no server to remove", Edit::DeleteServer(web, other), Err(Errno::NOENT)),
        ("no address", to("0.0.0.0:80"), Err(Errno::INVAL)),
        ("broadcast", to("255.255.255.255:80"), Err(Errno::INVAL)),
        ("multicast", to("224.0.0.1:80"), Err(Errno::INVAL)),
        ("the host itself", to("127.0.0.1:80"), Ok(())),
        ("the VIP itself", to("198.51.100.10:80"), Ok(())),
        ("any VIP", Edit::AddService(tcp_at("0.0.0.0:80"), told("rr")), Ok(())),
        ("a multicast VIP", Edit::AddService(tcp_at("224.0.0.1:80"), told("rr")), Ok(())),
        ("a mark without a rule", Edit::AddService(mark, told("mh")), Ok(())),
        ("a daemon of no interface", daemon("nosuch"), Err(Errno::NODEV)),
        ("a daemon", daemon("wan"), Err(Errno::NOPROTOOPT)),
        ("no daemon", Edit::StopDaemon(DaemonState::Backup), Err(Errno::SRCH)),
    ];
    for (name, edit, expected) in rows {
        let mut lab = Lab::new(&base());
        let before = table(&lab.control);
        assert_eq!(lab.control.edit(&edit), expected, "{name}");
        assert_eq!(table(&lab.control) == before, expected.is_err(), "{name}");
        lab.settle();
    }
}

#[test]
fn tables_tell_what_was_told() {
    let mut lab = Lab::new(&network("conns_max = 1000"));
    let full = |scheduler: &str, flags: u32, timeout_s, netmask| ServiceTold {
        flags: FlagsTold::all(Flags(flags | 2)),
        timeout_s,
        netmask,
        ..told(scheduler)
    };
    let tunnel = |tunnel| RealServerTold { method: ForwardMethod::Tunnel, tunnel, ..masq(1) };
    let gue = Tunnel::Gue { port: 6080, csum: false, remcsum: true };
    let udp = |text| ServiceId::Endpoint { protocol: 17, address: address(text) };
    let mark = ServiceId::Mark { mark: u32::MAX, family: Af::V6 };
    let expected = vec![
        (tcp_at("10.99.0.1:21"), full("sh", 0x39, 600, 0xffff_ff00), vec![(address("172.16.0.2:21"), masq(0))]),
        (
            tcp_at("10.99.0.1:87"),
            full("rr", 1, 2_678_400, 24),
            vec![
                (address("172.16.0.3:87"), RealServerTold { upper_threshold: 100, lower_threshold: 40, ..masq(1) }),
                (address("172.16.0.2:87"), method(ForwardMethod::Route)),
            ],
        ),
        (udp("10.99.0.1:53"), full("wrr", 4, 0, u32::MAX), vec![(address("[fd16::2]:53"), tunnel(Tunnel::Ipip))]),
        (udp("[fd99::1]:53"), full("nq", 0, 0, 128), vec![(address("10.0.0.7:53"), tunnel(gue))]),
        (mark, full("mh", 0x11, 300, 64), vec![(address("[fd16::2]:0"), tunnel(Tunnel::Gre { csum: true }))]),
    ];
    for (id, told, servers) in &expected {
        edit(&mut lab, Edit::AddService(*id, told.clone()));
        servers.iter().rev().for_each(|(rip, told)| edit(&mut lab, Edit::AddServer(*id, *rip, *told)));
    }
    assert_eq!(table(&lab.control), expected);
    // Only what the mask says changes.
    let flags = FlagsTold { flags: Flags(0x10), mask: 0x18 };
    edit(&mut lab, Edit::EditService(tcp_at("10.99.0.1:21"), ServiceTold { flags, ..expected[0].1.clone() }));
    let told = lab.control.service(&tcp_at("10.99.0.1:21")).unwrap().told;
    assert_eq!(told.flags.flags, Flags(0x33));
}

/// ipvsadm takes 0.0.0.24 for a mask, and so does the kernel.
#[test]
fn any_bits_may_be_a_netmask() {
    let mut lab = Lab::new(&network("conns_max = 1000"));
    edit(&mut lab, Edit::AddService(tcp_at(SECOND), persistent(100, 0x0000_0001)));
    for rip in ["10.0.0.11:80", "10.0.0.12:80"] {
        edit(&mut lab, Edit::AddServer(tcp_at(SECOND), address(rip), masq(1)));
    }
    lab.advance(1_000);
    let mut server_of = |host: u8| {
        let frame = OF_TOOLS.client_at(&format!("203.0.{}.{host}", host / 3)).tcp((9, 80), (5, 9), tcp::SYN, b"");
        one(&mut lab, WAN, &frame, LAN)[33]
    };
    let (even, odd) = (server_of(2), server_of(3));
    assert_ne!(even, odd);
    for host in 4..40 {
        assert_eq!(server_of(host), if host % 2 == 0 { even } else { odd }, "{host}");
    }
    assert_eq!(lab.control.real_servers(&tcp_at(SECOND)).iter().map(|server| server.persistent).sum::<u32>(), 2);
}

#[test]
fn masquerading_means_fullnat_where_the_file_says_so() {
    // The network's description ends with [fullnat].
    let fullnat = |more: &str| network("conns_max = 1000").replace(", \"fd00:1::f0/128\"", "") + more;
    let v6 = address("[2001:db8:99::10]:80");
    let rows = [
        (String::new(), [false, false]),
        ("masquerade = true\n".into(), [true, true]),
        (format!("masquerade = [\"tcp {SECOND}\"]\n"), [true, false]),
        (format!("masquerade = [\"udp {SECOND}\", \"tcp {v6}\", \"fwmark 7\"]\n"), [false, true]),
        ("masquerade = []\n".into(), [false, false]),
    ];
    for (text, is_full) in rows {
        let mut lab = Lab::new(&fullnat(&text));
        edit(&mut lab, Edit::AddService(tcp_at(SECOND), told("rr")));
        edit(&mut lab, Edit::AddServer(tcp_at(SECOND), address("10.0.0.12:8080"), masq(1)));
        lab.advance(1_000);
        let frame = one(&mut lab, WAN, &segment(1_000, tcp::SYN), LAN);
        let source = std::net::Ipv4Addr::from_octets(frame[26..30].try_into().unwrap());
        assert_eq!(source.octets().starts_with(&[10, 0, 0]), is_full[0], "{text}: {source}");
        let [server] = &lab.control.real_servers(&tcp_at(SECOND))[..] else { panic!() };
        assert_eq!(server.told.method, ForwardMethod::Masquerade);
        let marked = ServiceId::Mark { mark: 7, family: ipvs_netlink::Family::V6 };
        for service in [ServiceId::Endpoint { protocol: 6, address: v6 }, marked] {
            edit(&mut lab, Edit::AddService(service, ServiceTold { netmask: 128, ..told("rr") }));
            let added = lab.control.edit(&Edit::AddServer(service, address("[fd00::11]:80"), masq(1)));
            assert_eq!(added, if is_full[1] { Err(Errno::INVAL) } else { Ok(()) }, "{text}: no local address of IPv6");
        }
    }
}

/// What masquerading means may change by a reload: for servers that are added or changed from then on.
#[test]
fn a_reload_changes_what_masquerading_means() {
    let before = network("conns_max = 1000");
    let after = before.clone() + &format!("masquerade = [\"tcp {SECOND}\"]\n");
    let mut lab = Lab::new(&before);
    edit(&mut lab, Edit::AddService(tcp_at(SECOND), told("rr")));
    edit(&mut lab, Edit::AddServer(tcp_at(SECOND), address("10.0.0.12:8080"), masq(1)));
    lab.control.apply(parse(&after)).unwrap();
    edit(&mut lab, Edit::AddServer(tcp_at(SECOND), address("10.0.0.13:8080"), masq(1)));
    let methods = |lab: &Lab| -> Vec<_> {
        let (_, servers) = lab.control.book().list().next().unwrap();
        servers.iter().map(|listed| listed.server.method).collect()
    };
    let [full, nat] = [conntrack::Method::FullNat, conntrack::Method::Nat];
    assert_eq!(methods(&lab), [full, nat], "the newest first");
    edit(&mut lab, Edit::EditServer(tcp_at(SECOND), address("10.0.0.12:8080"), masq(2)));
    lab.control.apply(parse(&before)).unwrap();
    edit(&mut lab, Edit::EditServer(tcp_at(SECOND), address("10.0.0.13:8080"), masq(2)));
    assert_eq!(methods(&lab), [full, full], "one that is FullNAT stays so");
}

/// A weight that a tool changes leaves a FullNAT server of the file what it is.
#[test]
fn a_fullnat_server_stays_one() {
    let text = network("conns_max = 1000") + &service("tcp", SECOND, "") + &server("10.0.0.12:8080", "fullnat");
    let mut lab = Lab::new(&text);
    edit(&mut lab, Edit::EditServer(tcp_at(SECOND), address("10.0.0.12:8080"), masq(7)));
    let (_, servers) = lab.control.book().list().next().unwrap();
    assert_eq!((servers[0].server.method, servers[0].server.weight), (conntrack::Method::FullNat, 7));
}

/// A reload rewrites the file's services and no others; clearing clears all.
#[test]
fn services_of_the_file_and_of_tools_live_by_one_rule() {
    let mut lab = Lab::new(&base());
    let as_the_file_says = table(&lab.control);
    let (web, tools) = (tcp_at("198.51.100.10:80"), tcp_at(SECOND));
    edit(&mut lab, Edit::AddService(tools, told("wrr")));
    edit(&mut lab, Edit::AddServer(tools, address("10.0.0.12:80"), masq(1)));
    edit(&mut lab, Edit::EditService(web, told("sh")));
    edit(&mut lab, Edit::AddServer(web, address("10.0.0.13:80"), masq(1)));
    edit(&mut lab, Edit::DeleteServer(web, address("10.0.0.11:80")));
    let by_tools = table(&lab.control);
    assert_ne!(by_tools[0], as_the_file_says[0]);
    assert_eq!(lab.control.apply(parse(&base())).unwrap().set_back.len(), 1);
    lab.settle();
    assert_eq!(table(&lab.control), [as_the_file_says[0].clone(), by_tools[1].clone()]);

    edit(&mut lab, Edit::Flush);
    assert_eq!(table(&lab.control), []);
    lab.control.apply(parse(&base())).unwrap();
    lab.settle();
    assert_eq!(table(&lab.control), as_the_file_says, "what tools made is gone, what the file says is there");

    // What a tool made and a file names afterwards is the file's, and goes with it.
    edit(&mut lab, Edit::AddService(tools, told("wrr")));
    let both = base() + &service("tcp", SECOND, "scheduler = \"lc\"") + &server("10.0.0.12:80", "nat");
    lab.control.apply(parse(&both)).unwrap();
    assert_eq!(lab.control.service(&tools).unwrap().told.scheduler.as_deref(), Some("lc"));
    lab.control.apply(parse(&base())).unwrap();
    assert_eq!(table(&lab.control), as_the_file_says);
}

#[test]
fn timeouts_are_a_tools_until_a_file_names_them() {
    let timeouts = |tcp, tcp_fin, udp| Timeouts { tcp, tcp_fin, udp };
    let named = base() + "[timeouts]\nudp = \"10s\"\n";
    let mut lab = Lab::new(&named);
    assert_eq!(lab.control.timeouts(), timeouts(900, 120, 10));
    edit(&mut lab, Edit::SetTimeouts(timeouts(1_000, 0, 200)));
    assert_eq!(lab.control.timeouts(), timeouts(1_000, 120, 200));
    lab.control.apply(parse(&named)).unwrap();
    assert_eq!(lab.control.timeouts(), timeouts(1_000, 120, 10));
    lab.control.apply(parse(&base())).unwrap();
    assert_eq!(lab.control.timeouts(), timeouts(1_000, 120, 300));
}
