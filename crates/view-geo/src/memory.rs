//! The items that are not packed yet: an R*-tree in memory, with a row for each version.

use crate::item::{Item, ItemRef, Items, Slot};
use crate::rows;
use kappadb_core::GeoBox;
use kappadb_store::{Overlay, Tree, prefix_range};
use kappadb_view::ViewError;
use rstar::{AABB, RTree, RTreeObject};
use std::collections::HashMap;

/// Doubles hold every coordinate exactly, and areas of them do not overflow.
type Envelope = AABB<[f64; 2]>;

fn envelope(b: &GeoBox) -> Envelope {
    AABB::from_corners([b.west.into(), b.south.into()], [b.east.into(), b.north.into()])
}

impl RTreeObject for Item {
    type Envelope = Envelope;
    fn envelope(&self) -> Envelope {
        envelope(&self.bbox)
    }
}

#[derive(Debug, Default)]
pub struct Memory {
    tree: RTree<Item>,
    slots: HashMap<Slot, Vec<Item>>,
}

impl Memory {
    pub fn load(tree: &dyn Tree) -> Result<Self, ViewError> {
        let (mut all, mut slots) = (Vec::new(), HashMap::new());
        for row in prefix_range(tree, &[rows::MEMORY]) {
            let (key, value) = row?;
            let slot = rows::slot(&key, 13)?;
            let items =
                Items(&value).map(|item| Ok(item?.to_item())).collect::<Result<Vec<_>, ViewError>>()?;
            if items.iter().any(|item| item.slot != slot) {
                return Err(ViewError::Inconsistent("a row of the map's memory is about another entry"));
            }
            all.extend(items.iter().cloned());
            slots.insert(slot, items);
        }
        Ok(Memory { tree: RTree::bulk_load(all), slots })
    }

    pub fn len(&self) -> usize {
        self.tree.size()
    }

    pub fn insert(&mut self, slot: Slot, items: Vec<Item>, rows: &mut Overlay<'_>) {
        let mut row = Vec::with_capacity(items.len() * 48);
        for item in &items {
            item.encode(&mut row);
            self.tree.insert(item.clone());
        }
        rows.put(rows::slot_key(rows::MEMORY, slot), row);
        self.slots.insert(slot, items);
    }

    /// Takes a version out; false if it is not here.
    pub fn remove(&mut self, slot: Slot, rows: &mut Overlay<'_>) -> bool {
        let Some(items) = self.slots.remove(&slot) else { return false };
        items.iter().for_each(|item| drop(self.tree.remove(item)));
        rows.delete(rows::slot_key(rows::MEMORY, slot));
        true
    }

    /// Takes everything out.
    pub fn drain(&mut self, rows: &mut Overlay<'_>) -> Vec<Item> {
        self.slots.keys().for_each(|slot| rows.delete(rows::slot_key(rows::MEMORY, *slot)));
        self.tree = RTree::new();
        std::mem::take(&mut self.slots).into_values().flatten().collect()
    }

    pub fn items(&self) -> impl Iterator<Item = &Item> {
        self.tree.iter()
    }

    pub fn search<E>(
        &self,
        bbox: &GeoBox,
        visit: &mut dyn FnMut(ItemRef<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.tree.locate_in_envelope_intersecting(envelope(bbox)).try_for_each(|item| visit(item.borrowed()))
    }
}
