//! `uvs check NEW --against OLD`, `uvs reload` and SIGHUP: what changed is told, what cannot be changes nothing.

use crate::program::{Outcome, fails, uvs};
use std::fs;

const PORT: &str = "[[port]]\nname = \"wan\"\ndevice = \"net_null0,no-rx=1\"\naddresses = [\"192.0.2.1/24\"]\n";

fn service(port: u16, weight: u32) -> String {
    format!(
        "[[service]]\nprotocol = \"tcp\"\naddress = \"192.0.2.10:{port}\"\n\
         [[service.real_server]]\naddress = \"192.0.2.11:8080\"\nmethod = \"nat\"\nweight = {weight}\n"
    )
}

const DRAINED: &str = "\
service tcp 192.0.2.10:443: removed, with 1 real servers
service tcp 192.0.2.10:25: added, wlc with 1 real servers
service tcp 192.0.2.10:80, real server 192.0.2.11:8080: weight: 1 → 0
service tcp 192.0.2.10:80, real server 192.0.2.11:8080: drains: its conns stay, no new ones
services: 1 added, 1 removed, 1 changed; real servers: 1 added, 1 removed, 1 changed
";

#[test]
fn two_files_are_compared() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let old = file("old.toml", PORT.to_string() + &service(80, 1) + &service(443, 1));
    let new = file("new.toml", PORT.to_string() + &service(80, 0) + &service(25, 1));
    let prints = |out: &str| Outcome { status: Some(0), out: out.into(), errors: String::new() };
    assert_eq!(uvs(&["check", &new, "--against", &old]), prints(DRAINED));
    assert_eq!(uvs(&["check", &new, "--against", &new]), prints("nothing changed\n"));

    let mtu = file("mtu.toml", "[director]\nconns_max = 5\n".to_string() + PORT + "mtu = 9000\n" + &service(25, 1));
    fails(
        &["check", &mtu, "--against", &old],
        "uvs: director.conns_max: found 5, the director runs with 1000000; restart it, or leave conns_max as it was\n\
         uvs: port wan: mtu: found 9000, the director runs with 1500; restart it, or leave mtu as it was\n",
    );
    let wrong = file("wrong.toml", "[director]\nworkrs = [1]\n".to_string() + PORT);
    let fault = format!("uvs: {wrong}:2:1: director: unknown key `workrs`; did you mean `workers`?\n");
    fails(&["check", &wrong, "--against", &old], &fault);
    fails(&["check", &old, "--against", &wrong], &fault);
}

#[test]
fn nothing_is_reloaded_without_a_director() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = folder.path().display().to_string();
    let outcome = uvs(&["reload", "--run-dir", &run_dir]);
    assert_eq!((outcome.status, outcome.out.as_str()), (Some(1), ""));
    assert!(outcome.errors.starts_with(&format!("uvs: no director runs in {run_dir}: ")), "{}", outcome.errors);
}

#[cfg(feature = "dpdk")]
#[test]
fn a_running_director_takes_up_its_file() {
    use crate::director::{Director, sections};
    use control::Client;
    use rustix::process::{Pid, Signal, kill_process};
    use std::path::Path;

    let folder = tempfile::tempdir().unwrap();
    let director =
        Director::start(folder.path(), "adaptive", &(PORT.to_string() + &service(80, 1) + &service(443, 1))).unwrap();
    let run_dir = director.run_dir().display().to_string();
    let reload = || uvs(&["reload", "--run-dir", &run_dir]);
    let write = |text: &str| {
        fs::write(folder.path().join("uvs.toml"), sections(Path::new(&run_dir), "adaptive") + PORT + text).unwrap()
    };
    let ports = |services: &control::show::Services| -> Vec<u16> {
        services.services.iter().filter_map(|service| service.address).map(|address| address.port()).collect()
    };

    write(&(service(80, 0) + &service(25, 1)));
    assert_eq!(reload(), Outcome { status: Some(0), out: DRAINED.into(), errors: String::new() });
    let services = director.ask(Client::services);
    assert_eq!((ports(&services), services.services[1].servers[0].weight), (vec![25, 80], 0));
    assert_eq!(reload().out, "nothing changed\n");

    // A wrong file, and a right one with what cannot change.
    write(&(service(80, 1) + "wieght = 1\n"));
    let refused = reload();
    assert_eq!((refused.status, refused.out.as_str()), (Some(1), ""));
    assert!(
        refused.errors.starts_with("uvs: nothing was changed:\nuvs: ") && refused.errors.contains("uvs.toml:"),
        "{refused:?}"
    );
    write(&("mtu = 9000\n".to_string() + &service(80, 1)));
    let says = "port wan: mtu: found 9000, the director runs with 1500; restart it, or leave mtu as it was";
    assert_eq!(reload().errors, format!("uvs: nothing was changed:\nuvs: {says}\n"));
    assert_eq!(ports(&director.ask(Client::services)), [25, 80]);

    // A signal does the same, and the log says so.
    write(&service(443, 1));
    let pid = director.ask(Client::version).pid;
    kill_process(Pid::from_raw(pid as i32).unwrap(), Signal::HUP).unwrap();
    director.ask_until("the new services were there", Client::services, |services| ports(services) == [443]);
    let (status, output) = director.end(Signal::TERM);
    assert!(status.success(), "{output}");
    for line in DRAINED.lines().chain([says, "service tcp 192.0.2.10:443: added, wlc with 1 real servers"]) {
        assert!(output.contains(line), "{line}\n{output}");
    }
}
