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
//! - Opened on a snapshot that no log follows, it writes that snapshot anew and then removes it as the old one; all that it said
//!   is lost at the opening after. A crash while it opens leaves just that. So a log is put behind such a snapshot.
//! - Removing rows may deadlock with a batch that is applied at the same time. So each tree has one writer at a time.

mod quiet;
mod room;
mod walk;

use self::room::Unflushed;
use self::walk::Walk;
use crate::lock::FolderLock;
use crate::seal::{self, Files};
use crate::{Batch, Op, Rows, SledOptions, Store, StoreError, Tree};
use bytes::Bytes;
use sled::InlineArray;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Rows in a leaf: small enough that a leaf of 4 KiB values is read in one go, large enough to compress.
const FANOUT: usize = 128;
/// The engine's own flusher would abort the process on a failure: it gets an interval that never passes (49 days).
const NEVER_MS: usize = u32::MAX as usize;

type Engine = sled::Db<FANOUT>;
type Handle = sled::Tree<FANOUT>;

/// A store in a folder.
///
/// Dropping it flushes. Trees may outlive it and keep the folder locked; what they write then is flushed when the last of
/// them goes.
pub struct SledStore {
    shared: Arc<Shared>,
    stop: Option<SyncSender<()>>,
    flusher: Option<JoinHandle<()>>,
}

/// What the store and its flusher share.
struct Shared {
    engine: Mutex<Engine>,
    /// Also the lock that keeps flushes apart.
    flush: Mutex<Handle>,
    trees: Mutex<BTreeMap<String, Arc<SledTree>>>,
    core: Arc<Core>,
}

/// What the store and its trees share: the last field of each, so that it goes after every handle of the engine.
struct Core {
    path: PathBuf,
    unflushed: Unflushed,
    poison: OnceLock<String>,
    lock: FolderLock,
}

struct SledTree {
    name: String,
    slot: u32,
    root: Mutex<Handle>,
    spare: Mutex<Vec<Handle>>,
    writer: Mutex<()>,
    dropped: AtomicBool,
    core: Arc<Core>,
}

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

/// Opens the engine, on a thread of its own: if what it finds is odd, it panics, and then waits for ever for a thread that it had not begun yet.
/// That one waits alone, with the files that were there.
fn open_apart(config: sled::Config) -> io::Result<Engine> {
    let (tell, told) = sync_channel(2);
    let opening = move || {
        let panicked = tell.clone();
        let last_words = move |text| drop(panicked.send(Err(io::Error::other(text))));
        let opened = quiet::within_or_else(last_words, || guarded(|| config.open()));
        // Nobody listens any more if it has panicked.
        drop(tell.send(opened));
    };
    std::thread::Builder::new().name("kappadb-open".to_owned()).spawn(opening)?;
    told.recv().unwrap_or_else(|gone| Err(io::Error::other(gone)))
}

fn engine_dir(path: &Path) -> PathBuf {
    path.join("engine")
}
fn seal_path(path: &Path) -> PathBuf {
    path.join("seal")
}

/// Opens the engine. Its own lock may be held for a moment after it was closed: a process started meanwhile has a copy of
/// all descriptors until it becomes another program, and the engine starts one at each opening.
fn open_engine(path: &Path, options: &SledOptions) -> Result<Engine, StoreError> {
    follow_snapshot(&engine_dir(path)).map_err(failed("put a log behind the engine's snapshot"))?;
    let config = sled::Config::new().path(engine_dir(path)).cache_capacity_bytes(options.cache_bytes);
    let config = config.flush_every_ms(Some(NEVER_MS));
    for pause_ms in [10, 40, 160, 640, 0] {
        match open_apart(config.clone()) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(pause_ms));
            }
            opened => {
                return opened.map_err(|source| StoreError::Unreadable { path: path.to_owned(), source });
            }
        }
    }
    // The folder is ours: whoever has this file open is what is left of a store of this process that could not be closed.
    Err(StoreError::Unreadable { path: path.to_owned(), source: io::ErrorKind::WouldBlock.into() })
}

/// Makes sure that a log follows the newest snapshot.
fn follow_snapshot(engine: &Path) -> io::Result<()> {
    let newest = |kind| seal::newest(engine, kind);
    match newest("snapshot")? {
        Some(snapshot) if newest("log")?.is_none_or(|log| log <= snapshot) => {
            fs::write(engine.join(format!("metadata/log_{:016x}", snapshot + 1)), [])
        }
        _ => Ok(()),
    }
}

impl SledStore {
    /// Opens the store in `path`, made if it is not there.
    ///
    /// [`StoreError::Unreadable`] and [`StoreError::Altered`] mean: [`SledStore::wipe`] it, open it and rebuild.
    pub fn open(path: &Path, options: SledOptions) -> Result<Self, StoreError> {
        let held = FolderLock::take(path)?;
        if !room::is_enough_to_open(path) {
            return Err(StoreError::DiskFull { path: path.to_owned() });
        }
        let engine = engine_dir(path);
        if engine.exists() {
            let altered = |source| StoreError::Altered { path: path.to_owned(), source };
            seal::check(&engine, &seal_path(path)).map_err(altered)?;
        }
        let engine = open_engine(path, &options)?;
        let unreadable = |source| StoreError::Unreadable { path: path.to_owned(), source };
        // Until the first flush the engine's files are those that it has made of them by opening.
        let opened = || {
            let shared = Shared::open(path, engine, held)?;
            seal::write(&engine_dir(path), &seal_path(path), Files::InUse).map(|()| shared)
        };
        let shared = guarded(opened).map_err(unreadable)?;
        let (stop, stopped) = sync_channel(1);
        let flushed = shared.clone();
        let spawned = std::thread::Builder::new().name("kappadb-flush".to_owned());
        let flusher = spawned.spawn(move || flush_until(&flushed, &stopped, options.flush_every));
        let flusher = flusher.map_err(failed("start the flusher"))?;
        Ok(SledStore { shared, stop: Some(stop), flusher: Some(flusher) })
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
        remove(&seal_path(path)).and_then(|()| remove(&engine_dir(path))).map_err(failed("remove the store"))
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

/// Flushes until told to stop, then once more.
fn flush_until(shared: &Shared, stopped: &Receiver<()>, every: Duration) {
    let mut running = true;
    while running {
        running = matches!(stopped.recv_timeout(every), Err(RecvTimeoutError::Timeout));
        match shared.flush() {
            // The next time there may be.
            Ok(()) | Err(StoreError::DiskFull { .. }) => {}
            Err(error) => {
                tracing::error!(%error, "flushing the store failed");
                running &= shared.core.poison.get().is_none();
            }
        }
    }
}

impl Drop for SledStore {
    fn drop(&mut self) {
        drop(self.stop.take());
        if self.flusher.take().is_some_and(|flusher| flusher.join().is_err()) {
            self.shared.core.poisoned("flush", &io::Error::other("the flusher panicked"));
        }
        // The engine aborts the process if its last flush fails, as it must now: better to leak its handles. What is on the disk is then
        // as it was flushed last. Whoever opens it in this process finds it unreadable; whoever wipes the folder gets new files.
        let core = &self.shared.core;
        let may_write = core.unflushed.fits(&core.path) && engine_dir(&core.path).exists();
        if core.poison.get().is_some() || !core.is_flushed() || !may_write {
            std::mem::forget(self.shared.clone());
            core.lock.release();
        }
    }
}

impl Drop for Core {
    /// The engine has closed, and has tidied its files once more.
    fn drop(&mut self) {
        if self.poison.get().is_none()
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

    fn poisoned(&self, what: &'static str, error: &io::Error) {
        let _ = self.poison.set(format!("{what}: {error}"));
        // Without a seal the next open takes the store for what it is: unknown.
        let _ = fs::remove_file(seal_path(&self.path));
    }

    /// Runs a call into the engine. After an error nothing is known of its state, so no further call is made.
    fn call<R>(&self, what: &'static str, call: impl FnOnce() -> io::Result<R>) -> Result<R, StoreError> {
        if let Some(reason) = self.poison.get() {
            return Err(StoreError::Poisoned(reason.clone()));
        }
        guarded(call).map_err(|source| {
            self.poisoned(what, &source);
            StoreError::Io { what, source }
        })
    }
}

impl Shared {
    fn open(path: &Path, engine: Engine, held: FolderLock) -> io::Result<Arc<Shared>> {
        let flush = Mutex::new(Handle::clone(&engine));
        let directory = engine.iter().map(|row| row.and_then(|row| directory_row(&row)));
        let directory = directory.collect::<io::Result<Vec<_>>>()?;
        let (path, unflushed, poison) = (path.to_owned(), Unflushed::default(), OnceLock::new());
        let core = Arc::new(Core { path, unflushed, poison, lock: held });
        let shared = Arc::new(Shared { core, engine: Mutex::new(engine), flush, trees: Mutex::default() });
        for (name, slot) in directory {
            let tree = shared.slot(&name, slot)?;
            lock(&shared.trees).insert(name, tree);
        }
        Ok(shared)
    }

    fn slot(&self, name: &str, slot: u32) -> io::Result<Arc<SledTree>> {
        let handle = lock(&self.engine).open_tree(format!("slot{slot:08}"))?;
        Ok(Arc::new(SledTree {
            core: self.core.clone(),
            name: name.to_owned(),
            slot,
            root: Mutex::new(handle),
            spare: Mutex::default(),
            writer: Mutex::default(),
            dropped: false.into(),
        }))
    }

    fn flush(&self) -> Result<(), StoreError> {
        let handle = lock(&self.flush);
        let Core { path, unflushed, .. } = &*self.core;
        if self.core.is_flushed() {
            return Ok(());
        }
        if !unflushed.fits(path) {
            return Err(StoreError::DiskFull { path: path.clone() });
        }
        let flushed = unflushed.now();
        self.core.call("flush", || handle.flush().map(drop))?;
        unflushed.forget(flushed);
        // Of use to the next opening alone: a store that cannot be sealed is made anew then, and goes on until then.
        seal::write(&engine_dir(path), &seal_path(path), Files::InUse).map_err(failed("seal the store"))
    }
}

fn directory_row((name, slot): &(InlineArray, InlineArray)) -> io::Result<(String, u32)> {
    let bad = || io::Error::new(io::ErrorKind::InvalidData, "a row of the tree directory is malformed");
    let name = String::from_utf8(name.to_vec()).map_err(|_| bad())?;
    Ok((name, u32::from_le_bytes(slot.as_ref().try_into().map_err(|_| bad())?)))
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
        let _unflushed = lock(&self.shared.flush);
        let made = self.shared.core.call("make a tree", || {
            let tree = self.shared.slot(name, slot)?;
            // A crash may have come between the removal of a name and that of its rows.
            lock(&tree.root).clear()?;
            lock(&self.shared.engine).insert(name, slot.to_le_bytes())?;
            Ok(tree)
        })?;
        self.shared.core.unflushed.add(1, 0);
        trees.insert(name.to_owned(), made.clone());
        Ok(made)
    }

    fn trees(&self) -> Result<Vec<String>, StoreError> {
        Ok(lock(&self.shared.trees).keys().cloned().collect())
    }

    fn drop_tree(&self, name: &str) -> Result<bool, StoreError> {
        let mut trees = lock(&self.shared.trees);
        let Some(tree) = trees.get(name).cloned() else { return Ok(false) };
        let _writer = lock(&tree.writer);
        tree.dropped.store(true, Ordering::Release);
        self.shared.core.call("drop a tree", || {
            lock(&self.shared.engine).remove(name)?;
            lock(&tree.root).clear()
        })?;
        self.shared.core.unflushed.add(1, 0);
        trees.remove(name);
        Ok(true)
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.shared.flush()
    }

    fn disk_bytes(&self) -> Result<u64, StoreError> {
        let engine = lock(&self.shared.engine);
        engine.size_on_disk().map_err(failed("measure the store"))
    }
}

impl SledTree {
    /// Runs a call with a handle of its own, from the pool.
    fn call<R>(
        &self,
        what: &'static str,
        call: impl FnOnce(&Handle) -> io::Result<R>,
    ) -> Result<R, StoreError> {
        if self.dropped.load(Ordering::Acquire) {
            return Err(StoreError::Dropped(self.name.clone()));
        }
        self.core.call(what, || {
            let spare = lock(&self.spare).pop();
            let handle = spare.unwrap_or_else(|| lock(&self.root).clone());
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
        self.call("get", |handle| Ok(handle.get(key)?.as_ref().map(to_bytes)))
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
        let _writer = lock(&self.writer);
        self.call("apply", |handle| handle.apply_batch(writes))?;
        self.core.unflushed.add(rows, bytes);
        Ok(())
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
