//! The cores that this process may run on. Those that were set aside at boot (`isolcpus`, as on a machine whose workers shall not be
//! disturbed) are not in the mask that a process inherits, and yet a thread may be pinned to them: what they are set aside for.

use std::collections::BTreeSet;
use std::fmt;

/// Where the kernel lists what was set aside.
const ISOLATED: &str = "/sys/devices/system/cpu/isolated";

/// By number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cores {
    /// On these the kernel spreads threads.
    pub shared: BTreeSet<u32>,
    /// On these there is only what asks for them: workers.
    pub isolated: BTreeSet<u32>,
}

impl Cores {
    /// Found out now. Later the thread that asks may have left some.
    pub fn of_this_process() -> Cores {
        let shared: BTreeSet<u32> = core_affinity::get_core_ids().into_iter().flatten().map(|c| c.id as u32).collect();
        let listed = numbers(&std::fs::read_to_string(ISOLATED).unwrap_or_default());
        // The list is the machine's; a container may have fewer. So a thread tries.
        let may_be_pinned = |core: &u32| {
            let id = core_affinity::CoreId { id: *core as usize };
            std::thread::spawn(move || core_affinity::set_for_current(id)).join().unwrap_or(false)
        };
        let isolated = listed.difference(&shared).copied().filter(may_be_pinned).collect();
        Cores { shared, isolated }
    }

    /// Whether a worker can be there.
    pub fn has(&self, core: u32) -> bool {
        self.shared.contains(&core) || self.isolated.contains(&core)
    }
}

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let all: Vec<_> = self.shared.union(&self.isolated).map(u32::to_string).collect();
        f.write_str(&all.join(","))
    }
}

/// A list as the kernel writes it: `1-3,7`. What is no number is left out, as is a range that ends before it begins.
fn numbers(list: &str) -> BTreeSet<u32> {
    let range = |item: &str| {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        Some(first.parse::<u32>().ok()?..=last.parse::<u32>().ok()?)
    };
    list.trim().split(',').filter_map(range).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_lists_are_read() {
        let rows: [(&str, &[u32]); 5] =
            [("\n", &[]), ("2\n", &[2]), ("1-3,7\n", &[1, 2, 3, 7]), ("0,2-2", &[0, 2]), ("3-1,x,5", &[5])];
        for (list, expect) in rows {
            assert_eq!(numbers(list), expect.iter().copied().collect(), "{list:?}");
        }
    }

    #[test]
    fn a_worker_can_be_on_either_kind() {
        let cores = Cores { shared: [0, 3].into(), isolated: [1, 2].into() };
        assert_eq!((0..5).map(|core| cores.has(core)).collect::<Vec<_>>(), [true, true, true, true, false]);
        assert_eq!(cores.to_string(), "0,1,2,3");
    }
}
