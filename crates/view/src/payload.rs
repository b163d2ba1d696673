//! Payloads of any size, read piece by piece: small ones lie in an entry's own block, large ones in blocks before it.

use crate::source::{ReadError, Source};
use bytes::Bytes;
use kappadb_core::{EntryId, RangeSet, Seq, StoredBlock};
use kappadb_entry::{ChunkError, Detached, Entry, chunk_payload, decode_block};
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// Reads entries and their payloads from the log, for an index ([`crate::Index::payloads`]). Cheap to clone. Everything blocks for as long as a disk
/// takes.
#[derive(Clone)]
pub struct Payloads {
    source: Arc<dyn Source>,
}

/// Why a payload, or a piece of it, cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// These bytes are not held here: they never came, or were cleared. They may come, or come again.
    #[error("bytes {}..{} of the payload of {id} are not held here", bytes.start, bytes.end)]
    NotHeld {
        /// The entry.
        id: EntryId,
        /// Which bytes of its payload.
        bytes: Range<u64>,
    },
    /// The entry names blocks as its payload that are none.
    #[error("block {seq} is not the part of the payload of {id} that it should be")]
    Chunk {
        /// The entry.
        id: EntryId,
        /// The block, in its feed.
        seq: Seq,
        /// What is wrong with it.
        source: ChunkError,
    },
    /// The entry names blocks as its payload that come after it.
    #[error("{0} names blocks as its payload that come after it")]
    Order(EntryId),
    /// The log could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Payloads {
    pub(crate) fn new(source: Arc<dyn Source>) -> Payloads {
        Payloads { source }
    }

    /// An entry by its name, whatever space it is in. None if it is not held here, or is none that this release understands.
    pub fn entry(&self, id: EntryId) -> Result<Option<Entry>, ReadError> {
        Ok(self.block(id)?.and_then(|block| decode_block(&block).ok()))
    }

    /// The payload of an entry, wherever it lies. That it can be opened does not mean that all of it is held.
    pub fn open(&self, id: EntryId, entry: &Entry) -> Result<Payload, PayloadError> {
        let content = match (entry.header.detached(), &entry.payload) {
            (Some(detached), _) if detached.lies_before(id.seq) => Content::Detached(detached),
            (Some(_), _) => return Err(PayloadError::Order(id)),
            (None, Some(payload)) => Content::Inline(payload.clone()),
            (None, None) => {
                let bytes = 0..entry.header.payload_len.into();
                return Err(PayloadError::NotHeld { id, bytes });
            }
        };
        Ok(Payload { payloads: self.clone(), id, content, at: 0, piece: Bytes::new() })
    }

    fn block(&self, id: EntryId) -> Result<Option<StoredBlock>, ReadError> {
        let found = self.source.blocks(&id.feed, &RangeSet::from_iter([id.seq]))?;
        Ok(found.into_iter().next().map(|(_, block)| block))
    }
}

impl fmt::Debug for Payloads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Payloads")
    }
}

#[derive(Debug)]
enum Content {
    Inline(Bytes),
    Detached(Detached),
}

/// A payload that is being read: one piece of it is in memory at a time.
#[derive(Debug)]
pub struct Payload {
    payloads: Payloads,
    id: EntryId,
    content: Content,
    /// Where [`io::Read`] goes on, and what is there and was not given yet.
    at: u64,
    piece: Bytes,
}

impl Payload {
    /// How many bytes it has.
    pub fn size(&self) -> u64 {
        match &self.content {
            Content::Inline(payload) => payload.len() as u64,
            Content::Detached(detached) => detached.bytes(),
        }
    }

    /// The piece from byte `from` on, as long as lies together: at most some 64 KiB where the payload is large. Empty at its end and beyond.
    pub fn piece(&self, from: u64) -> Result<Bytes, PayloadError> {
        if from >= self.size() {
            return Ok(Bytes::new());
        }
        let (chunk, first) = match &self.content {
            Content::Inline(payload) => (payload.clone(), 0),
            Content::Detached(detached) => {
                let number = detached.covering(&(from..from + 1)).start;
                (self.chunk(detached, number)?, detached.bytes_of(number).start)
            }
        };
        let skip = usize::try_from(from - first).unwrap_or(usize::MAX).min(chunk.len());
        Ok(chunk.slice(skip..))
    }

    fn chunk(&self, detached: &Detached, number: u64) -> Result<Bytes, PayloadError> {
        let (id, bytes) = (self.id, detached.bytes_of(number));
        let Some(seq) = detached.blocks(&(number..number + 1)).iter().next() else {
            return Err(PayloadError::NotHeld { id, bytes });
        };
        match self.payloads.block(EntryId { seq, ..id })? {
            None => Err(PayloadError::NotHeld { id, bytes }),
            Some(block) => chunk_payload(&block, bytes.end - bytes.start).map_err(|source| match source {
                ChunkError::Cleared => PayloadError::NotHeld { id, bytes },
                source => PayloadError::Chunk { id, seq, source },
            }),
        }
    }
}

impl io::Read for Payload {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() {
            self.piece = self.piece(self.at).map_err(io::Error::other)?;
        }
        let given = self.piece.split_to(into.len().min(self.piece.len()));
        into.iter_mut().zip(&given).for_each(|(to, byte)| *to = *byte);
        self.at += given.len() as u64;
        Ok(given.len())
    }
}
