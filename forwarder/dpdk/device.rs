//! A device as control sees it: open, configure, start, look at, stop. What workers use of it is a `DpdkPort`.

use super::error::words;
use super::info::{Link, PortInfo, PortStats, text};
use super::queues::DESCRIPTORS;
use super::{
    Bus, DeviceAddress, DpdkPort, Eal, Error, Pool, Queues, RxRefused, Spread, VlanOffload, backup, bond, pci, rss,
    vlan,
};
use crate::steer::RSS_KEY_BYTES;
use dpdk_sys::{rte_eth_conf, rte_eth_dev_info, rte_eth_link, rte_eth_stats, rte_ether_addr};
use std::collections::BTreeSet;
use std::ffi::CString;
use std::sync::{Arc, Mutex, PoisonError};
use std::{mem, ptr};

const ENODEV: i32 = 19;
const EFAULT: i32 = 14;
const ENOTSUP: i32 = 95;
/// DPDK's numbers of the opened devices: each has one owner, or two workers could be given the same queue.
static OPENED: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
/// Ethernet and one VLAN tag.
const FRAME_OVER_MTU: u32 = 18;

/// An opened device. Stops and closes when dropped, unless a worker still holds one of its queues.
#[derive(Debug)]
pub struct Device {
    /// `port wan`: where errors are.
    place: String,
    name: String,
    address: DeviceAddress,
    port_id: u16,
    limits: Box<rte_eth_dev_info>,
    driver: String,
    configured: Option<(Queues, Pool)>,
    started: bool,
    every_frame: bool,
    /// The director's, if it can hash with that. DPDK points to it as long as the device is open.
    rss_key: Vec<u8>,
    spread: Spread,
    /// Of its ports, if one has a VLAN.
    vlans: Vec<Option<u16>>,
    vlan: VlanOffload,
    refused: Arc<RxRefused>,
    alive: Arc<()>,
}

// SAFETY: what limits points to is static data of the driver, and DPDK's control calls may come from any one thread.
unsafe impl Send for Device {}

impl Device {
    /// Finds the device, or attaches it if it is virtual. `name` is the port's in the configuration.
    pub fn open(eal: &Eal, name: &str, address: &DeviceAddress) -> Result<Self, Error> {
        let place = format!("port {name}");
        let port_id = match find(address) {
            Some(port_id) => port_id,
            None => attach(&place, address)?,
        };
        let mut limits = Box::<rte_eth_dev_info>::default();
        // SAFETY: the port exists, and the call fills the structure.
        let code = unsafe { dpdk_sys::rte_eth_dev_info_get(port_id, &mut *limits) };
        Error::check(code, &place, format_args!("device \"{address}\" does not say what it is"))?;
        vlan::narrow(&mut limits);
        for slave in address.slaves() {
            bond::narrow(&mut limits, &place, slave)?;
        }
        // SAFETY: a driver's name is a static string.
        let driver = unsafe { text(limits.driver_name) };
        if !opened(|ports| ports.insert(port_id)) {
            return Err(Error::new(&place, format!("device \"{address}\" is another port's already")));
        }
        Ok(Device {
            place,
            name: name.to_owned(),
            address: address.clone(),
            port_id,
            limits,
            driver,
            configured: None,
            started: false,
            every_frame: false,
            rss_key: Vec::new(),
            spread: Spread::OneQueue,
            vlans: Vec::new(),
            vlan: VlanOffload::default(),
            refused: Arc::default(),
            alive: eal.alive.clone(),
        })
    }

    /// The queues it should have for so many workers.
    pub fn queues(&self, workers: usize) -> Queues {
        let (mut rx, mut tx) = (DESCRIPTORS, DESCRIPTORS);
        // SAFETY: the port exists; both numbers are in and out. A device without limits leaves them as they are.
        unsafe { dpdk_sys::rte_eth_dev_adjust_nb_rx_tx_desc(self.port_id, &mut rx, &mut tx) };
        let devices = self.address.slaves().count().max(1) as u16;
        Queues { devices, ..Queues::choose(&self.limits, &self.driver, workers as u16, (rx, tx)) }
    }

    /// The key to hash with; before it is configured.
    pub fn hash_with(&mut self, key: &[u8; RSS_KEY_BYTES]) {
        assert!(self.configured.is_none(), "DPDK points to the key that it was configured with");
        if rss::why_not(&self.limits).is_none() {
            self.rss_key = rss::key_for(&self.limits, key);
        }
    }

    /// Frames will have the tags of these VLANs, and none where a port has none: the device does what it can of the work on them.
    /// Before it is configured.
    pub fn expect_tags(&mut self, vlans: Vec<Option<u16>>) {
        self.vlans = vlans;
        self.vlan = VlanOffload::of(&self.limits);
    }

    /// Sets up queues, which take their frames from `pool`, and the MTU. Not while it is started.
    pub fn configure(&mut self, queues: Queues, mtu: u16, pool: &Pool) -> Result<(), Error> {
        self.check_mtu(mtu, pool)?;
        let queues = self.configure_queues(queues, mtu)?;
        // SAFETY: the port exists.
        let socket = unsafe { dpdk_sys::rte_eth_dev_socket_id(self.port_id) } as u32;
        for queue in 0..queues.rx {
            let depth = queues.rx_descriptors;
            // SAFETY: the port is configured with this queue; the pool lives until DPDK is cleaned up.
            let code = unsafe {
                dpdk_sys::rte_eth_rx_queue_setup(self.port_id, queue, depth, socket, ptr::null(), pool.raw())
            };
            self.check(code, format_args!("receive queue {queue} of {depth} frames"))?;
        }
        for queue in 0..queues.tx {
            let depth = queues.tx_descriptors;
            // SAFETY: the port is configured with this queue.
            let code = unsafe { dpdk_sys::rte_eth_tx_queue_setup(self.port_id, queue, depth, socket, ptr::null()) };
            self.check(code, format_args!("transmit queue {queue} of {depth} frames"))?;
        }
        // Before the start: a tap that was moved to another namespace then refuses it.
        // SAFETY: the port is configured.
        let code = unsafe { dpdk_sys::rte_eth_dev_set_mtu(self.port_id, mtu) };
        if code != -ENOTSUP {
            self.check(code, format_args!("mtu {mtu}"))?;
        }
        self.configured = Some((queues, pool.clone()));
        Ok(())
    }

    /// With RSS, or, if the device refuses that, with one receive queue. Gives the queues it has.
    fn configure_queues(&mut self, mut queues: Queues, mtu: u16) -> Result<Queues, Error> {
        let by_kernel = queues.rx > 1 && !queues.rss;
        self.spread = if by_kernel { Spread::Kernel } else { Spread::OneQueue };
        let mut conf = rte_eth_conf::default();
        conf.rxmode.mtu = mtu.into();
        self.vlan.ask(&mut conf);
        if queues.rss {
            let mut with_rss = conf;
            with_rss.rxmode.mq_mode = dpdk_sys::RTE_ETH_MQ_RX_RSS;
            let rss_conf = &mut with_rss.rx_adv_conf.rss_conf;
            rss_conf.rss_hf = dpdk_sys::SHIM_RSS_TUPLE & self.limits.flow_type_rss_offloads;
            if !self.rss_key.is_empty() {
                (rss_conf.rss_key, rss_conf.rss_key_len) = (self.rss_key.as_mut_ptr(), self.rss_key.len() as u8);
            }
            // SAFETY: the port exists, and the call copies the configuration; the key stays until the device is closed.
            let code = unsafe { dpdk_sys::rte_eth_dev_configure(self.port_id, queues.rx, queues.tx, &with_rss) };
            if code == 0 {
                let why = rss::why_not(&self.limits).unwrap_or_else(|| "its table was not written".into());
                self.spread = Spread::Other(why);
                return Ok(queues);
            }
            self.spread = Spread::Refused(words(code));
            (queues.rx, queues.rss) = (1, false);
        }
        // SAFETY: the port exists, and the call copies the configuration.
        let code = unsafe { dpdk_sys::rte_eth_dev_configure(self.port_id, queues.rx, queues.tx, &conf) };
        self.check(code, format_args!("{} receive and {} transmit queues, mtu {mtu}", queues.rx, queues.tx))?;
        Ok(queues)
    }

    /// Entries of the table that can agree with owners; none, if it cannot. After it is configured.
    pub fn table_entries(&self) -> Option<usize> {
        let (queues, _) = self.configured.as_ref()?;
        (queues.rss && !self.rss_key.is_empty()).then_some(self.limits.reta_size.into())
    }

    /// Has the director's hash bring frames to queues: `table` gives each entry's, for so many entries and queues. After it is
    /// started. A device that refuses is left as it is.
    pub fn spread_by(&mut self, table: impl FnOnce(usize, usize) -> Vec<u16>) {
        let (Some(entries), Some((queues, _))) = (self.table_entries(), &self.configured) else { return };
        let table = table(entries, queues.rx.into());
        if rss::has_other_key(self.port_id, &self.rss_key) {
            rss::write_key(self.port_id, &mut self.rss_key, self.limits.flow_type_rss_offloads);
        }
        self.spread = match rss::write_table(self.port_id, &table) {
            0 if rss::has_other_key(self.port_id, &self.rss_key) => {
                Spread::Other("it does not hash with the director's key".into())
            }
            0 => Spread::Tuple { kinds: rss::kinds(self.limits.flow_type_rss_offloads), entries },
            code => Spread::Other(format!("it refused a table of {entries} entries: {}", words(code))),
        };
    }

    /// Starts it and makes each worker's view of it: worker i owns receive and transmit queue i, if there are so many.
    pub fn start(&mut self, workers: usize) -> Result<Vec<DpdkPort>, Error> {
        let Some((queues, pool)) = &self.configured else {
            return Err(Error::new(&self.place, "cannot start before it is configured"));
        };
        if self.started {
            return Err(Error::new(&self.place, "is started already"));
        }
        // SAFETY: the port is configured, all its queues are set up.
        self.check(unsafe { dpdk_sys::rte_eth_dev_start(self.port_id) }, "start")?;
        let queue = |worker: usize, count: u16| (worker < count.into()).then_some(worker as u16);
        let ports = (0..workers).map(|worker| DpdkPort {
            port_id: self.port_id,
            rx_queue: queue(worker, queues.rx),
            tx_queue: queue(worker, queues.tx),
            pool: pool.clone(),
            vlan: self.vlan,
            bond: self.address.is_bond(),
            refused: self.refused.clone(),
        });
        let ports = ports.collect();
        self.started = true;
        self.vlan.let_in(self.port_id, &self.place, &self.vlans)?;
        self.every_frame = self.receive_multicast();
        Ok(ports)
    }

    /// Neighbour discovery comes by multicast. Devices that cannot be told so receive every frame, if they can be told that;
    /// those that can be told neither receive every frame anyway. Returns whether it is every frame.
    fn receive_multicast(&self) -> bool {
        // SAFETY: the port is started.
        unsafe {
            dpdk_sys::rte_eth_allmulticast_enable(self.port_id) != 0 && {
                dpdk_sys::rte_eth_promiscuous_enable(self.port_id);
                true
            }
        }
    }

    /// Stops it. Refuses while a worker holds one of its queues.
    pub fn stop(&mut self) -> Result<(), Error> {
        if !self.started {
            return Ok(());
        }
        let holders = Arc::strong_count(&self.refused) - 1;
        if holders != 0 {
            return Err(Error::new(&self.place, format!("{holders} workers still use its queues")));
        }
        // SAFETY: the port is started and nobody is in a burst, for all views of it are gone.
        self.check(unsafe { dpdk_sys::rte_eth_dev_stop(self.port_id) }, "stop")?;
        self.started = false;
        Ok(())
    }

    /// What it is and how it is set up, for the start-up plan and `uvs show ports`.
    pub fn info(&self) -> PortInfo {
        let mut mac = rte_ether_addr::default();
        let mut mtu = 0;
        // SAFETY: the port exists; both calls fill what they are given, or leave it.
        unsafe {
            dpdk_sys::rte_eth_macaddr_get(self.port_id, &mut mac);
            dpdk_sys::rte_eth_dev_get_mtu(self.port_id, &mut mtu);
        }
        // SAFETY: the port exists.
        let socket = unsafe { dpdk_sys::rte_eth_dev_socket_id(self.port_id) };
        PortInfo {
            name: self.name.clone(),
            device: self.address.to_string(),
            driver: self.driver.clone(),
            port_id: self.port_id,
            mac: mac.addr_bytes,
            mtu,
            mtu_max: self.mtu_max(),
            link: self.link(),
            queues: self.configured.as_ref().map(|(queues, _)| *queues),
            spread: self.spread.clone(),
            rx_queues_max: self.limits.max_rx_queues,
            tx_queues_max: self.limits.max_tx_queues,
            every_frame: self.every_frame,
            sends_checksums: self.limits.tx_offload_capa & dpdk_sys::SHIM_TX_CHECKSUMS == dpdk_sys::SHIM_TX_CHECKSUMS,
            tagged: !self.vlans.is_empty(),
            vlan: self.vlan,
            numa_node: u32::try_from(socket).ok(),
            sends_by: backup::sender_name(self.port_id),
            kernel_name: PortInfo::kernel_name(self.limits.if_index),
        }
    }

    /// The link, now. Does not wait for it to come up.
    pub fn link(&self) -> Link {
        if self.driver == "net_tap" {
            return Link::Unknown;
        }
        let mut link = rte_eth_link::default();
        // SAFETY: the port exists, and the call fills the structure.
        let code = unsafe { dpdk_sys::rte_eth_link_get_nowait(self.port_id, &mut link) };
        match (code, link.link_status()) {
            (0, 1) => Link::Up { speed_mbps: (link.link_speed != u32::MAX).then_some(link.link_speed) },
            (0, _) => Link::Down,
            _ => Link::Unknown,
        }
    }

    /// The device's counters since it was started.
    pub fn stats(&self) -> PortStats {
        let mut stats = rte_eth_stats::default();
        // SAFETY: the port exists, and the call fills the structure; a device without counters leaves zeros.
        unsafe { dpdk_sys::rte_eth_stats_get(self.port_id, &mut stats) };
        PortStats::new(&stats, &self.refused)
    }

    fn check_mtu(&self, mtu: u16, pool: &Pool) -> Result<(), Error> {
        let (least, most) = (self.limits.min_mtu, self.mtu_max());
        if mtu < least || mtu > most {
            let device = &self.address;
            return Err(Error::new(&self.place, format!("mtu {mtu}: device \"{device}\" takes {least} to {most}")));
        }
        let (frame, room) = (u32::from(mtu) + FRAME_OVER_MTU, pool.frame_bytes_max());
        if frame > room {
            let most = room - FRAME_OVER_MTU;
            let found = format!("mtu {mtu}: a frame of {frame} bytes, but a buffer holds {room}; at most {most} fits");
            return Err(Error::new(&self.place, found));
        }
        Ok(())
    }

    /// The largest MTU it takes.
    pub fn mtu_max(&self) -> u16 {
        let limits = &self.limits;
        let by_frame = limits.max_rx_pktlen.saturating_sub(FRAME_OVER_MTU).min(u16::MAX.into()) as u16;
        if limits.max_mtu == u16::MAX { by_frame } else { limits.max_mtu }
    }

    fn check(&self, code: i32, tried: impl std::fmt::Display) -> Result<(), Error> {
        Error::check(code, &self.place, format_args!("device \"{}\" refused: {tried}", self.address))
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if self.stop().is_err() {
            // A worker polls it, or it will not stop: then it runs on, and so does DPDK's memory.
            mem::forget(self.alive.clone());
            return;
        }
        // SAFETY: the port is stopped, and nobody has a view of it. An error leaves it closed as far as it goes.
        unsafe { dpdk_sys::rte_eth_dev_close(self.port_id) };
        if self.address.bus == Bus::Virtual {
            let name = CString::new(self.address.name.as_str()).expect("an address has no zero byte");
            // So that it can be opened again, with other arguments.
            // SAFETY: name is a string, and the device's port is closed.
            unsafe { dpdk_sys::rte_vdev_uninit(name.as_ptr()) };
        }
        opened(|ports| ports.remove(&self.port_id));
    }
}

/// Looks at, or changes, which devices are opened.
fn opened<T>(look: impl FnOnce(&mut BTreeSet<u16>) -> T) -> T {
    look(&mut OPENED.lock().unwrap_or_else(PoisonError::into_inner))
}

pub(super) fn find(address: &DeviceAddress) -> Option<u16> {
    let name = CString::new(address.name.as_str()).expect("an address has no zero byte");
    let mut port_id = 0;
    // SAFETY: name is a string; the call writes the number if it finds the port.
    let code = unsafe { dpdk_sys::rte_eth_dev_get_port_by_name(name.as_ptr(), &mut port_id) };
    (code == 0).then_some(port_id)
}

/// Makes a virtual device; says why a PCI device is absent, for those were looked for when DPDK started.
fn attach(place: &str, address: &DeviceAddress) -> Result<u16, Error> {
    let absent = |why: &str| Error::new(place, format!("device \"{address}\": {why}"));
    if address.bus == Bus::Pci {
        return Err(absent(&pci::why_absent(&address.name)));
    }
    let line = CString::new(address.to_string()).map_err(|_| absent("an argument contains a zero byte"))?;
    // SAFETY: line is a string, which the call copies.
    match unsafe { dpdk_sys::rte_dev_probe(line.as_ptr()) } {
        0 => find(address).ok_or_else(|| absent("its driver made no port of this name")),
        code if code == -ENODEV || code == -EFAULT => Err(absent(
            "no DPDK driver makes such a device; its name begins with its driver's: net_tap, net_af_packet, net_pcap, …",
        )),
        _ if address.name.starts_with("net_tap") => Err(absent(
            "its driver refused it: a tap needs /dev/net/tun, CAP_NET_ADMIN, and an interface name of at most 15 characters that is free",
        )),
        // Not EPERM: drivers say -1 for anything.
        -1 => Err(absent("its driver refused it; what DPDK printed above may say why")),
        code => Err(absent(&format!("its driver refused it: {}; what DPDK printed above may say why", words(code)))),
    }
}
