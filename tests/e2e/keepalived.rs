//! Debian's keepalived, VRRP and checkers, on machines whose only link is the host interface: real servers that fail under load and come
//! back.

#[path = "../../preload/tests/library.rs"]
#[allow(dead_code)] // The library's own tests start programs with it.
mod library;
mod machine;
mod site;

use std::time::{Duration, Instant};

use uvs::demo::Failure;
use uvs::demo::process::Process;
use uvs::demo::wait::wait_until;

use crate::programs;
use machine::Machine;
use site::{GATEWAY, HEALTH, HTTP, SERVERS, Site, VIP, server_address};

/// Whatever is waited for happens within a few seconds; the machine may be busy.
const SOON: Duration = Duration::from_secs(30);
/// Enough to meet each server of a round robin.
const REQUESTS: usize = 10;

type Step = fn(&mut Site) -> Result<(), Failure>;

/// The whole test.
pub fn test() -> Result<(), Failure> {
    let mut site = Site::build()?;
    site.add_machine()?;
    let steps: [(&str, Step); 3] = [
        ("keepalived makes its services", appears),
        ("a server killed under load is out, and comes back", killed_under_load),
        ("a page that is gone, HTTP_GET sees", page_gone),
    ];
    for (name, step) in steps {
        let start = Instant::now();
        let words = |site: &Site| site.machines.iter().map(Machine::last_words).collect::<String>();
        step(&mut site).map_err(|failure| Failure::new(format!("{name}: {failure}{}", words(&site))))?;
        println!("e2e:   {name}: ok, {:.1} s", start.elapsed().as_secs_f64());
    }
    site.machines.iter_mut().try_for_each(Machine::stop)
}

fn appears(site: &mut Site) -> Result<(), Failure> {
    let uvs = site.uvs();
    let machine = &mut site.machines[0];
    machine.configure(&conf(150))?;
    machine.keep(&uvs)?;
    machine.until_servers(80, &listed(&[(0, 1), (1, 1)]))?;
    machine.until("it was master", |machine| Ok(machine.carries(VIP)? && machine.carries(GATEWAY)?))?;
    wait_until("the VIP was served", SOON, || Ok(fetch(site).is_ok()))?;
    served_by(site, &[0, 1])
}

/// One by TCP_CHECK, the other by HTTP_GET.
fn killed_under_load(site: &mut Site) -> Result<(), Failure> {
    for (victim, other) in [(0, 1), (1, 0)] {
        let load = load(site)?;
        let start = Instant::now();
        site.servers[victim].kill();
        site.machines[0].until_servers(80, &listed(&[(other, 1)]))?;
        let out_s = start.elapsed().as_secs_f64();
        // Fails with the first request that does.
        let rate = programs::wrk(&site.client, vip())?;
        served_by(site, &[other])?;
        let start = Instant::now();
        site.servers[victim].start()?;
        site.machines[0].until_servers(80, &listed(&[(0, 1), (1, 1)]))?;
        let back_s = start.elapsed().as_secs_f64();
        drop(load);
        served_by(site, &[0, 1])?;
        println!(
            "e2e:     {}: out after {out_s:.1} s, then {rate:.0} requests/s without a failure; back after {back_s:.1} s",
            SERVERS[victim]
        );
    }
    Ok(())
}

/// The port is open still: only who asks for the page knows.
fn page_gone(site: &mut Site) -> Result<(), Failure> {
    site.servers[1].set_health(false)?;
    site.machines[0].until_servers(80, &listed(&[(0, 1)]))?;
    served_by(site, &[0])?;
    site.servers[1].set_health(true)?;
    site.machines[0].until_servers(80, &listed(&[(0, 1), (1, 1)]))?;
    served_by(site, &[0, 1])
}

/// wrk that meets failures, too. Ends when it is dropped.
fn load(site: &Site) -> Result<Process, Failure> {
    let mut command = site.client.command("wrk");
    command.args(["-t", "1", "-c", "8", "-d", "60", &format!("http://{VIP}/")]);
    let mut wrk = Process::start("wrk", &mut command, &site.directory.join("wrk.log"))?;
    let conns = |site: &Site| -> Result<u64, Failure> {
        Ok(site.machines[0].service(80)?.map_or(0, |service| service.totals.conns))
    };
    let before = conns(site)?;
    wait_until("the load had begun", SOON, || wrk.check_running().and_then(|()| Ok(conns(site)? > before + 100)))?;
    Ok(wrk)
}

/// Every request is answered, by each of these and by no other.
fn served_by(site: &Site, expected: &[usize]) -> Result<(), Failure> {
    let mut answers = (0..REQUESTS).map(|_| fetch(site)).collect::<Result<Vec<_>, _>>()?;
    answers.sort_unstable();
    answers.dedup();
    let expected: Vec<&str> = expected.iter().map(|&index| SERVERS[index]).collect();
    if answers == expected {
        return Ok(());
    }
    Err(Failure::new(format!("answers came from {answers:?}, must come from {expected:?}")))
}

/// Who answers.
fn fetch(site: &Site) -> Result<String, Failure> {
    let url = format!("http://{VIP}/");
    let said = site.client.run("curl", &["-q", "-sSf", "--noproxy", "*", "--max-time", "5", &url])?;
    Ok(said.trim().to_owned())
}

fn vip() -> std::net::SocketAddr {
    format!("{VIP}:80").parse().expect("an address of this test")
}

/// Servers with weights as the director lists them.
fn listed(servers: &[(usize, u32)]) -> Vec<(String, u32)> {
    servers.iter().map(|&(index, weight)| (format!("{}:{HTTP}", server_address(index)), weight)).collect()
}

/// What keepalived is told.
fn conf(priority: u8) -> String {
    let [s1, s2] = [0, 1].map(server_address);
    format!(
        "vrrp_instance site {{\n interface uvs0\n state BACKUP\n virtual_router_id 51\n priority {priority}\n advert_int 1\n\
         virtual_ipaddress {{\n {VIP}/32 dev uvs0\n {GATEWAY}/24 dev uvs0\n }}\n}}\n\
         virtual_server {VIP} 80 {{\n delay_loop 1\n lb_algo rr\n lb_kind NAT\n protocol TCP\n\
         retry 1\n delay_before_retry 0.2\n\
         real_server {s1} {HTTP} {{\n weight 1\n TCP_CHECK {{\n connect_timeout 3\n }}\n }}\n\
         real_server {s2} {HTTP} {{\n weight 1\n\
         HTTP_GET {{\n url {{\n path /{HEALTH}\n status_code 200\n }}\n connect_timeout 3\n }}\n }}\n}}\n"
    )
}
