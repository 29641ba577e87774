//! Debian's keepalived by `uvs exec`, a director in a process of its own that is killed and started again or stopped for a while, and
//! servers on loopback that are checked all the while. Without VRRP, so it changes no interface.

mod kinds;
mod options;

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use rustix::process::{Signal, geteuid};
use socket2::{Domain, Socket, Type};
use uvs::demo::process::Process;
use uvs::demo::wait::wait_until;

use crate::director::Director;
use crate::exec::Installed;
use crate::run::QUIET;
use crate::tools::listed;

/// Checks ten times a second cost little; one that spins while a director is away or says nothing takes all there is, for seconds.
const PROCESSOR_S_MAX: f64 = 1.5;

/// A server that is there. Nobody takes its connections up, so there is room for those of many checks.
fn listen(port: u16) -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], port)).into()).unwrap();
    socket.listen(4_096).unwrap();
    socket.into()
}

/// The process ends with it. What it needs is in `folder`, with its file.
fn start(installed: &Installed, run_dir: &Path, folder: &Path, conf: &str) -> Process {
    fs::write(folder.join("conf"), conf).unwrap();
    let mut uvs = installed.uvs();
    uvs.arg("--run-dir").arg(run_dir).args(["--", "/usr/sbin/keepalived", "--check", "--dont-fork", "--log-console"]);
    for (option, name) in [("--use-file", "conf"), ("--pid", "pid"), ("--checkers_pid", "checkers")] {
        uvs.arg(option).arg(folder.join(name));
    }
    Process::start("keepalived", &mut uvs, &folder.join("log")).unwrap()
}

#[test]
fn a_killed_director_started_again_has_what_keepalived_wants() {
    if !geteuid().is_root() {
        println!("skipped: keepalived wants to be root");
        return;
    }
    let (folder, installed) = (tempfile::tempdir().unwrap(), Installed::new());
    let director = Director::start(folder.path(), "adaptive", QUIET).unwrap();
    let (first, second) = (listen(0), listen(0));
    let ports = [&first, &second].map(|server| server.local_addr().unwrap().port());
    let server = |port| format!("real_server 127.0.0.1 {port} {{ weight 1\n TCP_CHECK {{ connect_timeout 2 }}\n }}\n");
    let servers = ports.map(server).concat();
    let conf = format!(
        "virtual_server 198.51.100.10 80 {{ delay_loop 0.1\n lb_algo rr\n lb_kind NAT\n protocol TCP\n {servers} }}\n"
    );
    let mut keepalived = start(&installed, director.run_dir(), folder.path(), &conf);
    shows(&mut keepalived, &director, &ports);
    drop(first);
    shows(&mut keepalived, &director, &ports[1..]);

    // While it is away, one comes back and the other goes.
    director.end(Signal::KILL);
    let first = listen(ports[0]);
    drop(second);
    let director = Director::start(folder.path(), "adaptive", QUIET).unwrap();
    shows(&mut keepalived, &director, &ports[..1]);

    // One that is stopped and holds what it is told: keepalived gives it up, and goes on with it when it goes on.
    let given_up = |keepalived: &Process| keepalived.output().matches("error: Device or resource busy").count();
    let before = given_up(&keepalived);
    director.signal(Signal::STOP);
    drop(first);
    wait_until("keepalived gave the director up", || Ok(given_up(&keepalived) > before)).unwrap();
    director.signal(Signal::CONT);
    shows(&mut keepalived, &director, &[]);
    let _first = listen(ports[0]);
    shows(&mut keepalived, &director, &ports[..1]);
    let checkers = fs::read_to_string(folder.path().join("checkers")).unwrap();
    let processor_s = processor_s(checkers.trim());
    assert!(processor_s < PROCESSOR_S_MAX, "its checkers took {processor_s} s of a processor");

    keepalived.stop().unwrap();
    assert_eq!(listed(&director), "", "it takes its services with it");
}

/// Waits until the director has these servers and no others.
fn shows(keepalived: &mut Process, director: &Director, servers: &[u16]) {
    let row = |port: u16| format!("  -> 7F000001:{port:04X}      Masq    1      0          0\n");
    let waited = wait_until(&format!("the director had the servers {servers:?}"), || {
        keepalived.check_running()?;
        let listed = listed(director);
        let rows = servers.iter().all(|port| listed.contains(&row(*port)));
        Ok(listed.starts_with("TCP  C633640A:0050 rr\n") && rows && listed.lines().count() == 1 + servers.len())
    });
    waited.unwrap_or_else(|failure| panic!("{failure}\n{}\n{}", listed(director), keepalived.output()));
}

/// What a process of one thread took since it began.
fn processor_s(process: &str) -> f64 {
    let schedstat = fs::read_to_string(format!("/proc/{process}/schedstat")).unwrap();
    schedstat.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}
