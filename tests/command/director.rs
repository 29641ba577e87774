//! A director as an operator runs it: `uvs run -c FILE` in a process of its own, with its files in a folder of its own. It needs
//! neither root nor huge pages; its devices are those of the file.

use control::{Client, ClientError};
use rustix::process::Signal;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use uvs::demo::Failure;
use uvs::demo::process::Process;
use uvs::demo::wait::wait_until;

/// A running director; killed when dropped.
pub struct Director {
    process: Process,
    run_dir: PathBuf,
}

impl Director {
    /// Starts a director in `folder`, with `ports_and_services` in its file below the sections [`sections`] writes.
    pub fn start(folder: &Path, idle: &str, ports_and_services: &str) -> Result<Director, Failure> {
        Director::start_with(folder, &(sections(&folder.join("run"), idle) + ports_and_services))
    }

    /// Starts a director of this whole file, whose run_dir is `folder/run`.
    pub fn start_with(folder: &Path, text: &str) -> Result<Director, Failure> {
        let (file, run_dir) = (folder.join("uvs.toml"), folder.join("run"));
        fs::write(&file, text).expect("a folder of our own");
        let director = Director::spawn(&file, &run_dir)?;
        director.answering()
    }

    /// Starts a director from a file, and waits for nothing.
    fn spawn(file: &Path, run_dir: &Path) -> Result<Director, Failure> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_uvs"));
        command.arg("run").arg("-c").arg(file);
        let process = Process::start("the director", &mut command, &file.with_extension("log"))?;
        Ok(Director { process, run_dir: run_dir.to_owned() })
    }

    fn answering(mut self) -> Result<Director, Failure> {
        let (process, run_dir) = (&mut self.process, &self.run_dir);
        wait_until("the director answered", || {
            process.check_running()?;
            Ok(Client::connect(run_dir).and_then(|mut client| client.version()).is_ok())
        })?;
        Ok(self)
    }

    /// Starts a director that must not get far, and waits for its end: how it ended and what it printed.
    pub fn ends_by_itself(file: &Path) -> (ExitStatus, String) {
        let mut director = Director::spawn(file, Path::new("")).expect("a program can be started");
        let status = director.process.wait().unwrap_or_else(|failure| panic!("{failure}\n{}", director.output()));
        (status, director.output())
    }

    /// Where its socket is.
    pub fn run_dir(&self) -> &Path {
        &self.run_dir
    }

    /// What it printed.
    pub fn output(&self) -> String {
        self.process.output()
    }

    /// Asks it something.
    pub fn ask<T>(&self, question: impl FnOnce(&mut Client) -> Result<T, ClientError>) -> T {
        Client::connect(&self.run_dir)
            .and_then(|mut client| question(&mut client))
            .unwrap_or_else(|error| panic!("{error}\n{}", self.output()))
    }

    /// Asks it again and again, until the answer will do. `what` completes the sentence "10s passed before ...".
    pub fn ask_until<T>(
        &self,
        what: &str,
        question: impl Fn(&mut Client) -> Result<T, ClientError>,
        will_do: impl Fn(&T) -> bool,
    ) -> T {
        let mut answer = None;
        let waited = wait_until(what, || {
            answer = Some(self.ask(&question)).filter(&will_do);
            Ok(answer.is_some())
        });
        waited.unwrap_or_else(|failure| panic!("{failure}\n{}", self.output()));
        answer.expect("the wait ended well")
    }

    /// Sends it a signal that it lives through.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Sends it a signal and waits for its end.
    pub fn end(mut self, signal: Signal) -> (ExitStatus, String) {
        self.process.signal(signal);
        let status = self.process.wait().unwrap_or_else(|failure| panic!("{failure}\n{}", self.output()));
        (status, self.output())
    }
}

/// The sections `[director]` and `[eal]` of a director that needs no privilege and little memory.
pub fn sections(run_dir: &Path, idle: &str) -> String {
    let cores = core_affinity::get_core_ids().expect("the kernel tells which cores there are");
    let last = cores.last().expect("we run on one").id;
    format!(
        "[director]\nworkers = [{last}]\nconns_max = 1024\nrun_dir = {run_dir:?}\nidle = \"{idle}\"\n\n\
         [eal]\nhuge_pages = \"off\"\nmemory_mb = 64\n\n"
    )
}
