//! A netlink client by the crate netlink-sys, which calls `sendto` and `recvfrom` where the two tools call `sendmsg` and `recvmsg`.
//! What a program can do with such sockets that the two tools do not: forks, threads, descriptors that are used again.
//!
//! It is this test program, started again with the library. [`crate::sockets`] starts it, and plays the director.

use std::fs::File;
use std::io::{self, BufRead, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::Duration;

use netlink_sys::{Socket, SocketAddr};

use crate::message::{CONTROLLER, ERROR, FAMILY, Message, attributes};
use crate::mock::{GET_INFO, NEW_SERVICE, text};

/// Names what the client is to do.
pub const ROLE: &str = "UVS_TEST_CLIENT";

const NETLINK_GENERIC: isize = 16;
const NETLINK_ROUTE: isize = 0;

#[test]
fn as_a_client() {
    let Some(role) = std::env::var_os(ROLE) else { return };
    match role.to_str().unwrap() {
        "families" => families(),
        "route" => route(),
        "seems_unchanged" => seems_unchanged(),
        "died" => died(),
        "restarts" => restarts(),
        "watched" => watched(),
        "silence" => silence(),
        "own_limit" => own_limit(),
        "absent" => absent(),
        "forks" => forks(),
        "threads" => threads(),
        "used_again" => used_again(),
        "high_number" => high_number(),
        "files" => files(),
        other => panic!("no role {other}"),
    }
}

struct Client {
    socket: Socket,
    port: u32,
    sequence: u32,
}

impl Client {
    fn new() -> Client {
        let mut socket = Socket::new(NETLINK_GENERIC).unwrap();
        let port = socket.bind_auto().unwrap().port_number();
        Client { socket, port, sequence: 0 }
    }

    /// One whose socket is the director's.
    fn taken() -> Client {
        let mut client = Client::new();
        assert_eq!(client.family("IPVS"), Ok(FAMILY));
        client
    }

    fn number(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    fn send(&mut self, message: Message) {
        self.sequence += 1;
        let bytes = Message { sequence: self.sequence, port: self.port, ..message }.bytes();
        assert_eq!(self.socket.send_to(&bytes, &SocketAddr::new(0, 0), 0).unwrap(), bytes.len());
    }

    /// What comes is from the kernel, and for the last request.
    fn receive(&self) -> io::Result<Message> {
        let (bytes, from) = self.socket.recv_from_full()?;
        assert_eq!((from.port_number(), from.multicast_groups()), (0, 0), "a kernel's address");
        let message = Message::of(&bytes);
        assert_eq!((message.sequence, message.port), (self.sequence, self.port));
        Ok(message)
    }

    /// A family's number, or the error that the answer is.
    fn family(&mut self, name: &str) -> Result<u16, i32> {
        self.send(Message::family(name, 0));
        let answer = self.receive().unwrap();
        if let Some(error) = answer.error() {
            return Err(error);
        }
        let number = attributes(&answer.body[4..]).into_iter().find(|found| found.0 == 1).unwrap().1;
        assert_eq!(self.receive().unwrap().error(), Some(0));
        Ok(u16::from_ne_bytes(number.try_into().unwrap()))
    }

    /// The error that the answer to a command is; 0: an acknowledgement.
    fn command(&mut self, command: u8) -> i32 {
        self.send(Message::request(FAMILY, 0, command, &[]));
        loop {
            if let Some(error) = self.receive().unwrap().error() {
                return error;
            }
        }
    }
}

/// Tells the test, and waits until it has done its part.
fn tell(what: &str) {
    println!("\n{what}");
    io::stdout().flush().unwrap();
    io::stdin().lock().read_line(&mut String::new()).unwrap();
}

fn families() {
    let mut client = Client::new();
    assert_eq!(client.family("nlctrl"), Ok(CONTROLLER), "the kernel's own");
    assert_eq!(client.family("no such family"), Err(libc::ENOENT));
    let mut other = Client::taken();
    assert_eq!(client.family("nlctrl"), Ok(CONTROLLER), "still the kernel's");
    assert_eq!((other.command(GET_INFO), other.command(NEW_SERVICE)), (0, 0));
    // One socket may ask for both, one after the other.
    assert_eq!(client.family("IPVS"), Ok(FAMILY));
}

/// RTM_NEWLINK has the number of generic netlink's controller; this one is nonsense to the kernel, and says so.
fn route() {
    let mut socket = Socket::new(NETLINK_ROUTE).unwrap();
    socket.bind_auto().unwrap();
    socket.send_to(&Message::family("IPVS", 1).bytes(), &SocketAddr::new(0, 0), 0).unwrap();
    let answer = Message::of(&socket.recv_from_full().unwrap().0);
    assert!(answer.kind == ERROR && answer.error() != Some(0), "{answer:?}");
}

fn seems_unchanged() {
    let mut client = Client::new();
    let before = (flags(&client.socket), limit(&client.socket));
    assert_eq!(client.family("IPVS"), Ok(FAMILY));
    let mut name = SocketAddr::new(0, 0);
    client.socket.get_address(&mut name).unwrap();
    assert_eq!(name.port_number(), client.port);
    assert_eq!((flags(&client.socket).0, before.1.is_none()), (before.0.0, true), "close-on-exec");
    // Options that libnl's users set, and groups, which the family has none of.
    client.socket.set_ext_ack(true).unwrap();
    client.socket.set_cap_ack(true).unwrap();
    assert!(client.socket.add_membership(1).is_err());

    let mut nonblocking = Client::new();
    nonblocking.socket.set_non_blocking(true).unwrap();
    nonblocking.send(Message::family("IPVS", 0));
    assert!(flags(&nonblocking.socket).1, "still non-blocking");
    // The first read that finds nothing says so; poll sees the answer.
    let mut watched = libc::pollfd { fd: nonblocking.number(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one pollfd.
    assert_eq!(unsafe { libc::poll(&mut watched, 1, 60_000) }, 1);
    assert_eq!(nonblocking.receive().unwrap().kind, CONTROLLER);
}

fn died() {
    let mut client = Client::taken();
    assert_eq!(client.command(GET_INFO), libc::EBUSY);
    // Nothing more comes, and a program that reads on does not spin on an end of file.
    let again = client.socket.recv(&mut Vec::with_capacity(64), 0);
    assert_eq!(again.unwrap_err().raw_os_error(), Some(libc::ENOTCONN));
    assert_eq!(client.command(GET_INFO), libc::EBUSY, "connected again, and died again");
}

fn restarts() {
    let mut client = Client::taken();
    assert_eq!(client.command(GET_INFO), 0);
    tell("restart");
    assert_eq!(client.command(GET_INFO), 0, "the new one's answer, without asking for the family");
    tell("stop");
    assert_eq!(client.command(GET_INFO), libc::EBUSY);
    assert_eq!(client.family("IPVS"), Err(libc::ENOENT));
    tell("start");
    assert_eq!(client.command(GET_INFO), 0);
}

/// By an epoll set that watched the socket before it became the director's, among many others, as event loops do.
fn watched() {
    let others: Vec<_> = (0..40).map(|_| UnixStream::pair().unwrap()).collect();
    let mut client = Client::new();
    let (set, other_set) = (epoll(), epoll());
    others.iter().for_each(|(near, _)| watch(&set, near.as_raw_fd(), 1));
    watch(&set, client.number(), 7_000_000_000);
    watch(&other_set, client.number(), 8);
    let comes = || [&set, &other_set].map(wait);
    assert_eq!(client.family("nlctrl"), Ok(CONTROLLER));
    client.send(Message::family("IPVS", 0));
    assert_eq!(comes(), [Some(7_000_000_000), Some(8)]);
    assert_eq!(client.receive().unwrap().kind, CONTROLLER);
    assert_eq!(client.receive().unwrap().error(), Some(0));
    tell("restart");
    client.send(Message::request(FAMILY, 0, GET_INFO, &[]));
    assert_eq!(comes(), [Some(7_000_000_000), Some(8)], "the new director's");
    while client.receive().unwrap().error().is_none() {}
    tell("stop");
    client.send(Message::request(FAMILY, 0, GET_INFO, &[]));
    assert_eq!(comes(), [Some(7_000_000_000), Some(8)], "a refusal");
    assert_eq!(client.receive().unwrap().error(), Some(libc::EBUSY));
}

fn epoll() -> OwnedFd {
    // SAFETY: it takes no memory; the number is ours alone.
    unsafe { OwnedFd::from_raw_fd(libc::epoll_create1(libc::EPOLL_CLOEXEC)) }
}

fn watch(set: &OwnedFd, number: RawFd, data: u64) {
    let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: data };
    // SAFETY: one event.
    assert_eq!(unsafe { libc::epoll_ctl(set.as_raw_fd(), libc::EPOLL_CTL_ADD, number, &mut event) }, 0);
}

/// What there is to be read; None: nothing for long.
fn wait(set: &OwnedFd) -> Option<u64> {
    let mut event = libc::epoll_event { events: 0, u64: 0 };
    // SAFETY: there is room for one event.
    let count = unsafe { libc::epoll_wait(set.as_raw_fd(), &mut event, 1, 10_000) };
    (count == 1).then_some(event.u64)
}

fn silence() {
    let mut client = Client::taken();
    assert_eq!(client.command(GET_INFO), libc::EBUSY);
}

/// A program's own limit is its own business: it is told what it would be told of a kernel.
fn own_limit() {
    let mut client = Client::new();
    set_limit(&client.socket, Duration::from_millis(50));
    assert_eq!(client.family("IPVS"), Ok(FAMILY));
    for _ in 0..2 {
        client.send(Message::request(FAMILY, 0, GET_INFO, &[]));
        assert_eq!(client.receive().unwrap_err().raw_os_error(), Some(libc::EAGAIN));
        set_limit(&client.socket, Duration::from_millis(60));
    }
}

fn absent() {
    let mut client = Client::new();
    assert_eq!(client.family("IPVS"), Err(libc::ENOENT));
    let files = ["/proc/net/ip_vs_conn", "/proc/self/net/ip_vs"].map(|path| File::open(path).unwrap_err().kind());
    assert_eq!(files, [io::ErrorKind::NotFound; 2]);
    tell("start");
    assert_eq!(client.family("IPVS"), Ok(FAMILY));
}

fn forks() {
    let mut client = Client::taken();
    // SAFETY: the child makes system calls and leaves; it allocates a little, which glibc lets a child of several threads do.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let inherited = client.command(GET_INFO) == 0;
        let own = Client::taken().command(GET_INFO) == 0;
        // SAFETY: always sound.
        unsafe { libc::_exit(i32::from(!(inherited && own))) };
    }
    let mut status = 0;
    // SAFETY: there is room for a status.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0);
    assert_eq!(client.command(GET_INFO), 0);
}

/// Sockets come and go, and their numbers become those of others' pipes and sockets, which nothing must happen to.
fn threads() {
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let mut client = Client::taken();
                    assert_eq!(client.command(GET_INFO), 0);
                }
            });
            scope.spawn(|| {
                for _ in 0..100 {
                    let (mut near, mut far) = UnixStream::pair().unwrap();
                    near.write_all(b"one").unwrap();
                    drop(near);
                    let mut said = String::new();
                    far.read_to_string(&mut said).unwrap();
                    assert_eq!(said, "one");
                    assert_eq!(Client::new().family("nlctrl"), Ok(CONTROLLER));
                }
            });
        }
    });
}

/// A number that was the director's becomes another socket's by ways that the library does not see.
fn used_again() {
    let folder = tempfile::tempdir().unwrap();
    let (near, far) = (UnixDatagram::unbound().unwrap(), UnixDatagram::bind(folder.path().join("far")).unwrap());
    let client = Client::taken();
    // SAFETY: both are open.
    assert!(unsafe { libc::dup2(near.as_raw_fd(), client.number()) } >= 0);
    // SAFETY: the number is the datagram socket's now, and the client's socket forgets it.
    let reused = unsafe { UnixDatagram::from(OwnedFd::from_raw_fd(client.number())) };
    std::mem::forget(client);
    far.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    reused.send_to(b"with an address", folder.path().join("far")).unwrap();
    let mut said = [0; 64];
    assert_eq!(far.recv(&mut said).unwrap(), 15);
    far.shutdown(std::net::Shutdown::Both).unwrap();
    let name = reused.local_addr().unwrap();
    assert!(name.is_unnamed(), "{name:?}");
}

/// There the library keeps nothing in mind, so it takes nothing over; but the kernel is not asked either.
fn high_number() {
    let limit = libc::rlimit { rlim_cur: 20_000, rlim_max: 20_000 };
    // SAFETY: the limit is a whole one.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } != 0 {
        println!("skipped: no more than {:?} descriptors here", io::Error::last_os_error());
        return;
    }
    let client = Client::new();
    // SAFETY: it is open.
    let high = unsafe { libc::fcntl(client.number(), libc::F_DUPFD_CLOEXEC, 16_384) };
    assert!(high >= 16_384);
    // SAFETY: nobody else has this number.
    let socket = unsafe { Socket::from_raw_fd(high) };
    let sent = socket.send_to(&Message::family("IPVS", 1).bytes(), &SocketAddr::new(0, 0), 0);
    assert_eq!(sent.unwrap_err().raw_os_error(), Some(libc::EMFILE));
}

fn files() {
    for (path, name) in [
        ("/proc/net/ip_vs_conn", "ip_vs_conn"),
        ("/proc/self/net/ip_vs", "ip_vs"),
        ("/proc/net/ip_vs_stats", "ip_vs_stats"),
        ("/proc/net/ip_vs_stats_percpu", "ip_vs_stats_percpu"),
        ("/proc/thread-self/net/ip_vs_conn_sync", "ip_vs_conn_sync"),
    ] {
        assert_eq!(std::fs::read_to_string(path).unwrap(), text(name), "{path}");
    }
    let written = File::options().write(true).open("/proc/net/ip_vs").unwrap_err();
    assert_eq!(written.kind(), io::ErrorKind::PermissionDenied);
    assert!(std::fs::read_to_string("/proc/net/dev").unwrap().contains("lo:"), "the kernel's");
    let file = File::open("/proc/net/ip_vs").unwrap();
    // SAFETY: this fcntl takes no memory.
    assert_eq!(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFD) }, libc::FD_CLOEXEC);
}

/// Close-on-exec, and non-blocking.
fn flags(socket: &Socket) -> (bool, bool) {
    // SAFETY: this fcntl takes no memory.
    let get = |what| unsafe { libc::fcntl(socket.as_raw_fd(), what) };
    let [of_number, of_file] = [libc::F_GETFD, libc::F_GETFL].map(get);
    (of_number & libc::FD_CLOEXEC != 0, of_file & libc::O_NONBLOCK != 0)
}

fn limit(socket: &Socket) -> Option<Duration> {
    // SAFETY: a Socket's number is open, and the borrow ends before it is closed.
    let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(socket.as_raw_fd()) };
    socket2::SockRef::from(&borrowed).read_timeout().unwrap()
}

fn set_limit(socket: &Socket, limit: Duration) {
    // SAFETY: as above.
    let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(socket.as_raw_fd()) };
    socket2::SockRef::from(&borrowed).set_read_timeout(Some(limit)).unwrap();
}
