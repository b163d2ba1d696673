//! A disk in memory that fails on demand: full disk, failed sync, power cut, flipped bits. For tests of whatever stands on
//! a journal.

use crate::disk::{Disk, DiskFile};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A disk whose clones share one content.
#[derive(Clone, Default)]
pub struct FaultDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, Content>,
    /// Bytes that can still be written; `None` is no limit.
    room: Option<u64>,
    /// Syncs that still succeed before all fail; `None` is no limit.
    syncs_left: Option<u64>,
    /// Renames that a power cut can undo: from, to, and what was called so before.
    renames: Vec<(String, String, Option<Content>)>,
    /// Counts power cuts: handles opened before one are dead after it.
    power: u64,
    open: usize,
    most_open: usize,
    syncs: u64,
}

#[derive(Default)]
struct Content {
    now: Vec<u8>,
    /// What a power cut cannot take; `None` for a file whose name is not durable.
    durable: Option<Vec<u8>>,
    synced: Vec<u8>,
}

struct FaultFile {
    state: Arc<Mutex<State>>,
    name: String,
    power: u64,
}

impl FaultDisk {
    /// An empty disk without faults.
    pub fn new() -> FaultDisk {
        FaultDisk::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets only so many more bytes be written before the disk is full; `None` lifts the limit. The write that hits
    /// the limit leaves its first bytes behind.
    pub fn set_room(&self, bytes: Option<u64>) {
        self.state().room = bytes;
    }

    /// Makes every sync fail, or succeed again.
    pub fn set_syncs_fail(&self, fail: bool) {
        self.state().syncs_left = fail.then_some(0);
    }

    /// Makes every sync fail after so many more have succeeded, until the power is cut.
    pub fn set_syncs_fail_after(&self, count: u64) {
        self.state().syncs_left = Some(count);
    }

    /// Cuts the power: all handles die, and of each file what was not synced is lost, but for as many of the bytes
    /// appended since as `keep(bytes)` says. A rename whose names were not synced is undone if `keep(1)` is 0.
    pub fn power_cut(&self, keep: &mut dyn FnMut(u64) -> u64) {
        let mut state = self.state();
        state.power += 1;
        (state.room, state.syncs_left) = (None, None);
        for (from, to, before) in std::mem::take(&mut state.renames).into_iter().rev() {
            if keep(1) == 0 {
                let moved = state.files.remove(&to);
                state.files.extend(moved.map(|moved| (from, moved)));
                state.files.extend(before.map(|before| (to, before)));
            } else if let Some(content) = state.files.get_mut(&to) {
                content.durable = Some(content.synced.clone());
            }
        }
        state.files.retain(|_, content| content.durable.is_some());
        for content in state.files.values_mut() {
            content.cut(keep);
        }
    }

    /// How many handles are open now, and how many were at most.
    pub fn open_files(&self) -> (usize, usize) {
        let state = self.state();
        (state.open, state.most_open)
    }

    /// How many syncs of files and of names succeeded.
    pub fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// The content of a file, or nothing.
    pub fn content(&self, name: &str) -> Vec<u8> {
        self.state().files.get(name).map(|content| content.now.clone()).unwrap_or_default()
    }

    /// Puts a file on the disk, durably.
    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        let content = Content { now: bytes.clone(), durable: Some(bytes.clone()), synced: bytes };
        self.state().files.insert(name.to_owned(), content);
    }

    /// Takes a file away, if it is there.
    pub fn lose(&self, name: &str) {
        self.state().files.remove(name);
    }

    /// A copy of the disk as it is now, all of it durable, without faults.
    pub fn copy(&self) -> FaultDisk {
        let copy = FaultDisk::new();
        self.state().files.iter().for_each(|(name, content)| copy.put(name, content.now.clone()));
        copy
    }
}

impl Content {
    fn cut(&mut self, keep: &mut dyn FnMut(u64) -> u64) {
        let durable = self.durable.take().unwrap_or_default();
        self.now = match self.now.strip_prefix(durable.as_slice()) {
            Some(rest) => {
                let kept = usize::try_from(keep(rest.len() as u64)).unwrap_or(usize::MAX);
                [durable.as_slice(), rest.get(..kept).unwrap_or(rest)].concat()
            }
            None => durable,
        };
        self.durable = Some(self.now.clone());
        self.synced = self.now.clone();
    }
}

fn full() -> io::Error {
    io::Error::from(io::ErrorKind::StorageFull)
}

impl State {
    fn check_sync(&mut self) -> io::Result<()> {
        if let Some(left) = &mut self.syncs_left {
            match left.checked_sub(1) {
                Some(fewer) => *left = fewer,
                None => return Err(io::Error::other("the sync was made to fail")),
            }
        }
        self.syncs += 1;
        Ok(())
    }
}

impl Disk for FaultDisk {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        Ok(self
            .state()
            .files
            .iter()
            .map(|(name, content)| (name.clone(), content.now.len() as u64))
            .collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        if !state.files.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.open += 1;
        state.most_open = state.most_open.max(state.open);
        Ok(Arc::new(FaultFile { state: self.state.clone(), name: name.to_owned(), power: state.power }))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        if self.state().room == Some(0) {
            return Err(full());
        }
        self.state().files.entry(name.to_owned()).or_default().now.clear();
        self.open(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        let moved = state.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        let before = state.files.insert(to.to_owned(), moved);
        state.renames.push((from.to_owned(), to.to_owned(), before));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.state().files.remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut state = self.state();
        state.check_sync()?;
        state.renames.clear();
        for content in state.files.values_mut() {
            content.durable = Some(content.synced.clone());
        }
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("/fault").join(name)
    }
}

impl FaultFile {
    fn with<R>(&self, act: impl FnOnce(&mut State, &str) -> io::Result<R>) -> io::Result<R> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.power != self.power {
            return Err(io::Error::other("the power was cut"));
        }
        act(&mut state, &self.name)
    }

    fn content<R>(&self, act: impl FnOnce(&mut Content) -> R) -> io::Result<R> {
        self.with(|state, name| {
            state.files.get_mut(name).map(act).ok_or_else(|| io::ErrorKind::NotFound.into())
        })
    }
}

impl DiskFile for FaultFile {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.content(|content| {
            let from = usize::try_from(offset).unwrap_or(usize::MAX);
            let rest = content.now.get(from..).unwrap_or_default();
            let len = rest.len().min(into.len());
            into.iter_mut().zip(rest).for_each(|(to, byte)| *to = *byte);
            len
        })
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let room = self.with(|state, _| {
            let len = bytes.len() as u64;
            let room = state.room.map_or(len, |room| room.min(len));
            state.room = state.room.map(|left| left - room);
            Ok(usize::try_from(room).unwrap_or(usize::MAX))
        })?;
        let written = bytes.get(..room).unwrap_or(bytes);
        self.content(|content| {
            let from = usize::try_from(offset).unwrap_or(usize::MAX);
            let end = from + written.len();
            if content.now.len() < end {
                content.now.resize(end, 0);
            }
            if let Some(place) = content.now.get_mut(from..end) {
                place.copy_from_slice(written);
            }
        })?;
        if room < bytes.len() { Err(full()) } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        self.with(|state, _| state.check_sync())?;
        self.content(|content| {
            content.synced.clone_from(&content.now);
            // Content of a file whose name is durable is durable itself.
            if let Some(durable) = &mut content.durable {
                durable.clone_from(&content.now);
            }
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.content(|content| content.now.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.content(|content| content.now.resize(usize::try_from(len).unwrap_or(usize::MAX), 0))
    }
}

impl Drop for FaultFile {
    fn drop(&mut self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).open -= 1;
    }
}
