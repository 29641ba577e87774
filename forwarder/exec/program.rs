//! The program to start, and whether a preloaded library reaches it. The loader ignores LD_PRELOAD, or is not there at all, for
//! some programs; they would talk to the kernel's IPVS, silently, so they are not started.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use elf::ElfStream;
use elf::endian::AnyEndian;
use rustix::fs::getxattr;
use rustix::process::{geteuid, getgid, getuid};

/// Scripts whose interpreter is a script: the kernel follows no more.
const SCRIPTS_MAX: usize = 4;
/// So much of a script's first line is looked at, as by the kernel.
const SCRIPT_LINE_BYTES_MAX: u64 = 256;
const SETUID: u32 = 0o4000;
const SETGID: u32 = 0o2000;

/// A program by its path.
pub struct Program(PathBuf);

/// Why it is not started.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// PATH does not have it.
    #[error("{}: no such program in PATH", .0.display())]
    NotFound(OsString),
    /// It cannot be read.
    #[error("{}: {}", .0.display(), .1)]
    Unreadable(PathBuf, io::Error),
    /// There is no loader that would load the library.
    #[error("{}: a static program, which no library can be preloaded into: it would not reach the director", .0.display())]
    Static(PathBuf),
    /// The loader does not trust its caller's environment.
    #[error("{}: {}, so the loader ignores LD_PRELOAD: it would not reach the director", .0.display(), .1)]
    Privileged(PathBuf, &'static str),
    /// The library is for another processor.
    #[error("{}: built for another kind of processor than uvs: it would not reach the director", .0.display())]
    Machine(PathBuf),
}

impl Program {
    /// As a shell finds it.
    pub fn find(name: &OsStr) -> Result<Program, ProgramError> {
        if name.as_bytes().contains(&b'/') {
            return Ok(Program(name.into()));
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| is_executable(path));
        found.map(Program).ok_or_else(|| ProgramError::NotFound(name.into()))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Whether the library will be in it. Of a script, whether in its interpreter.
    pub fn is_reached(&self) -> Result<(), ProgramError> {
        let mut path = self.0.clone();
        for _ in 0..SCRIPTS_MAX {
            match interpreter(&path).map_err(|cause| ProgramError::Unreadable(path.clone(), cause))? {
                Some(interpreter) => path = interpreter,
                None => break,
            }
        }
        if let Some(why) = privilege(&path).map_err(|cause| ProgramError::Unreadable(path.clone(), cause))? {
            return Err(ProgramError::Privileged(path, why));
        }
        let unreadable = |cause| ProgramError::Unreadable(path.clone(), cause);
        let file = File::open(&path).map_err(unreadable)?;
        // What is neither a script nor ELF the kernel does not start, and says so.
        let Ok(program) = ElfStream::<AnyEndian, _>::open_stream(file) else { return Ok(()) };
        let own = File::open("/proc/self/exe").map_err(unreadable)?;
        let own = ElfStream::<AnyEndian, _>::open_stream(own).map_err(|error| unreadable(io::Error::other(error)))?;
        if (program.ehdr.e_machine, program.ehdr.class) != (own.ehdr.e_machine, own.ehdr.class) {
            return Err(ProgramError::Machine(path));
        }
        let has_loader = program.segments().iter().any(|segment| segment.p_type == elf::abi::PT_INTERP);
        if has_loader { Ok(()) } else { Err(ProgramError::Static(path)) }
    }
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.mode() & 0o111 != 0)
}

/// What a script's first line names.
fn interpreter(path: &Path) -> io::Result<Option<PathBuf>> {
    let mut line = Vec::new();
    BufReader::new(File::open(path)?.take(SCRIPT_LINE_BYTES_MAX)).read_until(b'\n', &mut line)?;
    let words = line.strip_prefix(b"#!").map(|rest| rest.split(|byte| byte.is_ascii_whitespace()));
    let word = words.and_then(|mut words| words.find(|word| !word.is_empty()));
    Ok(word.map(|word| OsString::from_vec(word.to_vec()).into()))
}

/// What the program would have that its caller has not.
fn privilege(path: &Path) -> io::Result<Option<&'static str>> {
    let file = fs::metadata(path)?;
    let of_another = |bit, owner: u32, own: u32| file.mode() & bit != 0 && owner != own;
    Ok(if of_another(SETUID, file.uid(), getuid().as_raw()) {
        Some("setuid")
    } else if of_another(SETGID, file.gid(), getgid().as_raw()) {
        Some("setgid")
    } else if !geteuid().is_root() && getxattr(path, c"security.capability", &mut [0u8; 64]).is_ok() {
        Some("it has capabilities of its own")
    } else {
        None
    })
}
