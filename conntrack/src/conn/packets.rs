//! How many packets of its client a conn had, as far as that is asked for: it lies in the upper half of the byte that has the method,
//! so it takes no room, and counting touches no line that the packet does not touch anyway.

use super::{Conn, Method};

/// The bits of the byte that are the method.
const METHOD: u8 = 15;
/// A packet more.
const PACKET: u8 = METHOD + 1;

impl Conn {
    /// As many packets of a client are told from more.
    pub const PACKETS_MAX: u8 = 9;

    /// How packets reach the real server.
    #[inline(always)]
    pub fn method(&self) -> Method {
        Method::of(self.method & METHOD).expect("a conn in use has a method")
    }

    /// Packets of the client so far, [`Conn::PACKETS_MAX`] of them or more.
    #[inline(always)]
    pub fn packets(&self) -> u8 {
        self.method / PACKET
    }

    /// A packet of the client passed.
    #[inline(always)]
    pub fn count_packet(&mut self) {
        if self.method < Self::PACKETS_MAX * PACKET {
            self.method += PACKET;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Key, NewConn};

    #[test]
    fn a_few_packets_are_counted() {
        let key = Key::v4([10, 0, 0, 1], [10, 99, 0, 1], 5, 53, 17);
        for method in [Method::Nat, Method::Dr, Method::Tun, Method::FullNat, Method::Local, Method::Bypass] {
            let mut new = NewConn::new(key, method, "172.16.0.2:53".parse().unwrap(), 0);
            new.local = Some("172.16.0.9:7000".parse().unwrap());
            let mut conn = new.conn();
            for packets in (0..=Conn::PACKETS_MAX).chain([Conn::PACKETS_MAX; 20]) {
                assert_eq!((conn.packets(), conn.method()), (packets, method));
                conn.count_packet();
            }
        }
    }
}
