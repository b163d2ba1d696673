//! Where entries come from: all that the engine needs to know of feeds.

use crate::{Exclusions, ViewError};
use kappadb_core::{FeedKey, Lseq, RangeSet, Seq, StoredBlock};
use kappadb_feed::Feeds;
pub use kappadb_feed::{Arrival, ReadError};
use std::collections::BTreeMap;
use std::sync::Arc;

/// An arrival log and the forks proven in it.
pub trait Source: Send + Sync {
    /// One more than the number of the last block that may be shown.
    fn end(&self) -> Lseq;

    /// About `max_blocks` blocks from number `from` on, ascending. Numbers may be missing: what was lost to damage is
    /// passed over. Empty only if there are none before [`Source::end`].
    fn arrivals(&self, from: Lseq, max_blocks: usize) -> Result<Vec<Arrival>, ReadError>;

    /// The blocks of `ranges` that are held of a feed, ascending. Default: none.
    fn blocks(&self, feed: &FeedKey, ranges: &RangeSet) -> Result<Vec<(Seq, StoredBlock)>, ReadError> {
        let _ = (feed, ranges);
        Ok(Vec::new())
    }

    /// For each feed that forked, the first block that counts no more.
    fn exclusions(&self) -> Exclusions;

    /// Counts how often [`Source::exclusions`] changed. As long as it stays, so do they. None if that is not known.
    fn exclusions_count(&self) -> Option<u64> {
        None
    }

    /// Feeds whose entries were taken out of the log for good, at the time when such event counted from 1. Before they went, they
    /// were excluded from their beginning.
    fn forgotten(&self) -> BTreeMap<FeedKey, u64> {
        BTreeMap::new()
    }

    /// Has `wake` called whenever there may be more arrivals or exclusions. It is quick and never blocks.
    fn subscribe(&self, wake: Arc<dyn Fn() + Send + Sync>);
}

impl Source for Feeds {
    fn end(&self) -> Lseq {
        Feeds::end(self)
    }

    fn arrivals(&self, from: Lseq, max_blocks: usize) -> Result<Vec<Arrival>, ReadError> {
        Feeds::arrivals(self, from, max_blocks)
    }

    fn blocks(&self, feed: &FeedKey, ranges: &RangeSet) -> Result<Vec<(Seq, StoredBlock)>, ReadError> {
        Feeds::blocks(self, feed, ranges)
    }

    fn exclusions(&self) -> Exclusions {
        Feeds::exclusions(self).into_iter().collect()
    }

    fn exclusions_count(&self) -> Option<u64> {
        Some(Feeds::exclusions_count(self))
    }

    fn forgotten(&self) -> BTreeMap<FeedKey, u64> {
        Feeds::forgotten(self)
    }

    fn subscribe(&self, wake: Arc<dyn Fn() + Send + Sync>) {
        self.on_arrival(move || wake());
    }
}

/// How many blocks to read at once: many small ones, few large ones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace(usize);

impl Pace {
    /// Blocks in a batch, at most.
    const MOST: usize = 1_024;
    /// Bytes in a batch, about.
    const BYTES: usize = 4 << 20;

    pub fn new() -> Self {
        Pace(64)
    }

    /// Reads the next batch, and learns from it.
    pub fn read(&mut self, source: &dyn Source, from: Lseq) -> Result<Vec<Arrival>, ViewError> {
        let batch = source.arrivals(from, self.0)?;
        if !batch.is_empty() {
            let bytes: usize = batch.iter().map(|arrival| arrival.block.bytes.len().max(1)).sum();
            let fitting = Self::BYTES * batch.len() / bytes;
            // Grows step by step: a log of small blocks may go on with large ones.
            self.0 = fitting.clamp(1, (self.0 * 2).min(Self::MOST));
        }
        Ok(batch)
    }
}
