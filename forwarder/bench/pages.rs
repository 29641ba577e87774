//! Huge pages for frames: reserved for the time of a run where the machine allows it, and given back. Where not, the run says so: 4 KB
//! pages cost a few cycles a packet. (Conn tables ask for transparent huge pages themselves.) A run that was killed could give nothing back:
//! the note that it left in its folder says what to go back to.

use super::network::MEMORY_MB;
use super::own::OwnFolder;
use std::fmt;
use std::fs;
use std::path::PathBuf;

const RESERVED: &str = "/proc/sys/vm/nr_hugepages";
const FREE: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages";
const PAGE_MB: u32 = 2;

/// What frames lie in.
#[derive(Debug)]
pub struct Pages {
    /// Pages that were reserved before us, to be set again, and the note that says so.
    before: Option<(u32, PathBuf)>,
    free: u32,
    after_killed: bool,
}

impl Pages {
    /// Reserves what is missing, if it may.
    pub fn reserve(own: &OwnFolder) -> Pages {
        let note = own.path("pages");
        let left: Option<u32> = fs::read_to_string(&note).ok().and_then(|text| text.trim().parse().ok());
        let (reserved, free) = (number(RESERVED), number(FREE));
        if left.is_none() && free >= needed() {
            return Pages { before: None, free, after_killed: false };
        }
        let before = left.unwrap_or(reserved);
        // The note first: from the moment there are more pages, somebody must know.
        let noted = fs::write(&note, before.to_string()).is_ok();
        let enough = free >= needed() || noted && fs::write(RESERVED, (reserved + needed() - free).to_string()).is_ok();
        let before = enough.then_some((before, note));
        Pages { before, free: number(FREE), after_killed: left.is_some() }
    }

    /// Whether there are enough.
    pub fn huge(&self) -> bool {
        self.free >= needed()
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        if let Some((before, note)) = &self.before
            && fs::write(RESERVED, before.to_string()).is_ok()
        {
            let _ = fs::remove_file(note);
        }
    }
}

impl fmt::Display for Pages {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match (self.huge(), &self.before) {
            (true, Some((before, _))) if self.after_killed => {
                write!(f, "2 MB pages, which a run that was killed had reserved; {before} will be left, as before that")
            }
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
