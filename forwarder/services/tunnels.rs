//! How tunnel packets reach each real server: what they travel in, and the path MTU that routers on the way told of. Outside
//! the snapshots, by server id, as the live counts are: an edit of the tunnel concerns conns that are there already, and a
//! worker that hears of a narrow path tells the others. One word per server, so both are read at once.
//!
//! ```text
//! 63          37 36     35 34            19 18     16 15        0
//! │ until (s)   │ route   │ path MTU       │ kind    │ GUE port  │      path MTU 0: as the port's
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
const MTU_AT: u32 = 19;
const ROUTE_AT: u32 = 35;
const UNTIL_AT: u32 = 37;
const SETTINGS: u64 = (1 << MTU_AT) - 1;
const ROUTE: u64 = 3 << ROUTE_AT;

/// No packet went to the server since it was added or edited.
const NO_ROUTE: u64 = 0;
/// The latest packet went before anything was known of its path.
const OLD_ROUTE: u64 = 1 << ROUTE_AT;
/// The latest packet went by what is known.
const ROUTE_IN_USE: u64 = 2 << ROUTE_AT;

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
        let before = word.load(Relaxed);
        word.store(if before & SETTINGS == settings { before & !ROUTE } else { settings }, Relaxed);
    }

    /// What a packet to the server travels in, and how long it may be on the way, the outer header included.
    #[inline]
    pub fn for_packet(&self, id: ServerId, port_mtu: u16, now: Now) -> (Tunnel, u16) {
        let word = self.0[id.0 as usize].load(Relaxed);
        if word & ROUTE != ROUTE_IN_USE {
            self.use_route(id);
        }
        (unpack(word), mtu(word, port_mtu, now))
    }

    #[cold]
    fn use_route(&self, id: ServerId) {
        // What control sets meanwhile is not lost.
        let _ = self.0[id.0 as usize].fetch_update(Relaxed, Relaxed, |word| Some(word & !ROUTE | ROUTE_IN_USE));
    }

    /// A router on the way takes no longer packets than this. A longer path than one that is believed is none (recorded). Gives
    /// what the packets travel in, and the MTU that a client is told: the router's word if no packet went since the server was
    /// set, the port's if none went since something is known of the path, else what is known (recorded).
    pub fn learn_path_mtu(&self, id: ServerId, path_mtu: u16, port_mtu: u16, now: Now) -> (Tunnel, u16) {
        let word = &self.0[id.0 as usize];
        let until = now.ms / 1000 + PATH_MTU_S;
        let path_mtu = path_mtu.max(PATH_MTU_MIN);
        // Control may set the tunnel meanwhile; then this is about a path that nobody takes any more.
        let learned = |word: u64| {
            let known = believed(word, now);
            let route = if known.is_none() && word & ROUTE == ROUTE_IN_USE { OLD_ROUTE } else { word & ROUTE };
            let path_mtu = u64::from(known.map_or(path_mtu, |known| known.min(path_mtu)));
            word & SETTINGS | route | path_mtu << MTU_AT | until << UNTIL_AT
        };
        let before = word.fetch_update(Relaxed, Relaxed, |word| Some(learned(word))).unwrap_or_else(|before| before);
        let told = match learned(before) & ROUTE {
            NO_ROUTE => path_mtu,
            OLD_ROUTE => port_mtu,
            _ => mtu(learned(before), port_mtu, now),
        };
        (unpack(before), told)
    }
}

/// How long packets may be on the way.
#[inline]
fn mtu(word: u64, port_mtu: u16, now: Now) -> u16 {
    believed(word, now).map_or(port_mtu, |path_mtu| path_mtu.min(port_mtu))
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
    match KINDS[(word >> KIND_AT & 7) as usize % KINDS.len()] {
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
            tunnels.learn_path_mtu(ServerId(1), 1400, 1500, now);
            assert_eq!(tunnels.for_packet(ServerId(1), 1500, now), (tunnel, 1400));
            assert_eq!(tunnels.for_packet(ServerId(0), 1500, now), (Tunnel::Ipip, 1500));
        }
    }

    #[test]
    fn a_path_mtu_is_believed_for_ten_minutes() {
        let (tunnels, id) = (Tunnels::new(1), ServerId(0));
        let mtu = |ms| tunnels.for_packet(id, 1500, Now::from_ms(ms)).1;
        let learn = |path_mtu, ms| tunnels.learn_path_mtu(id, path_mtu, 1500, Now::from_ms(ms));
        learn(1400, 7_000);
        assert_eq!((mtu(7_000), mtu(606_000), mtu(607_000)), (1400, 1400, 1500));
        learn(100, 7_000);
        assert_eq!(mtu(7_000), PATH_MTU_MIN, "a forged one does not stop traffic");
        learn(9000, 7_000);
        assert_eq!(mtu(7_000), PATH_MTU_MIN, "a longer one raises nothing");
        learn(9000, 607_000);
        assert_eq!(mtu(607_000), 1500, "the port's is the most");
        tunnels.set(id, Tunnel::Gre { csum: true });
        let now = Now::from_ms(7_000);
        assert_eq!(tunnels.for_packet(id, 1500, now), (Tunnel::Gre { csum: true }, 1500), "another tunnel");
    }

    #[test]
    fn a_client_is_told_what_the_kernel_tells_it() {
        let (tunnels, id, now) = (Tunnels::new(1), ServerId(0), Now::from_ms(5_000));
        let told = |path_mtu| tunnels.learn_path_mtu(id, path_mtu, 1500, now).1;
        let sends = || tunnels.for_packet(id, 1500, now).1;
        tunnels.set(id, Tunnel::Ipip);
        assert_eq!((told(1400), told(1300), told(1450)), (1400, 1300, 1450), "the router's word: nothing was sent");
        tunnels.set(id, Tunnel::Gre { csum: false });
        assert_eq!(sends(), 1500);
        assert_eq!((told(1400), told(1300)), (1500, 1500), "what the latest packet went by");
        assert_eq!((sends(), told(1350), told(1200)), (1300, 1300, 1200), "what is known");
        tunnels.set(id, Tunnel::Gre { csum: false });
        assert_eq!((told(1250), told(1100), sends()), (1250, 1100, 1100), "edited, nothing forgotten");
    }
}
