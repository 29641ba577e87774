//! Reading the configuration file again while the director runs. A thread of its own reads and checks it: that takes a
//! tenth of a second for ten thousand services, and the control thread answers ARP meanwhile. What it finds is applied in
//! a turn of the control thread, which is all or nothing (see `change.rs`).

use super::Control;
use super::change::Applied;
use config::{Config, Errors};
use control::{ReloadId, show::Reloaded};
use std::path::PathBuf;
use std::thread::JoinHandle;

/// Lines of an answer, and of the log, that name single changes or faults; the rest is counted.
const LINES_MAX: usize = 20;

/// Requests to reload. They are numbered; one reading of the file serves all that came before it began.
#[derive(Default)]
pub(super) struct Reloads {
    /// The file; none: there was none.
    file: Option<PathBuf>,
    wanted: u64,
    begun: u64,
    reading: Option<JoinHandle<Result<Config, Errors>>>,
    /// The last one that ended, and how.
    ended: Option<(u64, Reloaded)>,
}

impl Reloads {
    fn begin(&mut self) -> Result<(), Vec<String>> {
        self.begun += 1;
        let Some(file) = self.file.clone() else {
            return Err(vec!["this director was not started from a file".into()]);
        };
        let thread = std::thread::Builder::new().name("reload".into());
        let reading = thread.spawn(move || config::load(file)).map_err(|error| vec![format!("no thread: {error}")])?;
        self.reading = Some(reading);
        Ok(())
    }

    /// What was read, once it is.
    fn take_read(&mut self) -> Option<Result<Config, Vec<String>>> {
        let reading = self.reading.take_if(|reading| reading.is_finished())?;
        // A panic there has aborted the process.
        let read = reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Some(read.map_err(|errors| errors.to_string().lines().map(String::from).collect()))
    }
}

impl Control {
    /// The file that is read again on request.
    pub fn set_file(&mut self, file: PathBuf) {
        self.reloads.file = Some(file);
    }

    /// Asks for the file to be read again, in later turns. Gives the request's number.
    pub fn reload(&mut self) -> ReloadId {
        // What is being read now may be older than the request.
        self.reloads.wanted = self.reloads.begun + 1;
        ReloadId(self.reloads.wanted)
    }

    /// How a request ended; none while it has not.
    pub fn reloaded(&self, id: ReloadId) -> Option<Reloaded> {
        let (_, reloaded) = self.reloads.ended.as_ref().filter(|(ended, _)| *ended >= id.0)?;
        Some(reloaded.clone())
    }

    /// Begins to read, or applies what was read.
    pub(super) fn turn_reloads(&mut self) {
        if let Some(read) = self.reloads.take_read() {
            let outcome = read.and_then(|config| self.apply(config));
            self.end_reload(outcome.map(|applied| lines_of(&applied)));
        }
        let reloads = &mut self.reloads;
        if reloads.reading.is_none()
            && reloads.wanted > reloads.begun
            && let Err(refusals) = reloads.begin()
        {
            self.end_reload(Err(refusals));
        }
    }

    fn end_reload(&mut self, outcome: Result<Vec<String>, Vec<String>>) {
        let (applied, lines) = match outcome {
            Ok(lines) => (true, lines),
            Err(refusals) => (false, bounded(refusals.into_iter())),
        };
        match applied {
            true => lines.iter().for_each(|line| log::info!("reload: {line}")),
            false => lines.iter().for_each(|line| log::error!("reload: nothing was changed: {line}")),
        }
        self.reloads.ended = Some((self.reloads.begun, Reloaded { applied, lines }));
    }
}

fn lines_of(applied: &Applied) -> Vec<String> {
    let mut lines = bounded(applied.lines());
    let set_back = match applied.set_back.len() {
        0 => String::new(),
        services => format!("; {services} services set back to what the file says"),
    };
    lines.push(format!("{}{set_back}", applied.summary()));
    lines
}

fn bounded(mut lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut first: Vec<_> = lines.by_ref().take(LINES_MAX).collect();
    let more = lines.count();
    if more > 0 {
        first.push(format!("and {more} more"));
    }
    first
}
