//! Workers and the reasons why they dropped frames.

use super::count;
use super::grid::{Grid, wrap};
use crate::show::{Drops, LocalPortsExhausted, Worker, Workers};

/// Narrowest column for the meaning of a reason.
const MEANING_COLUMNS_MIN: usize = 24;
/// What a worker's column takes: "worker 127" and a blank.
const WORKER_COLUMNS: usize = 11;
/// Lines about local ports that ran out.
const EXHAUSTED_MAX: usize = 20;

/// The tables of `uvs show workers`: the fates of frames, then conns, turns, and the defences that are up.
pub fn workers(workers: &Workers) -> String {
    let mut fates = Grid::new(1..10);
    fates.row([
        "lcore",
        "received",
        "handed_in",
        "created",
        "sent",
        "passed",
        "handed_out",
        "consumed",
        "dropped",
        "held",
    ]);
    let mut turns = Grid::new(1..7);
    turns.row(["lcore", "conns", "conns_max", "turns", "busy_turns", "busy", "sleeps", "defenses"]);
    let mut faults = String::new();
    for worker in &workers.workers {
        fates.row(fate_cells(worker));
        turns.row(turn_cells(worker));
        if !worker.identity_holds() {
            faults += &format!(
                "\nworker {}: frames in and frames out differ; this is a defect, please report it\n",
                worker.lcore
            );
        }
    }
    format!("{}\n{}{faults}", fates.text(), turns.text())
}

fn fate_cells(worker: &Worker) -> Vec<String> {
    let counts = [
        worker.received,
        worker.handed_in,
        worker.created,
        worker.sent,
        worker.passed,
        worker.handed_out,
        worker.consumed,
        worker.dropped,
        worker.held,
    ];
    std::iter::once(worker.lcore.to_string()).chain(counts.map(count)).collect()
}

fn turn_cells(worker: &Worker) -> Vec<String> {
    let busy = (u128::from(worker.busy_turns) * 100).checked_div(u128::from(worker.turns)).unwrap_or(0);
    vec![
        worker.lcore.to_string(),
        worker.conns.to_string(),
        worker.conns_max.to_string(),
        count(worker.turns),
        count(worker.busy_turns),
        format!("{busy}%"),
        count(worker.sleeps),
        if worker.defenses.is_empty() { "-".into() } else { worker.defenses.join(" ") },
    ]
}

/// The table of `uvs show drops`: the reasons that occurred, the most frequent first. Workers have a column each if they fit.
pub fn drops(drops: &Drops, columns: Option<usize>) -> String {
    let mut occurred: Vec<_> = drops.drops.iter().filter(|drop| drop.total > 0).collect();
    occurred.sort_by_key(|drop| std::cmp::Reverse(drop.total));
    let silent = drops.drops.len() - occurred.len();
    if occurred.is_empty() {
        return format!("no frame was dropped ({silent} reasons; all of them with --json)\n");
    }

    let reason_width = occurred.iter().map(|drop| drop.reason.len()).max().unwrap_or(0);
    let total_width = occurred[0].total.to_string().len().max("total".len());
    let room = columns.unwrap_or(usize::MAX).saturating_sub(reason_width + total_width + 2);
    let workers_width = drops.lcores.len() * WORKER_COLUMNS;
    let shown =
        if drops.lcores.len() > 1 && room >= workers_width + MEANING_COLUMNS_MIN { &drops.lcores[..] } else { &[] };
    let meaning_width = (room - shown.len() * WORKER_COLUMNS).max(MEANING_COLUMNS_MIN);

    let mut grid = Grid::new(1..2 + shown.len());
    let titles = shown.iter().map(|lcore| format!("worker {lcore}"));
    grid.row(["reason".into(), "total".into()].into_iter().chain(titles).chain(["meaning".into()]));
    for drop in occurred {
        let mut lines = wrap(&drop.meaning, meaning_width).into_iter();
        let mut cells = vec![drop.reason.to_string(), drop.total.to_string()];
        cells.extend(drop.per_worker.iter().take(shown.len()).map(|&frames| count(frames)));
        cells.extend(lines.next());
        let before = cells.len() - 1;
        grid.row(cells);
        for line in lines {
            grid.row(std::iter::repeat_n(String::new(), before).chain([line]));
        }
    }
    format!(
        "{}reasons that did not occur: {silent} (--json has them)\n{}",
        grid.text(),
        local_ports(&drops.local_ports, columns)
    )
}

/// Where FullNAT's ports ran out, the most frequent first.
fn local_ports(exhausted: &[LocalPortsExhausted], columns: Option<usize>) -> String {
    if exhausted.is_empty() {
        return String::new();
    }
    let mut grid = Grid::new([2]);
    grid.row(["no local port at", "towards", "times"]);
    let mut exhausted: Vec<_> = exhausted.iter().collect();
    exhausted.sort_by_key(|one| std::cmp::Reverse(one.times));
    for one in exhausted.iter().take(EXHAUSTED_MAX) {
        let server = one.server.map_or("(removed)".into(), |server| server.to_string());
        grid.row([one.local.to_string(), server, count(one.times)]);
    }
    let more = match exhausted.len().saturating_sub(EXHAUSTED_MAX) {
        0 => String::new(),
        more => format!("and {more} more (--json has them)\n"),
    };
    format!("\n{}{more}", grid.text_within(columns))
}
