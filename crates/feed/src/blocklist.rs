//! Feeds that are not wanted here. What was held of one stays in the journal until the next compaction, for views to take it
//! out; nothing of it is answered with meanwhile, and nothing more is taken in.

use crate::index::Index;
use crate::rows::{self, Came, Forgotten, tag};
use crate::state::FeedState;
use crate::writer::Writer;
use crate::{DropError, ReadError};
use kappadb_core::{FeedKey, Lseq};
use kappadb_journal::Record;
use kappadb_store::prefix_range;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

impl Writer {
    /// Puts a feed on the list, or takes it off. Durable on return.
    pub fn set_dropped(&mut self, feed: &FeedKey, dropped: bool) -> Result<(), DropError> {
        self.usable()?;
        if dropped && self.keys.has(feed) {
            return Err(DropError::Own(*feed));
        }
        if self.index.is_dropped(feed) == dropped {
            return Ok(());
        }
        self.write(&if dropped { Record::Drop(*feed) } else { Record::Allow(*feed) })?;
        self.index.drop_feed(feed, dropped);
        Ok(self.commit()?)
    }
}

impl Index {
    /// The feed is not wanted, or wanted again.
    pub fn drop_feed(&mut self, feed: &FeedKey, dropped: bool) {
        let key = rows::dropped_key(feed);
        match dropped {
            true => drop((self.gone.remove(&key), self.rows.insert(key, Vec::new()))),
            false => drop((self.rows.remove(&key), self.gone.insert(key))),
        }
        self.dropped.insert(*feed, dropped);
    }

    /// The feeds that are not wanted here.
    pub fn dropped(&self) -> BTreeSet<FeedKey> {
        let mut dropped = self.visible.read().unwrap_or_else(PoisonError::into_inner).dropped.clone();
        for (feed, is_dropped) in &self.dropped {
            if *is_dropped {
                dropped.insert(*feed)
            } else {
                dropped.remove(feed)
            };
        }
        dropped
    }

    /// Sets a row, or takes it away.
    pub fn replace(&mut self, key: impl Into<Vec<u8>>, value: Option<Vec<u8>>) {
        let key = key.into();
        match value {
            Some(value) => drop(self.rows.insert(key, value)),
            None => drop((self.rows.remove(&key), self.gone.insert(key))),
        }
    }

    /// True if the feed is not wanted here.
    pub fn is_dropped(&self, feed: &FeedKey) -> bool {
        let published = || self.visible.read().unwrap_or_else(PoisonError::into_inner).dropped.contains(feed);
        self.dropped.get(feed).copied().unwrap_or_else(published)
    }

    /// Nothing that came of the feed before this number is held any more, only that it exists and, if so, that it forked.
    pub fn forget(&mut self, feed: &FeedKey, before: Lseq) -> Result<(), ReadError> {
        let Some(state) = self.change(feed) else { return Ok(()) };
        let number = state.number;
        *state = FeedState { fork: state.fork.take(), ..FeedState::new(number, state.definition) };
        for tag in [tag::LOCATION, tag::NODES, tag::CLEARED] {
            self.take_rows(&rows::all_of(tag, number), |_| true)?;
        }
        self.take_rows(&[tag::ARRIVAL], |row| {
            rows::decode::<Came>(row).is_ok_and(|came| came.feed == number)
        })?;
        self.fresh.forget(number);
        self.emptied.insert(number);
        let count =
            self.all_forgotten().values().map(|forgotten| forgotten.count).max().unwrap_or_default() + 1;
        let forgotten = Forgotten { count, before };
        self.replace(rows::forgotten_key(feed), Some(kappadb_core::codec::encode(&forgotten)));
        self.forgotten.insert(*feed, forgotten);
        Ok(())
    }

    /// All feeds that were ever forgotten, and when last.
    pub fn all_forgotten(&self) -> BTreeMap<FeedKey, Forgotten> {
        let mut all = self.visible.read().unwrap_or_else(PoisonError::into_inner).forgotten.clone();
        all.extend(self.forgotten.iter().map(|(feed, forgotten)| (*feed, *forgotten)));
        all
    }

    /// Takes away rows, written or about to be.
    fn take_rows(&mut self, prefix: &[u8], wanted: impl Fn(&[u8]) -> bool) -> Result<(), ReadError> {
        for row in prefix_range(&*self.blocks.tree, prefix) {
            let (key, value) = row?;
            if wanted(&value) {
                self.gone.insert(key.to_vec());
            }
        }
        self.rows.retain(|key, value| !(key.starts_with(prefix) && wanted(value)));
        Ok(())
    }
}
