//! What a box query gives, and how it is gathered.

use crate::item::{ItemRef, Slot};
use crate::query::Cursor;
use kappadb_core::{EntryId, FeedKey, RangeSet};
use kappadb_view::ViewError;
use std::collections::BTreeMap;

/// What a box holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// In the order asked for.
    pub hits: Vec<Hit>,
    /// Where to go on, if there is more.
    pub next: Option<Cursor>,
    /// Boxes of features that were looked at for it: what it cost.
    pub looked_at: u64,
}

/// A feature of which at least one head touches the box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// Its id.
    pub key: String,
    /// Those of its heads that touch the box, ascending.
    pub heads: Vec<EntryId>,
    /// Its other heads, ascending, as far as this replica holds them: they lie elsewhere, or delete the feature. A sparse
    /// replica that asked for this box alone may lack them.
    ///
    /// With more than one head, here and elsewhere, the feature is in conflict.
    pub elsewhere: Vec<EntryId>,
}

/// All that is in a box, by its entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inside {
    /// Entries that are each all that there is to show of a feature: its only head, with one box.
    pub alone: BTreeMap<FeedKey, RangeSet>,
    /// The other features, by id.
    pub several: Vec<Hit>,
}

/// A feature found in a box.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// The first bytes of the key as a number: comparing them comes first and mostly suffices.
    start: u64,
    pub key: String,
    /// The head, if that one box is all there is to show of the feature.
    pub only: Option<Slot>,
}

impl Found {
    pub fn new(item: &ItemRef<'_>) -> Result<Found, ViewError> {
        let key = std::str::from_utf8(item.key)
            .map_err(|_| ViewError::Inconsistent("a feature's id is no text"))?;
        let mut start = [0; 8];
        start.iter_mut().zip(item.key).for_each(|(to, byte)| *to = *byte);
        let start = u64::from_be_bytes(start);
        Ok(Found { start, key: key.to_owned(), only: (!item.is_one_of_several()).then_some(item.slot) })
    }
}

/// Features that there is room for from the start: a small box has about so many.
const USUAL: usize = 128;

/// The first features by id, gathered from their items in any order.
pub struct Gathered {
    limit: usize,
    found: Vec<Found>,
    /// No id from this one on is among the first.
    bound: Option<String>,
}

impl Gathered {
    /// Keeps the first `limit` features; in memory for twice as many.
    pub fn new(limit: usize) -> Self {
        Gathered { limit, found: Vec::with_capacity(limit.min(USUAL)), bound: None }
    }

    /// Takes an item in.
    pub fn add(&mut self, item: &ItemRef<'_>) -> Result<(), ViewError> {
        if self.bound.as_ref().is_some_and(|bound| item.key >= bound.as_bytes()) {
            return Ok(());
        }
        self.found.push(Found::new(item)?);
        if self.found.len() >= self.limit.saturating_mul(2).max(64) {
            self.settle();
        }
        Ok(())
    }

    /// Sorts, and drops what is too much.
    fn settle(&mut self) {
        self.found.sort_unstable();
        self.found.dedup_by(|a, b| a.key == b.key);
        if self.found.len() > self.limit {
            self.bound = self.found.get(self.limit).map(|first| first.key.clone());
            self.found.truncate(self.limit);
        }
    }

    /// The features, by id.
    pub fn into_features(mut self) -> Vec<Found> {
        self.settle();
        self.found
    }
}
