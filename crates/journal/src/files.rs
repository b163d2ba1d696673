//! What the writer and its readers share: the disk, the open files, and how far the journal is durable.

use crate::cursor::Cursor;
use crate::disk::{Disk, DiskFile};
use crate::position::{Position, file_name};
use crate::segment::{HEADER_SIZE, HeaderState, Nonce};
use crate::survey::Survey;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The segment files, of which a bounded number is open.
pub(crate) struct Files {
    pub disk: Arc<dyn Disk>,
    pub nonce: Nonce,
    /// Segments whose files were not there when the journal was opened, though later ones were.
    missing: Vec<Range<u32>>,
    /// Segments that the file of the next one stands for.
    joined: Mutex<Vec<Range<u32>>>,
    most_open: usize,
    /// Most recently used last. So few that a search is as quick as a map.
    open: Mutex<Vec<(u32, Arc<dyn DiskFile>)>>,
    last: Mutex<Last>,
    durable: Mutex<Position>,
}

/// The file that is appended to.
#[derive(Default)]
struct Last {
    /// None while it rests.
    file: Option<Arc<dyn DiskFile>>,
    /// Something may have been written to it that is not known to be durable: whether it got onto the disk is told to whoever had it open then.
    busy: bool,
}

impl Files {
    pub(crate) fn new(disk: Arc<dyn Disk>, nonce: Nonce, survey: &Survey, most_open: usize) -> Files {
        Files {
            disk,
            nonce,
            missing: survey.missing(),
            joined: Mutex::new(survey.joined.clone()),
            most_open: most_open.max(1),
            open: Mutex::default(),
            last: Mutex::default(),
            durable: Mutex::new(Position { segment: 0, offset: 0 }),
        }
    }

    /// Everything before this position is on disk.
    pub(crate) fn durable(&self) -> Position {
        *self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_durable(&self, to: Position) {
        *self.durable.lock().unwrap_or_else(PoisonError::into_inner) = to;
        self.lock_last().busy = false;
    }

    fn lock_last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file of the last segment, which is this one, to be written and synced.
    pub(crate) fn last(&self, segment: u32) -> io::Result<Arc<dyn DiskFile>> {
        let mut last = self.lock_last();
        let file = last.file.take().map_or_else(|| self.file(segment), Ok)?;
        *last = Last { file: Some(file.clone()), busy: true };
        Ok(file)
    }

    /// There is a new last segment, in this file, or it is just opened.
    pub(crate) fn set_last(&self, file: Arc<dyn DiskFile>) {
        *self.lock_last() = Last { file: Some(file), busy: false };
    }

    /// Closes all files that can be opened again without losing anything.
    pub(crate) fn rest(&self) {
        let mut last = self.lock_last();
        if !last.busy {
            last.file = None;
        }
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The run of missing segments that `segment` is in.
    pub(crate) fn missing_run(&self, segment: u32) -> Option<&Range<u32>> {
        self.missing.iter().find(|run| run.contains(&segment))
    }

    /// The segment whose file stands for this one too.
    pub(crate) fn joined_into(&self, segment: u32) -> Option<u32> {
        let joined = self.joined.lock().unwrap_or_else(PoisonError::into_inner);
        joined.iter().find(|run| run.contains(&segment)).map(|run| run.end)
    }

    /// The file of the segment behind `run` stands for these too.
    pub(crate) fn join(&self, run: Range<u32>) {
        let mut joined = self.joined.lock().unwrap_or_else(PoisonError::into_inner);
        joined.retain(|known| known.end < run.start || run.end < known.end);
        joined.push(run);
    }

    pub(crate) fn path(&self, segment: u32) -> PathBuf {
        self.disk.path(&file_name(segment))
    }

    /// The segment's file, opened if it is not open already.
    pub(crate) fn file(&self, segment: u32) -> io::Result<Arc<dyn DiskFile>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = match open.iter().position(|(number, _)| *number == segment) {
            Some(at) => open.remove(at),
            None => {
                let surplus = (open.len() + 1).saturating_sub(self.most_open);
                open.drain(..surplus);
                (segment, self.disk.open(&file_name(segment))?)
            }
        };
        let file = entry.1.clone();
        open.push(entry);
        Ok(file)
    }

    /// Forgets the open file of a segment: the next who asks opens the one that has its name by then.
    pub(crate) fn forget(&self, segment: u32) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).retain(|(number, _)| *number != segment);
    }

    /// A cursor over the segment that reads nothing from `limit` on.
    pub(crate) fn cursor(&self, segment: u32, limit: u64, ahead: usize) -> io::Result<Cursor> {
        Ok(Cursor::new(self.file(segment)?, segment, self.nonce, limit, ahead))
    }

    pub(crate) fn header(&self, segment: u32) -> io::Result<HeaderState> {
        Ok(read_header(segment, &*self.file(segment)?))
    }
}

/// Reads a segment's header. A disk that refuses to give it has damaged it.
pub(crate) fn read_header(segment: u32, file: &dyn DiskFile) -> HeaderState {
    let mut bytes = [0; HEADER_SIZE];
    let read = file.read_at(0, &mut bytes).unwrap_or(0);
    HeaderState::read(segment, bytes.get(..read).unwrap_or_default())
}
