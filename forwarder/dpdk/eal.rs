//! Starts and ends DPDK's environment. Once per process: DPDK cannot start twice.
//!
//! Devices in software are not named here but attached one by one when they are opened, which tells which of them failed
//! and why. PCI devices must be allowed here, for DPDK chooses its address mode by looking at them.

use super::error::last_words;
use super::huge::{HugePages, Memory, Pages};
use super::runtime_dir::RuntimeDir;
use super::{Bus, DeviceAddress, Error};
use crate::cores::Cores;
use std::collections::BTreeSet;
use std::ffi::{CString, c_char, c_int};
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What DPDK is started with.
#[derive(Clone, Debug)]
pub struct EalPlan {
    /// Cores that forward. Each is an lcore of the same number. All other cores are left to the control threads.
    pub workers: Vec<u32>,
    /// Whether to use huge pages.
    pub huge_pages: HugePages,
    /// Memory for frames and device rings.
    pub memory_mb: u32,
    /// Tells this process's files from another's.
    pub file_prefix: String,
    /// The devices that will be opened. No other PCI device is touched.
    pub devices: Vec<DeviceAddress>,
    /// Whether `dpdk-telemetry.py` can ask this process.
    pub telemetry: bool,
    /// What DPDK prints to standard error.
    pub log: EalLog,
    /// Appended as they are: `-d`, `librte_net_x.so`.
    pub args: Vec<String>,
}

/// How much DPDK and its drivers print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EalLog {
    /// What went wrong.
    Errors,
    /// And what might.
    Warnings,
    /// And what is done.
    Info,
    /// Everything that was compiled in.
    Debug,
}

/// DPDK, started. Stays with the thread that started it, which it left on the cores that are not workers'.
#[derive(Debug)]
pub struct Eal {
    /// Each pool, device and running lcore holds a clone: while there is one, memory stays.
    pub(super) alive: Arc<()>,
    pub(super) pools: Vec<NonNull<dpdk_sys::rte_mempool>>,
    pub(super) workers: Vec<u32>,
    memory: Memory,
    args: Vec<String>,
    stays_here: PhantomData<*const ()>,
    _runtime_dir: RuntimeDir,
}

static STARTED: AtomicBool = AtomicBool::new(false);

impl Eal {
    /// Starts DPDK. The calling thread becomes the main lcore: afterwards it runs, as do the threads it then spawns, on
    /// the cores that are not workers', if there are any.
    pub fn start(plan: &EalPlan) -> Result<Self, Error> {
        let twice = || Error::new("DPDK", "was started before in this process, and cannot start twice");
        if STARTED.load(Ordering::SeqCst) {
            // Said first: this thread has left the workers' cores, and would find them missing.
            return Err(twice());
        }
        let cores = Cores::of_this_process();
        let memory = Memory::choose(plan.huge_pages, plan.memory_mb, Pages::found())?;
        let args = plan.arguments(&cores, &memory)?;
        if STARTED.swap(true, Ordering::SeqCst) {
            return Err(twice());
        }
        init(&args)?;
        let workers = plan.workers.clone();
        let (alive, pools, stays_here, _runtime_dir) = (Arc::new(()), Vec::new(), PhantomData, RuntimeDir::made());
        Ok(Eal { alive, pools, workers, memory, args, stays_here, _runtime_dir })
    }

    /// The memory that was found and chosen.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// What DPDK was started with, for the start-up plan.
    pub fn args(&self) -> &[String] {
        &self.args
    }

    /// Whether everything that used DPDK's memory is gone: pools, devices, running lcores and frames. The error says what
    /// is not.
    pub fn idle(&self) -> Result<(), Error> {
        let holders = Arc::strong_count(&self.alive) - 1;
        if holders != 0 {
            return Err(Error::new("DPDK", format!("{holders} pools, devices or workers are still in use")));
        }
        for pool in &self.pools {
            // SAFETY: pools live until rte_eal_cleanup.
            let frames = unsafe { dpdk_sys::rte_mempool_in_use_count(pool.as_ptr()) };
            if frames != 0 {
                return Err(Error::new("DPDK", format!("{frames} frames are still held")));
            }
        }
        Ok(())
    }

    /// Ends DPDK and gives its memory back. Refuses unless it is idle; the memory then stays until the process ends, which
    /// is safe, too.
    pub fn cleanup(self) -> Result<(), Error> {
        self.idle()?;
        // SAFETY: no pool handle, device, lcore or frame is left that could reach DPDK's memory.
        let code = unsafe { dpdk_sys::rte_eal_cleanup() };
        Error::check(code, "DPDK", "cannot clean up")
    }
}

impl EalPlan {
    /// The argument list, beginning with the program's name.
    fn arguments(&self, cores: &Cores, memory: &Memory) -> Result<Vec<String>, Error> {
        let (lcores, main) = self.lcores(cores)?;
        let mut args = vec!["uvs".to_owned(), "--lcores".to_owned(), lcores, format!("--main-lcore={main}")];
        args.extend(["-m".to_owned(), self.memory_mb.to_string()]);
        if memory.huge {
            args.push("--in-memory".to_owned());
        } else {
            // Not together with --in-memory, which is about huge pages; this is what else it implies.
            args.extend(["--no-huge".to_owned(), "--no-shconf".to_owned()]);
        }
        args.push(format!("--file-prefix={}", self.file_prefix));
        let pci: Vec<_> = self.pci_devices().collect();
        if pci.is_empty() {
            args.push("--no-pci".to_owned());
        }
        args.extend(pci.into_iter().flat_map(|device| ["-a".to_owned(), device]));
        if !self.telemetry {
            args.push("--no-telemetry".to_owned());
        }
        args.push(format!("--log-level={}", self.log.name()));
        let names = self
            .devices
            .iter()
            .map(|device| device.name.as_str())
            .chain(self.devices.iter().flat_map(|device| device.slaves()));
        let taps = { names }.any(|name| name.starts_with("net_tap"));
        if taps && self.log < EalLog::Info {
            // It calls each qdisc a kernel lacks, and each secondary process there is not, an error. Device::open says
            // what a tap needs.
            args.push("--log-level=pmd.net.tap:critical".to_owned());
        }
        args.extend(self.args.iter().cloned());
        Ok(args)
    }

    /// The devices that one is a bond of; virtual ones as `args` make them.
    pub fn slaves(&self, bond: &DeviceAddress) -> impl Iterator<Item = DeviceAddress> {
        let made = |name: &str| {
            let devices = self.args.iter().map(|arg| arg.strip_prefix("--vdev=").unwrap_or(arg));
            { devices }.find(|device| device.split(',').next() == Some(name))
        };
        bond.slaves().filter_map(move |slave| made(slave).unwrap_or(slave).parse().ok())
    }

    /// What is to be allowed: the devices themselves, and those that they are bonds of.
    fn pci_devices(&self) -> impl Iterator<Item = String> + '_ {
        let slaves = self.devices.iter().flat_map(|device| self.slaves(device));
        let all = self.devices.iter().cloned().chain(slaves);
        all.filter(|device| device.bus == Bus::Pci).map(|device| device.to_string())
    }

    /// `--lcores`: each worker on its core, and the main lcore, under a number of its own, on the other shared cores. Where
    /// there are no others it shares them all, which a list of plain numbers cannot say.
    fn lcores(&self, cores: &Cores) -> Result<(String, u32), Error> {
        let workers: BTreeSet<u32> = self.workers.iter().copied().collect();
        if workers.len() != self.workers.len() || workers.is_empty() {
            return Err(Error::new(
                "director.workers",
                format!("{:?}: name each core once, and at least one", self.workers),
            ));
        }
        for worker in &workers {
            if !cores.has(*worker) {
                return Err(Error::new(
                    "director.workers",
                    format!("core {worker} is not there; this process may run on {cores}"),
                ));
            }
            if *worker >= dpdk_sys::RTE_MAX_LCORE {
                let last = dpdk_sys::RTE_MAX_LCORE - 1;
                return Err(Error::new("director.workers", format!("core {worker}: DPDK uses cores 0 to {last}")));
            }
        }
        let others = list(cores.shared.difference(&workers));
        let control = if others.is_empty() { list(cores.shared.iter()) } else { others };
        let main = (0..dpdk_sys::RTE_MAX_LCORE).find(|number| !workers.contains(number));
        let main = main.ok_or_else(|| Error::new("director.workers", "no number is left for the main lcore"))?;
        let mut lcores = format!("{main}@({control})");
        for worker in &workers {
            lcores += &format!(",{worker}@{worker}");
        }
        Ok((lcores, main))
    }
}

impl EalLog {
    fn name(self) -> &'static str {
        match self {
            EalLog::Errors => "error",
            EalLog::Warnings => "warning",
            EalLog::Info => "info",
            EalLog::Debug => "debug",
        }
    }
}

fn list<'a>(numbers: impl Iterator<Item = &'a u32>) -> String {
    numbers.map(u32::to_string).collect::<Vec<_>>().join(",")
}

fn init(args: &[String]) -> Result<(), Error> {
    let owned: Result<Vec<CString>, _> = args.iter().map(|arg| CString::new(arg.as_str())).collect();
    let owned = owned.map_err(|_| Error::new("eal.args", "an argument contains a zero byte"))?;
    let mut argv: Vec<*mut c_char> = owned.iter().map(|arg| arg.as_ptr().cast_mut()).collect();
    let count = argv.len() as c_int;
    argv.push(std::ptr::null_mut());
    // SAFETY: argv is an array of count strings and a null; DPDK reorders it and copies what it keeps.
    let code = unsafe { dpdk_sys::rte_eal_init(count, argv.as_mut_ptr()) };
    if code >= 0 {
        return Ok(());
    }
    Err(Error::new("DPDK does not start", format!("{}; its arguments were: {}", last_words(), args[1..].join(" "))))
}

#[cfg(test)]
mod tests;
