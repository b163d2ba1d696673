//! The lock that keeps a store's folder to one owner.

use crate::StoreError;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// The lock of a store's folder, held while this lives.
pub(crate) struct FolderLock(File);

impl FolderLock {
    /// Takes the lock of the folder, which is made if it is not there. Never waits.
    pub fn take(path: &Path) -> Result<FolderLock, StoreError> {
        let failed = |what| move |source: io::Error| StoreError::Io { what, source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("make the folder"))?;
        let file = File::create(path.join("lock")).map_err(failed("make the lock file"))?;
        match file.try_lock() {
            Ok(()) => Ok(FolderLock(file)),
            Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path: path.to_owned() }),
            Err(TryLockError::Error(e)) => Err(failed("lock the folder")(e)),
        }
    }

    /// Lets go of it. Closing alone would leave it with a process that is just being started: until that becomes another
    /// program it has a copy of all descriptors.
    pub fn release(&self) {
        let _ = self.0.unlock();
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        self.release();
    }
}
