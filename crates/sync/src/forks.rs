//! Which forks the other side knows of: what was sent and what came.

use kappadb_core::limits::MAX_FORKS_TOLD;
use kappadb_core::{FeedKey, Seq};
use kappadb_merkle::{ForkEvidence, flat};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(crate) struct Forks {
    /// By feed, from which seq on both sides leave it out.
    known: BTreeMap<FeedKey, Seq>,
    /// Pieces of evidence that this side has sent.
    told: usize,
}

impl Forks {
    /// Takes note that both sides have this evidence now. False if they had such before, for that seq or a lower one.
    pub fn share(&mut self, evidence: &ForkEvidence) -> bool {
        let seq = flat::leaf_span(evidence.index).start;
        let news = self.known.get(&evidence.feed).is_none_or(|known| seq < *known);
        if news {
            self.known.insert(evidence.feed, seq);
        }
        news
    }

    /// Takes note that this evidence is sent now. False if it need not be, or if as much was sent as the other side takes.
    pub fn tell(&mut self, evidence: &ForkEvidence) -> bool {
        let due = self.told < MAX_FORKS_TOLD && self.share(evidence);
        self.told += usize::from(due);
        due
    }

    /// True if both sides know that the feed forked.
    pub fn contains(&self, feed: &FeedKey) -> bool {
        self.known.contains_key(feed)
    }
}
