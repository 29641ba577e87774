//! VLANs at a device: which part of the work on tags it does, and which VLANs it lets in.
//!
//! A device that can filter is told which ones: virtio lets in no others, asked or not (tests/appliance showed it), and what any device
//! drops is nothing that a worker would have to look at.

use super::Error;
use super::info::text;
use dpdk_sys::{rte_eth_conf, rte_eth_dev_info};

/// The id of a tag that only says a priority: of no VLAN.
const PRIORITY_ONLY: u16 = 0;

/// Which part of the work on VLAN tags the device does; nothing, if no port of it has a vlan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VlanOffload {
    /// It takes tags off what it receives.
    pub strips: bool,
    /// It puts tags on what it transmits.
    pub inserts: bool,
    /// It drops what is of other VLANs.
    pub filters: bool,
}

/// Takes from `limits` what a device says that it does of the work, and leaves to who sends: virtio's driver puts tags on in software,
/// and only on what went through `rte_eth_tx_prepare`. One more call a burst would do the same as we do ourselves.
pub(super) fn narrow(limits: &mut rte_eth_dev_info) {
    // SAFETY: a driver's name is a static string.
    if unsafe { text(limits.driver_name) } == "net_virtio" {
        limits.tx_offload_capa &= !dpdk_sys::SHIM_TX_VLAN_INSERT;
    }
}

impl VlanOffload {
    /// What it can do.
    pub(super) fn of(limits: &rte_eth_dev_info) -> Self {
        VlanOffload {
            strips: limits.rx_offload_capa & dpdk_sys::SHIM_RX_VLAN_STRIP != 0,
            inserts: limits.tx_offload_capa & dpdk_sys::SHIM_TX_VLAN_INSERT != 0,
            filters: limits.rx_offload_capa & dpdk_sys::SHIM_RX_VLAN_FILTER != 0,
        }
    }

    /// Asks for it.
    pub(super) fn ask(self, conf: &mut rte_eth_conf) {
        let wish = |does: bool, offload: u64| if does { offload } else { 0 };
        conf.rxmode.offloads |= wish(self.strips, dpdk_sys::SHIM_RX_VLAN_STRIP);
        conf.rxmode.offloads |= wish(self.filters, dpdk_sys::SHIM_RX_VLAN_FILTER);
        conf.txmode.offloads |= wish(self.inserts, dpdk_sys::SHIM_TX_VLAN_INSERT);
    }

    /// Lets frames of these VLANs in; None: those of no VLAN. After the device is started.
    pub(super) fn let_in(self, port_id: u16, place: &str, vlans: &[Option<u16>]) -> Result<(), Error> {
        for vlan in vlans.iter().filter(|_| self.filters) {
            // SAFETY: the port exists.
            let code = unsafe { dpdk_sys::rte_eth_dev_vlan_filter(port_id, vlan.unwrap_or(PRIORITY_ONLY), 1) };
            // Untagged frames come in anyway, and some devices know no VLAN of that id.
            if let Some(id) = vlan {
                Error::check(code, place, format_args!("the device does not let frames of VLAN {id} in"))?;
            }
        }
        Ok(())
    }
}
