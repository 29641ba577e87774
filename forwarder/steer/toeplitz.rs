//! The hash of NICs (RSS), computed in software: Toeplitz over source address, destination address, source port, destination
//! port, as they stand in the headers. Microsoft, "RSS hashing types"; the tests have its verification vectors.
//!
//! ```text
//!  input bit i set  ⇒  hash ^= the 32 bits of the key from bit i on        input: 12 bytes (IPv4) or 36 (IPv6)
//! ```
//!
//! A table per half byte of input: 4.6 KB, which leaves room in the first-level cache; one per byte would fill it.

use conntrack::Key;

/// Bytes of a key: the longest input and the 32 bits of the hash.
pub const RSS_KEY_BYTES: usize = 40;
/// Half bytes of the longest input.
const NIBBLES: usize = 2 * (RSS_KEY_BYTES - 4);

/// The hash under one key.
pub struct Toeplitz {
    key: [u8; RSS_KEY_BYTES],
    /// What each value of each half byte of input adds.
    parts: [[u32; 16]; NIBBLES],
}

impl Toeplitz {
    /// Builds the tables.
    pub fn new(key: [u8; RSS_KEY_BYTES]) -> Self {
        let parts = std::array::from_fn(|nibble| std::array::from_fn(|value| part(&key, nibble * 4, value)));
        Self { key, parts }
    }

    /// The key, as a NIC is given it.
    pub fn key(&self) -> &[u8; RSS_KEY_BYTES] {
        &self.key
    }

    /// The hash of a packet's addresses and ports.
    #[inline]
    pub fn hash(&self, key: &Key) -> u32 {
        let addresses = key.src_bytes().len();
        self.at(0, key.src_bytes())
            ^ self.at(addresses, key.dst_bytes())
            ^ self.at(2 * addresses, &key.sport().to_be_bytes())
            ^ self.at(2 * addresses + 2, &key.dport().to_be_bytes())
    }

    /// Do a client's 65 536 ports reach every owner alike, if nothing else differs? One key in some hundred has too many
    /// equal windows for that.
    pub fn spreads_ports(&self) -> bool {
        // Source ports start at byte 8 (IPv4) and 32 (IPv6). Sums of 16 windows are all 256, or half of them, or fewer.
        [8, 32].into_iter().all(|at| {
            let low = (at * 8..at * 8 + 16).map(|bit| window(&self.key, bit) % 256);
            low.fold(vec![0], |mut sums, low| {
                if !sums.contains(&low) {
                    sums.extend_from_within(..);
                    let half = sums.len() / 2;
                    sums[half..].iter_mut().for_each(|sum| *sum ^= low);
                }
                sums
            })
            .len()
                == 256
        })
    }

    /// What these bytes of input add, which begin at byte `from`.
    #[inline]
    fn at(&self, from: usize, bytes: &[u8]) -> u32 {
        let parts = &self.parts[2 * from..][..2 * bytes.len()];
        parts
            .chunks_exact(2)
            .zip(bytes)
            .fold(0, |hash, (pair, &byte)| hash ^ pair[0][usize::from(byte >> 4)] ^ pair[1][usize::from(byte & 15)])
    }
}

/// What a half byte that begins at input bit `from` adds.
fn part(key: &[u8; RSS_KEY_BYTES], from: usize, value: usize) -> u32 {
    (0..4).filter(|bit| value & (8 >> bit) != 0).fold(0, |hash, bit| hash ^ window(key, from + bit))
}

/// The 32 bits of the key from this bit on.
fn window(key: &[u8; RSS_KEY_BYTES], bit: usize) -> u32 {
    let byte = |n: usize| u64::from(key.get(bit / 8 + n).copied().unwrap_or(0));
    let forty = (0..5).fold(0, |bits, n| bits << 8 | byte(n));
    (forty >> (8 - bit % 8)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    /// The key of Microsoft's verification suite.
    const KEY: [u8; RSS_KEY_BYTES] = [
        0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca,
        0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b,
        0xbe, 0xac, 0x01, 0xfa,
    ];

    /// Microsoft, "Verifying the RSS hash calculation": source, destination, hash with TCP ports.
    #[test]
    fn the_published_vectors() {
        let rows = [
            ("66.9.149.187:2794", "161.142.100.80:1766", 0x51cc_c178),
            ("199.92.111.2:14230", "65.69.140.83:4739", 0xc626_b0ea),
            ("24.19.198.95:12898", "12.22.207.184:38024", 0x5c2b_394a),
            ("38.27.205.30:48228", "209.142.163.6:2217", 0xafc7_327f),
            ("153.39.163.191:44251", "202.188.127.2:1303", 0x10e8_28a2),
            ("[3ffe:2501:200:1fff::7]:2794", "[3ffe:2501:200:3::1]:1766", 0x4020_7d3d),
            ("[3ffe:501:8::260:97ff:fe40:efab]:14230", "[ff02::1]:4739", 0xdde5_1bbf),
            ("[3ffe:1900:4545:3:200:f8ff:fe21:67cf]:44251", "[fe80::200:f8ff:fe21:67cf]:38024", 0x02d1_feef),
        ];
        let toeplitz = Toeplitz::new(KEY);
        for (from, to, expected) in rows {
            let [from, to]: [SocketAddr; 2] = [from, to].map(|end| end.parse().unwrap());
            let key = Key::of((from.ip(), from.port()), (to.ip(), to.port()), 6).unwrap();
            assert_eq!(toeplitz.hash(&key), expected, "{from} > {to}");
        }
    }
}
