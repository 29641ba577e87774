//! What came of replaying one folder, and how it is printed: the first faults, then one line.

use std::fmt::Display;
use std::path::{Path, PathBuf};

/// Faults that are printed; the rest is counted.
const FAULTS_SHOWN: usize = 20;

/// What came of a replay.
#[derive(Default)]
pub struct Outcome {
    /// What was compared with the kernel. 0 proves nothing, and fails.
    pub compared: usize,
    /// What differs, each with its place.
    pub faults: Vec<String>,
    /// How many of the compared are wrong, if that is not the number of faults.
    pub wrong: Option<usize>,
}

impl Outcome {
    /// Prints the faults and the folder's line. True: all is as the kernel has it.
    pub fn report(&self, folder: &str, compared: impl Display, how: impl Display) -> bool {
        let wrong = self.wrong.unwrap_or(self.faults.len());
        self.faults.iter().take(FAULTS_SHOWN).for_each(|fault| println!("{fault}"));
        println!("{folder}: {compared}, {wrong} wrong{how}");
        self.faults.is_empty() && self.compared > 0
    }
}

/// The recordings of a folder, by name. None in it, or no such folder: says so, and that is a fault.
pub fn files(folder: &Path) -> Option<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<_> =
        entries.filter(|file| file.extension().is_some_and(|extension| extension == "jsonl")).collect();
    files.sort();
    if files.is_empty() {
        println!("{}: found no recording; must hold *.jsonl files", folder.display());
    }
    (!files.is_empty()).then_some(files)
}
