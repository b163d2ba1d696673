//! Entries that were withdrawn. What is packed of them stays where it is: it is passed over when it is read.

use super::page::BAD;
use super::run::WITHDRAWN;
use crate::ViewError;
use kappadb_core::{EntryId, FeedKey, RangeSet, codec};
use kappadb_store::{Overlay, Tree, prefix_range};
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of a row, at most: ranges of one feed.
const MAX_ROW: usize = 4 << 20;

/// The numbers of each feed's withdrawn entries: from a fork on, so mostly one range.
#[derive(Debug)]
pub struct Withdrawn {
    prefix: u8,
    feeds: BTreeMap<FeedKey, RangeSet>,
}

impl Withdrawn {
    /// Reads those that lie in `tree` beside what is packed under `prefix`.
    pub fn load(tree: &dyn Tree, prefix: u8) -> Result<Withdrawn, ViewError> {
        let mut feeds = BTreeMap::new();
        for row in prefix_range(tree, &[prefix, WITHDRAWN]) {
            let (key, value) = row?;
            let feed = key.get(2..).and_then(|feed| feed.try_into().ok()).ok_or(BAD)?;
            feeds.insert(FeedKey(feed), codec::decode::<RangeSet, MAX_ROW>("withdrawn entries", &value)?);
        }
        Ok(Withdrawn { prefix, feeds })
    }

    /// True if some entry of this feed counts no more.
    pub fn concerns(&self, feed: &FeedKey) -> bool {
        self.feeds.contains_key(feed)
    }

    /// True if this entry counts no more.
    pub fn contains(&self, id: &EntryId) -> bool {
        !self.feeds.is_empty() && self.feeds.get(&id.feed).is_some_and(|seqs| seqs.contains(id.seq))
    }

    /// Takes entries out, and those that are held again (true) back in.
    pub fn change(&mut self, changes: impl Iterator<Item = (EntryId, bool)>, rows: &mut Overlay<'_>) {
        let mut changed = BTreeSet::new();
        for (id, held) in changes {
            let one = id.seq..id.seq.saturating_add(1);
            if held {
                if self.contains(&id)
                    && let Some(seqs) = self.feeds.get_mut(&id.feed)
                {
                    *seqs = seqs.minus(&std::iter::once(one).collect());
                    changed.insert(id.feed);
                }
            } else {
                self.feeds.entry(id.feed).or_default().insert(one);
                changed.insert(id.feed);
            }
        }
        for feed in changed {
            let key = [&[self.prefix, WITHDRAWN], &feed.0[..]].concat();
            match self.feeds.get(&feed).filter(|seqs| !seqs.is_empty()) {
                Some(seqs) => rows.put(key, codec::encode(seqs)),
                None => {
                    self.feeds.remove(&feed);
                    rows.delete(key);
                }
            }
        }
    }
}
