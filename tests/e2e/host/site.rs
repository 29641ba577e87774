//! The network of the host interface's test. The machine's only link is `uvs0`, the director's host interface on its port wan.
//!
//! ```text
//!  client ── 203.0.113.0/24 ── router ── 192.0.2.0/24 ── wan │ director │ lan ── 10.0.0.0/24 ── server
//!            2001:db8:c::/64   .254      2001:db8::/64       │  uvs0    │        fd00::/64
//!                              AS 65000        BGP           machine, AS 65001
//! ```

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

use control::{Client, ClientError};
use uvs::demo::Failure;
use uvs::demo::namespace::{Namespace, run_tag};
use uvs::demo::process::Process;
use uvs::demo::wait::wait_until;

use crate::uvs_program;

/// No duplicate address detection, which is a second of silence per IPv6 address.
const NO_DAD: [&str; 3] = [
    "net.ipv6.conf.all.accept_dad=0",
    "net.ipv6.conf.default.accept_dad=0",
    "net.ipv6.conf.default.router_solicitations=0",
];
/// The host interface.
pub const UVS0: &str = "uvs0";
/// The client's addresses.
pub const CLIENT: &str = "203.0.113.7";
pub const CLIENT6: &str = "2001:db8:c::7";
/// Port of the machine's and the server's nginx.
pub const HTTP: u16 = 8080;
/// Where a service listens whose real server is the machine itself, by NAT; on port HTTP there is one by DR.
pub const OWN_BY_NAT: u16 = 81;
/// Port of the server's iperf3, and of the machine's.
pub const IPERF: u16 = 5201;

/// What differs between the families.
#[derive(Clone, Copy)]
pub struct Side {
    pub name: &'static str,
    pub host: &'static str,
    pub router: &'static str,
    /// Announced by BGP.
    pub vip: &'static str,
    /// On the wire of router and director.
    pub near_vip: &'static str,
    pub server: &'static str,
    /// The servers' network.
    pub servers: &'static str,
    pub everywhere: &'static str,
    /// Nobody's, for a route by hand.
    pub elsewhere: &'static str,
    pub prefix: u8,
    pub bits: u8,
}

pub const SIDES: [Side; 2] = [
    Side {
        name: "IPv4",
        host: "192.0.2.2",
        router: "192.0.2.254",
        vip: "198.51.100.10",
        near_vip: "192.0.2.10",
        server: "10.0.0.11",
        servers: "10.0.0.0",
        everywhere: "0.0.0.0/0",
        elsewhere: "198.18.0.0/15",
        prefix: 24,
        bits: 32,
    },
    Side {
        name: "IPv6",
        host: "2001:db8::2",
        router: "2001:db8::fe",
        vip: "2001:db8:99::10",
        near_vip: "2001:db8::10",
        server: "fd00::11",
        servers: "fd00::",
        everywhere: "::/0",
        elsewhere: "2001:db8:e::/48",
        prefix: 64,
        bits: 128,
    },
];

/// The namespaces and what runs in them. Fields are dropped in this order.
pub struct Site {
    pub director: Option<Process>,
    pub programs: Vec<Process>,
    pub client: Namespace,
    pub router: Namespace,
    pub machine: Namespace,
    pub server: Namespace,
    directory: PathBuf,
    tag: String,
}

impl Site {
    /// All but what needs the director.
    pub fn build() -> Result<Site, Failure> {
        let tag = run_tag(0);
        let create = |role: &str| {
            let namespace = Namespace::create(&tag, role)?;
            namespace.sysctl(&NO_DAD).map(|()| namespace)
        };
        let (client, router) = (create("client")?, create("router")?);
        let (machine, server) = (create("machine")?, create("server")?);
        let directory = std::env::temp_dir().join(&tag);
        fs::create_dir(&directory).map_err(|error| Failure::new(format!("{}: {error}", directory.display())))?;
        client.ip(&format!("link add eth0 type veth peer name clients netns {}\n", router.name()))?;
        client.ip(&format!(
            "link set eth0 up\naddress add {CLIENT}/24 dev eth0\naddress add {CLIENT6}/64 dev eth0 nodad\n\
             route add default via 203.0.113.254\nroute add default via 2001:db8:c::fe\n",
        ))?;
        router.sysctl(&["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"])?;
        router.ip("link set clients up\naddress add 203.0.113.254/24 dev clients\n\
             address add 2001:db8:c::fe/64 dev clients nodad\n")?;
        Ok(Site { director: None, programs: Vec::new(), client, router, machine, server, directory, tag })
    }

    /// Starts the director, connects its wires, and gives the host its addresses.
    pub fn start_director(&mut self) -> Result<(), Failure> {
        let config = self.file("uvs.toml", &self.config())?;
        let mut command = self.machine.command(uvs_program());
        command.arg("run").arg("-c").arg(&config);
        let mut director = Process::start("the director", &mut command, &self.directory.join("director.log"))?;
        wait_until("the director answered on its admin socket", || {
            director.check_running()?;
            Ok(self.ask(Client::version).is_ok())
        })?;
        self.director = Some(director);
        self.wire("uvs-wan", &self.router, "wan", "02:00:00:00:c1:01")?;
        self.wire("uvs-lan", &self.server, "lan", "02:00:00:00:c1:02")?;
        self.router.sysctl(&["net.ipv4.conf.wan.arp_notify=1", "net.ipv6.conf.wan.ndisc_notify=1"])?;
        for side in SIDES {
            self.router.ip(&format!("address add {}/{} dev wan{}\n", side.router, side.prefix, nodad(side)))?;
            self.server.ip(&format!("address add {}/{} dev lan{}\n", side.server, side.prefix, nodad(side)))?;
            self.carry(side, side.host, side.prefix, true)?;
        }
        self.server.ip("route add default via 10.0.0.1\nroute add default via fd00::1\n")
    }

    fn wire(&self, tap: &str, to: &Namespace, name: &str, mac: &str) -> Result<(), Failure> {
        wait_until(&format!("{tap} appeared"), || self.machine.has_interface(tap))?;
        self.machine.ip(&format!("link set dev {tap} netns {} name {name}\n", to.name()))?;
        to.ip(&format!("link set dev {name} address {mac}\nlink set dev {name} up\n"))
    }

    /// Adds an address to the host interface, or removes it.
    pub fn carry(&self, side: Side, address: &str, prefix: u8, there: bool) -> Result<(), Failure> {
        let (verb, options) = if there { ("add", nodad(side)) } else { ("del", "") };
        self.machine.ip(&format!("address {verb} {address}/{prefix} dev {UVS0}{options}\n"))
    }

    /// Asks the director.
    pub fn ask<T>(&self, question: impl FnOnce(&mut Client) -> Result<T, ClientError>) -> Result<T, Failure> {
        let answer = Client::connect(&self.directory.join("run")).and_then(|mut client| question(&mut client));
        answer.map_err(|error| Failure::new(error.to_string()))
    }

    /// The director's way to a destination, as listed.
    pub fn route_to(&self, destination: &str) -> Result<Option<control::show::Route>, Failure> {
        let routes = self.ask(Client::routes)?.routes;
        Ok(routes.into_iter().find(|route| &*route.destination == destination))
    }

    /// The MAC by which the director knows a neighbour.
    pub fn mac_of(&self, address: &str) -> Result<Option<String>, Failure> {
        let address: IpAddr = address.parse().expect("an address of this file");
        let neighbors = self.ask(Client::neighbors)?.neighbors;
        let known = neighbors.into_iter().find(|neighbor| neighbor.address == address);
        Ok(known.and_then(|neighbor| neighbor.mac).map(|mac| mac.to_string()))
    }

    /// nginx in a namespace, that says who it is.
    pub fn serve(&mut self, who: &str, port: u16) -> Result<(), Failure> {
        let pid = self.directory.join(format!("nginx-{who}.pid"));
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {}/{who}-{kind};", self.directory.display()));
        let text = format!(
            "daemon off; master_process off; pid {}; error_log stderr;\nevents {{}}\n\
             http {{ access_log off; {}\nserver {{ listen {port}; listen [::]:{port}; location / {{ return 200 \"{who}\\n\"; }} }} }}\n",
            pid.display(),
            temporary.join(" ")
        );
        let config = self.file(&format!("nginx-{who}.conf"), &text)?;
        let mut command = self.namespace(who).command("nginx");
        command.arg("-p").arg(&self.directory).arg("-c").arg(&config).args(["-e", "stderr"]);
        self.start(&format!("nginx-{who}"), command, move |_| pid.exists())
    }

    /// iperf3's server in a namespace.
    pub fn serve_iperf(&mut self, who: &str) -> Result<(), Failure> {
        let mut command = self.namespace(who).command("iperf3");
        command.args(["-s", "-p", &IPERF.to_string(), "--forceflush"]);
        self.start(&format!("iperf3-{who}"), command, |said| said.contains("Server listening"))
    }

    /// BIRD in a namespace.
    pub fn route_by_bird(&mut self, who: &str, config: &str) -> Result<(), Failure> {
        let config = self.file(&format!("bird-{who}.conf"), config)?;
        let mut command = self.namespace(who).command("bird");
        let socket = self.directory.join(format!("bird-{who}.ctl"));
        command.arg("-f").arg("-c").arg(&config).arg("-s").arg(&socket);
        command.arg("-P").arg(self.directory.join(format!("bird-{who}.pid")));
        self.start(&format!("bird-{who}"), command, move |_| socket.exists())
    }

    fn start(
        &mut self,
        name: &str,
        mut command: std::process::Command,
        ready: impl Fn(&str) -> bool,
    ) -> Result<(), Failure> {
        let mut process = Process::start(name, &mut command, &self.directory.join(format!("{name}.log")))?;
        wait_until(&format!("{name} was ready"), || {
            process.check_running()?;
            Ok(ready(&process.output()))
        })?;
        self.programs.push(process);
        Ok(())
    }

    fn namespace(&self, who: &str) -> &Namespace {
        match who {
            "client" => &self.client,
            "router" => &self.router,
            "server" => &self.server,
            _ => &self.machine,
        }
    }

    fn file(&self, name: &str, text: &str) -> Result<PathBuf, Failure> {
        let path = self.directory.join(name);
        fs::write(&path, text).map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
        Ok(path)
    }

    fn config(&self) -> String {
        let lcore = core_affinity::get_core_ids().unwrap_or_default().last().map_or(0, |core| core.id);
        let mut text = format!(
            "[director]\nworkers = [{lcore}]\nconns_max = 65_536\nrun_dir = \"{}\"\n\
             [eal]\nhuge_pages = \"off\"\nmemory_mb = 256\nargs = [\"--file-prefix={}\"]\n\
             [[port]]\nname = \"wan\"\ndevice = \"net_tap0,iface=uvs-wan\"\nhost = \"{UVS0}\"\nvip_answer = \"host\"\n\
             [[port]]\nname = \"lan\"\ndevice = \"net_tap1,iface=uvs-lan\"\naddresses = [\"10.0.0.1/24\", \"fd00::1/64\"]\n",
            self.directory.join("run").display(),
            self.tag
        );
        for side in SIDES {
            for vip in [side.vip, side.near_vip] {
                let services = [
                    ("tcp", 80, "nat", side.server, HTTP),
                    ("tcp", IPERF, "nat", side.server, IPERF),
                    ("udp", IPERF, "nat", side.server, IPERF),
                    ("tcp", OWN_BY_NAT, "nat", side.host, HTTP),
                    ("tcp", HTTP, "dr", side.host, HTTP),
                ];
                for (protocol, port, method, server, server_port) in services {
                    text += &format!(
                        "[[service]]\nprotocol = \"{protocol}\"\naddress = \"{}\"\nscheduler = \"rr\"\n\
                         [[service.real_server]]\naddress = \"{}\"\nmethod = \"{method}\"\n",
                        endpoint(vip, port),
                        endpoint(server, server_port)
                    );
                }
            }
        }
        text
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.director = None;
        self.programs.clear();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// `address:port`, in brackets where the family wants them.
pub fn endpoint(address: &str, port: u16) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

fn nodad(side: Side) -> &'static str {
    if side.bits == 128 { " nodad" } else { "" }
}
