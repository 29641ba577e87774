//! The host interface as the only link of a machine: its TCP, its routing daemon, its VIPs, and what is left when the director dies.

mod site;

use std::net::SocketAddr;

use control::Client;
use serde_json::Value;
use uvs::demo::Failure;
use uvs::demo::namespace::Namespace;
use uvs::demo::plan::Protocol;
use uvs::demo::wait::wait_until;

use crate::programs::{self, DATAGRAM_BYTES};
use site::{CLIENT, CLIENT6, HTTP, IPERF, OWN_BY_NAT, SIDES, Side, Site, UVS0, endpoint};

/// What the router's neighbour entry of a VIP says before the director has announced it.
const FORMER_MAC: &str = "02:00:00:00:0e:01";
/// The router's second MAC.
const OTHER_MAC: &str = "02:00:00:00:0e:2e";

/// The whole test.
pub fn test() -> Result<(), Failure> {
    let mut site = Site::build()?;
    site.start_director()?;
    let result = steps(&mut site);
    result.map_err(|failure| match &site.director {
        Some(director) => Failure::new(format!("{failure}; director: {}", director.last_words())),
        None => failure,
    })
}

type Step = fn(&mut Site) -> Result<(), Failure>;

fn steps(site: &mut Site) -> Result<(), Failure> {
    site.serve("machine", HTTP)?;
    site.serve("server", HTTP)?;
    site.serve_iperf("machine")?;
    site.serve_iperf("server")?;
    let steps: [(&str, Step); 7] = [
        ("TCP and ping, to the host and from it", talks),
        ("BGP: VIPs announced, the learned default used", routes),
        ("a VIP is answered while the host carries it", vips),
        ("a neighbour that changes its MAC", moves),
        ("streams while the host is flooded", flooded),
        ("rates", rates),
        ("killed and started again", killed),
    ];
    for (name, step) in steps {
        step(site).and_then(|()| accounts(site)).map_err(|failure| Failure::new(format!("{name}: {failure}")))?;
        println!("e2e:   {name}: ok");
    }
    let director = site.director.take().ok_or_else(|| Failure::new("no director"))?;
    stop(director, site)
}

fn stop(mut director: uvs::demo::process::Process, site: &Site) -> Result<(), Failure> {
    let status = director.stop()?;
    if !status.success() || site.machine.has_interface(UVS0)? {
        return Err(director.failure(&format!("ended with {status}, and {UVS0} must be gone")));
    }
    Ok(())
}

fn accounts(site: &mut Site) -> Result<(), Failure> {
    let workers = site.ask(Client::workers)?.workers;
    match workers.iter().find(|worker| !worker.identity_holds()) {
        None => Ok(()),
        Some(worker) => Err(Failure::new(format!("frames in and out differ: {worker:?}"))),
    }
}

/// The interface has the port's MAC, and both ways, both families, work: as for sshd, NTP, health checks.
fn talks(site: &mut Site) -> Result<(), Failure> {
    let port = site.ask(Client::ports)?.ports.swap_remove(0);
    let link = site.machine.run("ip", &["link", "show", UVS0])?;
    if !link.contains(&*port.mac) || !link.contains(&format!("mtu {}", port.mtu)) {
        return Err(Failure::new(format!("must have the port's MAC {} and MTU {}:\n{link}", port.mac, port.mtu)));
    }
    for side in SIDES {
        until_ping(&site.router, side.host)?;
        until_ping(&site.machine, side.router)?;
        // Longer than the wire takes: the kernel gets the fragments as they come.
        wait_until("a long ping was answered", || {
            Ok(site.router.run("ping", &["-n", "-c", "1", "-W", "1", "-s", "3000", side.host]).is_ok())
        })?;
        fetch(&site.router, side.host, HTTP, "machine")?;
        programs::iperf3(&site.router, address(side.host, IPERF), Protocol::Tcp, false, DATAGRAM_BYTES)?;
        programs::iperf3(&site.router, address(side.host, IPERF), Protocol::Tcp, true, DATAGRAM_BYTES)?;
    }
    Ok(())
}

/// Clients beyond the router reach the service by a route that BIRD announced, and get answers by one that BIRD learned.
fn routes(site: &mut Site) -> Result<(), Failure> {
    for side in SIDES {
        site.carry(side, side.vip, side.bits, true)?;
        if site.route_to(side.everywhere)?.is_some() {
            return Err(Failure::new(format!("{}: a default route before there is BGP", side.name)));
        }
    }
    by_hand(site)?;
    site.route_by_bird("router", &bird_router())?;
    site.route_by_bird("machine", &bird_machine())?;
    for side in SIDES {
        wait_until(&format!("the director had learned {}", side.everywhere), || {
            let route = site.route_to(side.everywhere)?;
            Ok(route.is_some_and(|route| &*route.origin == "host" && route.via == side.router.parse().ok()))
        })?;
        until_fetch(&site.client, side.vip, 80, "server")?;
        until_fetch(&site.client, side.vip, OWN_BY_NAT, "machine")?;
        until_fetch(&site.client, side.vip, HTTP, "machine")?;
    }
    // A server's own packets take the learned way, and the operator's one back.
    for (side, client) in SIDES.into_iter().zip([CLIENT, CLIENT6]) {
        site.router.ip(&format!("route add {}/{} via {}\n", side.servers, side.prefix, side.host))?;
        until_ping(&site.server, client)?;
    }
    // An address that goes is withdrawn, and one that comes again announced again.
    for side in SIDES {
        let announced = || Ok(route_at(&site.router, side)?.contains("proto bird"));
        site.carry(side, side.vip, side.bits, false)?;
        wait_until("the router had lost the VIP", || announced().map(|there: bool| !there))?;
        site.carry(side, side.vip, side.bits, true)?;
        wait_until("the router had the VIP again", announced)?;
        until_fetch(&site.client, side.vip, 80, "server")?;
    }
    Ok(())
}

/// What `ip route` says on the host interface, the director knows, and forgets with it.
fn by_hand(site: &Site) -> Result<(), Failure> {
    for side in SIDES {
        let route = format!("{} via {} dev {UVS0}\n", side.elsewhere, side.router);
        site.machine.ip(&format!("route add {route}"))?;
        wait_until("the director had the operator's route", || {
            let known = site.route_to(side.elsewhere)?;
            Ok(known.is_some_and(|known| &*known.origin == "host" && known.via == side.router.parse().ok()))
        })?;
        site.machine.ip(&format!("route del {route}"))?;
        wait_until("the director had it no more", || Ok(site.route_to(side.elsewhere)?.is_none()))?;
    }
    Ok(())
}

fn route_at(router: &Namespace, side: Side) -> Result<String, Failure> {
    let family = if side.bits == 32 { "-4" } else { "-6" };
    router.run("ip", &[family, "route", "show", &format!("{}/{}", side.vip, side.bits)])
}

fn vips(site: &mut Site) -> Result<(), Failure> {
    let mac = site.ask(Client::ports)?.ports.swap_remove(0).mac.to_string();
    for side in SIDES {
        let former = format!("neigh replace {} lladdr {FORMER_MAC} dev wan nud stale\n", side.near_vip);
        site.router.ip("neigh flush dev wan\n")?;
        if answers(&site.router, side) {
            return Err(Failure::new(format!("{} is answered, and nobody carries it", side.near_vip)));
        }
        // The router believes another director to have it, until this one announces it, unasked.
        site.router.ip(&former)?;
        site.carry(side, side.near_vip, side.bits, true)?;
        wait_until("the router had heard the announcement", || {
            Ok(site.router.run("ip", &["neigh", "show", side.near_vip, "dev", "wan"])?.contains(&mac))
        })?;
        site.router.ip("neigh flush dev wan\n")?;
        fetch(&site.router, side.near_vip, 80, "server")?;
        if !answers(&site.router, side) {
            let entry = site.router.run("ip", &["neigh", "show", "dev", "wan"])?;
            return Err(Failure::new(format!("{} is not answered, and the host carries it:\n{entry}", side.near_vip)));
        }
        site.carry(side, side.near_vip, side.bits, false)?;
        wait_until("the VIP was silent again", || {
            site.router.ip("neigh flush dev wan\n")?;
            Ok(!answers(&site.router, side))
        })?;
    }
    Ok(())
}

/// Whether ARP, or neighbour discovery by a ping, finds the VIP on the router's wire.
fn answers(router: &Namespace, side: Side) -> bool {
    match side.bits {
        32 => router.run("arping", &["-q", "-c", "1", "-w", "1", "-I", "wan", side.near_vip]).is_ok(),
        _ => {
            // Whoever answers a solicitation has an entry with a MAC, whether or not it answers the ping.
            let _ = router.run("ping", &["-n", "-c", "1", "-W", "1", side.near_vip]);
            let entry = router.run("ip", &["neigh", "show", side.near_vip, "dev", "wan"]);
            entry.is_ok_and(|entry| entry.contains("lladdr"))
        }
    }
}

fn moves(site: &mut Site) -> Result<(), Failure> {
    site.router.ip(&format!("link set dev wan address {OTHER_MAC}\n"))?;
    for side in SIDES {
        wait_until(&format!("{} was known at its new MAC", side.router), || {
            // Who talks to the director is heard, if its announcement was lost.
            let _ = site.router.run("ping", &["-n", "-c", "1", "-W", "1", side.host]);
            Ok(site.mac_of(side.router)?.as_deref() == Some(OTHER_MAC))
        })?;
        until_fetch(&site.client, side.vip, 80, "server")?;
        until_ping(&site.machine, side.router)?;
    }
    Ok(())
}

/// As many echo requests as there can be, and a flood of datagrams, all for the host: streams through a service arrive whole.
fn flooded(site: &mut Site) -> Result<(), Failure> {
    for side in SIDES {
        let at = address(side.vip, IPERF);
        let quiet = programs::iperf3(&site.client, at, Protocol::Tcp, false, DATAGRAM_BYTES)?;
        let passed =
            |site: &Site| site.ask(Client::workers).map(|all| all.workers.iter().map(|one| one.passed).sum::<u64>());
        let before = passed(site)?;
        let flood = std::thread::scope(|scope| {
            let router = &site.router;
            let pings =
                scope.spawn(move || router.run("ping", &["-q", "-f", "-n", "-c", "20000", "-w", "5", side.host]));
            let datagrams = scope.spawn(move || {
                let port = IPERF.to_string();
                router.run("iperf3", &["-c", side.host, "-p", &port, "-u", "-b", "0", "-l", "64", "-t", "3"])
            });
            // UDP is not asked: the flood fills the wire's own queue, which is before us.
            let streams =
                [false, true].map(|reverse| programs::iperf3(&site.client, at, Protocol::Tcp, reverse, DATAGRAM_BYTES));
            // The floods end by their own limits; what they lose is theirs.
            let _ = (pings.join(), datagrams.join());
            streams.into_iter().collect::<Result<Vec<_>, _>>()
        })?;
        let flooded = passed(site)? - before;
        println!(
            "e2e:     {}: TCP {quiet:.0} Mbit/s, under a flood of {flooded} frames for the host {:.0} and {:.0}",
            side.name, flood[0], flood[1]
        );
        if flooded < 1_000 {
            return Err(Failure::new(format!("{flooded} frames for the host are no flood")));
        }
    }
    Ok(())
}

/// Printed, not judged.
fn rates(site: &mut Site) -> Result<(), Failure> {
    for (what, reverse) in [("to the host", &[][..]), ("from the host", &["-R"])] {
        let run = |more: &[&str]| -> Result<f64, Failure> {
            let port = IPERF.to_string();
            let args = [&["-J", "-c", SIDES[0].host, "-p", &port, "-t", "1"][..], more, reverse].concat();
            let report: Value = serde_json::from_str(&site.router.run("iperf3", &args)?)
                .map_err(|error| Failure::new(format!("iperf3: {error}")))?;
            let end = &report["end"];
            let received = |key: &str, field: &str| end[key][field].as_f64().unwrap_or(0.0);
            Ok(match more.is_empty() {
                true => received("sum_received", "bits_per_second") / 1e6,
                false => {
                    received("sum", "packets") * (1.0 - received("sum", "lost_percent") / 100.0)
                        / received("sum", "seconds")
                }
            })
        };
        let (tcp, datagrams) = (run(&[])?, run(&["-u", "-b", "0", "-l", "18"])?);
        println!("e2e:     {what}: TCP {tcp:.0} Mbit/s, {datagrams:.0} datagrams of 60 bytes a second arrived");
    }
    Ok(())
}

/// Nothing of the host interface is left, and the next director makes it again.
fn killed(site: &mut Site) -> Result<(), Failure> {
    if let Some(mut director) = site.director.take() {
        director.kill();
    }
    wait_until("the host interface was gone", || site.machine.has_interface(UVS0).map(|there| !there))?;
    site.start_director()?;
    for side in SIDES {
        until_ping(&site.router, side.host)?;
        fetch(&site.router, side.host, HTTP, "machine")?;
    }
    Ok(())
}

fn address(address: &str, port: u16) -> SocketAddr {
    endpoint(address, port).parse().expect("an address of this file")
}

fn until_ping(from: &Namespace, to: &str) -> Result<(), Failure> {
    wait_until(&format!("{to} answered"), || Ok(from.run("ping", &["-n", "-c", "1", "-W", "1", to]).is_ok()))
}

/// The page that says who served it.
fn fetch(from: &Namespace, host: &str, port: u16, expected: &str) -> Result<(), Failure> {
    let url = format!("http://{}/", endpoint(host, port));
    let said =
        from.run("curl", &["-q", "--silent", "--show-error", "--globoff", "--noproxy", "*", "--max-time", "20", &url])?;
    match said.trim() == expected {
        true => Ok(()),
        false => Err(Failure::new(format!("{url} was served by {:?}, must be {expected:?}", said.trim()))),
    }
}

fn until_fetch(from: &Namespace, host: &str, port: u16, expected: &str) -> Result<(), Failure> {
    let mut last = None;
    let done = wait_until(&format!("{} was served", endpoint(host, port)), || {
        last = fetch(from, host, port, expected).err();
        Ok(last.is_none())
    });
    done.map_err(|failure| last.map_or(failure.clone(), |last| Failure::new(format!("{failure}: {last}"))))
}

fn bird_common(id: &str) -> String {
    format!("log stderr all;\nrouter id {id};\nprotocol device {{ scan time 1; }}\n")
}

fn bgp(name: &str, own: (&str, u32), other: (&str, u32), channel: &str) -> String {
    format!(
        "protocol bgp {name} {{ local {} as {}; neighbor {} as {}; connect delay time 1; connect retry time 1; \
         error wait time 1, 2; hold time 9; {channel} }}\n",
        own.0, own.1, other.0, other.1
    )
}

/// The machine announces what single addresses its host interface carries, and uses what it learns.
fn bird_machine() -> String {
    let [v4, v6] = SIDES;
    bird_common("192.0.2.2")
        + "protocol direct { ipv4; ipv6; interface \"uvs0\"; }\n\
           protocol kernel { ipv4 { export where source = RTS_BGP; }; scan time 1; }\n\
           protocol kernel { ipv6 { export where source = RTS_BGP; }; scan time 1; }\n"
        + &bgp(
            "v4",
            (v4.host, 65001),
            (v4.router, 65000),
            "ipv4 { import all; export where net ~ [198.51.100.0/24{32,32}]; };",
        )
        + &bgp(
            "v6",
            (v6.host, 65001),
            (v6.router, 65000),
            "ipv6 { import all; export where net ~ [2001:db8:99::/48{128,128}]; };",
        )
}

/// The router offers itself as the way to everywhere.
fn bird_router() -> String {
    let [v4, v6] = SIDES;
    bird_common("192.0.2.254")
        + "protocol kernel { ipv4 { export where source = RTS_BGP; }; scan time 1; }\n\
           protocol kernel { ipv6 { export where source = RTS_BGP; }; scan time 1; }\n\
           protocol static { ipv4; route 0.0.0.0/0 blackhole; }\n\
           protocol static { ipv6; route ::/0 blackhole; }\n"
        + &bgp("v4", (v4.router, 65000), (v4.host, 65001), "ipv4 { import all; export where source = RTS_STATIC; };")
        + &bgp("v6", (v6.router, 65000), (v6.host, 65001), "ipv6 { import all; export where source = RTS_STATIC; };")
}
