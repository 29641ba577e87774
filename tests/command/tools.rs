//! The sockets of ipvsadm and keepalived, of a director in a process of its own: what was acknowledged outlives it, however it ends.

use crate::director::Director;
use crate::run::QUIET;
use ipvs_netlink::{Edit, Flags, FlagsTold, ForwardMethod, RealServerTold, ServiceId, ServiceTold, Tunnel};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketType, connect, recv, send, socket};
use rustix::process::Signal;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

fn service(port: u16) -> ServiceId {
    ServiceId::Endpoint { protocol: 6, address: SocketAddr::new([198, 51, 100, 10].into(), port) }
}

fn new_service(port: u16) -> Edit {
    let flags = FlagsTold::all(Flags::default());
    let told = ServiceTold { scheduler: Some("rr".into()), engine: None, flags, timeout_s: 0, netmask: u32::MAX };
    Edit::AddService(service(port), told)
}

fn new_server(port: u16) -> Edit {
    let (method, tunnel) = (ForwardMethod::Masquerade, Tunnel::Ipip);
    let told = RealServerTold { method, tunnel, weight: 7, upper_threshold: 0, lower_threshold: 0 };
    Edit::AddServer(service(port), SocketAddr::new([192, 0, 2, 11].into(), port), told)
}

/// Has a director do something, and gives its error; 0: it is done.
fn ask(director: &Director, edit: &Edit) -> i32 {
    let socket = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
    connect(&socket, &SocketAddrUnix::new(director.run_dir().join("ipvs.sock")).unwrap()).unwrap();
    let mut request = Vec::new();
    edit.put_request(1, &mut request);
    send(&socket, &request, SendFlags::empty()).unwrap();
    let mut answer = [0; 1_024];
    let (length, _) = recv(&socket, &mut answer, RecvFlags::empty()).unwrap();
    assert!(length >= 36, "{}", director.output());
    i32::from_ne_bytes(answer[16..20].try_into().unwrap())
}

/// The kernel's list of services.
pub fn listed(director: &Director) -> String {
    let mut stream = UnixStream::connect(director.run_dir().join("proc.sock")).unwrap();
    stream.write_all(b"ip_vs\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text.lines().skip(3).map(|line| format!("{}\n", line.trim_end())).collect()
}

#[test]
fn what_a_killed_director_acknowledged_the_next_one_has() {
    let folder = tempfile::tempdir().unwrap();
    let director = Director::start(folder.path(), "adaptive", QUIET).unwrap();
    for socket in ["ipvs.sock", "proc.sock"] {
        let mode = std::fs::metadata(director.run_dir().join(socket)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{socket}");
    }
    assert_eq!(ask(&director, &new_service(80)), 0);
    assert_eq!(ask(&director, &new_server(80)), 0);
    assert_eq!(ask(&director, &new_server(80)), -17, "it is there");
    let before = listed(&director);
    assert_eq!(before, "TCP  C633640A:0050 rr\n  -> C000020B:0050      Masq    7      0          0\n");
    assert_eq!(ask(&director, &new_service(81)), 0);
    director.end(Signal::KILL);

    let director = Director::start(folder.path(), "adaptive", QUIET).unwrap();
    assert_eq!(listed(&director), before + "TCP  C633640A:0051 rr\n");
    assert!(director.output().contains("2 services that tools had made are there again"), "{}", director.output());
    assert_eq!(ask(&director, &Edit::Flush), 0);
    assert!(director.end(Signal::TERM).0.success());

    let director = Director::start(folder.path(), "adaptive", QUIET).unwrap();
    assert_eq!(listed(&director), "");
    assert!(director.end(Signal::TERM).0.success());
}

#[test]
fn a_group_that_there_is_not_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let text = crate::director::sections(&folder.path().join("run"), "adaptive");
    let text = text.replacen("[director]\n", "[director]\ngroup = \"no-such-group\"\n", 1) + QUIET;
    let file = folder.path().join("uvs.toml");
    std::fs::write(&file, text).unwrap();
    let (status, output) = Director::ends_by_itself(&file);
    assert_eq!(status.code(), Some(1));
    assert_eq!(output, "uvs: director.group: found \"no-such-group\"; must be a group of this machine\n");
}
