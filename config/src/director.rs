//! `[director]` and `[eal]`: the process itself. What only the machine can answer (does that lcore exist, is there so
//! much memory) is asked at start, not here.

use std::path::PathBuf;

use crate::read::{Table, Value};

/// Most workers: each owns at least one of the 64 slots that FullNAT's local ports fall into.
pub const WORKERS_MAX: usize = 64;
/// EAL lcores are below this (RTE_MAX_LCORE of Debian's DPDK).
pub const LCORES_MAX: u32 = 128;
/// Bound of `conns_max`: the table's index is two entries of 32 bits per conn.
pub const CONNS_MAX: u32 = 100_000_000;
/// Bound of `templates_max`.
pub const TEMPLATES_MAX: u32 = 10_000_000;
/// Bound of `servers_max`.
pub const SERVERS_MAX: u32 = 1_000_000;
/// Bound of `neighbors_max`.
pub const NEIGHBORS_MAX: u32 = 1_000_000;
/// Bound of `memory_mb`: one TiB.
pub const MEMORY_MB_MAX: u32 = 1 << 20;
/// Bound of the number of `[eal] args`.
pub const EAL_ARGS_MAX: usize = 64;
/// A UNIX socket's path has 108 bytes, and `run_dir` needs room for the socket's name.
pub const RUN_DIR_BYTES_MAX: usize = 80;

/// `[director]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Director {
    /// EAL lcores that forward: 1 to `WORKERS_MAX`, all different, each below `LCORES_MAX`.
    pub workers: Vec<u32>,
    /// Conns per worker, at least 1.
    pub conns_max: u32,
    /// Persistence templates of all workers.
    pub templates_max: u32,
    /// Real servers of all services.
    pub servers_max: u32,
    /// Neighbours known at a time, static ones included.
    pub neighbors_max: u32,
    /// Where the sockets live: an absolute path.
    pub run_dir: PathBuf,
    /// A group of users who may look at the director as ipvsadm and keepalived do, by name.
    pub group: Option<String>,
    /// What a worker without frames does.
    pub idle: Idle,
    /// Packets for other hosts are routed.
    pub forward: bool,
}

/// What a worker without frames does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idle {
    /// It sleeps, and wakes within a stated time.
    Adaptive,
    /// It polls without ever sleeping.
    Busy,
}

/// `[eal]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Eal {
    /// Which pages the memory is made of.
    pub huge_pages: HugePages,
    /// Memory of the EAL in MiB.
    pub memory_mb: u32,
    /// Appended to what the director builds for `rte_eal_init`; without NUL bytes.
    pub args: Vec<String>,
}

/// Which pages the memory is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HugePages {
    /// Huge pages if there are enough, else ordinary ones.
    Auto,
    /// Huge pages, or the director does not start.
    Require,
    /// Ordinary pages.
    Off,
}

impl Default for Director {
    fn default() -> Self {
        Director {
            workers: vec![1],
            conns_max: 1_000_000,
            templates_max: 100_000,
            servers_max: 65_536,
            neighbors_max: 8_192,
            run_dir: PathBuf::from("/run/uvs"),
            group: None,
            idle: Idle::Adaptive,
            forward: true,
        }
    }
}

impl Default for Eal {
    fn default() -> Self {
        Eal { huge_pages: HugePages::Auto, memory_mb: 1024, args: Vec::new() }
    }
}

pub(crate) const DIRECTOR_KEYS: &[&str] =
    &["workers", "conns_max", "templates_max", "servers_max", "neighbors_max", "run_dir", "idle", "forward", "group"];
pub(crate) const EAL_KEYS: &[&str] = &["huge_pages", "memory_mb", "args"];

pub(crate) fn read_director(root: &Table) -> Director {
    let mut director = Director::default();
    let Some(table) = root.table("director") else { return director };
    table.check_keys(DIRECTOR_KEYS, &[]);
    let bounded = |key, most, default| table.get(key).and_then(|v| v.number(1..=most)).unwrap_or(default);
    director.conns_max = bounded("conns_max", CONNS_MAX, director.conns_max);
    director.templates_max = bounded("templates_max", TEMPLATES_MAX, director.templates_max);
    director.servers_max = bounded("servers_max", SERVERS_MAX, director.servers_max);
    director.neighbors_max = bounded("neighbors_max", NEIGHBORS_MAX, director.neighbors_max);
    if let Some(workers) = table.get("workers") {
        director.workers = read_workers(&workers);
    }
    if let Some(run_dir) = table.get("run_dir").and_then(|v| read_run_dir(&v)) {
        director.run_dir = run_dir;
    }
    if let Some(idle) = table.get("idle").and_then(|v| v.word(&[("adaptive", Idle::Adaptive), ("busy", Idle::Busy)])) {
        director.idle = idle;
    }
    director.group = table.get("group").and_then(|v| read_group(&v));
    director.forward = table.get("forward").and_then(|v| v.truth()).unwrap_or(director.forward);
    director
}

fn read_workers(value: &Value) -> Vec<u32> {
    let faults_before = value.fault_count();
    let mut workers = Vec::new();
    for item in value.items(LCORES_MAX as usize) {
        let Some(lcore) = item.number(0..=LCORES_MAX - 1) else { continue };
        if workers.contains(&lcore) {
            item.fault(format!("found lcore {lcore} a second time; each worker needs an lcore of its own"));
        }
        workers.push(lcore);
    }
    if value.fault_count() > faults_before {
        return workers;
    }
    if workers.is_empty() {
        value.fault("found an empty list; must name at least one lcore, such as [1]");
    } else if workers.len() > WORKERS_MAX {
        value.fault(format!("found {} workers; must be {WORKERS_MAX} at most", workers.len()));
    }
    workers
}

fn read_run_dir(value: &Value) -> Option<PathBuf> {
    let right = format!("an absolute path of at most {RUN_DIR_BYTES_MAX} bytes, such as \"/run/uvs\"");
    value.text(&right, |text| {
        let sound = text.starts_with('/') && text.len() <= RUN_DIR_BYTES_MAX && !text.contains('\0');
        sound.then(|| PathBuf::from(text))
    })
}

/// Whether there is such a group the machine says, at start.
fn read_group(value: &Value) -> Option<String> {
    let right = "the name of a group of users, such as \"monitoring\"";
    let is_letter = |letter: char| letter.is_ascii_graphic() && !":,/".contains(letter);
    value.text(right, |text| {
        (!text.is_empty() && text.len() <= 32 && text.chars().all(is_letter)).then(|| text.to_string())
    })
}

pub(crate) fn read_eal(root: &Table) -> Eal {
    let mut eal = Eal::default();
    let Some(table) = root.table("eal") else { return eal };
    table.check_keys(EAL_KEYS, &[]);
    let pages = [("auto", HugePages::Auto), ("require", HugePages::Require), ("off", HugePages::Off)];
    if let Some(huge_pages) = table.get("huge_pages").and_then(|v| v.word(&pages)) {
        eal.huge_pages = huge_pages;
    }
    if let Some(memory_mb) = table.get("memory_mb").and_then(|v| v.number(16..=MEMORY_MB_MAX)) {
        eal.memory_mb = memory_mb;
    }
    if let Some(args) = table.get("args") {
        let argument = |text: &str| (!text.is_empty() && !text.contains('\0')).then(|| text.to_string());
        let right = "a text that is one word of the EAL's command line";
        eal.args = args.items(EAL_ARGS_MAX).iter().filter_map(|item| item.text(right, argument)).collect();
    }
    eal
}
