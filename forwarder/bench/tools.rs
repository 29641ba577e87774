//! What people's commands take while a worker does nothing but forward: Debian's ipvsadm by `uvs exec`, its process's start included, at a
//! director with a million conns; and what it costs to list those. A client that asked for the list, too, and never reads is there all
//! the while.

use super::accounts::Accounts;
use super::case::{Case, Load, Traffic};
use super::measure::{self, Setting};
use super::{Failure, network};
use crate::demo::plan::{Family, Method, Protocol};
use control::Client;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Conns to list.
const CONNS: u32 = 1_000_000;
/// Commands that are timed.
const COMMANDS: u32 = 500;
/// Where Debian has it.
const IPVSADM: &str = "/usr/sbin/ipvsadm";
/// How long the rate is looked at that the others are compared with.
const UNDISTURBED: Duration = Duration::from_secs(2);

/// What was found.
#[derive(Debug)]
pub struct Figures {
    /// Of each command, from the shortest to the longest.
    command_ms: Vec<f64>,
    /// The list of conns.
    list_s: f64,
    conns_listed: usize,
    /// Memory that the director took for it.
    grown_kb: u64,
    /// Million packets a second: before, while there were commands, during the list.
    rates: [f64; 3],
    /// What was lost, or does not agree.
    pub wrong: Vec<String>,
}

/// Measures.
pub fn measure(setting: &Setting) -> Result<Figures, Failure> {
    let load = Load { family: Family::V4, protocol: Protocol::Udp, traffic: Traffic::Established { flows: CONNS } };
    let case = Case { load, method: Method::Nat, workers: 1 };
    let mut process = measure::start(setting, &case)?;
    setting.open_traffic()?;
    measure::watch(setting, &load, case.workers, || process.check_running())?;
    let failure = |error: std::io::Error| Failure::new(format!("proc.sock: {error}"));
    let mut deaf = UnixStream::connect(setting.folder.join("proc.sock")).map_err(failure)?;
    deaf.write_all(b"ip_vs_conn\n").map_err(failure)?;

    let rate = Rate::begin(setting)?;
    thread::sleep(UNDISTURBED);
    let before = rate.end()?;

    let rate = Rate::begin(setting)?;
    let mut command_ms = (0..COMMANDS).map(|number| edit(setting, number)).collect::<Result<Vec<_>, _>>()?;
    let with_commands = rate.end()?;
    command_ms.sort_by(f64::total_cmp);

    let before_kb = peak_kb(process.id())?;
    let (rate, begin) = (Rate::begin(setting)?, Instant::now());
    let conns_listed = list(setting)?;
    let (list_s, with_list) = (begin.elapsed().as_secs_f64(), rate.end()?);
    let grown_kb = peak_kb(process.id())? - before_kb;
    drop(deaf);

    setting.close_traffic()?;
    let mut wrong = Accounts::when_still(setting, case.workers)?.wrong();
    if conns_listed != CONNS as usize {
        wrong.push(format!("{conns_listed} conns were listed, must be {CONNS}"));
    }
    if !process.stop()?.success() {
        wrong.push(process.failure("did not end as it should").to_string());
    }
    Ok(Figures { command_ms, list_s, conns_listed, grown_kb, rates: [before, with_commands, with_list], wrong })
}

impl Figures {
    fn median_ms(&self) -> f64 {
        self.command_ms[self.command_ms.len() / 2]
    }

    fn worst_ms(&self) -> f64 {
        self.command_ms.last().copied().unwrap_or_default()
    }

    /// For a person.
    pub fn text(&self) -> String {
        let [before, with_commands, with_list] = self.rates;
        let percent = |rate: f64| 100.0 * rate / before;
        format!(
            "One worker under full load, NAT, IPv4 udp, {CONNS} conns: {before:.1} M packets/s.\n\
             ipvsadm -e, {COMMANDS} times: median {:.1} ms, worst {:.1} ms; meanwhile {with_commands:.1} M packets/s ({:.0} %).\n\
             ipvsadm -Lnc: {} conns in {:.1} s, memory of the director {:+} kB; meanwhile {with_list:.1} M packets/s ({:.0} %).\n\
             A client that had asked for the list and never read was there all the while.\n",
            self.median_ms(),
            self.worst_ms(),
            percent(with_commands),
            self.conns_listed,
            self.list_s,
            self.grown_kb,
            percent(with_list),
        )
    }

    /// Names are an interface: they are added to, not changed.
    pub fn json(&self, machine: &Value) -> Value {
        let [before, with_commands, with_list] = self.rates;
        json!({
            "machine": machine,
            "conns": CONNS,
            "commands": COMMANDS,
            "command_median_ms": self.median_ms(),
            "command_worst_ms": self.worst_ms(),
            "list_s": self.list_s,
            "list_grown_kb": self.grown_kb,
            "million_packets_per_second": before,
            "million_packets_per_second_with_commands": with_commands,
            "million_packets_per_second_with_list": with_list,
            "wrong": self.wrong,
        })
    }
}

/// Packets that leave the director.
struct Rate<'a> {
    setting: &'a Setting,
    sent: u64,
    begin: Instant,
}

impl Rate<'_> {
    fn begin(setting: &Setting) -> Result<Rate<'_>, Failure> {
        Ok(Rate { setting, sent: sent(setting)?, begin: Instant::now() })
    }

    /// Millions a second.
    fn end(self) -> Result<f64, Failure> {
        let seconds = self.begin.elapsed().as_secs_f64();
        Ok((sent(self.setting)? - self.sent) as f64 / seconds / 1e6)
    }
}

fn sent(setting: &Setting) -> Result<u64, Failure> {
    let answer = Client::connect(&setting.folder).and_then(|mut client| client.workers());
    let workers = answer.map_err(|error| Failure::new(error.to_string()))?.workers;
    Ok(workers.iter().map(|worker| worker.sent).sum())
}

fn ipvsadm(setting: &Setting, arguments: &[&str]) -> Command {
    let mut command = Command::new(&setting.uvs);
    command.arg("exec").arg("--run-dir").arg(&setting.folder).args(["--", IPVSADM]).args(arguments);
    command
}

/// Gives a real server another weight; milliseconds.
fn edit(setting: &Setting, number: u32) -> Result<f64, Failure> {
    let vip = SocketAddr::new(network::vip(Family::V4), network::VIP_PORT).to_string();
    let server = SocketAddr::new(network::server(Family::V4, 0), network::server_port(Method::Nat)).to_string();
    let weight = (1 + number % 2).to_string();
    let mut command = ipvsadm(setting, &["-e", "-u", &vip, "-r", &server, "-m", "-w", &weight]);
    let begin = Instant::now();
    let output = command.output().map_err(|error| Failure::new(format!("uvs exec: {error}")))?;
    let passed_ms = begin.elapsed().as_secs_f64() * 1e3;
    match output.status.success() {
        true => Ok(passed_ms),
        false => Err(Failure::new(format!("ipvsadm -e: {}", String::from_utf8_lossy(&output.stderr).trim()))),
    }
}

/// How many conns ipvsadm lists.
fn list(setting: &Setting) -> Result<usize, Failure> {
    let failure = |error: std::io::Error| Failure::new(format!("ipvsadm -Lnc: {error}"));
    let mut child = ipvsadm(setting, &["-Lnc"]).stdout(Stdio::piped()).spawn().map_err(failure)?;
    let mut lines = 0;
    if let Some(out) = child.stdout.take() {
        let mut out = BufReader::new(out);
        let mut line = Vec::new();
        while out.read_until(b'\n', &mut line).map_err(failure)? > 0 {
            lines += usize::from(line.starts_with(b"UDP "));
            line.clear();
        }
    }
    match child.wait().map_err(failure)? {
        status if status.success() => Ok(lines),
        status => Err(Failure::new(format!("ipvsadm -Lnc: {status}"))),
    }
}

/// What a process has had of memory at most.
fn peak_kb(pid: u32) -> Result<u64, Failure> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).map_err(|error| Failure::new(format!("{path}: {error}")))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    peak.ok_or_else(|| Failure::new(format!("{path} has no VmHWM")))
}
