//! What a tool wants changed, and the kernel's errors for what cannot be.

use super::words;
use crate::director::{Control, settings};
use crate::services::ServiceKey;
use crate::services::book::{Listed, ServiceSpec};
use crate::steer::Steer;
use config::{Config, Masquerade};
use conntrack::Method;
use conntrack::states::tcp::State;
use ipvs_netlink::{Daemon, DaemonState, Edit, Errno, RealServerTold, ServiceId, ServiceTold, Timeouts};
use std::net::SocketAddr;

impl Control {
    /// Does it, or refuses it and changes nothing.
    pub(super) fn do_edit(&mut self, edit: &Edit) -> Result<(), Errno> {
        let key = |id: &ServiceId| words::key(id).ok_or(Errno::SRCH);
        match edit {
            Edit::AddService(id, told) => self.told_new_service(words::key(id).ok_or(Errno::INVAL)?, told),
            Edit::EditService(id, told) => self.told_service(key(id)?, told),
            Edit::DeleteService(id) => self.told_to_delete(key(id)?),
            Edit::AddServer(id, address, told) => self.told_new_server(key(id)?, *address, told),
            Edit::EditServer(id, address, told) => self.told_server(key(id)?, *address, told),
            Edit::DeleteServer(id, address) => self.delete_server(key(id)?, *address).map_err(words::errno),
            Edit::SetTimeouts(timeouts) => {
                self.told_timeouts(timeouts);
                Ok(())
            }
            Edit::Zero(Some(id)) => self.zero(key(id)?),
            Edit::Zero(None) => self.zero_all(),
            Edit::Flush => self.flush(),
            Edit::StartDaemon(daemon) => self.told_daemon(daemon),
            // None runs.
            Edit::StopDaemon(DaemonState::Master | DaemonState::Backup) => Err(Errno::SRCH),
        }
    }

    fn told_new_service(&mut self, key: ServiceKey, told: &ServiceTold) -> Result<(), Errno> {
        // The kernel says so before it looks for the scheduler.
        if self.book.get(key).is_some() {
            return Err(Errno::EXIST);
        }
        let (spec, third) = words::spec(key, told, None)?;
        if key.vip().is_some_and(|vip| self.config.fullnat.local_addresses.contains(&vip)) {
            return Err(Errno::INVAL);
        }
        let steer = self.steer_for(key);
        self.add_service(key, ServiceSpec { steer, ..spec }).map_err(words::errno)?;
        self.note_third_flag(key, third);
        Ok(())
    }

    /// A tool has no word for how a service is steered: like those whose flows it may take.
    fn steer_for(&self, key: ServiceKey) -> Steer {
        let fits = |steer: &Steer| self.book.steered_otherwise(key, *steer, &[]).is_none();
        [Steer::Source, Steer::Tuple].into_iter().find(fits).unwrap_or_default()
    }

    fn told_service(&mut self, key: ServiceKey, told: &ServiceTold) -> Result<(), Errno> {
        let (service, _) = self.book.get(key).ok_or(Errno::SRCH)?;
        let before = (service.spec(), self.tools.third_flag.contains(&key));
        let (spec, third) = words::spec(key, told, Some(before))?;
        self.edit_service(key, spec).map_err(words::errno)?;
        self.note_third_flag(key, third);
        Ok(())
    }

    fn note_third_flag(&mut self, key: ServiceKey, third: bool) {
        match third {
            true => drop(self.tools.third_flag.insert(key)),
            false => drop(self.tools.third_flag.remove(&key)),
        }
    }

    fn told_to_delete(&mut self, key: ServiceKey) -> Result<(), Errno> {
        self.delete_service(key).map_err(words::errno)?;
        self.tools.third_flag.remove(&key);
        Ok(())
    }

    /// What the network is told of the rest, it is told once.
    fn flush(&mut self) -> Result<(), Errno> {
        let all: Vec<_> = self.book.list().map(|(service, _)| service.key).collect();
        for key in all {
            self.book.delete_service(key, self.now.ms).map_err(words::errno)?;
            self.traffic_retired.remove(&key);
            self.rates.forget_service(key);
        }
        self.tools.third_flag.clear();
        self.addresses_changed();
        self.servers_changed();
        Ok(())
    }

    fn told_new_server(&mut self, key: ServiceKey, address: SocketAddr, told: &RealServerTold) -> Result<(), Errno> {
        let (_, listed) = self.book.get(key).ok_or(Errno::SRCH)?;
        if listed.iter().any(|listed| listed.address() == address) {
            return Err(Errno::EXIST);
        }
        if !words::is_unicast(address.ip()) {
            return Err(Errno::INVAL);
        }
        let spec = words::server_spec(told, self.masquerading(key))?;
        self.has_local_address(spec.method, address)?;
        self.add_server(key, address, spec).map_err(words::errno)
    }

    fn told_server(&mut self, key: ServiceKey, address: SocketAddr, told: &RealServerTold) -> Result<(), Errno> {
        let (_, listed) = self.book.get(key).ok_or(Errno::SRCH)?;
        let before = listed.iter().find(|listed| listed.address() == address).ok_or(Errno::NOENT)?;
        // A tool reads "masquerading" of a FullNAT server, and says so when it changes a weight.
        let full = before.server.method == Method::FullNat;
        let spec = words::server_spec(told, if full { Method::FullNat } else { self.masquerading(key) })?;
        self.has_local_address(spec.method, address)?;
        self.edit_server(key, address, spec).map_err(words::errno)
    }

    /// What a tool's masquerading is at this service.
    fn masquerading(&self, key: ServiceKey) -> Method {
        let full = match &self.config.fullnat.masquerade {
            Masquerade::Nat => false,
            Masquerade::FullNat => true,
            Masquerade::Of(services) => services.iter().any(|service| settings::service_key(service) == key),
        };
        if full { Method::FullNat } else { Method::Nat }
    }

    /// FullNAT speaks from an address of the server's family.
    fn has_local_address(&self, method: Method, server: SocketAddr) -> Result<(), Errno> {
        let locals = &self.config.fullnat.local_addresses;
        let found = method != Method::FullNat || locals.iter().any(|local| local.is_ipv4() == server.is_ipv4());
        if found { Ok(()) } else { Err(Errno::INVAL) }
    }

    /// Timeouts that are not 0 are the tool's until a file that names them is read.
    pub(super) fn told_timeouts(&mut self, timeouts: &Timeouts) {
        let tools = &mut self.tools.timeouts;
        for (kept, said) in
            [(&mut tools.tcp, timeouts.tcp), (&mut tools.tcp_fin, timeouts.tcp_fin), (&mut tools.udp, timeouts.udp)]
        {
            *kept = if said == 0 { *kept } else { said };
        }
        self.change_policy();
    }

    /// Puts the tools' timeouts over a policy's.
    pub(in crate::director) fn with_tools_timeouts(&self, mut timeouts: conntrack::Timeouts) -> conntrack::Timeouts {
        let Timeouts { tcp, tcp_fin, udp } = self.tools.timeouts;
        for (timeout, said) in [(State::Established, tcp), (State::FinWait, tcp_fin)] {
            let timeout = &mut timeouts.tcp[timeout as usize];
            *timeout = if said == 0 { *timeout } else { said };
        }
        timeouts.udp = if udp == 0 { timeouts.udp } else { udp };
        timeouts
    }

    /// A file was read: its services and what it names are as it says.
    pub(in crate::director) fn read_file_for_tools(&mut self, config: &Config) {
        let tools = &mut self.tools;
        tools.of_file = words::keys_of(config).collect();
        tools.third_flag.retain(|key| !tools.of_file.contains(key));
        for (kept, named) in [
            (&mut tools.timeouts.tcp, config.timeouts.tcp),
            (&mut tools.timeouts.tcp_fin, config.timeouts.tcp_fin),
            (&mut tools.timeouts.udp, config.timeouts.udp),
        ] {
            *kept = if named.is_some() { 0 } else { *kept };
        }
    }

    /// Counters of a service and its real servers begin again.
    fn zero(&mut self, key: ServiceKey) -> Result<(), Errno> {
        let (_, listed) = self.book.get(key).ok_or(Errno::SRCH)?;
        let ids: Vec<_> = listed.iter().map(|listed| listed.server.id).chain(self.book.removed(key)).collect();
        // As if there had been no traffic: rates begin again, too.
        self.rates.forget_service(key);
        for id in ids {
            self.traffic_before.insert(id, self.traffic_of_place(id));
            self.rates.forget_server(id);
        }
        self.traffic_retired.remove(&key);
        Ok(())
    }

    fn zero_all(&mut self) -> Result<(), Errno> {
        let all: Vec<_> = self.book.list().map(|(service, _)| service.key).collect();
        self.tools.totals_before = self.all_traffic().collect();
        all.into_iter().try_for_each(|key| self.zero(key))
    }

    /// No daemon can run yet, whatever it is told. What the kernel would say is said first: that the daemons' protocol has no word for
    /// servers of another family than their service's, and that there is no such interface.
    fn told_daemon(&self, daemon: &Daemon) -> Result<(), Errno> {
        let is_mixed = |listed: &Listed, v6: bool| listed.address().is_ipv6() != v6;
        if self.book.list().any(|(service, listed)| listed.iter().any(|listed| is_mixed(listed, service.key.is_v6()))) {
            return Err(Errno::INVAL);
        }
        let mut names = self.config.ports.iter().flat_map(|port| [Some(&port.name), port.host.as_ref()]).flatten();
        match names.any(|name| *name == daemon.interface) {
            true => Err(Errno::NOPROTOOPT),
            false => Err(Errno::NODEV),
        }
    }
}
