//! A packed run: an immutable R-tree of pages, built once from items in Hilbert order (Kamel and Faloutsos 1994), and
//! which of its items count no more.

use crate::cache::Cache;
use crate::item::{Item, ItemRef, Items, Slot};
use crate::page::{self, FANOUT, MAX_LEAF_ITEMS, Packed};
use crate::rows;
use bincode::{Decode, Encode};
use bytes::Bytes;
use kappadb_core::{Extent, GeoBox, codec};
use kappadb_geo::hilbert;
use kappadb_store::{Overlay, Tree, prefix_range};
use kappadb_view::ViewError;
use std::collections::HashSet;
use std::ops::ControlFlow;

/// What is known of a run without reading its pages.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Descriptor {
    /// Pages of each level, leaves first; the last level has one.
    pub levels: Vec<u32>,
    /// Items in it, dead ones included.
    pub items: u64,
    /// Versions that these are of.
    pub versions: u64,
}

impl Descriptor {
    fn new(levels: &[Vec<Packed>], versions: &HashSet<Slot>, items: usize) -> Descriptor {
        let pages = |level: &Vec<Packed>| u32::try_from(level.len()).unwrap_or(u32::MAX);
        let levels = levels.iter().map(pages).collect();
        Descriptor { levels, items: items as u64, versions: versions.len() as u64 }
    }

    /// True if pages of that number can lie above each other like this, and hold that many items.
    fn is_possible(&self) -> bool {
        let tapers = self.levels.is_sorted_by(|below, above| *below > 1 && below.div_ceil(FANOUT) == *above);
        let leaves = u64::from(self.levels.first().copied().unwrap_or(0));
        let items = leaves..=leaves * MAX_LEAF_ITEMS;
        tapers && self.levels.last() == Some(&1) && items.contains(&self.items) && self.versions <= self.items
    }
}

/// A run that can be searched.
#[derive(Debug)]
pub struct Run {
    /// Never used twice while the index is open: cached pages are known by it.
    pub id: u32,
    descriptor: Descriptor,
    /// Versions whose items in this run count no more.
    dead: HashSet<Slot>,
}

/// Called with an item; says whether to go on.
type Visit<'a> = &'a mut dyn FnMut(ItemRef<'_>) -> Result<ControlFlow<()>, ViewError>;

fn page_key(run: u32, level: u8, page: u32) -> Vec<u8> {
    rows::key(rows::PAGES, &[&run.to_be_bytes(), &[level], &page.to_be_bytes()])
}

fn descriptor_key(run: u32) -> Vec<u8> {
    rows::key(rows::RUNS, &[&run.to_be_bytes()])
}

const MISSING: ViewError = ViewError::Inconsistent("a page of the map index is missing");
const MISFIT: ViewError = ViewError::Inconsistent("a page of the map index does not fit its level");
const BAD_KEY: ViewError = ViewError::Inconsistent("a run of the map index has a bad key");
const IMPOSSIBLE: ViewError = ViewError::Inconsistent("a run of the map index has an impossible form");
const LACKING: ViewError = ViewError::Inconsistent("a run of the map index lacks boxes, or has too many");

impl Run {
    /// Packs `items`, which are not empty, into run `id`.
    pub fn build(id: u32, mut items: Vec<Item>, rows: &mut Overlay<'_>) -> Run {
        items.sort_by_cached_key(|item| (hilbert(&Extent::from(item.bbox)), item.slot, item.flags));
        let levels = page::levels(page::leaves(&items));
        let descriptor = Descriptor::new(&levels, &items.iter().map(|item| item.slot).collect(), items.len());
        for (pages, level) in levels.into_iter().zip(0..) {
            for (page, number) in pages.into_iter().zip(0..) {
                rows.put(page_key(id, level, number), page.bytes);
            }
        }
        rows.put(descriptor_key(id), codec::encode(&descriptor));
        Run { id, descriptor, dead: HashSet::new() }
    }

    /// The run of a descriptor row. Reads no page.
    pub fn load(tree: &dyn Tree, key: &[u8], row: &[u8]) -> Result<Run, ViewError> {
        let id = key.get(1..).and_then(|id| id.try_into().ok()).map(u32::from_be_bytes).ok_or(BAD_KEY)?;
        let descriptor = codec::decode::<Descriptor, 4096>("map run", row)?;
        if !descriptor.is_possible() {
            return Err(IMPOSSIBLE);
        }
        let mut dead = HashSet::new();
        for row in prefix_range(tree, &rows::key(rows::DEAD, &[&id.to_be_bytes()])) {
            dead.insert(rows::slot(&row?.0, 17)?);
        }
        Ok(Run { id, descriptor, dead })
    }

    /// Items in it, dead ones included.
    pub fn items(&self) -> u64 {
        self.descriptor.items
    }

    /// Its pages.
    pub fn pages(&self) -> u64 {
        self.descriptor.levels.iter().copied().map(u64::from).sum()
    }

    /// Its leaf pages.
    fn leaves(&self) -> u32 {
        self.descriptor.levels.first().copied().unwrap_or(0)
    }

    /// Versions in it, and how many of them count no more.
    pub fn versions(&self) -> (u64, u64) {
        (self.descriptor.versions, self.dead.len() as u64)
    }

    /// True if more than a quarter of it counts no more.
    pub fn is_stale(&self) -> bool {
        let (all, dead) = self.versions();
        dead > all / 4
    }

    /// From now on the items of this version count no more.
    pub fn bury(&mut self, slot: Slot, rows: &mut Overlay<'_>) {
        self.dead.insert(slot);
        rows.put(rows::dead_key(self.id, slot), Vec::new());
    }

    /// Takes the run apart: appends its items that count to `items`, and removes all its rows.
    pub fn unpack(self, rows: &mut Overlay<'_>, items: &mut Vec<Item>) -> Result<(), ViewError> {
        let mut seen = 0;
        for number in 0..self.leaves() {
            let page = rows.get(&page_key(self.id, 0, number))?.ok_or(MISSING)?;
            for item in Items(&page) {
                let item = item?;
                seen += 1;
                if !self.dead.contains(&item.slot) {
                    items.push(item.to_item());
                }
            }
        }
        if seen != self.items() {
            return Err(LACKING);
        }
        for (pages, level) in self.descriptor.levels.iter().zip(0..) {
            (0..*pages).for_each(|page| rows.delete(page_key(self.id, level, page)));
        }
        self.dead.iter().for_each(|slot| rows.delete(rows::dead_key(self.id, *slot)));
        rows.delete(descriptor_key(self.id));
        Ok(())
    }

    /// Calls `visit` with every item that counts and touches `bbox`.
    pub fn search(
        &self,
        tree: &dyn Tree,
        cache: &Cache,
        bbox: &GeoBox,
        visit: &mut dyn FnMut(ItemRef<'_>) -> Result<(), ViewError>,
    ) -> Result<(), ViewError> {
        self.walk(tree, cache, &|b| b.intersects(bbox), &mut |item| {
            if !self.dead.contains(&item.slot) {
                visit(item)?;
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    /// Reads every leaf from its row, calls `visit` with every item that counts, and packs the pages above once more. False
    /// if these, or what is known of the run, are not what the items call for.
    pub fn audit(&self, tree: &dyn Tree, visit: &mut dyn FnMut(ItemRef<'_>)) -> Result<bool, ViewError> {
        let (mut leaves, mut items, mut versions) = (Vec::new(), 0, HashSet::new());
        for number in 0..self.leaves() {
            let page = tree.get(&page_key(self.id, 0, number))?.ok_or(MISSING)?;
            let mut around: Option<GeoBox> = None;
            for item in Items(&page) {
                let item = item?;
                items += 1;
                versions.insert(item.slot);
                around = Some(around.map_or(item.bbox, |b| b.hull(&item.bbox)));
                if !self.dead.contains(&item.slot) {
                    visit(item);
                }
            }
            leaves.push(Packed { bytes: Vec::new(), bbox: around.ok_or(LACKING)? });
        }
        let levels = page::levels(leaves);
        for (pages, level) in levels.iter().zip(0..).skip(1) {
            for (page, number) in pages.iter().zip(0..) {
                if tree.get(&page_key(self.id, level, number))?.is_none_or(|row| row != page.bytes) {
                    return Ok(false);
                }
            }
        }
        let fits = Descriptor::new(&levels, &versions, items) == self.descriptor;
        Ok(fits && self.dead.is_subset(&versions))
    }

    /// True if `item` lies here and counts. Enters only pages that contain its box: for a large box these are few.
    pub fn holds(&self, tree: &dyn Tree, cache: &Cache, item: &Item) -> Result<bool, ViewError> {
        if self.dead.contains(&item.slot) {
            return Ok(false);
        }
        let mut found = false;
        self.walk(tree, cache, &|b| b.contains(&item.bbox), &mut |other| {
            found = other == item.borrowed();
            Ok(if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(found)
    }

    /// Top-down through pages and items whose boxes `enter` accepts.
    fn walk(
        &self,
        tree: &dyn Tree,
        cache: &Cache,
        enter: &dyn Fn(&GeoBox) -> bool,
        visit: Visit<'_>,
    ) -> Result<(), ViewError> {
        let levels = &self.descriptor.levels;
        let mut open: Vec<(usize, u32)> = vec![(levels.len().saturating_sub(1), 0)];
        while let Some((level, number)) = open.pop() {
            let page = self.page(tree, cache, level, number)?;
            let Some(below) = level.checked_sub(1) else {
                if visit_leaf(&page, enter, visit)?.is_break() {
                    return Ok(());
                }
                continue;
            };
            let width = levels.get(below).copied().unwrap_or(0);
            let children = page::children(&page, number, width).ok_or(MISFIT)?;
            open.extend(children.filter(|(b, _)| enter(b)).map(|(_, child)| (below, child)));
        }
        Ok(())
    }

    fn page(&self, tree: &dyn Tree, cache: &Cache, level: usize, number: u32) -> Result<Bytes, ViewError> {
        let level = u8::try_from(level).map_err(|_| MISSING)?;
        cache.get((self.id, level, number), || tree.get(&page_key(self.id, level, number))?.ok_or(MISSING))
    }
}

fn visit_leaf(
    page: &[u8],
    enter: &dyn Fn(&GeoBox) -> bool,
    visit: Visit<'_>,
) -> Result<ControlFlow<()>, ViewError> {
    for item in Items(page) {
        let item = item?;
        if enter(&item.bbox) && visit(item)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kappadb_store::{MemoryStore, Store};

    fn descriptor(levels: &[u32], items: u64, versions: u64) -> Descriptor {
        Descriptor { levels: levels.to_vec(), items, versions }
    }

    #[test]
    fn what_no_items_give_is_refused() {
        let possible = [
            descriptor(&[1], 1, 1),
            descriptor(&[1], MAX_LEAF_ITEMS, 7),
            descriptor(&[128, 1], 128, 128),
            descriptor(&[129, 2, 1], 1_000, 1_000),
        ];
        let impossible = [
            descriptor(&[], 0, 0),
            descriptor(&[0], 0, 0),
            descriptor(&[2], 2, 2),
            descriptor(&[1, 1], 1, 1),
            descriptor(&[1], MAX_LEAF_ITEMS + 1, 1),
            descriptor(&[128, 1], 127, 127),
            descriptor(&[1], 1, 2),
            descriptor(&[129, 1], 1_000, 1_000),
            descriptor(&[128, u32::MAX, 1], 1_000, 1_000), // to remove it would be to remove so many rows
            descriptor(&[1], u64::MAX, 1),                 // adding up would overflow
        ];
        let tree = MemoryStore::new().tree("map").unwrap();
        let load = |d: &Descriptor| Run::load(&*tree, &descriptor_key(7), &codec::encode(d));
        possible.iter().for_each(|d| assert!(load(d).is_ok(), "{d:?}"));
        impossible.iter().for_each(|d| assert!(load(d).is_err_and(|e| e.wants_rebuild()), "{d:?}"));
    }

    /// Ids are as short and as long as they can be, so pages have as many items as they can and as few.
    #[test]
    fn what_is_packed_is_possible() {
        let tree = MemoryStore::new().tree("map").unwrap();
        for (count, key) in [(1, 1), (137, 0), (138, 0), (20_000, 1), (2_000, 255)] {
            let bbox = GeoBox { west: 0, south: 0, east: 0, north: 0 };
            let item = |seq| Item { bbox, slot: (0, seq), flags: 0, key: vec![b'k'; key].into() };
            let mut rows = Overlay::new(&*tree);
            let run = Run::build(7, (0..count).map(item).collect(), &mut rows);
            assert!(run.descriptor.is_possible(), "{:?}", run.descriptor);
            let row = rows.get(&descriptor_key(7)).unwrap().unwrap();
            assert_eq!(Run::load(&*tree, &descriptor_key(7), &row).unwrap().descriptor, run.descriptor);
        }
    }
}
