//! A file that changes a thousand services at a time, while wrk keeps hundreds of conns to another service: nobody who does not
//! use what changed may notice.

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use uvs::demo::Failure;
use uvs::demo::director::Director;
use uvs::demo::namespace::Namespace;

use crate::{programs, uvs_program};

/// Services that each reload changes.
const CHANGED: usize = 1_000;
/// wrk runs again until so many reloads have happened: with fewer the test shows nothing.
const RELOADS_MIN: usize = 5;
/// But not more often than this: a reload that takes so long is a defect.
const RUNS_MAX: usize = 20;

/// Reloads for as long as wrk runs. Gives wrk's rate and the number of reloads.
pub fn under_load(client: &Namespace, director: &Director, vip: SocketAddr) -> Result<(f64, usize), Failure> {
    let file = director.config();
    let original = fs::read_to_string(file).map_err(|error| Failure::new(format!("{}: {error}", file.display())))?;
    let (done, reloads) = (AtomicBool::new(false), AtomicUsize::new(0));
    let rate = std::thread::scope(|scope| {
        let reloading = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let weight = 1 + reloads.load(Ordering::Relaxed) % 2;
                reload(director, &(original.clone() + &services(weight)))?;
                reloads.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<(), Failure>(())
        });
        let mut rate = programs::wrk(client, vip);
        for _ in 1..RUNS_MAX {
            if rate.is_err() || reloading.is_finished() || reloads.load(Ordering::Relaxed) >= RELOADS_MIN {
                break;
            }
            rate = programs::wrk(client, vip);
        }
        done.store(true, Ordering::Relaxed);
        reloading.join().expect("the reloading thread does not panic")?;
        rate
    })?;
    reload(director, &original)?;
    match reloads.into_inner() {
        enough @ RELOADS_MIN.. => Ok((rate, enough)),
        few => {
            Err(Failure::new(format!("{few} reloads while wrk ran {RUNS_MAX} times; must be {RELOADS_MIN} at least")))
        }
    }
}

fn reload(director: &Director, text: &str) -> Result<(), Failure> {
    let file = director.config();
    fs::write(file, text).map_err(|error| Failure::new(format!("{}: {error}", file.display())))?;
    let mut command = Command::new(uvs_program());
    command.arg("reload").arg("--run-dir").arg(director.run_dir());
    let output = command.output().map_err(|error| Failure::new(format!("uvs reload: {error}")))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(Failure::new(format!("uvs reload: {}", String::from_utf8_lossy(&output.stderr)))),
    }
}

/// Services that nobody uses; with another weight each of them is changed.
fn services(weight: usize) -> String {
    let mut text = String::new();
    for number in 0..CHANGED {
        let vip = format!("198.18.{}.{}", number / 250, 1 + number % 250);
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\n[[service]]\nprotocol = \"tcp\"\naddress = \"{vip}:80\"\nscheduler = \"wlc\"\n\
             [[service.real_server]]\naddress = \"10.0.0.11:8080\"\nmethod = \"nat\"\nweight = {weight}\n"
        );
    }
    text
}
