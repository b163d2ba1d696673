//! Uploads that did not come to their end: chunks that no entry names. Nobody is ever sent them who asks a view; all they do is to
//! take up the disk, so `compact` clears them.

use crate::database::Parts;
use crate::error::ReadError;
use crate::views::blobs::Blobs;
use kappadb_core::{FeedKey, RangeSet, Seq};
use kappadb_entry::{decode_block, is_chunk};
use kappadb_feed::Feeds;
use std::collections::BTreeMap;

/// Blocks looked through at a time; each may have a megabyte.
const LOOK: u64 = 64;

/// What is left of uploads by one writer that did not come to their end.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Abandoned {
    /// The writer.
    pub feed: FeedKey,
    /// The blocks that nothing names.
    pub blocks: RangeSet,
    /// The bytes in them.
    pub bytes: u64,
}

impl Blobs {
    /// What is left here of uploads that did not come to their end: the process was killed, the reader failed, the disk was full. Those
    /// of earlier openings of this folder; of this one they may still be under way. [`crate::Database::compact`] clears it. Looks through
    /// all that the own feeds hold.
    pub async fn abandoned(&self) -> Result<Vec<Abandoned>, ReadError> {
        self.run(Parts::abandoned).await?
    }
}

/// How long each own feed is.
pub(crate) fn lengths(feeds: &Feeds) -> BTreeMap<FeedKey, Seq> {
    let own = feeds.list().into_iter().filter(|info| feeds.is_own(&info.feed));
    own.map(|info| (info.feed, info.length)).collect()
}

impl Parts {
    pub(crate) fn abandoned(&self) -> Result<Vec<Abandoned>, ReadError> {
        let mut found = Vec::new();
        for (&feed, &end) in &self.begun_at {
            let (mut chunks, mut named): (BTreeMap<Seq, u64>, _) = (BTreeMap::new(), RangeSet::new());
            let held = self.feeds.held(&feed);
            // An entry that names blocks may only be read as long as all entries are here.
            let all = held.end();
            if !held.covers(&(0..end)) {
                continue;
            }
            for from in (0..all).step_by(usize::try_from(LOOK).unwrap_or(usize::MAX)) {
                let part = std::iter::once(from..all.min(from + LOOK)).collect();
                for (seq, block) in self.feeds.blocks(&feed, &part)? {
                    let Ok(entry) = decode_block(&block) else { continue };
                    if let Some(detached) = entry.header.detached() {
                        named.union_with(detached.chunks());
                    }
                    let payload = entry.payload.filter(|_| is_chunk(&entry.header) && seq < end);
                    chunks.extend(payload.map(|payload| (seq, payload.len() as u64)));
                }
            }
            chunks.retain(|seq, _| !named.contains(*seq));
            let (blocks, bytes) = (chunks.keys().copied().collect(), chunks.values().sum());
            found.extend((!chunks.is_empty()).then_some(Abandoned { feed, blocks, bytes }));
        }
        Ok(found)
    }

    /// Clears what unfinished uploads have left.
    pub(crate) fn clear_abandoned(&self) -> Result<(), crate::LogError> {
        for Abandoned { feed, blocks, .. } in self.abandoned()? {
            self.feeds.clear(&feed, &blocks)?;
        }
        Ok(())
    }
}
