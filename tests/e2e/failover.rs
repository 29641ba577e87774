//! An active-backup bond whose wires fail one after the other: it goes over to the other one, the clients' switch learns it, and
//! downloads that began before come through whole.

use uvs::demo::Failure;
use uvs::demo::network::CLIENT_WAN;
use uvs::demo::plan::FAMILIES;
use uvs::demo::wait::wait_until;

use crate::methods::Bench;
use crate::transfer::transfers;

/// What the client believes of a VIP until it is announced.
const FORMER_MAC: &str = "02:00:00:00:0e:01";
/// What the bond is made of.
const SLAVES: [&str; 2] = ["net_tap1", "net_tap2"];

/// The first wire goes, the second one carries; the first is back, and nothing changes; the second goes.
pub fn of_a_bond(bench: &mut Bench) -> Result<(), Failure> {
    sends_by(bench, 0)?;
    wire_fails(bench, 0)?;
    // Not before: servers that ask a client at rest whether it has room again would have been heard as well.
    let transfers = transfers(bench)?;
    wire_fails(bench, 1)?;
    transfers.into_iter().try_for_each(|transfer| transfer.finish(&bench.big.1))
}

/// A wire goes down, while it carries, and comes up again, when the other one does.
fn wire_fails(bench: &mut Bench, failing: usize) -> Result<(), Failure> {
    let other = 1 - failing;
    let vips = FAMILIES.map(|family| family.vip(0));
    let client = &bench.network.client;
    vips.iter().try_for_each(|vip| {
        client.ip(&format!("neigh replace {vip} lladdr {FORMER_MAC} dev {CLIENT_WAN} nud stale\n"))
    })?;
    bench.network.set_bond_wire(failing, "down")?;
    sends_by(bench, other)?;
    // Nothing but an announcement has a VIP as its sender while nobody asks.
    wait_until("the client had heard the announcements", || {
        let known = bench.network.client.run("ip", &["neigh", "show", "dev", CLIENT_WAN])?;
        Ok(!known.contains(FORMER_MAC))
    })?;
    bench.pages()?;
    bench.network.set_bond_wire(failing, "up")?;
    let before = sent(bench)?;
    bench.pages()?;
    let after = sent(bench)?;
    if after[failing] != before[failing] || after[other] == before[other] {
        return Err(Failure::new(format!(
            "wire {failing} failed, so all frames must leave by the other: before {before:?}, after {after:?}"
        )));
    }
    Ok(())
}

fn sends_by(bench: &mut Bench, wire: usize) -> Result<(), Failure> {
    wait_until(&format!("the bond sent by {}", SLAVES[wire]), || {
        let ports = bench.director.ports()?;
        Ok(ports.iter().any(|port| port.sends_by.as_deref() == Some(SLAVES[wire])))
    })
}

fn sent(bench: &Bench) -> Result<[u64; 2], Failure> {
    Ok([bench.network.sent_by_bond_wire(0)?, bench.network.sent_by_bond_wire(1)?])
}
