//! The library as it is installed, and programs with it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The built library. Cargo builds no library of this kind for a test, so the first that asks has it do so.
pub fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let here = std::env::current_exe().unwrap();
        let target = here.ancestors().nth(3).expect("a test is target/profile/deps/name");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--release", "--package", "uvs-preload", "--target-dir"]).arg(target);
        assert!(cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap().success());
        target.join("release/libuvs_preload.so")
    })
}

/// A program that will find its director in this folder.
pub fn preloaded(program: impl AsRef<std::ffi::OsStr>, run_dir: &Path) -> Command {
    let mut command = Command::new(program);
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    command.env("LD_PRELOAD", library()).env("UVS_RUN_DIR", run_dir).env("PATH", path).env("LC_ALL", "C");
    command
}
