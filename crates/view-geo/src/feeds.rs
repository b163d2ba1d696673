//! Short numbers for feeds, so that an item names its entry in 12 bytes. Given out as feeds appear; no answer shows
//! them.

use crate::rows;
use kappadb_core::FeedKey;
use kappadb_store::{Overlay, Tree, prefix_range};
use kappadb_view::ViewError;
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub struct Feeds {
    numbers: BTreeMap<FeedKey, u32>,
    keys: Vec<FeedKey>,
}

const BAD: ViewError = ViewError::Inconsistent("the map's feed numbers are not 0, 1, 2, ...");

impl Feeds {
    pub fn load(tree: &dyn Tree) -> Result<Self, ViewError> {
        let mut numbers = BTreeMap::new();
        for row in prefix_range(tree, &[rows::FEEDS]) {
            let (key, value) = row?;
            let feed = key.get(1..).and_then(|k| k.try_into().ok()).map(FeedKey).ok_or(BAD)?;
            numbers.insert(feed, u32::from_be_bytes((&*value).try_into().map_err(|_| BAD)?));
        }
        let mut by_number: Vec<(u32, FeedKey)> = numbers.iter().map(|(feed, n)| (*n, *feed)).collect();
        by_number.sort_unstable();
        if !by_number.iter().zip(0..).all(|((number, _), expected)| *number == expected) {
            return Err(BAD);
        }
        Ok(Feeds { numbers, keys: by_number.into_iter().map(|(_, feed)| feed).collect() })
    }

    /// The feed's number; a new one if it has none.
    pub fn number(&mut self, feed: &FeedKey, rows: &mut Overlay<'_>) -> u32 {
        if let Some(&number) = self.numbers.get(feed) {
            return number;
        }
        let number = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
        self.numbers.insert(*feed, number);
        self.keys.push(*feed);
        rows.put(rows::key(rows::FEEDS, &[&feed.0]), number.to_be_bytes().to_vec());
        number
    }

    /// The number of a feed that has one.
    pub fn find(&self, feed: &FeedKey) -> Result<u32, ViewError> {
        self.numbers.get(feed).copied().ok_or(BAD)
    }

    pub fn key(&self, number: u32) -> Result<FeedKey, ViewError> {
        usize::try_from(number).ok().and_then(|n| self.keys.get(n)).copied().ok_or(BAD)
    }
}
