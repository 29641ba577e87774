//! What the demo needs of the machine. Each thing that is missing is one line with its cure, before anything is built.

use std::fs::{self, OpenOptions};
use std::path::Path;

use rustix::process::geteuid;

use super::Failure;

/// Programs of the demo and of the network it builds.
const PROGRAMS: [&str; 7] = ["ip", "nginx", "curl", "sysctl", "setpriv", "timeout", "ethtool"];
/// The kernel's numbers of the capabilities (capabilities(7)).
const CAPABILITIES: [(&str, u32); 3] = [("NET_ADMIN", 12), ("NET_RAW", 13), ("SYS_ADMIN", 21)];
const TUN_DEVICE: &str = "/dev/net/tun";

/// Fails with what is missing and how to get it.
pub fn check() -> Result<(), Failure> {
    if !geteuid().is_root() {
        return Err(Failure::new("network namespaces need root: run it again with sudo"));
    }
    let missing = missing_capabilities();
    if !missing.is_empty() {
        let options: Vec<String> = missing.iter().map(|name| format!("--cap-add {name}")).collect();
        return Err(Failure::new(format!(
            "root without CAP_{}: in a container, start it with {} --device {TUN_DEVICE} (or --privileged)",
            missing.join(", CAP_"),
            options.join(" ")
        )));
    }
    if let Err(error) = OpenOptions::new().read(true).write(true).open(TUN_DEVICE) {
        return Err(Failure::new(format!(
            "{TUN_DEVICE}: {error}: load the module (`modprobe tun`), or start the container with --device {TUN_DEVICE}"
        )));
    }
    let missing: Vec<&str> = PROGRAMS.into_iter().filter(|program| !on_path(program)).collect();
    if !missing.is_empty() {
        return Err(Failure::new(format!(
            "not found: {}: run `make setup`, with /usr/sbin in PATH",
            missing.join(", ")
        )));
    }
    Ok(())
}

fn missing_capabilities() -> Vec<&'static str> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = effective.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(0);
    CAPABILITIES.into_iter().filter(|(_, number)| bits >> number & 1 == 0).map(|(name, _)| name).collect()
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| Path::new(&directory).join(program).is_file())
}
