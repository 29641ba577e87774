//! TTL and hop limit: one less at every router, and the director is one for every packet that it forwards, by any
//! method.
//!
//! ```text
//!  IPv4 | TTL n | protocol | checksum |  →  | TTL n-1 | protocol | checksum + 0x0100 |   RFC 1624, RFC 1812 5.3.1
//!  IPv6 | next header | hops n        |  →  | next header | hops n-1               |   RFC 8200, section 3
//! ```

use crate::wire::checksum::Delta;

/// Whether a hop would be left for the next router.
pub fn is_left(l3: &[u8]) -> bool {
    let at = if l3.first().is_some_and(|first| first >> 4 == 4) { 8 } else { 7 };
    l3.get(at).is_some_and(|hops| *hops > 1)
}

/// Takes one hop off. False, and nothing changed, if none would be left: the packet ends here with "time exceeded".
#[inline]
pub fn decrement(l3: &mut [u8]) -> bool {
    change(l3, |hops| (hops > 1).then(|| hops - 1))
}

/// Puts back the hop that `decrement` took, for a packet that is quoted as it came.
pub fn restore(l3: &mut [u8]) -> bool {
    change(l3, |hops| hops.checked_add(1))
}

#[inline(always)]
fn change(l3: &mut [u8], to: impl Fn(u8) -> Option<u8>) -> bool {
    match l3.first().map(|first| first >> 4) {
        Some(4) => {
            // TTL, protocol and checksum are one word and its neighbour.
            let word = l3.get_mut(8..12).and_then(<[u8]>::first_chunk_mut::<4>);
            let Some([ttl, protocol, high, low]) = word else { return false };
            let Some(changed) = to(*ttl) else { return false };
            let mut delta = Delta::default();
            delta.replace_word([*ttl, *protocol], [changed, *protocol]);
            *ttl = changed;
            [*high, *low] = delta.apply([*high, *low]);
            true
        }
        Some(6) => match l3.get_mut(7).map(|hops| (to(*hops), hops)) {
            Some((Some(changed), hops)) => {
                *hops = changed;
                true
            }
            _ => false,
        },
        _ => false,
    }
}
