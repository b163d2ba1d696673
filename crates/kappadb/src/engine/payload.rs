//! Payloads that lie in blocks of their own (`design/formats.md`, "Detached payload"): written, and read back.

use super::Engine;
use crate::error::{BlobError, ReadError, WriteError};
use bytes::Bytes;
use kappadb_core::limits::{MAX_BLOCK, MAX_FEATURE_BODY, MAX_HEADER};
use kappadb_core::{EntryId, FeedKey, RangeSet, Seq, Timestamp};
use kappadb_entry::{Detached, Entry, EntryError, Header, chunk_block, chunk_payload};
use kappadb_feed::{Append, CommitError};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes in a chunk: as many as a session sends in one frame, so that a byte range costs little more than a frame, with
/// less than two thousandths for headers, journal and proofs (measured: `design/decisions.md`).
pub(crate) const CHUNK: u32 = 64 << 10;
/// Bytes of chunks that are read at a time.
const BATCH: usize = 1 << 20;
/// Bytes of chunks that are appended at a time, as consecutive blocks: durable on return, so that no entry ever names what is not.
pub(crate) const APPENDED: usize = 4 << 20;
/// Bytes of a payload that fits into a block with any header.
pub(crate) const MAX_INLINE: usize = MAX_BLOCK - MAX_HEADER - 16;

/// Where a payload is.
pub(crate) enum Content {
    /// In the entry's own block.
    Inline(Bytes),
    /// In blocks before it.
    Detached(Detached),
}

impl Content {
    /// That of an entry. Chunks that would not come before it are refused here, once for all.
    pub fn of(id: EntryId, entry: &Entry) -> Result<Content, BlobError> {
        match (entry.header.detached(), &entry.payload) {
            (Some(detached), _) if detached.lies_before(id.seq) => Ok(Content::Detached(detached)),
            (Some(_), _) => Err(BlobError::Order(id)),
            (None, Some(payload)) => Ok(Content::Inline(payload.clone())),
            (None, None) => Err(BlobError::Cleared { id, bytes: 0..entry.header.payload_len.into() }),
        }
    }

    /// Its length.
    pub fn bytes(&self) -> u64 {
        match self {
            Content::Inline(payload) => payload.len() as u64,
            Content::Detached(detached) => detached.bytes(),
        }
    }
}

/// Entries whose payload was asked for and lacked chunks: the next question that they match fetches these. What is
/// forgotten is noticed again by the next who reads it.
#[derive(Default)]
pub(crate) struct Wanting(Mutex<BTreeSet<EntryId>>);

impl Wanting {
    const MOST: usize = 4096;

    fn set(&self) -> MutexGuard<'_, BTreeSet<EntryId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn insert(&self, id: EntryId) {
        let mut set = self.set();
        if set.len() < Self::MOST {
            set.insert(id);
        }
    }

    pub fn remove(&self, id: &EntryId) {
        self.set().remove(id);
    }

    pub fn all(&self) -> BTreeSet<EntryId> {
        self.set().clone()
    }
}

/// Chunks that are read at a time.
pub(crate) fn chunks_in_batch(detached: &Detached) -> usize {
    let size = usize::try_from(detached.chunk_size()).unwrap_or(usize::MAX);
    (BATCH / size.max(1)).max(1)
}

/// Bytes as the blocks of consecutive chunks.
pub(crate) fn chunk_blocks(now: Timestamp, bytes: &[u8]) -> Result<Vec<Bytes>, WriteError> {
    let blocks = bytes.chunks(CHUNK as usize).map(|chunk| chunk_block(now, chunk));
    Ok(blocks.collect::<Result<Vec<_>, _>>()?)
}

/// Which bytes lie in the chunks with these numbers.
fn spans(detached: &Detached, numbers: &RangeSet) -> impl Iterator<Item = Range<u64>> {
    let bytes = |numbers: &Range<u64>| {
        detached.bytes_of(numbers.start).start..detached.bytes_of(numbers.end.saturating_sub(1)).end
    };
    numbers.ranges().iter().map(bytes).collect::<Vec<_>>().into_iter()
}

impl Engine {
    /// Sees to it that the payload fits: one too large for a block is written into blocks of its own, and what is left to
    /// stand in the entry's is nothing.
    pub(crate) fn fit(
        &self,
        feed: FeedKey,
        header: &mut Header,
        payload: Vec<u8>,
    ) -> Result<Vec<u8>, WriteError> {
        if payload.len() <= MAX_INLINE {
            return Ok(payload);
        }
        header.set_detached(&self.write_detached(feed, &payload)?);
        Ok(Vec::new())
    }

    /// Writes a payload into blocks of its own.
    fn write_detached(&self, feed: FeedKey, payload: &[u8]) -> Result<Detached, WriteError> {
        let mut chunks = RangeSet::new();
        for batch in payload.chunks(APPENDED) {
            chunks.insert(self.append_chunks(feed, batch)?);
        }
        Ok(Detached::new(payload.len() as u64, CHUNK, chunks).map_err(EntryError::from)?)
    }

    /// Appends bytes as consecutive chunks. All but the last call for a payload give a whole number of chunks.
    pub(crate) fn append_chunks(&self, feed: FeedKey, bytes: &[u8]) -> Result<Range<Seq>, WriteError> {
        let blocks = chunk_blocks(self.clock.now(), bytes)?;
        let ranges = self.feeds.append(vec![Append { feed, blocks }])?;
        let range = ranges.into_iter().next();
        range.ok_or_else(|| WriteError::Append(CommitError::Poisoned.into()))
    }

    /// The bytes of the chunks with these numbers, one after the other.
    pub(crate) fn read_chunks(
        &self,
        id: EntryId,
        detached: &Detached,
        numbers: Range<u64>,
    ) -> Result<Vec<Bytes>, BlobError> {
        let wanted = detached.blocks(&numbers);
        let found = self.feeds.blocks(&id.feed, &wanted).map_err(ReadError::from)?;
        if found.len() as u64 != wanted.count() {
            return Err(self.missing(id, detached, &numbers));
        }
        let chunk = |(number, (seq, block)): (u64, (Seq, _))| {
            let bytes = detached.bytes_of(number);
            chunk_payload(&block, bytes.end - bytes.start).map_err(|source| match source {
                kappadb_entry::ChunkError::Cleared => BlobError::Cleared { id, bytes },
                source => BlobError::Chunk { id, seq, source },
            })
        };
        numbers.zip(found).map(chunk).collect()
    }

    /// The chunks that are not here, or not any more, for some bytes.
    pub(crate) fn missing_chunks(&self, id: EntryId, detached: &Detached, bytes: &Range<u64>) -> RangeSet {
        detached.blocks(&detached.covering(bytes)).minus(&self.feeds.whole(&id.feed))
    }

    fn missing(&self, id: EntryId, detached: &Detached, numbers: &Range<u64>) -> BlobError {
        self.lacking(id, detached, &detached.blocks(numbers).minus(&self.feeds.whole(&id.feed)))
    }

    /// Says of chunks that are not here whether they never were, or were cleared.
    pub(crate) fn lacking(&self, id: EntryId, detached: &Detached, chunks: &RangeSet) -> BlobError {
        let absent = chunks.minus(&self.feeds.held(&id.feed));
        match chunks.ranges().first().filter(|_| absent.is_empty()) {
            Some(cleared) => {
                let numbers = detached.numbers(&std::iter::once(cleared.clone()).collect());
                let bytes = spans(detached, &numbers).next().unwrap_or_default();
                BlobError::Cleared { id, bytes }
            }
            None => BlobError::Missing { id, bytes: spans(detached, &detached.numbers(&absent)).collect() },
        }
    }

    /// A payload, whole; none if it was cleared, lacks chunks here, is not what its entry says, or has more than
    /// [`MAX_FEATURE_BODY`] bytes. What it lacks is fetched with the next question.
    pub(crate) fn load_payload(&self, id: EntryId, entry: &Entry) -> Result<Option<Bytes>, ReadError> {
        match self.read_whole(id, entry) {
            Ok(payload) => Ok(payload),
            Err(BlobError::Read(ReadError::Block(error))) if error.is_damage() => Ok(None),
            Err(BlobError::Read(error)) => Err(error),
            Err(BlobError::Missing { .. } | BlobError::Cleared { .. })
                if entry.header.detached().is_some() =>
            {
                self.wanting.insert(id);
                Ok(None)
            }
            Err(_) => Ok(None),
        }
    }

    fn read_whole(&self, id: EntryId, entry: &Entry) -> Result<Option<Bytes>, BlobError> {
        let detached = match Content::of(id, entry)? {
            Content::Inline(payload) => return Ok(Some(payload)),
            Content::Detached(detached) if detached.bytes() > MAX_FEATURE_BODY as u64 => return Ok(None),
            Content::Detached(detached) => detached,
        };
        // Grows with what is there, not with what is claimed.
        let (mut payload, all) = (Vec::new(), detached.chunks().count());
        let batch = chunks_in_batch(&detached);
        for from in (0..all).step_by(batch) {
            for chunk in self.read_chunks(id, &detached, from..all.min(from + batch as u64))? {
                payload.extend_from_slice(&chunk);
            }
        }
        Ok(Some(payload.into()))
    }
}
