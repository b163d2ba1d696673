//! The items that are not packed yet: in order in memory, and in a log of batches in rows.
//!
//! ```text
//! 03 | number u64 BE  →  count u32 | that many of (feed number u32 | seq u64) | items      little-endian
//! ```
//!
//! A row says which versions a batch took out of memory and which items it put there. Opening reads them from the first to the
//! last; packing the memory removes them.

use crate::item::{Item, ItemRef, Items, Slot};
use crate::packed::Window;
use crate::rows;
use crate::sorted::Sorted;
use bytes::Bytes;
use kappadb_store::{Overlay, Tree, prefix_range};
use kappadb_view::ViewError;
use std::collections::HashSet;
use std::ops::Range;

const BAD: ViewError = ViewError::Inconsistent("the log of the map's memory does not fit together");

#[derive(Debug, Default)]
pub struct Memory {
    /// Where things are.
    pub places: Sorted,
    /// Where what they replace was.
    pub past: Sorted,
    /// Numbers of the rows.
    log: Range<u64>,
    /// What the present batch took out, and put in.
    removed: Vec<Slot>,
    added: Vec<u8>,
}

impl Memory {
    pub fn load(tree: &dyn Tree) -> Result<Self, ViewError> {
        let (mut memory, mut batches) = (Memory::default(), Vec::new());
        for row in prefix_range(tree, &[rows::MEMORY]) {
            let (key, row) = row?;
            let number = key.get(1..).and_then(|n| n.try_into().ok()).map(u64::from_be_bytes).ok_or(BAD)?;
            if memory.log.is_empty() {
                memory.log = number..number;
            }
            if number != memory.log.end {
                return Err(BAD);
            }
            memory.log.end = number.checked_add(1).ok_or(BAD)?;
            batches.push(row);
        }
        let (past, places): (Vec<Item>, Vec<Item>) = replay(&batches)?.into_iter().partition(Item::is_past);
        let sorted = |items: Vec<Item>| Sorted::of(items.into_iter()).ok_or(BAD);
        (memory.places, memory.past) = (sorted(places)?, sorted(past)?);
        Ok(memory)
    }

    /// Items in it.
    pub fn len(&self) -> usize {
        self.places.len() + self.past.len()
    }

    fn sorted(&mut self, item: &Item) -> &mut Sorted {
        if item.is_past() { &mut self.past } else { &mut self.places }
    }

    pub fn insert(&mut self, item: Item) {
        item.encode(&mut self.added);
        self.sorted(&item).insert(item);
    }

    /// Takes a version with these items out; false if it is not here.
    pub fn remove(&mut self, slot: Slot, items: &[Item]) -> Result<bool, ViewError> {
        let found = items.iter().filter(|item| self.sorted(item).remove(item)).count();
        if found == 0 {
            return Ok(false);
        }
        self.removed.push(slot);
        if found == items.len() { Ok(true) } else { Err(BAD) }
    }

    /// Writes down what the present batch did.
    pub fn log(&mut self, rows: &mut Overlay<'_>) {
        if self.removed.is_empty() && self.added.is_empty() {
            return;
        }
        let count = u32::try_from(self.removed.len()).unwrap_or(u32::MAX);
        let mut row = Vec::with_capacity(4 + 12 * self.removed.len() + self.added.len());
        row.extend_from_slice(&count.to_le_bytes());
        self.removed.drain(..).for_each(|slot| rows::push_slot(slot, &mut row));
        row.append(&mut self.added);
        rows.put(rows::log_key(self.log.end), row);
        self.log.end += 1;
    }

    /// Forgets everything, once it is packed.
    pub fn clear(&mut self, rows: &mut Overlay<'_>) {
        self.log.clone().for_each(|number| rows.delete(rows::log_key(number)));
        *self = Memory { log: self.log.end..self.log.end, ..Memory::default() };
    }

    /// Calls `visit` with every item that is wanted, also past ones if `past`.
    pub fn search(
        &self,
        window: &Window<'_>,
        past: bool,
        visit: &mut dyn FnMut(ItemRef<'_>) -> Result<(), ViewError>,
    ) -> Result<(), ViewError> {
        self.places.search(window, visit)?;
        if past { self.past.search(window, visit) } else { Ok(()) }
    }
}

/// What is left of the log: read from its end, so that only what was taken out needs to be remembered.
fn replay(batches: &[Bytes]) -> Result<Vec<Item>, ViewError> {
    let (mut left, mut gone) = (Vec::new(), HashSet::new());
    for row in batches.iter().rev() {
        let (count, mut rest) = row.split_first_chunk().ok_or(BAD)?;
        let mut removed = Vec::new();
        for _ in 0..u32::from_le_bytes(*count) {
            let (slot, after) = rows::read_slot(rest).ok_or(BAD)?;
            removed.push(slot);
            rest = after;
        }
        // The items of a version lie together.
        let (mut last, mut is_gone) = (None, false);
        for item in Items(rest) {
            let item = item?;
            if last != Some(item.slot) {
                (last, is_gone) = (Some(item.slot), gone.remove(&item.slot));
            }
            if !is_gone {
                left.push(item.to_item());
            }
        }
        if !removed.into_iter().all(|slot| gone.insert(slot)) {
            return Err(BAD);
        }
    }
    if gone.is_empty() { Ok(left) } else { Err(BAD) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn noise_never_panics(row in prop::collection::vec(any::<u8>(), 0..200), none in any::<bool>()) {
            let row = if none { [&[0; 4], &row[..]].concat() } else { row };
            if let Err(error) = replay(&[row.into()]) {
                prop_assert!(error.wants_rebuild());
            }
        }
    }
}
