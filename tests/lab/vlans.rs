//! Several ports on one device, told apart by VLAN tags: each method, both families, on a router on a stick; what comes untagged,
//! with a priority only, or with a tag that nobody has; what the director says itself.

use crate::fragments::{joined, pieces};
use crate::kit::{Lab, Left, port_mac, with_tag, without_tag};
use crate::network::*;
use uvs::pipeline::Reason;
use uvs::wire::build::Frame;
use uvs::wire::tcp;

/// The clients' VLAN and the servers'.
const WAN_ID: u16 = 100;
const LAN_ID: u16 = 200;
/// The only device.
const STICK: usize = 0;

/// The network with both ports on one device, and services of every method.
fn stick(wan: &str, lan: &str) -> String {
    let network = network("conns_max = 1000")
        .replacen("device = \"net_null0\"", &format!("device = \"net_null0\"\n{wan}"), 1)
        .replacen("device = \"net_null1\"", &format!("device = \"net_null0\"\n{lan}"), 1);
    let services = FAMILIES.map(|family| {
        let of = |(n, method): (usize, &str)| {
            let port = 80 + n as u16;
            service("udp", &endpoint(family.vip, port), "") + &server(&endpoint(family.rip, port), method)
        };
        ["nat", "dr", "tun", "fullnat"].into_iter().enumerate().map(of).collect::<String>()
    });
    network + &services.concat()
}

fn tagged_stick() -> String {
    stick("vlan = 100", "vlan = 200")
}

fn tag(id: u16) -> Vec<u8> {
    [[0x81, 0], id.to_be_bytes()].concat()
}

fn tagged(id: u16, frame: Vec<u8>) -> Vec<u8> {
    with_tag(&tag(id), frame)
}

/// A frame as the same traffic has it on two devices, where the second device has another MAC.
fn on_the_stick(id: u16, frame: &[u8]) -> Vec<u8> {
    let other = port_mac(LAN).0;
    let mut frame = frame.to_vec();
    for at in [0, 6] {
        if frame[at..at + 6] == other {
            frame[at..at + 6].copy_from_slice(&port_mac(WAN).0);
        }
    }
    tagged(id, frame)
}

/// What two devices without VLANs send, one device with VLANs sends with tags: byte for byte, every method and family, both ways.
#[test]
fn the_same_as_on_two_devices_but_for_the_tags() {
    let two_devices = tagged_stick()
        .replacen("device = \"net_null0\"\nvlan = 200", "device = \"net_null1\"", 1)
        .replacen("vlan = 100", "", 1);
    let (mut plain, mut stick) = (Lab::new(&two_devices), Lab::new(&tagged_stick()));
    for family in FAMILIES {
        for port in 80..84 {
            let ask = family.client_sends().udp(40_000, port, b"ask");
            let expected = one(&mut plain, WAN, &ask, LAN);
            let left = stick.send(STICK, &tagged(WAN_ID, ask));
            let mut expected_there = on_the_stick(LAN_ID, &expected);
            same_tunnel_id(&mut expected_there, &left[0].frame);
            assert_eq!(left, [Left { port: STICK, frame: expected_there }], "{} port {port}", family.name);
            let reply = match port {
                80 => family.server_sends(family.client).udp(80, 40_000, b"answer"),
                83 => {
                    let local =
                        u16::from_be_bytes([expected[14 + family.header_bytes], expected[15 + family.header_bytes]]);
                    family.server_sends(family.lip).udp(83, local, b"answer")
                }
                _ => continue,
            };
            let expected = one(&mut plain, LAN, &reply, WAN);
            let left = stick.send(STICK, &on_the_stick(LAN_ID, &reply));
            assert_eq!(
                left,
                [Left { port: STICK, frame: on_the_stick(WAN_ID, &expected) }],
                "{} port {port}",
                family.name
            );
        }
        // A router on a stick.
        let routed = family.server_sends(family.client).tcp((1, 2), (3, 4), tcp::ACK, b"data");
        let expected = one(&mut plain, LAN, &routed, WAN);
        let left = stick.send(STICK, &on_the_stick(LAN_ID, &routed));
        assert_eq!(left, [Left { port: STICK, frame: on_the_stick(WAN_ID, &expected) }], "{}", family.name);
    }
    let (conns, counts) = (stick.conns().len(), stick.control.counts(0));
    assert_eq!((conns, counts.dropped_total()), (8, 0));
}

/// A tunnel header's identification is random.
fn same_tunnel_id(expected: &mut [u8], found: &[u8]) {
    if expected[18] == 0x45 && expected[18 + 9] == 4 && expected.len() == found.len() {
        expected[22..24].copy_from_slice(&found[22..24]);
        uvs::wire::ipv4::fill_checksum(&mut expected[18..]);
    }
}

/// The director's own words have the tag of the port that they leave by; ARP and ND are answered per VLAN.
#[test]
fn own_answers_are_tagged() {
    let mut lab = Lab::new(&tagged_stick());
    for family in FAMILIES {
        let kind = if family.name == "IPv4" { 8 } else { 128 };
        let ask =
            |from: &str, to: &str| Frame::between(from, to).macs(mac(from), port_mac(STICK)).icmp(kind, 0, 7, b"ping");
        for (id, from, to) in
            [(WAN_ID, family.router, family.wan), (LAN_ID, family.rip, family.lan), (LAN_ID, family.rip, family.vip)]
        {
            let left = lab.send(STICK, &tagged(id, ask(from, to)));
            assert_eq!(left.len(), 1, "{from} asks {to}: {:?}", shown(&left));
            let (found, frame) = without_tag(&left[0].frame);
            assert_eq!((found, &frame[..6]), (tag(id), &mac(from).0[..]), "{from} asks {to}");
            checksums_are_right(&frame);
        }
        // Too old to go on: told on the VLAN that it came by.
        let old =
            Frame::between(family.rip, family.client).macs(mac(family.rip), port_mac(STICK)).ttl(1).udp(1, 2, b"");
        let left = lab.send(STICK, &tagged(LAN_ID, old));
        assert_eq!(without_tag(&left[0].frame).0, tag(LAN_ID));
    }
}

/// A trunk with a native VLAN: frames without a tag, and frames whose tag says a priority only, are the plain port's.
#[test]
fn a_plain_port_beside_a_tagged_one() {
    let mut lab = Lab::new(&stick("", "vlan = 200"));
    let ask = |port| V4.client_sends().udp(port, 80, b"ask");
    for (port, frame) in [(1, ask(1)), (2, tagged(0, ask(2))), (3, tagged(0xe000, ask(3)))] {
        let left = lab.send(STICK, &frame);
        assert_eq!(left.len(), 1, "{port}");
        assert_eq!(without_tag(&left[0].frame).0, tag(LAN_ID), "{port}");
    }
    let reply = tagged(LAN_ID | 0x6000, V4.server_sends(CLIENT).macs(mac(RIP), port_mac(STICK)).udp(80, 1, b"answer"));
    let left = lab.send(STICK, &reply);
    assert_eq!(without_tag(&left[0].frame).0, [0; 0], "back without a tag");
    assert_eq!(lab.conns().len(), 3);
}

#[test]
fn tags_that_nobody_has() {
    let udp = || V4.client_sends().udp(40_000, 80, b"ask");
    let arp = |id| {
        let (std::net::IpAddr::V4(from), std::net::IpAddr::V4(to)) = (ip(ROUTER), ip(V4.wan)) else { panic!() };
        tagged(id, uvs::wire::arp::request((mac(ROUTER), from), to))
    };
    let rows: Vec<(&str, String, Vec<u8>, Option<Reason>)> = vec![
        ("another id", tagged_stick(), tagged(101, udp()), Some(Reason::OtherVlan)),
        ("the greatest id", tagged_stick(), tagged(4095, udp()), Some(Reason::OtherVlan)),
        ("none, where each port has one", tagged_stick(), udp(), Some(Reason::OtherVlan)),
        ("a priority only, where each port has one", tagged_stick(), tagged(0, udp()), Some(Reason::OtherVlan)),
        ("ARP with another id", tagged_stick(), arp(101), Some(Reason::OtherVlan)),
        ("two tags", tagged_stick(), tagged(WAN_ID, tagged(LAN_ID, udp())), Some(Reason::OtherEtherType)),
        ("a service tag", tagged_stick(), with_tag(&[0x88, 0xa8, 0, 100], udp()), Some(Reason::OtherVlan)),
        ("half a tag", tagged_stick(), tagged(WAN_ID, udp())[..15].to_vec(), Some(Reason::OtherVlan)),
        ("nothing behind the tag", tagged_stick(), tagged(WAN_ID, udp())[..16].to_vec(), Some(Reason::Truncated)),
        ("any, where no port has one", network("conns_max = 10"), tagged(WAN_ID, udp()), Some(Reason::OtherEtherType)),
        ("ARP with the right id", tagged_stick(), arp(WAN_ID), None),
    ];
    for (what, config, frame, reason) in rows {
        let mut lab = Lab::new(&config);
        nothing(&mut lab, STICK, &frame);
        let counted: Vec<_> = Reason::ALL.iter().filter(|reason| lab.dropped(**reason) > 0).collect();
        assert_eq!(counted, Vec::from_iter(&reason), "{what}");
    }
}

/// Each port has its MTU; the tag is not part of a packet.
#[test]
fn each_port_has_its_mtu() {
    let mut lab = Lab::new(&stick("vlan = 100\nmtu = 1400", "vlan = 200"));
    let packet = |bytes: usize| {
        let frame = V4.server_sends("198.18.0.9").macs(mac(RIP), port_mac(STICK));
        tagged(LAN_ID, frame.udp(1, 2, &vec![0; bytes - 28]))
    };
    let left = lab.send(STICK, &packet(1400));
    assert_eq!((left.len(), left[0].frame.len()), (1, 14 + 4 + 1400));
    lab.send(STICK, &packet(1401));
    assert_eq!(lab.dropped(Reason::TooBig), 1);
}

/// A frame whose device left no room for a tag.
#[test]
fn no_room_for_a_tag() {
    let mut lab = Lab::new(&stick("", "vlan = 200"));
    lab.cables[STICK].set_headroom(3);
    nothing(&mut lab, STICK, &V4.client_sends().udp(40_000, 80, b"ask"));
    assert_eq!(lab.dropped(Reason::NoHeadroom), 1);
    lab.cables[STICK].set_headroom(4);
    assert_eq!(lab.send(STICK, &V4.client_sends().udp(40_000, 80, b"ask")).len(), 1);
}

/// Frames that one worker hands to another have no tag any more, and get one where they leave.
#[test]
fn several_workers() {
    let mut lab = Lab::new(&tagged_stick().replacen("conns_max", "workers = [1, 2, 3]\nconns_max", 1));
    for client in 1..=30u16 {
        let worker = usize::from(client) % 3;
        lab.cables[worker].put(&tagged(WAN_ID, V4.client_sends().udp(client, 80, b"ask")));
        let left = lab.settle();
        assert_eq!((left.len(), without_tag(&left[0].frame).0), (1, tag(LAN_ID)));
        let reply = V4.server_sends(CLIENT).macs(mac(RIP), port_mac(STICK)).udp(80, client, b"answer");
        lab.cables[(worker + 1) % 3].put(&tagged(LAN_ID, reply));
        let left = lab.settle();
        assert_eq!((left.len(), without_tag(&left[0].frame).0), (1, tag(WAN_ID)));
    }
    assert_eq!(lab.conns().len(), 30);
}

/// Fragments too: they meet at one worker, their packet goes to another, is cut again, and each part has its tag.
#[test]
fn fragments_at_several_workers() {
    let mut lab = Lab::new(&tagged_stick().replacen("conns_max", "workers = [1, 2, 3]\nconns_max", 1));
    for family in FAMILIES {
        for client in 1..=12u16 {
            let ask = family.client_sends().dont_fragment(false).udp(client, 80, &[7; 2_000]);
            for (at, piece) in pieces(&ask, &[1_200], client.into()).into_iter().enumerate() {
                lab.cables[(usize::from(client) + at) % 3].put(&tagged(WAN_ID, piece));
            }
            let plain = |left: Left| {
                let (found, frame) = without_tag(&left.frame);
                assert_eq!(found, tag(LAN_ID), "{}", family.name);
                Left { port: left.port, frame }
            };
            let left: Vec<_> = lab.settle().into_iter().map(plain).collect();
            assert_eq!(left.len(), 2, "{}", family.name);
            let whole = joined(&left);
            assert_eq!(whole[14 + family.header_bytes + 8..], [7; 2_000], "{}", family.name);
        }
    }
    assert_eq!(lab.conns().len(), 24);
    assert!((0..3).all(|worker| lab.control.counts(worker).handed_in > 0), "packets were handed to every worker");
}
