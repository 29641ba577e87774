//! One run of the director, or of the baseline, on the load device: started as a child, opened to traffic when it is ready, watched until
//! enough undisturbed windows are there, and ended. The director is seen as an operator sees it: by its file and its admin socket.

use super::case::{Case, Load, Traffic};
use super::windows::{self, Average, Figure, Records, Settled};
use super::{Failure, network, sample};
use crate::demo::process::Process;
use crate::demo::wait::{wait_regardless, wait_until};
use control::Client;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const READY_WITHIN: Duration = Duration::from_secs(30);
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// A million new flows on a busy machine.
const TRAFFIC_WITHIN: Duration = Duration::from_secs(15);
/// Undisturbed windows that are enough, and windows, disturbed ones too, after which there will be no better ones.
const WINDOWS_ENOUGH: (usize, usize) = (10, 20);
/// The same for new conns, which come and go in turns.
const WINDOWS_ENOUGH_NEW: (usize, usize) = (20, 30);
/// New conns end after a second: from then on as many end as begin.
const NEW_SETTLE_NS: u64 = 1_500_000_000;
const SETTLE_NS: u64 = 200_000_000;
/// Frames a director may hold when the device writes a line: none but those of the burst it is at.
const IN_FLIGHT_MAX: u64 = 64;
/// Lines about wrong frames that a case prints.
const WRONG_MAX: usize = 3;

/// What all runs share.
#[derive(Debug)]
pub struct Setting {
    /// This program.
    pub uvs: PathBuf,
    /// Where files go.
    pub folder: PathBuf,
    /// Where the load device is.
    pub device: PathBuf,
    /// The workers' cores.
    pub lcores: Vec<usize>,
    /// The core for the rest.
    pub main_core: usize,
    /// Frames lie in huge pages.
    pub huge: bool,
}

/// What a case gave.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Cycles per packet.
    pub figure: Figure,
    /// Packets decoded.
    pub checked: usize,
    /// What was wrong with them, and with the counters.
    pub wrong: Vec<String>,
}

/// Measures a director under a case.
pub fn director(setting: &Setting, case: &Case) -> Result<Measured, Failure> {
    setting.empty_folder()?;
    let folder = &setting.folder;
    let arguments = ["-d".to_owned(), super::DEVICE_FILE.to_owned()];
    let lcores = &setting.lcores[..case.load.workers];
    let config = folder.join("uvs.toml");
    fs::write(&config, network::config_file(case, lcores, folder, &arguments))
        .map_err(|error| Failure::new(format!("{}: {error}", config.display())))?;
    let mut command = Command::new(&setting.uvs);
    command.env("LD_LIBRARY_PATH", &setting.device).arg("run").arg("-c").arg(&config);
    let mut process = Process::start("the director", &mut command, &folder.join("director.log"))?;
    wait_until("the director answered on its admin socket", READY_WITHIN, || {
        process.check_running()?;
        Ok(Client::connect(folder).and_then(|mut client| client.version()).is_ok())
    })?;
    setting.open_traffic()?;
    let figure = watch(setting, &case.load, || process.check_running())?;
    let mut wrong = counters(folder)?;
    if !process.stop(STOP_WITHIN)?.success() {
        wrong.push(process.failure("did not end as it should").to_string());
    }
    wrong.extend(losses(&setting.records(case.load.workers)));
    let found = sample::check(case, &fs::read(folder.join("sample.pcap")).unwrap_or_default());
    if found.packets < 20 {
        wrong.push(format!("only {} packets could be looked at", found.packets));
    }
    let more = found.wrong.len().saturating_sub(WRONG_MAX);
    wrong.extend(found.wrong.into_iter().take(WRONG_MAX));
    if more > 0 {
        wrong.push(format!("and {more} more such frames"));
    }
    Ok(Measured { figure, checked: found.packets, wrong })
}

/// Measures DPDK's testpmd under a load: it exchanges the ends of each packet and sends it back, which is the least a director does.
pub fn baseline(setting: &Setting, load: &Load) -> Result<Figure, Failure> {
    // It forwards every packet the same way: flows are nothing to it, and one worker is enough.
    let load = Load { workers: 1, ..*load };
    setting.empty_folder()?;
    let log = setting.folder.join("testpmd.log");
    let output = File::create(&log).map_err(|error| Failure::new(format!("{}: {error}", log.display())))?;
    let (main, worker) = (setting.main_core, setting.lcores[0]);
    let errors = output.try_clone().map_err(|error| Failure::new(format!("{}: {error}", log.display())))?;
    let mut command = Command::new("dpdk-testpmd");
    command.env("LD_LIBRARY_PATH", &setting.device);
    // The worker's number is another than the main lcore's, even where they share a core.
    command.args(["--lcores", &format!("100@{main},101@{worker}"), "--main-lcore=100", "--no-pci", "--no-telemetry"]);
    command.args(if setting.huge { ["--in-memory"].as_slice() } else { &["--no-huge", "--no-shconf"] });
    command.args(["-m", &network::MEMORY_MB.to_string(), "-d", super::DEVICE_FILE]);
    command.arg(format!("--file-prefix={}", testpmd_prefix()));
    command.arg(format!("--vdev={},{}", network::device(&load), network::device_files(&setting.folder)));
    command.args(["--", "--forward-mode=5tswap", "--auto-start", "--no-mlockall", "--total-num-mbufs=8192"]);
    command.arg("--port-topology=loop");
    // It ends when it can read no more.
    let child = command.stdin(Stdio::piped()).stdout(output).stderr(errors).spawn();
    let mut testpmd = Testpmd(
        child.map_err(|error| Failure::new(format!("dpdk-testpmd (package dpdk-dev) cannot be started: {error}")))?,
    );
    // It needs no preparation: traffic begins with its first poll.
    setting.open_traffic()?;
    let figure = watch(setting, &load, || testpmd.check_running(&log))?;
    testpmd.stop()?;
    Ok(figure)
}

/// Waits until the windows are enough.
fn watch(setting: &Setting, load: &Load, mut check: impl FnMut() -> Result<(), Failure>) -> Result<Figure, Failure> {
    let ((undisturbed_enough, all_enough), settled) = match load.traffic {
        Traffic::New => (WINDOWS_ENOUGH_NEW, Settled { after_ns: NEW_SETTLE_NS, passes: 0, average: Average::Mean }),
        _ => (WINDOWS_ENOUGH, Settled { after_ns: SETTLE_NS, passes: 1, average: Average::Median }),
    };
    let begin = Instant::now();
    wait_until("traffic had settled", TRAFFIC_WITHIN * 2, || {
        check()?;
        let counts = setting.records(load.workers).iter().map(|records| records.count(settled)).collect::<Vec<_>>();
        let undisturbed = counts.iter().map(|count| count.0).min().unwrap_or(0);
        let all = counts.iter().map(|count| count.1).min().unwrap_or(0);
        Ok(undisturbed >= undisturbed_enough || all >= all_enough || begin.elapsed() > TRAFFIC_WITHIN)
    })?;
    windows::figure(&setting.records(load.workers), settled)
}

/// What the director's counters say that should not be.
fn counters(run_dir: &Path) -> Result<Vec<String>, Failure> {
    let ask = |error: control::ClientError| Failure::new(error.to_string());
    let drops = Client::connect(run_dir).and_then(|mut client| client.drops()).map_err(ask)?.drops;
    let workers = Client::connect(run_dir).and_then(|mut client| client.workers()).map_err(ask)?.workers;
    let drops = drops.iter().filter(|drop| drop.total > 0);
    let mut wrong: Vec<String> = drops.map(|drop| format!("{} frames dropped: {}", drop.total, drop.meaning)).collect();
    for worker in workers {
        if !worker.identity_holds() || worker.held > 0 {
            wrong.push(format!("worker {}: frames in and frames out differ: {worker:?}", worker.lcore));
        }
    }
    Ok(wrong)
}

/// What the device's counters say that should not be. The director may send more than it got: announcements of its addresses.
fn losses(queues: &[Records]) -> Vec<String> {
    let sum = |count: fn(&windows::Record) -> u64| queues.iter().map(|records| count(&records.last())).sum::<u64>();
    let (rx, tx) = (sum(|last| last.rx), sum(|last| last.tx));
    let mut wrong = Vec::new();
    // Several queues do not write at one moment; hand-off rings then hold what is between.
    if queues.len() == 1 && tx + IN_FLIGHT_MAX < rx {
        wrong.push(format!("{} frames lost: {rx} received, {tx} sent", rx - tx));
    }
    let (unanswered, no_buffer) = (sum(|last| last.answers_lost), sum(|last| last.no_buffer));
    if unanswered > 0 || no_buffer > 0 {
        wrong.push(format!("the device lost {unanswered} answers and found no buffer {no_buffer} times"));
    }
    wrong
}

impl Setting {
    fn empty_folder(&self) -> Result<(), Failure> {
        let failure = |error| Failure::new(format!("{}: {error}", self.folder.display()));
        if self.folder.exists() {
            fs::remove_dir_all(&self.folder).map_err(failure)?;
        }
        fs::create_dir_all(&self.folder).map_err(failure)
    }

    fn open_traffic(&self) -> Result<(), Failure> {
        let start = self.folder.join("start");
        File::create(&start).map_err(|error| Failure::new(format!("{}: {error}", start.display())))?;
        Ok(())
    }

    fn records(&self, queues: usize) -> Vec<Records> {
        let path = |queue| if queue == 0 { "stat".to_owned() } else { format!("stat.{queue}") };
        (0..queues).map(|queue| Records::read(&self.folder.join(path(queue)))).collect()
    }
}

/// Killed when dropped.
struct Testpmd(Child);

impl Testpmd {
    fn check_running(&mut self, log: &Path) -> Result<(), Failure> {
        match self.0.try_wait() {
            Ok(None) => Ok(()),
            ended => {
                let output = fs::read_to_string(log).unwrap_or_default();
                let last = output.lines().rev().find(|line| !line.is_empty()).unwrap_or_default();
                Err(Failure::new(format!("dpdk-testpmd ended ({ended:?}): {last}")))
            }
        }
    }

    fn stop(&mut self) -> Result<(), Failure> {
        drop(self.0.stdin.take());
        wait_regardless("testpmd ended", STOP_WITHIN, || Ok(matches!(self.0.try_wait(), Ok(Some(_)) | Err(_))))
    }
}

impl Drop for Testpmd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        // DPDK leaves this behind.
        let _ = fs::remove_dir(Path::new("/var/run/dpdk").join(testpmd_prefix()));
    }
}

fn testpmd_prefix() -> String {
    format!("uvs-bench{}", std::process::id())
}
