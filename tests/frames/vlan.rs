//! A router on a stick over a capture file: clients and real servers are VLANs of one device, so each frame leaves with another
//! tag than it came with, and the rest of it is what two devices would have sent.

use crate::capture;
use crate::compare::is_announcement;
use crate::director::Director;
use control::Client;
use rustix::process::Signal;
use uvs::wire::build::Frame;
use uvs::wire::{Mac, describe};

const GATEWAY: Mac = Mac([2, 0, 0, 0, 0, 9]);
const SERVER: Mac = Mac([2, 0, 0, 0, 0, 0x11]);
const DIRECTOR: Mac = Mac([2, b'p', b'c', b'a', b'p', 0]);
const WAN: u16 = 100;
const LAN: u16 = 4094;

/// Client, VIP, real server.
const FAMILIES: [[&str; 3]; 2] =
    [["198.51.100.7", "192.0.2.10", "10.0.0.11"], ["2001:db8:7::7", "2001:db8::10", "fd00::11"]];

#[test]
fn tags_change_with_the_port() {
    let (mut inputs, mut expected) = (Vec::new(), Vec::new());
    for [client, vip, server] in FAMILIES {
        let sent = Frame::between(client, vip).macs(GATEWAY, DIRECTOR).udp(5000, 80, b"ask");
        inputs.push(tagged(WAN, &sent));
        expected
            .push(tagged(LAN, &Frame::between(client, server).macs(DIRECTOR, SERVER).ttl(63).udp(5000, 8080, b"ask")));
        let reply = Frame::between(server, client).macs(SERVER, DIRECTOR).udp(8080, 5000, b"answer");
        inputs.push(tagged(LAN, &reply));
        expected
            .push(tagged(WAN, &Frame::between(vip, client).macs(DIRECTOR, GATEWAY).ttl(63).udp(80, 5000, b"answer")));
        // Of no conn: routed.
        let own = Frame::between(server, client).macs(SERVER, DIRECTOR).udp(7, 7, b"own");
        inputs.push(tagged(LAN, &own));
        expected.push(tagged(WAN, &Frame::between(server, client).macs(DIRECTOR, GATEWAY).ttl(63).udp(7, 7, b"own")));
        // No port has that VLAN, or none at all.
        inputs.extend([tagged(101, &sent), sent]);
    }
    let mut found = through_director(&inputs);
    // Frames gather per port: only within a VLAN they keep their order.
    expected.sort_by_key(|frame| frame[15]);
    found.sort_by_key(|frame| frame[15]);
    let words = |frames: &[Vec<u8>]| frames.iter().map(|frame| describe(frame)).collect::<Vec<_>>().join("\n");
    assert!(found == expected, "\nexpected\n{}\nfound\n{}", words(&expected), words(&found));
}

fn tagged(id: u16, frame: &[u8]) -> Vec<u8> {
    [&frame[..12], &[0x81, 0], &id.to_be_bytes(), &frame[12..]].concat()
}

fn through_director(inputs: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let scratch = tempfile::tempdir().expect("a folder for temporary files");
    let (rx, tx) = (scratch.path().join("rx.pcap"), scratch.path().join("tx.pcap"));
    capture::write(&rx, inputs.iter().map(Vec::as_slice));
    let device = format!("net_pcap0,rx_pcap={},tx_pcap={}", rx.display(), tx.display());
    let mut text = format!(
        "[[port]]\nname = \"wan\"\ndevice = {device:?}\nvlan = {WAN}\naddresses = [\"192.0.2.1/24\", \"2001:db8::1/64\"]\n\
         gateway = \"192.0.2.254\"\ngateway6 = \"2001:db8::fe\"\n\
         [[port]]\nname = \"lan\"\ndevice = {device:?}\nvlan = {LAN}\naddresses = [\"10.0.0.1/24\", \"fd00::1/64\"]\n"
    );
    let neighbors = [("192.0.2.254", GATEWAY), ("2001:db8::fe", GATEWAY), ("10.0.0.11", SERVER), ("fd00::11", SERVER)];
    for (address, mac) in neighbors {
        text += &format!("[[neighbor]]\naddress = \"{address}\"\nmac = \"{mac}\"\n");
    }
    for [_, vip, server] in FAMILIES {
        let at = |address: &str, port: u16| std::net::SocketAddr::new(address.parse().expect("an address"), port);
        text += &format!(
            "[[service]]\nprotocol = \"udp\"\naddress = \"{}\"\n[[service.real_server]]\naddress = \"{}\"\nmethod = \"nat\"\n",
            at(vip, 80),
            at(server, 8080)
        );
    }
    let director = Director::start(scratch.path(), "adaptive", &text).unwrap();
    let put_in = inputs.len() as u64;
    director.ask_until("every frame came", Client::workers, |answer| answer.workers[0].received == put_in);
    let drops = director.ask(Client::drops).drops;
    let other = drops.iter().find(|drop| drop.reason == "other_vlan").map(|drop| drop.total);
    assert_eq!(other, Some(4), "{drops:?}");
    let (status, output) = director.end(Signal::TERM);
    assert!(status.success(), "{status}\n{output}");
    let frames = capture::read(&tx).into_iter().map(|frame| frame.bytes);
    frames.filter(|frame| !is_announcement(&[&frame[..12], &frame[16..]].concat())).collect()
}
