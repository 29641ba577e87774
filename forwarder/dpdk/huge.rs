//! Which memory DPDK gets. Huge pages are faster; without them the director still runs, and says what that costs.

use super::Error;
use super::processes::Process;
use std::{fmt, fs, path::Path};

/// Processes that a message names.
const HOLDERS_NAMED: usize = 3;

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Whether DPDK runs on huge pages.
    pub huge: bool,
    /// What DPDK is given.
    pub asked_mb: u32,
    /// What there was before the start.
    pub pages: Pages,
}

/// The machine's huge pages, in all sizes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pages {
    /// Reserved, whoever has them.
    pub reserved_mb: u64,
    /// Of those, nobody's.
    pub free_mb: u64,
    /// Who has the others, if there are others and the kernel tells: `process 1234 (uvs) has 512 MB`.
    pub holders: Option<String>,
}

impl Memory {
    pub(super) fn choose(asked: HugePages, asked_mb: u32, pages: Pages) -> Result<Self, Error> {
        let enough = pages.free_mb >= asked_mb.into();
        let memory = Memory { huge: enough && asked != HugePages::Off, asked_mb, pages };
        if asked == HugePages::Require && !enough {
            return Err(Error::new(
                "eal.huge_pages = \"require\"",
                format!("memory_mb is {asked_mb}, but {}; {}", memory.pages, memory.cure()),
            ));
        }
        Ok(memory)
    }

    /// The command that makes enough 2 MB pages available, beside those that others have.
    fn cure(&self) -> String {
        let Pages { reserved_mb, free_mb, .. } = self.pages;
        let needed_mb = u64::from(self.asked_mb) + reserved_mb.saturating_sub(free_mb);
        format!("`sysctl vm.nr_hugepages={}` reserves enough", needed_mb.div_ceil(2))
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Memory { huge, asked_mb, pages } = self;
        if *huge {
            return write!(f, "{asked_mb} MB in huge pages ({} MB were free)", pages.free_mb);
        }
        write!(f, "{asked_mb} MB in 4 KB pages: ")?;
        if pages.free_mb >= u64::from(*asked_mb) {
            return f.write_str("huge pages are free, but off in the configuration");
        }
        write!(f, "{pages}; a large table costs about a third more; {}", self.cure())
    }
}

impl fmt::Display for Pages {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Pages { reserved_mb, free_mb, holders } = self;
        write!(f, "of {reserved_mb} MB of huge pages {free_mb} MB are free")?;
        holders.iter().try_for_each(|holders| write!(f, " ({holders})"))
    }
}

impl Pages {
    /// As the kernel tells below `/sys/kernel/mm/hugepages`. None where it tells nothing.
    pub(super) fn found() -> Pages {
        let folder = Path::new("/sys/kernel/mm/hugepages");
        let (reserved_mb, free_mb) = (sum_mb(folder, "nr_hugepages"), sum_mb(folder, "free_hugepages"));
        let holders = if free_mb < reserved_mb { named(&Process::with_huge_pages()) } else { None };
        Pages { reserved_mb, free_mb, holders }
    }
}

fn named(holders: &[(Process, u64)]) -> Option<String> {
    let named = holders.iter().take(HOLDERS_NAMED).map(|(process, megabytes)| format!("{process} has {megabytes} MB"));
    let mut words: Vec<_> = named.collect();
    if holders.len() > HOLDERS_NAMED {
        words.push(format!("{} more have some", holders.len() - HOLDERS_NAMED));
    }
    (!words.is_empty()).then(|| words.join(", "))
}

fn sum_mb(folder: &Path, file: &str) -> u64 {
    let Ok(sizes) = fs::read_dir(folder) else { return 0 };
    let kilobytes = sizes.flatten().filter_map(|size| {
        let page_kb: u64 = size.file_name().to_str()?.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
        let pages: u64 = fs::read_to_string(size.path().join(file)).ok()?.trim().parse().ok()?;
        Some(page_kb * pages)
    });
    kilobytes.sum::<u64>() / 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free(free_mb: u64) -> Pages {
        Pages { reserved_mb: 2048, free_mb, holders: (free_mb < 2048).then(|| "process 7 (uvs) has 512 MB".into()) }
    }

    #[test]
    fn the_choice_says_what_was_found() {
        use HugePages::{Auto, Off, Require};
        let none = Pages::default();
        let rows = [
            (Auto, 1024, free(2048), true, "1024 MB in huge pages (2048 MB were free)"),
            (
                Auto,
                1024,
                free(512),
                false,
                "of 2048 MB of huge pages 512 MB are free (process 7 (uvs) has 512 MB); a large",
            ),
            (Auto, 1024, free(512), false, "`sysctl vm.nr_hugepages=1280` reserves enough"),
            (Auto, 1024, none.clone(), false, "vm.nr_hugepages=512"),
            (Off, 1024, free(2048), false, "off in the configuration"),
            (Off, 1024, none, false, "of 0 MB of huge pages 0 MB are free; a large"),
            (Require, 1024, free(1024), true, "1024 MB in huge pages"),
        ];
        for (asked, asked_mb, pages, huge, says) in rows {
            let memory = Memory::choose(asked, asked_mb, pages.clone()).unwrap();
            assert_eq!(memory.huge, huge, "{asked:?} {asked_mb} of {pages:?}");
            assert!(memory.to_string().contains(says), "{memory}");
        }
    }

    #[test]
    fn required_pages_that_are_missing_are_an_error_with_its_cure() {
        let refusal = |pages| Memory::choose(HugePages::Require, 1025, pages).unwrap_err().to_string();
        assert_eq!(
            refusal(Pages::default()),
            "eal.huge_pages = \"require\": memory_mb is 1025, but of 0 MB of huge pages 0 MB are free; \
             `sysctl vm.nr_hugepages=513` reserves enough"
        );
        let says = "of 2048 MB of huge pages 0 MB are free (process 7 (uvs) has 512 MB); `sysctl vm.nr_hugepages=1537`";
        assert!(refusal(free(0)).contains(says), "{}", refusal(free(0)));
    }

    #[test]
    fn every_page_size_counts() {
        let folder = tempfile::tempdir().unwrap();
        for (size, free) in [("hugepages-2048kB", "3\n"), ("hugepages-1048576kB", "1\n"), ("other", "9\n")] {
            fs::create_dir(folder.path().join(size)).unwrap();
            fs::write(folder.path().join(size).join("free_hugepages"), free).unwrap();
        }
        assert_eq!(sum_mb(folder.path(), "free_hugepages"), 1024 + 6);
        assert_eq!(sum_mb(&folder.path().join("absent"), "free_hugepages"), 0);
    }

    #[test]
    fn not_all_holders_are_named() {
        let holders: Vec<_> = (1..=5).map(|_| (Process::of(std::process::id()), 9)).collect();
        let named = named(&holders).unwrap();
        assert!(named.matches(" has 9 MB").count() == 3 && named.ends_with(", 2 more have some"), "{named}");
    }
}
