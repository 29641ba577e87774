//! `uvs exec`: becomes a stock program (ipvsadm, keepalived) whose IPVS is the director. What lets it is a library that the loader puts
//! before the C library ([`library`]); whether that reaches a program is known beforehand ([`program`]).

mod library;
mod program;

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use socket2::{Domain, SockAddr, Socket, Type};

use config::limits::RUN_DIR_BYTES_MAX;
use program::Program;

/// Names the director's run_dir to the library.
const RUN_DIR: &str = "UVS_RUN_DIR";
const PRELOAD: &str = "LD_PRELOAD";

/// Arguments of `uvs exec`.
#[derive(Clone, Debug, clap::Args)]
pub struct ExecArgs {
    /// Directory of the running director's sockets [default: what UVS_RUN_DIR says, else /run/uvs]
    #[arg(long, value_name = "DIR")]
    pub run_dir: Option<PathBuf>,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_names = ["PROGRAM", "ARGS"])]
    pub command: Vec<OsString>,
}

/// Why the program was not started.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// It is not a path that the library takes.
    #[error("run_dir {}: must be an absolute path of at most {RUN_DIR_BYTES_MAX} bytes", .0.display())]
    RunDir(PathBuf),
    /// There is no library.
    #[error(transparent)]
    Library(#[from] library::LibraryError),
    /// There is no such program, or the library would not reach it.
    #[error(transparent)]
    Program(#[from] program::ProgramError),
    /// The kernel does not start it.
    #[error("{}: {}", .0.display(), .1)]
    Start(PathBuf, io::Error),
}

/// Becomes the program; returns only if it cannot. Without a director the program is started nevertheless, as keepalived may be before it.
pub fn exec(args: &ExecArgs) -> ExecError {
    match prepare(args) {
        Ok(mut command) => {
            let cause = command.exec();
            ExecError::Start(command.get_program().into(), cause)
        }
        Err(error) => error,
    }
}

fn prepare(args: &ExecArgs) -> Result<Command, ExecError> {
    let run_dir = &args.run_dir.clone().unwrap_or_else(run_dir);
    if !run_dir.is_absolute() || run_dir.as_os_str().len() > RUN_DIR_BYTES_MAX {
        return Err(ExecError::RunDir(run_dir.clone()));
    }
    let library = library::find()?;
    let (name, arguments) = args.command.split_first().expect("the command line wants at least a program");
    let program = Program::find(name)?;
    program.is_reached()?;
    if let Err(cause) = connect(run_dir) {
        eprintln!("uvs: no director answers in {}: {cause}; the program will find no IPVS", run_dir.display());
    }
    let mut command = Command::new(program.path());
    // A shell's name for it is what it may print.
    command.arg0(name).args(arguments).env(RUN_DIR, run_dir).env(PRELOAD, before_others(&library));
    Ok(command)
}

/// Whoever has told the library has told us.
fn run_dir() -> PathBuf {
    std::env::var_os(RUN_DIR).map_or_else(|| config::Director::default().run_dir, PathBuf::from)
}

fn connect(run_dir: &Path) -> io::Result<()> {
    Socket::new(Domain::UNIX, Type::SEQPACKET, None)?.connect(&SockAddr::unix(run_dir.join("ipvs.sock"))?)
}

/// What is preloaded already stays, behind ours.
fn before_others(library: &Path) -> OsString {
    let mut list = library.as_os_str().to_owned();
    for other in std::env::var_os(PRELOAD).unwrap_or_default().as_bytes().split(|byte| b": ".contains(byte)) {
        if !other.is_empty() && other != library.as_os_str().as_bytes() {
            list.push(":");
            list.push(OsStr::from_bytes(other));
        }
    }
    list
}
