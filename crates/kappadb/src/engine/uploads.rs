//! Uploads that did not come to their end: chunks that no entry names. Nobody is ever sent them who asks a view; all they do is to
//! take up the disk, so `compact` clears them.

use super::Engine;
use crate::error::{LogError, ReadError};
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

/// How long each own feed is.
pub(crate) fn lengths(feeds: &Feeds) -> BTreeMap<FeedKey, Seq> {
    let own = feeds.list().into_iter().filter(|info| feeds.is_own(&info.feed));
    own.map(|info| (info.feed, info.length)).collect()
}

pub(crate) fn abandoned(engine: &Engine) -> Result<Vec<Abandoned>, ReadError> {
    let mut found = Vec::new();
    for (&feed, &end) in &engine.begun_at {
        let (mut chunks, mut named): (BTreeMap<Seq, u64>, _) = (BTreeMap::new(), RangeSet::new());
        let held = engine.feeds.held(&feed);
        // An entry that names blocks may only be read as long as all entries are here.
        let all = held.end();
        if !held.covers(&(0..end)) {
            continue;
        }
        for from in (0..all).step_by(usize::try_from(LOOK).unwrap_or(usize::MAX)) {
            let part = std::iter::once(from..all.min(from + LOOK)).collect();
            for (seq, block) in engine.feeds.blocks(&feed, &part)? {
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
pub(crate) fn clear_abandoned(engine: &Engine) -> Result<(), LogError> {
    for Abandoned { feed, blocks, .. } in abandoned(engine)? {
        engine.feeds.clear(&feed, &blocks)?;
    }
    Ok(())
}
