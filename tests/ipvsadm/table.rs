//! A table of thousands of rules: saved, cleared and restored it is the same.

use crate::director::Director;
use crate::{NETWORK, has_ipvsadm};
use std::fmt::Write;

const SERVICES: usize = 400;
const SERVERS: usize = 4;

#[test]
fn saved_cleared_and_restored_it_is_the_same() {
    if !has_ipvsadm() {
        return;
    }
    let mut director = Director::new(NETWORK);
    let mut rules = String::new();
    for service in 0..SERVICES {
        let vip = format!("10.99.{}.{}:80", service / 250, 1 + service % 250);
        let scheduler = ["rr", "wlc", "sh", "mh"][service % 4];
        let _ = writeln!(rules, "-A -t {vip} -s {scheduler}");
        for server in 0..SERVERS {
            let method = ["-m", "-g", "-i --tun-type ipip"][server % 3];
            let (method, tunnel) = method.split_once(' ').unwrap_or((method, ""));
            let weight = 1 + (service + server) % 9;
            let rule =
                format!("-a -t {vip} -r 172.16.{}.{}:80 {method} -w {weight} {tunnel}", 1 + server, 1 + service % 250);
            let _ = writeln!(rules, "{}", rule.trim_end());
        }
    }
    // In parts that a pipe takes at once; all rules of a service in one.
    let lines: Vec<_> = rules.lines().collect();
    let restore = |director: &mut Director| {
        for part in lines.chunks(100 * (SERVERS + 1)) {
            let ended = director.run("ipvsadm -R", Some(&(part.join("\n") + "\n")), None).unwrap();
            assert_eq!((ended.status, ended.stderr), (0, String::new()));
        }
    };
    restore(&mut director);
    let saved = director.run("ipvsadm -S -n", None, None).unwrap().stdout;
    assert_eq!(saved, rules);
    assert_eq!(director.run("ipvsadm -C", None, None).unwrap().status, 0);
    assert_eq!(director.run("ipvsadm -S -n", None, None).unwrap().stdout, "");
    restore(&mut director);
    assert_eq!(director.run("ipvsadm -S -n", None, None).unwrap().stdout, saved);
}
