//! A table of thousands of rules, of every kind: saved, cleared, restored and saved again it is the same.

use crate::director::Director;
use crate::{NETWORK, has_ipvsadm};
use std::fmt::Write;

const SERVICES: usize = 600;
const SERVERS: usize = 4;

/// As ipvsadm says it when it saves.
fn service(index: usize) -> (String, bool) {
    let (net, host) = (1 + index / 250, 1 + index % 250);
    let (v4, v6) = (format!("10.99.{net}.{host}:80"), format!("[fd99::{net:x}:{host:x}]:80"));
    match index % 6 {
        0 => (format!("-t {v4}"), false),
        1 => (format!("-u {v4}"), false),
        2 => (format!("--sctp-service {v6}"), true),
        3 => (format!("-t {v6}"), true),
        4 => (format!("-f {}", 1 + index), false),
        _ => (format!("-f {} -6", 1 + index), true),
    }
}

fn rules() -> String {
    let mut rules = String::new();
    for index in 0..SERVICES {
        let (name, is_v6) = service(index);
        let kind = ["rr", "wlc", "sh -b sh-port", "mh -p 77", "rr -p 360", "wrr"][index / 6 % 6];
        let _ = writeln!(rules, "-A {name} -s {kind}");
        let port = if name.starts_with("-f") { 0 } else { 80 };
        for server in 0..SERVERS {
            let (net, host) = (1 + server, 1 + index % 250);
            let address = if is_v6 { format!("[fd16::{net}:{host:x}]") } else { format!("172.16.{net}.{host}") };
            let (method, tunnel) = [
                ("-m", ""),
                ("-g", ""),
                ("-i", " --tun-type ipip"),
                ("-i", " --tun-type gue --tun-port 6080 --tun-remcsum"),
            ][server];
            let weight = 1 + (index + server) % 9;
            let _ = writeln!(rules, "-a {name} -r {address}:{port} {method} -w {weight}{tunnel}");
        }
    }
    rules
}

fn sorted(rules: &str) -> Vec<&str> {
    let mut lines: Vec<_> = rules.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn saved_cleared_and_restored_it_is_the_same() {
    if !has_ipvsadm() {
        return;
    }
    let mut director = Director::new(NETWORK);
    let rules = rules();
    // In parts that a pipe takes at once; all rules of a service in one.
    let lines: Vec<_> = rules.lines().collect();
    for part in lines.chunks(100 * (SERVERS + 1)) {
        let ended = director.run("ipvsadm -R", Some(&(part.join("\n") + "\n")), None).unwrap();
        assert_eq!((ended.status, ended.stderr), (0, String::new()));
    }
    let saved = director.run("ipvsadm -S -n", None, None).unwrap().stdout;
    assert_eq!(sorted(&saved), sorted(&rules));
    // As a person does it.
    let line = "saved=$(ipvsadm -S -n) && ipvsadm -C && ipvsadm -S -n && echo cleared && \
                echo \"$saved\" | ipvsadm -R && ipvsadm -S -n";
    let again = director.run(line, None, None).unwrap();
    assert_eq!((again.status, again.stderr.as_str()), (0, ""));
    assert!(again.stdout == format!("cleared\n{saved}"), "{}", again.stdout);
}
