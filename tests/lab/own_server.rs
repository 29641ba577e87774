//! A real server that is the director itself, by DR or TUN: its packets go to the host as they came, and what the host says goes
//! out as it is. Who listens nowhere answers as the kernel's host does (recorded: `tests/golden`).

use crate::kit::Lab;
use crate::network::*;
use conntrack::Method;
use uvs::neigh::HostNetwork;
use uvs::pipeline::Reason;
use uvs::wire::tcp;

const CPORT: u16 = 40_000;

fn lab(family: Family, method: &str) -> Lab {
    let text = network("conns_max = 100").replacen("name = \"wan\"", "name = \"wan\"\nhost = \"uvs0\"", 1);
    let own = server(&endpoint(family.wan, 80), method);
    let config = text + &service("tcp", &endpoint(family.vip, 80), "scheduler = \"rr\"") + &own;
    let mut lab = Lab::new(&config);
    let bits = if family.name == "IPv4" { 32 } else { 128 };
    let carried = format!("{}/{bits}", family.vip).parse().unwrap();
    lab.host_has(HostNetwork { addresses: vec![(0, carried)], ..HostNetwork::default() });
    // What it heard of neighbours so far.
    lab.host_got();
    lab
}

#[test]
fn the_host_gets_its_packets_as_they_came() {
    for family in [V4, V6] {
        for method in ["dr", "tun"] {
            let what = format!("{} {method}", family.name);
            let mut lab = lab(family, method);
            for (flags, state_after) in [(tcp::SYN, "SYN_RECV"), (tcp::ACK, "ESTABLISHED")] {
                // Not even the last hop is taken.
                let sent = family.client_sends().ttl(1).tcp((CPORT, 80), (1, 1), flags, b"");
                nothing(&mut lab, WAN, &sent);
                let got = lab.host_got();
                assert_eq!(got.len(), 1, "{what}");
                assert_eq!((got[0].port, &got[0].frame), (WAN, &sent), "{what}");
                assert_eq!(state(&lab), state_after, "{what}");
            }
            assert_eq!((conn(&lab).method(), counts(&lab)), (Method::Local, (1, 0)), "{what}");
            assert_eq!(lab.dropped(Reason::NoRoute), 0, "{what}");
        }
    }
}
