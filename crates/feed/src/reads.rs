//! The handle's methods that read. They never wait for writes.

use crate::feeds::Feeds;
use crate::nodes::Nodes;
use crate::state::{FeedState, run};
use crate::{Arrival, FeedInfo, ReadError, prove};
use kappadb_core::{EntryId, FeedKey, FeedName, Hash, Lseq, RangeSet, Seq, SignedHead, StoredBlock};
use kappadb_entry::Bundle;
use kappadb_journal::Record;
use kappadb_merkle::{ForkEvidence, Known, flat, root_hash};
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

/// True if nothing is against appending to a feed whose key is here.
fn may_grow(state: &FeedState) -> bool {
    state.fork.is_none() && state.is_whole() && !state.is_over()
}

impl Feeds {
    /// All feeds, in the order of their keys.
    pub fn list(&self) -> Vec<FeedInfo> {
        let own = self.shared.own.read().unwrap_or_else(PoisonError::into_inner).clone();
        self.shared.look(|visible| {
            let info = |(feed, state): (&FeedKey, &Arc<FeedState>)| {
                let is_own = own.contains(feed);
                FeedInfo {
                    feed: *feed,
                    created: state.definition.created,
                    length: state.length(),
                    held: state.held.count(),
                    whole: state.has_all(),
                    bytes: state.bytes,
                    cleared: state.cleared.count(),
                    writable: is_own && may_grow(state),
                    behind: is_own && state.is_behind(),
                    given_up: is_own && state.given_up,
                    dropped: visible.dropped.contains(feed),
                    continues: state.definition.continues.map(|before| before.feed),
                    fork: state.fork.as_ref().map(|(seq, _)| *seq),
                }
            };
            visible.feeds.iter().map(info).collect()
        })
    }

    /// True if this replica appends to the feed ([`FeedInfo::writable`]), without a look at any other.
    pub fn is_writable(&self, feed: &FeedKey) -> bool {
        self.is_own(feed) && self.shared.state(feed).is_some_and(|state| may_grow(&state))
    }

    /// The newest head known of the feed.
    pub fn head(&self, feed: &FeedKey) -> Option<SignedHead> {
        self.shared.state(feed)?.newest
    }

    /// The root hash of the feed's tree when it had `length` blocks, as far as this replica can tell: that of a head that it
    /// knows, or one that follows from nodes at hand.
    pub fn root_at(&self, feed: &FeedKey, length: u64) -> Result<Option<Hash>, ReadError> {
        let _reading = self.shared.reading();
        let Some(state) = self.shared.state(feed) else { return Ok(None) };
        let heads = state.newest.iter().chain(state.unlinked.iter().map(|unlinked| &unlinked.head));
        if let Some(head) = heads.into_iter().find(|head| head.head.length == length) {
            return Ok(Some(head.head.root_hash));
        }
        if length > state.length() {
            return Ok(None);
        }
        let mut nodes = Nodes::new(&self.shared.blocks, None, state.number, &state.held);
        let root = |root| Ok(nodes.get(root)?.map(|node| (root, node)));
        let roots =
            flat::roots(length).into_iter().map(root).collect::<Result<Option<Vec<_>>, ReadError>>()?;
        Ok(roots.map(|roots| root_hash(&roots)))
    }

    /// The blocks of the feed that are here.
    pub fn held(&self, feed: &FeedKey) -> RangeSet {
        self.shared.state(feed).map(|state| state.held.clone()).unwrap_or_default()
    }

    /// The blocks of the feed that are here with their payload, if they have one.
    pub fn whole(&self, feed: &FeedKey) -> RangeSet {
        self.shared.state(feed).map(|state| state.held.minus(&state.cleared)).unwrap_or_default()
    }

    /// For each of these blocks whether it is here with its payload, if it has one.
    pub fn are_whole(&self, ids: impl IntoIterator<Item = EntryId>) -> Vec<bool> {
        self.shared.look(|visible| ids.into_iter().map(|id| visible.is_whole(&id)).collect())
    }

    /// True if the block is here with its payload, if it has one.
    pub fn is_whole(&self, id: &EntryId) -> bool {
        self.shared.look(|visible| visible.is_whole(id))
    }

    /// True if any block is held without its payload, or not at all any more.
    pub fn has_cleared(&self) -> bool {
        self.shared.look(|visible| {
            let is_cleared = |state: &Arc<FeedState>| !state.cleared.is_empty();
            visible.feeds.values().any(is_cleared)
                || !visible.forgotten.is_empty()
                || !visible.dropped.is_empty()
        })
    }

    /// True if all that is known to exist of every feed is here, as far as it counts, under one head; of those dropped nothing need be.
    pub fn has_all(&self) -> bool {
        self.shared.look(|visible| {
            let mut wanted = visible.feeds.iter().filter(|(feed, _)| !visible.dropped.contains(feed));
            wanted.all(|(_, state)| state.unlinked.is_empty() && state.has_all())
        })
    }

    /// Goes up whenever what is held changes, or what counts of it.
    pub fn changes(&self) -> u64 {
        self.shared.look(|visible| visible.changes + visible.setbacks)
    }

    /// What may be told to a peer so that its proofs can be shorter: of `candidates`, the blocks that are held and linked to the
    /// newest head.
    pub fn known(&self, feed: &FeedKey, candidates: &RangeSet) -> Known {
        let known =
            |state: Arc<FeedState>| Known { length: state.length(), leaves: state.linked(candidates) };
        self.shared.state(feed).map(known).unwrap_or_default()
    }

    /// As many of `ranges` from the front as are held, fit into `max_bytes` and can be proved under one head; at least one block, unless none
    /// is held. Call again for the rest.
    ///
    /// The bundle's `known` is what its proof builds on: `known`, or nothing at all if that is of a longer tree, or if this replica holds too
    /// little of the feed to show how the receiver's tree lies in its own. The receiver must be told which.
    pub fn prove(
        &self,
        feed: &FeedKey,
        ranges: &RangeSet,
        known: &Known,
        max_bytes: usize,
    ) -> Result<Bundle, ReadError> {
        let _reading = self.shared.reading();
        let state = self.shared.known(feed)?;
        prove::prove(&self.shared.blocks, feed, &state, ranges, known, max_bytes)
    }

    /// A block, if it is held.
    pub fn block(&self, id: &EntryId) -> Result<Option<StoredBlock>, ReadError> {
        Ok(self.blocks(&id.feed, &RangeSet::from_iter([id.seq]))?.pop().map(|(_, block)| block))
    }

    /// The blocks of `ranges` that are held, ascending. Empty for an unknown feed.
    pub fn blocks(&self, feed: &FeedKey, ranges: &RangeSet) -> Result<Vec<(Seq, StoredBlock)>, ReadError> {
        let _reading = self.shared.reading();
        let Some(state) = self.shared.state(feed) else { return Ok(Vec::new()) };
        let mut found = self.shared.blocks.collect(state.number, &state.held.intersection(ranges))?;
        if !state.cleared.is_empty() {
            found.iter_mut().for_each(|(seq, block)| *block = state.as_held(*seq, block));
        }
        Ok(found)
    }

    /// Blocks in the order in which they came here, from `from` on; about `max_blocks` (whole records, at least one). Empty at
    /// the end. Numbers may be left out.
    pub fn arrivals(&self, from: Lseq, max_blocks: usize) -> Result<Vec<Arrival>, ReadError> {
        let _reading = self.shared.reading();
        let mut arrivals = Vec::new();
        for located in self.shared.blocks.records_from(from, self.end())? {
            let located = match located {
                // Lost, which `verify` and the next opening say; the rest must not wait for it.
                Err(error) if error.is_damage() => continue,
                located => located?,
            };
            let (feed, ranges, blocks) = match &located.record {
                Record::Blocks { feed, first, blocks } => {
                    (*feed, run(*first..*first + blocks.len() as u64), blocks)
                }
                Record::Fetched { feed, ranges, blocks, .. } => (*feed, ranges.clone(), blocks),
                _ => return Err(ReadError::Misplaced(located.at)),
            };
            // Of a dropped feed too, until it is compacted away: for views to take it out.
            let state = self.shared.look(|visible| visible.feeds.get(&feed).cloned());
            for (lseq, (seq, block)) in (located.first_lseq..).zip(ranges.iter().zip(blocks)) {
                if lseq >= from {
                    let block = match &state {
                        Some(state) => self.shared.blocks.as_held(state, seq, block)?,
                        None => block.clone(),
                    };
                    arrivals.push(Arrival { lseq, id: EntryId { feed, seq }, block });
                }
            }
            if arrivals.len() >= max_blocks {
                break;
            }
        }
        Ok(arrivals)
    }

    /// The first `lseq` that has not arrived: everything below is durable and visible.
    pub fn end(&self) -> Lseq {
        self.shared.look(|visible| visible.end)
    }

    /// Counts how often blocks that are held took another form, or were given up. As long as it stays, what was read of a block that was held is
    /// what is held.
    pub fn reforms(&self) -> u64 {
        self.shared.look(|visible| visible.reforms)
    }

    /// How many blocks there are of the feed that contexts name so, as its newest head here says; 0 if none is known.
    pub fn length_of(&self, name: &FeedName) -> u64 {
        let mut first = FeedKey([0; 32]);
        first.0.iter_mut().zip(name.0).for_each(|(byte, named)| *byte = named);
        self.shared.look(|visible| {
            let named = visible.feeds.range(first..).take_while(|(feed, _)| feed.name() == *name);
            named.map(|(_, state)| state.length()).max().unwrap_or(0)
        })
    }

    /// Feeds that forked, and from where on each is not trusted; feeds that were dropped, from their beginning. Views leave
    /// these entries out.
    pub fn exclusions(&self) -> Vec<(FeedKey, Seq)> {
        self.shared.look(|visible| {
            let from =
                |(feed, state): (&FeedKey, &Arc<FeedState>)| Some((*feed, visible.counts_to(feed, state)?));
            visible.feeds.iter().filter_map(from).collect()
        })
    }

    /// Counts how often [`Feeds::exclusions`] changed since this was opened. As long as it stays, so do they.
    pub fn exclusions_count(&self) -> u64 {
        self.shared.look(|visible| visible.exclusions)
    }

    /// Feeds with those that go on for them, each with the consent of the one before: those are their owners', too. None is dropped.
    pub fn with_heirs(&self, feeds: impl IntoIterator<Item = FeedKey>) -> BTreeSet<FeedKey> {
        let (mut all, mut waiting) = (BTreeSet::new(), Vec::from_iter(feeds));
        self.shared.look(|visible| {
            while let Some(feed) = waiting.pop() {
                if all.insert(feed) {
                    let heirs = visible.heirs.get(&feed).into_iter().flatten();
                    waiting.extend(heirs.filter(|heir| !visible.dropped.contains(heir)));
                }
            }
        });
        all
    }

    /// From where on a feed is not trusted, because its writer signed two histories.
    pub fn forked_from(&self, feed: &FeedKey) -> Option<Seq> {
        self.shared.look(|visible| Some(visible.feeds.get(feed)?.fork.as_ref()?.0))
    }

    /// The evidence that a feed forked, for passing on; none if it did not as far as is known.
    pub fn fork(&self, feed: &FeedKey) -> Option<ForkEvidence> {
        self.shared.look(|visible| Some(ForkEvidence::clone(&visible.feeds.get(feed)?.fork.as_ref()?.1)))
    }

    /// Blocks whose proof would show how heads that are not linked to the newest one lie in its history, or that they do not: for
    /// each the block that comes after it, as the path to that block passes by all roots before it. Of feeds not proved to be
    /// forked.
    pub fn loose_ends(&self) -> Vec<(FeedKey, RangeSet)> {
        let ends = |(feed, state): (&FeedKey, &Arc<FeedState>)| {
            let lengths = state.unlinked.iter().map(|unlinked| unlinked.head.head.length);
            let next: RangeSet = lengths.filter(|length| *length < state.length()).collect();
            let next = next.minus(&state.linked(&next));
            (state.fork.is_none() && !next.is_empty()).then_some((*feed, next))
        };
        self.shared.look(|visible| {
            let wanted = visible.feeds.iter().filter(|(feed, _)| !visible.dropped.contains(feed));
            wanted.filter_map(ends).collect()
        })
    }
}
