//! The program `uvs`, run to its end, and what a person sees of it.

use std::ffi::OsStr;
use std::process::Command;

/// What a run printed, and its exit status.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    pub status: Option<i32>,
    pub out: String,
    pub errors: String,
}

/// Runs `uvs` with these arguments. For commands that end by themselves.
pub fn uvs(arguments: &[impl AsRef<OsStr>]) -> Outcome {
    let output = Command::new(env!("CARGO_BIN_EXE_uvs")).args(arguments).output().expect("the program was built");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it prints text");
    Outcome { status: output.status.code(), out: text(output.stdout), errors: text(output.stderr) }
}

/// It fails with exactly this on standard error and nothing on standard output.
#[track_caller]
pub fn fails(arguments: &[impl AsRef<OsStr>], errors: &str) {
    let expect = Outcome { status: Some(1), out: String::new(), errors: errors.into() };
    assert_eq!(uvs(arguments), expect);
}

#[test]
fn version_and_help() {
    let version = uvs(&["--version"]);
    assert!(version.out.starts_with(concat!("uvs ", env!("CARGO_PKG_VERSION"))), "{version:?}");
    let help = uvs(&["--help"]);
    for command in ["check", "show", "help"] {
        let names = |line: &str| line.trim_start().starts_with(command);
        assert!(help.out.lines().any(names), "{command}\n{}", help.out);
    }
    for outcome in [&version, &help] {
        assert_eq!((outcome.status, outcome.errors.as_str()), (Some(0), ""));
    }
}

#[test]
fn a_wrong_command_line_is_told_the_right_one() {
    for (arguments, says) in [
        (vec!["shwo"], "unrecognized subcommand 'shwo'"),
        (vec!["check"], "<FILE>"),
        (
            vec!["show", "wrokers"],
            "[possible values: services, rates, conns, ports, workers, drops, neighbors, routes, version]",
        ),
    ] {
        let outcome = uvs(&arguments);
        assert_eq!((outcome.status, outcome.out.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(outcome.errors.contains(says), "{arguments:?}\n{}", outcome.errors);
    }
}

#[test]
fn nothing_can_be_shown_without_a_director() {
    let folder = tempfile::tempdir().unwrap();
    for what in ["services", "conns", "ports", "workers", "drops", "neighbors", "routes", "version"] {
        let run_dir = folder.path().display().to_string();
        fails(
            &["show", what, "--run-dir", &run_dir],
            &format!(
                "uvs: no director runs in {run_dir}: it has no admin.sock; start one with `uvs run -c FILE`, or name its \
                 directory with --run-dir\n"
            ),
        );
    }
}
