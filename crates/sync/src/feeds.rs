//! Short numbers for feeds, and what was last said of each: one table for each direction.

use crate::command::Coverage;
use crate::error::SessionError;
use crate::frame::Change;
use kappadb_core::{FeedDefinition, FeedKey, Seq};
use std::collections::{BTreeMap, BTreeSet};

/// What a statement says of a feed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Stated {
    claimed: Seq,
    length: u64,
    at: u64,
    root: [u8; 8],
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

    /// True if so many new feeds fit into the session, at most.
    pub fn has_room_for<'a>(&self, feeds: impl Iterator<Item = &'a FeedKey>) -> bool {
        self.stated.len() + feeds.filter(|feed| !self.numbers.contains_key(feed)).count() <= self.max_feeds
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

/// The feeds that the other side has defined.
#[derive(Debug)]
pub(crate) struct Heard {
    definitions: Vec<FeedDefinition>,
    keys: BTreeSet<FeedKey>,
    stated: Vec<Stated>,
    max_feeds: usize,
}

impl Heard {
    pub fn new(max_feeds: usize) -> Self {
        Heard { definitions: Vec::new(), keys: BTreeSet::new(), stated: Vec::new(), max_feeds }
    }

    pub fn define(&mut self, definition: FeedDefinition) -> Result<(), SessionError> {
        if self.definitions.len() >= self.max_feeds {
            return Err(SessionError::Limit("MAX_SESSION_FEEDS"));
        }
        if !self.keys.insert(definition.feed) {
            return Err(SessionError::DefinedTwice(definition.feed));
        }
        self.definitions.push(definition);
        self.stated.push(Stated::default());
        Ok(())
    }

    pub fn feed(&self, number: u32) -> Result<FeedKey, SessionError> {
        let definition = usize::try_from(number).ok().and_then(|at| self.definitions.get(at));
        definition.map(|definition| definition.feed).ok_or(SessionError::UndefinedFeed(number))
    }

    /// Takes in what a statement says.
    pub fn state(&mut self, change: &Change) -> Result<(), SessionError> {
        let stated = usize::try_from(change.feed).ok().and_then(|at| self.stated.get_mut(at));
        let Change { claimed, length, at, root, .. } = *change;
        *stated.ok_or(SessionError::UndefinedFeed(change.feed))? = Stated { claimed, length, at, root };
        Ok(())
    }

    /// All that is stated now, by number.
    pub fn stated(&self) -> Vec<Stated> {
        self.stated.clone()
    }

    /// What [`Heard::stated`] gave, in full.
    pub fn coverage(&self, stated: &[Stated]) -> Vec<Coverage> {
        let full = |(definition, said): (&FeedDefinition, &Stated)| {
            let Stated { claimed, length, at, root } = *said;
            Coverage { definition: *definition, claimed, length, at, root }
        };
        self.definitions.iter().zip(stated).map(full).collect()
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
                    .map(|(&feed, &(claimed, length))| Coverage { definition: definition(feed), claimed, length, at: length, root: [9; 8] })
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
        assert!(
            told.has_room_for([definition(1).feed].iter()) && !told.has_room_for([definition(2).feed].iter())
        );
        assert!(told.define(&definition(2).feed).is_err());
    }
}
