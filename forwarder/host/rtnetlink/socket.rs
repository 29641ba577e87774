//! The conversation with the kernel: one socket, read without waiting in the control thread's turns. One request is under way at
//! a time; while it is, and for a moment after, nothing is passed on, so that half a truth is not acted on.

use super::Tables;
use super::message::{Kind, Told, WhatChanged, read, request};
use crate::neigh::HostNetwork;
use hashbrown::HashMap;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use rustix::io::Errno;
use std::io;

/// Groups of the kernel's announcements: links, neighbours, addresses and routes of both families (linux/rtnetlink.h).
const GROUPS: [u32; 6] = [1, 3, 5, 7, 9, 11];
/// What the kernel keeps for us: a routing daemon that learns a table, until the control thread's next turns.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;
/// The kernel's datagrams are 32 KiB at most.
const DATAGRAM_BYTES_MAX: usize = 64 << 10;
/// Datagrams read in a turn; more wait for the next one.
const DATAGRAMS_PER_TURN: usize = 32;
/// Between two changes that are passed on: a table that is learned route by route is not a thousand changes.
const GAP_MS: u64 = 20;
/// The kernel answers at once; a request without an answer is asked again.
const ANSWER_MS_MAX: u64 = 2_000;
/// Between a refused request and the next.
const REFUSED_MS: u64 = 100;
/// What is asked for, in this order.
const KINDS: [Kind; 3] = [Kind::Addresses, Kind::Routes, Kind::Neighbors];

/// Follows the kernel.
pub struct Follower {
    socket: Socket,
    interfaces: HashMap<u32, u16>,
    buffer: Vec<u8>,
    tables: Tables,
    /// The request under way: what, and since when.
    asked: Option<(usize, u64)>,
    number: u32,
    /// Everything must be asked for, from this time on.
    ask_all_ms: Option<u64>,
    passed_on_ms: u64,
    said_left_out: bool,
}

impl Follower {
    /// Follows these interfaces, by the kernel's numbers, with their ports.
    pub fn new(interfaces: HashMap<u32, u16>) -> io::Result<Follower> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        // Without the right to more, the kernel's default has to do: what it leaves out is asked for.
        let _ = socket.set_rx_buf_sz(RECEIVE_BUFFER_BYTES as i32);
        socket.bind_auto()?;
        GROUPS.iter().try_for_each(|group| socket.add_membership(*group))?;
        socket.set_non_blocking(true)?;
        Ok(Follower {
            socket,
            interfaces,
            buffer: Vec::with_capacity(DATAGRAM_BYTES_MAX),
            tables: Tables::default(),
            asked: None,
            number: 0,
            ask_all_ms: Some(0),
            passed_on_ms: 0,
            said_left_out: false,
        })
    }

    /// Reads what waits. Some: it is this now.
    pub fn turn(&mut self, now_ms: u64) -> Option<HostNetwork> {
        for _ in 0..DATAGRAMS_PER_TURN {
            if !self.receive(now_ms) {
                break;
            }
        }
        if self.asked.is_some_and(|(_, since_ms)| now_ms.saturating_sub(since_ms) > ANSWER_MS_MAX) {
            self.asked = None;
            self.ask_all_ms = Some(now_ms);
        }
        if self.asked.is_none() && self.ask_all_ms.is_some_and(|due_ms| now_ms >= due_ms) {
            self.ask_all_ms = None;
            self.tables.begin();
            self.ask(0, now_ms);
        }
        if self.asked.is_some() || now_ms.saturating_sub(self.passed_on_ms) < GAP_MS {
            return None;
        }
        let network = self.tables.take_changed()?;
        self.passed_on_ms = now_ms;
        if self.tables.left_out() && !self.said_left_out {
            self.said_left_out = true;
            log::warn!(
                "the host has more addresses, routes or neighbours on its host interfaces than the director follows: {}, {}, {}",
                super::ADDRESSES_MAX,
                super::ROUTES_MAX,
                super::NEIGHBORS_MAX
            );
        }
        Some(network)
    }

    /// Reads one datagram. False: none waits.
    fn receive(&mut self, now_ms: u64) -> bool {
        self.buffer.clear();
        match self.socket.recv_from(&mut self.buffer, 0) {
            // Only the kernel is believed.
            Ok((_, from)) if from.port_number() == 0 => {
                let mut told = Vec::new();
                read(&self.buffer, &self.interfaces, |one| told.push(one));
                told.into_iter().for_each(|one| self.hear(one, now_ms));
                true
            }
            Ok(_) => true,
            Err(error) if error.raw_os_error() == Some(Errno::NOBUFS.raw_os_error()) => {
                self.ask_all_ms = Some(now_ms);
                true
            }
            Err(_) => false,
        }
    }

    fn hear(&mut self, told: Told, now_ms: u64) {
        if told.interrupted {
            self.ask_all_ms = Some(now_ms);
        }
        match told.what {
            WhatChanged::Complete if told.request == self.number => {
                let Some((place, _)) = self.asked.take() else { return };
                self.tables.complete(KINDS[place]);
                if place + 1 < KINDS.len() {
                    self.ask(place + 1, now_ms);
                }
            }
            WhatChanged::Refused if told.request == self.number => {
                self.asked = None;
                self.ask_all_ms = Some(now_ms + REFUSED_MS);
            }
            what => {
                if self.tables.hear(what) {
                    self.ask_all_ms = Some(now_ms + GAP_MS);
                }
            }
        }
    }

    fn ask(&mut self, place: usize, now_ms: u64) {
        self.number += 1;
        self.asked = Some((place, now_ms));
        if self.socket.send_to(&request(KINDS[place], self.number), &SocketAddr::new(0, 0), 0).is_err() {
            self.asked = None;
            self.ask_all_ms = Some(now_ms + REFUSED_MS);
        }
    }
}
