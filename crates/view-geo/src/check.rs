//! Compares two sets that are too large for memory.

use crate::item::Item;
use std::hash::{DefaultHasher, Hash, Hasher};

/// A set of items in a few bytes, whatever their order. Sets that differ by accident differ here; against somebody who
/// forges rows of his own disk it is no help, nor need it be.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub count: u64,
    sum: u64,
}

impl Tally {
    /// Counts an item in.
    pub fn add<K: AsRef<[u8]>>(&mut self, item: &Item<K>) {
        let mut hasher = DefaultHasher::new();
        item.borrowed().hash(&mut hasher);
        self.count += 1;
        self.sum = self.sum.wrapping_add(hasher.finish());
    }
}
