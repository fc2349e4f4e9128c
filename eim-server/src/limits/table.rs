//! A table of fixed size that remembers for names how much they have used up, and whether they are known.
//!
//! Names are kept as digests with a secret of this process, so nobody can choose names that meet. A new name takes the place of the one
//! that would be missed least: an unknown one before a known one, and of these the one that has used up least. So a flood of new names
//! washes away neither what is known nor whoever is over a limit.

use super::rate::Bucket;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::sync::{Mutex, PoisonError};

/// Names that share a lock, and compete for these places.
const WAYS: usize = 8;
/// The bit of a name that says that it is known.
const KNOWN: u64 = 1;

/// A name, without what it is the name of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Name(u64);

/// What is remembered of a name.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Entry {
    /// 0 for a place that is free, else the name with its bit.
    name: u64,
    /// What it has used up.
    pub(crate) bucket: Bucket,
}

impl Entry {
    pub(crate) const fn is_known(&self) -> bool {
        self.name & KNOWN != 0
    }

    pub(crate) const fn set_known(&mut self, known: bool) {
        self.name = if known { self.name | KNOWN } else { self.name & !KNOWN };
    }
}

/// The table.
pub(crate) struct Table {
    sets: Box<[Mutex<[Entry; WAYS]>]>,
    secret: RandomState,
}

impl Table {
    /// A table of about so many names, 16 octets each.
    pub(crate) fn new(names: usize) -> Self {
        let sets = names.div_ceil(WAYS).next_power_of_two();
        Self { sets: (0..sets).map(|_| Mutex::default()).collect(), secret: RandomState::new() }
    }

    pub(crate) fn name(&self, of: impl Hash) -> Name {
        // Never 0, and without the bit.
        Name((self.secret.hash_one(of) | 2) & !KNOWN)
    }

    /// Works on what is remembered of a name.
    pub(crate) fn with<T>(&self, name: Name, work: impl FnOnce(&mut Entry) -> T) -> T {
        let place = (name.0 >> 32) as usize & (self.sets.len() - 1);
        let mut set = self.sets[place].lock().unwrap_or_else(PoisonError::into_inner);
        let least_missed =
            |set: &[Entry; WAYS]| (0..WAYS).min_by_key(|at| (set[*at].is_known(), set[*at].bucket)).unwrap_or_default();
        let found = set.iter().position(|entry| entry.name & !KNOWN == name.0);
        let at = found.unwrap_or_else(|| {
            let at = least_missed(&set);
            set[at] = Entry { name: name.0, bucket: 0 };
            at
        });
        work(&mut set[at])
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("names", &(self.sets.len() * WAYS)).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::rate::Rate;

    #[test]
    fn a_million_names_take_no_more_room_than_one_and_wash_away_nobody_who_is_over_the_limit() {
        let (table, rate) = (Table::new(1024), Rate::new(1, 100));
        let size = size_of_val(&*table.sets);
        let (flooded, known) = (table.name("flooded"), table.name("known"));
        while table.with(flooded, |entry| rate.take(&mut entry.bucket, 1_000_000)).is_ok() {}
        table.with(known, |entry| entry.set_known(true));
        for other in 0..1_000_000_u32 {
            let name = table.name(other);
            assert!(table.with(name, |entry| rate.take(&mut entry.bucket, 1_000_000)).is_ok());
        }
        assert_eq!((table.sets.len() * WAYS, size_of_val(&*table.sets)), (1024, size));
        assert!(table.with(flooded, |entry| rate.take(&mut entry.bucket, 1_000_000)).is_err());
        assert!(table.with(known, |entry| entry.is_known()));
        assert!(size <= 1024 * 24);
    }

    #[test]
    fn names_do_not_share_what_they_use_up() {
        let (table, rate) = (Table::new(64), Rate::new(1, 1));
        let (one, other) = (table.name(1), table.name(2));
        assert!(table.with(one, |entry| rate.take(&mut entry.bucket, 0)).is_ok());
        assert!(table.with(one, |entry| rate.take(&mut entry.bucket, 0)).is_err());
        assert!(table.with(other, |entry| rate.take(&mut entry.bucket, 0)).is_ok());
    }
}
