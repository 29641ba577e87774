//! `uvs run`: how it starts, refuses to, idles and ends.

use crate::director::{Director, sections};
use control::Client;
use control::show::Worker;
use rustix::process::Signal;
use std::path::Path;

/// A port on a device that never receives and takes everything.
pub const QUIET: &str = "[[port]]\nname = \"wan\"\ndevice = \"net_null0,no-rx=1\"\naddresses = [\"192.0.2.1/24\"]\n";

fn socket(folder: &Path) -> std::path::PathBuf {
    folder.join("run/admin.sock")
}

#[test]
fn both_signals_end_it_cleanly() {
    for signal in [Signal::INT, Signal::TERM] {
        let folder = tempfile::tempdir().unwrap();
        let director = Director::start(folder.path(), "adaptive", QUIET).unwrap();
        assert!(socket(folder.path()).exists());
        let pid = director.ask(Client::version).pid;
        let (status, output) = director.end(signal);
        assert!(status.success(), "{signal:?}: {status}\n{output}");
        assert!(!socket(folder.path()).exists(), "{signal:?}");
        assert!(runtime_dirs(pid).is_empty());
        let last = output.lines().last().unwrap();
        assert!(last.ends_with("stopped"), "{output}");
    }
}

#[test]
fn a_device_that_is_not_there_is_named_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let absent = format!("net_pcap0,rx_pcap={0}/absent.pcap,tx_pcap={0}/out.pcap", folder.path().display());
    for (device, says) in
        [("net_nonesuch0,iface=x", "no DPDK driver makes such a device"), (absent.as_str(), "its driver refused it")]
    {
        let (status, output) = refused(folder.path(), &QUIET.replace("net_null0,no-rx=1", device));
        assert_eq!(status, Some(1), "{output}");
        let said: Vec<_> = output.lines().filter(|line| line.starts_with("uvs: ")).collect();
        let [line] = said[..] else { panic!("not one line:\n{output}") };
        assert!(line.starts_with(&format!("uvs: port wan: device \"{device}\": {says}")), "{line}");
        assert!(output.ends_with(&format!("{line}\n")), "it is the last word\n{output}");
        assert!(!socket(folder.path()).exists(), "{output}");
    }
}

#[test]
fn a_run_dir_is_one_directors_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let first = Director::start(folder.path(), "adaptive", QUIET).unwrap();
    let pid = first.ask(Client::version).pid;

    let (status, output) = refused(folder.path(), QUIET);
    assert_eq!(status, Some(1), "{output}");
    let run_dir = first.run_dir().display();
    let says = format!(
        "uvs: {run_dir}: another director (process {pid}) runs here; stop it, or give this one another run_dir\n"
    );
    assert_eq!(output, says);
    assert_eq!(first.ask(Client::version).pid, pid, "the first one is not disturbed");

    let (status, _) = first.end(Signal::KILL);
    assert!(!status.success());
    assert!(socket(folder.path()).exists(), "a killed director leaves its socket");
    let left = runtime_dirs(pid);
    let run_dir = folder.path().join("run").display().to_string();
    crate::program::fails(
        &["show", "workers", "--run-dir", &run_dir],
        &format!(
            "uvs: no director runs in {run_dir}: its admin.sock is left from one that has ended; start one with \
             `uvs run -c FILE`, or name its directory with --run-dir\n"
        ),
    );
    let second = Director::start(folder.path(), "adaptive", QUIET).unwrap();
    assert_ne!(second.ask(Client::version).pid, pid, "the next one takes the place");
    assert!(left.iter().all(|directory| !directory.exists()), "and clears up: {left:?}");
    assert!(second.end(Signal::TERM).0.success());
}

/// net_null has RSS, net_ring has not.
#[test]
fn each_port_says_which_way_frames_come_to_their_owners() {
    let cores: Vec<_> = core_affinity::get_core_ids().unwrap().iter().map(|core| core.id).collect();
    let ring = "[[port]]\nname = \"lan\"\ndevice = \"net_ring0\"\naddresses = [\"10.0.0.1/24\"]\n";
    let both =
        ["table of 128: no hop to services with steer = \"tuple\"", "one queue, the first worker's: what others own"];
    for (workers, expected) in [(2, both), (1, ["one worker owns every flow"; 2])] {
        // A machine of one core cannot have two workers.
        let Some(lcores) = cores.get(..workers) else { continue };
        let folder = tempfile::tempdir().unwrap();
        let text = sections(&folder.path().join("run"), "adaptive") + QUIET + ring;
        let own = text.lines().find(|line| line.starts_with("workers = ")).unwrap();
        let director =
            Director::start_with(folder.path(), &text.replace(own, &format!("workers = {lcores:?}"))).unwrap();
        let ports = director.ask(Client::ports).ports;
        for (port, says) in ports.iter().zip(expected) {
            assert!(port.steering.contains(says), "{}: {}", port.name, port.steering);
            let line = format!("steering  {}: {}", port.name, port.steering);
            assert!(director.output().contains(&line), "{line}\n{}", director.output());
        }
        assert_eq!(ports[0].rss.as_deref(), (workers == 2).then_some("4-tuple"));
        assert!(director.end(Signal::TERM).0.success());
    }
}

fn free_huge_mb() -> u64 {
    let sizes = std::fs::read_dir("/sys/kernel/mm/hugepages").into_iter().flatten().flatten();
    let free_kb = sizes.map(|size| {
        let name = size.file_name().into_string().unwrap();
        let page_kb: u64 = name.trim_start_matches("hugepages-").trim_end_matches("kB").parse().unwrap();
        let free = std::fs::read_to_string(size.path().join("free_hugepages")).unwrap();
        page_kb * free.trim().parse::<u64>().unwrap()
    });
    free_kb.sum::<u64>() / 1024
}

/// More pages than are free: the line says what there is, and what would be right.
#[test]
fn huge_pages_that_are_not_there_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("refused.toml");
    let sections = sections(&folder.path().join("run"), "adaptive");
    let memory_mb = free_huge_mb() + 64;
    let sections =
        sections.replace("\"off\"", "\"require\"").replace("memory_mb = 64", &format!("memory_mb = {memory_mb}"));
    std::fs::write(&file, sections + QUIET).unwrap();
    let (status, output) = Director::ends_by_itself(&file);
    assert_eq!(status.code(), Some(1), "{output}");
    assert!(output.starts_with("uvs: ") && output.lines().count() == 1, "{output}");
    let asked = format!("memory_mb is {memory_mb}, but of ");
    for says in [asked.as_str(), " MB of huge pages ", " MB are free", "`sysctl vm.nr_hugepages="] {
        assert!(output.contains(says), "{says}: {output}");
    }
}

#[test]
fn an_idle_worker_sleeps_unless_told_to_poll() {
    for (idle, sleeps) in [("adaptive", true), ("busy", false)] {
        let folder = tempfile::tempdir().unwrap();
        let director = Director::start(folder.path(), idle, QUIET).unwrap();
        let worker = |will_do: &dyn Fn(&Worker) -> bool| -> Worker {
            let mut answer = director
                .ask_until("an idle worker did its turns", Client::workers, |answer| will_do(&answer.workers[0]));
            answer.workers.remove(0)
        };
        let before = worker(&|worker| worker.turns > 0);
        // Far more empty turns than it polls through before its first sleep.
        let after = worker(&|worker| worker.turns >= before.turns + 5_000);
        assert_eq!(after.sleeps > before.sleeps, sleeps, "{idle}: {before:?} {after:?}");
        assert_eq!(after.sleeps > 0, sleeps, "{idle}: {after:?}");
        assert!(after.identity_holds(), "{after:?}");
        assert!(director.end(Signal::TERM).0.success());
    }
}

/// What DPDK made for a process, where it makes it for root and for others.
fn runtime_dirs(pid: u32) -> Vec<std::path::PathBuf> {
    let user = std::env::var("XDG_RUNTIME_DIR").unwrap_or("/tmp".into());
    let directories = ["/var/run", user.as_str()].map(|base| Path::new(base).join(format!("dpdk/uvs{pid}")));
    directories.into_iter().filter(|directory| directory.exists()).collect()
}

/// A director that must not start: its exit status and what it printed.
fn refused(folder: &Path, ports: &str) -> (Option<i32>, String) {
    let file = folder.join("refused.toml");
    std::fs::write(&file, sections(&folder.join("run"), "adaptive") + ports).unwrap();
    let (status, output) = Director::ends_by_itself(&file);
    (status.code(), output)
}
