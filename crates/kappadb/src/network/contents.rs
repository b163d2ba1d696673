//! The content of map features and values that is too large for a block, fetched with the answer that it belongs to: one round trip
//! more, on the same sessions, and only where there is such.

use super::Network;
use super::ask::view_of;
use super::neighbours::Neighbours;
use crate::engine;
use crate::error::ReadError;
use kappadb_core::limits::{MAX_FEATURE_BODY, MAX_RANGES};
use kappadb_core::{EntryId, FeedKey, Lseq, RangeSet};
use kappadb_entry::{DETACHED, Detached, Header, decode_block, space};
use kappadb_query::Selector;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

/// Blocks asked for in one question: what is stored and durable if a later one fails.
const PART: u64 = 256;
/// Blocks looked through at a time; each may have a megabyte.
const LOOK: usize = 64;
/// Entries of an answer that are looked at for content that was cleared here, at most.
const MANY: usize = 10_000;

/// An entry whose payload is wanted.
struct Wanted {
    id: EntryId,
    detached: Detached,
}

/// The heads of keys, of each space, that were looked up: a key may have thousands of versions, and is read once.
type Heads = BTreeMap<(u32, Vec<u8>), BTreeSet<EntryId>>;

impl Neighbours {
    /// Fetches what is wanted of the content of entries that `selectors` match, each in its space: of those that arrived since `since`, of those
    /// that somebody tried to read in vain, and of those of feeds of which something was cleared here. Returns how many still lack
    /// some.
    pub(super) async fn fetch_contents(
        &mut self,
        since: Lseq,
        selectors: Vec<(u32, Selector)>,
    ) -> Result<u64, ReadError> {
        if selectors.is_empty() {
            return Ok(0);
        }
        let parts = self.parts().clone();
        let wanted = engine::run(&parts, move |parts| parts.wanted_contents(since, &selectors)).await??;
        let mut chunks: BTreeMap<FeedKey, RangeSet> = BTreeMap::new();
        for Wanted { id, detached } in &wanted {
            chunks.entry(id.feed).or_default().union_with(detached.chunks());
        }
        for (feed, ranges) in chunks {
            self.fetch_all(feed, ranges, &mut |_, _| ()).await?;
        }
        engine::run(&parts, move |parts| parts.note_missing(&wanted)).await
    }

    /// Fetches as many blocks as may be wanted, some at a time. `progress` is told (done, to do).
    pub(crate) async fn fetch_all(
        &mut self,
        feed: FeedKey,
        ranges: RangeSet,
        progress: &mut (dyn FnMut(u64, u64) + Send),
    ) -> Result<(), ReadError> {
        let parts = self.parts().clone();
        let mut left = engine::run(&parts, move |parts| ranges.minus(&parts.feeds.whole(&feed))).await?;
        let total = left.count();
        let mut at_a_time = PART;
        while !left.is_empty() && self.is_open() {
            progress(total - left.count(), total);
            let (part, before) = (front(&left, at_a_time), self.blocks_fetched());
            left = left.minus(&part);
            self.fetch(feed, part).await?;
            // Of many that nobody holds we must not ask for a few at a time.
            at_a_time = if self.blocks_fetched() > before { PART } else { at_a_time.saturating_mul(4) };
        }
        progress(total, total);
        Ok(())
    }
}

/// The first `count` numbers of a set, or fewer if they make too many ranges for one question.
fn front(set: &RangeSet, mut count: u64) -> RangeSet {
    let part = set.ranges().iter().take(MAX_RANGES).map(|range| {
        let end = range.end.min(range.start.saturating_add(count));
        count -= end - range.start;
        range.start..end
    });
    part.collect()
}

impl Network {
    fn wanted_contents(&self, since: Lseq, selectors: &[(u32, Selector)]) -> Result<Vec<Wanted>, ReadError> {
        let tried = self.wanting.all();
        let arrived = self.arrived_detached(since)?;
        if !arrived.is_empty() {
            // What just came may not be indexed yet, and which of it is current is asked below.
            for view in selectors.iter().filter_map(|(space, _)| view_of(*space)) {
                self.views.ready(view)?;
            }
        }
        let (mut wanted, mut heads) = (Vec::new(), Heads::new());
        for id in arrived.into_iter().filter(|id| !tried.contains(id)) {
            wanted.extend(self.wanted_content(id, selectors, Some(&mut heads))?);
        }
        for id in &tried {
            wanted.extend(self.wanted_content(*id, selectors, None)?);
        }
        let seen: BTreeSet<EntryId> = wanted.iter().map(|wanted| wanted.id).chain(tried).collect();
        for id in self.maybe_cleared(selectors)?.into_iter().filter(|id| !seen.contains(id)) {
            let content = self.wanted_content(id, selectors, Some(&mut heads))?;
            wanted.extend(content.filter(|wanted| !self.is_whole_content(wanted)));
        }
        Ok(wanted)
    }

    /// Entries of the answers whose content may have been cleared here. Not of large answers: who asks for so much does not read it
    /// all, and what is read in vain is fetched with the next question.
    fn maybe_cleared(&self, selectors: &[(u32, Selector)]) -> Result<Vec<EntryId>, ReadError> {
        let cleared: BTreeSet<FeedKey> =
            self.feeds.list().into_iter().filter(|info| info.cleared > 0).map(|info| info.feed).collect();
        if cleared.is_empty() {
            return Ok(Vec::new());
        }
        let mut ids = Vec::new();
        let asked = selectors.iter().filter_map(|(space, selector)| Some((view_of(*space)?, selector)));
        for (view, selector) in asked {
            let matches = self.views.matches(view, selector, &BTreeSet::new())?;
            if matches.len() <= MANY {
                ids.extend(matches.into_iter().filter(|id| cleared.contains(&id.feed)));
            }
        }
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }

    fn is_whole_content(&self, Wanted { id, detached }: &Wanted) -> bool {
        detached.chunks().minus(&self.feeds.whole(&id.feed)).is_empty()
    }

    /// Features and values with a detached payload that arrived from `from` on, until now.
    fn arrived_detached(&self, mut from: Lseq) -> Result<Vec<EntryId>, ReadError> {
        let (mut ids, end) = (Vec::new(), self.feeds.end());
        while from < end {
            let batch = self.feeds.arrivals(from, LOOK)?;
            let Some(last) = batch.last() else { break };
            from = last.lseq + 1;
            let found = batch.iter().filter(|arrival| {
                let entry = decode_block(&arrival.block);
                entry.is_ok_and(|entry| has_detached_content(&entry.header))
            });
            ids.extend(found.map(|arrival| arrival.id));
        }
        Ok(ids)
    }

    /// An entry, if it matches, is small enough to be read whole, and, where `heads` are asked for, is one.
    fn wanted_content(
        &self,
        id: EntryId,
        selectors: &[(u32, Selector)],
        heads: Option<&mut Heads>,
    ) -> Result<Option<Wanted>, ReadError> {
        let Some(block) = self.feeds.block(&id)? else { return Ok(None) };
        let Ok(entry) = decode_block(&block) else { return Ok(None) };
        let readable = |d: &Detached| d.bytes() <= MAX_FEATURE_BODY as u64 && d.lies_before(id.seq);
        let Some(detached) = entry.header.detached().filter(readable) else { return Ok(None) };
        let space = entry.header.kind.space;
        let matches = selectors.iter().any(|(of, selector)| *of == space && selector.needs(&entry.header));
        let wanted = matches
            && match heads {
                Some(heads) => self.is_head(id, &entry.header, heads)?,
                None => true,
            };
        Ok(wanted.then_some(Wanted { id, detached }))
    }

    fn is_head(&self, id: EntryId, header: &Header, heads: &mut Heads) -> Result<bool, ReadError> {
        let key = header.key.as_deref().unwrap_or_default();
        let heads = match heads.entry((header.kind.space, key.to_vec())) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let view = view_of(header.kind.space).unwrap_or_default();
                unknown.insert(self.rules.of(view).heads(key)?)
            }
        };
        Ok(heads.contains(&id))
    }

    /// Remembers which still lack something, and counts them.
    fn note_missing(&self, wanted: &[Wanted]) -> u64 {
        let mut missing = 0;
        for content in wanted {
            if self.is_whole_content(content) {
                self.wanting.remove(&content.id);
            } else {
                self.wanting.insert(content.id);
                missing += 1;
            }
        }
        missing
    }
}

fn has_detached_content(header: &Header) -> bool {
    [space::MAP, space::KV].contains(&header.kind.space)
        && header.extensions.iter().any(|extension| extension.kind == DETACHED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_of_a_set_has_as_many_numbers_as_there_are() {
        let set: RangeSet = [2..5, 9..10, 20..40].into_iter().collect();
        for count in 0..30 {
            let expected: Vec<u64> = set.iter().take(usize::try_from(count).unwrap_or(0)).collect();
            assert_eq!(front(&set, count).iter().collect::<Vec<_>>(), expected);
        }
    }
}
