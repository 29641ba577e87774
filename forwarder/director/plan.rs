//! What is decided at start, for `uvs check` and the first lines of `uvs run`: memory, conns, workers, ports, steering. And
//! what only the machine can refuse: more conns than it has memory for, a core or a PCI device that it has not.

use crate::cores::Cores;
use crate::pipeline::defense::conns_of_pages;
use config::{Config, Device, HugePages, Trunk};
use conntrack::Table;
use std::fmt::Write;
use std::path::Path;

const MB: usize = 1 << 20;

/// The plan as text, without touching a device.
pub fn text(config: &Config) -> String {
    let director = &config.director;
    let table = Table::memory_bytes(director.conns_max as usize);
    let mut plan = String::new();
    let mut line = |name: &str, what: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(plan, "{name:<10}{what}");
    };
    let lcores: Vec<_> = director.workers.iter().map(u32::to_string).collect();
    let idle = match director.idle {
        config::Idle::Adaptive => format!("sleep when idle, {} µs at most", crate::worker::idle::SLEEP_MAX.as_micros()),
        config::Idle::Busy => "poll without ever sleeping".into(),
    };
    line("workers", format!("{} on lcore {}; {idle}", lcores.len(), lcores.join(", ")));
    line(
        "conns",
        format!(
            "{} per worker, {} MB ({} bytes per conn, index and timers included)",
            director.conns_max,
            table.div_ceil(MB),
            table / director.conns_max as usize
        ),
    );
    let pages = match config.eal.huge_pages {
        HugePages::Auto => "huge pages if there are any",
        HugePages::Require => "huge pages only",
        HugePages::Off => "without huge pages",
    };
    line("frames", format!("{} MB for frames and device rings, {pages}", config.eal.memory_mb));
    for port in &config.ports {
        let addresses: Vec<_> = port.addresses.iter().map(ToString::to_string).collect();
        let vlan = port.vlan.map(|id| format!(", vlan {id}")).unwrap_or_default();
        line("port", format!("{}: {}{vlan}, mtu {}, {}", port.name, port.device, port.mtu, addresses.join(" ")));
        if let Some(host) = &port.host {
            let vips = if port.vip_answer == config::VipAnswer::Host {
                "; VIPs are answered while it carries them"
            } else {
                ""
            };
            line("", format!("host interface {host}{vips}"));
        }
        for gateway in port.gateways() {
            line("", format!("default route via {gateway}"));
        }
    }
    line("steering", steering(config));
    let servers: usize = config.services.iter().map(|service| service.servers.len()).sum();
    line("services", format!("{} with {servers} real servers", config.services.len()));
    if let Some(defenses) = defenses(config) {
        line("defenses", defenses);
    }
    if !config.fullnat.local_addresses.is_empty() {
        let locals = config.fullnat.local_addresses.len();
        line("fullnat", format!("{locals} local addresses, each with 64512 conns towards each real server's port"));
    }
    plan
}

/// Which defences go up by themselves, and when.
fn defenses(config: &Config) -> Option<String> {
    let ipvs = &config.ipvs;
    let all = [("drop_entry", ipvs.drop_entry), ("drop_packet", ipvs.drop_packet), ("secure_tcp", ipvs.secure_tcp)];
    let when_short = all.iter().filter(|(_, defense)| *defense == config::Defense::WhenShort);
    let names: Vec<_> = when_short.map(|(name, _)| *name).collect();
    let conns_max = config.director.conns_max as usize;
    let short = conns_of_pages(ipvs.amemthresh as usize, conns_max);
    let when = match short < conns_max {
        true => format!("while fewer than {short} of a worker's {conns_max} conns are free"),
        false => format!("always: amemthresh is {short} conns, and a worker has {conns_max}"),
    };
    (!names.is_empty()).then(|| format!("{} {when}", names.join(", ")))
}

/// What can be said without the devices; `uvs run` says the rest, port by port.
fn steering(config: &Config) -> String {
    let services = config.services.len();
    let tuple = config.services.iter().filter(|service| service.steer == config::Steer::Tuple).count();
    match config.director.workers.len() {
        1 => "one worker owns every flow: whatever queue a frame comes by, it is at its owner".into(),
        workers => format!(
            "{workers} workers; a flow's owner is a hash of its client's address and port ({} of {services} services), of both \
             ends' ({tuple}, steer = \"tuple\"), or the local port of FullNAT; a NIC that hashes both ends (RSS) brings the \
             second kind to their owners, and what comes by another worker's queue is handed over in software",
            services - tuple
        ),
    }
}

/// What this machine cannot do of what the file asks for; each line says where, what was found, what would be right.
pub fn refusals(config: &Config) -> Vec<String> {
    let mut refusals = Vec::new();
    if let Some(available) = available_bytes() {
        refusals.extend(memory_refusal(config, available));
    }
    let cores = Cores::of_this_process();
    for lcore in config.director.workers.iter().filter(|lcore| !cores.has(**lcore)) {
        refusals.push(format!("director.workers: found {lcore}; this process may run on {cores}"));
    }
    refusals.extend(config.devices().iter().flat_map(missing_devices));
    refusals
}

fn memory_refusal(config: &Config, available: usize) -> Option<String> {
    let workers = config.director.workers.len();
    let conns_max = config.director.conns_max as usize;
    // Huge pages were taken out of what is available when they were reserved.
    let huge = config.eal.huge_pages == HugePages::Require;
    let frames = if huge { 0 } else { config.eal.memory_mb as usize * MB };
    let needed = Table::memory_bytes(conns_max) * workers;
    (needed + frames > available).then(|| {
        let room = available.saturating_sub(frames) / workers;
        format!(
            "director.conns_max: found {conns_max}, which takes {} MB{}; this machine has {} MB available, enough for {} conns \
             per worker",
            needed / MB,
            if huge { String::new() } else { format!(" beside the {} MB of eal.memory_mb", config.eal.memory_mb) },
            available / MB,
            conns_that_fit(room),
        )
    })
}

/// The largest table that takes no more than `room` bytes.
fn conns_that_fit(room: usize) -> usize {
    let (mut fits, mut too_many) = (0, room / size_of::<conntrack::Conn>() + 1);
    while too_many - fits > 1 {
        let conns = fits + (too_many - fits) / 2;
        if Table::memory_bytes(conns) <= room { fits = conns } else { too_many = conns }
    }
    fits
}

/// Memory that can be had. Reserved huge pages are not in it: conn tables do not take those, and frames that do leave
/// more of the rest.
fn available_bytes() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let value = |name: &str| -> Option<usize> {
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    Some(value("MemAvailable:")? * 1024)
}

/// PCI devices of ports, a bond's slaves too, that are not there.
fn missing_devices<'a>(trunk: &'a Trunk) -> impl Iterator<Item = String> + 'a {
    let own = match trunk.device {
        Device::Pci(address) => Some(address.as_str()),
        Device::Vdev { .. } => None,
    };
    let slaves = trunk.device.slaves().filter(|slave| slave.contains(':'));
    let missing = |address: &&str| {
        let domain = if address.matches(':').count() == 1 { "0000:" } else { "" };
        !Path::new("/sys/bus/pci/devices").join(format!("{domain}{address}")).exists()
    };
    own.into_iter().chain(slaves).filter(missing).map(|address| {
        format!(
            "port {}: device: found {address:?}, which is no PCI device of this machine; `lspci -D` lists them",
            trunk.name
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(conns_max: u32) -> Config {
        let text = format!(
            "[director]\nconns_max = {conns_max}\n[[port]]\nname = \"wan\"\ndevice = \"net_null0\"\naddresses = [\"192.0.2.1/24\"]\n"
        );
        config::parse(&text, "test.toml").unwrap()
    }

    #[test]
    fn conns_that_do_not_fit_are_refused_with_the_number_that_does() {
        let refusal = memory_refusal(&config(100_000_000), 8 << 30).unwrap();
        assert!(refusal.starts_with("director.conns_max: found 100000000, which takes "), "{refusal}");
        let fits: u32 = refusal.split("enough for ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        assert_eq!(memory_refusal(&config(fits), 8 << 30), None, "what it says fits, fits");
        assert!(memory_refusal(&config(fits + fits / 50), 8 << 30).is_some(), "and not much more does");
    }

    #[test]
    fn frames_in_reserved_huge_pages_take_nothing_of_the_rest() {
        let mut config = config(1000);
        config.eal.memory_mb = 1024;
        for (huge_pages, fits) in [(HugePages::Auto, false), (HugePages::Require, true), (HugePages::Off, false)] {
            config.eal.huge_pages = huge_pages;
            assert_eq!(memory_refusal(&config, 512 * MB).is_none(), fits, "{huge_pages:?}");
        }
    }

    #[test]
    fn the_plan_says_when_defences_go_up() {
        let mut config = config(1_000_000);
        assert!(!text(&config).contains("defenses"));
        config.ipvs.drop_entry = config::Defense::WhenShort;
        config.ipvs.secure_tcp = config::Defense::WhenShort;
        let plan = text(&config);
        let found =
            plan.lines().find(|line| line.starts_with("defenses  drop_entry, secure_tcp while fewer than ")).unwrap();
        let conns: usize = found.split(' ').find_map(|word| word.parse().ok()).unwrap();
        assert!((26_000..29_000).contains(&conns), "{found}");
        config.ipvs.amemthresh = 100_000;
        assert!(text(&config).contains("drop_entry, secure_tcp always: amemthresh is "), "{}", text(&config));
    }

    #[test]
    fn the_plan_says_what_a_conn_costs() {
        let plan = text(&config(1_000_000));
        let bytes: usize = plan.split('(').nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        assert!((128..=160).contains(&bytes), "{plan}");
    }
}
