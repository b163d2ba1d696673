//! What an answer rests on: claims of peers, and of this replica for what it holds whole.

use crate::database::Parts;
use crate::error::ReadError;
use crate::forks::Answers;
use kappadb_core::{EntryId, FeedKey, RangeSet, Seq};
use kappadb_feed::FeedInfo;
use kappadb_journal::Claim;
use kappadb_query::Selector;
use kappadb_sync::{Coverage, Have, statement};
use std::collections::BTreeMap;

/// Bytes of a selector whose claims are kept for later questions. Those of joins name thousands of keys, each time others:
/// they would fill the journal, and hardly ever cover what is asked next.
const MAX_CLAIM: usize = 1 << 10;

impl Parts {
    /// Records what the peers claimed for `selector`, now that what they sent is durable, and says whether the answer is
    /// complete: the claims of all that took part, this replica among them, reach as far as any of them knows.
    pub(crate) fn conclude(
        &self,
        view: &str,
        selector: &Selector,
        mut answers: Answers,
    ) -> Result<bool, ReadError> {
        if !answers.ground.is_shared() || answers.ground != self.ground() {
            answers.claim_nothing();
        }
        let Answers { ground, statements } = answers;
        // A selector that cannot be encoded was sent to nobody, so nobody claimed anything for it.
        let encoded = selector.encode().unwrap_or_default();
        // Questions in a view's own words mostly name the moment they were asked at, and are never asked again.
        let worth_keeping = encoded.len() <= MAX_CLAIM && !matches!(selector, Selector::Custom(_));
        for (peer, statement) in statements.iter().filter(|_| worth_keeping) {
            let lengths =
                statement.iter().filter(|c| c.claimed > 0).map(|c| (c.definition.feed, c.claimed)).collect();
            let (view, selector) = (view.to_owned(), encoded.clone());
            self.add_claim(Claim { view, selector, lengths, from: *peer, forks: ground.name() })?;
        }
        self.feeds.sync()?;
        let mut all: Vec<Vec<Coverage>> = statements.into_values().collect();
        all.push(self.coverage(view, selector, &BTreeMap::new())?);
        let all: Vec<&[Coverage]> = all.iter().map(Vec::as_slice).collect();
        Ok(statement::is_complete(&all, ground.excluded()))
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

    /// What this replica's own answer to `selector` rests on, feed by feed. The roots are those of the trees that a peer has
    /// `declared`.
    pub(crate) fn coverage(
        &self,
        view: &str,
        selector: &Selector,
        declared: &BTreeMap<FeedKey, u64>,
    ) -> Result<Vec<Coverage>, ReadError> {
        // Earlier claims rest on what was held then, and damage takes some of it away.
        let claims =
            if self.feeds.damage().is_empty() { self.claims_for(view, selector) } else { BTreeMap::new() };
        let coverage = self.feeds.list().into_iter().filter_map(|info| {
            let definition = self.feeds.definition(&info.feed)?;
            let tip = self.tip(&info.feed, declared.get(&info.feed).copied());
            // Beyond a fork nothing counts, so there is nothing to hold.
            let end = info.length.min(info.fork.unwrap_or(Seq::MAX));
            let claimed = if self.is_whole(&info, end) { end } else { 0 };
            let claimed = claims.get(&info.feed).copied().unwrap_or(0).min(end).max(claimed);
            Some(tip.map(|(length, at, root)| Coverage { definition, claimed, length, at, root }))
        });
        coverage.collect()
    }

    /// True if all of a feed's one history below `end` is held.
    fn is_whole(&self, info: &FeedInfo, end: Seq) -> bool {
        info.held >= end && {
            let held = self.feeds.held(&info.feed);
            self.feeds.known(&info.feed, &held).leaves.covers(&(0..end))
        }
    }

    /// The greatest length claimed for each feed by a completed query that covers `selector`.
    fn claims_for(&self, view: &str, selector: &Selector) -> BTreeMap<FeedKey, u64> {
        // What others had left out says nothing of what is left out here: a fork brings back what its entries had made redundant.
        let forks = self.ground().name();
        let covers = |claim: &&Claim| {
            claim.forks == forks
                && claim.view == view
                && Selector::decode(&claim.selector).is_ok_and(|wide| wide.covers(selector))
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
