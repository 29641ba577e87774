//! What keepalived can say of services beyond real servers that are checked: groups, marks, quorums, weights that scripts tell, time-outs;
//! and FullNAT, which it has no word for. All of it is edits, so it needs no traffic: what carries some is in `tests/e2e`.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use control::Client;
use control::show::Service;
use rustix::process::{Signal, geteuid};
use uvs::demo::process::Process;
use uvs::demo::wait::wait_until;

use super::{listen, start};
use crate::director::{Director, sections};
use crate::exec::Installed;
use crate::run::QUIET;

/// `keepalived.conf`. The first server weighs 2, two more weigh 1; a check ends by an answer, never by a clock.
fn conf(folder: &Path, servers: [u16; 3], sorry: u16, weight: u32) -> String {
    let folder = folder.display();
    let check = "TCP_CHECK { connect_timeout 60\n }";
    let server = |(port, weight)| format!("real_server 127.0.0.1 {port} {{ weight {weight}\n {check}\n }}\n");
    let of_group: String = servers.into_iter().zip([2, 1, 1]).map(server).collect();
    format!(
        "global_defs {{ lvs_flush\n lvs_timeouts tcp 100 tcpfin 20 udp 30\n script_user root\n }}\n\
         virtual_server_group vips {{ 198.51.100.20 80\n 198.51.100.21-22 81\n fwmark 9\n }}\n\
         virtual_server group vips {{ delay_loop 0.1\n retry 1\n delay_before_retry 0.1\n\
         lb_algo wrr\n lb_kind NAT\n protocol TCP\n quorum 3\n hysteresis 1\n\
         quorum_up \"{folder}/note.sh up\"\n quorum_down \"{folder}/note.sh down\"\n\
         sorry_server 127.0.0.1 {sorry}\n {of_group} }}\n\
         virtual_server 2001:db8::10 80 {{ delay_loop 0.1\n lb_algo sh\n sh-port\n lb_kind DR\n protocol TCP\n\
         persistence_timeout 60\n\
         real_server ::1 80 {{ weight {weight}\n MISC_CHECK {{ misc_path \"/bin/true\"\n misc_timeout 60\n }}\n }}\n }}\n\
         virtual_server fwmark 7 {{ delay_loop 0.1\n lb_algo mh\n lb_kind TUN\n\
         real_server 127.0.0.1 0 {{ weight 1\n\
         MISC_CHECK {{ misc_path \"{folder}/weight.sh\"\n misc_timeout 60\n misc_dynamic\n }}\n }}\n }}\n"
    )
}

/// What the director should have: servers and weights of the group, the weight that the file gives, the weight that a script gives.
fn expected(of_group: &[(u16, u32)], weight: u32, scripted: u32) -> Vec<String> {
    let mut servers: Vec<_> =
        of_group.iter().map(|(port, weight)| format!(" 127.0.0.1:{port} FullNat {weight}")).collect();
    servers.sort();
    let servers = servers.concat();
    let mut rows = vec![
        format!("198.51.100.20:80 wrr:{servers}"),
        format!("198.51.100.21:81 wrr:{servers}"),
        format!("198.51.100.22:81 wrr:{servers}"),
        format!("mark 9 wrr:{servers}"),
        format!("[2001:db8::10]:80 sh sh-port persistent 60: [::1]:80 Dr {weight}"),
        format!("mark 7 mh: 127.0.0.1:0 Tun {scripted}"),
    ];
    rows.sort();
    rows
}

/// A service as one reads it.
fn row(service: &Service) -> String {
    let name = match (service.address, service.fwmark) {
        (Some(address), _) => address.to_string(),
        (None, mark) => format!("mark {}", mark.unwrap()),
    };
    let flags: String = service.flags.iter().map(|flag| format!(" {flag}")).collect();
    let persistent = service.persistent_s.map(|seconds| format!(" persistent {seconds}")).unwrap_or_default();
    let server = |server: &control::show::Server| format!(" {} {:?} {}", server.address, server.method, server.weight);
    let mut servers: Vec<_> = service.servers.iter().map(server).collect();
    servers.sort();
    format!("{name} {}{flags}{persistent}:{}", service.scheduler, servers.concat())
}

/// A program of the test's.
fn script(path: &Path, does: &str) {
    fs::write(path, format!("#!/bin/sh\n{does}\n")).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn groups_quorums_weights_and_timeouts() {
    if !geteuid().is_root() {
        println!("skipped: keepalived wants to be root");
        return;
    }
    let (folder, installed) = (tempfile::tempdir().unwrap(), Installed::new());
    let fullnat = "[fullnat]\nmasquerade = true\nlocal_addresses = [\"192.0.2.200\"]\n";
    let text = sections(&folder.path().join("run"), "adaptive") + fullnat + QUIET;
    let director = Director::start_with(folder.path(), &text).unwrap();
    let ipvsadm = |arguments: &str| {
        let mut uvs = installed.uvs();
        uvs.arg("--run-dir").arg(director.run_dir()).args(["--", "/usr/sbin/ipvsadm"]).args(arguments.split(' '));
        let output = uvs.output().unwrap();
        assert!(output.status.success(), "{arguments}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    // What somebody else left behind, which `lvs_flush` is for.
    ipvsadm("-A -t 198.51.100.99:80 -s rr");

    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    let (first, second, _third) = (listen(0), listen(0), listen(0));
    let [one, two, three] = [&first, &second, &_third].map(port);
    let sorry = port(&listen(0));
    let path = |name: &str| folder.path().join(name);
    // Exit status 2 and more is a weight that is less by 2.
    let set_weight = |weight: u32| {
        fs::write(path("new"), (weight + 2).to_string())
            .and_then(|()| fs::rename(path("new"), path("weight")))
            .unwrap();
    };
    set_weight(10);
    script(&path("weight.sh"), &format!("exit $(cat {})", path("weight").display()));
    script(&path("note.sh"), &format!("echo $1 >> {}", path("notes").display()));
    let write_conf = |weight| conf(folder.path(), [one, two, three], sorry, weight);
    let mut keepalived = start(&installed, director.run_dir(), folder.path(), &write_conf(4));

    let until = |keepalived: &mut Process, what: &str, of_group: &[(u16, u32)], weight, scripted, notes: &str| {
        let expected = (expected(of_group, weight, scripted), notes.to_string());
        let mut found = Default::default();
        let waited = wait_until(what, || {
            keepalived.check_running()?;
            let mut rows: Vec<_> = director.ask(Client::services).services.iter().map(row).collect();
            rows.sort();
            found = (rows, fs::read_to_string(path("notes")).unwrap_or_default());
            Ok(found == expected)
        });
        waited.unwrap_or_else(|failure| {
            panic!("{failure}\nthere is {found:#?}\nmust be {expected:#?}\n{}", keepalived.output())
        });
    };
    let all = [(one, 2), (two, 1), (three, 1)];
    until(&mut keepalived, "all was there", &all, 4, 10, "up\n");
    assert_eq!(ipvsadm("-L --timeout"), "Timeout (tcp tcpfin udp): 100 20 30\n");

    // A quorum of 3 with a hysteresis of 1: lost below 2, gained at 4.
    drop(first);
    until(&mut keepalived, "a weight of 2 was enough", &all[1..], 4, 10, "up\n");
    drop(second);
    until(&mut keepalived, "the quorum was lost", &[(sorry, 1)], 4, 10, "up\ndown\n");
    let _second = listen(two);
    // keepalived says that it is back, and nothing changes for it.
    let said = format!("[127.0.0.1]:tcp:{two} success");
    let count = |keepalived: &Process| keepalived.output().matches(&said).count();
    let before = count(&keepalived);
    wait_until("the second server was back", || Ok(count(&keepalived) > before)).unwrap();
    until(&mut keepalived, "a weight of 2 was not enough again", &[(sorry, 1)], 4, 10, "up\ndown\n");
    let _first = listen(one);
    until(&mut keepalived, "the quorum was gained", &all, 4, 10, "up\ndown\nup\n");

    set_weight(25);
    until(&mut keepalived, "a script changed a weight", &all, 4, 25, "up\ndown\nup\n");
    set_weight(0);
    until(&mut keepalived, "a script made it 0", &all, 4, 0, "up\ndown\nup\n");
    fs::write(path("conf"), write_conf(9)).unwrap();
    keepalived.signal(Signal::HUP);
    until(&mut keepalived, "the file changed a weight", &all, 9, 0, "up\ndown\nup\n");

    keepalived.stop().unwrap();
    assert_eq!(super::listed(&director), "");
}
