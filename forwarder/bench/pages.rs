//! Huge pages for frames: reserved for the time of a run where the machine allows it, and given back. Where not, the run says so: 4 KB
//! pages cost a few cycles a packet. (Conn tables ask for transparent huge pages themselves.)

use super::network::MEMORY_MB;
use std::fmt;
use std::fs;

const RESERVED: &str = "/proc/sys/vm/nr_hugepages";
const FREE: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages";
const PAGE_MB: u32 = 2;

/// What frames lie in.
#[derive(Debug)]
pub struct Pages {
    /// Pages that were reserved before us; to be set again.
    before: Option<u32>,
    free: u32,
}

impl Pages {
    /// Reserves what is missing, if it may.
    pub fn reserve() -> Pages {
        let (reserved, free) = (number(RESERVED), number(FREE));
        if free >= needed() {
            return Pages { before: None, free };
        }
        let more = reserved + needed() - free;
        let before = fs::write(RESERVED, more.to_string()).is_ok().then_some(reserved);
        Pages { before, free: number(FREE) }
    }

    /// Whether there are enough.
    pub fn huge(&self) -> bool {
        self.free >= needed()
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            let _ = fs::write(RESERVED, before.to_string());
        }
    }
}

impl fmt::Display for Pages {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match (self.huge(), self.before) {
            (true, Some(_)) => write!(f, "2 MB pages, reserved for this run"),
            (true, None) => write!(f, "2 MB pages, which were free"),
            (false, _) => {
                write!(f, "4 KB pages: {} of {} huge pages are free and no more can be reserved", self.free, needed())
            }
        }
    }
}

fn needed() -> u32 {
    MEMORY_MB / PAGE_MB
}

fn number(path: &str) -> u32 {
    fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}
