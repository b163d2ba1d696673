//! The store on disk. The only module that names the engine: sled 1.0 alpha.
//!
//! What is done here because of the engine, and would go with it:
//! - It may panic on damaged files and aborts the process when its own flusher fails. So every call is guarded, flushing is
//!   done by a thread of this store, and after a failure the store is poisoned: opened again, it is found altered.
//! - A full disk is such a failure. So it is flushed only where there is room ([`room`]); until then rows stay in memory, where
//!   the engine keeps them in any case, and are read from there.
//! - A dropped tree makes its next open panic. So the trees are numbered slots, used again, with a directory of names.
//! - An iterator with an end reads on to the end of the tree. So the end is watched here.
//! - Its handles are `Send` but not `Sync`, and cost to clone. So they are pooled.
//! - It keeps in memory whatever was written until it is closed. So it is closed and opened again when that is much ([`Shared::renew`]).
//! - Opened on a snapshot that no log follows, it writes that snapshot anew and then removes it as the old one; all that it said
//!   is lost at the opening after. A crash while it opens leaves just that. So a log is put behind such a snapshot.
//! - It has 78 files and two threads, whatever is in it. So few are open in a process at once: one that nobody uses sleeps ([`engines`]).
//! - Removing rows may deadlock with a batch that is applied at the same time. So each tree has one writer at a time.

mod engines;
mod files;
mod flusher;
mod opening;
mod quiet;
mod room;
mod shared;
mod walk;

use self::engines::Leave;
use self::files::{Folder, Waiting, files_dir};
use self::flusher::Flusher;
use self::opening::{engine_dir, leave, open_engine, seal_path};
use self::room::Unflushed;
use self::shared::{Shared, open_slot, there};
use self::walk::Walk;
use crate::lock::{FolderLock, make_folder};
use crate::seal::{self, Files};
use crate::{Batch, FileId, NewFile, Op, OuterLock, Rows, SledOptions, Store, StoreError, StoredFile, Tree};
use bytes::Bytes;
use sled::InlineArray;
use std::fs;
use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, Weak};

/// Rows in a leaf: small enough that a leaf of 4 KiB values is read in one go, large enough to compress.
const FANOUT: usize = 128;

type Engine = sled::Db<FANOUT>;
type Handle = sled::Tree<FANOUT>;

/// A store in a folder.
///
/// Dropping it flushes. Trees may outlive it and keep the folder locked; what they write then is flushed when the last of
/// them goes.
pub struct SledStore {
    shared: Arc<Shared>,
}

/// What the store and its trees share: the last field of each, so that it goes after every handle of the engine.
struct Core {
    path: PathBuf,
    options: SledOptions,
    unflushed: Unflushed,
    /// Bytes of rows written since the engine was opened.
    written: AtomicU64,
    /// Every call into the engine is made under it; who closes the engine waits for them. None while the engine is asleep.
    gate: RwLock<Option<Leave>>,
    poison: OnceLock<String>,
    closed: AtomicBool,
    files: Arc<Waiting>,
    flusher: Flusher,
    /// Gone once the store was dropped, and trees alone go on.
    shared: Weak<Shared>,
    lock: FolderLock,
}

struct SledTree {
    name: String,
    slot: u32,
    /// None while the engine is asleep, and if it could not be opened again.
    root: Mutex<Option<Box<Handle>>>,
    /// In boxes: a handle is some kilobytes.
    spare: Mutex<Vec<Box<Handle>>>,
    writer: Mutex<()>,
    folder: Folder,
    dropped: AtomicBool,
    core: Arc<Core>,
}

/// The engine is open as long as this lives.
struct Awake<'a>(#[expect(dead_code, reason = "it is held")] RwLockReadGuard<'a, Option<Leave>>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failed(what: &'static str) -> impl FnOnce(io::Error) -> StoreError {
    move |source| StoreError::Io { what, source }
}

/// Runs a call into the engine; a panic in it becomes an error, and is told to nobody else. Needs `panic = "unwind"`.
fn guarded<R>(call: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
    let done = quiet::within(|| catch_unwind(AssertUnwindSafe(call)));
    done.unwrap_or_else(|panic| Err(io::Error::other(quiet::words(&*panic)))).map_err(plain)
}

/// The engine puts the places in its own sources before what went wrong.
fn plain(error: io::Error) -> io::Error {
    match error.to_string().rsplit_once(" -> ") {
        Some((_, what)) => io::Error::new(error.kind(), what),
        None => error,
    }
}

impl SledStore {
    /// Opens the store in `path`, made if it is not there.
    ///
    /// [`StoreError::Unreadable`] and [`StoreError::Altered`] mean: [`SledStore::wipe`] it, open it and rebuild.
    pub fn open(path: &Path, options: SledOptions) -> Result<Self, StoreError> {
        Self::open_locked(path, options, FolderLock::take(path)?)
    }

    /// The same for somebody who has a lock that keeps the folder for himself. It is given to the store, which needs none of its own then.
    pub fn open_under(
        path: &Path,
        options: SledOptions,
        lock: Box<dyn OuterLock>,
    ) -> Result<Self, StoreError> {
        make_folder(path)?;
        Self::open_locked(path, options, FolderLock::Outer(lock))
    }

    fn open_locked(path: &Path, options: SledOptions, held: FolderLock) -> Result<Self, StoreError> {
        if !room::is_enough_to_open(path) {
            return Err(StoreError::DiskFull { path: path.to_owned() });
        }
        let leave = leave(path)?;
        let engine = engine_dir(path);
        if engine.exists() {
            let altered = |source| StoreError::Altered { path: path.to_owned(), source };
            seal::check(&engine, &seal_path(path)).map_err(altered)?;
        }
        let engine = open_engine(path, &options)?;
        let unreadable = |source| StoreError::Unreadable { path: path.to_owned(), source };
        // Until the first flush the engine's files are those that it has made of them by opening.
        let opened = || {
            let shared = Shared::open(path, options, engine, leave, held)?;
            seal::write(&engine_dir(path), &seal_path(path), Files::InUse).map(|()| shared)
        };
        let shared = guarded(opened).map_err(unreadable)?;
        shared.may_sleep();
        Ok(SledStore { shared })
    }

    /// Removes the store in `path` with all that is in it. Not while it is open.
    pub fn wipe(path: &Path) -> Result<(), StoreError> {
        // What stands where a folder or the lock's file belongs is nobody's.
        for (name, is_folder) in [(path.to_owned(), true), (path.join("lock"), false)] {
            if fs::symlink_metadata(&name).is_ok_and(|found| found.is_dir() != is_folder) {
                remove(&name).map_err(failed("remove what is in the place of the store"))?;
            }
        }
        let _held = FolderLock::take(path)?;
        // The seal goes first: a store half removed must not look whole.
        let parts = [seal_path(path), engine_dir(path), files_dir(path)];
        parts.iter().try_for_each(|part| remove(part)).map_err(failed("remove the store"))
    }
}

/// Removes whatever has this name.
fn remove(path: &Path) -> io::Result<()> {
    let gone = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    gone.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

impl Drop for SledStore {
    fn drop(&mut self) {
        engines::keep(&self.shared);
        let core = &self.shared.core;
        core.flusher.end(core);
        if let Err(error) = self.shared.wake_if_held() {
            tracing::warn!(%error, "trees of a store that is gone cannot be used any more");
        }
        engines::keep(&self.shared);
        if !core.is_flushed() && !core.is_closed() {
            // Whatever comes of it shows below.
            let _ = self.shared.flush();
        }
        let is_open = core.gate.read().unwrap_or_else(PoisonError::into_inner).is_some();
        if is_open && !core.is_closed() && (!core.is_flushed() || !core.may_flush()) {
            self.shared.abandon();
        }
    }
}

impl Drop for Core {
    /// The engine has closed, and has tidied its files once more.
    fn drop(&mut self) {
        let is_open = self.gate.get_mut().unwrap_or_else(PoisonError::into_inner).is_some();
        if is_open
            && !self.is_closed()
            && self.poison.get().is_none()
            && let Err(error) = seal::write(&engine_dir(&self.path), &seal_path(&self.path), Files::Closed)
        {
            tracing::warn!(%error, "the store could not be sealed, and will be rebuilt");
        }
    }
}

impl Core {
    fn is_flushed(&self) -> bool {
        self.unflushed.now() == (0, 0)
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// True if the engine can be flushed, and so be closed: it ends the process if it cannot flush then.
    fn may_flush(&self) -> bool {
        self.poison.get().is_none() && self.unflushed.fits(&self.path) && engine_dir(&self.path).exists()
    }

    fn is_much_unflushed(&self) -> bool {
        self.unflushed.now().1 >= self.options.cache_bytes as u64 / 2
    }

    fn poisoned(&self, what: &'static str, error: &io::Error) {
        let _ = self.poison.set(format!("{what}: {error}"));
        // Without a seal the next open takes the store for what it is: unknown.
        let _ = fs::remove_file(seal_path(&self.path));
    }

    /// Waits until the engine is open, and keeps it open. The caller has none of its locks.
    fn awake(&self) -> Result<Awake<'_>, StoreError> {
        loop {
            let gate = self.gate.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(reason) = self.poison.get() {
                return Err(StoreError::Poisoned(reason.clone()));
            }
            if self.is_closed() {
                return Err(StoreError::Closed);
            }
            if let Some(leave) = &*gate {
                leave.used();
                return Ok(Awake(gate));
            }
            drop(gate);
            let shared = self.shared.upgrade().ok_or(StoreError::Closed)?;
            let trees = lock(&shared.trees);
            shared.wake(&trees, &mut lock(&shared.engine))?;
        }
    }

    /// Runs a call into the engine. After an error nothing is known of its state, so no further call is made.
    fn call<R>(
        &self,
        _awake: &Awake<'_>,
        what: &'static str,
        call: impl FnOnce() -> io::Result<R>,
    ) -> Result<R, StoreError> {
        guarded(call).map_err(|source| {
            self.poisoned(what, &source);
            StoreError::Io { what, source }
        })
    }

    /// So much was written, which is to be flushed.
    fn wrote(&self, rows: u64, bytes: u64) {
        self.unflushed.add(rows, bytes);
        self.flusher.begin(&self.shared);
    }
}

impl Store for SledStore {
    fn tree(&self, name: &str) -> Result<Arc<dyn Tree>, StoreError> {
        let mut trees = lock(&self.shared.trees);
        if let Some(tree) = trees.get(name) {
            return Ok(tree.clone());
        }
        let used: Vec<u32> = trees.values().map(|tree| tree.slot).collect();
        let slot = (0..u32::MAX).find(|slot| !used.contains(slot)).unwrap_or(u32::MAX);
        // The engine makes a tree in two steps, and cannot be opened again on the first alone: no flush may come between.
        let mut engine = lock(&self.shared.engine);
        self.shared.wake(&trees, &mut engine)?;
        let made = self.shared.core.call(&self.shared.core.awake()?, "make a tree", || {
            let engine = there(&engine)?;
            let tree = open_slot(&self.shared.core, engine, name, slot)?;
            // A crash may have come between the removal of a name and that of its rows.
            there(&lock(&tree.root))?.clear()?;
            engine.insert(name, slot.to_le_bytes())?;
            Ok(tree)
        })?;
        made.remove_files()?;
        self.shared.core.wrote(1, 0);
        trees.insert(name.to_owned(), made.clone());
        Ok(made)
    }

    fn trees(&self) -> Result<Vec<String>, StoreError> {
        Ok(lock(&self.shared.trees).keys().cloned().collect())
    }

    fn drop_tree(&self, name: &str) -> Result<bool, StoreError> {
        let mut trees = lock(&self.shared.trees);
        let Some(tree) = trees.get(name).cloned() else { return Ok(false) };
        let mut engine = lock(&self.shared.engine);
        self.shared.wake(&trees, &mut engine)?;
        let awake = self.shared.core.awake()?;
        let _writer = lock(&tree.writer);
        tree.dropped.store(true, Ordering::Release);
        self.shared.core.call(&awake, "drop a tree", || {
            there(&engine)?.remove(name)?;
            there(&lock(&tree.root))?.clear()
        })?;
        tree.remove_files()?;
        self.shared.core.wrote(1, 0);
        trees.remove(name);
        Ok(true)
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.shared.flush()
    }

    fn close(&self) -> Result<(), StoreError> {
        self.shared.core.flusher.end(&self.shared.core);
        self.shared.close()
    }

    fn on_sleep(&self, call: Arc<dyn Fn() + Send + Sync>) {
        lock(&self.shared.sleepers).push(call);
    }

    fn disk_bytes(&self) -> Result<u64, StoreError> {
        let path = &self.shared.core.path;
        Ok(room::bytes_in(&engine_dir(path)) + room::bytes_in(&files_dir(path)))
    }
}

impl SledTree {
    fn alive(&self) -> Result<(), StoreError> {
        if self.core.is_closed() {
            return Err(StoreError::Closed);
        }
        match self.dropped.load(Ordering::Acquire) {
            true => Err(StoreError::Dropped(self.name.clone())),
            false => Ok(()),
        }
    }

    /// All files that there are go.
    fn remove_files(&self) -> Result<(), StoreError> {
        let all = self.folder.all()?;
        self.core.files.remove(all.into_iter().map(|id| self.folder.path(id)));
        Ok(())
    }

    /// Runs a call with a handle of its own, from the pool.
    fn call<R>(
        &self,
        awake: &Awake<'_>,
        what: &'static str,
        call: impl FnOnce(&Handle) -> io::Result<R>,
    ) -> Result<R, StoreError> {
        self.alive()?;
        self.core.call(awake, what, || {
            let spare = lock(&self.spare).pop();
            let handle = spare.map_or_else(|| there(&lock(&self.root)).cloned(), Ok)?;
            let result = call(&handle);
            lock(&self.spare).push(handle);
            result
        })
    }
}

fn to_bytes(value: &InlineArray) -> Bytes {
    Bytes::copy_from_slice(value)
}

impl Tree for SledTree {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.call(&self.core.awake()?, "get", |handle| Ok(handle.get(key)?.as_ref().map(to_bytes)))
    }

    fn range<'a>(&'a self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Rows<'a> {
        Box::new(Walk::new(self, from, to))
    }

    fn apply(&self, batch: &Batch) -> Result<(), StoreError> {
        let (mut writes, mut rows, mut bytes) = (sled::Batch::default(), 0, 0);
        for op in batch.iter() {
            match op {
                Op::Put(key, value) => {
                    bytes += (key.len() + value.len()) as u64;
                    writes.insert(&key[..], &value[..]);
                }
                Op::Delete(key) => writes.remove(&key[..]),
            }
            rows += 1;
        }
        let awake = self.core.awake()?;
        let _writer = lock(&self.writer);
        self.call(&awake, "apply", |handle| handle.apply_batch(writes))?;
        self.core.written.fetch_add(bytes, Ordering::AcqRel);
        self.core.wrote(rows, bytes);
        self.core.files.remove(batch.removed_files().iter().map(|id| self.folder.path(*id)));
        Ok(())
    }

    fn new_file(&self, id: FileId) -> Result<Box<dyn NewFile>, StoreError> {
        self.alive()?;
        self.folder.create(id, self.core.files.clone())
    }

    fn open_file(&self, id: FileId) -> Result<Option<Arc<dyn StoredFile>>, StoreError> {
        self.alive()?;
        self.folder.open(id, &self.core.files)
    }

    fn files(&self, group: u16) -> Result<Vec<u64>, StoreError> {
        self.alive()?;
        Ok(self.folder.all()?.into_iter().filter(|id| id.group == group).map(|id| id.number).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The seal vouches for the files, and yet the engine panics while it opens them.
    #[test]
    fn an_engine_that_panics_while_it_opens_is_an_error_and_holds_nobody_up() {
        let dir = tempfile::tempdir().unwrap();
        let store = SledStore::open(dir.path(), SledOptions::default()).unwrap();
        let mut batch = Batch::new();
        batch.put("key", "value");
        store.tree("view/map/1/0").unwrap().apply(&batch).unwrap();
        store.flush().unwrap();
        drop(store);
        let engine = engine_dir(dir.path());
        for slab in fs::read_dir(engine.join("slabs")).unwrap() {
            fs::write(slab.unwrap().path(), []).unwrap();
        }
        seal::write(&engine, &seal_path(dir.path()), Files::Closed).unwrap();
        let error = SledStore::open(dir.path(), SledOptions::default()).err().unwrap();
        assert!(error.to_string().contains("panicked"), "{error}");
        fs::remove_dir_all(&engine).unwrap();
        fs::remove_file(seal_path(dir.path())).unwrap();
        SledStore::open(dir.path(), SledOptions::default()).unwrap();
    }
}
