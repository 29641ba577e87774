//! Two directors and one device: the second is refused with a line that says whose it is, as long as the first lives; an interface
//! of the same name in another namespace is another device; what is killed with -9 is in nobody's way.

use std::fs;
use std::path::{Path, PathBuf};

use control::Client;
use rustix::process::Signal;
use uvs::demo::Failure;
use uvs::demo::namespace::{Namespace, run_tag};
use uvs::demo::process::Process;
use uvs::demo::wait::wait_until;

use crate::uvs_program;

/// Numbers of the demo's networks are small.
const RUN: u32 = 900;
const INTERFACE: &str = "uvs-wan";

pub fn one_director_per_device() -> Result<(), Failure> {
    let tag = run_tag(RUN);
    let (here, there) = (Namespace::create(&tag, "here")?, Namespace::create(&tag, "there")?);
    let folder = std::env::temp_dir().join(&tag);
    fs::create_dir(&folder).map_err(|error| Failure::new(format!("{}: {error}", folder.display())))?;
    let result = taps(&here, &there, &folder).and_then(|()| packet_sockets(&here, &folder));
    let _ = fs::remove_dir_all(&folder);
    result
}

fn taps(here: &Namespace, there: &Namespace, folder: &Path) -> Result<(), Failure> {
    let device = format!("net_tap0,iface={INTERFACE}");
    let mut first = Director::start(here, folder, "first", &device)?;
    Director::spawn(here, folder, "second", &device)?.expect_refused(&device, first.process.id())?;
    let mut elsewhere = Director::start(there, folder, "elsewhere", &device)?;
    first.check()?;
    first.process.signal(Signal::KILL);
    first.process.wait()?;
    if here.has_interface(INTERFACE)? {
        return Err(Failure::new(format!("{INTERFACE} outlived its director")));
    }
    // The same run_dir, with the socket of the one that was killed.
    let mut again = Director::start(here, folder, "first", &device)?;
    elsewhere.check()?;
    again.check()
}

fn packet_sockets(here: &Namespace, folder: &Path) -> Result<(), Failure> {
    here.ip("link add uvs-v0 up type veth peer name uvs-v1\nlink set uvs-v1 up")?;
    let device = "net_af_packet0,iface=uvs-v0";
    let mut first = Director::start(here, folder, "first", device)?;
    Director::spawn(here, folder, "second", device)?.expect_refused(device, first.process.id())?;
    // As a tap it is the same interface.
    let tap = "net_tap0,iface=uvs-v0";
    Director::spawn(here, folder, "second", tap)?.expect_refused(tap, first.process.id())?;
    Director::start(here, folder, "second", "net_af_packet0,iface=uvs-v1")?.check()?;
    first.check()?;
    first.process.signal(Signal::KILL);
    first.process.wait()?;
    Director::start(here, folder, "second", device)?.check()
}

struct Director {
    process: Process,
    run_dir: PathBuf,
}

impl Director {
    fn spawn(namespace: &Namespace, folder: &Path, name: &str, device: &str) -> Result<Director, Failure> {
        let (file, run_dir) = (folder.join(format!("{name}.toml")), folder.join(name));
        let text = format!(
            "[director]\nworkers = [0]\nconns_max = 100\nrun_dir = {run_dir:?}\n[eal]\nhuge_pages = \"off\"\nmemory_mb = 64\n\
             [[port]]\nname = \"wan\"\ndevice = {device:?}\naddresses = [\"192.0.2.1/24\"]\n"
        );
        fs::write(&file, text).map_err(|error| Failure::new(format!("{}: {error}", file.display())))?;
        let mut command = namespace.command(uvs_program());
        command.arg("run").arg("-c").arg(&file);
        Ok(Director { process: Process::start("the director", &mut command, &file.with_extension("log"))?, run_dir })
    }

    fn start(namespace: &Namespace, folder: &Path, name: &str, device: &str) -> Result<Director, Failure> {
        let mut director = Director::spawn(namespace, folder, name, device)?;
        wait_until("the director answered", || {
            director.process.check_running()?;
            Ok(Client::connect(&director.run_dir).and_then(|mut client| client.version()).is_ok())
        })?;
        Ok(director)
    }

    /// It runs and has its port.
    fn check(&mut self) -> Result<(), Failure> {
        let ports = Client::connect(&self.run_dir).and_then(|mut client| client.ports());
        match ports {
            Ok(ports) if ports.ports.len() == 1 => self.process.check_running(),
            other => Err(self.process.failure(&format!("expected one port, found {other:?}"))),
        }
    }

    fn expect_refused(mut self, device: &str, holder: u32) -> Result<(), Failure> {
        let status = self.process.wait()?;
        let interface = device.rsplit('=').next().unwrap_or_default();
        let says = format!(
            "uvs: port wan: device \"{device}\": interface {interface} is another director's (process {holder} (uvs)); stop \
             it, or give this port another device\n"
        );
        match (status.code(), self.process.output()) {
            (Some(1), output) if output == says => Ok(()),
            (_, output) => Err(Failure::new(format!("{status}, expected 1 and {says}found {output}"))),
        }
    }
}
