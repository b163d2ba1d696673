//! Room held back, so that there is a way out of a full disk: what makes room must be written down first, and a segment is rewritten
//! beside the old one.

use rustix::fs::FallocateFlags;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Bytes held back.
const BYTES: u64 = 1 << 20;
/// Nothing is held back where there is less room than this: what people write goes first.
const AMPLE: u64 = 4 * BYTES;

/// The file that takes up the room. Its content means nothing.
pub(crate) struct Reserve {
    dir: PathBuf,
    file: PathBuf,
}

impl Reserve {
    /// That of a folder; made, if it is not there and there is room.
    pub fn of(dir: &Path) -> Reserve {
        let reserve = Reserve { dir: dir.to_owned(), file: dir.join("reserve") };
        reserve.keep();
        reserve
    }

    /// Takes up the room again, once there is enough. Where the disk has no way of doing so there is no reserve.
    pub fn keep(&self) {
        let kept = fs::symlink_metadata(&self.file).is_ok_and(|found| found.blocks() * 512 >= BYTES);
        if !kept && self.free_bytes() >= AMPLE {
            self.take(BYTES);
        }
    }

    fn take(&self, bytes: u64) {
        if let Err(error) = self.make(bytes) {
            tracing::debug!(%error, "no room is held back");
            drop(fs::remove_file(&self.file));
        }
    }

    fn make(&self, bytes: u64) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&self.file)?;
        Ok(rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes)?)
    }

    /// Does something that makes room, with what is held back for it if there is no other; then takes that back, as much as there is.
    pub fn lend<T>(&self, work: impl FnOnce() -> T) -> T {
        let lent = self.free_bytes() < BYTES && fs::remove_file(&self.file).is_ok();
        let done = work();
        if lent {
            self.take(self.free_bytes().min(BYTES));
        }
        self.keep();
        done
    }

    fn free_bytes(&self) -> u64 {
        let disk = rustix::fs::statvfs(&self.dir);
        disk.map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserve_takes_up_room_also_after_it_was_copied_as_a_hole() {
        let dir = tempfile::tempdir().unwrap();
        let reserve = Reserve::of(dir.path());
        let taken = |reserve: &Reserve| fs::metadata(&reserve.file).map_or(0, |found| found.blocks() * 512);
        if taken(&reserve) == 0 {
            // This disk has no way of doing so.
            return;
        }
        assert!(taken(&reserve) >= BYTES);
        fs::File::create(&reserve.file).unwrap().set_len(BYTES).unwrap();
        reserve.keep();
        assert!(taken(&reserve) >= BYTES);
        reserve.lend(|| assert!(taken(&reserve) >= BYTES, "there is other room"));
    }
}
