//! What a bond of devices can do. It gets its devices when it is configured, which is too late for what is decided before: queues,
//! offloads, MTU.

use super::device::find;
use super::{Error, vlan};
use dpdk_sys::rte_eth_dev_info;

/// Leaves a bond what this slave of it can do, too.
pub(super) fn narrow(limits: &mut rte_eth_dev_info, place: &str, slave: &str) -> Result<(), Error> {
    let slave = limits_of(place, slave)?;
    limits.min_mtu = limits.min_mtu.max(slave.min_mtu);
    limits.max_mtu = limits.max_mtu.min(slave.max_mtu);
    limits.max_rx_pktlen = limits.max_rx_pktlen.min(slave.max_rx_pktlen);
    limits.max_rx_queues = limits.max_rx_queues.min(slave.max_rx_queues);
    limits.max_tx_queues = limits.max_tx_queues.min(slave.max_tx_queues);
    limits.rx_offload_capa &= slave.rx_offload_capa;
    limits.tx_offload_capa &= slave.tx_offload_capa;
    limits.flow_type_rss_offloads &= slave.flow_type_rss_offloads;
    Ok(())
}

fn limits_of(place: &str, slave: &str) -> Result<rte_eth_dev_info, Error> {
    let absent = || {
        let what = "is not there; a virtual one is made by eal.args, such as \"--vdev=net_tap1,iface=x\"";
        Error::new(place, format!("slave {slave} {what}"))
    };
    let port_id = slave.parse().ok().and_then(|address| find(&address)).ok_or_else(absent)?;
    let mut limits = rte_eth_dev_info::default();
    // SAFETY: the port exists, and the call fills the structure.
    let code = unsafe { dpdk_sys::rte_eth_dev_info_get(port_id, &mut limits) };
    Error::check(code, place, format_args!("slave {slave} does not say what it is"))?;
    vlan::narrow(&mut limits);
    Ok(limits)
}
