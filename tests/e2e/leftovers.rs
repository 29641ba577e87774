//! Nothing may be left of a run: no namespace, no interface, no process, no file. Everything a run makes carries its process id.

use std::fs;
use std::path::Path;

use uvs::demo::Failure;
use uvs::demo::namespace::NETWORK_VARIABLE;

/// Fails with a list of what is left of the runs of process `pid`.
pub fn check(pid: u32) -> Result<(), Failure> {
    let prefix = format!("uvs-{pid}-");
    let mut left = Vec::new();
    for directory in [Path::new("/run/netns"), &std::env::temp_dir(), Path::new("/var/run/dpdk")] {
        left.extend(entries(directory, &prefix).map(|name| directory.join(name).display().to_string()));
    }
    left.extend(entries(Path::new("/sys/class/net"), "uvs-").map(|name| format!("interface {name}")));
    left.extend(processes(&prefix));
    if left.is_empty() { Ok(()) } else { Err(Failure::new(format!("left behind: {}", left.join(", ")))) }
}

fn entries(directory: &Path, prefix: &str) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(move |name| name.starts_with(prefix))
}

/// Everything that was started in a namespace of a run has the network's name in its environment.
fn processes(prefix: &str) -> Vec<String> {
    let mark = format!("{NETWORK_VARIABLE}={prefix}");
    let marked = |pid: &String| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|&byte| byte == 0).any(|variable| variable.starts_with(mark.as_bytes()))
    };
    let pids = entries(Path::new("/proc"), "").filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    pids.filter(marked).map(|pid| format!("process {pid} ({})", command_line(&pid))).collect()
}

fn command_line(pid: &str) -> String {
    fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default().replace('\0', " ").trim_end().to_owned()
}
