//! Runs a worker on its core. DPDK made a thread for each worker's lcore at start; it waits for a function to call.
//! Only such threads have a cache of their own in the pool, and only they leave `dpdk-dumpcap` able to attach.

use super::{Eal, Error};
use std::ffi::{c_int, c_void};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// How often a waiting `join` looks. DPDK's own wait would spin.
const LOOK_MS: u64 = 2;

/// A function that was launched on an lcore. Dropping this lets it run on.
#[derive(Debug)]
pub struct Launched {
    lcore: u32,
}

/// Runs `work` on a worker's lcore. A panic in it aborts the process: a worker's state is worth nothing after one.
pub fn launch(eal: &Eal, lcore: u32, work: impl FnOnce() + Send + 'static) -> Result<Launched, Error> {
    if !eal.workers.contains(&lcore) {
        return Err(Error::new(format!("worker {lcore}"), format!("is none of the workers, {:?}", eal.workers)));
    }
    let job = Box::new(Job { work: Box::new(work), _alive: eal.alive.clone() });
    let raw = Box::into_raw(job);
    // SAFETY: run takes the box back, once, for an lcore that was launched calls it once.
    let code = unsafe { dpdk_sys::rte_eal_remote_launch(Some(run), raw.cast(), lcore) };
    if code != 0 {
        // SAFETY: the lcore refused it, so run is not called and the box is still ours.
        drop(unsafe { Box::from_raw(raw) });
    }
    Error::check(code, format!("worker {lcore}"), "cannot be launched on its lcore")?;
    Ok(Launched { lcore })
}

impl Launched {
    /// Whether the function has returned.
    pub fn is_finished(&self) -> bool {
        // SAFETY: reads the state of an lcore that exists, for it was launched.
        unsafe { dpdk_sys::rte_eal_get_lcore_state(self.lcore) == dpdk_sys::WAIT }
    }

    /// Waits for the function to return, without spinning.
    pub fn join(self) {
        while !self.is_finished() {
            thread::sleep(Duration::from_millis(LOOK_MS));
        }
        // SAFETY: as above. Returns at once, after what the function wrote has become visible here.
        unsafe { dpdk_sys::rte_eal_wait_lcore(self.lcore) };
    }
}

struct Job {
    work: Box<dyn FnOnce() + Send>,
    /// DPDK's memory stays while the function runs.
    _alive: Arc<()>,
}

/// What the lcore calls. A panic cannot leave an `extern "C"` function, it aborts.
unsafe extern "C" fn run(job: *mut c_void) -> c_int {
    // SAFETY: launch made the pointer from a box and gave it away.
    let job = unsafe { Box::from_raw(job.cast::<Job>()) };
    (job.work)();
    0
}
