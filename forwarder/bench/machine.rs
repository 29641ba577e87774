//! What was measured on: cores, processor, kernel, pages, load.

use super::Failure;
use super::pages::Pages;
use serde_json::{Value, json};
use std::fs;

/// How many workers to measure with.
pub fn worker_counts(asked: &[usize], quick: bool) -> Result<Vec<usize>, Failure> {
    let cores = core_numbers().len();
    if let Some(wrong) = asked.iter().find(|workers| !(1..=cores).contains(*workers)) {
        return Err(Failure::new(format!("--workers {wrong}: this process may run on {cores} cores")));
    }
    Ok(match asked {
        [] if quick || cores == 1 => vec![1],
        [] => vec![1, 2],
        asked => asked.to_vec(),
    })
}

/// The cores of so many workers, the last ones first, and the core for everything else: the last worker's, if there is no other.
pub fn cores(workers: &[usize]) -> (Vec<usize>, usize) {
    let cores = core_numbers();
    (cores.iter().rev().take(workers.iter().copied().max().unwrap_or(1)).copied().collect(), cores[0])
}

fn core_numbers() -> Vec<usize> {
    core_affinity::get_core_ids().into_iter().flatten().map(|core| core.id).collect()
}

/// As JSON.
pub fn describe(pages: &Pages) -> Value {
    let processor = first_line("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".into());
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    json!({
        "processor": processor,
        "cores": core_affinity::get_core_ids().map_or(0, |cores| cores.len()),
        "kernel": fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
        "load_before": load.split(' ').next().and_then(|load| load.parse::<f64>().ok()),
        "frames_in": pages.to_string(),
        "version": env!("UVS_VERSION"),
    })
}

/// For a person.
pub fn text(machine: &Value) -> String {
    let field = |name: &str| match &machine[name] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    format!(
        "uvs {} on {}, {} cores, Linux {}, load before the run {}\nframes in {}",
        field("version"),
        field("processor"),
        field("cores"),
        field("kernel"),
        field("load_before"),
        field("frames_in")
    )
}

fn first_line(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
