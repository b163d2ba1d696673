//! Short numbers for feeds, and what was last said of each: one table for each direction.

use crate::command::Coverage;
use crate::error::SessionError;
use crate::frame::Change;
use crate::signed::RootTag;
use kappadb_core::{FeedDefinition, FeedKey, Seq};
use kappadb_merkle::ForkEvidence;
use std::collections::{BTreeMap, BTreeSet};

/// What a statement says of a feed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Stated {
    pub claimed: Seq,
    pub length: u64,
    pub at: u64,
    pub root: RootTag,
}

/// The feeds that this side has defined.
#[derive(Debug)]
pub(crate) struct Told {
    numbers: BTreeMap<FeedKey, u32>,
    stated: Vec<(FeedKey, Stated)>,
    max_feeds: usize,
}

impl Told {
    pub fn new(max_feeds: usize) -> Self {
        Told { numbers: BTreeMap::new(), stated: Vec::new(), max_feeds }
    }

    pub fn number(&self, feed: &FeedKey) -> Option<u32> {
        self.numbers.get(feed).copied()
    }

    /// How many more feeds can be defined.
    pub fn room(&self) -> usize {
        self.max_feeds.saturating_sub(self.stated.len())
    }

    /// Gives the next number to a feed that has none. False if it has one.
    pub fn define(&mut self, feed: &FeedKey) -> Result<bool, SessionError> {
        if self.numbers.contains_key(feed) {
            return Ok(false);
        }
        let number = u32::try_from(self.stated.len()).ok().filter(|_| self.stated.len() < self.max_feeds);
        self.numbers.insert(*feed, number.ok_or(SessionError::Limit("MAX_SESSION_FEEDS"))?);
        self.stated.push((*feed, Stated::default()));
        Ok(true)
    }

    /// The peer named this feed in a question: it needs no definition. Nothing comes of it if there is no room.
    pub fn name(&mut self, feed: &FeedKey) {
        let _ = self.define(feed);
    }

    /// The feeds that have numbers.
    pub fn feeds(&self) -> impl Iterator<Item = &FeedKey> {
        self.numbers.keys()
    }

    /// What stands stated.
    pub fn stated(&self) -> impl Iterator<Item = (FeedKey, Stated)> {
        self.stated.iter().copied()
    }

    /// What a statement of `coverage` has to say, and remembers it as said. A feed that is not covered is claimed up to 0.
    pub fn restate(&mut self, coverage: &[Coverage]) -> Vec<Change> {
        let said = |c: &Coverage| Stated { claimed: c.claimed, length: c.length, at: c.at, root: c.root };
        let covered: BTreeMap<_, _> = coverage.iter().map(|c| (c.definition.feed, said(c))).collect();
        let changed = self.stated.iter_mut().zip(0u32..).filter_map(|((feed, stated), number)| {
            let now = covered.get(feed).copied().unwrap_or(Stated { claimed: 0, ..*stated });
            let Stated { claimed, length, at, root } = now;
            let change = Change { feed: number, claimed, length, at, root };
            (std::mem::replace(stated, now) != now).then_some(change)
        });
        changed.collect()
    }
}

impl Told {
    /// What this coverage says, whatever was said before; nothing is remembered of it.
    pub fn changes(&self, coverage: &[Coverage]) -> Vec<Change> {
        let change = |c: &Coverage| {
            let Coverage { claimed, length, at, root, .. } = *c;
            Some(Change { feed: self.number(&c.definition.feed)?, claimed, length, at, root })
        };
        coverage.iter().filter_map(change).collect()
    }
}

/// The feeds that the other side has defined. A definition alone is not stored: it costs its writer nothing, and says nothing.
#[derive(Debug)]
pub(crate) struct Heard {
    definitions: Vec<FeedDefinition>,
    numbers: BTreeMap<FeedKey, u32>,
    stated: Vec<Stated>,
    max_feeds: usize,
    /// Those that nothing was said of yet.
    idle: BTreeSet<u32>,
    /// Those that storage knows of.
    stored: BTreeSet<u32>,
    /// Evidence for feeds that storage may not know of.
    forks: BTreeMap<FeedKey, Box<ForkEvidence>>,
}

impl Heard {
    pub fn new(max_feeds: usize) -> Self {
        Heard {
            definitions: Vec::new(),
            numbers: BTreeMap::new(),
            stated: Vec::new(),
            max_feeds,
            idle: BTreeSet::new(),
            stored: BTreeSet::new(),
            forks: BTreeMap::new(),
        }
    }

    pub fn define(&mut self, definition: FeedDefinition) -> Result<(), SessionError> {
        if self.has(&definition.feed) {
            return Err(SessionError::DefinedTwice(definition.feed));
        }
        let number = self.add(definition).ok_or(SessionError::Limit("MAX_SESSION_FEEDS"))?;
        self.idle.insert(number);
        Ok(())
    }

    /// A feed that a question has named, now that the question is accepted: as [`Told::name`] at the other side.
    pub fn number(&mut self, definition: &FeedDefinition) {
        if !self.has(&definition.feed) {
            self.add(*definition);
        }
    }

    /// True if the feed has a number.
    pub fn has(&self, feed: &FeedKey) -> bool {
        self.numbers.contains_key(feed)
    }

    /// Gives the next number, if there is room.
    fn add(&mut self, definition: FeedDefinition) -> Option<u32> {
        let number = u32::try_from(self.definitions.len()).ok();
        let number = number.filter(|_| self.definitions.len() < self.max_feeds)?;
        self.numbers.insert(definition.feed, number);
        self.definitions.push(definition);
        self.stated.push(Stated::default());
        Some(number)
    }

    fn definition(&self, number: u32) -> Option<&FeedDefinition> {
        self.definitions.get(usize::try_from(number).ok()?)
    }

    /// The feed of this number, of which something is said now.
    pub fn feed(&mut self, number: u32) -> Result<FeedKey, SessionError> {
        let feed = self.definition(number).map(|definition| definition.feed);
        self.idle.remove(&number);
        feed.ok_or(SessionError::UndefinedFeed(number))
    }

    /// Something is said of the feed, by its name. False if it was not defined.
    pub fn mention(&mut self, feed: &FeedKey) -> bool {
        self.numbers.get(feed).map(|number| self.idle.remove(number)).is_some()
    }

    /// A feed of which nothing was said since it was defined.
    pub fn idle(&self) -> Option<FeedKey> {
        Some(self.definition(*self.idle.first()?)?.feed)
    }

    /// What was to be said of these feeds will not be said.
    pub fn excuse(&mut self) {
        self.idle.clear();
    }

    /// Keeps evidence until blocks of its feed come: before there is nothing to leave out.
    pub fn keep(&mut self, evidence: Box<ForkEvidence>) {
        self.forks.insert(evidence.feed, evidence);
    }

    /// Blocks of this feed come: what storage must know first, once.
    pub fn store(&mut self, feed: &FeedKey) -> Option<(FeedDefinition, Option<Box<ForkEvidence>>)> {
        let number = *self.numbers.get(feed)?;
        let definition = *self.definition(number)?;
        self.stored.insert(number).then(|| (definition, self.forks.remove(feed)))
    }

    /// Storage may have lost what it was told of feeds.
    pub fn forget_stored(&mut self) {
        self.stored.clear();
    }

    /// Takes in what a statement says.
    pub fn state(&mut self, change: &Change) -> Result<(), SessionError> {
        let stated = usize::try_from(change.feed).ok().and_then(|at| self.stated.get_mut(at));
        let Change { claimed, length, at, root, .. } = *change;
        *stated.ok_or(SessionError::UndefinedFeed(change.feed))? = Stated { claimed, length, at, root };
        self.idle.remove(&change.feed);
        Ok(())
    }

    /// All that is stated now.
    pub fn stated(&self) -> Vec<Change> {
        let of = |(number, stated): (u32, &Stated)| {
            let Stated { claimed, length, at, root } = *stated;
            Change { feed: number, claimed, length, at, root }
        };
        (0..).zip(&self.stated).map(of).collect()
    }

    /// The same by feed.
    pub fn by_feed(&self) -> impl Iterator<Item = (FeedKey, Stated)> {
        self.definitions.iter().zip(&self.stated).map(|(definition, stated)| (definition.feed, *stated))
    }

    /// True if all of these feeds were defined. Something is said of them now.
    pub fn mention_all(&mut self, changes: &[Change]) -> Result<(), SessionError> {
        changes.iter().try_for_each(|change| self.feed(change.feed).map(drop))
    }

    /// What these changes say, in full.
    pub fn coverage(&self, changes: &[Change]) -> Vec<Coverage> {
        let full = |change: &Change| {
            let Change { feed, claimed, length, at, root } = *change;
            Some(Coverage { definition: *self.definition(feed)?, claimed, length, at, root })
        };
        changes.iter().filter_map(full).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kappadb_core::{DatabaseId, SecretKey, Timestamp};
    use proptest::prelude::*;

    fn definition(feed: u8) -> FeedDefinition {
        FeedDefinition::sign(&DatabaseId([0; 32]), &SecretKey::from_seed(&[feed; 32]), Timestamp(0), None)
    }

    proptest! {
        #[test]
        fn changes_rebuild_each_statement(statements in prop::collection::vec(prop::collection::btree_map(0u8..4, (0u64..3, 1u64..3), 0..4), 0..8)) {
            let (mut told, mut heard) = (Told::new(4), Heard::new(4));
            for statement in statements {
                let coverage: Vec<_> = statement
                    .iter()
                    .map(|(&feed, &(claimed, length))| Coverage { definition: definition(feed), claimed, length, at: length, root: [9; 16] })
                    .collect();
                for c in &coverage {
                    if told.define(&c.definition.feed).unwrap() {
                        heard.define(c.definition).unwrap();
                    }
                }
                told.restate(&coverage).iter().for_each(|change| heard.state(change).unwrap());
                prop_assert!(told.restate(&coverage).is_empty());
                let all = heard.coverage(&heard.stated());
                for c in &coverage {
                    prop_assert!(all.contains(c));
                }
                let claimed = |c: &&Coverage| c.claimed > 0;
                prop_assert!(all.iter().filter(claimed).all(|c| coverage.contains(c)));
            }
        }
    }

    #[test]
    fn feeds_are_bounded_and_defined_once() {
        let mut heard = Heard::new(2);
        heard.define(definition(1)).unwrap();
        assert_eq!(heard.define(definition(1)), Err(SessionError::DefinedTwice(definition(1).feed)));
        heard.define(definition(2)).unwrap();
        assert_eq!(heard.define(definition(3)), Err(SessionError::Limit("MAX_SESSION_FEEDS")));
        assert_eq!(heard.feed(2), Err(SessionError::UndefinedFeed(2)));
        let mut told = Told::new(1);
        assert_eq!(
            (told.define(&definition(1).feed), told.define(&definition(1).feed)),
            (Ok(true), Ok(false))
        );
        assert_eq!(told.room(), 0);
        assert!(told.define(&definition(2).feed).is_err());
    }
}
