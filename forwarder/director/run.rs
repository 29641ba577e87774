//! `uvs run`: DPDK, ports and lcores around the control side, from start to a clean stop.

use super::bonds::Bonds;
use super::show::Answering;
use super::started::{self, State};
use super::{Control, WorkerParts, plan};
use crate::dpdk::{
    Claim, Device, DeviceAddress, DpdkPort, Eal, EalLog, EalPlan, HugePages, Link, Pool, PortInfo, lcore,
};
use crate::fragments::waiting::FRAGMENTS_MAX;
use crate::host::rtnetlink::Follower;
use crate::host::tap::{HostPort, HostTap};
use crate::host::thread::{HostCounts, HostThread};
use crate::pipeline::Now;
use crate::port::BURST;
use crate::port::fault::{Fault, FaultPort, TEST_VARIABLE};
use crate::port::vlan::TAG_BYTES;
use crate::steer::{self, Hashes};
use crate::worker::held::HELD_MAX;
use crate::worker::idle::IdleWait;
use crate::worker::limit::ANSWERS_PER_S;
use crate::worker::peers::{CHAINED_MAX, HANDED_MAX, Peers};
use crate::worker::{Worker, WorkerPort};
use config::{Config, Idle, Trunk};
use control::{Admin, IpvsSocket, ProcSocket, RunDir, show};
use nix::sys::signal::{SigSet, Signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long the control thread sleeps between two turns. It answers ARP, so this is part of a client's first round trip.
const CONTROL_SLEEP: Duration = Duration::from_millis(1);

/// Why a director did not start, or did not stop cleanly: one line for the operator.
pub type Failure = Box<dyn std::error::Error>;

/// Runs a director in the foreground until SIGINT or SIGTERM. SIGHUP makes it read `file`, which `config` came from, again.
pub fn run(config: Config, file: &Path) -> Result<(), Failure> {
    let fault = std::env::var(TEST_VARIABLE).ok().map(|text| text.parse::<Fault>()).transpose()?;
    if let Some(refusal) = plan::refusals(&config).into_iter().next() {
        return Err(refusal.into());
    }
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, stop.clone())?;
    }
    let hung_up = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGHUP, hung_up.clone())?;
    let group = config.director.group.as_deref().map(number_of_group).transpose()?;
    let run_dir = RunDir::claim(&config.director.run_dir)?;
    let mut admin = Admin::bind(&run_dir)?;
    let plan = eal_plan(&config)?;
    let _claims = claims(&config, &plan)?;
    let mut eal = Eal::start(&plan)?;
    leave_signals_to_drivers(&[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP])?;
    let seed = RandomState::new().build_hasher().finish();
    let hashes = Hashes::new(config.director.workers.len(), seed);
    let (devices, pool) = open_devices(&mut eal, &config, &hashes)?;
    let start = Instant::now();
    let clock = Clock(start);
    let macs = macs(&config, &devices);
    let (mut control, parts) = Control::new(config.clone(), &macs, seed, clock.now())?;
    control.set_file(std::path::absolute(file)?);
    let kept = control.restore(run_dir.path());
    let (host, mut follower) = start_host(&config, &macs, &mut control)?.unzip();
    say_plan(&config, &eal, &devices, &pool);
    let mut devices = devices;
    let ports = start_devices(&mut control, &config, &mut devices, parts.len(), fault)?;
    say_steering(&config, &devices);
    let launched = start_workers(&eal, &config, ports, parts, clock, &stop)?;
    let mut ipvs = IpvsSocket::bind(&run_dir, group)?;
    let mut proc_net = ProcSocket::bind(&run_dir, group)?;
    log::info!("running; sockets admin, ipvs and proc in {}", run_dir.path().display());
    if kept > 0 {
        log::info!("{kept} services that tools had made are there again");
    }
    started::tell(State::Ready);

    let mut bonds = Bonds::of(&devices, &config.devices());
    let ports = || show_ports(&config, &devices, host.as_ref());
    while !stop.load(Ordering::Relaxed) {
        let now = clock.now();
        if hung_up.swap(false, Ordering::Relaxed) {
            control.reload();
        }
        if let Some(network) = follower.as_mut().and_then(|follower| follower.turn(now.ms)) {
            control.set_host(network);
        }
        bonds.turn(&mut control, now.ms);
        control.turn(now);
        let mut busy = ipvs.turn(&mut control, now.ms);
        let answering = &mut Answering { control: &mut control, ports: &ports };
        busy |= proc_net.turn(answering, now.ms);
        busy |= admin.turn(answering, now.ms);
        if !busy {
            control::wait(ipvs.wakers().chain(proc_net.wakers()), CONTROL_SLEEP);
        }
    }

    log::info!("stopping");
    started::tell(State::Stopping);
    drop((admin, ipvs, proc_net));
    drop(host);
    launched.into_iter().for_each(lcore::Launched::join);
    for device in &mut devices {
        device.stop()?;
    }
    drop((devices, pool));
    eal.cleanup()?;
    log::info!("stopped");
    Ok(())
}

fn number_of_group(name: &str) -> Result<u32, Failure> {
    let group = nix::unistd::Group::from_name(name)?;
    let group = group.ok_or_else(|| format!("director.group: found {name:?}; must be a group of this machine"))?;
    Ok(group.gid.as_raw())
}

#[derive(Clone, Copy)]
struct Clock(Instant);

impl Clock {
    fn now(self) -> Now {
        Now::from_ms(self.0.elapsed().as_millis() as u64)
    }
}

fn eal_plan(config: &Config) -> Result<EalPlan, Failure> {
    let devices = config.devices().into_iter().map(|trunk| trunk.device.to_string().parse::<DeviceAddress>());
    Ok(EalPlan {
        workers: config.director.workers.clone(),
        huge_pages: match config.eal.huge_pages {
            config::HugePages::Auto => HugePages::Auto,
            config::HugePages::Require => HugePages::Require,
            config::HugePages::Off => HugePages::Off,
        },
        memory_mb: config.eal.memory_mb,
        file_prefix: crate::dpdk::file_prefix(),
        devices: devices.collect::<Result<_, _>>()?,
        telemetry: false,
        log: EalLog::Errors,
        args: config.eal.args.clone(),
    })
}

/// Before DPDK looks at a device: a second director must not disturb the first.
fn claims(config: &Config, plan: &EalPlan) -> Result<Vec<Claim>, Failure> {
    let mut claims = Vec::new();
    for (trunk, address) in config.devices().iter().zip(&plan.devices) {
        for device in plan.slaves(address).chain([address.clone()]) {
            claims.push(Claim::take(&trunk.name, &device)?);
        }
    }
    Ok(claims)
}

fn open_devices(eal: &mut Eal, config: &Config, hashes: &Hashes) -> Result<(Vec<Device>, Pool), Failure> {
    let workers = config.director.workers.len();
    let trunks = config.devices();
    let open = |trunk: &Trunk| -> Result<Device, Failure> {
        let mut device = Device::open(eal, &trunk.name, &trunk.device.to_string().parse()?)?;
        device.hash_with(hashes.toeplitz.key());
        if is_tagged(config, trunk) {
            device.expect_tags(trunk.ports.iter().map(|port| config.ports[*port].vlan).collect());
        }
        Ok(device)
    };
    let mut devices = trunks.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let queues_max = |trunk: &Trunk| trunk.queues.map_or(workers, usize::from);
    let queues: Vec<_> = devices.iter().zip(&trunks).map(|(device, trunk)| device.queues(queues_max(trunk))).collect();
    let mtus: Vec<_> =
        trunks.iter().zip(&devices).map(|(trunk, device)| mtu(config, trunk, device.mtu_max())).collect();
    let mtu_max = mtus.iter().copied().max().unwrap_or_default();
    let between = HANDED_MAX + BURST * (workers - 1);
    let (in_rings, chained) = if workers > 1 { (between, CHAINED_MAX) } else { (0, 0) };
    let waiting = workers * (HELD_MAX + FRAGMENTS_MAX + in_rings) + chained;
    let pool = Pool::create(eal, &queues, workers, waiting as u32, mtu_max)?;
    for ((device, queues), mtu) in devices.iter_mut().zip(queues).zip(mtus) {
        device.configure(queues, mtu, &pool)?;
    }
    Ok((devices, pool))
}

/// The host interfaces, if any port has one: made, carried, followed.
fn start_host(
    config: &Config,
    macs: &[[u8; 6]],
    control: &mut Control,
) -> Result<Option<(HostThread, Follower)>, Failure> {
    let Some(ends) = control.take_host_ends() else { return Ok(None) };
    let port = |(port, (said, mac)): (usize, (&config::Port, &[u8; 6]))| {
        let name = said.host.clone()?;
        Some(HostPort { port: port as u16, name, mac: *mac, mtu: said.mtu })
    };
    let ports = config.ports.iter().zip(macs).enumerate().filter_map(port);
    let taps = ports.map(|port| HostTap::create(&port)).collect::<Result<Vec<_>, _>>()?;
    let interfaces = taps.iter().map(|tap| (tap.index, tap.port)).collect();
    Ok(Some((HostThread::start(taps, ends)?, Follower::new(interfaces)?)))
}

/// Has the device a port with a VLAN?
fn is_tagged(config: &Config, trunk: &Trunk) -> bool {
    trunk.ports.iter().any(|port| config.ports[*port].vlan.is_some())
}

/// A device's MTU: the largest of its ports', and room for a tag. Devices that count no tag as part of the MTU do without.
fn mtu(config: &Config, trunk: &Trunk, mtu_max: u16) -> u16 {
    let largest = trunk.ports.iter().map(|port| config.ports[*port].mtu).max().unwrap_or_default();
    let tagged = largest + TAG_BYTES as u16;
    if is_tagged(config, trunk) && tagged <= mtu_max { tagged } else { largest }
}

/// The MAC of each port: its device's.
fn macs(config: &Config, devices: &[Device]) -> Vec<[u8; 6]> {
    let mut macs = vec![[0; 6]; config.ports.len()];
    for (trunk, device) in config.devices().iter().zip(devices) {
        let mac = device.info().mac;
        trunk.ports.iter().for_each(|port| macs[*port] = mac);
    }
    macs
}

fn say_plan(config: &Config, eal: &Eal, devices: &[Device], pool: &Pool) {
    plan::text(config).lines().for_each(|line| log::info!("{line}"));
    log::info!("memory    {}; {} frames", eal.memory(), pool.frames());
    for info in devices.iter().map(Device::info) {
        let queues = info.queues.map_or((0, 0), |queues| (queues.rx, queues.tx));
        let mac = crate::wire::Mac(info.mac);
        log::info!(
            "port      {}: driver {}, MAC {mac}, {} rx and {} tx queues",
            info.name,
            info.driver,
            queues.0,
            queues.1
        );
        if info.tagged {
            let by = |device: bool| if device { "by the device" } else { "in software" };
            let [strips, inserts, filters] = [info.vlan.strips, info.vlan.inserts, info.vlan.filters].map(by);
            let name = &info.name;
            log::info!(
                "port      {name}: VLAN tags taken off {strips}, put on {inserts}; other VLANs dropped {filters}"
            );
        }
        if let Some(warning) = info.warning() {
            log::warn!("port {}: {warning}", info.name);
        }
    }
}

/// Which way frames come to their owners, port by port.
fn say_steering(config: &Config, devices: &[Device]) {
    for info in devices.iter().map(Device::info) {
        log::info!("steering  {}: {}", info.name, steering_of(config, &info));
    }
}

fn steering_of(config: &Config, info: &PortInfo) -> String {
    info.spread.in_words(config.director.workers.len(), info.queues.map_or(0, |queues| queues.rx))
}

/// The ports as each worker has them.
type WorkerPorts = Vec<WorkerPort<FaultPort<DpdkPort>>>;

fn start_devices(
    control: &mut Control,
    config: &Config,
    devices: &mut [Device],
    workers: usize,
    fault: Option<Fault>,
) -> Result<Vec<WorkerPorts>, Failure> {
    let repeat = steer::owners_repeat(devices.iter().filter_map(Device::table_entries));
    control.repeat_owners_after(repeat);
    let mut ports: Vec<WorkerPorts> = (0..workers).map(|_| Vec::new()).collect();
    for (device, trunk) in devices.iter_mut().zip(config.devices()) {
        let mac = device.info().mac;
        let interfaces: Vec<_> = trunk.ports.iter().map(|port| (*port as u8, config.ports[*port].vlan)).collect();
        let views = device.start(workers)?;
        device.spread_by(|entries, queues| steer::queue_table(entries, repeat, workers, queues));
        let senders = views.iter().filter(|view| view.can_send()).count();
        for (worker, view) in views.into_iter().enumerate() {
            let sender = if view.can_send() { worker } else { worker % senders };
            ports[worker].push(WorkerPort {
                device: FaultPort::new(view, fault),
                mac,
                sender,
                interfaces: interfaces.clone(),
            });
        }
    }
    Ok(ports)
}

fn start_workers(
    eal: &Eal,
    config: &Config,
    ports: Vec<WorkerPorts>,
    parts: Vec<WorkerParts>,
    clock: Clock,
    stop: &Arc<AtomicBool>,
) -> Result<Vec<lcore::Launched>, Failure> {
    let workers = parts.len();
    let launch = |(((parts, ports), peers), lcore): (((WorkerParts, _), _), &u32)| {
        // Memory is taken now, not while packets wait.
        parts
            .shard
            .table
            .populate()
            .map_err(|error| format!("director.conns_max: no memory for the table: {error}"))?;
        let worker = Worker::new(parts, ports, peers, ANSWERS_PER_S);
        let (idle, stop) = (config.director.idle, stop.clone());
        Ok::<_, Failure>(lcore::launch(eal, *lcore, move || work(worker, idle, clock, &stop))?)
    };
    let launched = parts.into_iter().zip(ports).zip(Peers::of(workers)).zip(&config.director.workers).map(launch);
    launched.collect()
}

/// Drivers may signal the process for each frame (net_tap does). A thread that answers the operator, or forwards, would do
/// nothing else under load: only DPDK's own interrupt thread takes those, which was there before.
fn leave_signals_to_drivers(but: &[Signal]) -> Result<(), Failure> {
    let mut signals = SigSet::all();
    but.iter().for_each(|signal| signals.remove(*signal));
    Ok(signals.thread_block()?)
}

/// A worker's life.
fn work(mut worker: Worker<FaultPort<DpdkPort>>, idle: Idle, clock: Clock, stop: &AtomicBool) {
    if let Err(error) = leave_signals_to_drivers(&[]) {
        log::warn!("a worker takes signals: {error}");
    }
    let mut wait = IdleWait::new(idle);
    while !stop.load(Ordering::Relaxed) {
        let busy = worker.turn(clock.now());
        if let Some(time) = wait.after(busy) {
            worker.slept();
            std::thread::sleep(time);
        }
    }
    worker.stop();
}

fn show_ports(config: &Config, devices: &[Device], host: Option<&HostThread>) -> show::Ports {
    let trunks = config.devices();
    let port = |(number, said): (usize, &config::Port)| {
        let at = trunks.iter().position(|trunk| trunk.ports.contains(&number)).unwrap_or_default();
        let (info, stats) = (devices[at].info(), devices[at].stats());
        let (queues, steering) = (info.queues, steering_of(config, &info));
        show::Port {
            name: said.name.clone().into(),
            vlan: said.vlan,
            device: info.device.into(),
            driver: info.driver.into(),
            mac: crate::wire::Mac(info.mac).to_string().into(),
            mtu: if trunks[at].ports.len() > 1 || said.vlan.is_some() { said.mtu } else { info.mtu },
            device_mtu: info.mtu,
            link: info.link != Link::Down,
            speed_mbps: match info.link {
                Link::Up { speed_mbps } => speed_mbps,
                Link::Down | Link::Unknown => None,
            },
            rx_queues: queues.map_or(0, |queues| queues.rx),
            tx_queues: queues.map_or(0, |queues| queues.tx),
            rss: info.spread.word().map(Into::into),
            steering: steering.into(),
            sends_by: info.sends_by.map(Into::into),
            rx_packets: stats.rx_frames,
            tx_packets: stats.tx_frames,
            rx_missed: stats.rx_missed,
            rx_errors: stats.rx_errors,
            rx_chained: stats.rx_chained,
            rx_no_buffer: stats.rx_no_buffer,
            tx_errors: stats.tx_errors,
            addresses: said.addresses.iter().map(|address| address.to_string().into()).collect(),
            host: said.host.as_ref().map(|name| host_interface(name, host.and_then(|host| host.counts(number as u16)))),
        }
    };
    show::Ports { ports: config.ports.iter().enumerate().map(port).collect() }
}

fn host_interface(name: &str, counts: Option<&HostCounts>) -> show::HostInterface {
    let read =
        |counter: fn(&HostCounts) -> &AtomicU64| counts.map_or(0, |counts| counter(counts).load(Ordering::Relaxed));
    show::HostInterface {
        name: name.to_string().into(),
        to_host: read(|counts| &counts.to_host),
        from_host: read(|counts| &counts.from_host),
        refused: read(|counts| &counts.refused),
    }
}
