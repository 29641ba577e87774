//! What a person sees, and the JSON for programs.

use super::case::{Case, Load, METHODS, Traffic, method_name};
use super::measure::Measured;
use super::windows::Figure;
use crate::demo::plan::Method;
use serde_json::{Value, json};
use std::fmt::Write;

const METHOD_COLUMNS: usize = 12;
const CELL_COLUMNS: usize = 20;

/// A round's figures.
#[derive(Clone, Debug)]
pub struct Results {
    /// Under which load.
    pub load: Load,
    /// In the order they were measured in.
    pub runs: Vec<Run>,
}

/// A case's figures, and those of the baseline's run before it.
#[derive(Clone, Debug)]
pub struct Run {
    /// What was measured.
    pub case: Case,
    /// The baseline.
    pub baseline: Figure,
    /// The director.
    pub measured: Measured,
}

impl Results {
    fn of(&self, method: Method, workers: usize) -> Option<&Run> {
        self.runs.iter().find(|run| (run.case.method, run.case.workers) == (method, workers))
    }

    /// Of the baseline's runs with so many workers the one in the middle.
    fn baseline(&self, workers: usize) -> &Figure {
        let runs = self.runs.iter().filter(|run| run.case.workers == workers);
        let mut all: Vec<&Figure> = runs.map(|run| &run.baseline).collect();
        all.sort_by(|one, other| one.cycles.total_cmp(&other.cycles));
        all[all.len() / 2]
    }

    /// Packets per cycle of all workers, as a multiple of what one worker alone forwards in a cycle.
    fn scale(&self, run: &Run) -> Option<f64> {
        let one = self.of(run.case.method, 1).filter(|_| run.case.workers > 1)?;
        Some(one.measured.figure.cycles / run.measured.figure.cycles)
    }

    fn workers(&self) -> impl Iterator<Item = usize> {
        let mut all: Vec<usize> = self.runs.iter().map(|run| run.case.workers).collect();
        all.sort_unstable();
        all.dedup();
        all.into_iter()
    }
}

/// Tables of cycles per packet; one for each family, protocol and number of workers. One worker's have multiples of the baseline; more
/// workers' have, of the baseline too, how many packets per cycle they forward against one, and how many a second.
pub fn text(results: &[Results]) -> String {
    let mut text = String::new();
    for block in results.chunk_by(|one, other| same_block(&one.load, &other.load)) {
        for workers in block[0].workers() {
            let load = block[0].load;
            let several = if workers > 1 { format!(" {workers}w") } else { String::new() };
            let heads = block.iter().map(|results| head(&results.load));
            line(&mut text, &format!("{} {}{several}", load.family.name(), load.protocol_name()), heads);
            line(&mut text, "5tswap", block.iter().map(|results| baseline_cell(results, workers)));
            for method in
                METHODS.into_iter().filter(|&method| block.iter().any(|results| results.of(method, workers).is_some()))
            {
                let cells = block
                    .iter()
                    .map(|results| results.of(method, workers).map_or(String::new(), |run| cell(results, run)));
                line(&mut text, method_name(method), cells);
            }
            text.push('\n');
        }
    }
    text
}

fn head(load: &Load) -> String {
    match load.traffic {
        Traffic::Established { flows: 1 } => "1 flow".to_owned(),
        Traffic::Established { flows } => format!("{} flows", short(flows)),
        Traffic::New => "new conns".into(),
        Traffic::BothWays => format!("both, {}", short(load.flows())),
    }
}

fn line(text: &mut String, first: &str, cells: impl Iterator<Item = String>) {
    let start = text.len();
    let _ = write!(text, "{first:<METHOD_COLUMNS$}");
    cells.for_each(|cell| {
        let _ = write!(text, "{cell:>CELL_COLUMNS$}");
    });
    text.truncate(start + text[start..].trim_end().len());
    text.push('\n');
}

fn cell(results: &Results, run: &Run) -> String {
    let figure = &run.measured.figure;
    if run.case.workers == 1 {
        return format!("{} ×{:.1}", cycles(figure), figure.cycles / run.baseline.cycles);
    }
    let scale = results.scale(run).map_or(String::new(), |scale| format!(" ×{scale:.2}"));
    format!("{}{scale} {:.1} M/s", cycles(figure), figure.packets_per_s / 1e6)
}

fn baseline_cell(results: &Results, workers: usize) -> String {
    let figure = results.baseline(workers);
    if workers == 1 {
        return cycles(figure);
    }
    let one = results.workers().any(|workers| workers == 1).then(|| results.baseline(1));
    let scale = one.map_or(String::new(), |one| format!(" ×{:.2}", one.cycles / figure.cycles));
    format!("{}{scale} {:.1} M/s", cycles(figure), figure.packets_per_s / 1e6)
}

fn cycles(figure: &Figure) -> String {
    format!("{}{:.0}", if figure.disturbed { "~" } else { "" }, figure.cycles)
}

fn short(flows: u32) -> String {
    match flows {
        1_000_000.. => format!("{} M", flows / 1_000_000),
        1_000.. => format!("{} k", flows / 1_000),
        _ => flows.to_string(),
    }
}

fn same_block(one: &Load, other: &Load) -> bool {
    (one.family, one.protocol) == (other.family, other.protocol)
}

/// One object per case. Names are an interface: they are added to, not changed.
pub fn json(results: &[Results], machine: &Value) -> Value {
    let rows = results.iter().flat_map(|results| {
        results.runs.iter().map(move |run| {
            let Run { case, baseline, measured } = run;
            let Load { family, traffic, .. } = case.load;
            let traffic = match traffic {
                Traffic::Established { .. } => "established",
                Traffic::New => "new",
                Traffic::BothWays => "both",
            };
            json!({
                "method": method_name(case.method),
                "family": family.name(),
                "protocol": case.load.protocol_name(),
                "traffic": traffic,
                "flows": if traffic == "new" { Value::Null } else { case.flows().into() },
                "workers": case.workers,
                "figure": figure(&measured.figure),
                "baseline": figure(baseline),
                "ratio": rounded(measured.figure.cycles / baseline.cycles, 100.0),
                "ratio_to_one_worker": results.scale(run).map(|scale| rounded(scale, 100.0)),
                "handed_over": rounded(measured.handed_over, 1000.0),
                "packets_checked": measured.checked,
                "wrong": measured.wrong,
            })
        })
    });
    json!({ "machine": machine, "cases": rows.collect::<Vec<_>>() })
}

fn figure(figure: &Figure) -> Value {
    json!({
        "cycles_per_packet": rounded(figure.cycles, 10.0),
        "cycles_best": rounded(figure.range.0, 10.0),
        "cycles_worst": rounded(figure.range.1, 10.0),
        "windows": figure.windows,
        "windows_discarded": figure.discarded,
        "disturbed": figure.disturbed,
        "cycles_per_packet_by_worker": figure.by_worker.iter().map(|&cycles| rounded(cycles, 10.0)).collect::<Vec<_>>(),
        "million_packets_per_second": rounded(figure.packets_per_s / 1e6, 100.0),
        "million_packets_per_core_second": rounded(figure.tsc_hz / figure.cycles / 1e6, 100.0),
    })
}

fn rounded(number: f64, parts: f64) -> f64 {
    (number * parts).round() / parts
}
