//! A packed run: an immutable R-tree of pages, built once from items in Hilbert order (Kamel and Faloutsos 1994).

use crate::cache::Cache;
use crate::item::{Item, ItemRef, Items};
use crate::{page, rows};
use bincode::{Decode, Encode};
use bytes::Bytes;
use kappadb_core::{Extent, GeoBox};
use kappadb_geo::hilbert;
use kappadb_store::{Overlay, Tree};
use kappadb_view::ViewError;

/// What is known of a run without reading its pages.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Descriptor {
    /// Pages of each level, leaves first; the last level has one.
    pub levels: Vec<u32>,
    /// Items in it, dead ones included.
    pub items: u64,
}

/// A run that can be searched.
#[derive(Debug, Clone)]
pub struct Run {
    pub id: u32,
    pub descriptor: Descriptor,
}

fn page_key(run: u32, level: u8, page: u32) -> Vec<u8> {
    rows::key(rows::PAGES, &[&run.to_be_bytes(), &[level], &page.to_be_bytes()])
}

fn descriptor_key(run: u32) -> Vec<u8> {
    rows::key(rows::RUNS, &[&run.to_be_bytes()])
}

const MISSING: ViewError = ViewError::Inconsistent("a page of the map index is missing");

impl Run {
    /// Packs `items`, which are not empty, into run `id`.
    pub fn build(id: u32, mut items: Vec<Item>, rows: &mut Overlay<'_>) -> Run {
        items.sort_by_cached_key(|item| (hilbert(&Extent::from(item.bbox)), item.slot, item.past));
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
        let run = Run { id, descriptor: Descriptor { levels, items: items.len() as u64 } };
        rows.put(descriptor_key(id), kappadb_core::codec::encode(&run.descriptor));
        run
    }

    /// The run of a descriptor row.
    pub fn load(key: &[u8], row: &[u8]) -> Result<Run, ViewError> {
        let id = key.get(1..).and_then(|id| id.try_into().ok()).map(u32::from_be_bytes);
        let id = id.ok_or(ViewError::Inconsistent("a run of the map index has a bad key"))?;
        Ok(Run { id, descriptor: kappadb_core::codec::decode::<Descriptor, 4096>("map run", row)? })
    }

    /// Removes all rows of the run.
    pub fn drop_rows(&self, rows: &mut Overlay<'_>) {
        rows.delete(descriptor_key(self.id));
        for (pages, level) in self.descriptor.levels.iter().zip(0..) {
            (0..*pages).for_each(|page| rows.delete(page_key(self.id, level, page)));
        }
    }

    /// Calls `visit` with every item that touches `bbox`.
    pub fn search(
        &self,
        tree: &dyn Tree,
        cache: &Cache,
        bbox: &GeoBox,
        visit: &mut dyn FnMut(ItemRef<'_>) -> Result<(), ViewError>,
    ) -> Result<(), ViewError> {
        let top = self.descriptor.levels.len().saturating_sub(1);
        let mut open: Vec<(usize, u32)> = vec![(top, 0)];
        while let Some((level, number)) = open.pop() {
            let page = self.page(tree, cache, level, number)?;
            let Some(below) = level.checked_sub(1) else {
                visit_leaf(&page, bbox, visit)?;
                continue;
            };
            let first = number.saturating_mul(page::FANOUT);
            let children = page::boxes(&page).zip(first..).filter(|(b, _)| b.intersects(bbox));
            open.extend(children.map(|(_, child)| (below, child)));
        }
        Ok(())
    }

    /// Every item, dead ones included, leaf by leaf.
    pub fn each(
        &self,
        tree: &dyn Tree,
        visit: &mut dyn FnMut(ItemRef<'_>) -> Result<(), ViewError>,
    ) -> Result<(), ViewError> {
        for number in 0..self.descriptor.levels.first().copied().unwrap_or(0) {
            let page = tree.get(&page_key(self.id, 0, number))?.ok_or(MISSING)?;
            Items(&page).try_for_each(|item| visit(item?))?;
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
    bbox: &GeoBox,
    visit: &mut dyn FnMut(ItemRef<'_>) -> Result<(), ViewError>,
) -> Result<(), ViewError> {
    for item in Items(page) {
        let item = item?;
        if item.bbox.intersects(bbox) {
            visit(item)?;
        }
    }
    Ok(())
}
