//! One client's requests, answered a packet at a time. What a session keeps is the datagram that is being answered and the names of what
//! is still to be listed, so a client who asks for much and reads nothing costs little; who drives it bounds the time.

use std::collections::VecDeque;

use rustix::io::Errno;

use crate::attribute::Made;
use crate::daemon::Daemon;
use crate::family::{self, FAMILY_ID};
use crate::ipvs::{CONN_TAB_SIZE, Ipvs, Rights, VERSION};
use crate::message::{Asker, DATAGRAM_BYTES_MAX, Message};
use crate::real_server::RealServer;
use crate::request::{
    DAEMON, Dump, NEW_DAEMON, NEW_DEST, NEW_SERVICE, REAL_SERVER, Request, SERVICE, SET_CONFIG, SET_INFO, put_timeouts,
};
use crate::service::ServiceId;

/// A packet of a list is ended when it is longer than this.
const PACKET_BYTES_ENOUGH: usize = 8 * 1024;
/// No packet is longer: the last message of a list's packet, or the refusal of the longest request.
pub const PACKET_BYTES_MAX: usize = DATAGRAM_BYTES_MAX + 64;

const VERSION_ATTRIBUTE: u16 = 1;
const CONN_TAB_SIZE_ATTRIBUTE: u16 = 2;

/// One client's requests.
#[derive(Debug, Default)]
pub struct Session {
    /// The datagram that is being answered, from `at` on.
    datagram: Vec<u8>,
    at: usize,
    /// Packets of the request before, to be sent before anything else: an ACK at most.
    ready: Option<Vec<u8>>,
    list: Option<(Asker, List)>,
}

/// What is still to be listed.
#[derive(Debug)]
enum List {
    Services(VecDeque<ServiceId>),
    RealServers(VecDeque<RealServer>),
    Daemons(VecDeque<Daemon>),
}

impl Session {
    /// Is everything answered? Then the next datagram may come.
    pub fn is_idle(&self) -> bool {
        self.ready.is_none() && self.list.is_none() && self.at >= self.datagram.len()
    }

    /// Takes a datagram. Its requests are answered by [`Session::next_packet`].
    pub fn take(&mut self, datagram: &[u8]) {
        debug_assert!(self.is_idle(), "the last datagram is not answered");
        self.datagram.clear();
        self.datagram.extend_from_slice(datagram);
        self.at = 0;
    }

    /// The next packet for the client. None: there is none, everything has been done and answered.
    ///
    /// Does at most one request, or makes at most one packet of a list: a request that wants no answer gives an empty packet,
    /// which is not to be sent.
    pub fn next_packet(&mut self, ipvs: &mut dyn Ipvs, rights: Rights) -> Option<Vec<u8>> {
        if let Some(packet) = self.ready.take() {
            return Some(packet);
        }
        if let Some((asker, list)) = &mut self.list {
            let mut packet = Vec::with_capacity(PACKET_BYTES_ENOUGH + 1024);
            if !list.put(ipvs, *asker, &mut packet) {
                asker.done(&mut packet);
                self.list = None;
            }
            return Some(packet);
        }
        let Some((message, next)) = Message::first(self.datagram.get(self.at..).unwrap_or_default()) else {
            // What is no message, or only half of one, ends the datagram.
            self.datagram = Vec::new();
            self.at = 0;
            return None;
        };
        self.at += next;
        let mut packet = Vec::new();
        if !message.is_request() {
            return Some(packet);
        }
        match answer(&message, ipvs, rights, &mut packet) {
            Err(error) => message.refuse(error, &mut packet),
            Ok(Some(list)) => self.list = Some((message.asker(), list)),
            Ok(None) if !message.wants_ack() => {}
            Ok(None) if packet.is_empty() => message.acknowledge(&mut packet),
            Ok(None) => {
                let mut acknowledgement = Vec::new();
                message.acknowledge(&mut acknowledgement);
                self.ready = Some(acknowledgement);
            }
        }
        Some(packet)
    }
}

/// Does what is asked, and puts what there is to reply; a list is given back instead.
fn answer(message: &Message, ipvs: &mut dyn Ipvs, rights: Rights, packet: &mut Vec<u8>) -> Result<Option<List>, Errno> {
    let (command, attributes) = message.generic()?;
    match message.kind {
        family::CONTROLLER => {
            message.asker().reply_of_controller(&family::answer(command, attributes)?, packet);
            return Ok(None);
        }
        FAMILY_ID => {}
        _ => return Err(Errno::NOENT),
    }
    if message.wants_dump() {
        return Dump::read(command, attributes).map(|dump| Some(List::of(dump, ipvs)));
    }
    let (command, made) = match Request::read(command, attributes, |id| ipvs.has_service(id))? {
        Request::Edit(_) if rights != Rights::Edit => return Err(Errno::PERM),
        Request::Edit(edit) => return ipvs.edit(&edit).map(|()| None),
        Request::Service(id) => {
            (NEW_SERVICE, Made::default().nest(SERVICE, ipvs.service(&id).ok_or(Errno::SRCH)?.put()))
        }
        Request::Timeouts => (SET_CONFIG, put_timeouts(&ipvs.timeouts())),
        Request::Info => {
            (SET_INFO, Made::default().u32(VERSION_ATTRIBUTE, VERSION).u32(CONN_TAB_SIZE_ATTRIBUTE, CONN_TAB_SIZE))
        }
    };
    message.asker().reply(command, &made, packet);
    Ok(None)
}

impl List {
    fn of(dump: Dump, ipvs: &dyn Ipvs) -> List {
        match dump {
            Dump::Services => List::Services(ipvs.services().into()),
            Dump::RealServers(service) => {
                List::RealServers(service.map_or_else(Vec::new, |id| ipvs.real_servers(&id)).into())
            }
            Dump::Daemons => List::Daemons(ipvs.daemons().into()),
        }
    }

    /// Puts as much of it as goes into a packet. False: there was nothing left.
    fn put(&mut self, ipvs: &dyn Ipvs, asker: Asker, packet: &mut Vec<u8>) -> bool {
        while packet.len() < PACKET_BYTES_ENOUGH {
            let Some((command, attribute, made)) = self.next(ipvs) else { break };
            asker.part(command, &Made::default().nest(attribute, made), packet);
        }
        !packet.is_empty()
    }

    fn next(&mut self, ipvs: &dyn Ipvs) -> Option<(u8, u16, Made)> {
        match self {
            List::Services(ids) => loop {
                if let Some(service) = ipvs.service(&ids.pop_front()?) {
                    return Some((NEW_SERVICE, SERVICE, service.put()));
                }
            },
            List::RealServers(servers) => servers.pop_front().map(|server| (NEW_DEST, REAL_SERVER, server.put())),
            List::Daemons(daemons) => daemons.pop_front().map(|daemon| (NEW_DAEMON, DAEMON, daemon.put())),
        }
    }
}
