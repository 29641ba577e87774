//! What runs on a real server: nginx, which says its server's name, and the decapsulating program where a service uses tunnels.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Failure;
use super::network::{Network, SERVER_NAMES};
use super::plan::{FAMILIES, Method, Protocol, Service};
use super::process::Process;
use super::wait::wait_until;

/// Path of the page by which a server tells who it is.
pub const PAGE: &str = "/who";
/// Under this path a PUT stores a file.
pub const UPLOADS: &str = "/uploads/";
/// Lines of the page below the name: more than one segment, so that order and checksums of several matter.
const PAGE_LINES: usize = 100;
/// The device on which the inner packets of tunnels arrive.
const TUNNEL: &str = "uvs-tunnel";

/// One real server's programs. They end when it is dropped.
#[derive(Debug)]
pub struct Server {
    index: usize,
    directory: PathBuf,
    nginx: Option<Process>,
    _decap: Option<Process>,
}

/// What server `index` answers to a request for [`PAGE`], byte for byte.
pub fn page(index: usize) -> Vec<u8> {
    let name = SERVER_NAMES[index];
    let lines = (1..=PAGE_LINES).map(|line| format!("line {line} of {PAGE_LINES} from real server {name}\n"));
    [format!("{name}\n")].into_iter().chain(lines).collect::<String>().into_bytes()
}

impl Server {
    /// Starts what real server `index` needs to serve `services`; `uvs` is the program that has the command `decap`.
    pub fn start(network: &Network, index: usize, services: &[Service], uvs: &Path) -> Result<Server, Failure> {
        let directory = network.directory().join(SERVER_NAMES[index]);
        lay_out(&directory, index, services)
            .map_err(|error| Failure::new(format!("{}: {error}", directory.display())))?;
        let decap = if services.iter().any(|service| service.method == Method::Tun) {
            Some(start_decap(network, index, &directory, uvs)?)
        } else {
            None
        };
        let mut server = Server { index, directory, nginx: None, _decap: decap };
        server.start_nginx(network)?;
        Ok(server)
    }

    /// Starts nginx, and returns when it listens.
    pub fn start_nginx(&mut self, network: &Network) -> Result<(), Failure> {
        let pid_file = self.directory.join("nginx.pid");
        let _ = fs::remove_file(&pid_file);
        let mut command = network.servers[self.index].command("nginx");
        command.arg("-p").arg(&self.directory).args(["-c", "nginx.conf", "-e", "stderr"]);
        let name = format!("nginx on {}", SERVER_NAMES[self.index]);
        let mut nginx = Process::start(&name, &mut command, &self.directory.join("nginx.log"))?;
        // nginx writes this file after it has bound its sockets.
        wait_until(&format!("{name} listened"), || nginx.check_running().map(|()| pid_file.exists()))?;
        self.nginx = Some(nginx);
        Ok(())
    }

    /// Ends nginx; conns that are open are cut.
    pub fn stop_nginx(&mut self) -> Result<(), Failure> {
        self.nginx.take().map_or(Ok(()), |mut nginx| nginx.stop().map(drop))
    }

    /// Where files to download lie: `files/x` is served as `/x`.
    pub fn files(&self) -> PathBuf {
        self.directory.join("files")
    }

    /// A file that a client has put to [`UPLOADS`].
    pub fn upload(&self, name: &str) -> PathBuf {
        self.directory.join("uploads").join(name)
    }
}

/// Starts the real servers of a network.
pub fn start_all(network: &Network, services: &[Service], uvs: &Path) -> Result<Vec<Server>, Failure> {
    (0..network.servers.len()).map(|index| Server::start(network, index, services, uvs)).collect()
}

fn start_decap(network: &Network, index: usize, directory: &Path, uvs: &Path) -> Result<Process, Failure> {
    let namespace = &network.servers[index];
    let mut command = namespace.command(uvs);
    command.args(["decap", "--tun", TUNNEL]);
    for family in FAMILIES {
        command.args(["--local", &family.server(index).to_string()]);
    }
    let name = format!("uvs decap on {}", SERVER_NAMES[index]);
    let mut decap = Process::start(&name, &mut command, &directory.join("decap.log"))?;
    wait_until(&format!("{name} was ready"), || {
        decap.check_running()?;
        namespace.is_up(TUNNEL)
    })?;
    Ok(decap)
}

fn lay_out(directory: &Path, index: usize, services: &[Service]) -> io::Result<()> {
    for inner in ["files", "uploads", "temp"] {
        fs::create_dir_all(directory.join(inner))?;
    }
    fs::write(directory.join("files").join(PAGE.trim_start_matches('/')), page(index))?;
    fs::write(directory.join("nginx.conf"), nginx_conf(index, services))
}

/// One process, nothing outside its own directory. [`PAGE`] closes the connection after each answer, so that each request is a conn.
fn nginx_conf(index: usize, services: &[Service]) -> String {
    let tcp = services.iter().filter(|service| service.protocol == Protocol::Tcp);
    let here = tcp.filter(|service| service.servers.iter().any(|server| server.index == index));
    let listens: BTreeSet<_> = here.map(|service| service.listens(index)).collect();
    let listens: String = listens.iter().map(|address| format!("    listen {address} backlog=4096;\n")).collect();
    format!(
        "daemon off;
master_process off;
pid nginx.pid;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  default_type text/plain;
  sendfile on;
  client_max_body_size 100m;
  client_body_temp_path temp/body;
  proxy_temp_path temp/proxy;
  fastcgi_temp_path temp/fastcgi;
  uwsgi_temp_path temp/uwsgi;
  scgi_temp_path temp/scgi;
  server {{
{listens}    root files;
    location = {PAGE} {{ keepalive_timeout 0; }}
    location {UPLOADS} {{ root .; dav_methods PUT; }}
  }}
}}
"
    )
}
