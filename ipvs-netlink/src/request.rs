//! What a client may want: bytes to typed requests, and edits back to bytes, for whoever keeps them.

use std::net::SocketAddr;

use rustix::io::Errno;

use crate::attribute::{Attributes, Made};
use crate::daemon::{Daemon, DaemonState};
use crate::family::FAMILY_ID;
use crate::ipvs::Timeouts;
use crate::message::{Message, put_request};
use crate::real_server::{self, RealServerTold};
use crate::service::{ServiceId, ServiceTold};

pub(crate) const SERVICE: u16 = 1;
pub(crate) const REAL_SERVER: u16 = 2;
pub(crate) const DAEMON: u16 = 3;
pub(crate) const TIMEOUT_TCP: u16 = 4;
pub(crate) const TIMEOUT_TCP_FIN: u16 = 5;
pub(crate) const TIMEOUT_UDP: u16 = 6;
/// The greatest of them.
pub(crate) const ATTRIBUTES_MAX: u16 = TIMEOUT_UDP;

pub(crate) const NEW_SERVICE: u8 = 1;
pub(crate) const SET_SERVICE: u8 = 2;
pub(crate) const DEL_SERVICE: u8 = 3;
pub(crate) const GET_SERVICE: u8 = 4;
pub(crate) const NEW_DEST: u8 = 5;
pub(crate) const SET_DEST: u8 = 6;
pub(crate) const DEL_DEST: u8 = 7;
pub(crate) const GET_DEST: u8 = 8;
pub(crate) const NEW_DAEMON: u8 = 9;
pub(crate) const DEL_DAEMON: u8 = 10;
pub(crate) const GET_DAEMON: u8 = 11;
pub(crate) const SET_CONFIG: u8 = 12;
pub(crate) const GET_CONFIG: u8 = 13;
pub(crate) const SET_INFO: u8 = 14;
pub(crate) const GET_INFO: u8 = 15;
pub(crate) const ZERO: u8 = 16;
pub(crate) const FLUSH: u8 = 17;

/// The longest timeout in seconds: the kernel counts 250 ticks a second in 31 bits.
const TIMEOUT_S_MAX: u32 = i32::MAX as u32 / 250;

/// A change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// A new service without real servers.
    AddService(ServiceId, ServiceTold),
    /// Other settings for one that is there.
    EditService(ServiceId, ServiceTold),
    /// It goes, with its real servers.
    DeleteService(ServiceId),
    /// A new real server, at the head of its service's list.
    AddServer(ServiceId, SocketAddr, RealServerTold),
    /// Other settings for one that is there.
    EditServer(ServiceId, SocketAddr, RealServerTold),
    /// It goes.
    DeleteServer(ServiceId, SocketAddr),
    /// Other timeouts; 0: that one stays as it is.
    SetTimeouts(Timeouts),
    /// The counters begin again, a service's or all.
    Zero(Option<ServiceId>),
    /// All services go.
    Flush,
    /// A daemon is to run.
    StartDaemon(Daemon),
    /// It is to end.
    StopDaemon(DaemonState),
}

/// What a client wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Edit(Edit),
    Service(ServiceId),
    Timeouts,
    Info,
}

/// A list that a client wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Dump {
    Services,
    /// None: of no service that there could be.
    RealServers(Option<ServiceId>),
    Daemons,
}

impl Request {
    /// What a request wants of `has_service` (is there such a service?): that a service is missing is said before what is wrong with
    /// its real server.
    pub fn read(
        command: u8,
        attributes: Attributes,
        has_service: impl Fn(&ServiceId) -> bool,
    ) -> Result<Request, Errno> {
        let new_service = || {
            let service = attributes.nest(SERVICE)?;
            let id = ServiceId::read(&service)?;
            Ok((id, ServiceTold::read(&service, id.family())?))
        };
        let present = |id: ServiceId| if has_service(&id) { Ok(id) } else { Err(Errno::SRCH) };
        let service = || present(ServiceId::read(&attributes.nest(SERVICE)?)?);
        Ok(Request::Edit(match command {
            NEW_SERVICE => new_service().map(|(id, told)| Edit::AddService(id, told))?,
            SET_SERVICE => new_service().and_then(|(id, told)| Ok(Edit::EditService(present(id)?, told)))?,
            DEL_SERVICE => Edit::DeleteService(service()?),
            GET_SERVICE => return service().map(Request::Service),
            NEW_DEST | SET_DEST => {
                let (id, server) = (service()?, attributes.nest(REAL_SERVER)?);
                let address = real_server::read_address(&server, id.family())?;
                let told = RealServerTold::read(&server, address.ip(), id.family())?;
                match command {
                    NEW_DEST => Edit::AddServer(id, address, told),
                    _ => Edit::EditServer(id, address, told),
                }
            }
            DEL_DEST => {
                let id = service()?;
                Edit::DeleteServer(id, real_server::read_address(&attributes.nest(REAL_SERVER)?, id.family())?)
            }
            NEW_DAEMON => Edit::StartDaemon(Daemon::read(&attributes.nest(DAEMON)?)?),
            DEL_DAEMON => Edit::StopDaemon(DaemonState::read(&attributes.nest(DAEMON)?)?),
            SET_CONFIG => Edit::SetTimeouts(read_timeouts(&attributes)?),
            GET_CONFIG => return Ok(Request::Timeouts),
            GET_INFO => return Ok(Request::Info),
            ZERO if attributes.get(SERVICE).is_none() => Edit::Zero(None),
            ZERO => Edit::Zero(Some(service()?)),
            FLUSH => Edit::Flush,
            _ => return Err(Errno::OPNOTSUPP),
        }))
    }
}

impl Dump {
    pub fn read(command: u8, attributes: Attributes) -> Result<Dump, Errno> {
        match command {
            GET_SERVICE => Ok(Dump::Services),
            GET_DEST => {
                let service = attributes.nest(SERVICE).and_then(|service| ServiceId::read(&service));
                Ok(Dump::RealServers(service.ok()))
            }
            GET_DAEMON => Ok(Dump::Daemons),
            _ => Err(Errno::OPNOTSUPP),
        }
    }
}

fn read_timeouts(attributes: &Attributes) -> Result<Timeouts, Errno> {
    let timeout = |kind| match attributes.get(kind) {
        None => Ok(0),
        Some(_) => attributes.u32(kind).and_then(|s| if s > TIMEOUT_S_MAX { Err(Errno::INVAL) } else { Ok(s) }),
    };
    Ok(Timeouts { tcp: timeout(TIMEOUT_TCP)?, tcp_fin: timeout(TIMEOUT_TCP_FIN)?, udp: timeout(TIMEOUT_UDP)? })
}

pub(crate) fn put_timeouts(timeouts: &Timeouts) -> Made {
    let made = Made::default().u32(TIMEOUT_TCP, timeouts.tcp).u32(TIMEOUT_TCP_FIN, timeouts.tcp_fin);
    made.u32(TIMEOUT_UDP, timeouts.udp)
}

impl Edit {
    /// Appends the request that asks for this.
    pub fn put_request(&self, sequence: u32, out: &mut Vec<u8>) {
        let service = |id: &ServiceId| Made::default().nest(SERVICE, id.put(Made::default()));
        let whole_service = |id: &ServiceId, told: &ServiceTold| {
            Made::default().nest(SERVICE, told.put(id.family(), id.put(Made::default())))
        };
        let server = |id: &ServiceId, address: &SocketAddr, told: &RealServerTold| {
            service(id).nest(REAL_SERVER, told.put(real_server::put_address(*address, Made::default())))
        };
        let (command, made) = match self {
            Edit::AddService(id, told) => (NEW_SERVICE, whole_service(id, told)),
            Edit::EditService(id, told) => (SET_SERVICE, whole_service(id, told)),
            Edit::DeleteService(id) => (DEL_SERVICE, service(id)),
            Edit::AddServer(id, address, told) => (NEW_DEST, server(id, address, told)),
            Edit::EditServer(id, address, told) => (SET_DEST, server(id, address, told)),
            Edit::DeleteServer(id, address) => {
                (DEL_DEST, service(id).nest(REAL_SERVER, real_server::put_address(*address, Made::default())))
            }
            Edit::SetTimeouts(timeouts) => (SET_CONFIG, put_timeouts(timeouts)),
            Edit::Zero(None) => (ZERO, Made::default()),
            Edit::Zero(Some(id)) => (ZERO, service(id)),
            Edit::Flush => (FLUSH, Made::default()),
            Edit::StartDaemon(daemon) => (NEW_DAEMON, Made::default().nest(DAEMON, daemon.put())),
            Edit::StopDaemon(state) => (DEL_DAEMON, Made::default().nest(DAEMON, state.put(Made::default()))),
        };
        put_request(FAMILY_ID, sequence, command, &made, out);
    }
}

/// The edits that kept bytes ask for, one after the other, up to the first that is not whole or not understood.
pub fn requests(mut bytes: &[u8]) -> impl Iterator<Item = Edit> + '_ {
    std::iter::from_fn(move || {
        let (message, next) = Message::first(bytes)?;
        bytes = &bytes[next..];
        let (command, attributes) = message.generic().ok()?;
        match Request::read(command, attributes, |_| true) {
            Ok(Request::Edit(edit)) if message.kind == FAMILY_ID => Some(edit),
            _ => None,
        }
    })
}
