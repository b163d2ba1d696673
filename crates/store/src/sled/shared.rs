//! The engine, opened: flushed, and opened anew when it keeps too much.

use super::files::{Folder, Waiting};
use super::opening::{engine_dir, open_engine, seal_path};
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
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

/// What the store and its flusher share. Locks are taken in this order: trees, engine, the core's gate.
pub(super) struct Shared {
    pub trees: Mutex<BTreeMap<String, Arc<SledTree>>>,
    /// Also the lock that keeps flushes apart. None if it could not be opened again.
    pub engine: Mutex<Option<Engine>>,
    pub core: Arc<Core>,
}

impl Shared {
    pub fn open(
        path: &Path,
        options: SledOptions,
        engine: Engine,
        held: FolderLock,
    ) -> io::Result<Arc<Shared>> {
        let directory = engine.iter().map(|row| row.and_then(|row| directory_row(&row)));
        let directory = directory.collect::<io::Result<Vec<_>>>()?;
        let core = Arc::new(Core {
            path: path.to_owned(),
            options,
            unflushed: Unflushed::default(),
            written: AtomicU64::new(0),
            gate: RwLock::new(()),
            poison: OnceLock::new(),
            closed: AtomicBool::new(false),
            files: Arc::new(Waiting::default()),
            lock: held,
        });
        let trees = directory.into_iter().map(|(name, slot)| {
            let tree = open_slot(&core, &engine, &name, slot)?;
            Ok((name, tree))
        });
        let trees = Mutex::new(trees.collect::<io::Result<BTreeMap<_, _>>>()?);
        Ok(Arc::new(Shared { trees, engine: Mutex::new(Some(engine)), core }))
    }

    /// Lets go of the engine, the folder and all threads, whoever holds a tree. Without a flush if there cannot be one.
    pub fn close(self: &Arc<Self>) -> Result<(), StoreError> {
        let trees = lock(&self.trees);
        let mut engine = lock(&self.engine);
        let core = &*self.core;
        let _closed = core.gate.write().unwrap_or_else(PoisonError::into_inner);
        if core.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        if !core.may_flush() {
            self.abandon();
            let reason = core.poison.get().cloned();
            return Err(reason.map_or(StoreError::DiskFull { path: core.path.clone() }, StoreError::Poisoned));
        }
        let closed = close_engine(core, &trees.values().collect::<Vec<_>>(), &mut engine).and_then(|()| {
            seal::write(&engine_dir(&core.path), &seal_path(&core.path), Files::Closed)
                .map_err(failed("seal the store"))
        });
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
        if self.core.is_flushed() && files.is_idle() {
            return Ok(());
        }
        if !unflushed.fits(path) {
            return Err(StoreError::DiskFull { path: path.clone() });
        }
        let flushed = unflushed.now();
        files.around(failed("flush files"), || {
            self.core.call("flush", || there(&engine)?.flush().map(drop))
        })?;
        unflushed.forget(flushed);
        // Of use to the next opening alone: a store that cannot be sealed is made anew then, and goes on until then.
        seal::write(&engine_dir(path), &seal_path(path), Files::InUse).map_err(failed("seal the store"))
    }

    pub fn renew_if_large(&self) -> Result<(), StoreError> {
        let is_large = self.core.written.load(Ordering::Acquire) >= self.core.options.cache_bytes as u64;
        if is_large { self.renew() } else { Ok(()) }
    }

    /// Closes the engine and opens it again, without what it kept in memory. Whoever reads or writes waits meanwhile.
    fn renew(&self) -> Result<(), StoreError> {
        let trees = lock(&self.trees);
        let mut engine = lock(&self.engine);
        let core = &*self.core;
        let _closed = core.gate.write().unwrap_or_else(PoisonError::into_inner);
        if core.is_closed() || !core.may_flush() {
            return Ok(());
        }
        let trees: Vec<&Arc<SledTree>> = trees.values().collect();
        let opened = close_engine(core, &trees, &mut engine).and_then(|()| {
            core.written.store(0, Ordering::Release);
            let opened = open_engine(&core.path, &core.options)?;
            let handles = || {
                for tree in &trees {
                    *lock(&tree.root) = Some(opened.open_tree(slot_name(tree.slot))?);
                }
                seal::write(&engine_dir(&core.path), &seal_path(&core.path), Files::InUse)
            };
            guarded(handles).map_err(failed("open the engine again"))?;
            *engine = Some(opened);
            Ok(())
        });
        opened.inspect_err(|error| core.poisoned("renew", &io::Error::other(error.to_string())))
    }
}

/// Flushes the engine and closes it, with all handles to it. The caller has its gate.
fn close_engine(
    core: &Core,
    trees: &[&Arc<SledTree>],
    engine: &mut Option<Engine>,
) -> Result<(), StoreError> {
    let close = || {
        there(engine)?.flush()?;
        for tree in trees {
            lock(&tree.spare).clear();
            *lock(&tree.root) = None;
        }
        *engine = None;
        Ok(())
    };
    core.files.around(|error| error, || guarded(close)).map_err(failed("close the engine"))?;
    core.unflushed.forget(core.unflushed.now());
    Ok(())
}

/// What is there unless the engine could not be opened again.
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
    let root = Mutex::new(Some(engine.open_tree(slot_name(slot))?));
    let (spare, writer, dropped) = (Mutex::default(), Mutex::default(), false.into());
    let (name, folder, core) = (name.to_owned(), Folder::new(&core.path, slot), core.clone());
    Ok(Arc::new(SledTree { name, slot, root, spare, writer, folder, dropped, core }))
}

fn directory_row((name, slot): &(InlineArray, InlineArray)) -> io::Result<(String, u32)> {
    let bad = || io::Error::new(io::ErrorKind::InvalidData, "a row of the tree directory is malformed");
    let name = String::from_utf8(name.to_vec()).map_err(|_| bad())?;
    Ok((name, u32::from_le_bytes(slot.as_ref().try_into().map_err(|_| bad())?)))
}
