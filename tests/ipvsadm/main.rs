//! Debian's ipvsadm, as it is, drives the director by the preload library: every command that was recorded of the kernel is run, and its
//! output, its errors and its exit status are compared. `GOLDEN_DIR` names another folder of such recordings.
//!
//! Needs ipvsadm and util-linux; a case as another user needs root, one by a third client what `setup/python.sh` installs.

mod director;
mod facts;
#[path = "../lab/kit.rs"]
mod kit;
#[path = "../../preload/tests/library.rs"]
#[allow(dead_code)] // The library's own tests start programs with it.
mod library;
mod masquerade;
mod pyroute2;
mod table;
mod traffic;

use director::Director;
use facts::{Fact, comparable, counted, expected, facts, is_left_out};
use traffic::Recorder;

/// The recorder's network (`tests/golden/README.md`), without a service; one with marks that nobody has.
const NETWORK: &str = r#"
    [director]
    conns_max = 20000
    [[port]]
    name = "c1"
    device = "net_null0"
    addresses = ["192.168.0.1/24", "fdc0::1/64"]
    gateway = "192.168.0.254"
    gateway6 = "fdc0::fe"
    [[port]]
    name = "s1"
    device = "net_null1"
    addresses = ["172.16.0.1/16", "fd16::1/64"]
"#;

/// Is the tool there? Without it the tests say so and show nothing.
pub fn has_ipvsadm() -> bool {
    let found = ["/sbin/ipvsadm", "/usr/sbin/ipvsadm"].iter().any(|path| std::path::Path::new(path).exists());
    if !found {
        println!("skipped: there is no ipvsadm; install the packages of setup/packages.txt");
    }
    found
}

/// Runs a command of a recording, unless it is left out, and compares; differences are told all at once.
fn check(director: &mut Director, fact: &Fact, wrong: &mut Vec<String>) {
    if let Some(why) = is_left_out(fact) {
        println!("left out: {}: {why}", fact.cmd);
        return;
    }
    let Some(ended) = director.run(&fact.cmd, fact.stdin.as_deref(), fact.uid) else {
        println!("left out: {}: as another user; needs root", fact.cmd);
        return;
    };
    let (found, expected) = (comparable(fact, ended), expected(fact));
    if found != expected {
        wrong.push(format!("$ {}\n--- the kernel\n{expected:#?}\n--- here\n{found:#?}", fact.cmd));
    }
}

fn none(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "{} commands differ:\n{}", wrong.len(), wrong.join("\n\n"));
}

fn replay(name: &str, config: &str, before: &[&str]) {
    if !has_ipvsadm() {
        return;
    }
    let mut director = Director::new(config);
    for line in before {
        assert_eq!(director.run(&format!("ipvsadm {line}"), None, None).unwrap().status, 0, "{line}");
    }
    let mut wrong = Vec::new();
    facts(name).iter().for_each(|fact| check(&mut director, fact, &mut wrong));
    none(wrong);
}

#[test]
fn an_empty_director() {
    replay("empty", NETWORK, &[]);
}

#[test]
fn timeouts() {
    replay("timeouts", NETWORK, &[]);
}

#[test]
fn daemons_are_refused() {
    replay("daemon", NETWORK, &[]);
}

#[test]
fn what_an_edit_leaves_as_it_was() {
    replay("edit-semantics", NETWORK, &[]);
}

#[test]
fn errors() {
    let before = [
        "-A -t 10.99.0.1:80 -s rr",
        "-a -t 10.99.0.1:80 -r 172.16.0.2:80 -m",
        "-A -u 10.99.0.1:53 -s rr",
        "-A -f 5 -s rr",
    ];
    replay("errors", NETWORK, &before);
}

/// What the other recordings leave: each option by both its names, each command at every kind of service, every combination of listings,
/// what people mistype, `ipvsadm-save` and `ipvsadm-restore`.
#[test]
fn options() {
    replay("options", NETWORK, &[]);
}

/// Every listing of many kinds of services, with the recorded traffic.
#[test]
fn listings() {
    if !has_ipvsadm() {
        return;
    }
    let mut director = Director::new(NETWORK);
    let mut wrong = Vec::new();
    let all = facts("rich");
    let (edits, listings): (Vec<_>, Vec<_>) =
        all.iter().partition(|fact| fact.cmd.contains(" -A ") || fact.cmd.contains(" -a "));
    for edit in edits {
        check(&mut director, edit, &mut wrong);
        // The service is there for the listings, without its engine.
        let plain = edit.cmd.replace(" --pe sip", "");
        if plain != edit.cmd {
            assert_eq!(director.run(&plain, None, None).unwrap().status, 0);
        }
    }
    director.lab.advance(5_000);
    Recorder::new(&mut director.lab, &counted(&all)).rich();
    director.lab.settle();
    // What followed after the rates were recorded had other traffic before it.
    let until = listings.iter().position(|fact| fact.cmd.contains("--zero")).unwrap();
    listings[..until].iter().for_each(|fact| check(&mut director, fact, &mut wrong));
    assert_eq!(director.run("ipvsadm --zero", None, None).unwrap(), Default::default());
    for fact in listings[until + 1..].iter() {
        check(&mut director, fact, &mut wrong);
    }
    none(wrong);
}

/// Counters that are printed with K and M.
#[test]
fn large_counters() {
    if !has_ipvsadm() {
        return;
    }
    let mut director = Director::new(NETWORK);
    for line in ["-A -u 10.99.0.1:53 -s rr", "-a -u 10.99.0.1:53 -r 172.16.0.2 -m"] {
        assert_eq!(director.run(&format!("ipvsadm {line}"), None, None).unwrap().status, 0);
    }
    director.lab.advance(5_000);
    let all = facts("stats-big");
    let counted = counted(&all);
    let mut recorder = Recorder::new(&mut director.lab, &counted);
    // As many as the kernel took of the recorder's.
    let (_, [inbound, _]) = counted.iter().find(|(endpoint, _)| endpoint.port() == 53).unwrap();
    for _ in 0..*inbound {
        recorder.datagram("10.1.2.3", (4_000, 53), "10.99.0.1", &[b'q'; 1_400]);
    }
    let mut wrong = Vec::new();
    all.iter().for_each(|fact| check(&mut director, fact, &mut wrong));
    none(wrong);
}
