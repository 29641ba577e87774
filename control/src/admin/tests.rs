//! Real Unix sockets in temporary directories, a mock director, and a clock that the test turns. Nothing sleeps: turns are bounded.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use proptest::prelude::*;
use tempfile::TempDir;

use super::client::{PENDING_BYTES_LOW, SILENCE_MS_MAX};
use super::*;
use crate::mock::MockDirector;
use crate::protocol::REQUEST_BYTES_MAX;

/// Turns after which a test gives up.
const TURNS_MAX: usize = 200_000;
/// No chunk of the mock's conns is longer.
const CHUNK_BYTES_MAX: usize = 256 * 256;

/// Listens in a folder.
fn bind(path: &Path) -> Result<Admin, BindError> {
    Admin::bind(&RunDir::claim(path)?)
}

struct Bench {
    dir: TempDir,
    admin: Admin,
    director: MockDirector,
    now_ms: u64,
}

impl Bench {
    fn new(conns_count: u64) -> Bench {
        let dir = TempDir::new().unwrap();
        let admin = bind(dir.path()).unwrap();
        Bench { dir, admin, director: MockDirector { conns_count, ..MockDirector::default() }, now_ms: 0 }
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.admin.path()).unwrap();
        stream.set_nonblocking(true).unwrap();
        stream
    }

    fn turn(&mut self) -> bool {
        let busy = self.admin.turn(&mut self.director, self.now_ms);
        for client in &self.admin.0.all {
            assert!(client.pending() <= PENDING_BYTES_LOW + CHUNK_BYTES_MAX, "{} bytes wait", client.pending());
        }
        busy
    }

    /// Turns until the client has a line that ends the answer, or the end of the stream; returns all that came.
    fn answer(&mut self, client: &mut UnixStream) -> String {
        let mut text = Vec::new();
        let mut bytes = [0; 65536];
        for _ in 0..TURNS_MAX {
            self.turn();
            match client.read(&mut bytes) {
                Ok(0) => return String::from_utf8(text).unwrap() + "<hung up>",
                Ok(count) => text.extend_from_slice(&bytes[..count]),
                // Hung up on with more to say: the kernel reports that once all that was answered has been read.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    return String::from_utf8(text).unwrap() + "<hung up>";
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            if text.ends_with(b"{\"end\":true}\n") {
                return String::from_utf8(text).unwrap();
            }
        }
        panic!("no answer in {TURNS_MAX} turns");
    }

    fn ask(&mut self, client: &mut UnixStream, request: &str) -> String {
        client.write_all(request.as_bytes()).unwrap();
        self.answer(client)
    }

    fn assert_serves(&mut self, client: &mut UnixStream) {
        assert_eq!(self.ask(client, VERSION), VERSION_ANSWER);
    }
}

const VERSION: &str = "{\"show\":\"version\"}\n";
const VERSION_ANSWER: &str = "{\"version\":\"0.1.0 (a1b2c3d)\",\"pid\":4711,\"uptime_s\":61}\n{\"end\":true}\n";

#[test]
fn requests_get_their_answers() {
    let mut bench = Bench::new(3);
    let mut client = bench.connect();
    for (what, lines) in
        [("services", 3), ("conns", 3), ("ports", 1), ("workers", 1), ("drops", 1), ("neighbors", 1), ("version", 1)]
    {
        let answer = bench.ask(&mut client, &format!("{{\"show\":\"{what}\"}}\n"));
        assert_eq!(answer.lines().count(), lines + 1, "{what}: {answer}");
    }
}

#[test]
fn bad_requests_are_told_why_and_hung_up_on() {
    let rows = [
        ("unknown word", "{\"show\":\"wrokers\"}\n".into(), "unknown variant `wrokers`, expected one of `services`"),
        ("unknown key", "{\"show\":\"ports\",\"colour\":1}\n".into(), "unknown field `colour`"),
        ("no key", "{}\n".into(), "missing field `show` or `reload`"),
        ("two keys", "{\"show\":\"ports\",\"reload\":true}\n".into(), "`show` and `reload` are two requests"),
        ("a filter for all", "{\"show\":\"ports\",\"client\":\"10.0.0.1\"}\n".into(), "go with"),
        ("a wrong filter", "{\"show\":\"conns\",\"client\":\"web\"}\n".into(), "must be a client's address"),
        ("no reload", "{\"reload\":false}\n".into(), "`reload` can only be true"),
        ("a file to reload", "{\"reload\":\"/etc/passwd\"}\n".into(), "expected a boolean"),
        ("no JSON", "GET / HTTP/1.1\r\n".into(), "must be one line such as {\\\"show\\\":\\\"services\\\"}"),
        ("empty line", "\n".into(), "must be one line such as"),
        ("no line", "x".repeat(REQUEST_BYTES_MAX + 1), "request longer than 4096 bytes"),
        ("a line too long", "x".repeat(5 * REQUEST_BYTES_MAX) + "\n", "request longer than 4096 bytes"),
        ("nested", "[".repeat(4000) + "\n", "request: "),
    ];
    let mut bench = Bench::new(0);
    let mut other = bench.connect();
    for (name, request, expect) in rows {
        let mut client = bench.connect();
        let answer = bench.ask(&mut client, &request);
        assert!(answer.starts_with("{\"error\":\"request") && answer.contains(expect), "{name}: {answer}");
        assert!(answer.ends_with("\"}\n<hung up>"), "{name}: {answer}");
        bench.assert_serves(&mut other);
    }
}

#[test]
fn the_longest_request_is_read() {
    let mut bench = Bench::new(0);
    let mut client = bench.connect();
    let padded = format!("{}{VERSION}", " ".repeat(REQUEST_BYTES_MAX + 1 - VERSION.len()));
    assert_eq!(bench.ask(&mut client, &padded), VERSION_ANSWER);
}

#[test]
fn a_request_may_come_in_pieces_and_several_at_once() {
    let mut bench = Bench::new(0);
    let mut client = bench.connect();
    for byte in VERSION.bytes() {
        bench.turn();
        client.write_all(&[byte]).unwrap();
    }
    assert_eq!(bench.answer(&mut client), VERSION_ANSWER);

    client.write_all(VERSION.repeat(100).as_bytes()).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    (0..20).for_each(|_| _ = bench.turn());
    assert!(bench.admin.0.all.is_empty());
    let mut all = String::new();
    client.read_to_string(&mut all).unwrap();
    assert_eq!(all, VERSION_ANSWER.repeat(100), "all are answered though the client sends no more");
}

#[test]
fn a_million_conns_stream_through_bounded_memory() {
    // Without optimisation a tenth has to do: the bound is the same.
    let count = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };
    let mut bench = Bench::new(count);
    let mut client = bench.connect();
    client.write_all(b"{\"show\":\"conns\"}\n").unwrap();
    let mut bytes = [0; 65536];
    let (mut lines, mut tail) = (0, Vec::new());
    for _ in 0..TURNS_MAX {
        bench.turn();
        let Ok(count) = client.read(&mut bytes) else { continue };
        lines += bytes[..count].iter().filter(|&&byte| byte == b'\n').count();
        tail.extend_from_slice(&bytes[..count]);
        tail.drain(..tail.len().saturating_sub(300));
        if tail.ends_with(b"{\"end\":true}\n") {
            break;
        }
    }
    assert_eq!(lines as u64, count + 1);
    let last = String::from_utf8(tail).unwrap();
    let client = crate::mock::conn(count - 1).client.to_string();
    assert!(last.contains(&client), "the last conn, of {client}: {last}");
}

#[test]
fn a_client_that_stops_reading_costs_little_and_is_dropped_in_time() {
    let mut bench = Bench::new(u64::MAX);
    let mut slow = bench.connect();
    slow.write_all(b"{\"show\":\"conns\"}\n").unwrap();
    (0..1000).for_each(|_| _ = bench.turn());
    let asked = bench.director.asked;
    (0..1000).for_each(|_| _ = bench.turn());
    assert_eq!(bench.director.asked, asked, "nothing is made that nobody reads");

    let mut other = bench.connect();
    bench.assert_serves(&mut other);
    bench.now_ms = SILENCE_MS_MAX;
    bench.assert_serves(&mut other);
    assert_eq!(bench.admin.0.all.len(), 2, "in time, just");
    bench.now_ms += 1;
    bench.assert_serves(&mut other);
    assert_eq!(bench.admin.0.all.len(), 1);
}

#[test]
fn a_client_that_says_nothing_is_dropped_in_time() {
    let mut bench = Bench::new(0);
    let mut silent = bench.connect();
    bench.turn();
    bench.now_ms = SILENCE_MS_MAX;
    bench.turn();
    assert_eq!(bench.admin.0.all.len(), 1);
    bench.now_ms += 1;
    assert_eq!(bench.answer(&mut silent), "<hung up>");
}

#[test]
fn a_director_that_is_not_ready_is_asked_again_and_its_client_kept() {
    let mut bench = Bench::new(1);
    bench.director.not_yet = 50;
    let mut client = bench.connect();
    client.write_all(b"{\"show\":\"conns\"}\n").unwrap();
    for turn in 1..=50 {
        assert!(!bench.turn(), "the control thread may sleep");
        assert_eq!(bench.director.asked, turn, "once a turn");
        bench.now_ms += SILENCE_MS_MAX;
    }
    assert_eq!(bench.answer(&mut client).lines().count(), 2);
}

#[test]
fn a_reload_is_answered_once_it_is_done() {
    let mut bench = Bench::new(0);
    bench.director.not_yet = 50;
    let mut client = bench.connect();
    client.write_all(b"{\"reload\":true}\n").unwrap();
    for turn in 1..=50 {
        assert!(!bench.turn(), "the control thread may sleep");
        assert_eq!((bench.director.asked, bench.director.reloads), (turn, 1));
        bench.now_ms += SILENCE_MS_MAX;
    }
    let applied =
        "{\"applied\":true,\"lines\":[\"service tcp 192.0.2.10:80: removed\",\"1 removed\"]}\n{\"end\":true}\n";
    assert_eq!(bench.answer(&mut client), applied);
    assert!(bench.ask(&mut client, "{\"reload\":true}\n").starts_with("{\"applied\":false,"));
    bench.assert_serves(&mut client);
}

#[test]
fn two_long_lists_advance_side_by_side() {
    let mut bench = Bench::new(u64::MAX);
    let mut clients = [bench.connect(), bench.connect()];
    let mut received = [0, 0];
    clients.iter_mut().for_each(|client| client.write_all(b"{\"show\":\"conns\"}\n").unwrap());
    let mut bytes = vec![0; 1 << 20];
    for _ in 0..30 {
        bench.turn();
        for (client, received) in clients.iter_mut().zip(&mut received) {
            *received += client.read(&mut bytes).unwrap_or(0);
        }
    }
    let [one, two] = received;
    assert!(one > 1 << 20 && two * 2 > one && one * 2 > two, "{one} and {two} bytes");
}

#[test]
fn more_clients_than_the_limit_are_told_so() {
    let mut bench = Bench::new(0);
    let mut clients: Vec<_> = (0..CLIENTS_MAX).map(|_| bench.connect()).collect();
    bench.turn();
    let mut late = bench.connect();
    let answer = bench.answer(&mut late);
    assert!(answer.starts_with("{\"error\":\"16 clients are connected") && answer.ends_with("<hung up>"), "{answer}");
    for client in &mut clients {
        bench.assert_serves(client);
    }
    clients.pop();
    bench.turn();
    let mut next = bench.connect();
    bench.assert_serves(&mut next);
}

#[test]
fn a_client_that_hangs_up_in_the_middle_is_forgotten() {
    let mut bench = Bench::new(u64::MAX);
    let mut client = bench.connect();
    client.write_all(b"{\"show\":\"conns\"}\n").unwrap();
    bench.turn();
    drop(client);
    (0..3).for_each(|_| _ = bench.turn());
    assert!(bench.admin.0.all.is_empty());
}

#[test]
fn the_socket_is_for_root_and_goes_with_the_director() {
    let dir = TempDir::new().unwrap();
    let run_dir = dir.path().join("run/uvs");
    let admin = bind(&run_dir).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&admin.path()), 0o600);
    assert_eq!(mode(&run_dir) & 0o022, 0, "nobody else may put a socket there");
    let path = admin.path();
    drop(admin);
    assert!(!path.exists());
    bind(&run_dir).unwrap();
}

#[test]
fn what_a_dead_director_left_is_replaced() {
    let mut bench = Bench::new(0);
    let dir = TempDir::new().unwrap();
    drop(UnixListener::bind(dir.path().join("admin.sock")).unwrap());
    fs::create_dir(dir.path().join(".admin.new")).unwrap();
    drop(UnixListener::bind(dir.path().join(".admin.new/admin.sock")).unwrap());
    fs::write(dir.path().join("admin.lock"), "99999\n").unwrap();
    bench.admin = bind(dir.path()).unwrap();
    let mut client = bench.connect();
    bench.assert_serves(&mut client);
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn a_living_director_is_not_disturbed() {
    let mut bench = Bench::new(0);
    let refusal = bind(bench.dir.path()).unwrap_err().to_string();
    let place = bench.dir.path().display().to_string();
    let pid = std::process::id();
    assert_eq!(
        refusal,
        format!("{place}: another director (process {pid}) runs here; stop it, or give this one another run_dir")
    );
    let mut client = bench.connect();
    bench.assert_serves(&mut client);
}

#[test]
fn another_directors_socket_is_left_alone() {
    let dir = TempDir::new().unwrap();
    let run_dir = dir.path().join("run");
    let first = bind(&run_dir).unwrap();
    fs::remove_dir_all(&run_dir).unwrap();
    let second = bind(&run_dir).unwrap();
    drop(first);
    assert!(second.path().exists());
}

#[test]
fn a_run_dir_that_cannot_be_says_why() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let long = dir.path().join("d".repeat(100));
    let rows = [
        (&file, "cannot make the directory: "),
        (&file, "run_dir must be a directory"),
        (&long, "must be at most 107"),
    ];
    for (run_dir, expect) in rows {
        let message = bind(run_dir).unwrap_err().to_string();
        assert!(message.starts_with(dir.path().to_str().unwrap()) && message.contains(expect), "{message}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn noise_harms_nobody(noise in proptest::collection::vec(any::<u8>(), 0..9000), hang_up: bool) {
        let mut bench = Bench::new(0);
        let mut other = bench.connect();
        let mut noisy = bench.connect();
        let _ = noisy.write_all(&noise);
        if hang_up {
            drop(noisy);
        }
        (0..10).for_each(|_| _ = bench.turn());
        bench.assert_serves(&mut other);
        bench.now_ms = SILENCE_MS_MAX + 1;
        bench.assert_serves(&mut other);
        prop_assert_eq!(bench.admin.0.all.len(), 1);
    }
}
