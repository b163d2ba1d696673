//! The engine, open or asleep: flushed, opened anew when it keeps too much, closed when nobody uses it and opened when somebody does.

use super::engines::Leave;
use super::files::{Folder, Waiting};
use super::flusher::Flusher;
use super::opening::{engine_dir, leave, open_engine, seal_path};
use super::room::Unflushed;
use super::{Core, Engine, SledTree, failed, guarded, lock};
use crate::lock::FolderLock;
use crate::seal::{self, Files};
use crate::{SledOptions, StoreError};
use sled::InlineArray;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak};

type Trees = BTreeMap<String, Arc<SledTree>>;

/// What the store and its flusher share. Locks are taken in this order: trees, engine, the core's gate, a tree's writer.
pub(super) struct Shared {
    pub trees: Mutex<Trees>,
    /// Also the lock that keeps flushes apart. None while it is asleep, and if it could not be opened again.
    pub engine: Mutex<Option<Box<Engine>>>,
    pub sleepers: Mutex<Vec<Arc<dyn Fn() + Send + Sync>>>,
    pub core: Arc<Core>,
}

impl Shared {
    pub fn open(
        path: &Path,
        options: SledOptions,
        engine: Box<Engine>,
        leave: Leave,
        held: FolderLock,
    ) -> io::Result<Arc<Shared>> {
        let directory = engine.iter().map(|row| row.and_then(|row| directory_row(&row)));
        let directory = directory.collect::<io::Result<Vec<_>>>()?;
        let mut core = Core {
            path: path.to_owned(),
            options,
            unflushed: Unflushed::default(),
            written: AtomicU64::new(0),
            flusher: Flusher::default(),
            gate: RwLock::new(Some(leave)),
            poison: OnceLock::new(),
            closed: AtomicBool::new(false),
            files: Arc::new(Waiting::default()),
            shared: Weak::new(),
            lock: held,
        };
        let mut failed = None;
        let shared = Arc::new_cyclic(|shared| {
            core.shared = shared.clone();
            let core = Arc::new(core);
            let trees = directory.into_iter().map(|(name, slot)| {
                let tree = open_slot(&core, &engine, &name, slot)?;
                Ok((name, tree))
            });
            let trees = trees.collect::<io::Result<Trees>>().unwrap_or_else(|error| {
                failed = Some(error);
                Trees::new()
            });
            let (trees, engine) = (Mutex::new(trees), Mutex::new(Some(engine)));
            Shared { trees, engine, sleepers: Mutex::default(), core }
        });
        failed.map_or(Ok(shared), Err)
    }

    /// The engine, which is open and sealed, may be put to sleep from now on.
    pub fn may_sleep(self: &Arc<Self>) {
        let gate = self.core.gate.read().unwrap_or_else(PoisonError::into_inner);
        gate.iter().for_each(|leave| leave.opened(&Arc::downgrade(self)));
    }

    /// Opens the engine if it is asleep. The caller has the trees; they and the engine are not let go of before it is used.
    pub fn wake(self: &Arc<Self>, trees: &Trees, engine: &mut Option<Box<Engine>>) -> Result<(), StoreError> {
        let core = &*self.core;
        if engine.is_some() || core.is_closed() || core.poison.get().is_some() {
            return Ok(());
        }
        let leave = leave(&core.path)?;
        let mut gate = core.gate.write().unwrap_or_else(PoisonError::into_inner);
        let (altered, path) = (|source| StoreError::Altered { path: core.path.clone(), source }, &core.path);
        let checked = seal::check(&engine_dir(path), &seal_path(path)).map_err(altered);
        let opened = checked.and_then(|()| open_engine(path, &core.options));
        let opened = opened.and_then(|opened| self.take_in(trees, opened));
        match opened {
            Ok(opened) => (*engine, *gate) = (Some(opened), Some(leave)),
            Err(error @ StoreError::TooManyFiles { .. }) => return Err(error),
            Err(error) => {
                core.poisoned("wake", &io::Error::other(error.to_string()));
                return Err(error);
            }
        }
        drop(gate);
        self.may_sleep();
        Ok(())
    }

    /// Opens the engine if somebody still has a tree: who wakes it is about to go.
    pub fn wake_if_held(self: &Arc<Self>) -> Result<(), StoreError> {
        let trees = lock(&self.trees);
        match trees.values().any(|tree| Arc::strong_count(tree) > 1) {
            true => self.wake(&trees, &mut lock(&self.engine)),
            false => Ok(()),
        }
    }

    /// Has the trees use an engine that was just opened.
    fn take_in(&self, trees: &Trees, opened: Box<Engine>) -> Result<Box<Engine>, StoreError> {
        let core = &*self.core;
        let handles = || {
            for tree in trees.values() {
                *lock(&tree.root) = Some(opened.open_tree(slot_name(tree.slot))?.into());
            }
            seal::write(&engine_dir(&core.path), &seal_path(&core.path), Files::InUse)
        };
        guarded(handles).map_err(failed("open the engine again"))?;
        Ok(opened)
    }

    /// Closes the engine until it is used again, unless somebody is at it just now, or it cannot be closed in order.
    pub fn try_sleep(&self) -> bool {
        let (Ok(trees), Ok(mut engine)) = (self.trees.try_lock(), self.engine.try_lock()) else {
            return false;
        };
        let Ok(mut gate) = self.core.gate.try_write() else { return false };
        if !self.sleep(&trees, &mut engine, &mut gate).unwrap_or(false) {
            return false;
        }
        drop((gate, engine, trees));
        self.core.files.sleep();
        let sleepers = lock(&self.sleepers).clone();
        sleepers.iter().for_each(|call| call());
        true
    }

    /// False if it sleeps already, or cannot be closed in order.
    fn sleep(
        &self,
        trees: &Trees,
        engine: &mut Option<Box<Engine>>,
        gate: &mut Option<Leave>,
    ) -> Result<bool, StoreError> {
        let core = &*self.core;
        if gate.is_none() || core.is_closed() || !core.may_flush() {
            return Ok(false);
        }
        close_engine(core, trees, engine)
            .inspect_err(|error| core.poisoned("sleep", &io::Error::other(error.to_string())))?;
        core.written.store(0, Ordering::Release);
        *gate = None;
        Ok(true)
    }

    /// Lets go of the engine, the folder and all threads, whoever holds a tree. Without a flush if there cannot be one.
    pub fn close(self: &Arc<Self>) -> Result<(), StoreError> {
        let trees = lock(&self.trees);
        let mut engine = lock(&self.engine);
        let core = &*self.core;
        let mut gate = core.gate.write().unwrap_or_else(PoisonError::into_inner);
        if core.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        if engine.is_none() && core.poison.get().is_none() {
            core.lock.release();
            return Ok(());
        }
        if !core.may_flush() {
            self.abandon();
            let reason = core.poison.get().cloned();
            return Err(reason.map_or(StoreError::DiskFull { path: core.path.clone() }, StoreError::Poisoned));
        }
        let closed = close_engine(core, &trees, &mut engine);
        *gate = None;
        core.lock.release();
        closed
    }

    /// The engine ends the process if its last flush fails: if it must fail now, its handles are better leaked. What is on the disk is then as it was
    /// flushed last. Whoever opens it in this process finds it unreadable; whoever wipes the folder gets new files.
    pub fn abandon(self: &Arc<Self>) {
        std::mem::forget(self.clone());
        self.core.lock.release();
    }

    pub fn flush(&self) -> Result<(), StoreError> {
        let engine = lock(&self.engine);
        let Core { path, unflushed, files, .. } = &*self.core;
        // What sleeps was flushed before.
        if engine.is_none() || (self.core.is_flushed() && files.is_idle()) {
            return self.core.poison.get().map_or(Ok(()), |why| Err(StoreError::Poisoned(why.clone())));
        }
        if !unflushed.fits(path) {
            return Err(StoreError::DiskFull { path: path.clone() });
        }
        let flushed = unflushed.now();
        files.around(failed("flush files"), || {
            self.core.call(&self.core.awake()?, "flush", || there(&engine)?.flush().map(drop))
        })?;
        unflushed.forget(flushed);
        // Of use to the next opening alone: a store that cannot be sealed is made anew then, and goes on until then.
        seal::write(&engine_dir(path), &seal_path(path), Files::InUse).map_err(failed("seal the store"))
    }

    pub fn renew_if_large(self: &Arc<Self>) -> Result<(), StoreError> {
        let is_large = self.core.written.load(Ordering::Acquire) >= self.core.options.cache_bytes as u64;
        if is_large { self.renew() } else { Ok(()) }
    }

    /// Closes the engine and opens it again, without what it kept in memory. Whoever reads or writes waits meanwhile.
    fn renew(self: &Arc<Self>) -> Result<(), StoreError> {
        let (trees, mut engine) = (lock(&self.trees), lock(&self.engine));
        let mut gate = self.core.gate.write().unwrap_or_else(PoisonError::into_inner);
        let sleeps = self.sleep(&trees, &mut engine, &mut gate)?;
        drop(gate);
        if sleeps { self.wake(&trees, &mut engine) } else { Ok(()) }
    }
}

/// Flushes the engine, closes it with all handles to it, and seals what it leaves. The caller has its gate.
fn close_engine(core: &Core, trees: &Trees, engine: &mut Option<Box<Engine>>) -> Result<(), StoreError> {
    let close = || {
        there(engine)?.flush()?;
        for tree in trees.values() {
            *lock(&tree.spare) = Vec::new();
            *lock(&tree.root) = None;
        }
        *engine = None;
        Ok(())
    };
    core.files.around(|error| error, || guarded(close)).map_err(failed("close the engine"))?;
    core.unflushed.forget(core.unflushed.now());
    seal::write(&engine_dir(&core.path), &seal_path(&core.path), Files::Closed)
        .map_err(failed("seal the store"))
}

/// What is there while the engine is open.
pub(super) fn there<T>(slot: &Option<T>) -> io::Result<&T> {
    slot.as_ref().ok_or_else(|| io::Error::other("the engine is closed"))
}

fn slot_name(slot: u32) -> String {
    format!("slot{slot:08}")
}

pub(super) fn open_slot(
    core: &Arc<Core>,
    engine: &Engine,
    name: &str,
    slot: u32,
) -> io::Result<Arc<SledTree>> {
    let root = Mutex::new(Some(engine.open_tree(slot_name(slot))?.into()));
    let (spare, writer, dropped) = (Mutex::default(), Mutex::default(), false.into());
    let (name, folder, core) = (name.to_owned(), Folder::new(&core.path, slot), core.clone());
    Ok(Arc::new(SledTree { name, slot, root, spare, writer, folder, dropped, core }))
}

fn directory_row((name, slot): &(InlineArray, InlineArray)) -> io::Result<(String, u32)> {
    let bad = || io::Error::new(io::ErrorKind::InvalidData, "a row of the tree directory is malformed");
    let name = String::from_utf8(name.to_vec()).map_err(|_| bad())?;
    Ok((name, u32::from_le_bytes(slot.as_ref().try_into().map_err(|_| bad())?)))
}
