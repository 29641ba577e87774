//! The keyed hash of flow keys: 64×64→128-bit multiplies folded to 64 bits.
//!
//! An attacker chooses keys, so the hash must be keyed; a key is two words (IPv4) or five, so it must be short. FxHash is
//! faster to write and 20 to 100 times slower in a table of packed tuples, whose low bits it does not spread.

use zerocopy::transmute;

use crate::key::Key;

/// What makes a worker's hashes unlike anybody else's. Made by the caller from random bits, once per start.
#[derive(Clone, Copy, Debug)]
pub struct Seed([u64; 8]);

impl Seed {
    /// A seed of random bits.
    pub const fn new(random: [u64; 8]) -> Seed {
        Seed(random)
    }

    /// A seed whose eight words are drawn from one number: for tests and repeatable runs.
    pub const fn from_u64(number: u64) -> Seed {
        let mut words = [0; 8];
        let mut state = number;
        let mut i = 0;
        while i < words.len() {
            // SplitMix64 (Steele, Lea, Flood 2014): distinct words even for small numbers.
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            words[i] = mixed ^ (mixed >> 31);
            i += 1;
        }
        Seed(words)
    }

    /// The hash of a key. All 64 bits are good: the index takes its bucket from the top and its tag from the bottom.
    #[inline(always)]
    pub fn hash(&self, key: &Key) -> u64 {
        let words: [u64; 5] = transmute!(*key);
        let s = &self.0;
        let addresses = if key.is_v6() {
            fold(words[0] ^ s[0], words[1] ^ s[4]) ^ fold(words[2] ^ s[5], words[3] ^ s[6])
        } else {
            words[0] ^ s[0]
        };
        fold(fold(addresses, words[4] ^ s[1]) ^ s[2], s[3])
    }

    /// The hash of one endpoint: what decides which worker owns a flow.
    #[inline(always)]
    pub fn hash_endpoint(&self, address: &[u8], port: u16) -> u64 {
        let s = &self.0;
        let word = |i: usize| u64::from_ne_bytes(address[i..i + 8].try_into().expect("eight bytes"));
        let folded = match address.len() {
            4 => u64::from(u32::from_ne_bytes(address.try_into().expect("four bytes"))) ^ s[5],
            _ => fold(word(0) ^ s[4], word(8) ^ s[5]),
        };
        fold(fold(folded, u64::from(port) ^ s[6]) ^ s[7], s[3])
    }
}

#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let wide = u128::from(a) * u128::from(b);
    wide as u64 ^ (wide >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sequential clients and ports, the shape of real traffic, must fill buckets and tags as random numbers would.
    #[test]
    fn sequential_keys_spread() {
        let seed = Seed::from_u64(7);
        let v4 = |i: u32| Key::v4((0x0a00_0000 + i / 64).to_be_bytes(), [10, 99, 0, 1], (1024 + i % 64) as u16, 80, 6);
        let v6 = |i: u32| {
            let mut src = [0x20; 16];
            src[12..].copy_from_slice(&(i / 64).to_be_bytes());
            Key::v6(src, [0xfd; 16], (1024 + i % 64) as u16, 80, 6)
        };
        for make in [&v4 as &dyn Fn(u32) -> Key, &v6] {
            let (mut by_top, mut by_bottom) = ([0u32; 256], [0u32; 256]);
            for i in 0..65_536 {
                let hash = seed.hash(&make(i));
                by_top[(hash >> 56) as usize] += 1;
                by_bottom[(hash & 255) as usize] += 1;
            }
            // 256 on average, standard deviation 16: six of them.
            for count in by_top.iter().chain(&by_bottom) {
                assert!((160..=352).contains(count), "{count} of 65536 keys in one of 256 parts");
            }
        }
    }

    #[test]
    fn every_field_and_the_seed_matter() {
        let base = Key::v4([10, 0, 0, 1], [10, 0, 0, 2], 1, 2, 6);
        let others = [
            Key::v4([10, 0, 0, 3], [10, 0, 0, 2], 1, 2, 6),
            Key::v4([10, 0, 0, 1], [10, 0, 0, 3], 1, 2, 6),
            Key::v4([10, 0, 0, 1], [10, 0, 0, 2], 3, 2, 6),
            Key::v4([10, 0, 0, 1], [10, 0, 0, 2], 1, 3, 6),
            Key::v4([10, 0, 0, 1], [10, 0, 0, 2], 1, 2, 17),
        ];
        let seed = Seed::from_u64(1);
        for other in others {
            assert_ne!(seed.hash(&base), seed.hash(&other), "{other:?}");
        }
        assert_ne!(seed.hash(&base), Seed::from_u64(2).hash(&base));
        assert_ne!(seed.hash_endpoint(&[10, 0, 0, 1], 1), seed.hash_endpoint(&[10, 0, 0, 1], 2));
        assert_ne!(seed.hash_endpoint(&[1; 16], 1), seed.hash_endpoint(&[2; 16], 1));
    }
}
