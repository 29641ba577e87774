//! What the load device wrote: for each queue its counters with the clocks of the thread that polls it, ten times a second, all queues at
//! the same moments. Between two moments lies a window. One in which a thread was kept off its core is discarded: its CPU time is right, but
//! its caches were somebody else's, and what other workers did meanwhile was to wait for it.

use super::Failure;
use std::fs;
use std::path::Path;

/// Part of a window that a thread may wait for its core before the window is discarded.
const DELAY_MAX: f64 = 0.02;
/// With fewer undisturbed windows the figure is of all windows, and says so.
pub const WINDOWS_MIN: usize = 4;
/// Numbers in a line.
const FIELDS: usize = 12;

/// One line: what the device counted since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Which moment: the same in all queues.
    number: u64,
    wall_ns: u64,
    cpu_ns: u64,
    delay_ns: u64,
    /// Frames given to the director.
    pub rx: u64,
    /// Frames taken from it.
    pub tx: u64,
    /// Answers of real servers that found no room.
    pub answers_lost: u64,
    passes: u64,
    /// Times there was no buffer for a frame.
    pub no_buffer: u64,
}

/// The lines of one queue.
#[derive(Clone, Debug, Default)]
pub struct Records {
    tsc_hz: f64,
    lines: Vec<Record>,
}

/// Which windows count.
#[derive(Clone, Copy, Debug)]
pub struct Settled {
    /// Nanoseconds of traffic before the first one.
    pub after_ns: u64,
    /// Times every flow must have come before.
    pub passes: u64,
    /// What the figure is of the windows.
    pub average: Average,
}

/// What a figure is of its windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Average {
    /// For steady work.
    Median,
    /// For work that comes in turns: making conns, and ending those of a second ago. All cycles over all packets, without the slowest
    /// twentieth of the windows.
    Mean,
}

/// Cycles per packet.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Median or mean over the windows; of several workers together.
    pub cycles: f64,
    /// Best and worst window.
    pub range: (f64, f64),
    /// Each worker's cycles per packet that it transmitted.
    pub by_worker: Vec<f64>,
    /// What all of them forwarded in a second.
    pub packets_per_s: f64,
    /// Windows the figure is of.
    pub windows: usize,
    /// Windows discarded because a thread was kept off its core.
    pub discarded: usize,
    /// So many were, that the figure is of all windows.
    pub disturbed: bool,
    /// The machine's cycles a second.
    pub tsc_hz: f64,
}

/// One window, and whether every thread had its core.
struct Window {
    workers: Vec<Work>,
    seconds: f64,
    undisturbed: bool,
}

/// What one thread did, or several.
#[derive(Clone, Copy, Default)]
struct Work {
    cycles: f64,
    packets: f64,
}

impl Window {
    fn per_packet(&self) -> f64 {
        sum(&self.workers).per_packet()
    }
}

impl Work {
    fn per_packet(&self) -> f64 {
        self.cycles / self.packets
    }
}

fn sum<'a>(works: impl IntoIterator<Item = &'a Work>) -> Work {
    works.into_iter().fold(Work::default(), |sum, work| Work {
        cycles: sum.cycles + work.cycles,
        packets: sum.packets + work.packets,
    })
}

impl Records {
    /// What a file has so far; nothing if there is none yet. A line that is being written is left out.
    pub fn read(path: &Path) -> Records {
        Records::parse(&fs::read_to_string(path).unwrap_or_default())
    }

    /// What this text has.
    pub fn parse(text: &str) -> Records {
        let mut records = Records::default();
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            if let Some(hz) = line.strip_prefix("hz ") {
                records.tsc_hz = hz.trim().parse().unwrap_or_default();
                continue;
            }
            let fields: Vec<u64> = line.split_whitespace().map_while(|field| field.parse().ok()).collect();
            if let Ok(fields) = <[u64; FIELDS]>::try_from(fields) {
                let [number, wall_ns, cpu_ns, delay_ns, rx, tx, _, _, answers_lost, passes, no_buffer, _] = fields;
                records.lines.push(Record {
                    number,
                    wall_ns,
                    cpu_ns,
                    delay_ns,
                    rx,
                    tx,
                    answers_lost,
                    passes,
                    no_buffer,
                });
            }
        }
        records
    }

    /// The last line.
    pub fn last(&self) -> Record {
        self.lines.last().copied().unwrap_or_default()
    }

    /// Did nothing come or go between the two last lines?
    pub fn is_still(&self) -> bool {
        let [.., before, last] = &self.lines[..] else { return false };
        (before.rx, before.tx) == (last.rx, last.tx)
    }

    fn at(&self, number: u64) -> Option<Record> {
        self.lines.binary_search_by_key(&number, |line| line.number).ok().map(|place| self.lines[place])
    }
}

/// The windows of settled traffic so far, between moments of which every queue has a line.
fn windows(queues: &[Records], settled: Settled) -> Vec<Window> {
    let Some(first) = queues.first().and_then(|records| records.lines.first()) else { return Vec::new() };
    let begin_ns = first.wall_ns + settled.after_ns;
    let moment = |line: &Record| queues.iter().map(|records| records.at(line.number)).collect::<Option<Vec<_>>>();
    let moments: Vec<Vec<Record>> = queues[0].lines.iter().filter_map(moment).collect();
    let is_settled =
        |lines: &[Record]| lines[0].wall_ns >= begin_ns && lines.iter().all(|line| line.passes >= settled.passes);
    let pairs = moments.windows(2).filter(|pair| is_settled(&pair[0]));
    let windows = pairs.map(|pair| window(&pair[0], &pair[1], queues[0].tsc_hz));
    windows.filter(|window| sum(&window.workers).packets > 0.0).collect()
}

fn window(before: &[Record], after: &[Record], tsc_hz: f64) -> Window {
    let pairs = || before.iter().zip(after);
    let work = |(before, after): (&Record, &Record)| Work {
        cycles: tsc_hz * (after.cpu_ns - before.cpu_ns) as f64 / 1e9,
        packets: (after.tx - before.tx) as f64,
    };
    let undisturbed = |(before, after): (&Record, &Record)| {
        (after.delay_ns - before.delay_ns) as f64 <= DELAY_MAX * (after.wall_ns - before.wall_ns) as f64
    };
    Window {
        workers: pairs().map(work).collect(),
        seconds: (after[0].wall_ns - before[0].wall_ns) as f64 / 1e9,
        undisturbed: pairs().all(undisturbed),
    }
}

/// Settled windows so far: undisturbed ones, and all.
pub fn count(queues: &[Records], settled: Settled) -> (usize, usize) {
    let windows = windows(queues, settled);
    (windows.iter().filter(|window| window.undisturbed).count(), windows.len())
}

/// The figure of all queues together.
pub fn figure(queues: &[Records], settled: Settled) -> Result<Figure, Failure> {
    let windows = windows(queues, settled);
    let undisturbed = windows.iter().filter(|window| window.undisturbed).count();
    let disturbed = undisturbed < WINDOWS_MIN;
    let mut counted: Vec<_> = windows.iter().filter(|window| disturbed || window.undisturbed).collect();
    counted.sort_by(|one, other| one.per_packet().total_cmp(&other.per_packet()));
    let (Some(best), Some(worst)) = (counted.first(), counted.last()) else {
        let last = queues.first().map(Records::last).unwrap_or_default();
        return Err(Failure::new(format!(
            "no window of settled traffic in the time given; the device gave {} frames, took {}, and came {} times to its \
             last flow",
            last.rx, last.tx, last.passes
        )));
    };
    let cycles = match settled.average {
        Average::Median => counted[counted.len() / 2].per_packet(),
        Average::Mean => {
            let kept = &counted[..counted.len() - counted.len() / 20];
            sum(kept.iter().flat_map(|window| &window.workers)).per_packet()
        }
    };
    let all = sum(counted.iter().flat_map(|window| &window.workers));
    let of_worker = |worker: usize| sum(counted.iter().map(|window| &window.workers[worker])).per_packet();
    Ok(Figure {
        cycles,
        range: (best.per_packet(), worst.per_packet()),
        by_worker: (0..queues.len()).map(of_worker).collect(),
        packets_per_s: all.packets / counted.iter().map(|window| window.seconds).sum::<f64>(),
        windows: counted.len(),
        discarded: windows.len() - undisturbed,
        disturbed,
        tsc_hz: queues[0].tsc_hz,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLED: Settled = Settled { after_ns: 0, passes: 1, average: Average::Median };

    /// Lines of 100 ms each: cpu and delay in ms, frames, passes.
    fn records(lines: &[(u64, u64, u64, u64)]) -> Records {
        let mut text = "hz 1000000000\nwall_ns cpu_ns …\n".to_owned();
        let mut sums = (0, 0, 0);
        for (i, (cpu, delay, frames, passes)) in lines.iter().enumerate() {
            sums = (sums.0 + cpu, sums.1 + delay, sums.2 + frames);
            let (wall, cpu, delay) = (i as u64 * 100_000_000, sums.0 * 1_000_000, sums.1 * 1_000_000);
            text += &format!("{i} {wall} {cpu} {delay} {} {} 0 0 0 {passes} 0 0\n", sums.2, sums.2);
        }
        Records::parse(&(text + "12 34"))
    }

    #[test]
    fn windows_before_the_traffic_settles_do_not_count() {
        let records = records(&[(0, 0, 0, 0), (100, 0, 100, 0), (100, 0, 1_000_000, 1), (100, 0, 1_000_000, 1)]);
        assert_eq!(count(std::slice::from_ref(&records), SETTLED), (1, 1), "one window begins after the first pass");
        assert_eq!(figure(&[records], SETTLED).unwrap().cycles.round(), 100.0);
    }

    #[test]
    fn disturbed_windows_are_discarded_unless_few_are_left() {
        let quiet = (100, 0, 1_000_000, 1);
        let disturbed = (50, 50, 100_000, 1);
        let mut lines = vec![quiet; WINDOWS_MIN + 1];
        lines.extend([disturbed; 3]);
        let some = figure(&[records(&lines)], SETTLED).unwrap();
        assert_eq!((some.windows, some.discarded, some.disturbed), (WINDOWS_MIN, 3, false));
        assert_eq!(some.range.1.round(), 100.0);
        let few = figure(&[records(&lines[1..])], SETTLED).unwrap();
        assert_eq!((few.windows, few.discarded, few.disturbed), (WINDOWS_MIN + 2, 3, true));
        assert_eq!(few.range.1.round(), 500.0);
    }

    #[test]
    fn of_two_queues_the_moments_count_that_both_have() {
        let one = records(&[(0, 0, 0, 1), (100, 0, 1_000_000, 1), (100, 0, 1_000_000, 1), (100, 0, 1_000_000, 1)]);
        let mut other = records(&[(0, 0, 0, 1), (50, 50, 500_000, 1), (50, 50, 500_000, 1), (100, 0, 2_000_000, 1)]);
        let both = figure(&[one.clone(), other.clone()], SETTLED).unwrap();
        assert_eq!((both.windows, both.discarded), (3, 2), "a window in which one of them waited for its core");
        assert_eq!(both.by_worker.iter().map(|cycles| cycles.round()).collect::<Vec<_>>(), [100.0, 67.0]);
        assert_eq!(both.packets_per_s.round(), 20_000_000.0);
        other.lines.remove(1);
        assert_eq!(count(&[one, other], SETTLED), (1, 2));
    }

    #[test]
    fn a_mean_is_of_all_packets() {
        let records = records(&[(100, 0, 1, 1), (100, 0, 3_000_000, 1), (100, 0, 1_000_000, 1)]);
        let mean = figure(&[records], Settled { average: Average::Mean, ..SETTLED }).unwrap();
        assert_eq!(mean.cycles.round(), 50.0, "not 67, the mean of the windows' figures");
    }

    #[test]
    fn no_traffic_is_an_error_that_says_what_came() {
        let error = figure(&[records(&[(0, 0, 7, 0)])], SETTLED).unwrap_err().to_string();
        assert!(error.contains("the device gave 7 frames"), "{error}");
    }
}
