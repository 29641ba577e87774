//! How many queues a device gets, and how deep. Each queue has one worker; a worker without one sends through the owner of
//! one, and what it should have received is handed to it in software.

use dpdk_sys::rte_eth_dev_info;

/// The depth asked for; a device rounds it to what it can do.
pub(super) const DESCRIPTORS: u16 = 512;

/// What one device is set up with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queues {
    /// Receive queues; workers 0 to `rx` - 1 own one each.
    pub rx: u16,
    /// Transmit queues; workers 0 to `tx` - 1 own one each.
    pub tx: u16,
    /// Frames each receive queue holds.
    pub rx_descriptors: u16,
    /// Frames each transmit queue holds.
    pub tx_descriptors: u16,
    /// Devices that have these queues: several, if it is a bond of them.
    pub devices: u16,
    /// Whether the device spreads flows over the receive queues by a hash that is configured (RSS).
    pub rss: bool,
}

impl Queues {
    /// Frames that sit in the queues when all are full.
    pub fn frames(&self) -> u32 {
        let deep = |count: u16, descriptors: u16| u32::from(count) * u32::from(descriptors);
        (deep(self.rx, self.rx_descriptors) + deep(self.tx, self.tx_descriptors)) * u32::from(self.devices)
    }

    /// As many queues as workers, if the device has them. Several receive queues only where something spreads flows over
    /// them, RSS or, behind a tap, a packet socket or virtio, the other side: else all frames would come by the first, or,
    /// worse, by turns, and a flow's frames would overtake each other on their way to its owner. Virtio without RSS learns from
    /// what is sent which queue a flow is to come by (virtio 1.1, 5.1.6.5.5): its owner's.
    pub(super) fn choose(info: &rte_eth_dev_info, driver: &str, workers: u16, descriptors: (u16, u16)) -> Self {
        let rss = info.flow_type_rss_offloads & dpdk_sys::SHIM_RSS_TUPLE != 0;
        // A tap says that it has RSS, and means a kernel that it would have to be given a program for.
        let by_kernel = matches!(driver, "net_tap" | "net_af_packet");
        let rss = rss && !by_kernel;
        let learns = driver == "net_virtio";
        let rx = if rss || by_kernel || learns { info.max_rx_queues.min(workers) } else { 1 };
        let mut tx = info.max_tx_queues.min(workers);
        if matches!(driver, "net_tap" | "net_virtio") {
            // A tap's queue is one file descriptor for both directions; virtio switches queues on by pairs, and frames that came
            // by one without a receiver would be lost.
            tx = tx.min(rx);
        }
        let (rx_descriptors, tx_descriptors) = descriptors;
        Queues { rx, tx, rx_descriptors, tx_descriptors, devices: 1, rss: rss && rx > 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_follow_workers_as_far_as_the_device_goes() {
        let rss = dpdk_sys::SHIM_RSS_TUPLE;
        // description, driver, RSS, the device's queues, workers, expected receive and transmit queues
        let rows = [
            ("one worker", "net_ixgbe", rss, (64, 64), 1, (1, 1)),
            ("RSS", "net_ixgbe", rss, (64, 64), 4, (4, 4)),
            ("fewer queues than workers", "net_ixgbe", rss, (2, 3), 4, (2, 3)),
            ("no RSS", "net_pcap", 0, (16, 16), 4, (1, 4)),
            ("a tap's queues are pairs", "net_tap", 0, (16, 1), 4, (4, 1)),
            ("the kernel spreads", "net_af_packet", 0, (2, 2), 4, (2, 2)),
            ("and not by RSS", "net_tap", rss, (16, 16), 4, (4, 4)),
            ("virtio learns", "net_virtio", 0, (2, 4), 4, (2, 2)),
        ];
        for (what, driver, flow_type_rss_offloads, (max_rx_queues, max_tx_queues), workers, expect) in rows {
            let info = rte_eth_dev_info { max_rx_queues, max_tx_queues, flow_type_rss_offloads, ..Default::default() };
            let queues = Queues::choose(&info, driver, workers, (512, 256));
            assert_eq!((queues.rx, queues.tx), expect, "{what}");
            assert_eq!(queues.rss, queues.rx > 1 && flow_type_rss_offloads != 0 && driver != "net_tap", "{what}");
            assert_eq!(queues.frames(), u32::from(queues.rx) * 512 + u32::from(queues.tx) * 256, "{what}");
            assert_eq!(Queues { devices: 2, ..queues }.frames(), 2 * queues.frames(), "{what}: two of them in a bond");
        }
    }
}
