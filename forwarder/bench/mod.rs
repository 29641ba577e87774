//! `uvs bench`: what a packet costs, by every method, on a load device of our own. See benches/README.md for how and why.
//!
//! A figure is TSC cycles of the worker's own CPU time per packet, the load device's work included, and stands beside that of DPDK's
//! testpmd 5tswap on the same device in the same minute: machines differ and drift, the multiple holds. Speed alone proves nothing: what
//! came out is decoded and the counters must agree, or the run fails.

mod accounts;
pub mod case;
mod machine;
pub mod measure;
pub mod network;
mod own;
mod pages;
pub mod sample;
pub mod table;
pub mod tools;
pub mod windows;

use crate::demo::wait;
use case::Round;
use measure::Setting;
use own::OwnFolder;
use pages::Pages;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use table::{Results, Run};

pub use crate::demo::Failure;

/// The load device's file, which benches/lbgen/build.sh makes. EAL finds it by its bare name.
const DEVICE_FILE: &str = "librte_net_lbgen.so";

/// Arguments of `uvs bench`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct BenchArgs {
    /// A minute's choice of cases
    #[arg(long)]
    pub quick: bool,
    /// Only cases whose names have these words: --only nat,ipv6,1000 (methods, families, protocols; numbers of flows, new, both)
    #[arg(long, value_name = "WORDS", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Numbers of workers, each with a receive queue of its own (default: 1,2 where there are two cores; with --quick: 1)
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    pub workers: Vec<usize>,
    /// Instead of packets: what commands of ipvsadm take, and the list of a million conns, while a worker is under full load
    #[arg(long, conflicts_with_all = ["quick", "only", "workers"])]
    pub tools: bool,
    /// Print JSON; what a person reads goes to standard error
    #[arg(long)]
    pub json: bool,
    /// Where the load device is (default: ~/.cache/uvs-lbgen)
    #[arg(long, value_name = "FOLDER")]
    pub device: Option<PathBuf>,
}

/// Measures. Succeeds if every case could be measured and everything that came out was right.
pub fn run(args: &BenchArgs) -> ExitCode {
    match measure_all(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("uvs bench: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn measure_all(args: &BenchArgs) -> Result<bool, Failure> {
    let workers = machine::worker_counts(&args.workers, args.quick)?;
    let rounds = case::rounds(args.quick, &workers, &args.only);
    if rounds.is_empty() {
        return Err(Failure::new(format!("--only {}: no case has all these words", args.only.join(","))));
    }
    let device = device(args.device.as_deref())?;
    wait::catch_signals()?;
    let own = OwnFolder::take()?;
    let pages = Pages::reserve(&own);
    let (lcores, main_core) = machine::cores(&workers);
    let setting = Setting {
        uvs: std::env::current_exe().map_err(|error| Failure::new(format!("this program's own path: {error}")))?,
        folder: own.run_folder(),
        device,
        lcores,
        main_core,
        huge: pages.huge(),
    };
    let begin = Instant::now();
    let machine = machine::describe(&pages);
    say(&machine::text(&machine));
    if args.tools {
        let figures = tools::measure(&setting)?;
        figures.wrong.iter().for_each(|wrong| say(&format!("WRONG: {wrong}")));
        print(&if args.json { format!("{:#}\n", figures.json(&machine)) } else { figures.text() });
        return Ok(figures.wrong.is_empty());
    }
    let results: Result<Vec<_>, _> = rounds.into_iter().map(|round| measure_round(&setting, round)).collect();
    let results = results?;
    let text = if args.json {
        format!("{:#}\n", table::json(&results, &machine))
    } else {
        format!("\n{}", table::text(&results))
    };
    print(&text);
    Ok(summary(&results, begin))
}

/// What was found.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// The baseline and the cases in turn.
fn measure_round(setting: &Setting, round: Round) -> Result<Results, Failure> {
    let mut runs: Vec<Run> = Vec::new();
    for case in round.cases {
        let baseline = measure::baseline(setting, &case)?;
        let measured =
            measure::director(setting, &case).map_err(|failure| Failure::new(format!("{case}: {failure}")))?;
        let figure = &measured.figure;
        say(&format!(
            "{case:<36} {:>5.0} cycles, {:.1} × 5tswap, {:.1} M/s{}",
            figure.cycles,
            figure.cycles / baseline.cycles,
            figure.packets_per_s / 1e6,
            if figure.disturbed { " (a core was shared)" } else { "" }
        ));
        measured.wrong.iter().for_each(|wrong| say(&format!("  WRONG: {wrong}")));
        runs.push(Run { case, baseline, measured });
    }
    Ok(Results { load: round.load, runs })
}

/// What the whole run says about itself. True: nothing was wrong.
fn summary(results: &[Results], begin: Instant) -> bool {
    let runs = || results.iter().flat_map(|results| &results.runs);
    let all = || runs().map(|run| &run.measured);
    let checked: usize = all().map(|measured| measured.checked).sum();
    let wrong = all().filter(|measured| !measured.wrong.is_empty()).count();
    let figures = || runs().flat_map(|run| [&run.measured.figure, &run.baseline]);
    let windows: usize = figures().map(|figure| figure.windows).sum();
    let discarded: usize = figures().map(|figure| figure.discarded).sum();
    let disturbed = figures().filter(|figure| figure.disturbed).count();
    say(&format!(
        "TSC cycles of the workers' CPU time per packet, and multiples of 5tswap's. {} cases, {:.0} s.\n\
         {checked} frames decoded; cases with something wrong or lost: {wrong}.\n\
         Figures are of {windows} windows of 100 ms. In {discarded} windows a thread was kept off its core: discarded,\n\
         but for {disturbed} figures (~) that had too few others.",
        all().count(),
        begin.elapsed().as_secs_f64()
    ));
    wrong == 0
}

/// Progress, for a person. A reader that went away is no reason to leave without giving the huge pages back, as a panic would.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn device(asked: Option<&Path>) -> Result<PathBuf, Failure> {
    let cache = || {
        let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
        std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or(home)
    };
    let folder = asked.map(Path::to_owned).or_else(|| cache().map(|cache| cache.join("uvs-lbgen")));
    let folder = folder.ok_or_else(|| Failure::new("HOME is not set: say --device FOLDER"))?;
    if folder.join(DEVICE_FILE).is_file() {
        return Ok(folder);
    }
    Err(Failure::new(format!(
        "{} has no {DEVICE_FILE}: `benches/lbgen/build.sh` builds it (`make bench` does both)",
        folder.display()
    )))
}
