//! What a box query gives, and how it is gathered.

use crate::item::{ItemRef, Slot};
use kappadb_core::EntryId;
use kappadb_view::ViewError;
use std::collections::BTreeMap;

/// What a box holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// In the order of their keys.
    pub hits: Vec<Hit>,
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

/// The first features by key, gathered from their items in any order.
pub struct Gathered {
    limit: usize,
    found: BTreeMap<String, Shown>,
}

/// What the items of one feature say.
#[derive(Default)]
pub struct Shown {
    /// The heads that touch, perhaps repeatedly.
    pub slots: Vec<Slot>,
    pub conflict: bool,
}

impl Gathered {
    /// Keeps `limit` features at most.
    pub fn new(limit: Option<usize>) -> Self {
        Gathered { limit: limit.unwrap_or(usize::MAX), found: BTreeMap::new() }
    }

    /// Takes an item in.
    pub fn add(&mut self, item: ItemRef<'_>) -> Result<(), ViewError> {
        if !item.is_shown() {
            return Ok(());
        }
        let key = std::str::from_utf8(item.key)
            .map_err(|_| ViewError::Inconsistent("a feature's id is no text"))?;
        match self.found.get_mut(key) {
            Some(shown) => shown.add(&item),
            None => self.found.entry(key.to_owned()).or_default().add(&item),
        }
        if self.found.len() > self.limit {
            // There are enough keys before it: it is in no answer, however many of its items are still to come.
            self.found.pop_last();
        }
        Ok(())
    }

    /// The features, by key.
    pub fn into_features(self) -> impl Iterator<Item = (String, Shown)> {
        self.found.into_iter()
    }
}

impl Shown {
    fn add(&mut self, item: &ItemRef<'_>) {
        self.slots.push(item.slot);
        self.conflict |= item.is_conflict();
    }
}
