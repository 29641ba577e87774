//! FullNAT is not in the kernel, so no recording says what leaves. What must leave is built here: the client's packet from a
//! local address to the real server. The local port is the director's choice and read from the frame; replies to it are the
//! lab's matter, for a capture file must be written before the port is known.

use crate::capture;
use crate::compare::is_announcement;
use crate::director::Director;
use control::Client;
use rustix::process::Signal;
use std::collections::BTreeSet;
use uvs::wire::build::Frame;
use uvs::wire::tcp::SYN;
use uvs::wire::{Ethernet, Mac, describe};

const CLIENTS: u16 = 20;
const GATEWAY: Mac = Mac([2, 0, 0, 0, 0, 9]);
const SERVER: Mac = Mac([2, 0, 0, 0, 0, 0x11]);
const DIRECTOR: Mac = Mac([2, b'p', b'c', b'a', b'p', 0]);
const PORT_MIN: u16 = 1024;

#[test]
fn the_server_sees_a_local_address() {
    // Client, VIP, local address, real server; the length of the IP header.
    let rows = [
        (["198.51.100.7", "192.0.2.10", "192.0.2.240", "192.0.2.11"], 20),
        (["2001:db8:7::7", "2001:db8::10", "2001:db8::f0", "2001:db8::11"], 40),
    ];
    for (addresses, ip_bytes) in rows {
        let [client, vip, local, server] = addresses;
        let packet = |source: &str, destination: &str, ttl, ports| {
            let macs = if destination == vip { (GATEWAY, DIRECTOR) } else { (DIRECTOR, SERVER) };
            Frame::between(source, destination).macs(macs.0, macs.1).ttl(ttl).tcp(ports, (1000, 0), SYN, b"")
        };
        let inputs: Vec<_> = (0..CLIENTS).map(|at| packet(client, vip, 64, (5000 + at, 80))).collect();
        let outputs = through_director(&inputs, addresses);
        assert_eq!(outputs.len(), inputs.len(), "{client}");
        let mut ports = BTreeSet::new();
        for frame in &outputs {
            let at = Ethernet::BYTES + ip_bytes;
            let port = u16::from_be_bytes([frame[at], frame[at + 1]]);
            let expect = packet(local, server, 63, (port, 8080));
            assert_eq!(frame, &expect, "\nexpected {}\nfound    {}", describe(&expect), describe(frame));
            ports.insert(port);
        }
        assert_eq!(ports.len(), outputs.len(), "each conn has a port of its own: {ports:?}");
        assert!(ports.first() >= Some(&PORT_MIN), "{ports:?}");
    }
}

fn through_director(inputs: &[Vec<u8>], [_, vip, local, server]: [&str; 4]) -> Vec<Vec<u8>> {
    let scratch = tempfile::tempdir().expect("a folder for temporary files");
    let (rx, tx) = (scratch.path().join("rx.pcap"), scratch.path().join("tx.pcap"));
    capture::write(&rx, inputs.iter().map(Vec::as_slice));
    let at = |address: &str, port: u16| std::net::SocketAddr::new(address.parse().expect("an address"), port);
    let text = format!(
        "[[port]]\nname = \"arm\"\ndevice = \"net_pcap0,rx_pcap={},tx_pcap={}\"\n\
         addresses = [\"192.0.2.1/24\", \"2001:db8::1/64\"]\ngateway = \"192.0.2.254\"\ngateway6 = \"2001:db8::fe\"\n\
         [fullnat]\nlocal_addresses = [\"{local}\"]\n\
         [[neighbor]]\naddress = \"{server}\"\nmac = \"{SERVER}\"\n\
         [[service]]\nprotocol = \"tcp\"\naddress = \"{}\"\nscheduler = \"rr\"\n\
         [[service.real_server]]\naddress = \"{}\"\nmethod = \"fullnat\"\n",
        rx.display(),
        tx.display(),
        at(vip, 80),
        at(server, 8080)
    );
    let director = Director::start(scratch.path(), "adaptive", &text).unwrap();
    let put_in = inputs.len() as u64;
    director.ask_until("every frame came", Client::workers, |answer| answer.workers[0].received == put_in);
    let (status, output) = director.end(Signal::TERM);
    assert!(status.success(), "{status}\n{output}");
    let frames = capture::read(&tx).into_iter().map(|frame| frame.bytes);
    frames.filter(|frame| !is_announcement(frame)).collect()
}
