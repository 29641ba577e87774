//! The kernel's hashes, bit for bit: a client must reach the same server through this director and through the kernel.

use std::hash::Hasher;
use std::net::IpAddr;

use siphasher::sip::SipHasher13;

/// An address as one word: IPv4 as it is, IPv6 its four words xored.
pub fn fold(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(address) => address.to_bits(),
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            (bits >> 96) as u32 ^ (bits >> 64) as u32 ^ (bits >> 32) as u32 ^ bits as u32
        }
    }
}

/// Multiplicative hash: the upper eight bits of `word` times 2³² divided by the golden ratio, negated.
pub fn hash_8(word: u32) -> usize {
    (word.wrapping_mul(0x61C8_8647) >> 24) as usize
}

/// SipHash-1-3 of one word, the key word used twice, cut to 32 bits.
pub fn sip_32(word: u32, key: u32) -> u32 {
    let mut hasher = SipHasher13::new_with_keys(key.into(), key.into());
    hasher.write(&word.to_le_bytes());
    hasher.finish() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_of_known_words() {
        assert_eq!(fold("10.1.2.3".parse().unwrap()), 0x0a01_0203);
        assert_eq!(fold("1:2:3:4:5:6:7:8".parse().unwrap()), 0x0001_0002 ^ 0x0003_0004 ^ 0x0005_0006 ^ 0x0007_0008);
        assert_eq!(hash_8(1), 0x61);
        assert_eq!(hash_8(0x0a01_0203), 2);
        assert_eq!(sip_32(0x0a01_0203, 2_654_435_761), 0x2b29_8ba1);
        assert_eq!(sip_32(u32::MAX, 2_654_446_892), 0xf75a_0f5d);
    }
}
