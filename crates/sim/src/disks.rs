//! Derived data in memory, of which a power cut takes what was not made to last.

use kappadb_store::{MemoryStore, Store, StoreError, Tree};
use std::sync::{Arc, Mutex, PoisonError};

/// A store in memory whose clones are the same one.
#[derive(Clone, Default)]
pub struct SimStore(Arc<Mutex<Arc<MemoryStore>>>);

impl SimStore {
    fn now(&self) -> Arc<MemoryStore> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The power is cut: what whoever has a tree of it does from now on is lost, and all before that too if `loses_all`.
    pub(crate) fn cut_power(&self, loses_all: bool) {
        let left = if loses_all { MemoryStore::new() } else { self.now().copy() };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(left);
    }
}

impl Store for SimStore {
    fn tree(&self, name: &str) -> Result<Arc<dyn Tree>, StoreError> {
        self.now().tree(name)
    }

    fn trees(&self) -> Result<Vec<String>, StoreError> {
        self.now().trees()
    }

    fn drop_tree(&self, name: &str) -> Result<bool, StoreError> {
        self.now().drop_tree(name)
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.now().flush()
    }

    fn close(&self) -> Result<(), StoreError> {
        self.now().close()
    }

    fn disk_bytes(&self) -> Result<u64, StoreError> {
        self.now().disk_bytes()
    }
}
