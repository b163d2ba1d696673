//! What the clocks of peers showed.

use kappadb_core::FeedKey;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// What the clocks of peers showed when they were called, as differences to this machine's in milliseconds.
#[derive(Default)]
pub(super) struct Clocks(Mutex<BTreeMap<FeedKey, i64>>);

impl Clocks {
    pub fn note(&self, peer: FeedKey, difference: i64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(peer, difference);
    }

    pub fn differences(&self) -> Vec<i64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().copied().collect()
    }
}
