//! One run of the director, or of the baseline, on the load device: started as a child, opened to traffic when it is ready, watched until
//! enough undisturbed windows are there, and ended. The director is seen as an operator sees it: by its file and its admin socket.

use super::accounts::Accounts;
use super::case::{Case, Load, Traffic};
use super::windows::{self, Average, Figure, Records, Settled};
use super::{Failure, network, sample};
use crate::demo::process::Process;
use crate::demo::wait::{PATIENCE, wait_regardless, wait_until};
use control::Client;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A million new flows on a busy machine.
const TRAFFIC_WITHIN: Duration = Duration::from_secs(15);
/// Undisturbed windows that are enough, and windows, disturbed ones too, after which there will be no better ones.
const WINDOWS_ENOUGH: (usize, usize) = (10, 20);
/// The same for new conns, which come and go in turns.
const WINDOWS_ENOUGH_NEW: (usize, usize) = (20, 30);
/// New conns end after a second: from then on as many end as begin.
const NEW_SETTLE_NS: u64 = 1_500_000_000;
const SETTLE_NS: u64 = 200_000_000;
/// What DPDK names testpmd's files after.
const TESTPMD_PREFIX: &str = "uvs-bench";
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
    /// Part of the frames that one worker received and another forwarded.
    pub handed_over: f64,
    /// Packets decoded.
    pub checked: usize,
    /// What was wrong with them, and with the counters.
    pub wrong: Vec<String>,
}

/// Measures a director under a case.
pub fn director(setting: &Setting, case: &Case) -> Result<Measured, Failure> {
    let mut process = start(setting, case)?;
    setting.open_traffic()?;
    let figure = watch(setting, &case.load, case.workers, || process.check_running())?;
    setting.close_traffic()?;
    let accounts = Accounts::when_still(setting, case.workers)?;
    let mut wrong = accounts.wrong();
    if !process.stop()?.success() {
        wrong.push(process.failure("did not end as it should").to_string());
    }
    let samples = (0..case.workers).map(|queue| fs::read(setting.of_queue("sample.pcap", queue)).unwrap_or_default());
    let found = sample::check(case, &samples.collect::<Vec<_>>());
    if found.packets < 20 {
        wrong.push(format!("only {} packets could be looked at", found.packets));
    }
    let more = found.wrong.len().saturating_sub(WRONG_MAX);
    wrong.extend(found.wrong.into_iter().take(WRONG_MAX));
    if more > 0 {
        wrong.push(format!("and {more} more such frames"));
    }
    Ok(Measured { figure, handed_over: accounts.handed_over(), checked: found.packets, wrong })
}

/// Starts a director for a case, and returns when it answers. The traffic is not open yet.
pub fn start(setting: &Setting, case: &Case) -> Result<Process, Failure> {
    setting.empty_folder()?;
    let folder = &setting.folder;
    let arguments = ["-d".to_owned(), super::DEVICE_FILE.to_owned()];
    let lcores = &setting.lcores[..case.workers];
    let config = folder.join("uvs.toml");
    fs::write(&config, network::config_file(case, lcores, folder, &arguments))
        .map_err(|error| Failure::new(format!("{}: {error}", config.display())))?;
    let mut command = setting.child(&setting.uvs);
    command.arg("run").arg("-c").arg(&config);
    let mut process = Process::start("the director", &mut command, &folder.join("director.log"))?;
    wait_until("the director answered on its admin socket", || {
        process.check_running()?;
        Ok(Client::connect(folder).and_then(|mut client| client.version()).is_ok())
    })?;
    Ok(process)
}

/// Measures DPDK's testpmd under a case's load, on as many cores and queues: it exchanges the ends of each packet and sends it back, which
/// is the least a director does. Each of its cores stays with its own packets.
pub fn baseline(setting: &Setting, case: &Case) -> Result<Figure, Failure> {
    let Case { load, workers, .. } = case;
    setting.empty_folder()?;
    let log = setting.folder.join("testpmd.log");
    let output = File::create(&log).map_err(|error| Failure::new(format!("{}: {error}", log.display())))?;
    // A worker's number is another than the main lcore's, even where they share a core.
    let numbered = (101..).zip(&setting.lcores[..*workers]).map(|(number, core)| format!(",{number}@{core}"));
    let lcores = format!("100@{}{}", setting.main_core, numbered.collect::<String>());
    let errors = output.try_clone().map_err(|error| Failure::new(format!("{}: {error}", log.display())))?;
    let mut command = setting.child("dpdk-testpmd");
    command.args(["--lcores", &lcores, "--main-lcore=100", "--no-pci", "--no-telemetry"]);
    command.args(if setting.huge { ["--in-memory"].as_slice() } else { &["--no-huge", "--no-shconf"] });
    command.args(["-m", &network::MEMORY_MB.to_string(), "-d", super::DEVICE_FILE]);
    command.arg(format!("--file-prefix={TESTPMD_PREFIX}"));
    command.arg(format!("--vdev={},{}", network::device(load, *workers), network::device_files(&setting.folder)));
    command.args(["--", "--forward-mode=5tswap", "--auto-start", "--no-mlockall", "--total-num-mbufs=8192"]);
    command.arg("--port-topology=loop");
    command.args(["nb-cores", "rxq", "txq"].map(|option| format!("--{option}={workers}")));
    // It ends when it can read no more.
    let child = command.stdin(Stdio::piped()).stdout(output).stderr(errors).spawn();
    let mut testpmd = Testpmd(
        child.map_err(|error| Failure::new(format!("dpdk-testpmd (package dpdk-dev) cannot be started: {error}")))?,
    );
    // It needs no preparation: traffic begins with its first poll.
    setting.open_traffic()?;
    let figure = watch(setting, load, *workers, || testpmd.check_running(&log))?;
    testpmd.stop()?;
    Ok(figure)
}

/// Waits until the windows are enough.
pub fn watch(
    setting: &Setting,
    load: &Load,
    queues: usize,
    mut check: impl FnMut() -> Result<(), Failure>,
) -> Result<Figure, Failure> {
    let ((undisturbed_enough, all_enough), settled) = match load.traffic {
        Traffic::New => (WINDOWS_ENOUGH_NEW, Settled { after_ns: NEW_SETTLE_NS, passes: 0, average: Average::Mean }),
        _ => (WINDOWS_ENOUGH, Settled { after_ns: SETTLE_NS, passes: 1, average: Average::Median }),
    };
    let begin = Instant::now();
    wait_until("traffic had settled", || {
        check()?;
        let (undisturbed, all) = windows::count(&setting.records(queues), settled);
        Ok(undisturbed >= undisturbed_enough || all >= all_enough || begin.elapsed() > TRAFFIC_WITHIN)
    })?;
    windows::figure(&setting.records(queues), settled)
}

impl Setting {
    /// A program that finds the load device and is killed if we are.
    fn child(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("setpriv");
        command.env("LD_LIBRARY_PATH", &self.device).args(["--pdeathsig", "KILL", "--"]).arg(program);
        command
    }

    fn empty_folder(&self) -> Result<(), Failure> {
        let failure = |error| Failure::new(format!("{}: {error}", self.folder.display()));
        if self.folder.exists() {
            fs::remove_dir_all(&self.folder).map_err(failure)?;
        }
        fs::create_dir_all(&self.folder).map_err(failure)
    }

    /// The clients begin.
    pub fn open_traffic(&self) -> Result<(), Failure> {
        let start = self.folder.join("start");
        File::create(&start).map_err(|error| Failure::new(format!("{}: {error}", start.display())))?;
        Ok(())
    }

    /// The clients fall silent; answers and what is under way still come out.
    pub fn close_traffic(&self) -> Result<(), Failure> {
        let start = self.folder.join("start");
        fs::remove_file(&start).map_err(|error| Failure::new(format!("{}: {error}", start.display())))
    }

    /// What the load device wrote.
    pub fn records(&self, queues: usize) -> Vec<Records> {
        (0..queues).map(|queue| Records::read(&self.of_queue("stat", queue))).collect()
    }

    fn of_queue(&self, name: &str, queue: usize) -> PathBuf {
        self.folder.join(if queue == 0 { name.to_owned() } else { format!("{name}.{queue}") })
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
        wait_regardless("testpmd ended", PATIENCE, || Ok(matches!(self.0.try_wait(), Ok(Some(_)) | Err(_))))
    }
}

impl Drop for Testpmd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        // DPDK leaves this behind.
        let _ = fs::remove_dir(Path::new("/var/run/dpdk").join(TESTPMD_PREFIX));
    }
}
