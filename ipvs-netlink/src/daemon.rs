//! The daemon that tells another director of conns, or hears of them.

use std::net::{IpAddr, Ipv4Addr};

use rustix::io::Errno;

use crate::attribute::{Attributes, Made};
use crate::service::Family;

const STATE: u16 = 1;
const INTERFACE: u16 = 2;
const SYNC_ID: u16 = 3;
const MESSAGE_BYTES_MAX: u16 = 4;
const GROUP: u16 = 5;
const GROUP6: u16 = 6;
const PORT: u16 = 7;
const TTL: u16 = 8;

const INTERFACE_BYTES_MAX: usize = 15;
const SYNC_ID_MAX: u32 = 255;
const DEFAULT_GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 81);
const DEFAULT_PORT: u16 = 8848;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DaemonState {
    /// It tells.
    Master,
    /// It hears.
    Backup,
}

/// A daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Daemon {
    /// Which of the two.
    pub state: DaemonState,
    /// The interface it speaks by.
    pub interface: String,
    /// Only those with this number hear each other.
    pub sync_id: u8,
    /// Bytes of the longest message; 0: as the interface's MTU says.
    pub message_bytes_max: u16,
    /// The multicast group.
    pub group: IpAddr,
    /// The UDP port.
    pub port: u16,
    /// The TTL of messages.
    pub ttl: u8,
}

impl DaemonState {
    pub(crate) fn read(daemon: &Attributes) -> Result<DaemonState, Errno> {
        match daemon.u32(STATE)? {
            1 => Ok(DaemonState::Master),
            2 => Ok(DaemonState::Backup),
            _ => Err(Errno::INVAL),
        }
    }

    pub(crate) fn put(self, made: Made) -> Made {
        let number = match self {
            DaemonState::Master => 1,
            DaemonState::Backup => 2,
        };
        made.u32(STATE, number)
    }
}

impl Daemon {
    pub(crate) fn read(daemon: &Attributes) -> Result<Daemon, Errno> {
        let (state, sync_id) = (daemon.u32(STATE)?, daemon.u32(SYNC_ID)?);
        let interface = daemon.text(INTERFACE, INTERFACE_BYTES_MAX)?.to_string();
        let group = match (daemon.get(GROUP), daemon.get(GROUP6)) {
            (Some(_), _) => daemon.address(GROUP, Family::V4)?,
            (None, Some(_)) => daemon.address(GROUP6, Family::V6)?,
            (None, None) => DEFAULT_GROUP.into(),
        };
        let optional = |kind| daemon.get(kind).is_some();
        let message_bytes_max = if optional(MESSAGE_BYTES_MAX) { daemon.u16(MESSAGE_BYTES_MAX)? } else { 0 };
        let port = if optional(PORT) { daemon.u16(PORT)? } else { 0 };
        let ttl = if optional(TTL) { daemon.u8(TTL)? } else { 0 };
        if !group.is_multicast() || sync_id > SYNC_ID_MAX || !matches!(state, 1 | 2) {
            return Err(Errno::INVAL);
        }
        Ok(Daemon {
            state: DaemonState::read(daemon)?,
            interface,
            sync_id: sync_id as u8,
            message_bytes_max,
            group,
            port: if port == 0 { DEFAULT_PORT } else { port },
            ttl: ttl.max(1),
        })
    }

    pub(crate) fn put(&self) -> Made {
        let made = self.state.put(Made::default()).text(INTERFACE, &self.interface);
        let made = made.u32(SYNC_ID, u32::from(self.sync_id)).u16(MESSAGE_BYTES_MAX, self.message_bytes_max);
        let made = match self.group {
            IpAddr::V4(group) => made.u32_be(GROUP, group.to_bits()),
            group => made.address(GROUP6, group),
        };
        made.u16(PORT, self.port).u8(TTL, self.ttl)
    }
}
