//! The command line of UVS. Each command lives where its work does; this file only names them.

use clap::{CommandFactory, Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The Linux Virtual Server in user space, on DPDK
#[derive(Parser)]
#[command(name = "uvs", version = env!("UVS_VERSION"))]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the director in the foreground until SIGINT or SIGTERM
    #[cfg(feature = "dpdk")]
    Run {
        /// The configuration file
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Check a configuration file and print the plan, without touching a device
    Check {
        /// The configuration file
        #[arg(value_name = "FILE")]
        config: PathBuf,
        /// Print instead what a director that runs with OLD would change when it reloads
        #[arg(long, value_name = "OLD")]
        against: Option<PathBuf>,
    },
    /// Have a running director read its configuration file again (as SIGHUP does) and apply what changed
    Reload(control::ReloadArgs),
    /// Ask a running director
    Show(control::ShowArgs),
    /// Run a program (ipvsadm, keepalived) whose IPVS is the director, not the kernel
    Exec(uvs::exec::ExecArgs),
    /// Build a network of namespaces with clients and real servers, run the director in it and show where requests go
    #[cfg(feature = "dpdk")]
    Demo(uvs::demo::DemoArgs),
    /// Measure what a packet costs, by every method, on a load device
    #[cfg(feature = "dpdk")]
    Bench(uvs::bench::BenchArgs),
    /// Unwrap tunnelled packets onto a TUN device, as a real server of method tun does
    #[cfg(feature = "dpdk")]
    #[command(hide = true)]
    Decap(uvs::demo::decap::DecapArgs),
    /// Write the manual pages and the shells' completions
    #[command(hide = true)]
    Manual(uvs::manual::ManualArgs),
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info"))
        .format_target(false)
        .format_timestamp(None)
        .init();
    let done = match Arguments::parse().command {
        #[cfg(feature = "dpdk")]
        Command::Run { config } => load(&config).and_then(|read| uvs::director::run::run(read, &config)),
        Command::Check { config, against: None } => check(&config),
        Command::Check { config, against: Some(old) } => compare(&old, &config),
        Command::Reload(args) => control::reload(&args, &mut std::io::stdout().lock()).map_err(Into::into),
        Command::Show(args) => control::show(&args, &mut std::io::stdout().lock()).map_err(Into::into),
        Command::Exec(args) => Err(uvs::exec::exec(&args).into()),
        #[cfg(feature = "dpdk")]
        Command::Demo(args) => return uvs::demo::run(&args),
        #[cfg(feature = "dpdk")]
        Command::Bench(args) => return uvs::bench::run(&args),
        #[cfg(feature = "dpdk")]
        Command::Decap(args) => return uvs::demo::decap::run(&args),
        Command::Manual(args) => uvs::manual::write(&args, Arguments::command()).map_err(Into::into),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("uvs: {failure}");
            ExitCode::FAILURE
        }
    }
}

type Failure = Box<dyn std::error::Error>;

fn load(file: &Path) -> Result<config::Config, Failure> {
    Ok(config::load(file)?)
}

fn check(file: &Path) -> Result<(), Failure> {
    let config = load(file)?;
    print!("{}", uvs::director::plan::text(&config));
    let refusals = uvs::director::plan::refusals(&config);
    if refusals.is_empty() { Ok(()) } else { Err(refusals.join("\nuvs: ").into()) }
}

/// Fails if the director would refuse the new file.
fn compare(old: &Path, new: &Path) -> Result<(), Failure> {
    let difference = config::Difference::between(&load(old)?, &load(new)?);
    if !difference.refusals.is_empty() {
        return Err(difference.refusals.join("\nuvs: ").into());
    }
    println!("{difference}");
    Ok(())
}
