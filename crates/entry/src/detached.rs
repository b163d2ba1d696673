//! Where the payload of an entry lies that has blocks of its own, in a header extension.
//!
//! The payload is cut into chunks of one size (the last one may be shorter), each the payload of an earlier block of the
//! same feed ([`crate::chunk_block`]). The feed's tree proves those blocks as it does any others, so what stands here
//! is no more than which they are. It is in the header, not in the payload: what an entry's payload is made of is still
//! known after that has been cleared.

use crate::{EntryError, Header};
use kappadb_core::limits::{MAX_CHUNK, MAX_CHUNK_RUNS, MAX_DETACHED, MAX_HEADER, MIN_CHUNK};
use kappadb_core::{RangeSet, Seq, codec};
use std::ops::Range;

/// The kind of the header extension.
pub const DETACHED: u16 = 2;

/// A payload in blocks of its own. Well-formed: there is at least one byte, and there are as many chunks as the bytes take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detached {
    bytes: u64,
    chunk_size: u32,
    chunks: RangeSet,
}

/// Why no payload can lie so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DetachedError {
    /// No bytes at all, or more than [`MAX_DETACHED`].
    #[error("{0} bytes, not 1 to {MAX_DETACHED}")]
    Bytes(u64),
    /// Chunks of fewer than [`MIN_CHUNK`] bytes or more than [`MAX_CHUNK`].
    #[error("chunks of {0} bytes, not {MIN_CHUNK} to {MAX_CHUNK}")]
    ChunkSize(u32),
    /// As many bytes take more chunks or fewer.
    #[error("{named} chunks where {needed} are needed")]
    Count {
        /// Chunks named.
        named: u64,
        /// Chunks that the bytes take.
        needed: u64,
    },
    /// The chunks lie in more than [`MAX_CHUNK_RUNS`] runs of blocks.
    #[error("the chunks lie in {0} runs of blocks, more than {MAX_CHUNK_RUNS}")]
    Scattered(usize),
    /// The entry has a payload in its own block, too.
    #[error("{0} bytes of payload stand in the entry's own block, too")]
    Inline(usize),
}

impl Detached {
    /// A payload of `bytes` bytes in chunks of `chunk_size`: the blocks `chunks` of the feed, ascending.
    pub fn new(bytes: u64, chunk_size: u32, chunks: RangeSet) -> Result<Self, DetachedError> {
        let detached = Detached { bytes, chunk_size, chunks };
        detached.check().map(|()| detached)
    }

    /// Bytes of the payload, from 1 to [`MAX_DETACHED`].
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes of each chunk but the last, which may have fewer.
    pub fn chunk_size(&self) -> u32 {
        self.chunk_size
    }

    /// The chunks: blocks of the entry's own feed.
    pub fn chunks(&self) -> &RangeSet {
        &self.chunks
    }

    /// True if all chunks come before the entry of this seq that names them, as they must.
    pub fn lies_before(&self, entry: Seq) -> bool {
        self.chunks.end() <= entry
    }

    /// The numbers, from 0, of the chunks that some bytes of the payload lie in. What is beyond the end lies in none.
    pub fn covering(&self, bytes: &Range<u64>) -> Range<u64> {
        let (start, end) = (bytes.start.min(self.bytes), bytes.end.min(self.bytes));
        let size = u64::from(self.chunk_size);
        if start < end { start / size..end.div_ceil(size) } else { 0..0 }
    }

    /// The blocks of the chunks with these numbers.
    pub fn blocks(&self, numbers: &Range<u64>) -> RangeSet {
        let mut first = 0;
        let runs = self.chunks.ranges().iter().map(|run| {
            let seq = |number: u64| run.start + number.clamp(first, first + (run.end - run.start)) - first;
            let part = seq(numbers.start)..seq(numbers.end);
            first += run.end - run.start;
            part
        });
        runs.collect()
    }

    /// The numbers of those chunks that are among `blocks`.
    pub fn numbers(&self, blocks: &RangeSet) -> RangeSet {
        let mut first = 0;
        let mut numbers = RangeSet::new();
        for run in self.chunks.ranges() {
            let among = blocks.intersection(&[run.clone()].into_iter().collect());
            among
                .ranges()
                .iter()
                .for_each(|r| numbers.insert(r.start - run.start + first..r.end - run.start + first));
            first += run.end - run.start;
        }
        numbers
    }

    /// The bytes of the payload that the chunk of this number holds.
    pub fn bytes_of(&self, number: u64) -> Range<u64> {
        let size = u64::from(self.chunk_size);
        let start = number.saturating_mul(size).min(self.bytes);
        start..start.saturating_add(size).min(self.bytes)
    }

    /// The content of the extension.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(&(self.bytes, self.chunk_size, &self.chunks))
    }

    /// Reads and checks the content of the extension.
    pub fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        let (bytes, chunk_size, chunks) =
            codec::decode::<(u64, u32, RangeSet), MAX_HEADER>("detached payload", bytes)?;
        Ok(Detached::new(bytes, chunk_size, chunks)?)
    }

    fn check(&self) -> Result<(), DetachedError> {
        if !(1..=MAX_DETACHED).contains(&self.bytes) {
            return Err(DetachedError::Bytes(self.bytes));
        }
        if !(MIN_CHUNK..=MAX_CHUNK).contains(&self.chunk_size) {
            return Err(DetachedError::ChunkSize(self.chunk_size));
        }
        let runs = self.chunks.ranges().len();
        if runs > MAX_CHUNK_RUNS {
            return Err(DetachedError::Scattered(runs));
        }
        let (named, needed) = (self.chunks.count(), self.bytes.div_ceil(self.chunk_size.into()));
        if named == needed { Ok(()) } else { Err(DetachedError::Count { named, needed }) }
    }
}

impl Header {
    /// Where the payload lies, if it has blocks of its own. None in a header made by hand with a malformed extension; a
    /// decoded header has no such.
    pub fn detached(&self) -> Option<Detached> {
        let extension = self.extensions.iter().find(|extension| extension.kind == DETACHED)?;
        Detached::decode(&extension.bytes).ok()
    }

    /// Says where the payload lies. The entry's own block must then have none.
    pub fn set_detached(&mut self, detached: &Detached) {
        self.set_extension(DETACHED, Some(detached.encode()));
    }

    /// Bytes of the payload, wherever it lies.
    pub fn payload_bytes(&self) -> u64 {
        self.detached().map_or(u64::from(self.payload_len), |detached| detached.bytes)
    }
}
