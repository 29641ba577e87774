//! The stock programs that make the traffic, and what their output must say.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use serde_json::Value;
use uvs::demo::Failure;
use uvs::demo::namespace::Namespace;
use uvs::demo::plan::{Protocol, protocol_word};
use uvs::demo::servers::{PAGE, Server, UPLOADS};
use uvs::demo::wait::wait_until;

/// A transfer of 20 MB takes well under a second; a stalled one is ended.
const TRANSFER_SECONDS_MAX: &str = "100";
/// Conns that wrk keeps open at once.
const WRK_CONNS: &str = "300";
/// How long wrk runs.
const WRK_SECONDS: &str = "1";
/// What iperf3 sends by TCP, for each direction of each service.
const TCP_BYTES: &str = "20M";
/// iperf3's UDP: far below what the devices carry, so that a loss is ours.
const UDP_RATE: &str = "5M";
/// See [`iperf3`].
const IPERF_RUNS_MAX: usize = 5;
/// What it sends by UDP: fewer datagrams than a device's queue holds, should nobody come for a while.
const UDP_BYTES: &str = "250K";
/// Inner packet of 1428 bytes: fits every tunnel.
pub const DATAGRAM_BYTES: &str = "1400";
/// Fourteen fragments on the wire.
pub const LONG_DATAGRAM_BYTES: &str = "20000";
/// Three fragments.
const LONG_ECHO_BYTES: &str = "4000";
/// A machine that does other things may lose a datagram in a socket's buffer.
const UDP_LOSS_PERCENT_MAX: f64 = 2.0;

/// Each address must answer an echo request.
pub fn ping(client: &Namespace, address: IpAddr) -> Result<(), Failure> {
    client.run("ping", &["-n", "-c", "2", "-i", "0.2", "-W", "20", &address.to_string()]).map(drop)
}

/// The same with requests and replies in fragments.
pub fn ping_in_fragments(client: &Namespace, address: IpAddr) -> Result<(), Failure> {
    let args = ["-n", "-c", "2", "-i", "0.2", "-W", "20", "-M", "dont", "-s", LONG_ECHO_BYTES, &address.to_string()];
    client.run("ping", &args).map(drop)
}

/// A port must refuse what comes to it. The shell's own sockets: UDP too hears of an ICMP error, at its next call.
pub fn refused(client: &Namespace, protocol: Protocol, at: SocketAddr) -> Result<(), Failure> {
    let socket = format!("/dev/{}/{}/{}", protocol_word(protocol), at.ip(), at.port());
    let script = format!("exec 2>&1; exec 3<>{socket} || exit 0; echo >&3; read -r -t 20 -u 3; echo; exit 0");
    let said = client.run("bash", &["-c", &script])?;
    if said.contains("Connection refused") {
        return Ok(());
    }
    Err(Failure::new(format!("{socket} should refuse, the client heard \"{}\"", said.trim())))
}

/// SHA-256 of a file, by coreutils.
pub fn sha256(file: &Path) -> Result<String, Failure> {
    let failure = |why: String| Failure::new(format!("sha256sum {}: {why}", file.display()));
    let output =
        std::process::Command::new("sha256sum").arg(file).output().map_err(|error| failure(error.to_string()))?;
    let digest = String::from_utf8_lossy(&output.stdout).split(' ').next().map(str::to_owned);
    digest
        .filter(|digest| digest.len() == 64)
        .ok_or_else(|| failure(String::from_utf8_lossy(&output.stderr).into_owned()))
}

/// Fetches `/big` and compares its digest.
pub fn download(client: &Namespace, vip: SocketAddr, to: &Path, digest: &str) -> Result<(), Failure> {
    let file = to.display().to_string();
    curl(client, &["-o", &file, &format!("http://{vip}/big")])?;
    same_digest(&format!("download from {vip}"), to, digest)
}

/// Puts `file`, finds the server that got it, compares there.
pub fn upload(
    client: &Namespace,
    vip: SocketAddr,
    servers: &[Server],
    file: &Path,
    digest: &str,
) -> Result<(), Failure> {
    let name = "upload";
    curl(client, &["-T", &file.display().to_string(), &format!("http://{vip}{UPLOADS}{name}")])?;
    let stored = servers.iter().map(|server| server.upload(name)).find(|stored| stored.exists());
    let stored = stored.ok_or_else(|| Failure::new(format!("upload to {vip}: no real server has the file")))?;
    let result = same_digest(&format!("upload to {vip}"), &stored, digest);
    fs::remove_file(&stored).map_err(|error| Failure::new(format!("{}: {error}", stored.display())))?;
    result
}

fn curl(client: &Namespace, args: &[&str]) -> Result<(), Failure> {
    let common =
        ["-q", "--silent", "--show-error", "--fail", "--globoff", "--noproxy", "*", "--max-time", TRANSFER_SECONDS_MAX];
    client.run("curl", &[&common, args].concat()).map(drop)
}

/// The page, whatever server it comes from.
pub fn fetch(client: &Namespace, vip: SocketAddr) -> Result<String, Failure> {
    let common = ["-q", "-sSfg", "--noproxy", "*", "--max-time", TRANSFER_SECONDS_MAX];
    client.run("curl", &[&common[..], &[&format!("http://{vip}{PAGE}")]].concat())
}

/// A file must have this SHA-256.
pub fn same_digest(what: &str, file: &Path, digest: &str) -> Result<(), Failure> {
    let found = sha256(file)?;
    if found == digest {
        return Ok(());
    }
    let bytes = fs::metadata(file).map_or(0, |metadata| metadata.len());
    Err(Failure::new(format!("{what}: {bytes} bytes with SHA-256 {found}, sent was {digest}")))
}

/// Hundreds of conns at once, each request a new one. Gives requests per second. None may fail; a second in which none ended, on a
/// machine that does other things, does not count.
pub fn wrk(client: &Namespace, vip: SocketAddr) -> Result<f64, Failure> {
    let url = format!("http://{vip}{PAGE}");
    let mut rate = 0.0;
    wait_until(&format!("wrk had an answer from {url}"), || {
        let output = client.run("wrk", &["-t", "2", "-c", WRK_CONNS, "-d", WRK_SECONDS, "--timeout", "20", &url])?;
        let found = output.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:")?.trim().parse().ok());
        let failed = output.contains("Socket errors") || output.contains("Non-2xx");
        rate = found.filter(|_| !failed).ok_or_else(|| Failure::new(format!("wrk {url}:\n{output}")))?;
        Ok(rate > 0.0)
    })?;
    Ok(rate)
}

/// iperf3 in one direction, `reverse` from the server, UDP in datagrams of so many bytes. Gives Mbit/s that arrived. On a machine
/// that does other things a server may still be at its last run, or come too late to its socket's buffer: the best of a few runs
/// counts.
pub fn iperf3(
    client: &Namespace,
    vip: SocketAddr,
    protocol: Protocol,
    reverse: bool,
    datagram_bytes: &str,
) -> Result<f64, Failure> {
    let (address, port) = (vip.ip().to_string(), vip.port().to_string());
    let mut args = vec!["-J", "-c", &address, "-p", &port, "--connect-timeout", "20000"];
    match protocol {
        Protocol::Udp => args.extend(["-u", "-b", UDP_RATE, "-n", UDP_BYTES, "-l", datagram_bytes]),
        _ => args.extend(["-n", TCP_BYTES]),
    }
    args.extend(reverse.then_some("-R"));
    let mut result = iperf3_once(client, protocol, &args);
    for _ in 1..IPERF_RUNS_MAX {
        if result.is_ok() {
            break;
        }
        result = iperf3_once(client, protocol, &args);
    }
    result
}

fn iperf3_once(client: &Namespace, protocol: Protocol, args: &[&str]) -> Result<f64, Failure> {
    let output = client.run("iperf3", args)?;
    let what = format!("iperf3 {}", args.join(" "));
    let report: Value =
        serde_json::from_str(&output).map_err(|error| Failure::new(format!("{what}: {error}: {output}")))?;
    if let Some(error) = report["error"].as_str() {
        return Err(Failure::new(format!("{what}: {error}")));
    }
    let end = &report["end"];
    let number =
        |value: &Value| value.as_f64().ok_or_else(|| Failure::new(format!("{what}: {end} {}", report["error"])));
    if protocol == Protocol::Udp {
        let lost = number(&end["sum"]["lost_percent"])?;
        if lost > UDP_LOSS_PERCENT_MAX || number(&end["sum"]["packets"])? == 0.0 {
            return Err(Failure::new(format!("{what}: {lost} % of the datagrams lost: {}", end["sum"])));
        }
        return Ok(number(&end["sum"]["bits_per_second"])? / 1e6);
    }
    let rate = number(&end["sum_received"]["bits_per_second"])? / 1e6;
    if rate > 0.0 { Ok(rate) } else { Err(Failure::new(format!("{what}: nothing arrived: {end}"))) }
}
