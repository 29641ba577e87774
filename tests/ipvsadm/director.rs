//! A director that tools can reach: the lab's, with its sockets in a folder of its own.

use crate::kit::Lab;
use crate::library::library;
use control::{IpvsSocket, ProcSocket, RunDir, show};
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use uvs::director::Answering;

/// No tool takes so long, on any machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// Bytes of a tool's input that may wait for it: what a pipe takes.
const INPUT_BYTES_MAX: usize = 64 * 1024;

/// A director with its sockets.
pub struct Director {
    pub lab: Lab,
    ipvs: IpvsSocket,
    proc_net: ProcSocket,
    folder: TempDir,
}

/// How a command ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ended {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Director {
    pub fn new(config: &str) -> Director {
        let folder = TempDir::new().unwrap();
        let mut lab = Lab::new(config);
        lab.control.restore(folder.path());
        let run_dir = RunDir::claim(folder.path()).unwrap();
        let (ipvs, proc_net) = (IpvsSocket::bind(&run_dir, None).unwrap(), ProcSocket::bind(&run_dir, None).unwrap());
        Director { lab, ipvs, proc_net, folder }
    }

    /// Runs a line of the shell with the library loaded, and serves it. It is alone in a network namespace: a name that it looks
    /// up is asked of nobody. None: this user cannot be another one.
    pub fn run(&mut self, line: &str, input: Option<&str>, user: Option<u32>) -> Option<Ended> {
        let is_root = rustix::process::geteuid().is_root();
        let mut command = Command::new("unshare");
        command.args(if is_root { &["--net"][..] } else { &["--user", "--map-root-user", "--net"] });
        if let Some(user) = user {
            if !is_root {
                return None;
            }
            command.args(["setpriv", "--clear-groups", "--regid", &user.to_string(), "--reuid", &user.to_string()]);
        }
        // The shell takes the library too, which minds nothing but what concerns IPVS.
        command.arg("env").arg(format!("LD_PRELOAD={}", library().display()));
        command.arg(format!("UVS_RUN_DIR={}", self.folder.path().display())).args(["LC_ALL=C", "sh", "-c", line]);
        let (mut stdout, mut stderr) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        command.stdout(stdout.try_clone().unwrap()).stderr(stderr.try_clone().unwrap()).stdin(Stdio::piped());
        let mut child = command.spawn().expect("unshare, of util-linux");
        let input = input.unwrap_or_default();
        assert!(input.len() < INPUT_BYTES_MAX);
        // Who does not read it has ended.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let start = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status.code().unwrap_or(-1);
            }
            if start.elapsed() > PATIENCE {
                let _ = child.kill();
                panic!("{line}: does not end");
            }
            self.turn();
        };
        Some(Ended { status, stdout: text(&mut stdout), stderr: text(&mut stderr) })
    }

    /// Serves whoever is there, or waits a millisecond for somebody.
    fn turn(&mut self) {
        let now_ms = self.lab.now_ms;
        let busy = self.ipvs.turn(&mut self.lab.control, now_ms);
        let ports = || show::Ports::default();
        let busy = self.proc_net.turn(&mut Answering { control: &mut self.lab.control, ports: &ports }, now_ms) || busy;
        self.lab.settle();
        if !busy {
            control::wait(self.ipvs.wakers().chain(self.proc_net.wakers()), Duration::from_millis(1));
        }
    }
}

fn text(file: &mut File) -> String {
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    text
}
