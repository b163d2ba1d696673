//! The lock that keeps a second process out of a folder.

use crate::disk::is_forbidden;
use crate::error::LockError;
use rustix::fs::{FlockOperation, OFlags, flock};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// A held lock; released when dropped, and by the system when the process ends in any way.
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub struct DirLock {
    file: File,
    read_only: bool,
}

impl DirLock {
    /// True if nothing in the folder may be written, by the system's word when the lock was taken.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Lets go of the folder, whoever still holds this.
    pub fn release(&self) {
        // Closing the file is not enough: a child process that some other thread is just starting has a copy of it until it runs
        // its program, and would keep the folder locked for as long. If this fails, closing is all that is left.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

impl Drop for DirLock {
    fn drop(&mut self) {
        self.release();
    }
}

/// How a lock is asked for.
#[derive(Debug, Clone)]
pub struct Locking {
    /// What those who find the folder in use are told of this process. No secrets: it stays in the lock file.
    pub command: String,
    /// How long to wait for whoever has it.
    pub wait: Duration,
}

impl Default for Locking {
    /// The program's file name; waits for nobody.
    fn default() -> Self {
        let program = std::env::args_os().next().unwrap_or_default();
        let name = Path::new(&program).file_name().unwrap_or_default();
        Locking { command: name.to_string_lossy().into_owned(), wait: Duration::ZERO }
    }
}

/// Who has a folder, by its own word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockHolder {
    /// The number of its process.
    pub pid: u32,
    /// What it does, in one line.
    pub command: String,
}

impl fmt::Display for LockHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} ({})", self.pid, self.command.escape_debug())
    }
}

/// A process that was killed while it started another leaves its lock to that one, until it runs its program: so long a
/// folder without an owner may look taken. Half a second outlasts that.
const LEAST_WAIT: Duration = Duration::from_millis(450);
const PAUSE: Duration = Duration::from_millis(30);
/// Bytes of the lock file that are read, at most.
const MAX_TEXT: u64 = 1 << 10;

/// Locks `dir` (which exists) for this process alone, by `flock` on `dir/LOCK`. If it stays taken for half a second, or as
/// long as is to be waited, the error is [`LockError::Held`]. The file stays behind; its presence means nothing.
pub fn lock_dir(dir: &Path, locking: &Locking) -> Result<DirLock, LockError> {
    let path = dir.join("LOCK");
    let io = |source| LockError::Io { file: path.clone(), source };
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true).mode(0o600);
    options.custom_flags(no_links());
    let (mut file, read_only) = match options.open(&path) {
        // A lock needs no write. Where there is no such file and none can be made, the folder itself stands for it.
        Err(refusal) if is_forbidden(&refusal) => {
            let mut reading = OpenOptions::new();
            reading.read(true).custom_flags(no_links());
            (reading.open(&path).or_else(|_| reading.open(dir)).map_err(|_| io(refusal))?, true)
        }
        opened => (opened.map_err(io)?, false),
    };
    let until = Instant::now() + locking.wait.max(LEAST_WAIT);
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                sign(&mut file, &locking.command);
                return Ok(DirLock { file, read_only });
            }
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < until => std::thread::sleep(PAUSE),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(LockError::Held { dir: dir.to_owned(), holder: holder(&mut file) });
            }
            Err(errno) => return Err(io(errno.into())),
        }
    }
}

/// True if somebody has `dir` locked. Writes nothing; where it cannot be found out, nobody has.
pub fn is_locked(dir: &Path) -> bool {
    let file = OpenOptions::new().read(true).custom_flags(no_links()).open(dir.join("LOCK"));
    // Shared, so that two who look do not see each other; who wants the folder tries again.
    let taken = |file| {
        matches!(flock(&file, FlockOperation::NonBlockingLockShared), Err(rustix::io::Errno::WOULDBLOCK))
    };
    file.is_ok_and(taken)
}

/// A link in the folder leads to a file elsewhere, which is not ours to write.
fn no_links() -> i32 {
    OFlags::NOFOLLOW.bits().cast_signed()
}

/// Writes down who has the folder. For messages alone: where that cannot be written, nobody is named.
fn sign(file: &mut File, command: &str) {
    let command: String = command.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let text = format!("pid {}\ncommand {command}\n", std::process::id());
    let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(text.as_bytes()));
}

fn holder(file: &mut File) -> Option<LockHolder> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(MAX_TEXT).read_to_string(&mut text).ok()?;
    let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Some(LockHolder { pid: line("pid")?.parse().ok()?, command: line("command")?.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(dir: &Path) -> Result<DirLock, LockError> {
        lock_dir(dir, &Locking { command: "kappa test".to_owned(), wait: Duration::ZERO })
    }

    #[test]
    fn a_second_lock_fails_and_names_the_folder_and_who_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let held = lock(dir.path()).unwrap();
        let error = lock(dir.path()).unwrap_err();
        assert!(matches!(&error, LockError::Held { dir: held, .. } if held == dir.path()));
        let text = error.to_string();
        assert!(text.contains(&dir.path().display().to_string()), "{text}");
        assert!(text.contains(&format!("process {} (kappa test)", std::process::id())), "{text}");
        assert!(is_locked(dir.path()));
        drop(held);
        assert!(!is_locked(dir.path()));
        drop(lock(dir.path()).unwrap());
    }

    #[test]
    fn a_lock_file_that_names_nobody_is_no_fault() {
        let dir = tempfile::tempdir().unwrap();
        let held = lock(dir.path()).unwrap();
        for text in ["", "pid x\ncommand y\n", "pid 7\n", "\u{0}\u{1}"] {
            std::fs::write(dir.path().join("LOCK"), text).unwrap();
            let error = lock(dir.path()).unwrap_err().to_string();
            assert!(error.contains("in use by another process"), "{text:?}: {error}");
        }
        drop(held);
    }

    #[test]
    fn what_a_holder_calls_itself_does_nothing_to_a_terminal() {
        let dir = tempfile::tempdir().unwrap();
        let held = lock(dir.path()).unwrap();
        std::fs::write(dir.path().join("LOCK"), "pid 7\ncommand a\u{1b}[2Jb\n").unwrap();
        let error = lock(dir.path()).unwrap_err().to_string();
        assert!(error.contains("process 7 (a\\u{1b}[2Jb)"), "{error}");
        drop(held);
    }

    #[test]
    fn a_copy_of_the_file_does_not_keep_it() {
        let dir = tempfile::tempdir().unwrap();
        let held = lock(dir.path()).unwrap();
        // As a child process has one between fork and exec.
        let copy = held.file.try_clone().unwrap();
        drop(held);
        drop(lock(dir.path()).unwrap());
        drop(copy);
    }

    #[test]
    fn one_that_is_given_back_soon_is_waited_for_and_longer_on_request() {
        let dir = tempfile::tempdir().unwrap();
        for (held_for, wait) in [(20, 0), (900, 60_000)] {
            let held = lock(dir.path()).unwrap();
            let owner = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(held_for));
                drop(held);
            });
            let locking = Locking { wait: Duration::from_millis(wait), ..Locking::default() };
            drop(lock_dir(dir.path(), &locking).unwrap());
            owner.join().unwrap();
        }
    }

    #[test]
    fn a_link_to_a_file_elsewhere_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, other) = (dir.path().join("db"), dir.path().join("other"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(&other, "dear").unwrap();
        std::os::unix::fs::symlink(&other, folder.join("LOCK")).unwrap();
        assert!(matches!(lock(&folder), Err(LockError::Io { .. })));
        assert_eq!(std::fs::read_to_string(other).unwrap(), "dear");
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = lock(Path::new("/nonexistent/kappa")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/kappa/LOCK"));
    }
}
