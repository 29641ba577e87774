//! Other users than root at the tools' sockets: who is in `director.group` may look and nothing else, and whatever such a user does to the
//! sockets, root's tools go on. The user is a real one of this machine, so it needs root.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Signal, geteuid};
use uvs::demo::process::Process;
use uvs::demo::wait::wait_until;

use crate::director::{Director, sections};
use crate::exec::Installed;
use crate::program::Outcome;
use crate::run::QUIET;

/// A user and a group that every Debian has: nobody and nogroup.
const NOBODY: u32 = 65_534;
/// Another group, of nobody's concern.
const OTHER_GROUP: u32 = 65_533;
/// So many that a list of them fits in no socket's buffer.
const SERVICES: usize = 1_500;

struct Site {
    director: Director,
    installed: Installed,
    folder: tempfile::TempDir,
}

impl Site {
    fn new() -> Site {
        let (folder, installed) = (tempfile::tempdir().unwrap(), Installed::new());
        for folder in [folder.path(), installed.folder()] {
            fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
        }
        let text = sections(&folder.path().join("run"), "adaptive").replacen(
            "[director]\n",
            "[director]\ngroup = \"nogroup\"\n",
            1,
        );
        let director = Director::start_with(folder.path(), &(text + QUIET)).unwrap();
        Site { director, installed, folder }
    }

    /// ipvsadm, as root or as nobody in this group.
    fn ipvsadm(&self, group: Option<u32>, arguments: &str, input: &str) -> Outcome {
        let uvs = self.installed.uvs();
        let mut command = match group {
            Some(group) => as_nobody(group, uvs.get_program().as_ref()),
            None => Command::new(uvs.get_program()),
        };
        command.env_remove("LD_PRELOAD").env("LC_ALL", "C").args(["exec", "--run-dir"]).arg(self.director.run_dir());
        command.args(["--", "/usr/sbin/ipvsadm"]).args(arguments.split(' '));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        // Who is refused looks for the kernel's module, which this machine may not have.
        let errors = text(output.stderr).lines().filter(|line| !line.contains("modprobe")).collect();
        Outcome { status: output.status.code(), out: text(output.stdout), errors }
    }
}

fn as_nobody(group: u32, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &NOBODY.to_string(), "--regid", &group.to_string(), "--clear-groups"]).arg(program);
    command
}

fn is_root() -> bool {
    let root = geteuid().is_root();
    if !root {
        println!("skipped: only root can be another user");
    }
    root
}

#[test]
fn the_group_may_look_and_nothing_else() {
    if !is_root() {
        return;
    }
    let site = Site::new();
    let rules = "-A -t 198.51.100.10:80 -s rr\n-a -t 198.51.100.10:80 -r 192.0.2.11:80 -m -w 7\n-A -f 5 -s wlc -p 60\n";
    let done = Outcome { status: Some(0), out: String::new(), errors: String::new() };
    assert_eq!(site.ipvsadm(None, "-R", rules), done);
    for look in ["-Ln", "-Lnc", "-Ln --stats", "-L --timeout", "-Ln -t 198.51.100.10:80", "-S -n"] {
        let roots = site.ipvsadm(None, look, "");
        assert_eq!((roots.status, roots.errors.as_str()), (Some(0), ""), "{look}");
        assert_eq!(site.ipvsadm(Some(NOBODY), look, ""), roots, "{look}");
        let refused = site.ipvsadm(Some(OTHER_GROUP), look, "");
        assert!(refused.status != Some(0) && refused.out.is_empty(), "{look}: {refused:?}");
    }
    for change in [
        "-A -t 198.51.100.11:80 -s rr",
        "-E -t 198.51.100.10:80 -s wrr",
        "-D -t 198.51.100.10:80",
        "-a -t 198.51.100.10:80 -r 192.0.2.12:80 -m",
        "-e -t 198.51.100.10:80 -r 192.0.2.11:80 -m -w 0",
        "-d -t 198.51.100.10:80 -r 192.0.2.11:80",
        "-Z",
        "-C",
        "--set 1 2 3",
    ] {
        let refused = site.ipvsadm(Some(NOBODY), change, "");
        assert_eq!(refused.status, Some(255), "{change}: {refused:?}");
        assert!(refused.errors.ends_with("Permission denied (you must be root)"), "{change}: {refused:?}");
    }
    assert_eq!(site.ipvsadm(None, "-S -n", "").out, rules);
    assert_eq!(site.ipvsadm(None, "-L --timeout", "").out, "Timeout (tcp tcpfin udp): 900 120 300\n");
    assert!(site.director.end(Signal::TERM).0.success());
}

/// As many connections as there can be, all of which send requests and garbage as fast as they go and read nothing.
const FLOOD: &str = r#"
import os, socket, struct, sys
lists = struct.pack("=IHHIIBBH", 20, 0x2f, 0x301, 1, 0, 4, 1, 0)
kinds = [("ipvs.sock", socket.SOCK_SEQPACKET, lists), ("proc.sock", socket.SOCK_STREAM, b"ip_vs\n")]
held, rounds = {}, 0
while True:
    for number in range(200):
        name, kind, request = kinds[number % 2]
        try:
            if number not in held:
                held[number] = socket.socket(socket.AF_UNIX, kind)
                held[number].setblocking(False)
                held[number].connect(sys.argv[1] + "/" + name)
                held[number].send(request)
            held[number].send(request if rounds % 2 else os.urandom(1000))
        except BlockingIOError:
            pass
        except OSError:
            held.pop(number).close()
    rounds += 1
    if rounds == 50:
        print("flooding", flush=True)
"#;

#[test]
fn who_floods_and_reads_nothing_keeps_nobody_out() {
    if !is_root() {
        return;
    }
    let site = Site::new();
    let rules: String = (1..=SERVICES).map(|port| format!("-A -t 198.51.100.10:{port} -s rr\n")).collect();
    let done = Outcome { status: Some(0), out: String::new(), errors: String::new() };
    assert_eq!(site.ipvsadm(None, "-R", &rules), done);
    let mut command = as_nobody(NOBODY, Path::new("/usr/bin/python3"));
    command.args(["-c", FLOOD]).arg(site.director.run_dir());
    let mut flood = Process::start("the flood", &mut command, &site.folder.path().join("flood")).unwrap();
    let flooding = wait_until("it flooded", || {
        flood.check_running()?;
        Ok(flood.output().contains("flooding"))
    });
    flooding.unwrap_or_else(|failure| panic!("{failure}\n{}", flood.output()));
    for round in 1..=5 {
        let rule = format!("-A -f {round} -s rr");
        assert_eq!(site.ipvsadm(None, &rule, ""), done);
        let listed = site.ipvsadm(None, &format!("-Ln -f {round}"), "");
        assert!(listed.out.ends_with(&format!("FWM  {round} rr\n")), "{listed:?}");
        assert_eq!(site.ipvsadm(None, "-Lnc", "").out.lines().count(), 2);
    }
    flood.check_running().unwrap();
    drop(flood);
    let again =
        wait_until("the group could look again", || Ok(site.ipvsadm(Some(NOBODY), "-Ln -f 1", "").status == Some(0)));
    again.unwrap_or_else(|failure| panic!("{failure}\n{}", site.director.output()));
    assert!(site.director.end(Signal::TERM).0.success());
}
