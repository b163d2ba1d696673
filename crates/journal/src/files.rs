//! What the writer and its readers share: the disk, the open files, and how far the journal is durable.

use crate::cursor::Cursor;
use crate::disk::{Disk, DiskFile};
use crate::position::{Position, file_name};
use crate::segment::{HEADER_SIZE, HeaderState, Nonce};
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// The segment files, of which a bounded number is open.
pub(crate) struct Files {
    pub disk: Arc<dyn Disk>,
    pub nonce: Nonce,
    /// Segments whose files were not there when the journal was opened, though later ones were.
    missing: Vec<Range<u32>>,
    most_open: usize,
    /// Most recently used last. So few that a search is as quick as a map.
    open: Mutex<Vec<(u32, Arc<dyn DiskFile>)>>,
    durable: Mutex<Position>,
}

impl Files {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        nonce: Nonce,
        missing: Vec<Range<u32>>,
        most_open: usize,
    ) -> Files {
        let durable = Mutex::new(Position { segment: 0, offset: 0 });
        Files { disk, nonce, missing, most_open: most_open.max(1), open: Mutex::default(), durable }
    }

    /// Everything before this position is on disk.
    pub(crate) fn durable(&self) -> Position {
        *self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_durable(&self, to: Position) {
        *self.durable.lock().unwrap_or_else(PoisonError::into_inner) = to;
    }

    /// The run of missing segments that `segment` is in.
    pub(crate) fn missing_run(&self, segment: u32) -> Option<&Range<u32>> {
        self.missing.iter().find(|run| run.contains(&segment))
    }

    /// The numbers below `end` of segments that have a file.
    pub(crate) fn present(&self, end: u32) -> impl Iterator<Item = u32> {
        let (mut next, last) = (0, std::iter::once(end..end));
        let gaps = self.missing.iter().cloned().chain(last);
        gaps.flat_map(move |gap| std::mem::replace(&mut next, gap.end)..gap.start.min(end))
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
