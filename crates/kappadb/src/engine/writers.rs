//! The feeds that are written here, and the names that they have.

use super::Engine;
use crate::error::{WriteError, WriterError};
use crate::folder::writers::{IMPORTED, is_name};
use kappadb_core::{FeedDefinition, FeedKey, RangeSet};
use std::collections::{BTreeMap, BTreeSet};

impl Engine {
    /// The feed that a name stands for: a new one that continues it if it is not fit to be written. The name is made if it is new. The caller
    /// has the turn, or two first writes would make a feed each.
    pub(crate) fn writer_named(&self, name: &str) -> Result<FeedKey, WriteError> {
        match self.feed_of(name) {
            Some(feed) if self.feeds.is_writable(&feed) => Ok(feed),
            known => {
                let feed = self.feeds.create(self.clock.now(), known)?;
                self.writers.set(name, feed)?;
                Ok(feed)
            }
        }
    }

    /// The feed that a name stands for, whether it may be appended to or not.
    pub(crate) fn feed_of(&self, name: &str) -> Option<FeedKey> {
        // Every write comes by here: a replica with a thousand writers must not look at all of them.
        self.writers.get(name)
    }

    /// All names.
    pub(crate) fn writers(&self) -> BTreeMap<String, FeedKey> {
        self.writers.names()
    }

    /// The caller has the turn.
    pub(crate) fn new_writer(&self, name: &str) -> Result<FeedKey, WriterError> {
        if !is_name(name) || name.starts_with(IMPORTED) {
            return Err(WriterError::Name(name.to_owned()));
        }
        match self.writers().contains_key(name) {
            true => Err(WriterError::Exists(name.to_owned())),
            false => Ok(self.writer_named(name)?),
        }
    }

    /// The feeds that this one goes on for, directly or not, and itself.
    pub(crate) fn lineage(&self, feed: Option<FeedKey>) -> BTreeSet<FeedKey> {
        self.line(feed, |definition| definition.continues.map(|before| before.feed))
    }

    pub(crate) fn line(
        &self,
        feed: Option<FeedKey>,
        before: impl Fn(&FeedDefinition) -> Option<FeedKey>,
    ) -> BTreeSet<FeedKey> {
        let mut line = BTreeSet::new();
        let mut next = feed;
        while let Some(feed) = next.filter(|feed| line.insert(*feed)) {
            next = self.feeds.definition(&feed).and_then(|definition| before(&definition));
        }
        line
    }

    pub(crate) fn is_own(&self, feed: &FeedKey) -> bool {
        self.feeds.is_own(feed)
    }

    /// How many blocks a feed has at or beyond its fork.
    pub(crate) fn beyond_fork(&self, feed: &FeedKey) -> u64 {
        let fork = self.feeds.exclusions().into_iter().find(|(of, _)| of == feed);
        fork.map_or(0, |(_, seq)| self.feeds.held(feed).minus(&RangeSet::below(seq)).count())
    }
}
