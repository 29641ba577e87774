//! How tunnel packets reach each real server: what they travel in, and the path MTU that routers on the way told of. Outside
//! the snapshots, by server id, as the live counts are: an edit of the tunnel concerns conns that are there already, and a
//! worker that hears of a narrow path tells the others. One word per server, so both are read at once.
//!
//! ```text
//! 63            36 35            20 19     16 15        0
//! │ until (s)     │ path MTU        │ kind    │ GUE port  │      path MTU 0: as the port's
//! ```

use super::ServerId;
use crate::pipeline::Now;
use crate::rewrite::tun::{GueChecksum, Tunnel};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Seconds that a path MTU is believed (the kernel's route/mtu_expires).
const PATH_MTU_S: u64 = 600;
/// No router may make the director believe that a path takes less (the kernel's route/min_pmtu).
const PATH_MTU_MIN: u16 = 552;

const KIND_AT: u32 = 16;
const MTU_AT: u32 = 20;
const UNTIL_AT: u32 = 36;
const SETTINGS: u64 = (1 << MTU_AT) - 1;

const KINDS: [Tunnel; 6] = [
    Tunnel::Ipip,
    Tunnel::Gre { csum: false },
    Tunnel::Gre { csum: true },
    Tunnel::Gue { port: 0, csum: GueChecksum::None },
    Tunnel::Gue { port: 0, csum: GueChecksum::Full },
    Tunnel::Gue { port: 0, csum: GueChecksum::Remote },
];

/// The tunnels of all real servers.
pub struct Tunnels(Box<[AtomicU64]>);

impl Tunnels {
    /// Room for that many real servers; IP in IP.
    pub fn new(servers_max: usize) -> Self {
        Self((0..servers_max).map(|_| AtomicU64::new(0)).collect())
    }

    /// Control: what packets to the server travel in. What was known of the path is forgotten if that changes.
    pub fn set(&self, id: ServerId, tunnel: Tunnel) {
        let word = &self.0[id.0 as usize];
        let settings = pack(tunnel);
        if word.load(Relaxed) & SETTINGS != settings {
            word.store(settings, Relaxed);
        }
    }

    /// What packets to the server travel in, and how long they may be on the way, the outer header included.
    #[inline]
    pub fn get(&self, id: ServerId, port_mtu: u16, now: Now) -> (Tunnel, u16) {
        let word = self.0[id.0 as usize].load(Relaxed);
        (unpack(word), believed(word, now).map_or(port_mtu, |path_mtu| path_mtu.min(port_mtu)))
    }

    /// A router on the way takes no longer packets than this. A longer path than one that is believed is none (recorded).
    /// True: nothing was believed until now.
    pub fn learn_path_mtu(&self, id: ServerId, path_mtu: u16, now: Now) -> bool {
        let word = &self.0[id.0 as usize];
        let until = now.ms / 1000 + PATH_MTU_S;
        let path_mtu = path_mtu.max(PATH_MTU_MIN);
        // Control may set the tunnel meanwhile; then this is about a path that nobody takes any more.
        let before = word.fetch_update(Relaxed, Relaxed, |word| {
            let path_mtu = u64::from(believed(word, now).map_or(path_mtu, |known| known.min(path_mtu)));
            Some(word & SETTINGS | path_mtu << MTU_AT | until << UNTIL_AT)
        });
        before.is_ok_and(|before| believed(before, now).is_none())
    }
}

/// The path MTU that was told of and is not too old.
#[inline]
fn believed(word: u64, now: Now) -> Option<u16> {
    let path_mtu = (word >> MTU_AT) as u16;
    (path_mtu != 0 && now.ms / 1000 < word >> UNTIL_AT).then_some(path_mtu)
}

fn pack(tunnel: Tunnel) -> u64 {
    let (kind, port) = match tunnel {
        Tunnel::Gue { port, csum } => (Tunnel::Gue { port: 0, csum }, port),
        tunnel => (tunnel, 0),
    };
    let number = KINDS.iter().position(|of| *of == kind).unwrap_or_default();
    (number as u64) << KIND_AT | u64::from(port)
}

#[inline]
fn unpack(word: u64) -> Tunnel {
    // Nearly all tunnels are this.
    if word & SETTINGS == 0 {
        return Tunnel::Ipip;
    }
    match KINDS[(word >> KIND_AT & 15) as usize % KINDS.len()] {
        Tunnel::Gue { csum, .. } => Tunnel::Gue { port: word as u16, csum },
        tunnel => tunnel,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tunnel_comes_back() {
        let (tunnels, now) = (Tunnels::new(2), Now::from_ms(5_000));
        for kind in KINDS {
            let tunnel = match kind {
                Tunnel::Gue { csum, .. } => Tunnel::Gue { port: 0xffff, csum },
                kind => kind,
            };
            tunnels.set(ServerId(1), tunnel);
            tunnels.learn_path_mtu(ServerId(1), 1400, now);
            assert_eq!(tunnels.get(ServerId(1), 1500, now), (tunnel, 1400));
            assert_eq!(tunnels.get(ServerId(0), 1500, now), (Tunnel::Ipip, 1500));
        }
    }

    #[test]
    fn a_path_mtu_is_believed_for_ten_minutes() {
        let (tunnels, id) = (Tunnels::new(1), ServerId(0));
        let mtu = |ms| tunnels.get(id, 1500, Now::from_ms(ms)).1;
        tunnels.learn_path_mtu(id, 1400, Now::from_ms(7_000));
        assert_eq!((mtu(7_000), mtu(606_000), mtu(607_000)), (1400, 1400, 1500));
        tunnels.learn_path_mtu(id, 100, Now::from_ms(7_000));
        assert_eq!(mtu(7_000), PATH_MTU_MIN, "a forged one does not stop traffic");
        tunnels.learn_path_mtu(id, 9000, Now::from_ms(7_000));
        assert_eq!(mtu(7_000), PATH_MTU_MIN, "a longer one raises nothing");
        tunnels.learn_path_mtu(id, 9000, Now::from_ms(607_000));
        assert_eq!(mtu(607_000), 1500, "the port's is the most");
        tunnels.set(id, Tunnel::Gre { csum: true });
        assert_eq!(tunnels.get(id, 1500, Now::from_ms(7_000)), (Tunnel::Gre { csum: true }, 1500), "another tunnel");
    }
}
