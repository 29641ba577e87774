//! What was measured on: cores, processor, kernel, pages, load.

use super::Failure;
use super::pages::Pages;
use serde_json::{Value, json};
use std::fs;

/// The workers' cores, the last ones first, and the core for everything else.
pub fn cores(workers: usize) -> Result<(Vec<usize>, usize), Failure> {
    let cores: Vec<usize> = core_affinity::get_core_ids().into_iter().flatten().map(|core| core.id).collect();
    if workers == 0 || workers > cores.len() {
        return Err(Failure::new(format!("--workers {workers}: this process may run on {} cores", cores.len())));
    }
    Ok((cores.iter().rev().take(workers).copied().collect(), cores[0]))
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
