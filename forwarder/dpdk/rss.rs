//! What brings a device's frames to its receive queues. RSS: the device hashes addresses and ports, and the low bits of the
//! hash choose an entry of a table (RETA) that names the queue. With the director's key, and with a table that agrees with
//! the owners, a frame of a service with `steer = "tuple"` comes by its owner's queue.
//!
//! Nothing here must work: a device that refuses goes on without, and frames are handed over in software. Flow rules, and
//! RSS over one end only, could save that for other services, too; what drivers make of them cannot be verified here.

use crate::steer::{RSS_KEY_BYTES, can_agree};
use dpdk_sys::{rte_eth_dev_info, rte_eth_rss_conf, rte_eth_rss_reta_entry64};
use std::ptr;

/// Entries in one group of a table, as DPDK writes it.
const GROUP: usize = 64;
/// The longest key a device may have: its length is one byte.
const KEY_BYTES_MAX: usize = u8::MAX as usize;

/// What brings a device's frames to its receive queues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spread {
    /// There is one.
    OneQueue,
    /// There is one, because the device refused RSS, in these words.
    Refused(String),
    /// The kernel, behind a tap or a packet socket.
    Kernel,
    /// A hash of the device's that is not the director's, for this reason.
    Other(String),
    /// The director's hash, for packets of these kinds, through a table of so many entries.
    Tuple {
        /// `IPv4 TCP UDP, IPv6 TCP`
        kinds: String,
        /// The table's.
        entries: usize,
    },
}

impl Spread {
    /// Why this port's frames are, or are not, at their owner at once, with so many workers and receive queues.
    pub fn in_words(&self, workers: usize, queues: u16) -> String {
        if workers == 1 {
            return "one worker owns every flow".into();
        }
        let first = "one queue, the first worker's: what others own is handed to them in software";
        let handed = "frames are handed over in software";
        match self {
            Spread::OneQueue => first.into(),
            Spread::Refused(why) => format!("{first}; the device refused RSS: {why}"),
            Spread::Kernel => format!("{queues} queues, over which the kernel spreads by a hash of its own: {handed}"),
            Spread::Other(why) => format!("{queues} queues with RSS, but {why}: {handed}"),
            Spread::Tuple { kinds, entries } => {
                let fewer = match workers.saturating_sub(queues.into()) {
                    0 => String::new(),
                    without => format!("; {without} workers have no queue of it"),
                };
                format!(
                    "{queues} queues with RSS over both ends ({kinds}), table of {entries}: no hop to services with \
                     steer = \"tuple\", other {handed}{fewer}"
                )
            }
        }
    }

    /// One word for tables; none where the device does not hash.
    pub fn word(&self) -> Option<&'static str> {
        match self {
            Spread::OneQueue | Spread::Refused(_) | Spread::Kernel => None,
            Spread::Other(_) => Some("other"),
            Spread::Tuple { .. } => Some("4-tuple"),
        }
    }
}

/// The kinds of packets that a device hashes with their ports, in words.
pub(super) fn kinds(offloads: u64) -> String {
    let families = [
        ("IPv4", [dpdk_sys::SHIM_RSS_IPV4_TCP, dpdk_sys::SHIM_RSS_IPV4_UDP, dpdk_sys::SHIM_RSS_IPV4_SCTP]),
        ("IPv6", [dpdk_sys::SHIM_RSS_IPV6_TCP, dpdk_sys::SHIM_RSS_IPV6_UDP, dpdk_sys::SHIM_RSS_IPV6_SCTP]),
    ];
    let family = |(name, bits): (&str, [u64; 3])| {
        let protocols = ["TCP", "UDP", "SCTP"].into_iter().zip(bits);
        let hashed: Vec<_> = protocols.filter(|(_, bit)| offloads & bit != 0).map(|(protocol, _)| protocol).collect();
        (!hashed.is_empty()).then(|| format!("{name} {}", hashed.join(" ")))
    };
    families.into_iter().filter_map(family).collect::<Vec<_>>().join(", ")
}

/// Why a device cannot hash as the director does, if it says so.
pub(super) fn why_not(limits: &rte_eth_dev_info) -> Option<String> {
    let key = usize::from(limits.hash_key_size);
    let entries = usize::from(limits.reta_size);
    if kinds(limits.flow_type_rss_offloads).is_empty() {
        Some("it hashes addresses only".into())
    } else if key != 0 && key < RSS_KEY_BYTES {
        Some(format!("its key has {key} bytes, not {RSS_KEY_BYTES}"))
    } else if !can_agree(entries) {
        Some(format!("its table has {entries} entries, no power of two"))
    } else {
        None
    }
}

/// The key as this device takes it. A longer one hashes nothing more of addresses and ports.
pub(super) fn key_for(limits: &rte_eth_dev_info, key: &[u8; RSS_KEY_BYTES]) -> Vec<u8> {
    let mut bytes = key.to_vec();
    bytes.resize(RSS_KEY_BYTES.max(limits.hash_key_size.into()), 0);
    bytes
}

/// Does a started device hash with another key than this one? One that does not say is believed.
pub(super) fn has_other_key(port_id: u16, key: &[u8]) -> bool {
    let mut found = [0; KEY_BYTES_MAX];
    let mut conf = rte_eth_rss_conf { rss_key: found.as_mut_ptr(), rss_key_len: key.len() as u8, rss_hf: 0 };
    // SAFETY: the port is started; the call writes the key, no longer than any device's, to where conf says.
    let code = unsafe { dpdk_sys::rte_eth_dev_rss_hash_conf_get(port_id, &mut conf) };
    // A driver that points to a key of its own did not write it.
    code == 0 && ptr::eq(conf.rss_key, found.as_ptr()) && found[..RSS_KEY_BYTES] != key[..RSS_KEY_BYTES]
}

/// Tells a started device its key: some do not heed what they are configured with. Whether it took it is seen by asking.
pub(super) fn write_key(port_id: u16, key: &mut [u8], offloads: u64) {
    let rss_hf = dpdk_sys::SHIM_RSS_TUPLE & offloads;
    let mut conf = rte_eth_rss_conf { rss_key: key.as_mut_ptr(), rss_key_len: key.len() as u8, rss_hf };
    // SAFETY: the port is started, and the key is as long as conf says.
    unsafe { dpdk_sys::rte_eth_dev_rss_hash_update(port_id, &mut conf) };
}

/// Writes a device's table: the queue of each entry. Gives DPDK's code.
pub(super) fn write_table(port_id: u16, queues: &[u16]) -> i32 {
    let group = |queues: &[u16]| {
        let mut group = rte_eth_rss_reta_entry64 { mask: u64::MAX >> (GROUP - queues.len()), ..Default::default() };
        group.reta[..queues.len()].copy_from_slice(queues);
        group
    };
    let mut groups: Vec<_> = queues.chunks(GROUP).map(group).collect();
    // SAFETY: the port is started, and there are as many groups as so many entries need.
    unsafe { dpdk_sys::rte_eth_dev_rss_reta_update(port_id, groups.as_mut_ptr(), queues.len() as u16) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_cannot_agree_says_why() {
        let tcp = dpdk_sys::SHIM_RSS_IPV4_TCP | dpdk_sys::SHIM_RSS_IPV6_TCP;
        let rows = [
            ("a usual one", tcp, 40, 128, None),
            ("a longer key", tcp, 52, 512, None),
            ("it does not say how long its key is", tcp, 0, 64, None),
            ("addresses only", 4, 40, 128, Some("it hashes addresses only")),
            ("a shorter key", tcp, 16, 128, Some("its key has 16 bytes, not 40")),
            ("no table", tcp, 40, 0, Some("its table has 0 entries, no power of two")),
            ("an odd table", tcp, 40, 100, Some("its table has 100 entries, no power of two")),
        ];
        for (what, flow_type_rss_offloads, hash_key_size, reta_size, expected) in rows {
            let limits = rte_eth_dev_info { flow_type_rss_offloads, hash_key_size, reta_size, ..Default::default() };
            assert_eq!(why_not(&limits).as_deref(), expected, "{what}");
            assert_eq!(key_for(&limits, &[7; 40]).len(), usize::from(hash_key_size).max(40), "{what}");
        }
        assert_eq!(
            kinds(tcp | dpdk_sys::SHIM_RSS_IPV4_UDP | dpdk_sys::SHIM_RSS_IPV6_SCTP),
            "IPv4 TCP UDP, IPv6 TCP SCTP"
        );
    }
}
