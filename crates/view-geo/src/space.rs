//! The spatial index: new items in memory, older ones in packed runs. Every version's items lie in one place: all in
//! memory, or all in one run, where older copies of them may lie dead.

use crate::cache::Cache;
use crate::item::{Item, ItemRef, Slot};
use crate::memory::Memory;
use crate::rows;
use crate::run::Run;
use kappadb_core::GeoBox;
use kappadb_store::{Overlay, Tree, prefix_range};
use kappadb_view::ViewError;
use std::cmp::Reverse;

/// Pages kept in memory: 32 MiB of them.
const CACHED_PAGES: usize = 8192;
/// Runs of similar size (the memory is one) that are merged into one.
const TIER: usize = 4;
/// Items of a merged run, at most: what bounds the pause of a merge.
const MERGE_LIMIT: u64 = 300_000;

const USED_UP: ViewError = ViewError::Inconsistent("the map index has no number left for a run");
const LOST: ViewError = ViewError::Inconsistent("a box of the map index is not where it was put");

#[derive(Debug)]
pub struct Space {
    limit: usize,
    memory: Memory,
    /// In no order that matters.
    runs: Vec<Run>,
    /// The next run's id.
    next: u32,
    cache: Cache,
}

impl Space {
    /// Reads what is not packed, and of the runs just that they are there and what is dead in them.
    pub fn load(tree: &dyn Tree, limit: usize) -> Result<Self, ViewError> {
        let mut runs = Vec::new();
        for row in prefix_range(tree, &[rows::RUNS]) {
            let (key, value) = row?;
            runs.push(Run::load(tree, &key, &value)?);
        }
        let next = runs.last().map_or(Some(0), |run| run.id.checked_add(1)).ok_or(USED_UP)?;
        Ok(Space { limit, memory: Memory::load(tree)?, runs, next, cache: Cache::new(CACHED_PAGES) })
    }

    /// Items in memory.
    pub fn in_memory(&self) -> usize {
        self.memory.len()
    }

    /// The packed runs.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Adds a version's items. They are not here yet.
    pub fn insert(&mut self, slot: Slot, items: Vec<Item>, rows: &mut Overlay<'_>) {
        if !items.is_empty() {
            self.memory.insert(slot, items, rows);
        }
    }

    /// Takes a version's items out, wherever they are.
    pub fn remove(
        &mut self,
        slot: Slot,
        items: &[Item],
        tree: &dyn Tree,
        rows: &mut Overlay<'_>,
    ) -> Result<(), ViewError> {
        let Some(first) = items.first() else { return Ok(()) };
        if self.memory.remove(slot, rows) {
            return Ok(());
        }
        for run in self.runs.iter_mut().rev() {
            if run.holds(tree, &self.cache, first)? {
                run.bury(slot, rows);
                return Ok(());
            }
        }
        Err(LOST)
    }

    /// Packs the memory if it is full, and writes one run anew of which too much is dead. Called once a batch, after its last
    /// change: new pages can be read when the batch is written.
    pub fn settle(&mut self, rows: &mut Overlay<'_>) -> Result<(), ViewError> {
        if self.memory.len() >= self.limit {
            self.pack(rows)?;
        }
        // Not only when there was nothing to pack: else a run could die whole while every batch fills the memory.
        if let Some(at) = self.runs.iter().position(Run::is_stale) {
            let mut items = Vec::new();
            self.runs.swap_remove(at).unpack(rows, &mut items)?;
            self.build(items, rows)?;
        }
        Ok(())
    }

    /// Packs the memory into a run, with the smallest runs if there are enough of its size.
    fn pack(&mut self, rows: &mut Overlay<'_>) -> Result<(), ViewError> {
        let mut items = self.memory.drain(rows);
        while let Some(from) = self.mergeable(items.len() as u64) {
            for run in self.runs.split_off(from) {
                run.unpack(rows, &mut items)?;
            }
        }
        self.build(items, rows)
    }

    fn build(&mut self, items: Vec<Item>, rows: &mut Overlay<'_>) -> Result<(), ViewError> {
        if !items.is_empty() {
            // A number that was a run's since the index was opened must not be another's: its pages may be cached.
            self.runs.push(Run::build(self.next, items, rows));
            self.next = self.next.checked_add(1).ok_or(USED_UP)?;
        }
        Ok(())
    }

    /// From which run on to merge with `new` items, the smallest runs last: if [`TIER`] - 1 runs are not much larger.
    fn mergeable(&mut self, new: u64) -> Option<usize> {
        self.runs.sort_by_key(|run| Reverse((run.items(), run.id)));
        let from = self.runs.len().checked_sub(TIER - 1)?;
        let smallest = self.runs.get(from..)?;
        let total: u64 = smallest.iter().map(Run::items).sum();
        let similar = smallest.iter().all(|run| run.items() < new * TIER as u64);
        (similar && total + new <= MERGE_LIMIT.max((TIER * self.limit) as u64)).then_some(from)
    }

    /// Calls `visit` with every item that touches `bbox`.
    pub fn search(
        &self,
        tree: &dyn Tree,
        bbox: &GeoBox,
        visit: &mut dyn FnMut(ItemRef<'_>) -> Result<(), ViewError>,
    ) -> Result<(), ViewError> {
        self.memory.search(bbox, visit)?;
        self.runs.iter().try_for_each(|run| run.search(tree, &self.cache, bbox, visit))
    }

    /// Calls `visit` with every item, and looks at every page. False if the pages do not fit their items, or there are rows of
    /// runs that are not there. For a space that was just loaded, this is what the rows say.
    pub fn audit(&self, tree: &dyn Tree, visit: &mut dyn FnMut(ItemRef<'_>)) -> Result<bool, ViewError> {
        self.memory.items().for_each(|item| visit(item.borrowed()));
        let (mut fits, mut pages, mut dead) = (true, 0, 0);
        for run in &self.runs {
            fits &= run.audit(tree, visit)?;
            pages += run.pages();
            dead += run.versions().1;
        }
        Ok(fits && count(tree, rows::PAGES)? == pages && count(tree, rows::DEAD)? == dead)
    }
}

/// How many rows start with this byte.
fn count(tree: &dyn Tree, prefix: u8) -> Result<u64, ViewError> {
    let mut rows = prefix_range(tree, &[prefix]);
    Ok(rows.try_fold(0, |count, row| row.map(|_| count + 1))?)
}
