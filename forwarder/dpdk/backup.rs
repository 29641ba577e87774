//! Which device of an active-backup bond sends. DPDK's bond goes over to another one when its driver says that the link went
//! down, or, of drivers that never say so, by looking itself. net_tap promises to say it and does not. So control looks, too: what the
//! bond has not done at the second look is told to it. And whoever is behind the bond learns by the next announcement which wire leads here.

use super::device::find;
use super::info::text;
use super::{DeviceAddress, PortInfo};
use dpdk_sys::{RTE_ETH_NAME_MAX_LEN, RTE_MAX_ETHPORTS, rte_eth_link};
use std::ffi::c_char;

/// Two looks: longer than a driver needs to say what happened, and than the bond's own looks (10 ms) are apart.
const LOOK_GAP_MS: u64 = 100;

/// An active-backup bond, as control watches it. It is started, and stays so.
#[derive(Debug)]
pub struct ActiveBackup {
    port_id: u16,
    slaves: Vec<u16>,
    /// The one that sends whenever its link is up: the bond's argument `primary`.
    preferred: Option<u16>,
    /// By which it sent at the last look.
    sender: u16,
    /// Which should have sent at the last look, and did not.
    overdue: Option<u16>,
    look_ms: u64,
}

impl ActiveBackup {
    /// None: the device is no such bond.
    pub fn of(device: &PortInfo) -> Option<ActiveBackup> {
        let (port_id, sender) = (device.port_id, sender(device.port_id)?);
        let mut slaves = [0; RTE_MAX_ETHPORTS as usize];
        // SAFETY: the port exists, and there is room for every port that there can be.
        let count = unsafe { dpdk_sys::rte_eth_bond_slaves_get(port_id, slaves.as_mut_ptr(), slaves.len() as u16) };
        let slaves = slaves[..usize::try_from(count).ok()?].to_vec();
        let address: DeviceAddress = device.device.parse().ok()?;
        let preferred = address.primary().and_then(|primary| find(&primary.parse().ok()?));
        Some(ActiveBackup { port_id, slaves, preferred, sender, overdue: None, look_ms: 0 })
    }

    /// The device by which the bond sends now, if that is another than at the last look.
    pub fn look(&mut self, now_ms: u64) -> Option<String> {
        if now_ms < self.look_ms {
            return None;
        }
        self.look_ms = now_ms + LOOK_GAP_MS;
        let rightful = rightful(sender(self.port_id)?, self.preferred, &self.slaves, is_up);
        let overdue = rightful.filter(|rightful| self.overdue == Some(*rightful));
        if let Some(slave) = overdue {
            // SAFETY: both ports exist; the bond refuses one that is not its slave. It changes one number, which its senders read.
            unsafe { dpdk_sys::rte_eth_bond_primary_set(self.port_id, slave) };
        }
        self.overdue = rightful;
        let sender = sender(self.port_id)?;
        let before = std::mem::replace(&mut self.sender, sender);
        (before != sender).then(|| name(sender))
    }
}

/// Who should send instead of `sender`, if anybody.
fn rightful(sender: u16, preferred: Option<u16>, slaves: &[u16], is_up: impl Fn(u16) -> bool) -> Option<u16> {
    let mut by_right = preferred.into_iter().chain([sender]).chain(slaves.iter().copied());
    by_right.find(|slave| is_up(*slave)).filter(|rightful| *rightful != sender)
}

/// The name of the device by which an active-backup bond sends.
pub(super) fn sender_name(port_id: u16) -> Option<String> {
    sender(port_id).map(name)
}

fn sender(port_id: u16) -> Option<u16> {
    // SAFETY: the port exists; one that is no bond is refused with a negative number.
    let mode = unsafe { dpdk_sys::rte_eth_bond_mode_get(port_id) };
    if mode != dpdk_sys::BONDING_MODE_ACTIVE_BACKUP as i32 {
        return None;
    }
    // SAFETY: as above.
    u16::try_from(unsafe { dpdk_sys::rte_eth_bond_primary_get(port_id) }).ok()
}

fn is_up(port_id: u16) -> bool {
    let mut link = rte_eth_link::default();
    // SAFETY: the port exists, and the call fills the structure.
    let code = unsafe { dpdk_sys::rte_eth_link_get_nowait(port_id, &mut link) };
    code == 0 && link.link_status() == 1
}

fn name(port_id: u16) -> String {
    let mut name = [0 as c_char; RTE_ETH_NAME_MAX_LEN as usize];
    // SAFETY: name is as long as the call asks for; it writes a string, or nothing.
    unsafe { dpdk_sys::rte_eth_dev_get_name_by_port(port_id, name.as_mut_ptr()) };
    // SAFETY: it ends with a zero in any case.
    unsafe { text(name.as_ptr()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preferred_one_sends_then_whoever_does_then_any() {
        // description, sender, preferred, those that are up, who should send instead
        type Row = (&'static str, u16, Option<u16>, &'static [u16], Option<u16>);
        let rows: [Row; 8] = [
            ("all is well", 1, None, &[1, 2, 3], None),
            ("the sender's link went down", 1, None, &[2, 3], Some(2)),
            ("the next one's too", 1, None, &[3], Some(3)),
            ("nobody's is up", 1, None, &[], None),
            ("the former one is back", 2, None, &[1, 2, 3], None),
            ("the preferred one is back", 2, Some(1), &[1, 2, 3], Some(1)),
            ("the preferred one is not", 2, Some(1), &[2, 3], None),
            ("neither is up", 2, Some(1), &[3], Some(3)),
        ];
        for (what, sender, preferred, up, expect) in rows {
            assert_eq!(rightful(sender, preferred, &[1, 2, 3], |slave| up.contains(&slave)), expect, "{what}");
        }
    }
}
