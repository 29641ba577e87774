//! Each word of keepalived's that ends in IPVS: what the director then has is what ipvsadm saves.

use rustix::process::geteuid;
use uvs::demo::wait::wait_until;

use super::{listed, start};
use crate::director::Director;
use crate::exec::Installed;
use crate::run::QUIET;

/// A check that always succeeds.
const WELL: &str = "MISC_CHECK { misc_path \"/bin/true\"\n misc_timeout 60\n }";

/// One that never does, in a service that waits for the first success.
const ILL: &str = "MISC_CHECK { misc_path \"/bin/false\"\n misc_timeout 60\n }";

fn conf() -> String {
    let mut conf = format!(
        "virtual_server 198.51.100.30 53 {{ delay_loop 1\n lb_algo mh\n mh-port\n mh-fallback\n lvs_method TUN\n ops\n protocol UDP\n\
         real_server 192.0.2.31 53 {{ weight 3\n uthreshold 100\n lthreshold 40\n {WELL}\n }}\n\
         real_server 192.0.2.32 53 {{ lvs_method TUN type gue port 6080\n {WELL}\n }}\n\
         real_server 192.0.2.33 53 {{ lvs_method TUN type gue port 6081 remcsum\n {WELL}\n }}\n\
         real_server 192.0.2.34 53 {{ lvs_method TUN type gre csum\n {WELL}\n }}\n\
         real_server 192.0.2.35 53 {{ lvs_method DR\n {WELL}\n }}\n\
         real_server 192.0.2.36 5353 {{ lvs_method NAT\n {WELL}\n }}\n }}\n\
         virtual_server 198.51.100.31 0 {{ delay_loop 1\n lb_algo sh\n sh-fallback\n lb_kind DR\n protocol TCP\n\
         persistence_timeout 77\n persistence_granularity 255.255.255.0\n\
         real_server 192.0.2.31 0 {{ {WELL}\n }}\n }}\n\
         virtual_server 2001:db8::31 443 {{ delay_loop 1\n lb_algo rr\n lb_kind NAT\n protocol TCP\n\
         persistence_timeout 78\n persistence_granularity 64\n\
         real_server 2001:db8:1::31 8443 {{ {WELL}\n }}\n }}\n\
         virtual_server 198.51.100.32 2905 {{ delay_loop 1\n lb_algo wlc\n lb_kind NAT\n protocol SCTP\n\
         real_server 192.0.2.31 2905 {{ {WELL}\n }}\n }}\n\
         virtual_server 198.51.100.33 80 {{ delay_loop 1\n alpha\n lb_algo rr\n lb_kind NAT\n protocol TCP\n\
         sorry_server 192.0.2.39 80\n sorry_server_lvs_method DR\n\
         real_server 192.0.2.31 80 {{ {ILL}\n }}\n }}\n"
    );
    for (port, scheduler) in (1000..).zip(SCHEDULERS) {
        conf += &format!(
            "virtual_server 198.51.100.34 {port} {{ delay_loop 1\n lb_algo {scheduler}\n lb_kind NAT\n protocol TCP\n\
             real_server 192.0.2.31 80 {{ {WELL}\n }}\n }}\n"
        );
    }
    conf
}

const SCHEDULERS: [&str; 13] = ["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "mh", "sed", "nq", "fo", "ovf"];

/// In any order: ipvsadm's is by address.
fn expected() -> Vec<String> {
    let mut lines: Vec<String> = "\
-A -u 198.51.100.30:53 -s mh -o -b mh-fallback,mh-port
-a -u 198.51.100.30:53 -r 192.0.2.31:53 -i -w 3 --tun-type ipip
-a -u 198.51.100.30:53 -r 192.0.2.32:53 -i -w 1 --tun-type gue --tun-port 6080 --tun-nocsum
-a -u 198.51.100.30:53 -r 192.0.2.33:53 -i -w 1 --tun-type gue --tun-port 6081 --tun-remcsum
-a -u 198.51.100.30:53 -r 192.0.2.34:53 -i -w 1 --tun-type gre --tun-csum
-a -u 198.51.100.30:53 -r 192.0.2.35:53 -g -w 1
-a -u 198.51.100.30:53 -r 192.0.2.36:5353 -m -w 1
-A -t 198.51.100.31:0 -s sh -p 77 -M 255.255.255.0 -b sh-fallback
-a -t 198.51.100.31:0 -r 192.0.2.31:0 -g -w 1
-A -t [2001:db8::31]:443 -s rr -p 78 -M 64
-a -t [2001:db8::31]:443 -r [2001:db8:1::31]:8443 -m -w 1
-A --sctp-service 198.51.100.32:2905 -s wlc
-a --sctp-service 198.51.100.32:2905 -r 192.0.2.31:2905 -m -w 1
-A -t 198.51.100.33:80 -s rr
-a -t 198.51.100.33:80 -r 192.0.2.39:80 -g -w 1"
        .lines()
        .map(String::from)
        .collect();
    for (port, scheduler) in (1000..).zip(SCHEDULERS) {
        lines.push(format!("-A -t 198.51.100.34:{port} -s {scheduler}"));
        lines.push(format!("-a -t 198.51.100.34:{port} -r 192.0.2.31:80 -m -w 1"));
    }
    lines.sort();
    lines
}

#[test]
fn every_word_that_ends_in_ipvs() {
    if !geteuid().is_root() {
        println!("skipped: keepalived wants to be root");
        return;
    }
    let (folder, installed) = (tempfile::tempdir().unwrap(), Installed::new());
    let director = Director::start(folder.path(), "adaptive", QUIET).unwrap();
    let ipvsadm = |arguments: &str| {
        let mut uvs = installed.uvs();
        uvs.arg("--run-dir").arg(director.run_dir()).args(["--", "/usr/sbin/ipvsadm"]).args(arguments.split(' '));
        let output = uvs.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let mut lines: Vec<_> = String::from_utf8(output.stdout).unwrap().lines().map(String::from).collect();
        lines.sort();
        lines
    };
    let mut keepalived = start(&installed, director.run_dir(), folder.path(), &conf());
    let (expected, mut found) = (expected(), Vec::new());
    let waited = wait_until("the director had it all", || {
        keepalived.check_running()?;
        found = ipvsadm("-S -n");
        Ok(found == expected)
    });
    waited.unwrap_or_else(|failure| {
        panic!("{failure}\nthere is {found:#?}\nmust be {expected:#?}\n{}", keepalived.output())
    });
    // Which ipvsadm does not save.
    let thresholds = "  -> 192.0.2.31:53                100        40         0          0         ";
    let listed_them = ipvsadm("-Ln --thresholds -u 198.51.100.30:53");
    assert!(listed_them.iter().any(|line| line == thresholds), "{listed_them:#?}");
    keepalived.stop().unwrap();
    assert_eq!(listed(&director), "");
}
