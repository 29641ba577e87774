//! Rates of services and real servers: steady traffic is what they come to, and no traffic, too. The steps between are the kernel's
//! (`services/estimator.rs`).

use crate::kit::Lab;
use crate::network::*;
use uvs::director::Answering;
use uvs::services::live::TrafficCounts;

/// What the director shows: of the first service, and of each of its servers. Conns, packets and bytes in, packets and bytes out.
type Shown = (Rate, Vec<Rate>);
type Rate = (u64, u64, u64, u64, u64);

fn file(ipvs: &str) -> String {
    let base = network("conns_max = 10000") + &format!("[ipvs]\n{ipvs}\n");
    let service = service("udp", "198.51.100.10:80", "scheduler = \"rr\"");
    base + &service + &server("10.0.0.11:80", "nat") + &server("10.0.0.12:80", "nat")
}

fn reload(lab: &mut Lab, ipvs: &str) {
    let config = config::parse(&file(ipvs), "new.toml").unwrap_or_else(|errors| panic!("{errors}"));
    lab.control.apply(config).unwrap();
    lab.settle();
}

fn shown(lab: &mut Lab) -> Shown {
    let ports = control::show::Ports::default;
    let services = control::Director::services(&Answering { control: &mut lab.control, ports: &ports }).services;
    let rate = |of: control::show::Traffic| (of.conns, of.in_packets, of.in_bytes, of.out_packets, of.out_bytes);
    (rate(services[0].rates), services[0].servers.iter().map(|server| rate(server.rates)).collect())
}

/// So many seconds with ten new flows each, of 128 bytes there and twice back, evenly to two servers.
fn traffic(lab: &mut Lab, seconds: u16, port: &mut u16) {
    for _ in 0..seconds * 10 {
        *port += 1;
        let left = lab.send(WAN, &V4.client_sends().udp(*port, 80, &[0; 100]));
        let rip = std::net::Ipv4Addr::from(<[u8; 4]>::try_from(&left[0].frame[30..34]).unwrap()).to_string();
        let reply = uvs::wire::build::Frame::between(&rip, CLIENT);
        let reply = reply.macs(crate::kit::host_mac(rip.parse().unwrap()), crate::kit::port_mac(LAN));
        for _ in 0..2 {
            lab.send(LAN, &reply.udp(80, *port, &[0; 100]));
        }
        lab.advance_in_steps(100, 100);
    }
}

#[test]
fn steady_traffic_is_the_rate() {
    let mut lab = Lab::new(&file(""));
    let mut port = 1_000;
    traffic(&mut lab, 80, &mut port);
    assert_eq!(shown(&mut lab), ((10, 10, 1280, 20, 2560), vec![(5, 5, 640, 10, 1280); 2]));
    assert_eq!(
        lab.control.rates_of_all(),
        TrafficCounts { conns: 10, in_packets: 10, in_bytes: 1280, out_packets: 20, out_bytes: 2560 }
    );
    // Not estimated: as it was, whatever happens.
    reload(&mut lab, "run_estimation = 0");
    lab.advance(20_000);
    assert_eq!(shown(&mut lab).0, (10, 10, 1280, 20, 2560));
    // Less and less, and in the end nothing.
    reload(&mut lab, "run_estimation = 1");
    lab.advance(60_000);
    assert_eq!(shown(&mut lab), ((0, 0, 0, 0, 0), vec![(0, 0, 0, 0, 0); 2]));
}
