//! Wrong files, row by row: each with every message it gets, word for word (`faults.txt`), for the messages are what an
//! operator works with. What cannot be written into a text file (no file, no UTF-8, too long) is below.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::process::Command;

const PORTS: &str = r#"
[[port]]
name = "wan"
device = "net_tap0,iface=uvs-wan"
addresses = ["192.0.2.1/24", "2001:db8::1/64"]
gateway = "192.0.2.254"
[[port]]
name = "lan"
device = "net_tap1,iface=uvs-lan"
addresses = ["10.0.0.1/24", "fd00::1/64"]
"#;

const LIPS: &str = r#"
[fullnat]
local_addresses = ["10.0.0.240/28", "fd00::f0/124"]
"#;

/// What is said of a file.
fn said(title: &str, file: &str) -> String {
    let mut text = file.to_string();
    for (name, more) in [("+ports", PORTS), ("+lips", LIPS)] {
        if title.contains(name) {
            text.push_str(more);
        }
    }
    match config::parse(&text, "uvs.toml") {
        Ok(_) => "no fault\n".to_string(),
        Err(errors) => format!("{errors}\n"),
    }
}

#[test]
fn every_wrong_file_gets_its_messages() {
    let rows: Vec<_> = include_str!("faults.txt").split("\n== ").skip(1).collect();
    assert!(rows.len() > 100, "only {} rows", rows.len());
    let mut wrong = String::new();
    for row in rows {
        let (title, rest) = row.split_once('\n').expect("a title");
        let (file, expected) = rest.split_once("--\n").expect("a file and messages");
        let found = said(title, file);
        if found.trim() != expected.trim() {
            wrong.push_str(&format!("== {title}\nexpected:\n{expected}found:\n{found}\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn a_right_file_has_no_fault() {
    assert_eq!(said("+ports +lips", ""), "no fault\n");
}

#[test]
fn files_that_cannot_be_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("uvs.toml");
    let said = || {
        let errors = config::load(&path).expect_err("a fault").to_string();
        errors.replace(path.to_str().expect("a path of UTF-8"), "uvs.toml")
    };
    assert_eq!(
        said(),
        "uvs.toml: found no file to read (No such file or directory (os error 2)); must be a configuration file"
    );
    fs::write(&path, b"[director]\nidle = \"\xff\"\n").expect("written");
    assert_eq!(said(), "uvs.toml:2:9: found the byte 0xff, which is not UTF-8; must be text in UTF-8");
    // The longest file allowed ends in the middle of a character: it is too long all the same, not wrong text.
    fs::write(&path, "é".repeat(config::limits::FILE_BYTES_MAX / 2 + 1)).expect("written");
    assert_eq!(said(), "uvs.toml: found more than 16 MiB; must be at most that");
    fs::write(&path, PORTS).expect("written");
    assert_eq!(config::load(&path).expect("a right file").ports.len(), 2);
}

/// What waits for a writer, or has no end, must not hold up a director that reads its file again.
#[test]
fn paths_that_lead_to_no_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let fifo = path("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().expect("coreutils").success());
    fs::create_dir(path("directory")).expect("made");
    symlink("/dev/zero", path("link")).expect("made");
    let _listener = UnixListener::bind(path("socket")).expect("made");
    for (name, says) in [
        ("fifo", "it is a directory, a pipe or a device"),
        ("directory", "it is a directory, a pipe or a device"),
        ("link", "it is a directory, a pipe or a device"),
        ("socket", "No such device or address"),
    ] {
        let errors = config::load(path(name)).expect_err("a fault").to_string();
        assert!(errors.contains(&format!("found no file to read ({says}")), "{name}: {errors}");
    }
    // A terabyte that takes no room on the disk.
    fs::File::create(path("long")).and_then(|file| file.set_len(1 << 40)).expect("a sparse file");
    assert!(config::load(path("long")).expect_err("a fault").to_string().contains("more than 16 MiB"));
}
