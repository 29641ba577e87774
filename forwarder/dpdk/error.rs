//! What DPDK or a device refused, in words: where, what was found, what would be right. Control-side only; a worker's
//! calls have no errors, they have counters.

use std::{fmt::Display, io};

/// A failure of start-up or of a control-side call, as one line for the operator.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {found}")]
pub struct Error {
    place: String,
    found: String,
}

impl Error {
    pub(super) fn new(place: impl Display, found: impl Display) -> Self {
        Error { place: place.to_string(), found: found.to_string() }
    }

    /// For calls that answer 0 or a negative errno: what was tried, and what the number means.
    pub(super) fn check(code: i32, place: impl Display, tried: impl Display) -> Result<(), Self> {
        if code >= 0 { Ok(()) } else { Err(Self::new(place, format!("{tried}: {}", words(code)))) }
    }
}

/// An errno, of either sign, in words: `No such device (os error 19)`.
pub(super) fn words(code: i32) -> String {
    io::Error::from_raw_os_error(code.abs()).to_string()
}

/// The calling thread's `rte_errno` in words, for calls that only say that they failed.
pub(super) fn last_words() -> String {
    // SAFETY: reads a thread-local integer.
    words(unsafe { dpdk_sys::shim_errno() })
}
