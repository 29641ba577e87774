//! Client and command against a director in another thread (the mock), and against sockets that are no director.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::{Parser, ValueEnum};
use tempfile::TempDir;

use crate::mock::{self, MockDirector};
use crate::*;

/// Runs `ask` while a mock director with so many conns serves its run directory.
fn with_director<T>(conns_count: u64, ask: impl FnOnce(&Path) -> T) -> T {
    let dir = TempDir::new().unwrap();
    let mut admin = Admin::bind(&RunDir::claim(dir.path()).unwrap()).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut director = MockDirector { conns_count, ..MockDirector::default() };
            while !done.load(Ordering::Relaxed) {
                admin.turn(&mut director, 0);
                std::thread::yield_now();
            }
        });
        // Also if `ask` panics, the director's thread must end, or the test would hang instead of failing.
        struct Done<'a>(&'a AtomicBool);
        impl Drop for Done<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _done = Done(&done);
        ask(dir.path())
    })
}

#[test]
fn a_client_gets_every_answer_over_one_connection() {
    with_director(2000, |run_dir| {
        let mut client = Client::connect(run_dir).unwrap();
        assert_eq!(client.services().unwrap(), mock::services());
        assert_eq!(client.ports().unwrap(), mock::ports());
        assert_eq!(client.workers().unwrap(), mock::workers());
        assert_eq!(client.drops().unwrap(), mock::drops());
        assert_eq!(client.neighbors().unwrap(), mock::neighbors());
        assert_eq!(client.version().unwrap().pid, 4711);
        let conns: Vec<_> = client.conns(&ConnFilter::default()).unwrap().map(Result::unwrap).collect();
        assert_eq!(conns, (0..2000).map(mock::conn).collect::<Vec<_>>());
    });
}

fn args(what: What, run_dir: &Path, json: bool) -> ShowArgs {
    ShowArgs { what, json, run_dir: run_dir.to_owned(), filter: ConnFilter::default() }
}

#[test]
fn conns_are_filtered_where_they_are() {
    with_director(70_000, |run_dir| {
        let filter = ConnFilter { client: Some("10.0.0.1/32".parse().unwrap()), ..ConnFilter::default() };
        let conns = Client::connect(run_dir).unwrap().conns(&filter).unwrap();
        assert!(
            conns
                .map(Result::unwrap)
                .eq((0..70_000).map(mock::conn).filter(|conn| conn.client.ip() != mock::conn(0).client.ip()))
        );
        let none = ConnFilter { service: Some("udp:192.0.2.10:80".parse().unwrap()), ..filter };
        assert_eq!(Client::connect(run_dir).unwrap().conns(&none).unwrap().count(), 0);
        let other = ShowArgs { filter, ..args(What::Ports, run_dir, false) };
        let refusal = show(&other, &mut Vec::new()).unwrap_err().to_string();
        assert_eq!(refusal, "--service, --server and --client go with `uvs show conns` only");
    });
}

#[test]
fn show_prints_tables_and_json() {
    with_director(2001, |run_dir| {
        let print = |what, json| {
            let mut out = Vec::new();
            show(&args(what, run_dir, json), &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        for &what in What::value_variants() {
            assert!(!print(what, false).starts_with('{'), "{what:?}");
            let lines = print(what, true);
            assert!(lines.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).unwrap().is_object()));
            assert_eq!(lines.lines().count(), if what == What::Conns { 2001 } else { 1 }, "{what:?}");
        }
        assert_eq!(print(What::Conns, false).lines().count(), 2002);
        assert_eq!(print(What::Services, true), serde_json::to_string(&mock::services()).unwrap() + "\n");
        assert_eq!(print(What::Version, false), "uvs 0.1.0 (a1b2c3d), process 4711, up for 61 s\n");
    });
}

#[test]
fn reload_prints_what_changed_or_fails_with_every_reason() {
    with_director(0, |run_dir| {
        let args = ReloadArgs { run_dir: run_dir.to_owned() };
        let mut out = Vec::new();
        reload(&args, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "service tcp 192.0.2.10:80: removed\n1 removed\n");
        let mut out = Vec::new();
        let refusal = reload(&args, &mut out).unwrap_err().to_string();
        assert_eq!(refusal, "nothing was changed:\nuvs: uvs.toml:1:1: x\nuvs: y: z");
        assert_eq!(out, b"");
        assert_eq!(Client::connect(run_dir).unwrap().reload().unwrap(), mock::reloaded(true));
    });
}

/// An output whose reader has gone, as in `uvs show conns | head`, or whose disk is full.
struct Broken(std::io::ErrorKind);

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    with_director(5000, |run_dir| {
        show(&args(What::Conns, run_dir, true), &mut Broken(std::io::ErrorKind::BrokenPipe)).unwrap();
        let full = show(&args(What::Conns, run_dir, true), &mut Broken(std::io::ErrorKind::StorageFull));
        assert!(full.unwrap_err().to_string().starts_with("output: "));
    });
}

#[test]
fn arguments_of_show() {
    #[derive(Parser)]
    struct Uvs {
        #[command(flatten)]
        show: ShowArgs,
    }
    let plain = Uvs::try_parse_from(["uvs", "conns"]).unwrap().show;
    assert_eq!((plain.what, plain.json, plain.run_dir.to_str().unwrap()), (What::Conns, false, "/run/uvs"));
    let full = Uvs::try_parse_from(["uvs", "drops", "--json", "--run-dir", "/tmp/x"]).unwrap().show;
    assert_eq!((full.what, full.json, full.run_dir.to_str().unwrap()), (What::Drops, true, "/tmp/x"));
    assert!(Uvs::try_parse_from(["uvs", "wrokers"]).is_err());
}

#[test]
fn nobody_there_is_said_with_its_cure() {
    let dir = TempDir::new().unwrap();
    let place = dir.path().display();
    let cure = "start one with `uvs run -c FILE`, or name its directory with --run-dir";
    let refusal = || Client::connect(dir.path()).unwrap_err().to_string();
    assert_eq!(refusal(), format!("no director runs in {place}: it has no admin.sock; {cure}"));
    drop(UnixListener::bind(dir.path().join("admin.sock")).unwrap());
    assert_eq!(
        refusal(),
        format!("no director runs in {place}: its admin.sock is left from one that has ended; {cure}")
    );
}

#[test]
fn answers_that_are_none_are_told_apart() {
    let rows: [(&str, Option<&str>, &str); 6] = [
        ("silent", None, "did not answer within 20ms"),
        ("hangs up", Some(""), "hung up before its answer was complete"),
        ("half a line", Some("{\"version\":"), "hung up before its answer was complete"),
        ("refuses", Some("{\"error\":\"too many\"}\n"), "the director refused: too many"),
        ("another version", Some("{\"release\":3}\n"), "is not understood (missing field `version`"),
        ("nothing", Some("{\"end\":true}\n"), "is not understood (not exactly one object)"),
    ];
    for (name, says, expect) in rows {
        let dir = TempDir::new().unwrap();
        let listener = UnixListener::bind(dir.path().join("admin.sock")).unwrap();
        let client = Client::connect(dir.path()).unwrap();
        // Who says something is waited for, however slow the machine is.
        let time_limit = if says.is_none() { Duration::from_millis(20) } else { Duration::from_secs(60) };
        let mut client = client.with_time_limit(time_limit).unwrap();
        let (mut director, _) = listener.accept().unwrap();
        let message = std::thread::scope(|scope| {
            let asks = scope.spawn(|| client.version().unwrap_err().to_string());
            director.read_exact(&mut [0; 19]).unwrap();
            let kept = answer(director, says);
            let message = asks.join().unwrap();
            drop(kept);
            message
        });
        assert!(message.starts_with(dir.path().to_str().unwrap()) && message.contains(expect), "{name}: {message}");
    }
}

/// Says something and hangs up, or says nothing and stays.
fn answer(mut stream: UnixStream, says: Option<&str>) -> Option<UnixStream> {
    match says {
        Some(text) => {
            stream.write_all(text.as_bytes()).unwrap();
            None
        }
        None => Some(stream),
    }
}
