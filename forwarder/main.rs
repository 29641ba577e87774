//! The command line of UVS. Each command lives where its work does; this file only names them.

use clap::{Parser, Subcommand};
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
    },
    /// Ask a running director
    Show(control::ShowArgs),
    /// Build a network of namespaces with clients and real servers, run the director in it and show where requests go
    #[cfg(feature = "dpdk")]
    Demo(uvs::demo::DemoArgs),
    /// Unwrap tunnelled packets onto a TUN device, as a real server of method tun does
    #[cfg(feature = "dpdk")]
    #[command(hide = true)]
    Decap(uvs::demo::decap::DecapArgs),
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).format_target(false).init();
    let done = match Arguments::parse().command {
        #[cfg(feature = "dpdk")]
        Command::Run { config } => load(&config).and_then(uvs::director::run::run),
        Command::Check { config } => check(&config),
        Command::Show(args) => {
            control::show(args.what, &args.run_dir, args.json, &mut std::io::stdout().lock()).map_err(Into::into)
        }
        #[cfg(feature = "dpdk")]
        Command::Demo(args) => return uvs::demo::run(&args),
        #[cfg(feature = "dpdk")]
        Command::Decap(args) => return uvs::demo::decap::run(&args),
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
