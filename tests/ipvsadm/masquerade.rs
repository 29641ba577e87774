//! FullNAT by a tool that has no word for it: what `-m` means is said in the file, for all services or for some. The listings say Masq
//! as ever; what the real server gets says which it is.

use crate::director::Director;
use crate::kit::port_mac;
use crate::{NETWORK, has_ipvsadm};
use std::net::Ipv4Addr;
use uvs::wire::build::Frame;
use uvs::wire::{Ethernet, Ipv4, Mac};

const CLIENT: &str = "10.1.2.3";
const LOCAL: &str = "172.16.255.1";
const GATEWAY_MAC: Mac = Mac([2, 0, 0, 0x0c, 0, 0]);

/// Options of a service, and where a client sends.
const SERVICES: [(&str, &str, u16); 4] = [
    ("-t 10.99.0.1:80", "10.99.0.1", 80),
    ("-t 10.99.0.1:81", "10.99.0.1", 81),
    ("-u 10.99.0.1:80", "10.99.0.1", 80),
    ("-f 7", "10.99.0.7", 9),
];

fn ipvsadm(director: &mut Director, line: &str) -> String {
    let ended = director.run(&format!("ipvsadm {line}"), None, None).expect("as whoever runs the tests");
    assert_eq!((ended.status, &*ended.stderr), (0, ""), "{line}");
    ended.stdout
}

/// Who the real server thinks sent a client's packet to the service.
fn source_seen(director: &mut Director, (options, vip, port): (&str, &str, u16), client_port: u16) -> Ipv4Addr {
    let frame = Frame::between(CLIENT, vip).macs(GATEWAY_MAC, port_mac(0));
    let sent = match options.starts_with("-t") {
        true => frame.tcp((client_port, port), (1, 0), uvs::wire::tcp::SYN, b""),
        false => frame.udp(client_port, port, b"ask"),
    };
    let left = director.lab.send(0, &sent);
    assert_eq!(left.len(), 1, "{options}");
    Ipv4::of(&left[0].frame[Ethernet::BYTES..]).expect("a packet").source()
}

#[test]
fn what_masquerading_means_is_said_in_the_file() {
    if !has_ipvsadm() {
        return;
    }
    let rows = [
        ("false", [false; 4]),
        ("true", [true; 4]),
        ("[\"tcp 10.99.0.1:80\", \"fwmark 7\"]", [true, false, false, true]),
        ("[\"udp 10.99.0.1:80\"]", [false, false, true, false]),
    ];
    for (masquerade, is_full) in rows {
        let mark = "[[mark]]\nmark = 7\ndestination = \"10.99.0.7/32\"\n";
        let fullnat = format!("[fullnat]\nlocal_addresses = [\"{LOCAL}/32\"]\nmasquerade = {masquerade}\n");
        let mut director = Director::new(&format!("{NETWORK}{mark}{fullnat}"));
        for (options, ..) in SERVICES {
            ipvsadm(&mut director, &format!("-A {options} -s rr"));
            ipvsadm(&mut director, &format!("-a {options} -r 172.16.0.2:8080 -m"));
        }
        director.lab.advance(5_000);
        let seen = |director: &mut Director, client_port: u16| {
            SERVICES.map(|service| source_seen(director, service, client_port) == LOCAL.parse::<Ipv4Addr>().unwrap())
        };
        assert_eq!(seen(&mut director, 20_001), is_full, "{masquerade}");
        // Another weight leaves them what they are, and every listing says what tools have a word for.
        for (options, ..) in SERVICES {
            ipvsadm(&mut director, &format!("-e {options} -r 172.16.0.2:8080 -m -w 3"));
        }
        assert_eq!(seen(&mut director, 20_002), is_full, "{masquerade}");
        let listed = ipvsadm(&mut director, "-Ln");
        let servers: Vec<_> = listed.lines().filter(|line| line.trim_start().starts_with("-> 172.16")).collect();
        assert_eq!(servers.len(), SERVICES.len(), "{listed}");
        assert!(servers.iter().all(|line| line.contains(" Masq    3 ")), "{listed}");
        let saved = ipvsadm(&mut director, "-Sn");
        assert_eq!(saved.matches(" -m -w 3").count(), SERVICES.len(), "{saved}");
        // What was saved is made again as it was.
        ipvsadm(&mut director, "-C");
        assert_eq!(director.run("ipvsadm -R", Some(&saved), None).map(|ended| ended.status), Some(0));
        director.lab.advance(5_000);
        assert_eq!(seen(&mut director, 20_003), is_full, "{masquerade}");
    }
}
