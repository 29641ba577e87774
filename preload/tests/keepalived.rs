//! Debian's keepalived with checks of servers on loopback, while directors come and go. Without VRRP, so it changes no interface.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Child;

use socket2::{Domain, Socket, Type};

use crate::library::preloaded;
use crate::mock::{DEL_SERVER, DEL_SERVICE, Manner, Mock, NEW_SERVER, NEW_SERVICE};

/// keepalived, which leaves nothing behind, and its log where a failed test can show it.
struct Keepalived {
    child: Child,
    folder: tempfile::TempDir,
}

impl Keepalived {
    fn start(run_dir: &Path, servers: &[u16]) -> Keepalived {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        std::fs::write(file("conf"), configuration(servers)).unwrap();
        let log = File::create(file("log")).unwrap();
        let mut keepalived = preloaded("keepalived", run_dir);
        keepalived.args(["--check", "--dont-fork", "--log-console", "--log-detail"]);
        for (option, name) in [("--use-file", "conf"), ("--pid", "pid"), ("--checkers_pid", "checkers")] {
            keepalived.arg(option).arg(file(name));
        }
        keepalived.stdout(log.try_clone().unwrap()).stderr(log).process_group(0);
        let child = keepalived.spawn().expect("keepalived is installed (setup/packages.txt)");
        Keepalived { child, folder }
    }

    fn signal(&self, signal: i32) {
        // SAFETY: it takes no memory; the group is keepalived's own.
        unsafe { libc::kill(-(self.child.id() as i32), signal) };
    }

    /// As systemd stops it.
    fn stop(mut self) {
        // SAFETY: it takes no memory; the process has not been waited for.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGTERM) };
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Keepalived {
    fn drop(&mut self) {
        self.signal(libc::SIGKILL);
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("{}", std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default());
        }
    }
}

fn configuration(servers: &[u16]) -> String {
    let server =
        |port: &u16| format!("real_server 127.0.0.1 {port} {{ weight 1\n TCP_CHECK {{ connect_timeout 2 }}\n }}\n");
    let servers: String = servers.iter().map(server).collect();
    format!("virtual_server 192.0.2.10 80 {{ delay_loop 0.1\n lb_algo rr\n lb_kind NAT\n protocol TCP\n {servers} }}\n")
}

#[test]
fn checks_go_on_while_directors_come_and_go() {
    // SAFETY: always sound.
    if unsafe { libc::geteuid() } != 0 {
        println!("skipped: keepalived wants to be root");
        return;
    }
    let run_dir = tempfile::tempdir().unwrap();
    let mock = Mock::start(run_dir.path());
    let (first, second) = (listen(0), listen(0));
    let ports = [&first, &second].map(|server| server.local_addr().unwrap().port());
    let keepalived = Keepalived::start(run_dir.path(), &ports);
    mock.wait_for(NEW_SERVICE, 1);
    mock.wait_for(NEW_SERVER, 2);

    drop(first);
    mock.wait_for(DEL_SERVER, 1);

    // Another director: the next command goes there, on a socket that keepalived opened long ago.
    drop(mock);
    let mock = Mock::start(run_dir.path());
    let first = listen(ports[0]);
    mock.wait_for(NEW_SERVER, 1);

    // It dies with a command unanswered, which must neither hold up keepalived nor make it spin: it removes the server with another check.
    mock.set(Manner::Dies);
    drop(second);
    mock.wait_for_unanswered(DEL_SERVER);
    mock.set(Manner::Answers);
    mock.wait_for(DEL_SERVER, 1);
    drop(first);
    mock.wait_for(DEL_SERVER, 2);

    // None at all: keepalived tries again to add what it could not, so the next director is told of both.
    drop(mock);
    let _first = listen(ports[0]);
    let mock = Mock::start(run_dir.path());
    let _second = listen(ports[1]);
    mock.wait_for(NEW_SERVER, 2);

    keepalived.stop();
    mock.wait_for(DEL_SERVICE, 1);
}

/// A server that is there. Nobody takes its connections up, so there is room for those of many checks.
fn listen(port: u16) -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], port)).into()).unwrap();
    socket.listen(4_096).unwrap();
    socket.into()
}

/// What people are told to paste. It is complained of only because this machine has no such interface.
#[test]
fn the_file_in_the_readme_is_understood() {
    let readme = include_str!("../../README.md");
    let start = readme.find("vrrp_instance web {").expect("README.md has a keepalived.conf");
    let file = readme[start..].split("```").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let conf = folder.path().join("keepalived.conf");
    let complaints = |file: &str| -> Vec<String> {
        std::fs::write(&conf, file).unwrap();
        let mut keepalived = preloaded("keepalived", folder.path());
        let output = keepalived.arg("--config-test").arg("--use-file").arg(&conf).output().unwrap();
        let lines = String::from_utf8(output.stderr).unwrap();
        lines.lines().filter(|line| !line.contains("nterface")).map(String::from).collect()
    };
    assert!(complaints(file).is_empty(), "{:?}", complaints(file));
    assert_eq!(complaints(&file.replace("delay_loop", "delay_lop")).len(), 1, "the test cannot tell");
}
