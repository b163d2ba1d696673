//! Where what is derived from the journal is kept: on the disk, or in memory where that cannot be.

use kappadb_feed::DirLock;
use kappadb_store::{MemoryStore, OuterLock, SledOptions, SledStore, Store, StoreError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The tree that claims are kept in.
pub(crate) const CLAIMS: &str = "claims";
/// That of what peers stated under their signature.
pub(crate) const STATEMENTS: &str = "statements";
/// That of what peers said of lengths.
pub(crate) const HEARD: &str = "heard";
/// That of peers that others told of.
pub(crate) const INTRODUCED: &str = "introduced";

/// Where derived data is kept.
pub(crate) struct Derived {
    pub store: Arc<dyn Store>,
    /// That it is in memory, and why, in a sentence.
    pub in_memory: Option<String>,
    /// What lies on the disk and is not in use, for it lacked room there.
    pub idle: Option<PathBuf>,
}

/// Opens the derived data; if it cannot be read, or must not be, starts from nothing. Where nothing can be written it is made in memory,
/// for this process alone.
pub(crate) fn open(path: &Path, wipe: bool, lock: &Arc<DirLock>) -> Result<Derived, StoreError> {
    let memory = |why: &str, idle| {
        let told =
            format!("{why}; what is derived from the journal is made in memory, for this process alone");
        Ok(Derived { store: Arc::new(MemoryStore::new()), in_memory: Some(told), idle })
    };
    let dir = path.parent().unwrap_or(path).display();
    if lock.is_read_only() {
        return memory(&format!("{dir} cannot be written, and is read as it is"), None);
    }
    match open_on_disk(path, wipe, lock) {
        Ok(store) => Ok(Derived { store: Arc::new(store), in_memory: None, idle: None }),
        Err(error @ (StoreError::Locked { .. } | StoreError::TooManyFiles { .. })) => Err(error),
        Err(StoreError::DiskFull { .. }) => {
            memory(&format!("the disk of {dir} is full"), Some(path.to_owned()))
        }
        Err(error) => memory(&error.to_string(), None),
    }
}

/// Keeps derived data where the owner says.
pub(crate) fn given(store: Arc<dyn Store>, wipe: bool) -> Result<Derived, StoreError> {
    if wipe {
        store.trees()?.iter().try_for_each(|name| store.drop_tree(name).map(drop))?;
    }
    Ok(Derived { store, in_memory: None, idle: None })
}

/// The lock of the database's folder, for the store in it.
struct Outer(Arc<DirLock>);

impl OuterLock for Outer {
    fn release(&self) {
        self.0.release();
    }
}

fn open_on_disk(path: &Path, wipe: bool, lock: &Arc<DirLock>) -> Result<SledStore, StoreError> {
    let open = || SledStore::open_under(path, SledOptions::default(), Box::new(Outer(lock.clone())));
    if wipe {
        SledStore::wipe(path)?;
        return open();
    }
    match open() {
        Err(
            error @ (StoreError::Locked { .. }
            | StoreError::DiskFull { .. }
            | StoreError::TooManyFiles { .. }),
        ) => Err(error),
        // Whatever is wrong with it: nothing in it is lost for good.
        Err(_) => SledStore::wipe(path).and_then(|()| open()),
        opened => opened,
    }
}

/// Feeds that were derived anew may lack what the views have seen and claims rest on, where the journal was damaged.
pub(crate) fn forget(store: &dyn Store) -> Result<(), StoreError> {
    let trees = store.trees()?;
    let mut derived = trees.iter().filter(|name| name.starts_with("view") || *name == CLAIMS);
    derived.try_for_each(|name| store.drop_tree(name).map(drop))
}
