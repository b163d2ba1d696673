//! Reading and writing what is large, and naming it.

use super::{ReadError, WriteError};
use kappadb_core::{EntryId, Seq};
use std::io;
use std::ops::Range;

/// Why bytes of a blob cannot be read here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    /// The entry that names it is not here; [`Blobs::fetch`](crate::Blobs::fetch) asks for it.
    #[error("the entry {0} is not held here")]
    NotHeld(EntryId),
    /// The entry is something else.
    #[error("the entry {0} is no blob")]
    NotABlob(EntryId),
    /// The entry claims blocks that came after it.
    #[error("the entry {0} claims later blocks as its content")]
    Order(EntryId),
    /// Blocks that these bytes lie in are not here; [`Blobs::fetch`](crate::Blobs::fetch) asks for them.
    #[error("{} of the content of {id} are not held here", spans(bytes))]
    Missing {
        /// The entry.
        id: EntryId,
        /// Which bytes, ascending.
        bytes: Vec<Range<u64>>,
    },
    /// The content was cleared on this replica.
    #[error("{} of the content of {id} were cleared", spans(std::slice::from_ref(bytes)))]
    Cleared {
        /// The entry.
        id: EntryId,
        /// The first bytes met that were; others may be too.
        bytes: Range<u64>,
    },
    /// A block that its writer named as content is none.
    #[error("block {seq} is no part of the content of {id}: {source}")]
    Chunk {
        /// The entry.
        id: EntryId,
        /// The block, in the same feed.
        seq: Seq,
        /// Why.
        source: kappadb_entry::ChunkError,
    },
    /// It is here but cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// What an entry says is not held here: it was cleared, or nobody who has it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the content of {0} is not held here; it comes back when a peer that has it is asked")]
pub struct NotHeld(pub EntryId);

/// True for an error that only says that something is not held on this replica: a peer may have it.
pub fn is_not_held(error: &(dyn std::error::Error + 'static)) -> bool {
    let of_blob = |error: &BlobError| {
        matches!(error, BlobError::NotHeld(_) | BlobError::Missing { .. } | BlobError::Cleared { .. })
    };
    error.is::<NotHeld>() || error.downcast_ref().is_some_and(of_blob)
}

/// Byte ranges for people: first and last, both included.
fn spans(bytes: &[Range<u64>]) -> String {
    let span = |range: &Range<u64>| format!("{} to {}", range.start, range.end.saturating_sub(1));
    let first = bytes.first().map(span).unwrap_or_default();
    match bytes.len() {
        0 | 1 => format!("bytes {first}"),
        more => format!("bytes {first} and {} other ranges", more - 1),
    }
}

/// Why a blob was not written. There is none then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PutBlobError {
    /// What gives the bytes failed.
    #[error("the input cannot be read")]
    Input(#[source] io::Error),
    /// More bytes than [`MAX_DETACHED`](kappadb_core::limits::MAX_DETACHED).
    #[error("the input has more bytes than a blob may have, {}", kappadb_core::limits::MAX_DETACHED)]
    TooLarge,
    /// The log, or a label over its limits.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl From<ReadError> for PutBlobError {
    fn from(error: ReadError) -> Self {
        PutBlobError::Write(error.into())
    }
}
