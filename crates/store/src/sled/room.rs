//! Room on the disk. The engine cannot be used any more after a write of its own has failed, and ends the process if that happens
//! while it closes. So it is only let write where there is room for it; until then what it would write stays in memory.
//!
//! And room in the process: how many engines may be open at once.

use super::{FANOUT, engine_dir};
use rustix::process::{Resource, getrlimit};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the engine writes beside rows and a snapshot of its metadata.
const LEAST: u64 = 512 << 10;
/// A leaf with rows of a usual length. Each row changed has the leaf written anew that it is in.
const LEAF: u64 = FANOUT as u64 * 512;
/// Slots for leaves are larger than what is in them, by less than this.
const ROUNDED: u64 = 2;

/// Rows that were written since the last flush.
#[derive(Default)]
pub(super) struct Unflushed {
    rows: AtomicU64,
    bytes: AtomicU64,
}

impl Unflushed {
    pub fn add(&self, rows: u64, bytes: u64) {
        self.rows.fetch_add(rows, Ordering::AcqRel);
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
    }

    /// What has gathered, to be given to [`Unflushed::forget`] once it is flushed.
    pub fn now(&self) -> (u64, u64) {
        (self.rows.load(Ordering::Acquire), self.bytes.load(Ordering::Acquire))
    }

    pub fn forget(&self, (rows, bytes): (u64, u64)) {
        self.rows.fetch_sub(rows, Ordering::AcqRel);
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
    }

    /// True if the store in `path` may flush all this: at most each row's leaf is written anew, and never more than there is.
    pub fn fits(&self, path: &Path) -> bool {
        let (free, engine) = (free_bytes(path), engine_dir(path));
        let (rows, bytes) = self.now();
        let fixed = LEAST + bytes_in(&engine.join("metadata")) + ROUNDED * bytes;
        free >= fixed.saturating_add(rows.saturating_mul(LEAF))
            || free >= fixed.saturating_add(ROUNDED * bytes_in(&engine))
    }
}

/// True if a store may be opened or made in `path`.
pub(super) fn is_enough_to_open(path: &Path) -> bool {
    free_bytes(path) >= LEAST + bytes_in(&engine_dir(path).join("metadata"))
}

/// Bytes on the disk of `path` that may be written. Where that cannot be told there is room until a write shows otherwise.
fn free_bytes(path: &Path) -> u64 {
    rustix::fs::statvfs(path).map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Bytes in all files below.
pub(super) fn bytes_in(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() => bytes_in(&entry.path()),
        found => found.map_or(0, |found| found.len()),
    });
    bytes.sum()
}

/// Descriptors that an engine has open, and some more while it opens.
pub(super) const ENGINE_FILES: u64 = 90;
/// So many engines may be open at once, whatever the system allows.
const MOST_ENGINES: u64 = 64;

/// How many engines may be open at once: together they have half of the process's descriptors.
pub(super) fn most_engines() -> usize {
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from((descriptors / 2 / ENGINE_FILES).clamp(1, MOST_ENGINES)).unwrap_or(1)
}
