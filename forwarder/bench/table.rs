//! What a person sees, and the JSON for programs.

use super::case::{Load, METHODS, Round, Traffic, method_name};
use super::measure::Measured;
use super::windows::Figure;
use crate::demo::plan::Method;
use serde_json::{Value, json};
use std::fmt::Write;

const METHOD_COLUMNS: usize = 8;
const CELL_COLUMNS: usize = 14;

/// A round's figures.
#[derive(Clone, Debug)]
pub struct Results {
    /// What was asked for.
    pub round: Round,
    /// The baseline of the same minute.
    pub baseline: Figure,
    /// In the order of the round's methods.
    pub measured: Vec<Measured>,
}

impl Results {
    fn of(&self, method: Method) -> Option<&Measured> {
        self.round.methods.iter().position(|&other| other == method).map(|index| &self.measured[index])
    }
}

/// Tables of cycles per packet with their multiples of the baseline's; one for each family and protocol.
pub fn text(results: &[Results]) -> String {
    let mut text = String::new();
    for block in results.chunk_by(|one, other| same_block(&one.round.load, &other.round.load)) {
        let load = block[0].round.load;
        let heads = block.iter().map(|results| match results.round.load.traffic {
            Traffic::Established { flows: 1 } => "1 flow".to_owned(),
            Traffic::Established { flows } => format!("{} flows", short(flows)),
            Traffic::New => "new conns".into(),
            Traffic::BothWays => format!("both, {}", short(results.round.load.flows())),
        });
        line(&mut text, &format!("{} {}", load.family.name(), load.protocol_name()), heads);
        line(&mut text, "5tswap", block.iter().map(|results| cell(&results.baseline, None)));
        for method in METHODS.into_iter().filter(|&method| block.iter().any(|results| results.of(method).is_some())) {
            let cells = block.iter().map(|results| {
                results.of(method).map_or(String::new(), |measured| cell(&measured.figure, Some(&results.baseline)))
            });
            line(&mut text, method_name(method), cells);
        }
        text.push('\n');
    }
    text
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

fn cell(figure: &Figure, baseline: Option<&Figure>) -> String {
    let mark = if figure.disturbed { "~" } else { "" };
    let ratio = baseline.map_or(String::new(), |baseline| format!(" ×{:.1}", figure.cycles / baseline.cycles));
    format!("{mark}{:.0}{ratio}", figure.cycles)
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
        let Results { round, baseline, measured } = results;
        round.methods.iter().zip(measured).map(move |(&method, measured)| {
            let Load { family, traffic, workers, .. } = round.load;
            let traffic = match traffic {
                Traffic::Established { .. } => "established",
                Traffic::New => "new",
                Traffic::BothWays => "both",
            };
            json!({
                "method": method_name(method),
                "family": family.name(),
                "protocol": round.load.protocol_name(),
                "traffic": traffic,
                "flows": if traffic == "new" { Value::Null } else { round.load.flows().into() },
                "workers": workers,
                "figure": figure(&measured.figure),
                "baseline": figure(baseline),
                "ratio": rounded(measured.figure.cycles / baseline.cycles, 100.0),
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
        "million_packets_per_core_second": rounded(figure.tsc_hz / figure.cycles / 1e6, 100.0),
    })
}

fn rounded(number: f64, parts: f64) -> f64 {
    (number * parts).round() / parts
}
