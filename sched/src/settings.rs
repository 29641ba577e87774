//! How a service's scheduler is set up. The kernel compiles one Maglev table size in; here it is a setting.

use thiserror::Error;

/// Set-up of a scheduler; the default is the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Flags of the service.
    pub flags: Flags,
    /// The service's clients have IPv6 addresses.
    pub clients_v6: bool,
    /// Entries of mh's table.
    pub mh_table: TableSize,
    /// lblc forgets a destination that was not used for so long.
    pub lblc_expiration_ms: u64,
    /// lblcr forgets a destination that was not used for so long, and shrinks a set that did not change for so long.
    pub lblcr_expiration_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        let Expirations { lblc_ms, lblcr_ms } = Expirations::default();
        Settings {
            flags: Flags::default(),
            clients_v6: false,
            mh_table: TableSize::default(),
            lblc_expiration_ms: lblc_ms,
            lblcr_expiration_ms: lblcr_ms,
        }
    }
}

/// What of the settings is one for all services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expirations {
    /// Of lblc's destinations.
    pub lblc_ms: u64,
    /// Of lblcr's destinations, and of their sets.
    pub lblcr_ms: u64,
}

impl Default for Expirations {
    fn default() -> Self {
        const DAY_MS: u64 = 86_400_000;
        Expirations { lblc_ms: DAY_MS, lblcr_ms: DAY_MS }
    }
}

impl Settings {
    /// The same with these.
    pub fn with_expirations(self, expirations: Expirations) -> Settings {
        let Expirations { lblc_ms, lblcr_ms } = expirations;
        Settings { lblc_expiration_ms: lblc_ms, lblcr_expiration_ms: lblcr_ms, ..self }
    }
}

/// The two flags that sh and mh know. They are two, not four: `sh-port` and `mh-port` are one bit of a service, and so
/// are the fallbacks; a service whose scheduler is changed from sh to mh without new flags keeps their meaning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `sh-port`, `mh-port`: the client's port is hashed too.
    pub port: bool,
    /// `sh-fallback`, `mh-fallback`: when the server of the hash takes no conns, others are tried.
    pub fallback: bool,
}

/// Entries of mh's table: a prime, so that every server's steps through the table reach every entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableSize(u32);

/// A size that mh's table cannot have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("mh table size {found}: must be a prime from {} to {}", TableSize::MIN, TableSize::MAX)]
pub struct BadTableSize {
    /// The size that was asked for.
    pub found: u32,
}

impl TableSize {
    /// The smallest table.
    pub const MIN: u32 = 251;
    /// The largest table.
    pub const MAX: u32 = 131_071;

    /// Entries.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl Default for TableSize {
    /// The size of Debian's kernels, which gives their table.
    fn default() -> Self {
        TableSize(4093)
    }
}

impl TryFrom<u32> for TableSize {
    type Error = BadTableSize;

    fn try_from(found: u32) -> Result<Self, BadTableSize> {
        let prime =
            || (2..).take_while(|divisor| divisor * divisor <= found).all(|divisor| !found.is_multiple_of(divisor));
        if (Self::MIN..=Self::MAX).contains(&found) && prime() {
            Ok(TableSize(found))
        } else {
            Err(BadTableSize { found })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_primes_in_range_are_table_sizes() {
        for good in [251, 509, 4093, 65_521, 131_071] {
            assert_eq!(TableSize::try_from(good).map(TableSize::get), Ok(good));
        }
        for bad in [0, 1, 2, 241, 253, 4094, 4096, 63_001 /* 251 squared */, 131_072, 131_101, u32::MAX] {
            assert_eq!(TableSize::try_from(bad), Err(BadTableSize { found: bad }));
        }
        assert_eq!(BadTableSize { found: 4096 }.to_string(), "mh table size 4096: must be a prime from 251 to 131071");
    }
}
