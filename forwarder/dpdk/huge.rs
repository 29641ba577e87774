//! Which memory DPDK gets. Huge pages are faster; without them the director still runs, and says what that costs.

use super::Error;
use std::{fmt, fs, path::Path};

const KERNELS_FOLDER: &str = "/sys/kernel/mm/hugepages";

/// What the operator asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HugePages {
    /// Huge pages if enough are free, else ordinary memory.
    Auto,
    /// Huge pages, or no start.
    Require,
    /// Ordinary memory, which needs no privilege.
    Off,
}

/// What was found and chosen. Prints as one line for the start-up plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Whether DPDK runs on huge pages.
    pub huge: bool,
    /// What DPDK is given.
    pub asked_mb: u32,
    /// Huge pages free before the start, in all sizes.
    pub free_mb: u64,
    /// Pages of 2 MB that are reserved, in use or not.
    pub reserved: u64,
}

impl Memory {
    /// Of what the kernel tells now.
    pub(super) fn of_this_machine(asked: HugePages, asked_mb: u32) -> Result<Self, Error> {
        let folder = Path::new(KERNELS_FOLDER);
        Memory::choose(asked, asked_mb, free_mb_below(folder), reserved_below(folder))
    }

    fn choose(asked: HugePages, asked_mb: u32, free_mb: u64, reserved: u64) -> Result<Self, Error> {
        let enough = free_mb >= asked_mb.into();
        let memory = Memory { huge: enough && asked != HugePages::Off, asked_mb, free_mb, reserved };
        if asked == HugePages::Require && !enough {
            return Err(Error::new(
                "eal.huge_pages = \"require\"",
                format!("{free_mb} MB of huge pages are free, memory_mb is {asked_mb}: {}", memory.cure()),
            ));
        }
        Ok(memory)
    }

    /// The command that makes enough 2 MB pages available, beside those that others use.
    fn cure(&self) -> String {
        let missing_mb = u64::from(self.asked_mb).saturating_sub(self.free_mb);
        format!("`sysctl vm.nr_hugepages={}` reserves them", self.reserved + missing_mb.div_ceil(2))
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Memory { huge, asked_mb, free_mb, .. } = self;
        if *huge {
            return write!(f, "{asked_mb} MB in huge pages ({free_mb} MB were free)");
        }
        write!(f, "{asked_mb} MB in 4 KB pages: ")?;
        if *free_mb >= u64::from(*asked_mb) {
            return f.write_str("huge pages are free, but off in the configuration");
        }
        write!(f, "{free_mb} MB of huge pages are free; a large table costs about a third more; {}", self.cure())
    }
}

/// Free huge pages of every size, in MB. None where the kernel tells nothing.
fn free_mb_below(folder: &Path) -> u64 {
    let Ok(sizes) = fs::read_dir(folder) else { return 0 };
    let free_kb = sizes.flatten().filter_map(|size| {
        let page_kb: u64 = size.file_name().to_str()?.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
        let free: u64 = fs::read_to_string(size.path().join("free_hugepages")).ok()?.trim().parse().ok()?;
        Some(page_kb * free)
    });
    free_kb.sum::<u64>() / 1024
}

fn reserved_below(folder: &Path) -> u64 {
    let pages = fs::read_to_string(folder.join("hugepages-2048kB/nr_hugepages"));
    pages.ok().and_then(|pages| pages.trim().parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_says_what_was_found() {
        use HugePages::{Auto, Off, Require};
        let rows = [
            (Auto, 1024, 2048, true, "1024 MB in huge pages (2048 MB were free)"),
            (Auto, 1024, 512, false, "512 MB of huge pages are free; a large table costs about a third more"),
            (Auto, 1024, 512, false, "vm.nr_hugepages=1256"),
            (Off, 1024, 2048, false, "off in the configuration"),
            (Off, 1024, 0, false, "0 MB of huge pages are free"),
            (Require, 1024, 1024, true, "1024 MB in huge pages"),
        ];
        for (asked, asked_mb, free_mb, huge, says) in rows {
            let memory = Memory::choose(asked, asked_mb, free_mb, 1000).unwrap();
            assert_eq!(memory.huge, huge, "{asked:?} {asked_mb} of {free_mb}");
            assert!(memory.to_string().contains(says), "{memory}");
        }
    }

    #[test]
    fn required_pages_that_are_missing_are_an_error_with_its_cure() {
        let error = Memory::choose(HugePages::Require, 1025, 0, 0).unwrap_err().to_string();
        assert!(error.contains("0 MB of huge pages are free, memory_mb is 1025"), "{error}");
        assert!(error.contains("`sysctl vm.nr_hugepages=513`"), "{error}");
    }

    #[test]
    fn every_page_size_counts() {
        let folder = tempfile::tempdir().unwrap();
        for (size, free) in [("hugepages-2048kB", "3\n"), ("hugepages-1048576kB", "1\n"), ("other", "9\n")] {
            fs::create_dir(folder.path().join(size)).unwrap();
            fs::write(folder.path().join(size).join("free_hugepages"), free).unwrap();
        }
        assert_eq!(free_mb_below(folder.path()), 1024 + 6);
        assert_eq!(free_mb_below(&folder.path().join("absent")), 0);
        assert_eq!(reserved_below(folder.path()), 0);
        fs::write(folder.path().join("hugepages-2048kB/nr_hugepages"), "7\n").unwrap();
        assert_eq!(reserved_below(folder.path()), 7);
    }
}
