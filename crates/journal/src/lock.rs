//! The lock that keeps a second process out of a folder.

use crate::error::LockError;
use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::path::Path;
use std::time::Duration;

/// A held lock; released when dropped, and by the system when the process ends in any way.
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub struct DirLock {
    file: File,
}

impl Drop for DirLock {
    fn drop(&mut self) {
        // Closing the file is not enough: a child process that some other thread is just starting has a copy of it until it runs
        // its program, and would keep the folder locked for as long. If this fails, closing is all that is left.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

/// A process that was killed while it started another leaves its lock to that one, until it runs its program: so long a
/// folder without an owner may look taken. A few tries, each after so many milliseconds, outlast that.
const PAUSES_MS: [u64; 5] = [0, 10, 30, 100, 300];

/// Locks `dir` (which exists) for this process alone, by `flock` on `dir/LOCK`. If it stays taken for half a second, the
/// error is [`LockError::Held`]. The file stays behind; its presence means nothing.
pub fn lock_dir(dir: &Path) -> Result<DirLock, LockError> {
    let path = dir.join("LOCK");
    let io = |source| LockError::Io { file: path.clone(), source };
    let file =
        OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path).map_err(io)?;
    for pause in PAUSES_MS {
        std::thread::sleep(Duration::from_millis(pause));
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(DirLock { file }),
            Err(rustix::io::Errno::WOULDBLOCK) => {}
            Err(errno) => return Err(io(errno.into())),
        }
    }
    Err(LockError::Held { dir: dir.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_fails_and_names_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let lock = lock_dir(dir.path()).unwrap();
        let error = lock_dir(dir.path()).unwrap_err();
        assert!(matches!(&error, LockError::Held { dir: held } if held == dir.path()));
        assert!(error.to_string().contains(&dir.path().display().to_string()));
        drop(lock);
        drop(lock_dir(dir.path()).unwrap());
    }

    #[test]
    fn a_copy_of_the_file_does_not_keep_it() {
        let dir = tempfile::tempdir().unwrap();
        let lock = lock_dir(dir.path()).unwrap();
        // As a child process has one between fork and exec.
        let copy = lock.file.try_clone().unwrap();
        drop(lock);
        drop(lock_dir(dir.path()).unwrap());
        drop(copy);
    }

    #[test]
    fn one_that_is_given_back_soon_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let lock = lock_dir(dir.path()).unwrap();
        let owner = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            drop(lock);
        });
        drop(lock_dir(dir.path()).unwrap());
        owner.join().unwrap();
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = lock_dir(Path::new("/nonexistent/kappa")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/kappa/LOCK"));
    }
}
