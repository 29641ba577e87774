//! `uvs exec`, from a folder like an installed one: which programs it starts, with what around them, and which it refuses. What the library
//! then does is tested where it is (`preload/tests`).

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::library::library;
use crate::program::Outcome;

/// `bin/uvs` and perhaps `lib/uvs/libuvs_preload.so`.
pub struct Installed(tempfile::TempDir);

impl Installed {
    fn without_library() -> Installed {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("bin")).unwrap();
        let (built, installed) = (env!("CARGO_BIN_EXE_uvs"), folder.path().join("bin/uvs"));
        fs::hard_link(built, &installed).or_else(|_| fs::copy(built, &installed).map(drop)).unwrap();
        Installed(folder)
    }

    pub fn new() -> Installed {
        let installed = Installed::without_library();
        fs::create_dir_all(installed.library().parent().unwrap()).unwrap();
        fs::copy(library(), installed.library()).unwrap();
        installed
    }

    fn library(&self) -> PathBuf {
        self.0.path().join("lib/uvs/libuvs_preload.so")
    }

    pub fn folder(&self) -> &Path {
        self.0.path()
    }

    /// `uvs exec`, to be told what.
    pub fn uvs(&self) -> Command {
        let mut uvs = Command::new(self.folder().join("bin/uvs"));
        uvs.env_remove("LD_PRELOAD").arg("exec");
        uvs
    }

    /// Runs it with the run directory that has no director.
    fn exec(&self, command: &[&str]) -> Outcome {
        seen(self.uvs().arg("--run-dir").arg(self.folder()).arg("--").args(command))
    }

    #[track_caller]
    fn refuses(&self, command: &[&str], says: &str) {
        let expect = Outcome { status: Some(1), out: String::new(), errors: format!("uvs: {says}\n") };
        assert_eq!(self.exec(command), expect);
    }

    fn no_director(&self) -> String {
        format!(
            "uvs: no director answers in {}: No such file or directory (os error 2); the program will find no IPVS\n",
            self.folder().display()
        )
    }
}

fn seen(command: &mut Command) -> Outcome {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it prints text");
    Outcome { status: output.status.code(), out: text(output.stdout), errors: text(output.stderr) }
}

#[test]
fn the_program_finds_its_director_and_what_was_preloaded_before() {
    let installed = Installed::new();
    let script = "echo $LD_PRELOAD $UVS_RUN_DIR $0 $1; exit 3";
    let mut uvs = installed.uvs();
    uvs.env("LD_PRELOAD", "libm.so.6 libdl.so.2").arg("--run-dir").arg(installed.folder());
    let outcome = seen(uvs.args(["sh", "-c", script, "name", "--version"]));
    let (library, folder) = (installed.library(), installed.folder());
    let out = format!("{}:libm.so.6:libdl.so.2 {} name --version\n", library.display(), folder.display());
    assert_eq!(outcome, Outcome { status: Some(3), out, errors: installed.no_director() });
}

#[test]
fn the_library_is_in_the_program() {
    let installed = Installed::new();
    let listener = UnixListener::bind(installed.folder().join("proc.sock")).unwrap();
    let director = std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut name = String::new();
        BufReader::new(&stream).read_line(&mut name).unwrap();
        stream.write_all(format!("the director's {name}").as_bytes()).unwrap();
    });
    let outcome = installed.exec(&["cat", "/proc/net/ip_vs_stats"]);
    assert_eq!((outcome.status, outcome.out.as_str()), (Some(0), "the director's ip_vs_stats\n"), "{}", outcome.errors);
    director.join().unwrap();
}

#[test]
fn a_library_that_is_missing() {
    let installed = Installed::without_library();
    let elsewhere = ["/usr/local/lib/uvs", "/usr/lib/uvs"];
    if elsewhere.iter().any(|folder| Path::new(folder).exists()) {
        println!("skipped: UVS is installed on this machine");
        return;
    }
    let folder = installed.folder().display();
    let says = format!(
        "libuvs_preload.so is missing: it is neither in {folder}/bin nor in {folder}/lib/uvs nor in /usr/local/lib/uvs nor in \
         /usr/lib/uvs; `make build` builds it, `make install` installs it"
    );
    installed.refuses(&["true"], &says);
}

#[test]
fn programs_that_it_would_not_reach() {
    let installed = Installed::new();
    let at = |name: &str| installed.folder().join(name).display().to_string();
    installed.refuses(&["no-such-program"], "no-such-program: no such program in PATH");
    installed.refuses(&["./none"], "./none: No such file or directory (os error 2)");

    fs::write(at("empty.c"), "int main(void) { return 0; }\n").unwrap();
    assert!(Command::new("cc").args(["-static", "-o", &at("static"), &at("empty.c")]).status().unwrap().success());
    let of_static = "a static program, which no library can be preloaded into: it would not reach the director";
    installed.refuses(&[&at("static")], &format!("{}: {of_static}", at("static")));
    // Its interpreter is what the library would have to be in.
    fs::write(at("script"), format!("#! {} -x\n", at("static"))).unwrap();
    fs::set_permissions(at("script"), Permissions::from_mode(0o755)).unwrap();
    installed.refuses(&[&at("script")], &format!("{}: {of_static}", at("static")));

    // The loader does not trust the environment of a program that is another user's while it runs.
    fs::copy("/bin/true", at("setuid")).unwrap();
    if chown(at("setuid"), Some(1), None).is_err() {
        println!("setuid skipped: needs root");
        return;
    }
    fs::set_permissions(at("setuid"), Permissions::from_mode(0o4755)).unwrap();
    let says = "setuid, so the loader ignores LD_PRELOAD: it would not reach the director";
    installed.refuses(&[&at("setuid")], &format!("{}: {says}", at("setuid")));
}

#[test]
fn scripts_and_paths() {
    let installed = Installed::new();
    let script = installed.folder().join("script");
    fs::write(&script, "#!/bin/sh\necho $LD_PRELOAD\n").unwrap();
    fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
    let outcome = installed.exec(&[script.to_str().unwrap()]);
    assert_eq!((outcome.status, outcome.out), (Some(0), format!("{}\n", installed.library().display())));
    let told = seen(installed.uvs().env("UVS_RUN_DIR", "/none").args(["sh", "-c", "echo $UVS_RUN_DIR"]));
    assert_eq!((told.status, told.out.as_str()), (Some(0), "/none\n"));
    let relative = seen(installed.uvs().args(["--run-dir", "run", "true"]));
    assert_eq!(relative.errors, "uvs: run_dir run: must be an absolute path of at most 80 bytes\n");
}
