//! Debian's ipvsadm, with a director, without one, and with one that fails it.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::library::{library, preloaded};
use crate::mock::{DEL_SERVICE, GET_INFO, GET_SERVICE, Manner, Mock, NEW_SERVER, NEW_SERVICE};

const EMPTY: &str = "IP Virtual Server version 1.2.1 (size=4096)\n\
    Prot LocalAddress:Port Scheduler Flags\n  \
    -> RemoteAddress:Port           Forward Weight ActiveConn InActConn\n";

/// What a person sees: the exit status, both outputs.
fn seen(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn ipvsadm(run_dir: &Path, arguments: &str) -> (Option<i32>, String, String) {
    seen(
        &preloaded("ipvsadm", run_dir)
            .args(arguments.split(' '))
            .output()
            .expect("ipvsadm is installed (setup/packages.txt)"),
    )
}

#[track_caller]
fn prints(run_dir: &Path, arguments: &str, out: &str) {
    assert_eq!(ipvsadm(run_dir, arguments), (Some(0), out.into(), String::new()), "ipvsadm {arguments}");
}

#[test]
fn commands_and_lists() {
    let folder = tempfile::tempdir().unwrap();
    let mock = Mock::start(folder.path());
    prints(folder.path(), "-A -t 192.0.2.10:80 -s wrr", "");
    prints(folder.path(), "-a -t 192.0.2.10:80 -r 10.0.0.11:8080 -m -w 3", "");
    prints(folder.path(), "-A -u [2001:db8::10]:53 -s rr -p 60", "");
    let list = "TCP  192.0.2.10:80 wrr\n  -> 10.0.0.11:8080               Masq    3      7          8         \n\
        UDP  [2001:db8::10]:53 rr persistent 60\n";
    prints(folder.path(), "-Ln", &format!("{EMPTY}{list}"));
    prints(folder.path(), "-L --timeout", "Timeout (tcp tcpfin udp): 900 120 300\n");
    prints(folder.path(), "-D -t 192.0.2.10:80", "");
    for command in [NEW_SERVICE, NEW_SERVER, GET_INFO, GET_SERVICE, DEL_SERVICE] {
        mock.wait_for(command, 1);
    }
    prints(folder.path(), "-C", "");
    prints(folder.path(), "-Ln", EMPTY);
}

/// Hundreds of sockets, each taken over and closed without reading the last acknowledgement.
#[test]
fn save_and_restore() {
    let folder = tempfile::tempdir().unwrap();
    let _mock = Mock::start(folder.path());
    let rules: String = (1..=100).map(|port| format!("-A -t 192.0.2.10:{port} -s rr\n")).collect();
    let mut restore = preloaded("ipvsadm", folder.path());
    let mut child = restore.arg("-R").stdin(std::process::Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), rules.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    prints(folder.path(), "-S -n", &rules);
}

#[test]
fn conns_are_the_directors_stream() {
    let folder = tempfile::tempdir().unwrap();
    let _mock = Mock::start(folder.path());
    let (status, out, errors) = ipvsadm(folder.path(), "-Lnc");
    assert_eq!((status, errors.as_str()), (Some(0), ""));
    let conn = "TCP 14:59  ESTABLISHED 198.51.100.1:40001 192.0.2.10:80      10.0.0.11:8080\n";
    assert!(out.ends_with(conn), "{out}");
}

/// As of a kernel without IPVS. The socket options that ipvsadm then tries are those of the kernel's own IPVS: a library behind ours
/// (which also shows that one may be there) tells of any that come through.
#[test]
fn without_a_director_there_is_no_ipvs() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("told.c");
    std::fs::write(&source, TOLD).unwrap();
    let told = folder.path().join("told.so");
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&told, &source]).status().unwrap();
    assert!(compiled.success());
    let list = |libraries: String| {
        let mut ipvsadm = preloaded("ipvsadm", folder.path());
        // Nor is anybody asked to load the kernel's module.
        seen(&ipvsadm.arg("-Ln").env("LD_PRELOAD", libraries).output().unwrap())
    };
    let alone = list(told.display().to_string());
    assert!(alone.2.contains("the kernel was asked"), "the test cannot tell: {alone:?}");
    let (status, out, errors) = list(format!("{}:{}", library().display(), told.display()));
    assert_eq!((status, out.as_str()), (Some(2), ""), "{errors}");
    assert!(errors.contains("Can't initialize ipvs: Protocol not available\n"), "{errors}");
    assert!(!errors.contains("the kernel was asked"), "{errors}");
    // A list of conns needs the former, too; the file itself is asked for in `sockets`.
    assert_eq!(ipvsadm(folder.path(), "-Lnc").0, Some(2));
}

const TOLD: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <sys/socket.h>

int getsockopt(int number, int level, int name, void *value, socklen_t *bytes) {
    int (*next)(int, int, int, void *, socklen_t *) = dlsym(RTLD_NEXT, "getsockopt");
    if (level == 0 && name >= 1152 && name <= 1167)
        fprintf(stderr, "the kernel was asked for %d\n", name);
    return next(number, level, name, value, bytes);
}
"#;

/// EBUSY, whatever it died of; and at once.
#[test]
fn a_director_that_dies_in_mid_request() {
    for manner in [Manner::Dies, Manner::Resets] {
        let folder = tempfile::tempdir().unwrap();
        let _mock = Mock::with(folder.path(), manner);
        let (status, out, errors) = ipvsadm(folder.path(), "-A -t 192.0.2.10:80 -s rr");
        assert_eq!((status, out.as_str()), (Some(2), ""), "{manner:?} {errors}");
        assert!(errors.contains("Can't initialize ipvs: "), "{manner:?} {errors}");
    }
}

/// It holds the program up for as long as the library lets it, twice: ipvsadm tries again.
#[test]
fn a_director_that_stops() {
    let folder = tempfile::tempdir().unwrap();
    let _mock = Mock::with(folder.path(), Manner::Stops);
    let started = Instant::now();
    let (status, _, errors) = ipvsadm(folder.path(), "-Ln");
    assert_eq!(status, Some(2), "{errors}");
    assert!(started.elapsed() >= Duration::from_secs(5), "it did not wait: {:?}", started.elapsed());
}
