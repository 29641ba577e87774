//! Where the preloaded library is: beside the program `uvs` where it was built, in ../lib/uvs where it was installed.

use std::path::{Path, PathBuf};

const NAME: &str = "libuvs_preload.so";
/// Where `make install` puts it without a PREFIX, and where the Debian package does: for a `uvs` that was copied elsewhere.
const INSTALLED: [&str; 2] = ["/usr/local/lib/uvs", "/usr/lib/uvs"];

/// Why there is no library.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// It is nowhere.
    #[error(
        "{NAME} is missing: it is neither in {}; `make build` builds it, `make install` installs it",
        .0.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(" nor in ")
    )]
    Missing(Vec<PathBuf>),
    /// The loader would take it for two.
    #[error("{}: LD_PRELOAD takes no path with a space or a colon: install it elsewhere", .0.display())]
    Path(PathBuf),
}

/// The library, by its whole path.
pub fn find() -> Result<PathBuf, LibraryError> {
    let program = std::env::current_exe().ok();
    let here = program.as_deref().and_then(Path::parent);
    let beside = here.into_iter().flat_map(|here| [Some(here.to_owned()), here.parent().map(|up| up.join("lib/uvs"))]);
    let mut folders: Vec<PathBuf> = beside.flatten().chain(INSTALLED.map(PathBuf::from)).collect();
    folders.dedup();
    let Some(library) = folders.iter().map(|folder| folder.join(NAME)).find(|path| path.is_file()) else {
        return Err(LibraryError::Missing(folders));
    };
    if library.as_os_str().as_encoded_bytes().iter().any(|byte| b": ".contains(byte)) {
        return Err(LibraryError::Path(library));
    }
    Ok(library)
}
