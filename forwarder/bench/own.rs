//! The folder of a run: one at a time, for two would measure each other. It is where the next run looks for what this one could not take
//! back because it was killed.

use super::Failure;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

const FOLDER: &str = "/run/uvs-bench";

/// The folder, ours until this is dropped. The system unlocks it when the process ends, however it ends.
#[derive(Debug)]
pub struct OwnFolder {
    folder: PathBuf,
    _lock: File,
}

impl OwnFolder {
    /// Takes it, or says who has it.
    pub fn take() -> Result<OwnFolder, Failure> {
        OwnFolder::take_at(Path::new(FOLDER))
    }

    fn take_at(folder: &Path) -> Result<OwnFolder, Failure> {
        let failure = |error| Failure::new(format!("{}: {error}; uvs bench needs root", folder.display()));
        fs::create_dir_all(folder).map_err(failure)?;
        let lock = File::create(folder.join("lock")).map_err(failure)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Failure::new(format!(
                    "{}: another uvs bench runs; they would measure each other",
                    folder.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(failure(error)),
        }
        let own = OwnFolder { folder: folder.to_owned(), _lock: lock };
        let _ = fs::remove_dir_all(own.run_folder());
        Ok(own)
    }

    /// A file of this name in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Where the case that is being measured has its files.
    pub fn run_folder(&self) -> PathBuf {
        self.path("case")
    }
}

impl Drop for OwnFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.run_folder());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_run_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = OwnFolder::take_at(folder.path()).unwrap();
        let refused = OwnFolder::take_at(folder.path()).unwrap_err().to_string();
        assert!(refused.contains("another uvs bench runs"), "{refused}");
        drop(first);
        OwnFolder::take_at(folder.path()).unwrap();
    }
}
