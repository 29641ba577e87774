//! How a device with several receive queues brings frames to workers by its own hash: which entry of its table (RETA) leads
//! to which queue. A flow's owner is `owners[hash & 255]`; a device takes the low bits of the same hash, as many as its table
//! has entries. So the owners repeat after the shortest table of all devices, and every table agrees with them.

use super::OWNERS;

/// After how many hashes the owners repeat, if devices have tables of so many entries. Only a power of two is a number of
/// low bits: a device with another table cannot agree.
pub fn owners_repeat(entries: impl IntoIterator<Item = usize>) -> usize {
    entries.into_iter().filter(|&entries| can_agree(entries)).fold(OWNERS, usize::min)
}

/// Can a table of so many entries agree with the owners?
pub fn can_agree(entries: usize) -> bool {
    entries.is_power_of_two()
}

/// The owner of a hash.
pub(super) fn owner(hash: usize, repeat: usize, workers: usize) -> usize {
    hash % repeat % workers
}

/// The table of a device with so many entries and receive queues; queue i is worker i's. What a worker without a queue owns
/// comes by another's, and is handed over.
pub fn queue_table(entries: usize, repeat: usize, workers: usize, queues: usize) -> Vec<u16> {
    (0..entries).map(|entry| (owner(entry, repeat, workers) % queues) as u16).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_agrees_with_the_owners() {
        for tables in [&[512, 256][..], &[128], &[64, 512], &[2, 128], &[100, 128]] {
            let repeat = owners_repeat(tables.iter().copied());
            for workers in 1..=4 {
                for &entries in tables.iter().filter(|entries| can_agree(**entries)) {
                    let table = queue_table(entries, repeat, workers, workers);
                    for hash in 0..4096 {
                        let owner = owner(hash % OWNERS, repeat, workers);
                        assert_eq!(usize::from(table[hash & (entries - 1)]), owner, "{tables:?}, {workers}, {hash}");
                    }
                }
            }
        }
    }

    #[test]
    fn fewer_queues_than_workers_are_all_used() {
        let table = queue_table(128, 128, 4, 3);
        assert!((0..3).all(|queue| table.contains(&queue)) && table.iter().all(|queue| *queue < 3), "{table:?}");
    }
}
