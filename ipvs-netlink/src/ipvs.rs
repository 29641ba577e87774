//! Whom the protocol is about: what a [`Session`](crate::Session) asks of a director and has it do.

use rustix::io::Errno;

use crate::daemon::Daemon;
use crate::real_server::RealServer;
use crate::request::Edit;
use crate::service::{Service, ServiceId};

/// The family's name.
pub(crate) const NAME: &str = "IPVS";
/// The version of IPVS whose behaviour is kept, 1.2.1, as its tools print it.
pub const VERSION: u32 = 0x01_02_01;
/// Buckets of the kernel's conn table as it is built, which tools print in their first line. A table without such buckets has no
/// better number, and scripts compare that line.
pub const CONN_TAB_SIZE: u32 = 4096;

/// Timeouts in seconds that tools may set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// An established TCP conn.
    pub tcp: u32,
    /// A TCP conn after a FIN.
    pub tcp_fin: u32,
    /// A UDP conn.
    pub udp: u32,
}

/// What a client may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Look.
    Read,
    /// Look and change.
    Edit,
}

/// A director, as the kernel's IPVS. It answers at once from what it has at hand.
pub trait Ipvs {
    /// Its services. They are looked up one by one later on: one that is gone by then is left out.
    fn services(&self) -> Vec<ServiceId>;

    /// One service.
    fn service(&self, id: &ServiceId) -> Option<Service>;

    /// Is there such a service?
    fn has_service(&self, id: &ServiceId) -> bool;

    /// The real servers of a service, the newest first; none of a service that is not there.
    fn real_servers(&self, id: &ServiceId) -> Vec<RealServer>;

    /// Its timeouts.
    fn timeouts(&self) -> Timeouts;

    /// The daemons that run, the master first.
    fn daemons(&self) -> Vec<Daemon>;

    /// Does what a client wants, or refuses it with the kernel's error; then nothing has changed.
    fn edit(&mut self, edit: &Edit) -> Result<(), Errno>;
}
