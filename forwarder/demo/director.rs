//! The director under test: `uvs run` as a child in its namespace, asked over its admin socket.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use control::show::{DropReason, Port, Service, Worker};
use control::{Client, ClientError};

use super::Failure;
use super::network::Network;
use super::plan::{self, Cores, config_file};
use super::process::Process;
use super::wait::{interrupted, wait_until};
use crate::port::fault::TEST_VARIABLE;

/// A director that hangs up is ending; how, we know when it has.
const DYING_WITHIN: Duration = Duration::from_millis(500);

/// What of a director differs between tests.
#[derive(Clone, Copy, Debug)]
pub struct Forwarding {
    /// Workers.
    pub workers: usize,
    /// Queues of each port, as many as workers at most.
    pub queues: usize,
    /// Conns of each worker.
    pub conns_max: u32,
    /// More sections of the file.
    pub rest: &'static str,
}

impl Forwarding {
    /// So many workers, each with a queue of each port, and room for more conns than a test makes.
    pub fn by(workers: usize) -> Forwarding {
        Forwarding { workers, queues: workers, conns_max: 262_144, rest: "" }
    }
}

/// A running director.
#[derive(Debug)]
pub struct Director {
    process: Process,
    run_dir: PathBuf,
    config: PathBuf,
    log: PathBuf,
}

impl Director {
    /// Writes the file, starts `uvs run` with it, waits until it answers, and connects the wires. `fault` is for
    /// [`TEST_VARIABLE`]: proof that the checks see it.
    pub fn start(
        network: &Network,
        services: &[plan::Service],
        uvs: &Path,
        fault: Option<&str>,
        forwarding: Forwarding,
    ) -> Result<Director, Failure> {
        let directory = network.directory();
        let (config, log, run_dir) =
            (directory.join("uvs.toml"), directory.join("director.log"), directory.join("run"));
        let Forwarding { workers, queues, conns_max, rest } = forwarding;
        let cores = Cores { lcores: &last_cores(workers), queues, conns_max };
        let text = config_file(services, &network.attached(queues), &run_dir, cores, &network.eal_args()) + rest;
        fs::create_dir_all(&run_dir)
            .and_then(|()| fs::write(&config, text))
            .map_err(|error| Failure::new(format!("{}: {error}", config.display())))?;

        let mut command = network.director.command(uvs);
        command.arg("run").arg("-c").arg(&config);
        if let Some(fault) = fault {
            command.env(TEST_VARIABLE, fault);
        }
        let process = Process::start("the director", &mut command, &log)?;
        let mut director = Director { process, run_dir, config, log };
        wait_until("the director answered on its admin socket", || {
            director.check_running()?;
            Ok(Client::connect(&director.run_dir).and_then(|mut client| client.version()).is_ok())
        })
        .map_err(|failure| {
            if director.process.ended().is_some() { failure } else { director.process.failure(&failure.to_string()) }
        })?;
        network.attach()?;
        Ok(director)
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Its configuration file.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// What it prints.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Where its sockets are.
    pub fn run_dir(&self) -> &Path {
        &self.run_dir
    }

    /// Fails, with the end of its log, if it has ended.
    pub fn check_running(&mut self) -> Result<(), Failure> {
        self.process.check_running()
    }

    /// Its services with their counters.
    pub fn services(&mut self) -> Result<Vec<Service>, Failure> {
        self.ask(Client::services).map(|answer| answer.services)
    }

    /// Its workers with their counters.
    pub fn workers(&mut self) -> Result<Vec<Worker>, Failure> {
        self.ask(Client::workers).map(|answer| answer.workers)
    }

    /// Why it dropped frames.
    pub fn drops(&mut self) -> Result<Vec<DropReason>, Failure> {
        self.ask(Client::drops).map(|answer| answer.drops)
    }

    /// Memory of it that is in RAM now, in kB.
    pub fn memory_kb(&self) -> Result<u64, Failure> {
        let status = format!("/proc/{}/status", self.process.id());
        let text = fs::read_to_string(&status).map_err(|error| Failure::new(format!("{status}: {error}")))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kb = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        kb.ok_or_else(|| Failure::new(format!("{status}: no VmRSS")))
    }

    /// Its ports.
    pub fn ports(&mut self) -> Result<Vec<Port>, Failure> {
        self.ask(Client::ports).map(|answer| answer.ports)
    }

    fn ask<T>(&mut self, question: impl FnOnce(&mut Client) -> Result<T, ClientError>) -> Result<T, Failure> {
        let answer = Client::connect(&self.run_dir).and_then(|mut client| question(&mut client));
        answer.map_err(|error| match self.process.check_running_after(DYING_WITHIN) {
            Ok(()) => Failure::new(error.to_string()),
            Err(ended) => ended,
        })
    }

    /// Every frame had one fate, in every worker.
    pub fn check_accounts(&mut self) -> Result<(), Failure> {
        match self.workers()?.iter().find(|worker| !worker.identity_holds()) {
            None => Ok(()),
            Some(worker) => Err(Failure::new(format!(
                "worker {}: frames in and frames out differ: {} + {} + {} in (received, handed in, created), \
                 {} + {} + {} + {} + {} + {} out (sent, passed, handed out, consumed, dropped, held)",
                worker.lcore,
                worker.received,
                worker.handed_in,
                worker.created,
                worker.sent,
                worker.passed,
                worker.handed_out,
                worker.consumed,
                worker.dropped,
                worker.held
            ))),
        }
    }

    /// Adds to a failure what the director itself has to say: which frames it dropped and why, and the end of its log.
    pub fn explain(&mut self, failure: Failure) -> Failure {
        if self.process.ended().is_some() || interrupted() {
            return failure;
        }
        let drops = self.ask(Client::drops).map(|answer| answer.drops).unwrap_or_default();
        let drops = drops.iter().filter(|drop| drop.total > 0);
        let drops: String = drops.map(|drop| format!("\n  frames dropped: {}, {}", drop.total, drop.meaning)).collect();
        Failure::new(format!("{failure}{drops}\n  The director still runs; {}", self.process.last_words()))
    }

    /// Tells it to stop (SIGTERM); fails unless it ends in time and without an error.
    pub fn stop(mut self) -> Result<(), Failure> {
        let status = self.process.stop()?;
        if status.success() {
            Ok(())
        } else {
            Err(self.process.failure(&format!("was told to stop and ended with {status}")))
        }
    }

    /// Ends it in mid-work, for the tests of what happens then.
    pub fn kill(&mut self) {
        self.process.signal(rustix::process::Signal::KILL);
    }
}

/// The last cores of the machine, so many as there are workers: the first is the busiest with everything else.
fn last_cores(workers: usize) -> Vec<usize> {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    cores.iter().skip(cores.len().saturating_sub(workers)).map(|core| core.id).collect()
}
