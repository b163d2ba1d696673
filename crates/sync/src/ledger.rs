//! What both sides hold to be known, feed by feed, in one direction.
//!
//! The answerer and the asker each keep a ledger and change it at the same points of the answerer's stream by these
//! functions; that is why a Blocks frame need not say what its proof builds on.

use crate::error::SessionError;
use crate::frame::Declared;
use kappadb_core::limits::SESSION_RANGES;
use kappadb_core::{FeedKey, RangeSet, SignedHead};
use kappadb_merkle::Known;
use std::collections::BTreeMap;

#[derive(Debug, Default)]
struct Record {
    /// What a proof may build on.
    known: Known,
    /// Every leaf declared or sent. More than `known.leaves`: some were sent under an older head.
    sent: RangeSet,
    /// The last head sent.
    head: Option<SignedHead>,
}

impl Record {
    fn ranges(&self) -> usize {
        self.known.leaves.ranges().len() + self.sent.ranges().len()
    }
}

/// The records of one direction.
#[derive(Debug)]
pub(crate) struct Ledger {
    feeds: BTreeMap<FeedKey, Record>,
    ranges: usize,
    max_feeds: usize,
}

impl Ledger {
    pub fn new(max_feeds: usize) -> Self {
        Ledger { feeds: BTreeMap::new(), ranges: 0, max_feeds }
    }

    /// At Accept: what a query declared counts from here on.
    pub fn accept(&mut self, forget: bool, have: &[Declared]) -> Result<(), SessionError> {
        if forget {
            *self = Ledger::new(self.max_feeds);
        }
        have.iter().try_for_each(|have| self.update(&have.feed, |record| record.declare(&have.known)))
    }

    /// At Blocks: these leaves were sent under this head. `fresh` if the proof builds on nothing.
    pub fn record(
        &mut self,
        feed: &FeedKey,
        head: &SignedHead,
        ranges: &RangeSet,
        fresh: bool,
    ) -> Result<(), SessionError> {
        self.update(feed, |record| record.send(head, ranges, fresh))
    }

    fn update(&mut self, feed: &FeedKey, change: impl FnOnce(&mut Record)) -> Result<(), SessionError> {
        if self.feeds.len() >= self.max_feeds && !self.feeds.contains_key(feed) {
            return Err(SessionError::Limit("MAX_SESSION_FEEDS"));
        }
        let record = self.feeds.entry(*feed).or_default();
        self.ranges -= record.ranges();
        change(record);
        self.ranges += record.ranges();
        if self.ranges > SESSION_RANGES { Err(SessionError::Limit("SESSION_RANGES")) } else { Ok(()) }
    }

    /// Ranges in all records.
    pub fn ranges(&self) -> usize {
        self.ranges
    }

    /// True if anything of the feed was declared or sent.
    pub fn contains(&self, feed: &FeedKey) -> bool {
        self.feeds.contains_key(feed)
    }

    /// The last head sent of a feed.
    pub fn head(&self, feed: &FeedKey) -> Option<SignedHead> {
        self.feeds.get(feed)?.head
    }

    /// What a proof of a feed may build on, if its head is at least as long.
    pub fn known(&self, feed: &FeedKey) -> Known {
        let record = self.feeds.get(feed).filter(|record| !record.known.is_empty());
        record.map(|record| record.known.clone()).unwrap_or_default()
    }

    /// The length of each feed's tree of which something is known.
    pub fn lengths(&self) -> BTreeMap<FeedKey, u64> {
        let known = self.feeds.iter().filter(|(_, record)| !record.known.is_empty());
        known.map(|(feed, record)| (*feed, record.known.length)).collect()
    }

    /// The leaves of `ranges` that were neither declared nor sent.
    pub fn unsent(&self, feed: &FeedKey, ranges: &RangeSet) -> RangeSet {
        self.feeds.get(feed).map_or_else(|| ranges.clone(), |record| ranges.minus(&record.sent))
    }

    /// All leaves of a feed that were declared or sent.
    pub fn sent(&self, feed: &FeedKey) -> RangeSet {
        self.feeds.get(feed).map(|record| record.sent.clone()).unwrap_or_default()
    }

    /// True if any of `ranges` was declared or sent.
    pub fn has_sent_any(&self, feed: &FeedKey, ranges: &RangeSet) -> bool {
        let record = self.feeds.get(feed);
        record.is_some_and(|record| ranges.ranges().iter().any(|range| record.sent.intersects(range)))
    }

    /// True if declaring `known` would add nothing worth its bytes, or there is no room for another feed.
    pub fn need_not_declare(&self, feed: &FeedKey, known: &Known) -> bool {
        match self.feeds.get(feed) {
            None => known.length == 0 || self.feeds.len() >= self.max_feeds,
            Some(record) => {
                record.known.length > 0 && known.leaves.ranges().iter().all(|range| record.sent.covers(range))
            }
        }
    }
}

impl Record {
    fn declare(&mut self, known: &Known) {
        self.sent.union_with(&known.leaves);
        if known.length == self.known.length {
            self.known.leaves.union_with(&known.leaves);
        } else if known.length > self.known.length {
            // How the asker came from the shorter tree to the longer one is not known here: what it says is all.
            self.known = known.clone();
        }
    }

    fn send(&mut self, head: &SignedHead, ranges: &RangeSet, fresh: bool) {
        self.sent.union_with(ranges);
        self.head = Some(*head);
        let length = head.head.length;
        if length > self.known.length && fresh {
            // Nothing shows how the shorter tree lies in the longer one.
            self.known = Known { length, leaves: ranges.clone() };
        } else if length >= self.known.length {
            self.known.length = length;
            self.known.leaves.union_with(ranges);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kappadb_core::{Hash, Head, Signature};

    const FEED: FeedKey = FeedKey([1; 32]);

    fn head(length: u64) -> SignedHead {
        let head = Head { length, byte_length: 0, root_hash: Hash([0; 32]) };
        SignedHead { head, signature: Signature([0; 64]) }
    }

    /// Ranges by their first number and the one after their last.
    fn set(ranges: &[(u64, u64)]) -> RangeSet {
        ranges.iter().map(|&(from, to)| from..to).collect()
    }

    fn known(length: u64, ranges: &[(u64, u64)]) -> Known {
        Known { length, leaves: set(ranges) }
    }

    #[test]
    fn declared_and_sent_add_up_under_one_head() {
        let mut ledger = Ledger::new(9);
        ledger.accept(false, &[Declared { feed: FEED, known: known(8, &[(0, 2)]) }]).unwrap();
        ledger.record(&FEED, &head(8), &set(&[(4, 5)]), false).unwrap();
        assert_eq!(ledger.known(&FEED), known(8, &[(0, 2), (4, 5)]));
        assert_eq!(ledger.unsent(&FEED, &set(&[(0, 6)])), set(&[(2, 4), (5, 6)]));
        ledger.record(&FEED, &head(10), &set(&[(9, 10)]), false).unwrap();
        assert_eq!(ledger.known(&FEED), known(10, &[(0, 2), (4, 5), (9, 10)]));
        ledger.record(&FEED, &head(11), &set(&[(10, 11)]), true).unwrap();
        assert_eq!(ledger.known(&FEED), known(11, &[(10, 11)]));
    }

    #[test]
    fn an_older_head_adds_no_knowledge() {
        let mut ledger = Ledger::new(9);
        ledger.record(&FEED, &head(8), &set(&[(4, 5)]), true).unwrap();
        ledger.record(&FEED, &head(7), &set(&[(0, 1)]), true).unwrap();
        assert_eq!(ledger.known(&FEED), known(8, &[(4, 5)]));
        assert!(ledger.has_sent_any(&FEED, &set(&[(0, 1)])));
        ledger.accept(false, &[Declared { feed: FEED, known: known(9, &[(0, 1)]) }]).unwrap();
        assert_eq!(ledger.known(&FEED), known(9, &[(0, 1)]));
        ledger.accept(true, &[]).unwrap();
        assert_eq!((ledger.known(&FEED), ledger.head(&FEED)), (Known::default(), None));
    }

    #[test]
    fn memory_is_bounded() {
        let mut ledger = Ledger::new(1);
        let scattered: RangeSet = (0..60_000u64).map(|n| 2 * n).collect();
        let mut at = 0;
        let end = loop {
            let moved = scattered.ranges().iter().map(|r| r.start + at..r.end + at).collect();
            at += 200_000;
            if let Err(error) = ledger.record(&FEED, &head(1 << 40), &moved, false) {
                break error;
            }
        };
        assert_eq!(end, SessionError::Limit("SESSION_RANGES"));
        let second = ledger.record(&FeedKey([2; 32]), &head(1), &set(&[(0, 1)]), true);
        assert_eq!(second, Err(SessionError::Limit("MAX_SESSION_FEEDS")));
    }
}
