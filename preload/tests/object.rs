//! The library as a file: what it needs, what it is, and that it looks where a director is that was told nothing.

use std::process::Command;

use crate::library::library;

/// What it has of the C library shows that it allocates nothing and cannot panic with a message; and that it stays small.
#[test]
fn it_is_small_and_allocates_nothing() {
    let listed = Command::new("nm").args(["--dynamic", "--undefined-only"]).arg(library()).output().unwrap();
    assert!(listed.status.success());
    let listed = String::from_utf8(listed.stdout).unwrap();
    let names: Vec<&str> =
        listed.lines().filter_map(|line| line.split_whitespace().last()?.split('@').next()).collect();
    assert!(names.contains(&"dlsym"), "{names:?}");
    for name in ["malloc", "calloc", "realloc", "posix_memalign", "mmap", "mmap64", "pthread_mutex_lock", "write"] {
        assert!(!names.contains(&name), "{name} in {names:?}");
    }
    let bytes = std::fs::metadata(library()).unwrap().len();
    assert!(bytes < 200_000, "{bytes} bytes, line tables included");
}

#[test]
fn it_looks_where_the_director_is_by_default() {
    let source = include_str!("../src/director.rs");
    let run_dir = config::Director::default().run_dir;
    assert!(source.contains(&format!("const RUN_DIR: &str = {run_dir:?};")), "{run_dir:?}");
    assert!(source.contains(&format!("const RUN_DIR_BYTES_MAX: usize = {};", config::limits::RUN_DIR_BYTES_MAX)));
}
