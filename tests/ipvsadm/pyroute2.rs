//! A third client, which is neither of the two tools and shares no code with them: pyroute2, of PyPI, by whose own code each request is
//! made and each answer read. What it does ipvsadm sees, and the other way round.

use crate::director::Director;
use crate::{NETWORK, has_ipvsadm};
use std::path::PathBuf;

/// Its folder, where `setup/python.sh` puts it.
fn installed() -> Option<PathBuf> {
    let here = std::env::current_exe().unwrap();
    let target = here.ancestors().nth(3).expect("a test is target/profile/deps/name");
    Some(target.join("python")).filter(|folder| folder.join("installed.txt").exists())
}

/// What ipvsadm made before.
const FOUND: [&str; 2] = [
    "-A -t 192.0.2.13:443 -s sh -b sh-port,sh-fallback",
    "-a -t 192.0.2.13:443 -r 10.0.0.14:443 -i -w 5 --tun-type gue --tun-port 6080",
];

/// What it is told, in the order of the director's lists: the newest server first.
const SEEN: &str = "\
found
af=2 protocol=6 addr=192.0.2.13 port=443 fwmark=None sched_name=sh timeout=0 netmask=255.255.255.255 flags=26
  addr=10.0.0.14 port=443 fwd_method=2 weight=5 u_thresh=0 l_thresh=0 tun_type=1 tun_port=6080
added
af=2 protocol=6 addr=192.0.2.10 port=80 fwmark=None sched_name=wrr timeout=0 netmask=255.255.255.255 flags=2
  addr=10.0.0.12 port=80 fwd_method=2 weight=2 u_thresh=0 l_thresh=0 tun_type=2 tun_port=0
  addr=10.0.0.11 port=8080 fwd_method=0 weight=3 u_thresh=9 l_thresh=4 tun_type=0 tun_port=0
af=2 protocol=6 addr=192.0.2.13 port=443 fwmark=None sched_name=sh timeout=0 netmask=255.255.255.255 flags=26
  addr=10.0.0.14 port=443 fwd_method=2 weight=5 u_thresh=0 l_thresh=0 tun_type=1 tun_port=6080
af=10 protocol=17 addr=2001:db8::10 port=53 fwmark=None sched_name=rr timeout=0 netmask=128.0.0.0 flags=2
  addr=2001:db8:1::11 port=53 fwd_method=3 weight=7 u_thresh=0 l_thresh=0 tun_type=0 tun_port=0
af=2 protocol=132 addr=192.0.2.11 port=2905 fwmark=None sched_name=wlc timeout=0 netmask=255.255.255.255 flags=2
  addr=10.0.0.13 port=2905 fwd_method=0 weight=1 u_thresh=0 l_thresh=0 tun_type=0 tun_port=0
af=2 protocol=6 addr=None port=None fwmark=5 sched_name=sh timeout=60 netmask=255.255.255.0 flags=3
edited
af=2 protocol=6 addr=192.0.2.10 port=80 fwmark=None sched_name=wlc timeout=300 netmask=255.255.255.255 flags=3
  addr=10.0.0.11 port=8080 fwd_method=0 weight=0 u_thresh=0 l_thresh=0 tun_type=0 tun_port=0
af=2 protocol=6 addr=192.0.2.13 port=443 fwmark=None sched_name=sh timeout=0 netmask=255.255.255.255 flags=26
  addr=10.0.0.14 port=443 fwd_method=2 weight=5 u_thresh=0 l_thresh=0 tun_type=1 tun_port=6080
af=10 protocol=17 addr=2001:db8::10 port=53 fwmark=None sched_name=rr timeout=0 netmask=128.0.0.0 flags=2
  addr=2001:db8:1::11 port=53 fwd_method=3 weight=7 u_thresh=0 l_thresh=0 tun_type=0 tun_port=0
af=2 protocol=6 addr=None port=None fwmark=5 sched_name=sh timeout=60 netmask=255.255.255.0 flags=3
errors
refused 17
refused 17
refused 2
refused 3
refused 3
refused 2
refused 22
refused 22
";

/// What ipvsadm is told of the same afterwards.
const LISTED: &str = "\
-A -t 192.0.2.10:80 -s wlc -p 300
-a -t 192.0.2.10:80 -r 10.0.0.11:8080 -m -w 0
-A -t 192.0.2.13:443 -s sh -b sh-fallback,sh-port
-a -t 192.0.2.13:443 -r 10.0.0.14:443 -i -w 5 --tun-type gue --tun-port 6080 --tun-nocsum
-A -u [2001:db8::10]:53 -s rr
-a -u [2001:db8::10]:53 -r [2001:db8:1::11]:53 -g -w 7
-A -f 5 -s sh -p 60 -M 255.255.255.0
";

#[test]
fn it_and_ipvsadm_see_the_same() {
    let Some(folder) = installed().filter(|_| has_ipvsadm()) else {
        println!("skipped: there is no pyroute2; run setup/python.sh");
        return;
    };
    let mut director = Director::new(NETWORK);
    for line in FOUND {
        assert_eq!(director.run(&format!("ipvsadm {line}"), None, None).unwrap().status, 0, "{line}");
    }
    let python = format!("PYTHONPATH={} PYTHONDONTWRITEBYTECODE=1 python3 -", folder.display());
    let ended = director.run(&python, Some(include_str!("pyroute2.py")), None).unwrap();
    assert_eq!((ended.status, ended.stderr.as_str()), (0, ""), "{}", ended.stdout);
    assert_eq!(ended.stdout, SEEN);
    assert_eq!(director.run("ipvsadm -S -n", None, None).unwrap().stdout, LISTED);
}
