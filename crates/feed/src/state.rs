//! What is known of the feeds, in memory: one picture for readers, replaced feed by feed when more is durable.

use crate::rows::{FeedRow, Forgotten, Unlinked};
use kappadb_core::{EntryId, FeedDefinition, FeedKey, Lseq, RangeSet, Seq, SignedHead, StoredBlock};
use kappadb_merkle::ForkEvidence;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FeedState {
    /// Its number in derived keys.
    pub number: u32,
    pub definition: FeedDefinition,
    /// The longest head whose roots are at hand.
    pub newest: Option<SignedHead>,
    /// Blocks under heads not linked to the newest.
    pub unlinked: Vec<Unlinked>,
    /// All blocks held.
    pub held: RangeSet,
    /// Their bytes.
    pub bytes: u64,
    /// Of these, what is held without its payload.
    pub cleared: RangeSet,
    /// Blocks appended on this replica.
    pub appended: u64,
    /// The length of the longest head that came from a peer.
    pub seen: u64,
    /// There may be more of it than is here, so nothing more is appended: blocks may have been lost to damage, or another copy of this
    /// folder may write it.
    pub given_up: bool,
    /// Evidence of a fork, and from where the feed is not trusted.
    pub fork: Option<(Seq, Arc<ForkEvidence>)>,
}

/// What readers see: all of it durable, or with the system.
#[derive(Debug, Default)]
pub(crate) struct Visible {
    pub feeds: BTreeMap<FeedKey, Arc<FeedState>>,
    /// Of these, those that go on for another with its consent, by that one.
    pub heirs: BTreeMap<FeedKey, BTreeSet<FeedKey>>,
    /// Feeds that are not wanted here.
    pub dropped: BTreeSet<FeedKey>,
    /// Feeds of which all that was held was compacted away, some time.
    pub forgotten: BTreeMap<FeedKey, Forgotten>,
    /// Damage in the journal that was settled: segment, first byte, end.
    pub settled: BTreeSet<(u32, u64, u64)>,
    /// The first `lseq` not visible.
    pub end: Lseq,
    /// Counts the commits that changed anything.
    pub changes: u64,
    /// Counts how often blocks that are held took another form, or were given up: what was read before may not be what is held.
    pub reforms: u64,
    /// Counts how often it changed what [is excluded](Visible::excluded_from).
    pub exclusions: u64,
    /// Counts how often what was not durable was let go of.
    pub setbacks: u64,
    /// Some of it is not durable yet.
    pub unsynced: bool,
}

impl Visible {
    /// Shows a feed as it is now.
    pub fn show(&mut self, state: FeedState) {
        let feed = state.definition.feed;
        if let Some(before) = state.definition.heir_of() {
            self.heirs.entry(before).or_default().insert(feed);
        }
        let before = self.excluded_from(&feed);
        self.feeds.insert(feed, Arc::new(state));
        self.exclusions += u64::from(self.excluded_from(&feed) != before);
    }

    /// Puts a feed on the block list, or takes it off.
    pub fn set_dropped(&mut self, feed: FeedKey, dropped: bool) {
        match dropped {
            true => self.dropped.insert(feed),
            false => self.dropped.remove(&feed),
        };
        self.exclusions += 1;
    }

    /// From where on nothing of the feed counts: because it forked, or was dropped.
    pub fn excluded_from(&self, feed: &FeedKey) -> Option<Seq> {
        self.counts_to(feed, self.feeds.get(feed)?)
    }

    /// The same of a feed whose state is at hand.
    pub fn counts_to(&self, feed: &FeedKey, state: &FeedState) -> Option<Seq> {
        if self.dropped.contains(feed) { Some(0) } else { Some(state.fork.as_ref()?.0) }
    }

    /// True if the block is here with its payload, if it has one.
    pub fn is_whole(&self, id: &EntryId) -> bool {
        let state = self.feeds.get(&id.feed).filter(|_| !self.dropped.contains(&id.feed));
        state.is_some_and(|state| state.held.contains(id.seq) && !state.cleared.contains(id.seq))
    }
}

impl FeedState {
    pub fn new(number: u32, definition: FeedDefinition) -> Self {
        FeedState {
            number,
            definition,
            newest: None,
            unlinked: Vec::new(),
            held: RangeSet::new(),
            bytes: 0,
            cleared: RangeSet::new(),
            appended: 0,
            seen: 0,
            given_up: false,
            fork: None,
        }
    }

    pub fn from_row(number: u32, row: FeedRow) -> Self {
        let FeedRow { definition, newest, unlinked, front, bytes, appended, seen, given_up, .. } = row;
        let held = RangeSet::below(front);
        FeedState {
            newest,
            unlinked,
            held,
            bytes,
            appended,
            seen,
            given_up,
            ..FeedState::new(number, definition)
        }
    }

    pub fn to_row(&self) -> FeedRow {
        let FeedState { definition, newest, unlinked, held, bytes, appended, seen, given_up, .. } = self;
        FeedRow {
            definition: *definition,
            newest: *newest,
            unlinked: unlinked.clone(),
            front: front(held),
            held: held.count(),
            bytes: *bytes,
            appended: *appended,
            seen: *seen,
            given_up: *given_up,
        }
    }

    /// Blocks under the newest head.
    pub fn length(&self) -> u64 {
        self.newest.map_or(0, |newest| newest.head.length)
    }

    /// Blocks under the longest head: no node of a longer tree is known.
    pub fn reach(&self) -> u64 {
        let unlinked = self.unlinked.iter().map(|unlinked| unlinked.head.head.length);
        unlinked.fold(self.length(), u64::max)
    }

    /// Of `ranges`, what is held and linked to the newest head.
    pub fn linked(&self, ranges: &RangeSet) -> RangeSet {
        let held = self.held.intersection(ranges);
        self.unlinked.iter().fold(held, |held, unlinked| held.minus(&unlinked.ranges))
    }

    /// True if all blocks that count are held, linked to the newest head.
    pub fn has_all(&self) -> bool {
        let counts = 0..self.fork.as_ref().map_or(Seq::MAX, |(fork, _)| *fork).min(self.length());
        self.held.covers(&counts) && !self.unlinked.iter().any(|unlinked| unlinked.ranges.intersects(&counts))
    }

    /// A block as it is held: without its payload if that was cleared, also where the journal still has it.
    pub fn as_held(&self, seq: Seq, block: &StoredBlock) -> StoredBlock {
        match self.cleared.contains(seq) {
            true => kappadb_entry::clear_block(block).unwrap_or_else(|| block.clone()),
            false => block.clone(),
        }
    }

    /// True if a peer has shown a longer history of the feed than was written here.
    pub fn is_behind(&self) -> bool {
        self.seen > self.appended
    }

    /// True if whoever goes on with the feed here may fork it.
    pub fn is_over(&self) -> bool {
        self.given_up || self.is_behind()
    }

    /// True if every block of the feed that is known to exist is here, so that its writer may go on.
    pub fn is_whole(&self) -> bool {
        self.unlinked.is_empty() && self.held.covers(&(0..self.length()))
    }
}

/// How many blocks there are from the first one on without a gap.
pub(crate) fn front(held: &RangeSet) -> u64 {
    held.ranges().first().filter(|run| run.start == 0).map_or(0, |run| run.end)
}

/// The set of one run of numbers.
pub(crate) fn run(numbers: std::ops::Range<u64>) -> RangeSet {
    std::iter::once(numbers).collect()
}
