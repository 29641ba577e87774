//! What is wrong with a file. Every fault says where, what was found, what would be right; all faults of a file are
//! reported together, but no more than `FAULTS_MAX`: a file of another kind must not print a book.

use std::fmt;

/// No more faults than this are kept of one file; the rest is only counted.
pub const FAULTS_MAX: usize = 20;

/// One fault of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Line in the file, from 1; 0 when the file as a whole is meant.
    pub line: usize,
    /// Column in that line, in characters, from 1.
    pub column: usize,
    /// Path of the key, such as `service 2 (tcp 192.0.2.10:80), real_server 1, weight`; may be empty.
    pub path: String,
    /// What was found, and what would be right.
    pub message: String,
}

/// All faults of a configuration file: at least one. `Display` prints one line per fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errors {
    /// The file's name, as it was given.
    pub file: String,
    /// The faults in the order of the file; at most `FAULTS_MAX`.
    pub faults: Vec<Fault>,
    /// How many more were found than `faults` holds.
    pub more: usize,
}

impl Errors {
    /// The fault of a file that cannot be read at all.
    pub(crate) fn of_file(file: &str, message: String) -> Self {
        let fault = Fault { line: 0, column: 0, path: String::new(), message };
        Errors { file: file.to_string(), faults: vec![fault], more: 0 }
    }
}

impl std::error::Error for Errors {}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{}:", self.file)?;
            if fault.line > 0 {
                write!(f, "{}:{}:", fault.line, fault.column)?;
            }
            if !fault.path.is_empty() {
                write!(f, " {}:", fault.path)?;
            }
            write!(f, " {}", fault.message)?;
        }
        if self.more > 0 {
            write!(f, "\n{}: and {} more faults", self.file, self.more)?;
        }
        Ok(())
    }
}
