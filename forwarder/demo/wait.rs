//! Waiting for the world: always for a condition, always with a limit, and never through a Ctrl-C.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::Failure;

/// How long we wait for what takes milliseconds, or seconds at most, where there is processor time. Where there is none it takes long:
/// a kernel whose own threads starve ends a process or an interface, or closes a packet socket, after half a minute.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at a condition: short against what we wait for, long against what a look costs.
const LOOK_EVERY: Duration = Duration::from_millis(10);

static INTERRUPTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From now on SIGINT, SIGTERM and SIGHUP end every wait of this process instead of the process, so that what was built is taken down.
pub fn catch_signals() -> Result<(), Failure> {
    let flag = INTERRUPTED.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(flag))
            .map_err(|error| Failure::new(format!("signal {signal} cannot be caught: {error}")))?;
    }
    Ok(())
}

/// A caught signal has come.
pub fn interrupted() -> bool {
    INTERRUPTED.get().is_some_and(|flag| flag.load(Ordering::Relaxed))
}

/// Fails once a caught signal has come.
pub fn check_interrupted() -> Result<(), Failure> {
    if interrupted() { Err(Failure::new("interrupted")) } else { Ok(()) }
}

/// Looks at `condition` until it holds. `what` completes the sentence "120s passed before ...".
pub fn wait_until(what: &str, mut condition: impl FnMut() -> Result<bool, Failure>) -> Result<(), Failure> {
    wait_regardless(what, PATIENCE, || match condition() {
        Ok(false) => check_interrupted().map(|()| false),
        done => done,
    })
}

/// The same, but a caught signal does not end it: for what is part of taking down.
pub fn wait_regardless(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let start = Instant::now();
    while !condition()? {
        if start.elapsed() > limit {
            return Err(Failure::new(format!("{limit:?} passed before {what}")));
        }
        thread::sleep(LOOK_EVERY);
    }
    Ok(())
}
