//! `uvs demo`: a network of namespaces with clients and real web servers, a director in the middle, real requests by every method, and a
//! table of where they went. Succeeds only if every byte of every answer was right and the schedulers kept their promises.
//!
//! The network (`network`, `servers`, `director`) is shared with the end-to-end tests. `uvs run` is started as a child: the demo sees the
//! director as an operator does, by its file and its admin socket.

pub mod decap;
pub mod director;
pub mod namespace;
pub mod network;
pub mod plan;
pub mod preconditions;
pub mod process;
pub mod requests;
mod run;
pub mod servers;
mod shares;
mod table;
pub mod wait;

use std::path::PathBuf;
use std::process::ExitCode;

use plan::{FAMILIES, Family, Method, Protocol, RealServer, SERVER_PORT, SERVERS, Service};

/// Why a network could not be built or a demo failed: where, what was found, and the cure if there is one.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failure(String);

impl Failure {
    /// From a sentence without a full stop.
    pub fn new(sentence: impl Into<String>) -> Failure {
        Failure(sentence.into())
    }
}

/// Arguments of `uvs demo`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct DemoArgs {
    /// Leave everything up afterwards, print commands to try, and end at Ctrl-C
    #[arg(long)]
    pub keep: bool,
    /// Cores that forward, each with a queue of both taps
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub workers: usize,
    /// Tests: the director makes this mistake in what it sends; the demo must notice
    #[arg(long, hide = true, value_name = "FAULT")]
    pub test_break: Option<String>,
    /// Tests: the director is killed in mid-demo; the demo must notice
    #[arg(long, hide = true)]
    pub test_kill: bool,
}

/// Exit status of a shell for a program that SIGINT ended.
const EXIT_INTERRUPTED: u8 = 130;

/// Runs the demo. Nothing that it made is left when it returns, or panics.
pub fn run(args: &DemoArgs) -> ExitCode {
    sweep_on_panic();
    let result = prepare().and_then(|uvs| run::run(args, &services(), &uvs));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) if wait::interrupted() => {
            println!("\n  Interrupted; everything is taken down.");
            ExitCode::from(EXIT_INTERRUPTED)
        }
        Err(failure) => {
            eprintln!("\nuvs demo failed: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Checks the machine, removes what killed runs left, and gives the path of this program.
fn prepare() -> Result<PathBuf, Failure> {
    preconditions::check()?;
    wait::catch_signals()?;
    let removed = namespace::sweep_dead_runs();
    if !removed.is_empty() {
        println!("Removed what a killed run had left: {}", removed.join(", "));
    }
    std::env::current_exe().map_err(|error| Failure::new(format!("this program's own path: {error}")))
}

/// A panic aborts in release builds, and no destructor runs: the hook takes their place.
fn sweep_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        namespace::sweep_own_run();
    }));
}

/// The demo's services: every method, each with another scheduler, in both families.
fn services() -> Vec<Service> {
    let rows: [(Method, [&'static str; 2], [u32; SERVERS]); 4] = [
        (Method::Nat, ["rr", "rr"], [1, 1, 1, 1]),
        (Method::Dr, ["wrr", "wrr"], [1, 2, 3, 4]),
        (Method::Tun, ["sh", "mh"], [2, 1, 2, 1]),
        (Method::FullNat, ["wlc", "wlc"], [4, 3, 2, 1]),
    ];
    let service = |family: Family, at: usize| {
        let (method, schedulers, weights) = rows[at];
        let scheduler = schedulers[usize::from(family == Family::V6)];
        let keeps_port = matches!(method, Method::Dr | Method::Tun);
        Service {
            protocol: Protocol::Tcp,
            vip: std::net::SocketAddr::new(family.vip(at), 80),
            scheduler,
            method,
            server_port: if keeps_port { 80 } else { SERVER_PORT },
            servers: (0..SERVERS).map(|index| RealServer { index, weight: weights[index] }).collect(),
        }
    };
    FAMILIES.into_iter().flat_map(|family| (0..rows.len()).map(move |at| service(family, at))).collect()
}
