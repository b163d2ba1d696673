//! The lock that keeps a store's folder to one owner.

use crate::StoreError;
use crate::error::is_too_many_files;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// A lock that keeps the folder of a store, and what lies around it, to one owner. The store holds it as long as anything of it is open.
pub trait OuterLock: Send + Sync {
    /// Gives it back before it is dropped: nothing is open any more, though something of it still lives.
    fn release(&self);
}

/// The lock of a store's folder, held while this lives.
pub(crate) enum FolderLock {
    /// A file of its own.
    Own(File),
    /// A lock that somebody took who has the store for himself.
    Outer(Box<dyn OuterLock>),
}

/// Makes the folder of a store, if it is not there.
pub(crate) fn make_folder(path: &Path) -> Result<(), StoreError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| StoreError::Io { what: "make the folder", source })
}

impl FolderLock {
    /// Takes the lock of the folder, which is made if it is not there. Never waits.
    pub fn take(path: &Path) -> Result<FolderLock, StoreError> {
        let failed = |what| move |source: io::Error| StoreError::Io { what, source };
        make_folder(path)?;
        let file = File::create(path.join("lock")).map_err(|error| match is_too_many_files(&error) {
            true => StoreError::TooManyFiles { path: path.to_owned() },
            false => failed("make the lock file")(error),
        })?;
        match file.try_lock() {
            Ok(()) => Ok(FolderLock::Own(file)),
            Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path: path.to_owned() }),
            Err(TryLockError::Error(e)) => Err(failed("lock the folder")(e)),
        }
    }

    /// Lets go of it. Closing alone would leave it with a process that is just being started: until that becomes another
    /// program it has a copy of all descriptors.
    pub fn release(&self) {
        match self {
            FolderLock::Own(file) => drop(file.unlock()),
            FolderLock::Outer(lock) => lock.release(),
        }
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // An outer one is given back with its last owner.
        if let FolderLock::Own(file) = self {
            let _ = file.unlock();
        }
    }
}
