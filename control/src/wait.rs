//! The control thread's pause between two turns, which a client may end: a tool that asks a thousand things one after the other must
//! not wait a thousand pauses.

use std::time::Duration;

use rustix::event::{PollFd, Timespec, poll};

/// Waits until one of these has something for us, `most` at most.
pub fn wait<'a>(wakers: impl Iterator<Item = PollFd<'a>>, most: Duration) {
    let mut wakers: Vec<_> = wakers.collect();
    let most = Timespec { tv_sec: most.as_secs() as i64, tv_nsec: i64::from(most.subsec_nanos()) };
    // A signal that ends the pause is as good as a client.
    if let Err(error) = poll(&mut wakers, Some(&most)) {
        log::trace!("poll: {error}");
    }
}
