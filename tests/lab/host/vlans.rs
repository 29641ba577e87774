//! Host interfaces of VLANs, two on one device: the host sees no tags, the wire sees the right ones, and each VLAN has its own.

use super::*;
use crate::kit::{with_tag, without_tag};
use uvs::pipeline::Reason;
use uvs::wire::{arp, nd};

/// The VLANs of wan and lan.
const IDS: [u16; 2] = [100, 200];
/// The only device.
const STICK: usize = 0;

fn lab_on_a_stick(workers: &str) -> Lab {
    let both = config_with(&format!("workers = {workers}\nconns_max = 500"), "vlan = 100").replacen(
        "device = \"net_null1\"",
        "device = \"net_null0\"\nhost = \"uvs1\"\nvlan = 200",
        1,
    );
    let mut lab = Lab::new(&both);
    let own = FAMILIES.map(|family| format!("{}/{}", host_address(family), prefix(family)));
    lab.host_has(carrying(&own.each_ref().map(String::as_str)));
    lab.host_got();
    lab
}

/// A frame as it is on the wire: `id` with the three bits of priority before it.
fn tagged(id: u16, frame: &[u8]) -> Vec<u8> {
    with_tag(&[[0x81, 0], id.to_be_bytes()].concat(), frame.to_vec())
}

/// What a routing daemon says to all others on its link.
fn hello(from: &str) -> Vec<u8> {
    let (group, mac) = match ip(from).is_ipv4() {
        true => ("224.0.0.5", [1, 0, 0x5e, 0, 0, 5]),
        false => ("ff02::5", [0x33, 0x33, 0, 0, 0, 5]),
    };
    let mut frame = Frame::between(from, group).ttl(1).packet(89, &[2; 24]);
    frame[..6].copy_from_slice(&mac);
    frame
}

#[test]
fn the_host_gets_what_is_its_vlans_without_the_tag() {
    for (family, workers) in FAMILIES.into_iter().flat_map(|family| [(family, "[1]"), (family, "[1, 2, 3]")]) {
        let mut lab = lab_on_a_stick(workers);
        let (udp, from_lan) = (to(family, host_address(family)).udp(40_000, 179, b"?"), hello(family.rip));
        // Description, on the wire, the port that the host gets it by.
        let rows = [
            ("for its address", tagged(IDS[WAN], &udp), Some((WAN, &udp))),
            ("the same with a priority", tagged(0x6000 | IDS[WAN], &udp), Some((WAN, &udp))),
            ("a group on the other VLAN", tagged(IDS[LAN], &from_lan), Some((LAN, &from_lan))),
            ("a VLAN that is nobody's", tagged(300, &udp), None),
            ("no VLAN", udp.clone(), None),
        ];
        for (what, frame, expected) in rows {
            for worker in 0..lab.workers.len() {
                lab.put_to(worker, STICK, &frame);
                assert_eq!(lab.settle(), [], "{}: {what}", family.name);
                let expected: Vec<_> =
                    expected.iter().map(|(port, frame)| Left { port: *port, frame: frame.to_vec() }).collect();
                assert_eq!(lab.host_got(), expected, "{}: {what}", family.name);
            }
        }
        assert_eq!(lab.dropped(Reason::OtherVlan), 2 * lab.workers.len() as u64);
    }
}

#[test]
fn what_the_host_sends_leaves_with_the_tag() {
    for workers in ["[1]", "[1, 2, 3]"] {
        let mut lab = lab_on_a_stick(workers);
        let frame = |from: &str, to: &str| Frame::between(from, to).macs(port_mac(STICK), mac(to)).udp(179, 179, b"");
        for family in FAMILIES {
            for (port, to) in [(WAN, family.router), (LAN, family.rip)] {
                let sent = frame(host_address(family), to);
                assert!(lab.host_sends(port, &sent));
                let left = lab.settle();
                assert_eq!(left, [Left { port: STICK, frame: tagged(IDS[port], &sent) }], "{workers} to {to}");
            }
        }
    }
}

/// Whoever asks for an address that the host carries is answered on the VLAN that the question came by.
#[test]
fn the_hosts_address_is_answered_on_its_vlan() {
    for family in FAMILIES {
        let mut lab = lab_on_a_stick("[1]");
        let asker = mac(family.router);
        let asks = match (ip(family.router), ip(host_address(family))) {
            (std::net::IpAddr::V4(from), std::net::IpAddr::V4(target)) => arp::request((asker, from), target),
            (std::net::IpAddr::V6(from), std::net::IpAddr::V6(target)) => nd::solicitation((asker, from), target),
            _ => unreachable!("two families"),
        };
        let left = everything_left(&mut lab, STICK, &tagged(IDS[WAN], &asks));
        assert_eq!(left.len(), 1, "{}: {:?}", family.name, shown(&left));
        let (tag, answer) = without_tag(&left[0].frame);
        assert_eq!((&tag[2..], &answer[..6]), (&IDS[WAN].to_be_bytes()[..], &asker.0[..]), "{}", family.name);
        assert_eq!(lab.host_got(), [], "{}", family.name);
    }
}
