//! `make install` into a folder, `make deb`, and what is then there: it runs, its manual pages are read, its units name what was installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::library::library;

const FILES: [&str; 16] = [
    "bin/uvs",
    "bin/uvs-ipvsadm",
    "lib/uvs/libuvs_preload.so",
    "lib/systemd/system/uvs.service",
    "lib/systemd/system/uvs-bind.service",
    "share/uvs/keepalived-uvs.conf",
    "share/uvs/uvs-host.conf",
    "share/uvs/uvs-uio.conf",
    "share/man/man1/uvs.1",
    "share/man/man1/uvs-exec.1",
    "share/man/man1/uvs-show.1",
    "share/man/man1/uvs-ipvsadm.1",
    "share/bash-completion/completions/uvs",
    "share/zsh/vendor-completions/_uvs",
    "share/fish/vendor_completions.d/uvs.fish",
    "share/doc/uvs/examples/nat.toml",
];

/// A folder with what was built, as `target/release` has it.
fn built() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (file, name) in [(Path::new(env!("CARGO_BIN_EXE_uvs")), "uvs"), (library(), "libuvs_preload.so")] {
        let place = folder.path().join(name);
        fs::hard_link(file, &place).or_else(|_| fs::copy(file, &place).map(drop)).unwrap();
    }
    folder
}

fn make(arguments: &[String]) -> Output {
    // A make above this test, whose test it may be, has told its own things.
    let mut make = Command::new("make");
    make.env_remove("MAKEFLAGS").env_remove("MAKELEVEL").current_dir(env!("CARGO_MANIFEST_DIR"));
    make.arg("--silent").args(arguments).output().unwrap()
}

#[track_caller]
fn text(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Every file below, as a path from there.
fn files(folder: &Path) -> Vec<PathBuf> {
    let listed = text(Command::new("find").args([folder, Path::new("-type"), Path::new("f")]).output().unwrap());
    listed.lines().map(|path| Path::new(path).strip_prefix(folder).unwrap().to_owned()).collect()
}

#[test]
fn what_is_installed_runs() {
    let (built, destination) = (built(), tempfile::tempdir().unwrap());
    let prefix = Path::new("/opt/uvs");
    let variables = [format!("BUILT={}", built.path().display()), format!("DESTDIR={}", destination.path().display())];
    let arguments = [&["install".into(), format!("PREFIX={}", prefix.display())], &variables[..]].concat();
    assert_eq!(text(make(&arguments)), "");
    let root = destination.path().join("opt/uvs");
    for file in FILES {
        assert!(root.join(file).is_file(), "{file} is missing among {:#?}", files(destination.path()));
    }
    let elsewhere = files(destination.path()).into_iter().find(|file| !file.starts_with("opt/uvs"));
    assert_eq!(elsewhere, None, "outside of PREFIX");

    let uvs = root.join("bin/uvs");
    let version = text(Command::new(&uvs).arg("--version").output().unwrap());
    assert!(version.starts_with(concat!("uvs ", env!("CARGO_PKG_VERSION"))), "{version}");
    reads_its_manual(&root.join("share/man"));
    let words = format!(". {}; complete -p uvs", root.join("share/bash-completion/completions/uvs").display());
    assert!(text(Command::new("bash").args(["-c", &words]).output().unwrap()).contains("uvs"));

    // The library is found, and ipvsadm is in its own place: it says what it would say on a kernel without IPVS.
    let mut ipvsadm = Command::new(root.join("bin/uvs-ipvsadm"));
    let output = ipvsadm.arg("-Ln").env("UVS_RUN_DIR", destination.path()).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.starts_with(&format!("uvs: no director answers in {}", destination.path().display())), "{errors}");
    assert!(errors.contains("Can't initialize ipvs: "), "{errors}");

    for (unit, names) in [
        ("lib/systemd/system/uvs.service", "ExecStart=/opt/uvs/bin/uvs run"),
        ("share/uvs/keepalived-uvs.conf", "LD_PRELOAD=/opt/uvs/lib/uvs/libuvs_preload.so\n"),
    ] {
        let unit = fs::read_to_string(root.join(unit)).unwrap();
        assert!(unit.contains(names) && !unit.contains("/usr/bin/uvs") && !unit.contains("/usr/lib/uvs"), "{unit}");
    }
}

/// Each page without a warning of the formatter's, and with something to read.
fn reads_its_manual(folder: &Path) {
    for page in files(folder) {
        let mut man = Command::new("man");
        man.args(["--warnings", "--local-file"]).arg(folder.join(&page)).current_dir(folder);
        let output = man.env("LC_ALL", "C.UTF-8").output().expect("man-db is installed (setup/packages.txt)");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && errors.is_empty(), "{}: {errors}", page.display());
        assert!(String::from_utf8_lossy(&output.stdout).contains("SYNOPSIS"), "{}", page.display());
    }
}

#[test]
fn nothing_is_installed_that_was_not_built() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().display();
    let output = make(&["install".into(), format!("BUILT={here}"), format!("DESTDIR={here}/to")]);
    assert!(!output.status.success());
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.starts_with(&format!("make install: {here}/uvs is missing: run `make build` first\n")), "{errors}");
    assert!(files(folder.path()).is_empty());
}

#[test]
fn a_debian_package() {
    let built = built();
    let output =
        make(&["deb".into(), format!("BUILT={}", built.path().display()), format!("DEB={}", built.path().display())]);
    text(output);
    let name = fs::read_dir(built.path()).unwrap().map(|file| file.unwrap().path());
    let package = name.into_iter().find(|path| path.extension().is_some_and(|end| end == "deb")).expect("a package");
    let ask = |arguments: &[&str]| text(Command::new("dpkg-deb").args(arguments).arg(&package).output().unwrap());
    let listed = ask(&["--contents"]);
    for file in FILES {
        // Debian's pages are compressed.
        let file = if file.ends_with(".1") { format!("{file}.gz") } else { file.into() };
        let line = listed.lines().find(|line| line.ends_with(&format!(" ./usr/{file}")));
        let line = line.unwrap_or_else(|| panic!("{file} is missing in\n{listed}"));
        let rights = if file.starts_with("bin/") { "-rwxr-xr-x root/root" } else { "-rw-r--r-- root/root" };
        assert!(line.starts_with(rights), "{line}");
    }
    let control = ask(&["--info"]);
    assert!(control.contains(concat!("Version: ", env!("CARGO_PKG_VERSION"))), "{control}");
    assert!(control.contains("Depends: libc6 "), "{control}");
    assert_eq!(control.contains("librte-meta-net"), cfg!(feature = "dpdk"), "{control}");

    let unpacked = tempfile::tempdir().unwrap();
    text(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(unpacked.path()).output().unwrap());
    text(
        Command::new("dpkg-deb").arg("--control").arg(&package).arg(unpacked.path().join("control")).output().unwrap(),
    );
    let mut verify = Command::new("md5sum");
    verify.args(["--strict", "--check", "control/md5sums"]).current_dir(unpacked.path());
    assert_eq!(text(verify.output().unwrap()).lines().count(), files(&unpacked.path().join("usr")).len());
    for script in ["postinst", "prerm", "postrm"] {
        let mut check = Command::new("sh");
        text(check.arg("-n").arg(unpacked.path().join("control").join(script)).output().unwrap());
    }
    let uvs = unpacked.path().join("usr/bin/uvs");
    let told = text(Command::new(uvs).args(["exec", "--", "sh", "-c", "echo $LD_PRELOAD"]).output().unwrap());
    assert_eq!(told, format!("{}\n", unpacked.path().join("usr/lib/uvs/libuvs_preload.so").display()));
}
