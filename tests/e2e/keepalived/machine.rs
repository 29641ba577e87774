//! A machine of keepalived's test: a director whose host interface is the machine's only link, and keepalived by `uvs exec`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use control::show::{Server, Service};
use control::{Client, ClientError};
use rustix::process::Signal;
use uvs::demo::Failure;
use uvs::demo::namespace::Namespace;
use uvs::demo::process::Process;
use uvs::demo::wait::wait_until;

use super::conf::Conf;
use super::site::{HTTP, MARK, VIP, VIP6, file_prefix, write};
use crate::uvs_program;

/// The host interface.
const UVS0: &str = "uvs0";
/// The director's wire, until it is connected.
const TAP: &str = "uvs-keep";

/// Where a machine's FullNAT connects from.
pub const LOCAL: &str = "10.0.0.200";
const LOCAL6: &str = "fd00::200";

/// Fields are dropped in this order.
pub struct Machine {
    pub director: Option<Process>,
    pub keepalived: Option<Process>,
    namespace: Namespace,
    directory: PathBuf,
    number: usize,
}

/// One of the services.
#[derive(Clone, Copy, Debug)]
pub enum Of {
    /// Of the VIP.
    Port(u16),
    Mark,
    Ipv6,
}

/// What `-m` means at a machine.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Masquerade {
    Nat,
    FullNat,
}

impl Machine {
    /// Starts a director, connects its wire, and gives the host its addresses.
    pub fn start(
        number: usize,
        tag: &str,
        site: &Path,
        wire: &Namespace,
        masquerade: Masquerade,
    ) -> Result<Machine, Failure> {
        let namespace = Namespace::create(tag, &format!("machine{number}"))?;
        let directory = site.join(format!("machine{number}"));
        std::fs::create_dir(&directory).map_err(|error| Failure::new(format!("{}: {error}", directory.display())))?;
        write(&directory.join("uvs.toml"), &config_file(&directory, &file_prefix(tag, number), masquerade))?;
        let mut machine = Machine { director: None, keepalived: None, namespace, directory, number };
        machine.direct(wire)?;
        Ok(machine)
    }

    /// A director, the first one or after another. What is lost with an interface is given back, as networkd or ifupdown would.
    pub fn direct(&mut self, wire: &Namespace) -> Result<(), Failure> {
        let mut command = self.namespace.command(uvs_program());
        command.arg("run").arg("-c").arg(self.directory.join("uvs.toml"));
        self.director = Some(Process::start("the director", &mut command, &self.directory.join("director.log"))?);
        self.until("the director answered", |machine| Ok(machine.ask(Client::version).is_ok()))?;
        self.until("the director's wire appeared", |machine| machine.namespace.has_interface(TAP))?;
        let (number, port) = (self.number, format!("port{}", self.number));
        self.namespace.ip(&format!("link set dev {TAP} netns {} name {port}\n", wire.name()))?;
        // Both ends of a tap have one MAC at first: the bridge would take what is for the director as its own.
        wire.ip(&format!(
            "link set dev {port} address 02:00:00:00:c2:{number:02x}\nlink set dev {port} master bridge up\n"
        ))?;
        let host = 2 + number;
        let lines = [("192.0.2.", 24, ""), ("10.0.0.", 24, ""), ("2001:db8::", 64, "nodad"), ("fd00::", 64, "nodad")]
            .map(|(net, bits, more)| format!("address add {net}{host}/{bits} dev {UVS0} {more}\n"));
        self.namespace.ip(&format!("link set dev {UVS0} up\n{}", lines.concat()))
    }

    /// Writes what keepalived reads.
    pub fn configure(&self, conf: &Conf) -> Result<(), Failure> {
        write(&self.directory.join("keepalived.conf"), &conf.text())
    }

    /// Debian's keepalived, VRRP and checkers.
    pub fn keep(&mut self, uvs: &Path) -> Result<(), Failure> {
        let mut command = self.namespace.command(uvs);
        command.arg("exec").arg("--run-dir").arg(self.run_dir()).args(["--", "keepalived"]);
        command.args(["--dont-fork", "--log-console", "--log-detail"]);
        for (option, name) in [
            ("--use-file", "keepalived.conf"),
            ("--pid", "keepalived.pid"),
            ("--checkers_pid", "checkers.pid"),
            ("--vrrp_pid", "vrrp.pid"),
        ] {
            command.arg(option).arg(self.directory.join(name));
        }
        self.keepalived = Some(Process::start("keepalived", &mut command, &self.directory.join("keepalived.log"))?);
        Ok(())
    }

    /// Has keepalived read its file again.
    pub fn reload(&self) {
        if let Some(keepalived) = &self.keepalived {
            keepalived.signal(Signal::HUP);
        }
    }

    /// Asks the director.
    pub fn ask<T>(&self, question: impl FnOnce(&mut Client) -> Result<T, ClientError>) -> Result<T, Failure> {
        let answer = Client::connect(&self.run_dir()).and_then(|mut client| question(&mut client));
        answer.map_err(|error| Failure::new(error.to_string()))
    }

    /// A service, if there is one.
    pub fn service(&self, of: Of) -> Result<Option<Service>, Failure> {
        let at = |vip: &str, port| format!("{vip}:{port}").parse::<SocketAddr>().ok();
        let (address, mark) = match of {
            Of::Port(port) => (at(VIP, port), None),
            Of::Ipv6 => (at(&format!("[{VIP6}]"), 80), None),
            Of::Mark => (None, Some(MARK)),
        };
        let is_it = |service: &Service| (service.address, service.fwmark) == (address, mark);
        Ok(self.ask(Client::services)?.services.into_iter().find(is_it))
    }

    /// Waits until the service has these servers and weights: ("10.0.0.11:8080", 1).
    pub fn until_servers(&mut self, of: Of, expected: &[(String, u32)]) -> Result<(), Failure> {
        let mut found = None;
        let waited = self.until(&format!("the service {of:?} had {expected:?}"), |machine| {
            let row = |server: &Server| (server.address.to_string(), server.weight);
            found = machine.service(of)?.map(|service| service.servers.iter().map(row).collect::<Vec<_>>());
            if let Some(found) = &mut found {
                found.sort_unstable();
            }
            Ok(found.as_deref() == Some(expected))
        });
        waited.map_err(|failure| Failure::new(format!("{failure}; it has {found:?}; {}", self.last_words())))
    }

    /// Waits for a condition while both programs run.
    pub fn until(
        &mut self,
        what: &str,
        mut condition: impl FnMut(&mut Machine) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        wait_until(what, || {
            for process in [&mut self.director, &mut self.keepalived].into_iter().flatten() {
                process.check_running()?;
            }
            condition(self)
        })
    }

    /// The host carries an address.
    pub fn carries(&self, address: &str) -> Result<bool, Failure> {
        let listed = self.namespace.run("ip", &["-oneline", "-4", "address", "show", "dev", UVS0])?;
        Ok(listed.contains(&format!(" {address}/")))
    }

    /// The MAC of its only port.
    pub fn mac(&self) -> Result<String, Failure> {
        Ok(self.ask(Client::ports)?.ports.swap_remove(0).mac.to_string())
    }

    /// Ends both with SIGTERM: keepalived takes its services with it, and the director ends well.
    pub fn stop(&mut self) -> Result<(), Failure> {
        if let Some(mut keepalived) = self.keepalived.take() {
            keepalived.stop()?;
            let left = self.ask(Client::services)?.services;
            if !left.is_empty() {
                return Err(keepalived.failure(&format!("left {left:?}")));
            }
        }
        let Some(mut director) = self.director.take() else { return Ok(()) };
        let status = director.stop()?;
        if status.success() { Ok(()) } else { Err(director.failure(&format!("ended with {status}"))) }
    }

    /// What the director dropped, and the end of what both printed.
    pub fn last_words(&self) -> String {
        let drops = self.ask(Client::drops).map(|drops| drops.drops).unwrap_or_default();
        let counts = drops.iter().filter(|drop| drop.total > 0).map(|drop| format!(" {} {}", drop.reason, drop.total));
        let said = |process: &Process| format!("\n  {}", process.last_words());
        let said = [&self.director, &self.keepalived].into_iter().flatten().map(said);
        ["\n  dropped:".to_string()].into_iter().chain(counts).chain(said).collect()
    }

    fn run_dir(&self) -> PathBuf {
        self.directory.join("run")
    }
}

/// Without `expire_nodest_conn` a client that uses a port again within a minute may find the conn of a server that is gone, and silence.
fn config_file(directory: &Path, file_prefix: &str, masquerade: Masquerade) -> String {
    let lcore = core_affinity::get_core_ids().unwrap_or_default().last().map_or(0, |core| core.id);
    // Whoever has a local address answers for it.
    let fullnat = match masquerade {
        Masquerade::Nat => String::new(),
        Masquerade::FullNat => {
            format!("[fullnat]\nmasquerade = true\nlocal_addresses = [\"{LOCAL}\", \"{LOCAL6}\"]\n")
        }
    };
    format!(
        "[director]\nworkers = [{lcore}]\nconns_max = 131_072\nrun_dir = {:?}\n\
         [ipvs]\nexpire_nodest_conn = 1\n\
         {fullnat}\
         [eal]\nhuge_pages = \"off\"\nmemory_mb = 128\nargs = [\"--file-prefix={file_prefix}\"]\n\
         [[port]]\nname = \"wire\"\ndevice = \"net_tap0,iface={TAP}\"\nhost = \"{UVS0}\"\nvip_answer = \"host\"\n\
         [[mark]]\nmark = {MARK}\ndestination = \"{VIP}\"\nprotocol = \"tcp\"\ndestination_ports = {HTTP}\n",
        directory.join("run")
    )
}
