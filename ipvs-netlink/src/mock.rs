//! A director for tests and for fuzzing: a list of services that does as the protocol says.

use std::net::SocketAddr;

use crate::{
    Daemon, Edit, Errno, Flags, Ipvs, RealServer, RealServerTold, Service, ServiceId, ServiceTold, Stats, Timeouts,
};

/// Services with their real servers, the newest first.
#[derive(Debug, Default)]
pub struct Mock {
    pub services: Vec<(Service, Vec<RealServer>)>,
    pub timeouts: Timeouts,
    pub daemons: Vec<Daemon>,
    /// Everything that was done.
    pub edits: Vec<Edit>,
}

impl Mock {
    fn position(&self, id: &ServiceId) -> Result<usize, Errno> {
        self.services.iter().position(|(service, _)| service.id == *id).ok_or(Errno::SRCH)
    }

    fn told(before: Flags, told: &ServiceTold) -> Result<ServiceTold, Errno> {
        if told.engine.is_some() || told.scheduler.as_deref() == Some("nosuch") {
            return Err(Errno::NOENT);
        }
        let flags = told.flags.applied_to(before).with(Flags::HASHED, true);
        Ok(ServiceTold { flags: crate::FlagsTold::all(flags), ..told.clone() })
    }

    fn server(&mut self, id: &ServiceId, address: &SocketAddr) -> Result<(&mut Vec<RealServer>, Option<usize>), Errno> {
        let at = self.position(id)?;
        let servers = &mut self.services[at].1;
        let found = servers.iter().position(|server| server.address == *address);
        Ok((servers, found))
    }
}

fn real_server(address: SocketAddr, told: RealServerTold) -> RealServer {
    RealServer { address, told, active: 0, inactive: 0, persistent: 0, stats: Stats::default() }
}

impl Ipvs for Mock {
    fn services(&self) -> Vec<ServiceId> {
        self.services.iter().map(|(service, _)| service.id).collect()
    }

    fn service(&self, id: &ServiceId) -> Option<Service> {
        self.position(id).ok().map(|at| self.services[at].0.clone())
    }

    fn has_service(&self, id: &ServiceId) -> bool {
        self.position(id).is_ok()
    }

    fn real_servers(&self, id: &ServiceId) -> Vec<RealServer> {
        self.position(id).map_or_else(|_| Vec::new(), |at| self.services[at].1.clone())
    }

    fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    fn daemons(&self) -> Vec<Daemon> {
        self.daemons.clone()
    }

    fn edit(&mut self, edit: &Edit) -> Result<(), Errno> {
        match edit {
            Edit::AddService(id, _) if self.has_service(id) => return Err(Errno::EXIST),
            Edit::AddService(id, told) => {
                let told = Mock::told(Flags::default(), told)?;
                self.services.push((Service { id: *id, told, stats: Stats::default() }, Vec::new()));
            }
            Edit::EditService(id, told) => {
                let at = self.position(id)?;
                let service = &mut self.services[at].0;
                service.told = Mock::told(service.told.flags.flags, told)?;
            }
            Edit::DeleteService(id) => {
                let at = self.position(id)?;
                self.services.remove(at);
            }
            Edit::AddServer(id, address, told) => match self.server(id, address)? {
                (_, Some(_)) => return Err(Errno::EXIST),
                (servers, None) => servers.insert(0, real_server(*address, *told)),
            },
            Edit::EditServer(id, address, told) => match self.server(id, address)? {
                (servers, Some(at)) => servers[at].told = *told,
                (_, None) => return Err(Errno::NOENT),
            },
            Edit::DeleteServer(id, address) => match self.server(id, address)? {
                (servers, Some(at)) => drop(servers.remove(at)),
                (_, None) => return Err(Errno::NOENT),
            },
            Edit::SetTimeouts(timeouts) => self.timeouts = *timeouts,
            Edit::Zero(_) => {}
            Edit::Flush => self.services.clear(),
            Edit::StartDaemon(daemon) => self.daemons.push(daemon.clone()),
            Edit::StopDaemon(state) => {
                let at = self.daemons.iter().position(|daemon| daemon.state == *state).ok_or(Errno::SRCH)?;
                self.daemons.remove(at);
            }
        }
        self.edits.push(edit.clone());
        Ok(())
    }
}
