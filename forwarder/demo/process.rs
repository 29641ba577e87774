//! A program that runs beside us and must not outlive us. It gets a process group of its own, so that a Ctrl-C at the terminal reaches
//! only the demo, which then takes everything down in order; and the kernel kills it if we are killed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use std::os::unix::process::CommandExt;

use rustix::process::{Pid, Signal, kill_process};

use super::Failure;
use super::wait::{self, PATIENCE};

/// Lines of a program's log that go into a message about it.
const LOG_TAIL_LINES: usize = 12;

/// A running child; killed when dropped.
#[derive(Debug)]
pub struct Process {
    what: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a command; what it prints goes to the file `log`. `what` names it in messages.
    pub fn start(what: &str, command: &mut Command, log: &Path) -> Result<Process, Failure> {
        let output = File::create(log).map_err(|error| Failure::new(format!("{}: {error}", log.display())))?;
        let errors = output.try_clone().map_err(|error| Failure::new(format!("{}: {error}", log.display())))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .map_err(|error| Failure::new(format!("{what} cannot be started: {error}")))?;
        Ok(Process { what: what.to_owned(), child, log: log.to_owned() })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Fails, with the end of its log, if it has ended.
    pub fn check_running(&mut self) -> Result<(), Failure> {
        match self.ended() {
            None => Ok(()),
            Some(status) => Err(self.failure(&format!("ended: {status}"))),
        }
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> Result<ExitStatus, Failure> {
        self.wait_for_end(PATIENCE, wait::check_interrupted)
    }

    /// Asks it to end (SIGTERM) and waits for that, Ctrl-C or not.
    pub fn stop(&mut self) -> Result<ExitStatus, Failure> {
        self.signal(Signal::TERM);
        self.wait_for_end(PATIENCE, || Ok(()))
    }

    /// It may be about to end, for it does not do what it should: fails with the end of its log if it does so within `limit`.
    pub fn check_running_after(&mut self, limit: Duration) -> Result<(), Failure> {
        let _ = self.wait_for_end(limit, || Ok(()));
        self.check_running()
    }

    fn wait_for_end(&mut self, limit: Duration, go_on: fn() -> Result<(), Failure>) -> Result<ExitStatus, Failure> {
        let what = format!("{} ended", self.what);
        let mut status = None;
        wait::wait_regardless(&what, limit, || {
            status = self.ended();
            if status.is_none() { go_on().map(|()| false) } else { Ok(true) }
        })?;
        status.ok_or_else(|| Failure::new(what))
    }

    /// Ends it at once and for certain.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }

    /// What it has printed so far.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// A failure of this program, with the end of what it printed.
    pub fn failure(&self, found: &str) -> Failure {
        Failure::new(format!("{} {found}; {}", self.what, self.last_words()))
    }

    /// The end of what it printed, as the end of a message.
    pub fn last_words(&self) -> String {
        let output = self.output();
        let lines: Vec<&str> = output.lines().collect();
        let tail = &lines[lines.len().saturating_sub(LOG_TAIL_LINES)..];
        let tail: String = tail.iter().map(|line| format!("\n    {line}")).collect();
        if tail.is_empty() { "it printed nothing".into() } else { format!("the last it printed:{tail}") }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
