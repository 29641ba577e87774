//! What any program may do with sockets and files while the library is there: [`crate::client`] does it, this plays the director.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::client::ROLE;
use crate::library::preloaded;
use crate::mock::{GET_INFO, Manner, Mock};

fn client(role: &str, run_dir: &Path) -> Command {
    let mut command = preloaded(std::env::current_exe().unwrap(), run_dir);
    command.args(["--exact", "client::as_a_client", "--nocapture"]).env(ROLE, role);
    command
}

/// Runs the client to its end.
#[track_caller]
fn passes(role: &str, run_dir: &Path) {
    let output = client(role, run_dir).output().unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success(), "client {role}: {said}");
    // What it could not do here.
    said.lines().filter(|line| line.starts_with("skipped")).for_each(|line| println!("{line}"));
}

/// A client that does its part when it is told to.
struct Partner {
    child: Child,
    says: BufReader<std::process::ChildStdout>,
}

impl Partner {
    fn start(role: &str, run_dir: &Path) -> Partner {
        let mut child = client(role, run_dir).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let says = BufReader::new(child.stdout.take().unwrap());
        Partner { child, says }
    }

    /// Waits until it says this.
    #[track_caller]
    fn wait_for(&mut self, what: &str) {
        let said = (&mut self.says).lines().map_while(Result::ok).any(|line| line == what);
        assert!(said, "the client ended before it said {what:?}");
    }

    fn go_on(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    #[track_caller]
    fn passes(mut self) {
        assert!(self.child.wait().unwrap().success());
    }
}

#[test]
fn other_families_stay_with_the_kernel() {
    let folder = tempfile::tempdir().unwrap();
    let mock = Mock::start(folder.path());
    passes("families", folder.path());
    assert_eq!(mock.clients(), 2, "one of a socket of its own, one of a socket that asked for both");
}

#[test]
fn route_netlink_stays_with_the_kernel() {
    let folder = tempfile::tempdir().unwrap();
    let mock = Mock::start(folder.path());
    passes("route", folder.path());
    assert_eq!(mock.clients(), 0);
}

#[test]
fn a_taken_socket_seems_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let _mock = Mock::start(folder.path());
    passes("seems_unchanged", folder.path());
}

#[test]
fn a_director_that_dies_before_it_answers() {
    for manner in [Manner::Dies, Manner::Resets] {
        let folder = tempfile::tempdir().unwrap();
        let mock = Mock::with(folder.path(), manner);
        passes("died", folder.path());
        assert_eq!(mock.clients(), 2, "{manner:?}");
    }
}

#[test]
fn a_director_that_is_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let mock = Mock::start(folder.path());
    let mut partner = Partner::start("restarts", folder.path());
    partner.wait_for("restart");
    drop(mock);
    let mock = Mock::start(folder.path());
    partner.go_on();
    partner.wait_for("stop");
    mock.wait_for(GET_INFO, 1);
    assert_eq!(mock.clients(), 1);
    drop(mock);
    partner.go_on();
    partner.wait_for("start");
    let _mock = Mock::start(folder.path());
    partner.go_on();
    partner.passes();
}

#[test]
fn who_waits_in_epoll_is_woken() {
    let folder = tempfile::tempdir().unwrap();
    let mock = Mock::start(folder.path());
    let mut partner = Partner::start("watched", folder.path());
    partner.wait_for("restart");
    drop(mock);
    let mock = Mock::start(folder.path());
    partner.go_on();
    partner.wait_for("stop");
    drop(mock);
    partner.go_on();
    partner.passes();
}

#[test]
fn a_director_that_comes_later() {
    let folder = tempfile::tempdir().unwrap();
    let mut partner = Partner::start("absent", folder.path());
    partner.wait_for("start");
    let _mock = Mock::start(folder.path());
    partner.go_on();
    partner.passes();
}

#[test]
fn a_director_that_says_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let _mock = Mock::with(folder.path(), Manner::Stops);
    passes("silence", folder.path());
    passes("own_limit", folder.path());
}

#[test]
fn forks() {
    let folder = tempfile::tempdir().unwrap();
    let mock = Mock::start(folder.path());
    passes("forks", folder.path());
    mock.wait_for(GET_INFO, 3);
    assert_eq!(mock.clients(), 2);
}

#[test]
fn threads() {
    let folder = tempfile::tempdir().unwrap();
    let mock = Mock::start(folder.path());
    passes("threads", folder.path());
    mock.wait_for(GET_INFO, 600);
    assert_eq!(mock.clients(), 600);
}

#[test]
fn numbers_that_are_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let _mock = Mock::start(folder.path());
    passes("used_again", folder.path());
}

#[test]
fn numbers_that_are_too_high() {
    let folder = tempfile::tempdir().unwrap();
    let mock = Mock::start(folder.path());
    passes("high_number", folder.path());
    assert_eq!(mock.clients(), 0);
}

#[test]
fn files() {
    let folder = tempfile::tempdir().unwrap();
    let _mock = Mock::start(folder.path());
    passes("files", folder.path());
}
