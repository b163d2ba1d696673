//! Opening the engine.

use super::engines::{Leave, has_descriptors};
use super::{Engine, failed, guarded, quiet};
use crate::error::is_too_many_files;
use crate::{SledOptions, StoreError, seal};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

/// The engine's own flusher would abort the process on a failure: it gets an interval that never passes (49 days).
const NEVER_MS: usize = u32::MAX as usize;
/// How hard the engine packs leaves. More than this costs time with each flush, and gains little: most of what is written was packed before.
const COMPRESSION: i32 = 1;

/// Opens the engine, on a thread of its own: if what it finds is odd, it panics, and then waits for ever for a thread that it had not begun yet.
/// That one waits alone, with the files that were there.
fn open_apart(config: sled::Config) -> io::Result<Box<Engine>> {
    let (tell, told) = sync_channel(2);
    let opening = move || {
        let panicked = tell.clone();
        let last_words = move |text| drop(panicked.send(Err(io::Error::other(text))));
        let opened = quiet::within_or_else(last_words, || guarded(|| config.open().map(Box::new)));
        // Nobody listens any more if it has panicked.
        drop(tell.send(opened));
    };
    std::thread::Builder::new().name("kappadb-open".to_owned()).spawn(opening)?;
    told.recv().unwrap_or_else(|gone| Err(io::Error::other(gone)))
}

pub(super) fn engine_dir(path: &Path) -> PathBuf {
    path.join("engine")
}
pub(super) fn seal_path(path: &Path) -> PathBuf {
    path.join("seal")
}

/// Leave to open an engine in `path`, once there is room for one more.
pub(super) fn leave(path: &Path) -> Result<Leave, StoreError> {
    let leave = Leave::wait();
    // The engine would not come back from finding out itself.
    let enough = fs::File::open(path).and_then(|folder| has_descriptors(&folder));
    match enough {
        Ok(()) => Ok(leave),
        Err(error) if is_too_many_files(&error) => Err(StoreError::TooManyFiles { path: path.to_owned() }),
        Err(error) => Err(failed("find out whether there is room for more files")(error)),
    }
}

/// Opens the engine. Its own lock may be held for a moment after it was closed: a process started meanwhile has a copy of
/// all descriptors until it becomes another program, and the engine starts one at each opening.
pub(super) fn open_engine(path: &Path, options: &SledOptions) -> Result<Box<Engine>, StoreError> {
    follow_snapshot(&engine_dir(path)).map_err(failed("put a log behind the engine's snapshot"))?;
    let config = sled::Config::new().path(engine_dir(path)).cache_capacity_bytes(options.cache_bytes);
    let config = config.flush_every_ms(Some(NEVER_MS)).zstd_compression_level(COMPRESSION);
    for pause_ms in [10, 40, 160, 640, 2_560, 0] {
        match open_apart(config.clone()) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(pause_ms));
            }
            Err(error) if is_too_many_files(&error) => {
                return Err(StoreError::TooManyFiles { path: path.to_owned() });
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
