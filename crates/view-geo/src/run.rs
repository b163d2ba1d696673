//! A packed run: an immutable R-tree of pages, built once from items in Hilbert order (Kamel and Faloutsos 1994), and
//! which of its items count no more.

use crate::cache::Cache;
use crate::item::{Item, ItemRef, Items, Slot};
use crate::{page, rows};
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

impl Run {
    /// Packs `items`, which are not empty, into run `id`.
    pub fn build(id: u32, mut items: Vec<Item>, rows: &mut Overlay<'_>) -> Run {
        items.sort_by_cached_key(|item| (hilbert(&Extent::from(item.bbox)), item.slot, item.flags));
        let mut levels = Vec::new();
        let mut pages = page::leaves(&items);
        loop {
            let level = u8::try_from(levels.len()).unwrap_or(u8::MAX);
            let above = page::inner(&pages);
            levels.push(u32::try_from(pages.len()).unwrap_or(u32::MAX));
            let last = pages.len() <= 1;
            for (page, number) in pages.into_iter().zip(0..) {
                rows.put(page_key(id, level, number), page.bytes);
            }
            if last {
                break;
            }
            pages = above;
        }
        let versions = items.iter().map(|item| item.slot).collect::<HashSet<_>>().len() as u64;
        let descriptor = Descriptor { levels, items: items.len() as u64, versions };
        rows.put(descriptor_key(id), codec::encode(&descriptor));
        Run { id, descriptor, dead: HashSet::new() }
    }

    /// The run of a descriptor row. Reads no page.
    pub fn load(tree: &dyn Tree, key: &[u8], row: &[u8]) -> Result<Run, ViewError> {
        let id = key.get(1..).and_then(|id| id.try_into().ok()).map(u32::from_be_bytes).ok_or(BAD_KEY)?;
        let descriptor = codec::decode::<Descriptor, 4096>("map run", row)?;
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
        for number in 0..self.descriptor.levels.first().copied().unwrap_or(0) {
            let page = rows.get(&page_key(self.id, 0, number))?.ok_or(MISSING)?;
            for item in Items(&page) {
                let item = item?;
                if !self.dead.contains(&item.slot) {
                    items.push(item.to_item());
                }
            }
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
