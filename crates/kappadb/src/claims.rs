//! What an answer rests on: claims of peers, and of this replica for what it holds whole.

use crate::database::Parts;
use crate::error::ReadError;
use kappadb_core::{EntryId, FeedKey, Hash, RangeSet};
use kappadb_journal::Claim;
use kappadb_query::Selector;
use kappadb_sync::{Coverage, Have, statement};
use std::collections::BTreeMap;

/// Bytes of a selector whose claims are kept for later questions. Those of joins name thousands of keys, each time others:
/// they would fill the journal, and hardly ever cover what is asked next.
const MAX_CLAIM: usize = 1 << 10;

/// Blocks asked for to have a fork proved. Each is proved up to the peer's roots, which differ.
const PROBES: usize = 64;

fn tag(root: &Hash) -> [u8; 8] {
    root.0.first_chunk().copied().unwrap_or_default()
}

impl Parts {
    /// Records what the peers claimed for `selector`, now that what they sent is durable, and says whether the answer is
    /// complete: the claims of all that took part, this replica among them, reach as far as any of them knows.
    pub(crate) fn conclude(
        &self,
        view: &str,
        selector: &Selector,
        statements: Vec<(FeedKey, Vec<Coverage>)>,
    ) -> Result<bool, ReadError> {
        // A selector that cannot be encoded was sent to nobody, so nobody claimed anything for it.
        let encoded = selector.encode().unwrap_or_default();
        let worth_keeping = if encoded.len() <= MAX_CLAIM { &statements[..] } else { &[] };
        for (peer, statement) in worth_keeping {
            let lengths =
                statement.iter().filter(|c| c.claimed > 0).map(|c| (c.definition.feed, c.claimed)).collect();
            self.add_claim(Claim { view: view.to_owned(), selector: encoded.clone(), lengths, from: *peer })?;
        }
        self.feeds.sync()?;
        let forks = self.feeds.exclusions();
        let mut all: Vec<Vec<Coverage>> = statements.into_iter().map(|(_, statement)| statement).collect();
        if !forks.is_empty() {
            // A peer that does not know of the fork leaves out what the forked entries made redundant, which counts
            // again here. What is held whole is not touched by that.
            all.iter_mut().flatten().for_each(|coverage| coverage.claimed = 0);
        }
        all.push(self.coverage(view, selector));
        let all: Vec<&[Coverage]> = all.iter().map(Vec::as_slice).collect();
        Ok(statement::is_complete(&all, &forks))
    }

    /// What this replica holds of the answer: what a peer need not send, and what it may take as known in proofs.
    pub(crate) fn have(&self, view: &str, selector: &Selector) -> Result<Vec<Have>, ReadError> {
        self.views.ready()?;
        let held = group(self.views.matches(view, selector)?);
        Ok(held
            .into_iter()
            .map(|(feed, ranges)| Have { feed, known: self.feeds.known(&feed, &ranges) })
            .collect())
    }

    /// What this replica's own answer to `selector` rests on, feed by feed.
    pub(crate) fn coverage(&self, view: &str, selector: &Selector) -> Vec<Coverage> {
        // Earlier claims rest on what was held then: damage takes some of it away, and a fork brings back what its
        // entries had made redundant.
        let unshaken = self.feeds.exclusions().is_empty() && self.feeds.damage().is_empty();
        let claims = if unshaken { self.claims_for(view, selector) } else { BTreeMap::new() };
        let coverage = self.feeds.list().into_iter().filter_map(|info| {
            let definition = self.feeds.definition(&info.feed)?;
            let whole = info.held == info.length;
            let claimed = if whole { info.length } else { claims.get(&info.feed).copied().unwrap_or(0) };
            let (length, root) = self.tip(&info.feed);
            Some(Coverage { definition, claimed, length, root })
        });
        coverage.collect()
    }

    /// The length of a feed's newest head, and what a statement says of its root.
    pub(crate) fn tip(&self, feed: &FeedKey) -> (u64, [u8; 8]) {
        self.feeds.head(feed).map_or((0, [0; 8]), |head| (head.head.length, tag(&head.head.root_hash)))
    }

    /// Feeds of a statement whose history is not the one that is held here, and some blocks that can show it.
    pub(crate) fn suspects(&self, statement: &[Coverage]) -> Result<Vec<(FeedKey, RangeSet)>, ReadError> {
        let mut suspects = Vec::new();
        let forked = self.feeds.exclusions();
        for Coverage { definition, length, root, .. } in statement {
            let feed = definition.feed;
            if forked.iter().any(|(known, _)| *known == feed) {
                continue;
            }
            let known = self.feeds.root_at(&feed, *length)?;
            if known.is_some_and(|known| *length > 0 && tag(&known) != *root) {
                let held = self.feeds.held(&feed).intersection(&RangeSet::below(*length));
                suspects.push((feed, held.iter().take(PROBES).collect()));
            }
        }
        Ok(suspects)
    }

    /// The greatest length claimed for each feed by a completed query that covers `selector`.
    fn claims_for(&self, view: &str, selector: &Selector) -> BTreeMap<FeedKey, u64> {
        let covers = |claim: &&Claim| {
            claim.view == view && Selector::decode(&claim.selector).is_ok_and(|wide| wide.covers(selector))
        };
        let mut lengths = BTreeMap::new();
        for (feed, length) in self.feeds.claims().iter().filter(covers).flat_map(|claim| &claim.lengths) {
            let best = lengths.entry(*feed).or_insert(0);
            *best = (*best).max(*length);
        }
        lengths
    }

    /// Records a claim unless what is known covers it already.
    fn add_claim(&self, claim: Claim) -> Result<(), ReadError> {
        let Ok(selector) = Selector::decode(&claim.selector) else { return Ok(()) };
        let known = self.claims_for(&claim.view, &selector);
        if claim.lengths.iter().all(|(feed, length)| known.get(feed).is_some_and(|k| k >= length)) {
            return Ok(());
        }
        Ok(self.feeds.add_claim(claim)?)
    }
}

/// Entry ids as ranges of their feeds.
pub(crate) fn group(ids: Vec<EntryId>) -> BTreeMap<FeedKey, RangeSet> {
    let mut seqs: BTreeMap<FeedKey, Vec<u64>> = BTreeMap::new();
    for id in ids {
        seqs.entry(id.feed).or_default().push(id.seq);
    }
    let ranges = seqs.into_iter().map(|(feed, mut seqs)| {
        seqs.sort_unstable();
        (feed, seqs.into_iter().collect())
    });
    ranges.collect()
}
