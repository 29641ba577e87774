//! More than the director can take, on real devices: SYNs of ever new clients into a small table, and a device that refuses to
//! transmit. Transfers that were there before come through whole, every bound has its counter, all is well when the cause has
//! ended, and no memory has grown.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::ExitCode;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use uvs::demo::Failure;
use uvs::demo::director::Forwarding;
use uvs::demo::network::Attachment;
use uvs::demo::plan::{Family, Method};
use uvs::demo::process::Process;
use uvs::demo::wait::wait_until;
use uvs::port::fault::DRY_WORD;
use uvs::wire::build::Frame;
use uvs::wire::tcp;

use crate::methods::{Bench, Step, name};
use crate::programs;
use crate::transfer::{Transfer, transfers};

/// Two workers, room for a few thousand conns, and SYNs that are forgotten soon.
pub const FORWARDING: Forwarding =
    Forwarding { workers: 2, queues: 2, conns_max: CONNS_MAX, rest: "\n[timeouts]\ntcp_syn_recv = \"2s\"\n" };
/// What these directors are put through.
pub fn steps(attachment: Attachment) -> &'static [(&'static str, Step)] {
    const STEPS: &[(&str, Step)] =
        &[("a flood of SYNs", syn_flood), ("a device that refuses", device_refuses), ("a pool that is dry", dry_pool)];
    match attachment {
        Attachment::Tap | Attachment::TapTrunk | Attachment::Bond => STEPS,
        // It leaves what it has no buffer for where it was, and does not count it: nothing to be seen.
        Attachment::AfPacket | Attachment::AfPacketTrunk => &STEPS[..2],
    }
}
/// What these directors do wrong when they are told to.
pub const FAULT: &str = "dry-pool";

/// The word by which this program floods instead of testing; before the target.
pub const FLOOD: &str = "flood-with-syns";

const CONNS_MAX: u32 = 4_096;
/// SYNs without a place in the table that each flood must have sent at least.
const REFUSED_MIN: u64 = 50_000;
/// What a second flood may add to the memory of the first: far less than a byte a frame or 64 bytes a conn.
const GROWTH_KB_MAX: u64 = 512;
/// Benchmark addresses (RFC 2544): nobody has them, so nobody answers what comes back.
const STRANGERS: u32 = 0xc612_0000;

/// Sends SYNs of ever new clients to the target as fast as the kernel takes them, until it is killed.
pub fn flood(target: &str) -> ExitCode {
    let target: SocketAddrV4 = target.parse().expect("an IPv4 address with a port");
    // Protocol 255: our own IP header, with whatever source.
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(255))).expect("a raw socket");
    let to = SockAddr::from(SocketAddrV4::new(*target.ip(), 0));
    for n in 0u32.. {
        let client = Ipv4Addr::from(STRANGERS + (n & 0x1_ffff));
        let ports = (1_024 + (n >> 17) as u16, target.port());
        let syn = Frame::new(client.into(), (*target.ip()).into()).tcp(ports, (n, 0), tcp::SYN, b"");
        // A full queue: the next one, then.
        let _ = socket.send_to(&syn[14..], &to);
    }
    ExitCode::SUCCESS
}

fn syn_flood(bench: &mut Bench) -> Result<(), Failure> {
    let conns_before = conns(bench)?;
    let transfers = transfers(bench)?;
    one_flood(bench, transfers)?;
    recovered(bench, conns_before)?;
    let memory_kb = bench.director.memory_kb()?;
    one_flood(bench, Vec::new())?;
    recovered(bench, conns_before)?;
    let grown_kb = bench.director.memory_kb()?.saturating_sub(memory_kb);
    if grown_kb > GROWTH_KB_MAX {
        return Err(Failure::new(format!("a second flood took {grown_kb} kB more; must be {GROWTH_KB_MAX} at most")));
    }
    Ok(())
}

/// Floods until each worker has refused its share of SYNs and the transfers, which began before, have ended.
fn one_flood(bench: &mut Bench, transfers: Vec<Transfer>) -> Result<(), Failure> {
    // DR: what the real servers answer does not come back through the director.
    let flooded = bench.web.iter().find(|service| service.method == Method::Dr && service.vip.is_ipv4());
    let target = flooded.map(|service| service.vip).ok_or_else(|| Failure::new("there is no DR service"))?;
    let this = std::env::current_exe().map_err(|error| Failure::new(format!("this program's own path: {error}")))?;
    let mut command = bench.network.client.command(this);
    command.args([FLOOD, &target.to_string()]);
    let mut flood = Process::start("the flood", &mut command, &bench.network.directory().join("flood.log"))?;
    let before = refused(bench)?;
    wait_until("every worker's table was full", || {
        flood.check_running()?;
        if let Some(worker) = bench.director.workers()?.iter().find(|worker| worker.conns > CONNS_MAX.into()) {
            return Err(Failure::new(format!("more conns than conns_max: {worker:?}")));
        }
        let counts = refused(bench)?;
        let grown: Vec<u64> = counts.iter().zip(&before).map(|(now, before)| now - before).collect();
        Ok(grown.iter().all(|&grown| grown > 0) && grown.iter().sum::<u64>() >= REFUSED_MIN)
    })?;
    for transfer in transfers {
        transfer.finish(&bench.big.1)?;
    }
    flood.check_running()
}

/// The conns of the flood end, and new ones are taken: nothing more is refused.
fn recovered(bench: &mut Bench, conns_before: u64) -> Result<(), Failure> {
    // Those of the transfers rest a while.
    const ENDED_MAX: u64 = 4;
    wait_until("the conns of the flood had ended", || Ok(conns(bench)? <= conns_before + ENDED_MAX))?;
    let before = refused(bench)?;
    let answer = programs::fetch(&bench.network.client, bench.web[0].vip)?;
    if answer.is_empty() || refused(bench)? != before {
        return Err(Failure::new(format!("after the flood: \"{answer}\" from {}", name(&bench.web[0]))));
    }
    Ok(())
}

fn conns(bench: &mut Bench) -> Result<u64, Failure> {
    Ok(bench.director.workers()?.iter().map(|worker| worker.conns).sum())
}

/// What each worker refused because its table was full.
fn refused(bench: &mut Bench) -> Result<Vec<u64>, Failure> {
    dropped(bench, "table_full")
}

/// What each worker dropped for this reason.
fn dropped(bench: &mut Bench, reason: &str) -> Result<Vec<u64>, Failure> {
    let drops = bench.director.drops()?;
    let drop = drops.into_iter().find(|drop| drop.reason == reason);
    drop.map(|drop| drop.per_worker).ok_or_else(|| Failure::new(format!("uvs show drops does not know {reason}")))
}

/// Every buffer is somebody's for a while: devices lose what comes, and say so; when the buffers are back, the transfers end well.
fn dry_pool(bench: &mut Bench) -> Result<(), Failure> {
    let transfers = transfers(bench)?;
    let lost = |bench: &mut Bench| -> Result<u64, Failure> {
        Ok(bench.director.ports()?.iter().map(|port| port.rx_no_buffer).sum())
    };
    let before = lost(bench)?;
    let word = String::from_utf8_lossy(DRY_WORD);
    let script = format!("echo -n '{word}' > /dev/udp/{}/9", Family::V4.director_wan());
    bench.network.client.run("bash", &["-c", &script])?;
    transfers.iter().for_each(Transfer::go_on);
    wait_until("a device had no buffer", || Ok(lost(bench)? > before))?;
    over(bench, transfers, lost)
}

/// The way to the servers is down for a while: what should leave by it is counted, the other port goes on, and the transfers end
/// well when it is up again.
fn device_refuses(bench: &mut Bench) -> Result<(), Failure> {
    let transfers = transfers(bench)?;
    let lost = |bench: &mut Bench| -> Result<u64, Failure> {
        let in_device: u64 = bench.director.ports()?.iter().map(|port| port.tx_errors).sum();
        Ok(dropped(bench, "tx_refused")?.iter().sum::<u64>() + in_device)
    };
    let before = lost(bench)?;
    bench.network.set_way_to_servers("down")?;
    transfers.iter().for_each(Transfer::go_on);
    wait_until("the device refused to transmit", || Ok(lost(bench)? > before))?;
    programs::ping(&bench.network.client, bench.web[0].vip.ip())?;
    bench.network.set_way_to_servers("up")?;
    over(bench, transfers, lost)
}

/// The cause has ended: what was under way comes through, all is served, and after that nothing more is lost.
fn over(
    bench: &mut Bench,
    transfers: Vec<Transfer>,
    lost: impl Fn(&mut Bench) -> Result<u64, Failure>,
) -> Result<(), Failure> {
    transfers.into_iter().try_for_each(|transfer| transfer.finish(&bench.big.1))?;
    bench.pages()?;
    let settled = lost(bench)?;
    bench.pages()?;
    match lost(bench)? - settled {
        0 => Ok(()),
        more => Err(Failure::new(format!("{more} frames were lost although the cause had ended"))),
    }
}
