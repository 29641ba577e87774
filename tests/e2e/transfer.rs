//! Downloads that began before something happens to the director, and must come through it whole.

use std::fs;
use std::path::PathBuf;

use rustix::process::Signal;
use uvs::demo::Failure;
use uvs::demo::plan::{Method, Service};
use uvs::demo::process::Process;
use uvs::demo::wait::wait_until;

use crate::methods::{Bench, name};
use crate::programs;

/// Slow enough that most of it is still to come when it is told to rest.
const TRANSFER_BYTES_PER_S: &str = "5M";

/// A download under way, which rests until it is told to go on: so no machine is too slow or too fast for what is done meanwhile.
pub struct Transfer {
    curl: Process,
    file: PathBuf,
}

impl Transfer {
    /// Starts it, and lets it rest when the first bytes have come.
    fn start(bench: &Bench, service: &Service) -> Result<Transfer, Failure> {
        let directory = bench.network.directory();
        let file = directory.join(format!("beside-{}", name(service).replace(' ', "-")));
        let mut command = bench.network.client.command("curl");
        command.args(["-q", "-sSfg", "--noproxy", "*", "--limit-rate", TRANSFER_BYTES_PER_S, "-o"]).arg(&file);
        command.arg(format!("http://{}/big", service.vip));
        let mut curl = Process::start("curl", &mut command, &file.with_extension("log"))?;
        wait_until("a download began", || {
            curl.check_running()?;
            Ok(fs::metadata(&file).is_ok_and(|metadata| metadata.len() > 0))
        })?;
        curl.signal(Signal::STOP);
        Ok(Transfer { curl, file })
    }

    pub fn go_on(&self) {
        self.curl.signal(Signal::CONT);
    }

    /// Waits for its end; every byte must be right.
    pub fn finish(mut self, digest: &str) -> Result<(), Failure> {
        self.go_on();
        let status = self.curl.wait()?;
        if !status.success() {
            return Err(self.curl.failure(&format!("ended: {status}")));
        }
        programs::same_digest("a download beside it", &self.file, digest)
    }
}

/// One each for both kinds of translation and both families.
pub fn transfers(bench: &Bench) -> Result<Vec<Transfer>, Failure> {
    let chosen = |service: &&Service| match service.method {
        Method::Nat => service.vip.is_ipv4(),
        Method::FullNat => service.vip.is_ipv6(),
        _ => false,
    };
    bench.web.iter().filter(chosen).map(|service| Transfer::start(bench, service)).collect()
}
