//! Golden frames: a capture file in, the real director over net_pcap, a capture file out, compared with recordings of the kernel.
mod capture;
mod compare;
#[path = "../command/director.rs"]
#[allow(dead_code)] // The tests in `command` do more with it.
mod director;
mod recording;
mod replay;
mod setup;

use setup::Wiring;
use std::path::Path;

#[test]
fn explore() {
    let root = std::env::var("EXPLORE").unwrap();
    let cases = std::env::var("CASES").unwrap();
    for case in cases.split_whitespace() {
        for wiring in [Wiring::TwoPorts, Wiring::OneArm] {
            let r = std::panic::catch_unwind(|| replay::replay(&Path::new(&root).join(case), wiring, None));
            match r {
                Ok(Ok(n)) => println!("ok {case} {wiring:?} {n}"),
                Ok(Err(e)) => println!("WRONG {case} {wiring:?}\n{e}"),
                Err(_) => println!("PANIC {case} {wiring:?}"),
            }
        }
    }
}
