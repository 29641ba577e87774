//! Real sockets in temporary directories, a mock director, and a clock that the test turns. Nothing sleeps: turns are bounded.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use ipvs_netlink::{Edit, FAMILY_ID, Flags, FlagsTold, PACKET_BYTES_MAX, Service, ServiceId, ServiceTold, Stats};
use proptest::prelude::*;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv, send, socket_with,
};
use tempfile::TempDir;

use super::client::SILENCE_MS_MAX;
use super::*;
use crate::mock::MockDirector;

/// Turns after which a test gives up.
const TURNS_MAX: usize = 20_000;
const GET_SERVICE: u8 = 4;
const DUMP: u16 = 0x300;
const DONE: u16 = 3;

struct Bench {
    dir: TempDir,
    ipvs: IpvsSocket,
    director: MockDirector,
    now_ms: u64,
}

impl Bench {
    fn new(services: u32) -> Bench {
        let dir = TempDir::new().unwrap();
        let ipvs = IpvsSocket::bind(&RunDir::claim(dir.path()).unwrap(), None).unwrap();
        let director =
            MockDirector { ipvs: (1..=services).map(|mark| (service(mark), vec![])).collect(), ..Default::default() };
        Bench { dir, ipvs, director, now_ms: 0 }
    }

    fn connect(&self) -> OwnedFd {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        connect(&socket, &SocketAddrUnix::new(self.ipvs.path()).unwrap()).unwrap();
        socket
    }

    fn turn(&mut self) -> bool {
        self.ipvs.turn(&mut self.director, self.now_ms)
    }

    /// Turns until a packet comes; none: the director hung up.
    fn packet(&mut self, client: &OwnedFd) -> Option<Vec<u8>> {
        let mut room = vec![0; PACKET_BYTES_MAX];
        for _ in 0..TURNS_MAX {
            self.turn();
            match recv(client, &mut room, RecvFlags::empty()) {
                Ok((0, _)) | Err(Errno::CONNRESET) => return None,
                Ok((length, _)) => return Some(room[..length].to_vec()),
                Err(error) => assert_eq!(error, Errno::AGAIN),
            }
        }
        panic!("no packet in {TURNS_MAX} turns");
    }

    /// The error that a request is answered with.
    fn ask(&mut self, client: &OwnedFd, request: &[u8]) -> i32 {
        say(client, request);
        let packet = self.packet(client).expect("an answer");
        i32::from_ne_bytes(packet[16..20].try_into().unwrap())
    }

    fn assert_serves(&mut self, client: &OwnedFd) {
        assert_eq!(self.ask(client, &zero(5)), 0);
    }
}

fn say(client: &OwnedFd, datagram: &[u8]) {
    assert_eq!(send(client, datagram, SendFlags::NOSIGNAL), Ok(datagram.len()));
}

fn id(mark: u32) -> ServiceId {
    ServiceId::Mark { mark, family: ipvs_netlink::Family::V4 }
}

fn service(mark: u32) -> Service {
    let flags = FlagsTold::all(Flags::HASHED);
    let told = ServiceTold { scheduler: Some("wlc".into()), engine: None, flags, timeout_s: 0, netmask: u32::MAX };
    Service { id: id(mark), told, stats: Stats::default() }
}

fn zero(mark: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    Edit::Zero(Some(id(mark))).put_request(7, &mut bytes);
    bytes
}

/// All services, please.
fn list() -> Vec<u8> {
    let [length, kind] = [20u32.to_ne_bytes(), (u32::from(FAMILY_ID) | u32::from(1 | DUMP) << 16).to_ne_bytes()];
    [length, kind, [0; 4], [0; 4], [GET_SERVICE, 1, 0, 0]].concat()
}

fn is_done(packet: &[u8]) -> bool {
    u16::from_ne_bytes([packet[4], packet[5]]) == DONE
}

#[test]
fn requests_are_done_and_acknowledged() {
    let mut bench = Bench::new(1_000);
    let client = bench.connect();
    for mark in 1..=1_000 {
        assert_eq!(bench.ask(&client, &zero(mark)), 0);
    }
    assert_eq!(bench.ask(&client, &zero(1_001)), -3, "no such service");
    let zeros: Vec<_> = (1..=1_000).map(|mark| Edit::Zero(Some(id(mark)))).collect();
    assert_eq!(bench.director.edits, zeros);
}

#[test]
fn a_list_is_made_as_it_is_read() {
    let mut bench = Bench::new(3_000);
    let (slow, other) = (bench.connect(), bench.connect());
    say(&slow, &list());
    (0..1_000).for_each(|_| _ = bench.turn());
    assert!(!bench.turn(), "nothing is made that nobody reads");
    bench.assert_serves(&other);
    let mut bytes = 0;
    loop {
        let packet = bench.packet(&slow).unwrap();
        assert!(packet.len() < 10_000);
        bytes += packet.len();
        if is_done(&packet) {
            break;
        }
    }
    assert!(bytes > 3_000 * 200, "{bytes}");
    bench.assert_serves(&slow);
}

#[test]
fn who_stops_reading_is_dropped_in_time_and_who_says_nothing_is_kept() {
    let mut bench = Bench::new(3_000);
    let (slow, silent) = (bench.connect(), bench.connect());
    say(&slow, &list());
    (0..100).for_each(|_| _ = bench.turn());
    bench.now_ms += SILENCE_MS_MAX;
    bench.turn();
    assert_eq!(bench.ipvs.clients.all.len(), 2, "in time, just");
    bench.now_ms += 1;
    bench.turn();
    assert_eq!(bench.ipvs.clients.all.len(), 1);
    bench.now_ms += 1_000 * SILENCE_MS_MAX;
    bench.assert_serves(&silent);
}

#[test]
fn a_flood_holds_up_nobody_else() {
    let mut bench = Bench::new(10);
    let (flooding, other) = (bench.connect(), bench.connect());
    let many = zero(3).repeat(1_000);
    let mut said = 0;
    while send(&flooding, &many, SendFlags::NOSIGNAL).is_ok() {
        said += 1_000;
    }
    assert!(said > 0);
    for _ in 0..20 {
        let before = bench.director.edits.len();
        bench.turn();
        assert!(bench.director.edits.len() - before <= PACKETS_PER_TURN);
    }
    bench.assert_serves(&other);
}

#[test]
fn garbage_is_hung_up_on_or_ignored() {
    let mut bench = Bench::new(10);
    let other = bench.connect();
    let client = bench.connect();
    say(&client, &vec![1; DATAGRAM_BYTES_MAX + 1]);
    assert_eq!(bench.packet(&client), None, "more than a datagram may have");
    let client = bench.connect();
    say(&client, &vec![1; DATAGRAM_BYTES_MAX]);
    bench.assert_serves(&client);
    bench.assert_serves(&other);
}

#[test]
fn for_one_more_than_the_limit_the_longest_idle_goes() {
    let mut bench = Bench::new(3_000);
    let mut clients = Vec::new();
    for _ in 0..CLIENTS_MAX {
        bench.now_ms += 1;
        clients.push(bench.connect());
        bench.turn();
    }
    bench.now_ms += 1;
    // The first is being answered, and the second has just been.
    say(&clients[0], &list());
    bench.assert_serves(&clients[1]);
    let late = bench.connect();
    bench.assert_serves(&late);
    assert_eq!(bench.ipvs.clients.all.len(), CLIENTS_MAX);
    assert_eq!(bench.packet(&clients[2]), None);
    assert!(bench.packet(&clients[0]).is_some());
    bench.assert_serves(&clients[1]);
}

#[test]
fn who_hangs_up_before_the_answer_is_forgotten_and_his_request_done() {
    let mut bench = Bench::new(10);
    let client = bench.connect();
    say(&client, &zero(3));
    say(&client, &list());
    drop(client);
    (0..3).for_each(|_| _ = bench.turn());
    assert!(bench.ipvs.clients.all.is_empty());
    assert_eq!(bench.director.edits.len(), 1);
}

/// As a library does that was answered by nobody: see `preload/src/exchange.rs`.
#[test]
fn who_gave_up_while_nobody_was_served_is_not_obeyed_afterwards() {
    let mut bench = Bench::new(100);
    let (waits, gives_up) = (bench.connect(), bench.connect());
    bench.turn();
    say(&waits, &zero(1));
    say(&gives_up, &zero(2));
    // More than one turn takes up, who came while the director stood still.
    let late: Vec<_> = (0..2 * NEWCOMERS_PER_TURN as u32).map(|_| bench.connect()).collect();
    late.iter().for_each(|client| say(client, &zero(3)));
    drop((gives_up, late));
    bench.now_ms += ANSWER_MS_MAX;
    for _ in 0..5 {
        bench.turn();
        bench.now_ms += 1;
    }
    assert_eq!(bench.director.edits, [Edit::Zero(Some(id(1)))]);
    assert_eq!(bench.ipvs.clients.all.len(), 1);
    bench.assert_serves(&waits);

    for pause_ms in [AFTER_STANDSTILL_MS, ANSWER_MS_MAX - 1] {
        bench.now_ms += pause_ms;
        let hasty = bench.connect();
        say(&hasty, &zero(4));
        drop(hasty);
        bench.turn();
        assert_eq!(bench.director.edits.pop(), Some(Edit::Zero(Some(id(4)))), "after {pause_ms} ms");
    }
}

#[test]
fn the_socket_is_for_root_and_perhaps_a_group() {
    let bench = Bench::new(0);
    let file = |path: &Path| fs::metadata(path).unwrap();
    assert_eq!(file(bench.ipvs.path()).permissions().mode() & 0o777, 0o600);
    // A group that any user may give away: its own.
    let own = file(bench.dir.path()).gid();
    let dir = TempDir::new().unwrap();
    let ipvs = IpvsSocket::bind(&RunDir::claim(dir.path()).unwrap(), Some(own)).unwrap();
    assert_eq!((file(ipvs.path()).permissions().mode() & 0o777, file(ipvs.path()).gid()), (0o660, own));
    let path = ipvs.path().to_owned();
    drop(ipvs);
    assert!(!path.exists());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]
    #[test]
    fn noise_harms_nobody(noise in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 0..8), hang_up: bool) {
        let mut bench = Bench::new(10);
        let (other, noisy) = (bench.connect(), bench.connect());
        noise.iter().for_each(|datagram| say(&noisy, datagram));
        if hang_up {
            drop(noisy);
        }
        (0..10).for_each(|_| _ = bench.turn());
        bench.assert_serves(&other);
    }
}
