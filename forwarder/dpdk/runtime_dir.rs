//! The directory that DPDK makes for a process's files and leaves behind: one for each start, for its name has the process id.
//! We remove our own when we end, and those of directors that were killed when we start; otherwise they would pile up.

use super::processes::is_alive;
use std::ffi::CStr;
use std::fs;
use std::path::{Path, PathBuf};

/// What the file prefix of a director begins with; its process id follows.
const PREFIX: &str = "uvs";

/// Ours. Dropped after DPDK is cleaned up, or where a start fails.
#[derive(Debug)]
pub(super) struct RuntimeDir(PathBuf);

/// The file prefix of this process.
pub fn file_prefix() -> String {
    format!("{PREFIX}{}", std::process::id())
}

impl RuntimeDir {
    /// The one that DPDK has made when it started.
    pub(super) fn made() -> RuntimeDir {
        // SAFETY: DPDK is started; the call returns its own string, which stays.
        let path = unsafe { CStr::from_ptr(dpdk_sys::rte_eal_get_runtime_dir()) };
        let path = PathBuf::from(path.to_string_lossy().into_owned());
        path.parent().into_iter().for_each(sweep);
        RuntimeDir(path)
    }
}

impl Drop for RuntimeDir {
    fn drop(&mut self) {
        // Not there (DPDK may not write there, and does without), or in use by a process with the same prefix: then it stays.
        let _ = fs::remove_dir(&self.0);
    }
}

/// Removes the directories of dead directors, if they are empty, which ours are.
fn sweep(parent: &Path) {
    let maker = |name: &str| name.strip_prefix(PREFIX)?.parse::<u32>().ok();
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    for entry in entries {
        if entry.file_name().to_str().and_then(maker).is_some_and(|pid| !is_alive(pid)) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_dead_directors_left_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        // No process has a number as high as this: the kernel's limit is 2^22.
        let (dead, alive, full) = ("uvs4294967295", file_prefix(), "uvs4294967294");
        for name in [dead, alive.as_str(), full, "uvs-4294967295-demo", "rte"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join(full).join("config"), "").unwrap();
        sweep(folder.path());
        let mut left: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        let mut expect = ["rte", "uvs-4294967295-demo", &alive, full];
        expect.sort();
        assert_eq!(left, expect);
    }
}
