//! Which processes have what this one wants, as far as `/proc` tells: for the line that says why there is nothing left.

use std::path::Path;
use std::{fmt, fs};

/// A process. Prints as `process 1234 (uvs)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pid: u32,
    name: String,
}

impl Process {
    pub(super) fn of(pid: u32) -> Process {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        Process { pid, name: name.trim().to_owned() }
    }

    pub(super) fn is_own(&self) -> bool {
        self.pid == std::process::id()
    }

    /// The first one that has this file open. None: nobody, or we may not know.
    pub(super) fn with_open(path: &Path) -> Option<Process> {
        let has_open = |pid: &u32| {
            let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
            files.filter_map(|file| fs::read_link(file.path()).ok()).any(|target| target == path)
        };
        all().find(has_open).map(Process::of)
    }

    /// Those that have huge pages, with how many MB; the one with the most first.
    pub(super) fn with_huge_pages() -> Vec<(Process, u64)> {
        let mut holders: Vec<_> = all().filter_map(|pid| Some((Process::of(pid), huge_mb(pid)?))).collect();
        holders.retain(|(process, megabytes)| *megabytes > 0 && !process.is_own());
        holders.sort_by_key(|(_, megabytes)| std::cmp::Reverse(*megabytes));
        holders
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "process {}", self.pid)?;
        if !self.name.is_empty() {
            write!(f, " ({})", self.name)?;
        }
        Ok(())
    }
}

/// Whether there is a process of this id.
pub(super) fn is_alive(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

fn all() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn huge_mb(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("HugetlbPages:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_a_file_open() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap().join("file");
        let file = fs::File::create(&path).unwrap();
        let holder = Process::with_open(&path).unwrap();
        assert!(holder.is_own() && is_alive(holder.pid), "{holder}");
        drop(file);
        assert_eq!(Process::with_open(&path), None);
        assert_eq!(Process { pid: 7, name: String::new() }.to_string(), "process 7");
    }
}
