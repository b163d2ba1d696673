//! What all queries of one direction share.

use crate::feeds::Told;
use crate::forks::Forks;
use crate::frame::Lengths;
use crate::ledger::Ledger;
use kappadb_core::{FeedKey, FeedName, RangeSet, SecretKey};
use std::collections::BTreeMap;

/// The records of an answering direction.
#[derive(Debug)]
pub(crate) struct Shared {
    pub ledger: Ledger,
    pub told: Told,
    /// What both sides know of forks.
    pub forks: Forks,
    /// What came from the peer: it is not told of that as news.
    pub theirs: BTreeMap<FeedKey, RangeSet>,
    /// What was sent for other queries, or for live ones that are over, while there may be one that confirms it: what came before a statement is held
    /// with it, whatever it was sent for.
    pub sent_besides: BTreeMap<FeedKey, RangeSet>,
    /// By whom statements are signed, if they are.
    pub signer: Option<SecretKey>,
    /// What was said of feeds that entries name.
    lengths: BTreeMap<FeedName, u64>,
    max_feeds: usize,
}

impl Shared {
    pub fn new(max_feeds: usize) -> Self {
        Shared {
            ledger: Ledger::new(max_feeds),
            told: Told::new(max_feeds),
            forks: Forks::default(),
            theirs: BTreeMap::new(),
            sent_besides: BTreeMap::new(),
            signer: None,
            lengths: BTreeMap::new(),
            max_feeds,
        }
    }

    /// The asker may have lost what came before.
    pub fn forget(&mut self) {
        self.theirs.clear();
        self.lengths.clear();
        // Nobody knows what of it is held.
        self.sent_besides.clear();
    }

    /// Ranges in the records of what is known.
    pub fn ranges(&self) -> usize {
        let besides =
            self.theirs.values().chain(self.sent_besides.values()).map(|ranges| ranges.ranges().len());
        self.ledger.ranges() + besides.sum::<usize>()
    }

    /// Those of these lengths that are news.
    pub fn unsaid(&self, mut lengths: Lengths) -> Lengths {
        lengths.retain(|(name, length)| self.lengths.get(name).is_none_or(|said| said < length));
        lengths
    }

    /// These lengths were said. Beyond what a session may remember they will be said again.
    pub fn say(&mut self, lengths: Lengths) {
        if self.lengths.len() + lengths.len() > self.max_feeds {
            self.lengths.clear();
        }
        self.lengths.extend(lengths);
    }

    /// True if the feed was defined, declared or sent in this direction.
    pub fn has_spoken_of(&self, feed: &FeedKey) -> bool {
        self.told.number(feed).is_some() || self.ledger.contains(feed)
    }
}
