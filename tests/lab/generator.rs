//! Millions of frames from a seed: valid ones of every kind, and what damage makes of them, with right checksums more often
//! than not so that they get far. Servers come and go, time passes, devices misbehave. Nothing panics, no frame is lost, every
//! bound holds, and in the end every count is back at zero.
//!
//! `UVS_LAB_SEED` and `UVS_LAB_FRAMES` choose another run; both are printed, so that a failure can be repeated.

use crate::hostile::{everything, valid_frames};
use crate::kit::{Lab, Left};
use crate::network::{LAN, WAN};
use crate::services::spec_of;
use fastrand::Rng;
use std::time::Instant;
use uvs::fragments::waiting::FRAGMENTS_MAX;
use uvs::services::ServiceKey;
use uvs::services::book::ServerSpec;
use uvs::wire::{checksum, ipv6, protocol};
use uvs::worker::held::HELD_MAX;

/// Frames put in before the director turns.
const CHUNK: usize = 200;
/// Frames that left and may come back, turned around.
const ECHOES: usize = 64;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}: {text:?} is no number")))
}

struct Generator {
    random: Rng,
    valid: Vec<(usize, Vec<u8>)>,
    echoes: Vec<(usize, Vec<u8>)>,
}

#[test]
fn millions_of_frames() {
    let seed = setting("UVS_LAB_SEED", 20_260_101);
    let frames = setting("UVS_LAB_FRAMES", if cfg!(debug_assertions) { 60_000 } else { 2_000_000 });
    println!("UVS_LAB_SEED={seed} UVS_LAB_FRAMES={frames}");
    let started = Instant::now();
    let mut lab = Lab::with_answer_limit(&everything(), 1_000);
    let mut generator = Generator { random: Rng::with_seed(seed), valid: valid_frames(), echoes: Vec::new() };
    let before = lab.control.counts(0).received;
    let mut put = 0;
    while put < frames {
        for _ in 0..CHUNK {
            let (port, frame) = generator.frame();
            lab.cables[port].put(&frame);
        }
        put += CHUNK as u64;
        turn(&mut lab, &mut generator);
        generator.disturb(&mut lab);
    }
    lab.cables.iter().for_each(|cable| cable.set_tx_room(usize::MAX));
    lab.settle();
    lab.check_live();
    let counts = lab.control.counts(0);
    println!(
        "{} frames in {:.1} s: {} conns made, {} sent, {} dropped",
        counts.received - before,
        started.elapsed().as_secs_f64(),
        counts.conns_made,
        counts.sent,
        counts.dropped_total()
    );
    assert!(counts.received - before >= frames);
    // A generator that reaches nothing proves nothing.
    assert!(counts.conns_made > frames / 200 && counts.sent > frames / 20, "{counts:?}");
    assert!(counts.dropped.iter().filter(|count| **count > 0).count() > 12, "{:?}", counts.dropped);
    // Silence: everything ends.
    lab.advance_in_steps(300_000, 1_000);
    let shared = lab.control.shared();
    assert_eq!((lab.workers[0].shard().table.len(), shared.templates.len()), (0, 0));
    assert_eq!(lab.control.counts(0).held, 0);
}

/// Lets the director work off what was put in; keeps some of what left.
fn turn(lab: &mut Lab, generator: &mut Generator) {
    let now = lab.now();
    while lab.cables.iter().any(|cable| cable.waiting() > 0) {
        lab.workers[0].turn(now);
        lab.check_accounts();
    }
    lab.control.turn(now);
    lab.workers[0].turn(now);
    lab.check_accounts();
    let shard = lab.workers[0].shard();
    assert!(shard.table.len() <= shard.table.conns_max() && shard.counts.held <= (HELD_MAX + FRAGMENTS_MAX) as u64);
    assert!(shard.shared.templates.len() <= shard.shared.templates.templates_max());
    for (port, cable) in lab.cables.iter().enumerate() {
        for frame in cable.take() {
            let left = Left { port, frame };
            if !lab.host_answers(&left) {
                generator.keep(port, left.frame);
            }
        }
    }
}

impl Generator {
    fn below(&mut self, bound: usize) -> usize {
        (self.random.u64(..) % bound as u64) as usize
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn frame(&mut self) -> (usize, Vec<u8>) {
        let echo = self.one_in(2) && !self.echoes.is_empty();
        let n = self.below(if echo { self.echoes.len() } else { self.valid.len() });
        let (port, mut frame): (usize, Vec<u8>) = if echo { self.echoes[n].clone() } else { self.valid[n].clone() };
        if !self.one_in(3) {
            self.vary(&mut frame);
        }
        if self.one_in(3) {
            for _ in 0..=self.below(3) {
                self.damage(&mut frame);
            }
        }
        if !self.one_in(4) {
            mend(&mut frame);
        }
        let port = if self.one_in(10) { self.below(2) } else { port };
        (port, frame)
    }

    /// Another client, another port, other flags.
    fn vary(&mut self, frame: &mut [u8]) {
        let Some(l4) = transport_at(frame) else { return };
        let (address, ports) = (l4.address, l4.transport);
        let noise = self.random.u64(..);
        if noise & 1 != 0 && frame.len() > address {
            frame[address] ^= (noise >> 8) as u8 & 0x3f;
        }
        if noise & 2 != 0 && frame.len() > ports + 1 {
            frame[ports + 1] ^= (noise >> 16) as u8;
        }
        if noise & 12 == 12 && frame.len() > ports + 13 && l4.protocol == protocol::TCP {
            frame[ports + 13] = (noise >> 24) as u8 & 0x1f;
        }
        if noise & 0x1f0_0000_0000 == 0 && frame.len() > l4.ttl {
            frame[l4.ttl] = (noise >> 56) as u8 & 3;
        }
    }

    fn damage(&mut self, frame: &mut Vec<u8>) {
        let at = self.below(frame.len().max(1));
        match self.below(8) {
            0 if !frame.is_empty() => frame[at] ^= 1 << self.below(8),
            1 if !frame.is_empty() => frame[at] = self.random.u64(..) as u8,
            2 => frame.truncate(at),
            3 => frame.extend((0..at).map(|n| n as u8)),
            4 if at + 2 <= frame.len() => {
                let word = [0, 1, 0x7fff, 0x8000, 0xffff, 0x4000, 0x2000][self.below(7)];
                frame[at..at + 2].copy_from_slice(&u16::to_be_bytes(word));
            }
            5 => {
                // The end of another frame.
                let (_, other) = &self.valid[(self.random.u64(..) % self.valid.len() as u64) as usize];
                frame.truncate(at);
                frame.extend(other.iter().skip(at));
            }
            6 => frame.resize(1_400 + at.min(200), 0x5a),
            7 if at + 4 <= frame.len() => frame.copy_within(at.., at / 2),
            _ => {}
        }
    }

    /// What left may come back from the other end.
    fn keep(&mut self, port: usize, mut frame: Vec<u8>) {
        if frame.len() < 14 || !self.one_in(8) {
            return;
        }
        let (destination, source) = frame[..12].split_at_mut(6);
        destination.swap_with_slice(source);
        if let Some(at) = transport_at(&frame).filter(|at| at.transport + 4 <= frame.len()) {
            let half = (at.addresses.len()) / 2;
            frame[at.addresses].rotate_left(half);
            frame[at.transport..at.transport + 4].rotate_left(2);
        }
        match self.echoes.len() {
            ECHOES => {
                let n = self.below(ECHOES);
                self.echoes[n] = (port, frame);
            }
            _ => self.echoes.push((port, frame)),
        }
    }

    /// What else happens in a network.
    fn disturb(&mut self, lab: &mut Lab) {
        match self.below(40) {
            0 => lab.now_ms += 1 + self.random.u64(..) % 5_000,
            1 => {
                let port = self.below(2);
                let room = if self.one_in(4) { 50 } else { usize::MAX };
                lab.cables[port].set_tx_room(room);
            }
            2 => {
                let (port, room) = (self.below(2), [0, 20, 40, 128][self.below(4)]);
                lab.cables[port].set_headroom(room);
            }
            3 => self.change_server(lab),
            4 => {
                lab.cables.iter().for_each(|cable| cable.set_tx_room(usize::MAX));
                lab.settle();
                lab.check_live();
            }
            _ => lab.now_ms += self.random.u64(..) % 30,
        }
    }

    /// A real server goes, or comes back, or changes its weight.
    fn change_server(&mut self, lab: &mut Lab) {
        let keys: Vec<ServiceKey> = lab.control.book().list().map(|(service, _)| service.key).collect();
        let key = keys[self.below(keys.len())];
        let (_, servers) = lab.control.book().list().find(|(service, _)| service.key == key).unwrap();
        let ServiceKey::Endpoint { vip, port, .. } = key else { return };
        match servers.first() {
            Some(listed) if self.one_in(2) => {
                let (address, weight) = (listed.address(), (self.random.u64(..) % 3) as u32);
                let spec = ServerSpec { weight, ..spec_of(listed) };
                lab.control.edit_server(key, address, spec).unwrap();
            }
            Some(listed) => {
                let address = listed.address();
                lab.control.delete_server(key, address).unwrap();
            }
            None => {
                let method =
                    [conntrack::Method::Nat, conntrack::Method::Dr, conntrack::Method::Tun, conntrack::Method::FullNat]
                        [usize::from(port - 80)];
                let rip = if vip.is_ipv4() { crate::network::RIP } else { crate::network::RIP6 };
                let address = std::net::SocketAddr::new(crate::network::ip(rip), port);
                let spec = ServerSpec {
                    method,
                    weight: 1,
                    thresholds: Default::default(),
                    tunnel: Default::default(),
                    next_hop: None,
                };
                lab.control.add_server(key, address, spec).unwrap();
            }
        }
    }
}

/// Where things are in an IP frame, if it looks like one.
struct Places {
    addresses: std::ops::Range<usize>,
    /// The last byte of the source address.
    address: usize,
    ttl: usize,
    transport: usize,
    protocol: u8,
}

fn transport_at(frame: &[u8]) -> Option<Places> {
    let l3 = frame.get(14..)?;
    match l3.first()? >> 4 {
        4 if l3.len() >= 20 => {
            let transport = 14 + usize::from(l3[0] & 15) * 4;
            Some(Places { addresses: 26..34, address: 29, ttl: 22, transport, protocol: l3[9] })
        }
        6 if l3.len() >= 40 => {
            let upper = ipv6::upper_layer(l3)?;
            let transport = 14 + upper.offset;
            Some(Places { addresses: 22..54, address: 37, ttl: 21, transport, protocol: upper.protocol })
        }
        _ => None,
    }
}

/// Makes length and checksums right, as far as there is something to make right.
fn mend(frame: &mut [u8]) {
    let Some(at) = transport_at(frame).filter(|at| at.transport <= frame.len()) else { return };
    let l3 = &mut frame[14..];
    let total = l3.len() as u16;
    if l3[0] >> 4 == 4 {
        l3[2..4].copy_from_slice(&total.to_be_bytes());
        let header_bytes = usize::from(l3[0] & 15) * 4;
        l3[10..12].fill(0);
        let sum = checksum::of(&l3[..header_bytes]);
        l3[10..12].copy_from_slice(&sum.to_be_bytes());
    } else {
        l3[4..6].copy_from_slice(&(total - 40).to_be_bytes());
    }
    checksum::fill_transport(l3, at.transport - 14, at.protocol);
}

#[test]
fn a_seed_repeats_its_run() {
    let run = || {
        let mut generator = Generator {
            random: Rng::with_seed(5),
            valid: valid_frames(),
            echoes: vec![(WAN, vec![0; 60]), (LAN, vec![1; 60])],
        };
        (0..1_000).map(|_| generator.frame()).collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}
