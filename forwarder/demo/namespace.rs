//! Network namespaces, made with iproute2. A namespace's name carries the process id of its maker (`uvs-<pid>-<number>-<role>`), so that
//! runs do not meet, and what a run that was killed with -9 left behind is found by the next.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::Failure;
use super::plan::Family;
use super::wait::{PATIENCE, wait_until};

/// Start of the names of everything we make: namespaces and directories.
const NAME_PREFIX: &str = "uvs-";
/// Where iproute2 keeps namespaces.
const NAMESPACES_DIR: &str = "/run/netns";
/// Where EAL keeps its sockets and locks, in a directory named after `--file-prefix`.
const EAL_DIR: &str = "/var/run/dpdk";
/// Environment variable of everything that runs in a namespace: the namespace's name, by which a test finds what is left.
pub const NETWORK_VARIABLE: &str = "UVS_NETWORK";

/// One namespace; on drop its processes are killed and it is deleted, with every interface in it.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes an empty namespace with `lo` up. `tag` is [`run_tag`]'s, `role` is "client", "s1"...
    pub fn create(tag: &str, role: &str) -> Result<Namespace, Failure> {
        let namespace = Namespace { name: format!("{tag}-{role}") };
        succeed(Command::new("ip").args(["netns", "add", &namespace.name]))?;
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// Its name, as `ip netns` knows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs commands of `ip`, one a line, without the word `ip`.
    pub fn ip(&self, lines: &str) -> Result<(), Failure> {
        self.batch(&[], lines)
    }

    /// The same for commands that are about one address family.
    pub fn ip_of(&self, family: Family, lines: &str) -> Result<(), Failure> {
        self.batch(if family == Family::V4 { &["-4"] } else { &["-6"] }, lines)
    }

    fn batch(&self, options: &[&str], lines: &str) -> Result<(), Failure> {
        let mut child = Command::new("ip")
            .args(options)
            .args(["-n", &self.name, "-batch", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| Failure::new(format!("`ip` cannot be started: {error}")))?;
        if let Some(mut stdin) = child.stdin.take() {
            // A line that `ip` does not like ends it; what it says then is more useful than that it does not read on.
            let _ = stdin.write_all(lines.as_bytes());
        }
        let output = child.wait_with_output().map_err(|error| Failure::new(format!("`ip`: {error}")))?;
        if output.status.success() {
            return Ok(());
        }
        Err(Failure::new(format!("ip -n {}: {} (of:\n{lines})", self.name, text(&output.stderr))))
    }

    /// Sets kernel parameters ("net.ipv4.ip_forward=0") of this namespace.
    pub fn sysctl(&self, settings: &[&str]) -> Result<(), Failure> {
        self.run("sysctl", &[&["-q", "-w"], settings].concat()).map(drop)
    }

    /// A command that runs inside; killed by the kernel when the thread that starts it ends.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("setpriv");
        command.env(NETWORK_VARIABLE, &self.name);
        command.args(["--pdeathsig", "KILL", "ip", "netns", "exec", &self.name]).arg(program.as_ref());
        command
    }

    /// Runs a program inside to its end and gives what it printed. Fails if the program does, or takes longer than [`PATIENCE`].
    pub fn run(&self, program: &str, args: &[&str]) -> Result<String, Failure> {
        let mut command = self.command("timeout");
        command.args(["-k", "1", &PATIENCE.as_secs().to_string(), program]).args(args);
        succeed(&mut command).map(|output| text(&output.stdout))
    }

    /// An interface of that name is here and up.
    pub fn is_up(&self, interface: &str) -> Result<bool, Failure> {
        let links = succeed(Command::new("ip").args(["-n", &self.name, "-oneline", "link", "show", "up"]))?;
        Ok(text(&links.stdout).lines().any(|line| line.split([' ', ':', '@']).any(|word| word == interface)))
    }

    /// An interface of that name is here.
    pub fn has_interface(&self, interface: &str) -> Result<bool, Failure> {
        let links = succeed(Command::new("ip").args(["-n", &self.name, "-brief", "link"]))?;
        let name = |line: &str| line.split([' ', '@']).next() == Some(interface);
        Ok(text(&links.stdout).lines().any(name))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// The names of run `number` of this process start with this.
pub fn run_tag(number: u32) -> String {
    format!("{NAME_PREFIX}{}-{number}", std::process::id())
}

/// Removes what runs left behind that were killed before they could clean up: namespaces, the processes in them, directories.
/// Gives the names of what it removed.
pub fn sweep_dead_runs() -> Vec<String> {
    sweep(|pid| !Path::new("/proc").join(pid.to_string()).exists())
}

/// Removes everything this process made and still has.
pub fn sweep_own_run() -> Vec<String> {
    sweep(|pid| pid == std::process::id())
}

fn sweep(of: impl Fn(u32) -> bool) -> Vec<String> {
    let mut names = names_in(Path::new(NAMESPACES_DIR), &of);
    for name in &names {
        remove(name);
    }
    for parent in [std::env::temp_dir(), EAL_DIR.into()] {
        for name in names_in(&parent, &of) {
            remove_path(&parent.join(&name));
            names.insert(name);
        }
    }
    names.into_iter().collect()
}

/// Whether the kernel can make an interface of this type: some are modules that a machine may lack.
pub fn kernel_has(kind: &str) -> Result<bool, Failure> {
    let scratch = Namespace::create(&run_tag(0), "probe")?;
    Ok(scratch.ip(&format!("link add link lo name probe type {kind}\n")).is_ok())
}

/// Removes the files of one run.
pub fn remove_files(tag: &str) {
    for parent in [std::env::temp_dir(), EAL_DIR.into()] {
        remove_path(&parent.join(tag));
    }
}

fn remove_path(path: &Path) {
    let _ = fs::remove_dir_all(path).or_else(|_| fs::remove_file(path));
}

/// Entries of a directory that were made by a process of which `of` is true.
fn names_in(directory: &Path, of: impl Fn(u32) -> bool) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| maker(name).is_some_and(&of))
        .collect()
}

/// The process id in a name.
fn maker(name: &str) -> Option<u32> {
    name.strip_prefix(NAME_PREFIX)?.split('-').next()?.parse().ok()
}

/// Kills what runs in a namespace and deletes it. Nobody is there to hear of a failure: the next run tries again.
fn remove(name: &str) {
    let _ = wait_for_death(name);
    let _ = Command::new("ip").args(["netns", "del", name]).stderr(Stdio::null()).status();
}

fn wait_for_death(name: &str) -> Result<(), Failure> {
    let start = Instant::now();
    loop {
        let pids = succeed(Command::new("ip").args(["netns", "pids", name]))?;
        let pids: Vec<i32> = text(&pids.stdout).split_whitespace().filter_map(|word| word.parse().ok()).collect();
        // A zombie is still listed until its parent has asked for it: that is no reason to wait.
        let living: Vec<Pid> = pids.into_iter().filter(|&pid| !is_zombie(pid)).filter_map(Pid::from_raw).collect();
        for &pid in &living {
            let _ = kill_process(pid, Signal::KILL);
        }
        if living.is_empty() || start.elapsed() > PATIENCE {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn is_zombie(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_none_or(|rest| rest.trim_start().starts_with(['Z', 'X']) || rest.is_empty())
}

/// Runs a command to its end; a failure says what it was and what it said.
pub(super) fn succeed(command: &mut Command) -> Result<Output, Failure> {
    let words = || {
        let args = command.get_args().map(|word| word.to_string_lossy().into_owned());
        let words: Vec<String> =
            [command.get_program().to_string_lossy().into_owned()].into_iter().chain(args).collect();
        words.join(" ")
    };
    let said = words();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Failure::new(format!("`{said}` cannot be started: {error}")))?;
    if output.status.success() {
        return Ok(output);
    }
    let words = [text(&output.stdout), text(&output.stderr)].concat();
    Err(Failure::new(format!("`{said}`: {}: {}", output.status, words.trim())))
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Waits until `interface` has appeared in `namespace`.
pub(super) fn wait_for_interface(namespace: &Namespace, interface: &str) -> Result<(), Failure> {
    let what = format!("{interface} appeared in {}", namespace.name());
    wait_until(&what, || namespace.has_interface(interface))
}
