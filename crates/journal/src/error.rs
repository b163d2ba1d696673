//! What can go wrong: one enum for each phase, and the description of damaged places.

use crate::disk::is_forbidden;
use crate::lock::LockHolder;
use crate::position::{Position, file_name};
use kappadb_core::Lseq;
use kappadb_core::codec::DecodeError;
use kappadb_core::limits::{MAX_BLOCK, MAX_RANGES};
use std::io;
use std::ops::Range;
use std::path::PathBuf;

/// Why a record's body cannot be written or understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The bytes are not what the kind demands.
    #[error(transparent)]
    Codec(#[from] DecodeError),
    /// There is no kind byte.
    #[error("the record's body is empty")]
    Empty,
    /// A kind that this version does not know.
    #[error("record kind {0} is unknown: was it written by a later version?")]
    UnknownKind(u8),
    /// The ranges do not number the blocks.
    #[error("the ranges name {ranges} blocks and the record holds {blocks}")]
    Count {
        /// Numbers in the ranges.
        ranges: u64,
        /// Blocks in the record.
        blocks: u64,
    },
    /// The last block's sequence number would not fit into 64 bits.
    #[error("sequence numbers beyond 64 bits")]
    SeqOverflow,
    /// A block over [`MAX_BLOCK`].
    #[error("a block of {len} bytes is over the limit of {MAX_BLOCK}")]
    Block {
        /// Its bytes.
        len: usize,
    },
    /// Over [`MAX_RANGES`].
    #[error("{count} ranges are over the limit of {MAX_RANGES}")]
    Ranges {
        /// How many.
        count: usize,
    },
    /// Over [`crate::MAX_BODY`].
    #[error("a record of {len} bytes is over the limit of {}; split the batch", crate::MAX_BODY)]
    TooLarge {
        /// Bytes of the body.
        len: usize,
    },
}

/// What is wrong with a place in the journal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// A file, or bytes, that must have been there are not.
    #[error("bytes that were written are missing")]
    Absent,
    /// The segment's header does not check out. Its records are still read.
    #[error("the segment's header is damaged")]
    Header,
    /// No record with a valid checksum begins here.
    #[error("no valid record")]
    Record,
    /// A whole record whose `lseq`s were used before it: the file is from another copy of the journal.
    #[error("records of another copy of the journal, whose numbers were used before")]
    Order,
    /// The checksum holds, but the record cannot be understood.
    #[error("a whole record that cannot be understood: {0}")]
    Body(#[from] RecordError),
    /// The disk refuses to give the bytes.
    #[error("the disk cannot read it ({0})")]
    Unreadable(io::ErrorKind),
}

/// A place of the journal that cannot be read, while what lies around it can.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}, bytes {from} to {to}: {cause}; {}", file_name(*segment), lost(lseqs))]
pub struct Damage {
    /// The segment.
    pub segment: u32,
    /// First damaged byte.
    pub from: u64,
    /// One past the last damaged byte; the same as `from` where bytes are missing without a trace of their number.
    pub to: u64,
    /// No other `lseq`s than these can have been in it. Exact where a readable record follows, else an upper bound,
    /// and shared by all damaged places without a readable record between them.
    pub lseqs: Range<Lseq>,
    /// What is wrong.
    pub cause: Cause,
}

fn lost(lseqs: &Range<Lseq>) -> String {
    match lseqs.is_empty() {
        true => "no block was in it".to_owned(),
        false => format!("at most blocks {}..{} of the arrival log are lost", lseqs.start, lseqs.end),
    }
}

/// A torn tail that was cut off: bytes of an append that was cut short and never acknowledged as durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// The segment.
    pub segment: u32,
    /// Where the tail began.
    pub from: u64,
    /// Where the file ended.
    pub to: u64,
}

/// Why a segment could not be written anew. It is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RewriteError {
    /// It is damaged: what is left of it stays as it is.
    #[error("the journal is damaged in {0}: that part is not rewritten")]
    Damaged(Position),
    /// A record was to take another number of `lseq`s.
    #[error("the record in {0} would take other numbers than before")]
    Numbers(Position),
    /// A record cannot be written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// There is no room for the new file beside the old one.
    #[error("the disk is full: there is no room in {} to rewrite a segment", folder.display())]
    DiskFull {
        /// The journal's folder.
        folder: PathBuf,
    },
    /// A file cannot be read or written.
    #[error("cannot rewrite {}: {source}", file.display())]
    Io {
        /// The segment's file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Why the journal could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A segment was written by a version that this one does not know.
    #[error("{} has journal format {version}; this version reads format 1 only", file.display())]
    Version {
        /// The segment's file.
        file: PathBuf,
        /// Its format.
        version: u8,
    },
    /// A file or the folder cannot be read.
    #[error("cannot read {}", file.display())]
    Read {
        /// The file or folder.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The end of the journal could not be put in order.
    #[error("cannot ready the journal for writing")]
    Write(#[from] AppendError),
}

/// Why something could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The record breaks a limit or rule; nothing was written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Records of this kind are written by the journal itself; nothing was written.
    #[error("incarnation and closed records are written by the journal itself")]
    Reserved,
    /// No room. The journal can go on when there is room again: at once after a write, after a sync with [`crate::Journal::retreat`].
    #[error("the disk is full: nothing can be written in {}", folder.display())]
    DiskFull {
        /// The journal's folder.
        folder: PathBuf,
    },
    /// The write failed for another reason. The journal is as it was before the append.
    #[error("cannot write {}", file.display())]
    Write {
        /// The segment's file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What was written since the last sync may or may not be on disk. The journal takes no more before [`crate::Journal::retreat`].
    #[error("cannot make {} durable", file.display())]
    Sync {
        /// The file or folder.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An earlier sync, or the repair after a failed write, failed. Nothing more is accepted before [`crate::Journal::retreat`].
    #[error("an earlier write could not be made durable")]
    Poisoned,
    /// All numbers of segments (2^32) or of blocks (2^64) are used: by a stray or damaged file, for no journal gets there.
    #[error("the journal has used up its numbers of segments or blocks")]
    Exhausted,
}

impl AppendError {
    /// True if the disk takes nothing, for want of room or because it may not be written, and all is as it was: it can still be read.
    pub fn is_refusal(&self) -> bool {
        match self {
            AppendError::DiskFull { .. } => true,
            AppendError::Write { source, .. } | AppendError::Sync { source, .. } => is_forbidden(source),
            _ => false,
        }
    }
}

/// Why a record could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The segment's file cannot be opened.
    #[error("cannot read {}", file.display())]
    Io {
        /// The segment's file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no readable record at this position.
    #[error("no readable record in {at}: {cause}")]
    Bad {
        /// The position.
        at: Position,
        /// What is wrong there.
        cause: Cause,
    },
}

fn named(holder: Option<&LockHolder>) -> String {
    holder.map_or_else(|| "another process".to_owned(), ToString::to_string)
}

/// Why a folder could not be locked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another process (or another handle in this one) has it.
    #[error("{} is in use by {}", dir.display(), named(holder.as_ref()))]
    Held {
        /// The folder.
        dir: PathBuf,
        /// Who it is, if it says so.
        holder: Option<LockHolder>,
    },
    /// The lock file cannot be made or locked.
    #[error("cannot lock {}", file.display())]
    Io {
        /// The lock file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
}
