//! Entries that were withdrawn. What is packed of them stays where it is: it is passed over when it is read.

use crate::packed::BAD;
use crate::rows::WITHDRAWN;
use kappadb_core::{EntryId, FeedKey, RangeSet, codec};
use kappadb_store::{Overlay, Tree, prefix_range};
use kappadb_view::ViewError;
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of a row, at most: ranges of one feed.
const MAX_ROW: usize = 4 << 20;

/// The numbers of each feed's withdrawn entries: from a fork on, so mostly one range.
#[derive(Debug, Default)]
pub struct Withdrawn(BTreeMap<FeedKey, RangeSet>);

impl Withdrawn {
    pub fn load(tree: &dyn Tree) -> Result<Withdrawn, ViewError> {
        let mut all = BTreeMap::new();
        for row in prefix_range(tree, &[WITHDRAWN]) {
            let (key, value) = row?;
            let feed = key.get(1..).and_then(|feed| feed.try_into().ok()).ok_or(BAD)?;
            all.insert(FeedKey(feed), codec::decode::<RangeSet, MAX_ROW>("withdrawn entries", &value)?);
        }
        Ok(Withdrawn(all))
    }

    pub fn contains(&self, id: &EntryId) -> bool {
        !self.0.is_empty() && self.0.get(&id.feed).is_some_and(|seqs| seqs.contains(id.seq))
    }

    /// Takes entries out, and those that are held again back in.
    pub fn change(&mut self, changes: impl Iterator<Item = (EntryId, bool)>, rows: &mut Overlay<'_>) {
        let mut changed = BTreeSet::new();
        for (id, held) in changes {
            let one = id.seq..id.seq.saturating_add(1);
            if held {
                if self.contains(&id)
                    && let Some(seqs) = self.0.get_mut(&id.feed)
                {
                    *seqs = seqs.minus(&std::iter::once(one).collect());
                    changed.insert(id.feed);
                }
            } else {
                self.0.entry(id.feed).or_default().insert(one);
                changed.insert(id.feed);
            }
        }
        for feed in changed {
            let key = [&[WITHDRAWN], &feed.0[..]].concat();
            match self.0.get(&feed).filter(|seqs| !seqs.is_empty()) {
                Some(seqs) => rows.put(key, codec::encode(seqs)),
                None => {
                    self.0.remove(&feed);
                    rows.delete(key);
                }
            }
        }
    }
}
