//! Which forks the other side knows of: what was sent and what came.

use kappadb_core::{FeedKey, Seq};
use kappadb_merkle::{ForkEvidence, flat};
use std::collections::BTreeMap;

/// By feed, from which seq on both sides leave it out.
#[derive(Debug, Default)]
pub(crate) struct Forks(BTreeMap<FeedKey, Seq>);

impl Forks {
    /// Takes note that both sides have this evidence now. False if they had such before, for that seq or a lower one.
    pub fn share(&mut self, evidence: &ForkEvidence) -> bool {
        let seq = flat::leaf_span(evidence.index).start;
        let news = self.0.get(&evidence.feed).is_none_or(|known| seq < *known);
        if news {
            self.0.insert(evidence.feed, seq);
        }
        news
    }

    /// True if both sides know that the feed forked.
    pub fn contains(&self, feed: &FeedKey) -> bool {
        self.0.contains_key(feed)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}
