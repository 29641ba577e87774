//! Longest prefix match. One hash table per prefix length that occurs, longest first: a director has few lengths, and one code
//! serves both families because a key is the prefix in the high bits of a u128.

use hashbrown::HashMap;
use ipnet::IpNet;
use std::net::IpAddr;

/// A value per prefix of either family.
#[derive(Clone, Debug)]
pub(super) struct Prefixes<T> {
    v4: Lengths<T>,
    v6: Lengths<T>,
}

/// Longest first; the key is masked to the length.
type Lengths<T> = Vec<(u8, HashMap<u128, T>)>;

impl<T> Prefixes<T> {
    pub(super) fn new() -> Prefixes<T> {
        Prefixes { v4: Vec::new(), v6: Vec::new() }
    }

    /// Adds a prefix (host bits are ignored). False, and nothing changed, if it is there already: the first one stays.
    pub(super) fn insert(&mut self, prefix: IpNet, value: T) -> bool {
        let length = prefix.prefix_len();
        let lengths = if prefix.addr().is_ipv4() { &mut self.v4 } else { &mut self.v6 };
        let place = lengths.partition_point(|(longer, _)| *longer > length);
        if lengths.get(place).is_none_or(|(found, _)| *found != length) {
            lengths.insert(place, (length, HashMap::new()));
        }
        lengths[place].1.try_insert(masked(high_bits(prefix.addr()), length), value).is_ok()
    }

    /// The value of the longest prefix that holds `address`.
    pub(super) fn get(&self, address: IpAddr) -> Option<&T> {
        let key = high_bits(address);
        let lengths = if address.is_ipv4() { &self.v4 } else { &self.v6 };
        lengths.iter().find_map(|(length, values)| values.get(&masked(key, *length)))
    }
}

fn high_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()) << 96,
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn masked(key: u128, length: u8) -> u128 {
    // A shift by 128 (length 0) is out of range, and then nothing of the key counts.
    key & u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    /// Addresses that share prefixes of many lengths: few set bits, all of them near the front or the end.
    fn address() -> impl Strategy<Value = IpAddr> {
        let bits = prop_oneof![any::<u32>().prop_map(|bits| bits & 0xe000_0007), any::<u32>()];
        (bits, any::<bool>()).prop_map(|(bits, v4)| match v4 {
            true => IpAddr::V4(Ipv4Addr::from(bits)),
            false => IpAddr::V6(Ipv6Addr::from((u128::from(bits >> 16) << 112) | u128::from(bits & 0xffff))),
        })
    }

    fn prefix() -> impl Strategy<Value = IpNet> {
        (address(), 0..=128u8).prop_map(|(address, length)| {
            IpNet::new(address, if address.is_ipv4() { length % 33 } else { length }).unwrap()
        })
    }

    proptest! {
        #[test]
        fn agrees_with_a_walk_over_all_prefixes(
            prefixes in proptest::collection::vec(prefix(), 0..40),
            asked in proptest::collection::vec(address(), 1..40),
        ) {
            let mut table = Prefixes::new();
            let mut model: Vec<(IpNet, usize)> = Vec::new();
            for (value, prefix) in prefixes.iter().enumerate() {
                let new = model.iter().all(|(known, _)| *known != prefix.trunc());
                prop_assert_eq!(table.insert(*prefix, value), new);
                if new {
                    model.push((prefix.trunc(), value));
                }
            }
            for address in asked.into_iter().chain(prefixes.iter().map(IpNet::addr)) {
                let holding = model.iter().filter(|(prefix, _)| prefix.contains(&address));
                let expected = holding.max_by_key(|(prefix, _)| prefix.prefix_len()).map(|(_, value)| value);
                prop_assert_eq!(table.get(address), expected, "{}", address);
            }
        }
    }
}
