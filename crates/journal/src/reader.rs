use crate::cursor::POINT_AHEAD;
use crate::error::{Cause, Damage, ReadError, RewriteError};
use crate::files::Files;
use crate::position::Position;
use crate::record::Record;
use crate::rewrite::Rewrite;
use crate::walk::Walk;
use bytes::Bytes;
use kappadb_core::Lseq;
use std::sync::Arc;

/// Reads records while others append. Cheap to clone; clones share the open files.
#[derive(Clone)]
pub struct Reader {
    files: Arc<Files>,
}

/// A record and where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// Where it begins.
    pub at: Position,
    /// Where it ends, which is where the next one begins unless that is in the next segment.
    pub next: Position,
    /// Number of its first block in the arrival log; for a record without blocks, of the next block after it.
    pub first_lseq: Lseq,
    /// The record.
    pub record: Record,
}

/// A body without what was read ahead with it. Blocks share its memory, and whoever keeps one would keep that, too: most records are much smaller.
fn alone(body: Bytes) -> Bytes {
    if body.len() < POINT_AHEAD { Bytes::copy_from_slice(&body) } else { body }
}

impl Reader {
    pub(crate) fn new(files: Arc<Files>) -> Reader {
        Reader { files }
    }

    /// The record that begins at `at`. It may be one that is not durable yet ([`Reader::durable`]): that one must
    /// not be shown to a peer.
    pub fn read(&self, at: Position) -> Result<Located, ReadError> {
        let io = |source| ReadError::Io { file: self.files.path(at.segment), source };
        let bad = |cause| ReadError::Bad { at, cause };
        if self.is_missing(at.segment) {
            return Err(bad(Cause::Absent));
        }
        let mut cursor = self.files.cursor(at.segment, u64::MAX, POINT_AHEAD).map_err(io)?;
        let frame = cursor.frame(at.offset).map_err(bad)?;
        let record = Record::decode(&alone(frame.body)).map_err(|error| bad(error.into()))?;
        let next = Position { offset: frame.next, ..at };
        Ok(Located { at, next, first_lseq: frame.head.first_lseq, record })
    }

    /// Every record from `from` (where a record begins, or [`Position::START`]) up to what is durable at this call.
    /// A place that cannot be read is reported in its turn, and the scan goes on behind it.
    pub fn scan(&self, from: Position) -> impl Iterator<Item = Result<Located, Damage>> + Send + use<> {
        let lseq = (from == Position::START).then_some(0);
        Walk::new(self.files.clone(), from, self.files.durable(), lseq)
    }

    /// Writes neighbouring segments that are followed by another anew as one, beside the old ones: `keep` says what becomes of each record.
    /// [`crate::Journal::install`] puts it in place.
    pub fn rewrite(
        &self,
        segments: &[u32],
        keep: &mut dyn FnMut(Located) -> Option<Record>,
    ) -> Result<Rewrite, RewriteError> {
        Rewrite::new(self.files.clone(), segments, keep)
    }

    /// By how many bytes [`Reader::rewrite`] would make the segment shorter. Writes nothing, and may be asked of the last segment, too.
    pub fn gain(
        &self,
        segment: u32,
        keep: &mut dyn FnMut(Located) -> Option<Record>,
    ) -> Result<u64, RewriteError> {
        Rewrite::measure(self.files.clone(), segment, keep)
    }

    /// Closes the journal's files, when it is called, until they are used again: for one that nobody uses for a while. Knows the journal no more once it
    /// is gone.
    pub fn resting(&self) -> impl Fn() + Send + Sync + use<> {
        let files = Arc::downgrade(&self.files);
        move || {
            if let Some(files) = files.upgrade() {
                files.rest();
            }
        }
    }

    /// True if there is no file of this segment, though there are later ones.
    pub fn is_missing(&self, segment: u32) -> bool {
        self.files.missing_run(segment).is_some()
    }

    /// Everything before this position is on disk.
    pub fn durable(&self) -> Position {
        self.files.durable()
    }
}
