//! The network of keepalived's test: one wire, and on it the client, the real servers, and machines whose only link is the host
//! interface of their director. So VRRP, each check and each request cross a director's one port.
//!
//! ```text
//!            client .7   s1 .11   s2 .12   sorry .13
//!                │          │        │         │            192.0.2.0/24: client, machines, VIP
//!  ──────┬───────┴──────────┴────────┴─────────┴──┬───────   10.0.0.0/24: servers, machines, the servers' gateway
//!     director                                 director
//!       uvs0 .2                                  uvs0 .3    who is master carries the VIP and the gateway
//! ```
//!
//! The same by IPv6: 2001:db8::/64 and fd00::/64, with the same last digits.

use std::fs;
use std::path::{Path, PathBuf};

use uvs::demo::Failure;
use uvs::demo::namespace::{Namespace, remove_files, run_tag};
use uvs::demo::process::Process;
use uvs::demo::wait::wait_until;

use super::library;
use super::machine::{Machine, Masquerade};
use crate::uvs_program;

/// The virtual address.
pub const VIP: &str = "192.0.2.10";
pub const VIP6: &str = "2001:db8::10";
/// The servers' way to the clients: NAT wants the answers back.
pub const GATEWAY: &str = "10.0.0.1";
pub const GATEWAY6: &str = "fd00::1";
/// What is for the VIP at nginx's own port.
pub const MARK: u32 = 9;
/// Ports of the VIP that are one service to keepalived.
pub const GROUP: [u16; 2] = [83, 84];
/// Port of every nginx.
pub const HTTP: u16 = 8080;
/// The page that tells who asks for it.
pub const CLIENT_PAGE: &str = "client";
/// The page that keepalived asks for; a server whose file of that name is gone says 404.
pub const HEALTH: &str = "health";
/// Real servers, by their names.
pub const SERVERS: [&str; 3] = ["s1", "s2", "sorry"];
pub const CLIENT: &str = "192.0.2.7";

/// A real server's address.
pub fn server_address(index: usize) -> String {
    format!("10.0.0.{}", 11 + index)
}

/// Its address by IPv6.
pub fn server_address6(index: usize) -> String {
    format!("fd00::{}", 11 + index)
}

/// All of it. Fields are dropped in this order.
pub struct Site {
    pub machines: Vec<Machine>,
    pub servers: Vec<Server>,
    pub client: Namespace,
    /// Holds the bridge.
    wire: Namespace,
    pub directory: PathBuf,
    tag: String,
    /// Machines that were started; some may be gone.
    started: usize,
}

/// nginx in a namespace, that says who it is.
pub struct Server {
    nginx: Option<Process>,
    namespace: Namespace,
    directory: PathBuf,
}

impl Site {
    /// The wire, the client and the real servers.
    pub fn build() -> Result<Site, Failure> {
        let tag = run_tag(0);
        let directory = std::env::temp_dir().join(&tag);
        let create = |role: &str| Namespace::create(&tag, role);
        let (client, wire) = (create("client")?, create("wire")?);
        wire.sysctl(&["net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1"])?;
        let namespaces = SERVERS.map(create).into_iter().collect::<Result<Vec<_>, Failure>>()?;
        let servers = namespaces.into_iter().zip(SERVERS).map(|(namespace, name)| Server {
            nginx: None,
            namespace,
            directory: directory.join(name),
        });
        let servers = servers.collect();
        let mut site = Site { machines: vec![], servers, client, wire, directory, tag, started: 0 };
        site.lay_out().map_err(|error| Failure::new(format!("{}: {error}", site.directory.display())))?;
        site.connect()?;
        site.servers.iter_mut().try_for_each(Server::start)?;
        Ok(site)
    }

    /// `bin/uvs` and its library, as they are installed; a folder a server.
    fn lay_out(&self) -> std::io::Result<()> {
        for folder in ["bin", "lib/uvs"] {
            fs::create_dir_all(self.directory.join(folder))?;
        }
        let uvs = self.uvs();
        fs::hard_link(uvs_program(), &uvs).or_else(|_| fs::copy(uvs_program(), &uvs).map(drop))?;
        fs::copy(library::library(), self.directory.join("lib/uvs/libuvs_preload.so"))?;
        for (index, server) in self.servers.iter().enumerate() {
            fs::create_dir(&server.directory)?;
            fs::write(server.directory.join(HEALTH), "well\n")?;
            fs::write(server.directory.join("nginx.conf"), nginx_conf(SERVERS[index]))?;
        }
        Ok(())
    }

    fn connect(&self) -> Result<(), Failure> {
        self.wire.ip("link add name bridge type bridge mcast_snooping 0\nlink set dev bridge up\n")?;
        let routes = format!("route add default via {GATEWAY}\nroute add default via {GATEWAY6}\n");
        let servers = self.servers.iter().enumerate().map(|(index, server)| {
            let addresses = [server_address(index), server_address6(index)];
            (SERVERS[index], &server.namespace, addresses, routes.as_str())
        });
        let client = ("client", &self.client, [CLIENT.to_string(), "2001:db8::7".into()], "");
        for (name, namespace, [v4, v6], routes) in servers.chain([client]) {
            self.wire.ip(&format!(
                "link add name {name} type veth peer name eth0 netns {}\nlink set dev {name} master bridge up\n",
                namespace.name()
            ))?;
            namespace.ip(&format!(
                "link set eth0 up\naddress add {v4}/24 dev eth0\naddress add {v6}/64 dev eth0 nodad\n{routes}"
            ))?;
        }
        Ok(())
    }

    /// Asks the wire who has the VIP, once a second, so many times; none: until it is interrupted.
    pub fn ask_for_vip(&self, count: Option<u32>) -> Result<Process, Failure> {
        let mut command = self.client.command("arping");
        command.args(["-b", "-I", "eth0"]);
        if let Some(count) = count {
            command.args(["-c", &count.to_string()]);
        }
        command.arg(VIP);
        Process::start("arping", &mut command, &self.directory.join("arping.log"))
    }

    /// The program where it is installed.
    pub fn uvs(&self) -> PathBuf {
        self.directory.join("bin/uvs")
    }

    /// One more machine, whose director runs and is on the wire.
    pub fn add_machine(&mut self, masquerade: Masquerade) -> Result<(), Failure> {
        let number = self.started;
        self.started += 1;
        let machine = Machine::start(number, &self.tag, &self.directory, &self.wire, masquerade)?;
        self.machines.push(machine);
        Ok(())
    }

    /// Starts a machine's director again.
    pub fn direct_again(&mut self, machine: usize) -> Result<(), Failure> {
        self.machines[machine].direct(&self.wire)
    }
}

impl Server {
    /// Starts nginx, and returns when it listens.
    pub fn start(&mut self) -> Result<(), Failure> {
        let pid = self.directory.join("nginx.pid");
        let _ = fs::remove_file(&pid);
        let mut command = self.namespace.command("nginx");
        command.arg("-p").arg(&self.directory).args(["-c", "nginx.conf", "-e", "stderr"]);
        let mut nginx = Process::start("nginx", &mut command, &self.directory.join("log"))?;
        wait_until("nginx listened", || nginx.check_running().map(|()| pid.exists()))?;
        self.nginx = Some(nginx);
        Ok(())
    }

    /// Ends nginx with SIGKILL.
    pub fn kill(&mut self) {
        self.nginx = None;
    }

    /// What keepalived asks for is there, or is not.
    pub fn set_health(&self, well: bool) -> Result<(), Failure> {
        let page = self.directory.join(HEALTH);
        let done = if well { fs::write(&page, "well\n") } else { fs::remove_file(&page) };
        done.map_err(|error| Failure::new(format!("{}: {error}", page.display())))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.machines.clear();
        self.servers.clear();
        remove_files(&self.tag);
        // What DPDK made for each, if it was killed.
        (0..self.started).for_each(|number| remove_files(&file_prefix(&self.tag, number)));
    }
}

/// EAL's, one a director.
pub fn file_prefix(tag: &str, number: usize) -> String {
    format!("{tag}-{number}")
}

/// Writes a file of the test.
pub fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| Failure::new(format!("{}: {error}", path.display())))
}

/// Each request is a conn; one process, nothing outside its own folder.
fn nginx_conf(name: &str) -> String {
    let temporary =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|kind| format!("{kind}_temp_path {kind};"));
    format!(
        "daemon off; master_process off; pid nginx.pid; error_log stderr;\nevents {{ worker_connections 4096; }}\n\
         http {{ access_log off; keepalive_timeout 0; {}\n\
         server {{ listen {HTTP} backlog=4096; listen [::]:{HTTP} backlog=4096; default_type text/plain;\n\
         location / {{ return 200 \"{name}\\n\"; }}\nlocation = /{CLIENT_PAGE} {{ return 200 \"$remote_addr\\n\"; }}\nlocation = /{HEALTH} {{ root .; }} }} }}\n",
        temporary.join(" ")
    )
}
