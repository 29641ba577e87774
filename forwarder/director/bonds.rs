//! The active-backup bonds among the devices: when one goes over to another wire, the operator is told, and its ports announce their
//! addresses, for the switches behind it learn only from a frame which wire leads here now.

use super::Control;
use crate::dpdk::{ActiveBackup, Device};
use config::Trunk;

/// Every active-backup bond.
pub(super) struct Bonds(Vec<Bond>);

struct Bond {
    watch: ActiveBackup,
    name: String,
    ports: Vec<usize>,
}

impl Bonds {
    /// Of devices that are started.
    pub(super) fn of(devices: &[Device], trunks: &[Trunk]) -> Bonds {
        let bond = |(device, trunk): (&Device, &Trunk)| {
            let watch = ActiveBackup::of(&device.info())?;
            Some(Bond { watch, name: trunk.name.clone(), ports: trunk.ports.clone() })
        };
        Bonds(devices.iter().zip(trunks).filter_map(bond).collect())
    }

    /// Looks at each of them, a few times a second.
    pub(super) fn turn(&mut self, control: &mut Control, now_ms: u64) {
        for bond in &mut self.0 {
            let Some(sender) = bond.watch.look(now_ms) else { continue };
            log::warn!("port {}: its bond sends by {sender} from now on", bond.name);
            bond.ports.iter().for_each(|port| control.announce(*port as u16));
        }
    }
}
