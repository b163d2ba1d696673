//! Which versions of a key name which others of it, looked up by the name.

use crate::Places;
use crate::rules::{Version, replaces};
use kappadb_core::{EntryId, FeedName, Seq};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Who names what. Made in the time that it takes to read the contexts once and to sort the versions.
pub(crate) struct Naming<'a> {
    /// Those that name a feed up to some seq, the deepest first.
    feeds: BTreeMap<FeedName, Vec<UpTo<'a>>>,
    /// Those that name an entry.
    ids: BTreeMap<EntryId, Vec<&'a Version>>,
}

struct UpTo<'a> {
    by: &'a Version,
    seq: Seq,
    /// The greatest seq of this one and of those that are deeper.
    furthest: Seq,
}

impl<'a> Naming<'a> {
    pub fn of(versions: &'a [Version]) -> Naming<'a> {
        let mut naming = Naming { feeds: BTreeMap::new(), ids: BTreeMap::new() };
        // What is not deeper than any replaces nothing.
        let least = versions.iter().map(|v| v.depth).min().unwrap_or_default();
        let mut deep: Vec<&Version> =
            versions.iter().filter(|f| f.depth > least && !f.context.is_empty()).collect();
        if deep.is_empty() {
            return naming;
        }
        deep.sort_by_key(|f| Reverse(f.depth));
        naming.feeds = versions.iter().map(|e| (e.id.feed.name(), Vec::new())).collect();
        naming.ids = versions.iter().map(|e| (e.id, Vec::new())).collect();
        deep.into_iter().for_each(|f| naming.add(f));
        naming
    }

    fn add(&mut self, by: &'a Version) {
        for (feed, seq) in by.context.feeds(&by.id.feed) {
            let Some(named) = self.feeds.get_mut(&feed) else { continue };
            let furthest = named.last().map_or(seq, |deeper| deeper.furthest.max(seq));
            named.push(UpTo { by, seq, furthest });
        }
        for id in &by.context.ids {
            self.ids.get_mut(id).into_iter().for_each(|named| named.push(by));
        }
    }

    /// True if one of the versions replaces `e`, which is one of them.
    pub fn replaces(&self, e: &Version) -> bool {
        let named = self.feeds.get(&e.id.feed.name()).map_or(&[][..], |named| named);
        let deeper = named.get(..named.partition_point(|f| f.by.depth > e.depth)).unwrap_or_default();
        let may = deeper.last().is_some_and(|f| f.furthest >= e.id.seq);
        // What has no place lies in every past.
        let by_feed = may
            && (e.places == Places::NOWHERE
                || deeper.iter().any(|f| f.seq >= e.id.seq && f.by.past.contains(&e.places)));
        by_feed || self.ids.get(&e.id).is_some_and(|named| named.iter().any(|f| replaces(f, e)))
    }
}
