//! Packets for other hosts go on as through any router: where to, with what said to the sender, and what never goes on.

use crate::kit::{Lab, Left, port_mac};
use crate::network::*;
use uvs::pipeline::Reason;
use uvs::wire::build::Frame;
use uvs::wire::{Ipv6, Mac, icmp, protocol, tcp};
use uvs::worker::held::{HELD_PER_HOP_MAX, HELD_ROUTED_MAX};
use uvs::worker::route::REDIRECTS_BURST;

/// A host behind the router, of no service.
const FAR: &str = "198.18.0.9";
const FAR6: &str = "2001:db8:18::9";

/// A NAT service per family beside the routes, so that conns and routed packets meet.
fn config() -> String {
    config_of("conns_max = 100")
}

fn config_of(director: &str) -> String {
    let service_of =
        |family: Family| service("udp", &endpoint(family.vip, 80), "") + &server(&endpoint(family.rip, 8080), "nat");
    let route = |to: &str, via: &str| format!("[[route]]\ndestination = {to:?}\nvia = {via:?}\n");
    network(director)
        + &route("10.77.0.0/16", "10.0.0.77")
        + &route("fd77::/16", "fd00:1::77")
        + &FAMILIES.map(service_of).concat()
}

/// A lab without default routes.
fn without_gateways() -> String {
    config().replace("gateway", "# gateway")
}

fn far(family: Family) -> &'static str {
    if family.name == "IPv4" { FAR } else { FAR6 }
}

fn id(frame: &[u8]) -> u16 {
    u16::from_be_bytes([frame[18], frame[19]])
}

/// An error of the director's to the real server's own packet, quoting `about`.
fn error(family: Family, left: &[u8], (v4, v6): ((u8, u8), (u8, u8)), rest: u32, about: &[u8]) -> Vec<u8> {
    let told = Frame::between(family.lan, family.rip).macs(port_mac(LAN), mac(family.rip));
    if family.name == "IPv4" {
        let quote = &about[..about.len().min(576 - 28)];
        told.tos(0xc0).dont_fragment(false).id(id(left)).icmp(v4.0, v4.1, rest, quote)
    } else {
        told.icmp(v6.0, v6.1, rest, &about[..about.len().min(1280 - 48)])
    }
}

#[test]
fn every_kind_of_packet_goes_on_unchanged_but_for_a_hop() {
    for family in FAMILIES {
        let v4 = family.name == "IPv4";
        let (echo, unreachable) = if v4 { (8, 3) } else { (128, 1) };
        let quoted = &Frame::between(far(family), family.rip).udp(7, 9, b"quoted")[14..];
        type Build<'a> = Box<dyn Fn(Frame) -> Vec<u8> + 'a>;
        let kinds: [(&str, Build); 7] = [
            ("TCP SYN", Box::new(|frame| frame.tcp((40_000, 80), (1, 0), tcp::SYN, b""))),
            ("TCP data", Box::new(|frame| frame.tcp((40_000, 80), (1, 1), tcp::ACK, b"data"))),
            ("UDP", Box::new(|frame| frame.udp(40_000, 53, b"name?"))),
            ("echo", Box::new(|frame| frame.icmp(echo, 0, 7, b"ping"))),
            ("an error about another's packet", Box::new(|frame| frame.icmp(unreachable, 1, 0, quoted))),
            ("a tunnel", Box::new(|frame| frame.packet(protocol::IPIP, b"whatever"))),
            ("SCTP", Box::new(|frame| frame.packet(protocol::SCTP, &[0; 16]))),
        ];
        let (beyond, beyond_hop, host) =
            if v4 { ("10.77.0.5", "10.0.0.77", "10.0.0.22") } else { ("fd77::5", "fd00:1::77", "fd00:1::22") };
        // From whom, by which port; to whom, by which port and next hop.
        let rows = [
            (family.rip, LAN, far(family), WAN, family.router),
            (family.client, WAN, beyond, LAN, beyond_hop),
            (family.client, WAN, host, LAN, host),
        ];
        for (from, by, to, leaves_by, hop) in rows {
            for (what, build) in &kinds {
                let mut lab = Lab::new(&config());
                let from_mac = mac(if by == WAN { family.router } else { family.rip });
                let frame =
                    |macs: (Mac, Mac), ttl| build(Frame::between(from, to).macs(macs.0, macs.1).ttl(ttl).tos(4));
                let sent = frame((from_mac, port_mac(by)), 64);
                let expected = frame((port_mac(leaves_by), mac(hop)), 63);
                let left = lab.send(by, &sent);
                assert_eq!(left, [Left { port: leaves_by, frame: expected }], "{what} from {from} to {to}");
                assert_eq!((lab.conns().len(), lab.control.counts(0).dropped_total()), (0, 0), "{what}");
            }
        }
    }
}

/// A reply of a NAT server that no conn knows any more goes on with the server's own address: there is no source NAT.
#[test]
fn replies_without_a_conn_keep_their_address() {
    for family in FAMILIES {
        let mut lab = Lab::new(&config());
        one(&mut lab, WAN, &family.client_sends().udp(40_000, 80, b"ask"), LAN);
        let reply = |port| family.server_sends(family.client).udp(8080, port, b"answer");
        let translated = family.client_gets(family.vip).ttl(63).udp(80, 40_000, b"answer");
        becomes(&mut lab, LAN, &reply(40_000), WAN, &translated);
        let routed = family.client_gets(family.rip).ttl(63).udp(8080, 40_001, b"answer");
        becomes(&mut lab, LAN, &reply(40_001), WAN, &routed);
    }
}

#[test]
fn what_cannot_go_on_is_told_to_its_sender() {
    for family in FAMILIES {
        let packet = |ttl| family.server_sends(far(family)).ttl(ttl).udp(1, 2, b"data");
        for ttl in [0, 1] {
            let mut lab = Lab::new(&config());
            let left = one(&mut lab, LAN, &packet(ttl), LAN);
            assert_eq!(
                left,
                error(family, &left, ((11, 0), (3, 0)), 0, &packet(ttl)[14..]),
                "{} TTL {ttl}",
                family.name
            );
            assert_eq!(lab.dropped(Reason::TtlExpired), 1);
        }
        // No route comes before no hop, as at the kernel.
        for ttl in [1, 64] {
            let mut lab = Lab::new(&without_gateways());
            let left = one(&mut lab, LAN, &packet(ttl), LAN);
            assert_eq!(left, error(family, &left, ((3, 0), (1, 0)), 0, &packet(ttl)[14..]), "{}", family.name);
            assert_eq!(lab.dropped(Reason::NoRoute), 1);
        }
    }
}

#[test]
fn the_next_links_mtu_counts() {
    for family in FAMILIES {
        let small = config().replacen("name = \"wan\"", "name = \"wan\"\nmtu = 1400", 1);
        let packet = |bytes: usize, fragments: bool| {
            let frame = family.server_sends(far(family)).dont_fragment(!fragments);
            frame.udp(1, 2, &vec![7; bytes - family.header_bytes - 8])
        };
        let mut lab = Lab::new(&small);
        one(&mut lab, LAN, &packet(1400, false), WAN);
        let left = one(&mut lab, LAN, &packet(1401, false), LAN);
        // Quoted as it came.
        let expected = error(family, &left, ((3, 4), (2, 0)), 1400, &packet(1401, false)[14..]);
        assert_eq!(left, expected, "{}", family.name);
        assert_eq!(lab.dropped(Reason::TooBig), 1);
        if family.name == "IPv4" {
            // A sender that does not mind has it cut.
            let left = lab.send(LAN, &packet(1401, true));
            let bytes: Vec<_> = left.iter().map(|left| (left.port, left.frame.len() - 14)).collect();
            assert_eq!(bytes, [(WAN, 1396), (WAN, 25)]);
        }
        // Both at once: the hop is told.
        let mut old = packet(1401, false);
        let at = if family.name == "IPv4" { 14 + 8 } else { 14 + 7 };
        old[at] = 1;
        if family.name == "IPv4" {
            uvs::wire::ipv4::fill_checksum(&mut old[14..]);
        }
        one(&mut lab, LAN, &old, LAN);
        assert_eq!(lab.dropped(Reason::TtlExpired), 1, "{}", family.name);
    }
}

/// An error about an error, about a later fragment or to nobody would be an answer that RFC 1122 forbids.
#[test]
fn no_error_is_made_about_an_error() {
    for family in FAMILIES {
        let mut lab = Lab::new(&without_gateways());
        let quoted = &Frame::between(far(family), family.rip).udp(7, 9, b"")[14..];
        let kind = if family.name == "IPv4" { 3 } else { 1 };
        nothing(&mut lab, LAN, &family.server_sends(far(family)).icmp(kind, 1, 0, quoted));
        nothing(&mut lab, LAN, &family.server_sends(far(family)).ttl(1).icmp(kind, 1, 0, quoted));
        assert_eq!(lab.dropped(Reason::NoRoute), 2, "{}", family.name);
    }
}

#[test]
fn what_no_router_forwards() {
    let from = |family: Family, source: &str, to: &str| {
        Frame::between(source, to).macs(mac(family.rip), port_mac(LAN)).udp(1, 2, b"data")
    };
    let routed_by_source = V4.server_sends(FAR).options(&[131, 7, 4, 10, 0, 0, 77, 0]).udp(1, 2, b"data");
    let rows: Vec<(&str, Vec<u8>, Reason)> = vec![
        ("a subnet's broadcast", from(V4, RIP, "192.0.2.255"), Reason::Unroutable),
        ("a subnet's own number", from(V4, RIP, "192.0.2.0"), Reason::Unroutable),
        ("to loopback", from(V4, RIP, "127.0.0.1"), Reason::Unroutable),
        ("to this network", from(V4, RIP, "0.0.0.7"), Reason::Unroutable),
        ("to link-local", from(V4, RIP, "169.254.7.7"), Reason::Unroutable),
        ("from link-local", from(V4, "169.254.7.7", FAR), Reason::Unroutable),
        ("source-routed", routed_by_source, Reason::Unroutable),
        ("to everybody", from(V4, RIP, "255.255.255.255"), Reason::Multicast),
        ("to a group", from(V4, RIP, "224.0.0.251"), Reason::Multicast),
        ("to a reserved address", from(V4, RIP, "250.1.2.3"), Reason::Multicast),
        ("from an own address", from(V4, V4.wan, FAR), Reason::Martian),
        ("from the VIP", from(V4, VIP, FAR), Reason::Martian),
        ("from loopback", from(V4, "127.0.0.1", FAR), Reason::Martian),
        ("to ::", from(V6, RIP6, "::"), Reason::Unroutable),
        ("to ::1", from(V6, RIP6, "::1"), Reason::Unroutable),
        ("to link-local", from(V6, RIP6, "fe80::7"), Reason::Unroutable),
        ("from link-local", from(V6, "fe80::7", FAR6), Reason::Unroutable),
        ("to a group", from(V6, RIP6, "ff0e::7"), Reason::Multicast),
    ];
    for (what, frame, reason) in rows {
        let mut lab = Lab::new(&config());
        nothing(&mut lab, LAN, &frame);
        assert_eq!((lab.dropped(reason), lab.control.counts(0).dropped_total()), (1, 1), "{what}: {}", reason.name());
    }
}

#[test]
fn forward_false_turns_it_off() {
    for family in FAMILIES {
        let mut lab = Lab::new(&config_of("conns_max = 100\nforward = false"));
        nothing(&mut lab, LAN, &family.server_sends(far(family)).udp(1, 2, b"data"));
        nothing(&mut lab, LAN, &family.server_sends(far(family)).echo_request(1, 1, b"ping"));
        assert_eq!(lab.dropped(Reason::NotForUs), 2, "{}", family.name);
        // Conns go both ways, all the same.
        one(&mut lab, WAN, &family.client_sends().udp(40_000, 80, b"ask"), LAN);
        one(&mut lab, LAN, &family.server_sends(family.client).udp(8080, 40_000, b"answer"), WAN);
    }
}

/// The network leads a marked address to the director, which may have the default route back: what starts no conn ends here.
#[test]
fn a_marked_services_packets_are_not_sent_on() {
    let text = network("conns_max = 100")
        + "[[mark]]\nmark = 1\nprotocol = \"tcp\"\ndestination = \"203.0.200.0/24\"\ndestination_ports = 80\n\
           [ipvs]\nexpire_nodest_conn = 1\n[[service]]\nfwmark = 1\n"
        + &server(&endpoint(RIP, 0), "dr");
    let mut lab = Lab::new(&text);
    let packet =
        |to, flags| Frame::between(CLIENT, to).macs(mac(ROUTER), port_mac(WAN)).tcp((1, 80), (1, 1), flags, b"");
    nothing(&mut lab, WAN, &packet("203.0.200.1", tcp::ACK));
    assert_eq!(lab.dropped(Reason::NotForUs), 1);
    one(&mut lab, WAN, &packet("203.0.200.1", tcp::SYN), LAN);
    one(&mut lab, WAN, &packet("203.0.201.1", tcp::ACK), WAN);
    // Nor does a conn whose server was removed give its packets back.
    let (key, address) = {
        let (service, servers) = lab.control.book().list().next().unwrap();
        (service.key, servers[0].address())
    };
    lab.control.delete_server(key, address).unwrap();
    lab.settle();
    nothing(&mut lab, WAN, &packet("203.0.200.1", tcp::ACK));
    assert_eq!((lab.dropped(Reason::NotForUs), lab.conns().len()), (2, 0));
}

/// A packet waits until its next hop answers; if that never does, its sender is told.
#[test]
fn a_next_hop_is_asked_for_and_waited_for() {
    for family in FAMILIES {
        let host = if family.name == "IPv4" { "10.0.0.99" } else { "fd00:1::99" };
        let from_client =
            |port| Frame::between(family.client, host).macs(mac(family.router), port_mac(WAN)).udp(port, 2, b"");
        let mut lab = Lab::new(&config());
        one(&mut lab, WAN, &from_client(1), LAN);

        lab.hosts_answer = false;
        let silent = if family.name == "IPv4" { "10.0.0.98" } else { "fd00:1::98" };
        let lost =
            |port| Frame::between(family.client, silent).macs(mac(family.router), port_mac(WAN)).udp(port, 2, b"");
        for port in 1..=2 {
            nothing(&mut lab, WAN, &lost(port));
        }
        assert_eq!(lab.control.counts(0).held, 2);
        let told: Vec<_> = lab.advance(5_000);
        assert_eq!(shown(&told).len(), 2, "{}: {:?}", family.name, shown(&told));
        for (left, port) in told.iter().zip(1..) {
            let mut about = lost(port)[14..].to_vec();
            assert!(uvs::rewrite::ttl::decrement(&mut about));
            let from = family.client_gets(family.wan);
            let expected = match family.name {
                "IPv4" => from.tos(0xc0).dont_fragment(false).id(id(&left.frame)).icmp(3, 1, 0, &about),
                _ => from.icmp(1, 3, 0, &about),
            };
            assert_eq!(left.frame, expected, "{}", family.name);
        }
        assert_eq!(lab.dropped(Reason::NeighborFailed), 2);
        // From now on at once.
        assert_eq!(lab.send(WAN, &lost(3)).len(), 1, "{}", family.name);
    }
}

/// A scan of a connected subnet fills no more than its share of the places for frames that wait.
#[test]
fn a_scan_leaves_room_for_conns() {
    let mut lab = Lab::new(&config());
    lab.hosts_answer = false;
    let hosts = (1..=250).filter(|last| ![1, 11, 240].contains(last));
    for (host, port) in hosts.flat_map(|host| (0..2).map(move |port| (host, port))) {
        let to = format!("10.0.0.{host}");
        lab.cables[WAN].put(&Frame::between(CLIENT, &to).macs(mac(ROUTER), port_mac(WAN)).udp(port, 2, b""));
    }
    lab.settle();
    assert_eq!(lab.control.counts(0).held, HELD_ROUTED_MAX as u64);
    assert!(lab.dropped(Reason::HeldFull) > 0 && HELD_ROUTED_MAX > HELD_PER_HOP_MAX);
}

/// A host that sends by the director what it could send itself is told of the better next hop, and its packet goes on.
#[test]
fn redirects_go_to_who_can_use_them() {
    // The sender; for whom; the next hop that it is told of.
    let rows: [(&str, &str, Option<&str>); 7] = [
        ("10.0.0.22", "10.0.0.33", Some("10.0.0.33")),
        ("10.0.0.22", "10.77.1.1", Some("10.0.0.77")),
        ("10.88.0.1", "10.77.1.1", None),
        (RIP, "10.77.1.1", None),
        ("fd00:1::22", "fd00:1::33", Some("fd00:1::33")),
        ("fd00:1::22", "fd77::1", None),
        (RIP6, "fd00:1::33", None),
    ];
    for (from, to, told) in rows {
        let mut lab = Lab::new(&config());
        let sent = Frame::between(from, to).macs(mac(from), port_mac(LAN)).udp(1, 2, b"by you?");
        // The first one may wait for its next hop, and is no reason to tell anybody anything.
        lab.send(LAN, &sent);
        let left = lab.send(LAN, &sent);
        assert!(left.iter().all(|left| left.port == LAN));
        let (redirects, routed): (Vec<_>, Vec<_>) = left.iter().partition(|left| left.frame[..6] == mac(from).0);
        assert_eq!(routed.len(), 1, "{from} to {to}: {:?}", shown(&left));
        let mut about = sent[14..].to_vec();
        assert!(uvs::rewrite::ttl::decrement(&mut about));
        let expected = told.map(|target| match ip(target) {
            std::net::IpAddr::V4(v4) => {
                let from =
                    Frame::between("10.0.0.1", from).macs(port_mac(LAN), mac(from)).tos(0xc0).dont_fragment(false);
                from.id(id(&redirects[0].frame)).icmp(5, 1, v4.to_bits(), &about)
            }
            std::net::IpAddr::V6(v6) => {
                about.truncate(about.len() / 8 * 8);
                let destination = ip(to);
                let std::net::IpAddr::V6(destination) = destination else { panic!() };
                let option =
                    [&[2, 1], &mac(target).0[..], &[4, 1 + (about.len() / 8) as u8, 0, 0, 0, 0, 0, 0]].concat();
                let body = [&v6.octets()[..], &destination.octets(), &option, &about].concat();
                let from = Frame::between("fe80::ff:fe00:101", from).macs(port_mac(LAN), mac(from)).ttl(255);
                from.icmp(icmp::v6::REDIRECT, 0, 0, &body)
            }
        });
        assert_eq!(
            redirects.iter().map(|left| left.frame.clone()).collect::<Vec<_>>(),
            Vec::from_iter(expected),
            "{from} to {to}"
        );
    }
    // No more than so many, while every packet goes on.
    let mut lab = Lab::new(&config());
    let sent = Frame::between("10.0.0.22", "10.77.1.1").macs(mac("10.0.0.22"), port_mac(LAN)).udp(1, 2, b"");
    lab.send(LAN, &sent);
    (0..200).for_each(|_| lab.cables[LAN].put(&sent));
    let left = lab.settle();
    let redirects = left.iter().filter(|left| left.frame[14 + 9] == protocol::ICMP).count();
    assert_eq!((redirects, left.len() - redirects), (REDIRECTS_BURST as usize - 1, 200));
}

/// A router that the file names by its link-local address is what an IPv6 host is told.
#[test]
fn a_link_local_router_is_named_in_redirects() {
    let text = network("conns_max = 100").replace("gateway6 = \"2001:db8::fe\"", "gateway6 = \"fe80::fe\"");
    let mut lab = Lab::new(&text);
    let sent = Frame::between("2001:db8::22", FAR6).macs(mac("2001:db8::22"), port_mac(WAN)).udp(1, 2, b"by you?");
    lab.send(WAN, &sent);
    let left = lab.send(WAN, &sent);
    let redirect = left.iter().find(|left| left.frame[..6] == mac("2001:db8::22").0).expect("a redirect");
    checksums_are_right(&redirect.frame);
    let at = 14 + Ipv6::BYTES + 8;
    assert_eq!(redirect.frame[at..at + 16], "fe80::fe".parse::<std::net::Ipv6Addr>().unwrap().octets());
}

/// Whichever worker has the frame: routing has no state.
#[test]
fn any_number_of_workers() {
    for workers in 1..=4usize {
        let lcores: Vec<_> = (1..=workers).map(|lcore| lcore.to_string()).collect();
        let mut lab = Lab::new(&config_of(&format!("conns_max = 100\nworkers = [{}]", lcores.join(", "))));
        for family in FAMILIES {
            for worker in 0..workers {
                for port in 1..=20 {
                    let sent = family.server_sends(far(family)).udp(port, 2, b"data");
                    lab.cables[worker * 2 + LAN].put(&sent);
                    let left = lab.settle();
                    let mut expected = family.server_sends(far(family)).ttl(63).udp(port, 2, b"data");
                    expected[..6].copy_from_slice(&mac(family.router).0);
                    expected[6..12].copy_from_slice(&port_mac(WAN).0);
                    assert_eq!(left, [Left { port: WAN, frame: expected }], "worker {worker} of {workers}");
                }
            }
        }
    }
}
