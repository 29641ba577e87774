//! `uvs check`, and `uvs run` where it refuses what `check` refuses: before it touches any device.

use crate::program::{fails, uvs};
use std::fs;
use std::path::PathBuf;

const PORT: &str = "[[port]]\nname = \"wan\"\ndevice = \"net_null0,no-rx=1\"\naddresses = [\"192.0.2.1/24\"]\n";

/// The commands that read a file.
fn commands(file: &str) -> Vec<Vec<&str>> {
    let mut commands = vec![vec!["check", file]];
    if cfg!(feature = "dpdk") {
        commands.push(vec!["run", "-c", file]);
    }
    commands
}

struct File {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl File {
    fn of(text: &str) -> File {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("uvs.toml");
        fs::write(&path, text).unwrap();
        File { path, _folder: folder }
    }

    fn name(&self) -> &str {
        self.path.to_str().unwrap()
    }
}

fn some_core() -> usize {
    core_affinity::get_core_ids().unwrap()[0].id
}

#[test]
fn a_right_file_gets_its_plan() {
    let text = format!(
        "[director]\nworkers = [{}]\nconns_max = 1000\n[eal]\nhuge_pages = \"off\"\nmemory_mb = 64\n{PORT}\
         [[service]]\nprotocol = \"tcp\"\naddress = \"192.0.2.10:80\"\nscheduler = \"rr\"\n\
         [[service.real_server]]\naddress = \"192.0.2.11:8080\"\nmethod = \"nat\"\n",
        some_core()
    );
    let file = File::of(&text);
    let outcome = uvs(&["check", file.name()]);
    assert_eq!((outcome.status, outcome.errors.as_str()), (Some(0), ""), "{}", outcome.out);
    let words: Vec<_> = outcome.out.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(words, ["workers", "conns", "frames", "port", "steering", "services"], "{}", outcome.out);
    for says in
        ["1000 per worker", "64 MB for frames", "wan: net_null0,no-rx=1, mtu 1500, 192.0.2.1/24", "1 real server"]
    {
        assert!(outcome.out.contains(says), "{says}\n{}", outcome.out);
    }
}

#[test]
fn a_wrong_file_gets_every_reason_and_its_place() {
    let rows = [
        (
            "an unknown key",
            "[director]\nconn_max = 1\n",
            &["2:1: director: unknown key `conn_max`; did you mean `conns_max`?"][..],
        ),
        (
            "two faults",
            "[director]\nconn_max = 1\nworkrs = [1]\n",
            &[
                "2:1: director: unknown key `conn_max`; did you mean `conns_max`?",
                "3:1: director: unknown key `workrs`; did you mean `workers`?",
            ],
        ),
        ("no TOML", "[director\n", &["1:10: found what is no TOML: unclosed table, expected `]`"]),
    ];
    for (description, text, messages) in rows {
        let file = File::of(&format!("{text}{PORT}"));
        let lines: Vec<_> = messages.iter().map(|message| format!("{}:{message}", file.name())).collect();
        for command in commands(file.name()) {
            println!("{description}: {command:?}");
            fails(&command, &format!("uvs: {}\n", lines.join("\n")));
        }
    }
}

#[test]
fn a_file_that_is_not_there() {
    let file = File::of("");
    let absent = file.path.with_file_name("absent.toml").display().to_string();
    for command in commands(&absent) {
        let outcome = uvs(&command);
        assert_eq!((outcome.status, outcome.errors.lines().count()), (Some(1), 1), "{}", outcome.errors);
        assert!(outcome.errors.starts_with(&format!("uvs: {absent}: ")), "{}", outcome.errors);
    }
}

/// Only the machine knows: these files are right on another one.
#[test]
fn what_this_machine_has_not_is_refused() {
    let workers = format!("workers = [{}]", some_core());
    let pci = PORT.replace("net_null0,no-rx=1", "0000:ff:1f.7");
    let rows = [
        // No machine has a TiB to spare beside these.
        (
            format!("[director]\n{workers}\nconns_max = 100_000_000\n[eal]\nmemory_mb = 1_048_576\n{PORT}"),
            "director.conns_max: found 100000000, which takes ",
        ),
        (
            format!("[director]\nworkers = [127]\nconns_max = 1000\n[eal]\nmemory_mb = 64\n{PORT}"),
            "director.workers: found 127; this process may run on ",
        ),
        (
            format!("[director]\n{workers}\nconns_max = 1000\n[eal]\nmemory_mb = 64\n{pci}"),
            "port wan: device: found \"0000:ff:1f.7\", which is no PCI device of this machine",
        ),
    ];
    for (text, says) in rows {
        let file = File::of(&text);
        for command in commands(file.name()) {
            let outcome = uvs(&command);
            assert_eq!(outcome.status, Some(1), "{outcome:?}");
            assert!(outcome.errors.starts_with(&format!("uvs: {says}")), "{}", outcome.errors);
            assert_eq!(outcome.errors.lines().count(), 1, "{}", outcome.errors);
        }
    }
}
