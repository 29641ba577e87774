//! Debian's keepalived, VRRP and checkers, on machines whose only link is the host interface: real servers that fail under load and come
//! back, a file that changes, and a second machine that takes over when the first one or its director dies. What needs no traffic is in
//! `tests/command/keepalived`.

#[path = "../../preload/tests/library.rs"]
#[allow(dead_code)] // The library's own tests start programs with it.
mod library;

mod conf;
mod machine;
mod site;

use std::time::{Duration, Instant};

use rustix::process::Signal;
use uvs::demo::Failure;
use uvs::demo::process::Process;
use uvs::demo::wait::wait_until;

use crate::programs;
use conf::Conf;
use machine::{LOCAL, Machine, Masquerade, Of};
use site::{CLIENT, CLIENT_PAGE, GATEWAY, GROUP, HTTP, SERVERS, Site, VIP, VIP6, server_address, server_address6};

/// Longer than VRRP waits for a master's word: three times `advert_int`, and up to a second more.
const MASTER_DOWN: Duration = Duration::from_secs(4);
/// The checks' `delay_loop`, one retry after its delay, and as much again for the tool's and our own looks.
const CHECKED_WITHIN: Duration = Duration::from_millis(2 * 1_200);
/// Three times `advert_int`, skewed by the standby's priority, and two looks of the client.
const TAKEN_OVER_WITHIN: Duration = Duration::from_millis(3_610 + 2 * 500);
/// See [`in_time`].
const RUNS_MAX: usize = 4;
/// Enough to meet each server of a round robin.
const REQUESTS: usize = 10;

/// What the first machine begins with.
const MASTER: Conf = Conf { priority: 150, weights: [1, 1], with_third: false };

type Step = fn(&mut Site) -> Result<(), Failure>;

/// The whole test.
pub fn test() -> Result<(), Failure> {
    let mut site = Site::build()?;
    site.add_machine(Masquerade::Nat)?;
    let steps: [(&str, Step); 10] = [
        ("keepalived makes its services", appears),
        // Before wrk: its conns leave each client port in TIME_WAIT at servers that other services share.
        ("a mark's service, one of IPv6, and a group with a quorum", other_kinds),
        ("a server killed under load is out, and comes back", killed_under_load),
        ("a page that is gone, HTTP_GET sees", page_gone),
        ("all servers killed: sorry_server, inhibit_on_failure", all_killed),
        ("another file and SIGHUP, under load", reloaded),
        ("two machines: the standby is silent", stands_by),
        ("a director alone killed: the standby takes over, and gives back", director_killed),
        ("a whole machine killed: the standby takes over", machine_killed),
        ("the dead machine comes back, by FullNAT", comes_back),
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
    machine.configure(&MASTER)?;
    machine.keep(&uvs)?;
    machine.until_servers(Of::Port(80), &listed(&[(0, 1), (1, 1)]))?;
    machine.until("it was master", |machine| Ok(machine.carries(VIP)? && machine.carries(GATEWAY)?))?;
    wait_until("the VIP was served", || Ok(fetch(site, &url()).is_ok()))?;
    served_by(site, &[0, 1])
}

/// One by TCP_CHECK, the other by HTTP_GET.
fn killed_under_load(site: &mut Site) -> Result<(), Failure> {
    in_time(site, "a killed server was out", CHECKED_WITHIN, |site| killed_one_of(site, 0, 1))?;
    in_time(site, "a killed server was out", CHECKED_WITHIN, |site| killed_one_of(site, 1, 0))
}

/// Gives how long the victim was in the director's table still.
fn killed_one_of(site: &mut Site, victim: usize, other: usize) -> Result<Duration, Failure> {
    let load = load(site)?;
    let start = Instant::now();
    site.servers[victim].kill();
    site.machines[0].until_servers(Of::Port(80), &listed(&[(other, 1)]))?;
    let out = start.elapsed();
    // Fails with the first request that does.
    let rate = programs::wrk(&site.client, vip())?;
    served_by(site, &[other])?;
    let start = Instant::now();
    site.servers[victim].start()?;
    site.machines[0].until_servers(Of::Port(80), &listed(&[(0, 1), (1, 1)]))?;
    let back_s = start.elapsed().as_secs_f64();
    drop(load);
    served_by(site, &[0, 1])?;
    println!(
        "e2e:     {}: out after {:.1} s, then {rate:.0} requests/s without a failure; back after {back_s:.1} s",
        SERVERS[victim],
        out.as_secs_f64()
    );
    Ok(out)
}

/// The port is open still: only who asks for the page knows.
fn page_gone(site: &mut Site) -> Result<(), Failure> {
    site.servers[1].set_health(false)?;
    site.machines[0].until_servers(Of::Port(80), &listed(&[(0, 1)]))?;
    served_by(site, &[0])?;
    site.servers[1].set_health(true)?;
    site.machines[0].until_servers(Of::Port(80), &listed(&[(0, 1), (1, 1)]))?;
    served_by(site, &[0, 1])
}

fn all_killed(site: &mut Site) -> Result<(), Failure> {
    let (both, none) = (listed(&[(0, 1), (1, 1)]), listed(&[(0, 0), (1, 0)]));
    (0..2).for_each(|index| site.servers[index].kill());
    site.machines[0].until_servers(Of::Port(80), &listed(&[(2, 1)]))?;
    site.machines[0].until_servers(Of::Port(81), &none)?;
    served_by(site, &[2])?;
    (0..2).try_for_each(|index| site.servers[index].start())?;
    site.machines[0].until_servers(Of::Port(80), &both)?;
    site.machines[0].until_servers(Of::Port(81), &both)?;
    served_by(site, &[0, 1])
}

/// A weight and a service more, and back. No request notices.
fn reloaded(site: &mut Site) -> Result<(), Failure> {
    let other = Conf { weights: [3, 1], with_third: true, ..MASTER };
    for (conf, requests) in [(other, [9, 3]), (MASTER, [6, 6])] {
        let Site { machines, client, .. } = site;
        std::thread::scope(|scope| {
            let load = scope.spawn(|| programs::wrk(client, vip()));
            let changed = change(&mut machines[0], &conf);
            let rate = load.join().unwrap_or_else(|_| Err(Failure::new("wrk's thread")));
            changed.and(rate)
        })?;
        // Three turns of the wheel; once what wrk had under way has gone through, nobody else asks.
        let what = format!("s1 and s2 shared 12 requests {requests:?}");
        wait_until(&what, || {
            let answers = (0..12).map(|_| fetch(site, &url())).collect::<Result<Vec<_>, _>>()?;
            Ok([0, 1].map(|index| answers.iter().filter(|&answer| answer == SERVERS[index]).count()) == requests)
        })?;
    }
    Ok(())
}

fn change(machine: &mut Machine, conf: &Conf) -> Result<(), Failure> {
    machine.configure(conf)?;
    machine.reload();
    machine.until_servers(Of::Port(80), &listed(&[(0, conf.weights[0]), (1, conf.weights[1])]))?;
    machine.until("the third service came or went", |machine| {
        Ok(machine.service(Of::Port(82))?.is_some() == conf.with_third)
    })?;
    match machine.carries(VIP)? {
        true => Ok(()),
        false => Err(Failure::new("the VIP went with the reload")),
    }
}

/// All are served, and lose the server that is killed: the third both at once, because one is not enough.
fn other_kinds(site: &mut Site) -> Result<(), Failure> {
    let urls = [format!("http://{VIP}:{HTTP}/"), format!("http://[{VIP6}]/")];
    let listed6 =
        |servers: &[usize]| servers.iter().map(|&index| (format!("[{}]:{HTTP}", server_address6(index)), 1)).collect();
    let listed_mark =
        |servers: &[usize]| servers.iter().map(|&index| (format!("{}:0", server_address(index)), 1)).collect();
    let served = |site: &mut Site, servers: &[usize]| -> Result<(), Failure> {
        let (of_mark, of_ipv6): (Vec<_>, Vec<_>) = (listed_mark(servers), listed6(servers));
        site.machines[0].until_servers(Of::Mark, &of_mark)?;
        site.machines[0].until_servers(Of::Ipv6, &of_ipv6)?;
        urls.iter().try_for_each(|url| served_by_at(site, url, servers))?;
        let enough: &[usize] = if servers.len() == 2 { servers } else { &[2] };
        let weighted: Vec<_> = enough.iter().map(|&index| (index, 1)).collect();
        GROUP.iter().try_for_each(|port| {
            site.machines[0].until_servers(Of::Port(*port), &listed(&weighted))?;
            served_by_at(site, &format!("http://{VIP}:{port}/"), enough)
        })
    };
    served(site, &[0, 1])?;
    site.servers[0].kill();
    served(site, &[1])?;
    site.servers[0].start()?;
    served(site, &[0, 1])
}

fn stands_by(site: &mut Site) -> Result<(), Failure> {
    let (uvs, mac) = (site.uvs(), site.machines[0].mac()?);
    // All the time that the second machine is there.
    let mut asked = site.ask_for_vip(None)?;
    site.add_machine(Masquerade::Nat)?;
    let standby = &mut site.machines[1];
    standby.configure(&Conf { priority: 100, ..MASTER })?;
    standby.keep(&uvs)?;
    let start = Instant::now();
    for port in [80, 81] {
        standby.until_servers(Of::Port(port), &listed(&[(0, 1), (1, 1)]))?;
    }
    programs::wrk(&site.client, vip())?;
    wait_until("a master would have been missed", || asked.check_running().map(|()| start.elapsed() > MASTER_DOWN))?;
    asked.signal(Signal::INT);
    asked.wait()?;
    answered_by(&asked.output(), &mac)?;
    let standby = &site.machines[1];
    let conns = standby.service(Of::Port(80))?.map(|service| service.totals.conns);
    if standby.carries(VIP)? || conns != Some(0) {
        return Err(Failure::new(format!(
            "the standby had {conns:?} conns, and must neither have any nor carry the VIP"
        )));
    }
    Ok(())
}

/// As often as it takes to see it in time.
fn director_killed(site: &mut Site) -> Result<(), Failure> {
    in_time(site, "the standby took over", TAKEN_OVER_WITHIN, director_killed_once)
}

/// Its interface goes with it, which keepalived there sees; what that one then cannot tell the director, it does when there is one
/// again. Gives how long no request succeeded.
fn director_killed_once(site: &mut Site) -> Result<Duration, Failure> {
    let death = Instant::now();
    site.machines[0].director.take().iter_mut().for_each(Process::kill);
    let silent = answered_again(site, "the director's death", death)?;
    served_by(site, &[0, 1])?;
    let standby = site.machines[1].mac()?;
    answered_for_by(site, &standby)?;

    site.direct_again(0)?;
    site.machines[0].until("the first machine was master again", |machine| machine.carries(VIP))?;
    for port in [80, 81] {
        site.machines[0].until_servers(Of::Port(port), &listed(&[(0, 1), (1, 1)]))?;
    }
    site.machines[1].until("the second machine stood by again", |machine| Ok(!machine.carries(VIP)?))?;
    served_by(site, &[0, 1])?;
    programs::wrk(&site.client, vip())?;
    let first = site.machines[0].mac()?;
    answered_for_by(site, &first)?;
    Ok(silent)
}

/// SIGKILL of the director, then of all else in its namespace.
fn machine_killed(site: &mut Site) -> Result<(), Failure> {
    let mut master = site.machines.remove(0);
    let death = Instant::now();
    master.director.take().iter_mut().for_each(Process::kill);
    drop(master);
    answered_again(site, "the other machine's death", death)?;
    served_by(site, &[0, 1])?;
    programs::wrk(&site.client, vip())?;
    let standby = site.machines[0].mac()?;
    answered_for_by(site, &standby)
}

/// With the same file for keepalived, and a director to whom `lb_kind NAT` means FullNAT: the servers see it and not the client.
fn comes_back(site: &mut Site) -> Result<(), Failure> {
    let seen = |site: &Site| fetch(site, &format!("http://{VIP}/{CLIENT_PAGE}"));
    let before = seen(site)?;
    site.add_machine(Masquerade::FullNat)?;
    let uvs = site.uvs();
    let machine = &mut site.machines[1];
    machine.configure(&MASTER)?;
    machine.keep(&uvs)?;
    machine.until("it was master", |machine| machine.carries(VIP))?;
    machine.until_servers(Of::Port(80), &listed(&[(0, 1), (1, 1)]))?;
    site.machines[0].until("the other one stood by", |machine| Ok(!machine.carries(VIP)?))?;
    served_by(site, &[0, 1])?;
    programs::wrk(&site.client, vip())?;
    let clients = [before, seen(site)?];
    if clients == [CLIENT, LOCAL] {
        return Ok(());
    }
    Err(Failure::new(format!("the servers saw {clients:?}, must see {CLIENT} by NAT, then {LOCAL} by FullNAT")))
}

/// A machine that does other things is late once and again: one of a few runs must be in time.
fn in_time(
    site: &mut Site,
    what: &str,
    limit: Duration,
    run: impl Fn(&mut Site) -> Result<Duration, Failure>,
) -> Result<(), Failure> {
    let mut took = Vec::new();
    while took.len() < RUNS_MAX {
        let this = run(site)?;
        if this <= limit {
            return Ok(());
        }
        took.push(this);
    }
    Err(Failure::new(format!("{what} after {took:?}; {limit:?} at most must pass")))
}

/// Waits for a request that succeeds, and gives how long ago `start` was.
fn answered_again(site: &Site, since: &str, start: Instant) -> Result<Duration, Failure> {
    wait_until("a request succeeded again", || Ok(fetch_within(site, &url(), "0.5").is_ok()))?;
    let silent = start.elapsed();
    println!("e2e:     a request succeeded {:.1} s after {since}", silent.as_secs_f64());
    Ok(silent)
}

/// Asks the wire, and nobody else may answer.
fn answered_for_by(site: &Site, mac: &str) -> Result<(), Failure> {
    let mut asked = site.ask_for_vip(Some(2))?;
    asked.wait()?;
    answered_by(&asked.output(), mac)
}

/// All answers to arping had this MAC, and there were some.
fn answered_by(said: &str, mac: &str) -> Result<(), Failure> {
    let mut answers = said.lines().filter(|line| line.contains("reply from")).peekable();
    let right = format!("[{}]", mac.to_uppercase());
    if answers.peek().is_some() && answers.all(|line| line.contains(&right)) {
        return Ok(());
    }
    Err(Failure::new(format!("the VIP must be answered for by {right} alone:\n{said}")))
}

/// wrk that meets failures, too. Ends when it is dropped.
fn load(site: &Site) -> Result<Process, Failure> {
    let mut command = site.client.command("wrk");
    command.args(["-t", "1", "-c", "8", "-d", "60", &format!("http://{VIP}/")]);
    let mut wrk = Process::start("wrk", &mut command, &site.directory.join("wrk.log"))?;
    let conns = |site: &Site| -> Result<u64, Failure> {
        Ok(site.machines[0].service(Of::Port(80))?.map_or(0, |service| service.totals.conns))
    };
    let before = conns(site)?;
    wait_until("the load had begun", || wrk.check_running().and_then(|()| Ok(conns(site)? > before + 100)))?;
    Ok(wrk)
}

/// Every request is answered, by each of these and by no other.
fn served_by(site: &Site, expected: &[usize]) -> Result<(), Failure> {
    served_by_at(site, &url(), expected)
}

fn served_by_at(site: &Site, url: &str, expected: &[usize]) -> Result<(), Failure> {
    let mut answers = (0..REQUESTS).map(|_| fetch(site, url)).collect::<Result<Vec<_>, _>>()?;
    answers.sort_unstable();
    answers.dedup();
    let expected: Vec<&str> = expected.iter().map(|&index| SERVERS[index]).collect();
    if answers == expected {
        return Ok(());
    }
    Err(Failure::new(format!("answers came from {answers:?}, must come from {expected:?}")))
}

/// Who answers.
fn fetch(site: &Site, url: &str) -> Result<String, Failure> {
    fetch_within(site, url, "20")
}

fn fetch_within(site: &Site, url: &str, seconds_max: &str) -> Result<String, Failure> {
    let said = site.client.run("curl", &["-q", "-sSfg", "--noproxy", "*", "--max-time", seconds_max, url])?;
    Ok(said.trim().to_owned())
}

fn url() -> String {
    format!("http://{VIP}/")
}

fn vip() -> std::net::SocketAddr {
    format!("{VIP}:80").parse().expect("an address of this test")
}

/// Servers with weights as the director lists them.
fn listed(servers: &[(usize, u32)]) -> Vec<(String, u32)> {
    servers.iter().map(|&(index, weight)| (format!("{}:{HTTP}", server_address(index)), weight)).collect()
}
