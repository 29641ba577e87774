//! `uvs demo` as a person runs it: it passes, it notices what is wrong, and it leaves nothing behind.

use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;
use uvs::demo::Failure;
use uvs::demo::namespace::sweep_dead_runs;
use uvs::demo::process::Process;
use uvs::demo::wait::{self, PATIENCE, wait_regardless, wait_until};

use crate::{leftovers, uvs_program};

/// The table's first line; before it come headings and places.
const UNDER_WAY: &str = "requests answered";
/// What is spoilt of every frame over IPv4: one method that is wrong must be enough.
const BROKEN: &str = "destination-port";

struct Demo {
    process: Process,
    log: PathBuf,
}

impl Demo {
    fn start(number: u32, args: &[&str]) -> Result<Demo, Failure> {
        let log = std::env::temp_dir().join(format!("uvs-{}-demo-{number}.log", std::process::id()));
        let process = Process::start("uvs demo", Command::new(uvs_program()).arg("demo").args(args), &log)?;
        Ok(Demo { process, log })
    }

    /// Waits for its end; gives its exit status, if it was not killed.
    fn end(&mut self) -> Result<Option<i32>, Failure> {
        let mut status = None;
        // It waits for one thing after the other itself.
        let ended = wait_regardless("the demo ended", PATIENCE * 3, || {
            status = self.process.ended();
            Ok(status.is_some() || wait::interrupted())
        });
        ended.map_err(|failure| self.process.failure(&failure.to_string()))?;
        Ok(status.and_then(|status| status.code()))
    }

    fn wait_until_under_way(&mut self) -> Result<(), Failure> {
        wait_until("the demo made requests", || {
            self.process.check_running()?;
            Ok(self.process.output().contains(UNDER_WAY))
        })
    }

    /// It ended with `status`, said `word`, and left nothing.
    fn expect(&mut self, status: i32, word: &str) -> Result<(), Failure> {
        let found = self.end()?;
        if found != Some(status) || !self.process.output().contains(word) {
            // Whole: what it says first is why, the last lines are its director's.
            let said = self.process.output();
            return Err(Failure::new(format!(
                "uvs demo ended with {found:?}; expected {status} and the word \"{word}\"; it printed:\n{said}"
            )));
        }
        leftovers::check(self.process.id())
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.process.kill();
        let _ = std::fs::remove_file(&self.log);
    }
}

/// Runs do not meet.
pub fn two_at_once_pass() -> Result<(), Failure> {
    let mut demos = [Demo::start(1, &[])?, Demo::start(2, &[])?];
    demos.iter_mut().try_for_each(|demo| demo.expect(0, "was right, byte for byte"))
}

/// The demo says that the director ended, and how.
pub fn director_killed() -> Result<(), Failure> {
    Demo::start(1, &["--test-kill"])?.expect(1, "the director ended: signal: 9")
}

/// The clients do not get what was promised.
pub fn rewrite_broken() -> Result<(), Failure> {
    Demo::start(1, &["--test-break", BROKEN])?.expect(1, "without the right answer")
}

/// As at a terminal, but the signal reaches only the demo.
pub fn interrupted() -> Result<(), Failure> {
    let mut demo = Demo::start(1, &[])?;
    demo.wait_until_under_way()?;
    demo.process.signal(Signal::INT);
    demo.expect(130, "Interrupted")
}

/// Nothing can clean up after kill -9 but the next run; the kernel ends the processes.
pub fn killed() -> Result<(), Failure> {
    let mut demo = Demo::start(1, &[])?;
    demo.wait_until_under_way()?;
    demo.process.kill();
    if leftovers::check(demo.process.id()).is_ok() {
        return Err(Failure::new("a demo that was killed left nothing: this test looks at the wrong place"));
    }
    sweep_dead_runs();
    leftovers::check(demo.process.id())
}
