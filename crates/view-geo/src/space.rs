//! The spatial index: new items in memory, older ones in packed runs, and which of those count no more.

use crate::cache::Cache;
use crate::item::{Item, ItemRef, Slot};
use crate::memory::Memory;
use crate::rows;
use crate::run::Run;
use kappadb_core::GeoBox;
use kappadb_store::{Overlay, Tree, prefix_range};
use kappadb_view::ViewError;
use std::collections::HashMap;

/// Pages kept in memory: 32 MiB of them.
const CACHED_PAGES: usize = 8192;
/// Runs of a tier that are merged into one of the next.
const TIER: usize = 4;
/// Items above which a run is not merged any more: what bounds the pause of a merge.
const MERGE_LIMIT: u64 = 300_000;

#[derive(Debug)]
pub struct Space {
    limit: usize,
    memory: Memory,
    /// Ascending by id, which is by age.
    runs: Vec<Run>,
    /// In this run and all older ones the version's items do not count.
    dead: HashMap<Slot, u32>,
    cache: Cache,
}

const BAD_MARK: ViewError = ViewError::Inconsistent("a mark of the map index cannot be read");

impl Space {
    /// Reads what is not packed, and of the runs just that they are there.
    pub fn load(tree: &dyn Tree, limit: usize) -> Result<Self, ViewError> {
        let mut runs = Vec::new();
        for row in prefix_range(tree, &[rows::RUNS]) {
            let (key, value) = row?;
            runs.push(Run::load(&key, &value)?);
        }
        let mut dead = HashMap::new();
        for row in prefix_range(tree, &[rows::DEAD]) {
            let (key, value) = row?;
            let run = u32::from_be_bytes((&*value).try_into().map_err(|_| BAD_MARK)?);
            dead.insert(rows::slot(&key).ok_or(BAD_MARK)?, run);
        }
        Ok(Space { limit, memory: Memory::load(tree)?, runs, dead, cache: Cache::new(CACHED_PAGES) })
    }

    /// Items in memory, and in each run.
    pub fn sizes(&self) -> (usize, Vec<u64>) {
        (self.memory.len(), self.runs.iter().map(|run| run.descriptor.items).collect())
    }

    /// Adds a version's items.
    pub fn insert(&mut self, slot: Slot, items: Vec<Item>, rows: &mut Overlay<'_>) {
        if !items.is_empty() {
            self.memory.insert(slot, items, rows);
        }
    }

    /// Takes a version's items out, wherever they are.
    pub fn remove(&mut self, slot: Slot, rows: &mut Overlay<'_>) {
        if self.memory.remove(&slot, rows) {
            return;
        }
        if let Some(newest) = self.runs.last() {
            self.dead.insert(slot, newest.id);
            rows.put(rows::slot_key(rows::DEAD, slot), newest.id.to_be_bytes().to_vec());
        }
    }

    /// Packs the memory when it is full, and runs when there are enough of a tier.
    pub fn settle(&mut self, tree: &dyn Tree, rows: &mut Overlay<'_>) -> Result<(), ViewError> {
        if self.memory.len() < self.limit {
            return Ok(());
        }
        let mut items = self.memory.drain(rows);
        while let Some(from) = self.mergeable(items.len() as u64) {
            for run in self.runs.split_off(from) {
                run.each(tree, &mut |item| {
                    if self.is_alive(run.id, &item) {
                        items.push(item.to_item());
                    }
                    Ok(())
                })?;
                run.drop_rows(rows);
            }
        }
        let id = self.next_id();
        if !items.is_empty() {
            self.runs.push(Run::build(id, items, rows));
        }
        self.sweep_marks(rows);
        Ok(())
    }

    /// From which of the newest runs on to merge with `new` items: [`TIER`] - 1 runs that are not much larger.
    fn mergeable(&self, new: u64) -> Option<usize> {
        let from = self.runs.len().checked_sub(TIER - 1)?;
        let newest = self.runs.get(from..)?;
        let total: u64 = newest.iter().map(|run| run.descriptor.items).sum();
        let similar = newest.iter().all(|run| run.descriptor.items < new * TIER as u64);
        (similar && total + new <= MERGE_LIMIT.max(TIER as u64 * self.limit as u64)).then_some(from)
    }

    /// Greater than any run's that a mark speaks of, so that no old mark hides a new item.
    fn next_id(&self) -> u32 {
        let runs = self.runs.iter().map(|run| run.id).max();
        let marks = self.dead.values().copied().max();
        runs.max(marks).map_or(0, |id| id + 1)
    }

    /// Forgets the marks that speak of runs that are gone.
    fn sweep_marks(&mut self, rows: &mut Overlay<'_>) {
        let oldest = self.runs.first().map_or(u32::MAX, |run| run.id);
        self.dead.retain(|slot, up_to| {
            let needed = *up_to >= oldest;
            if !needed {
                rows.delete(rows::slot_key(rows::DEAD, *slot));
            }
            needed
        });
    }

    fn is_alive(&self, run: u32, item: &ItemRef<'_>) -> bool {
        self.dead.get(&item.slot).is_none_or(|up_to| run > *up_to)
    }

    /// Calls `visit` with every item that counts and touches `bbox`.
    pub fn search(
        &self,
        tree: &dyn Tree,
        bbox: &GeoBox,
        visit: &mut dyn FnMut(ItemRef<'_>) -> Result<(), ViewError>,
    ) -> Result<(), ViewError> {
        self.memory.search(bbox, visit)?;
        for run in &self.runs {
            let alive =
                &mut |item: ItemRef<'_>| if self.is_alive(run.id, &item) { visit(item) } else { Ok(()) };
            run.search(tree, &self.cache, bbox, alive)?;
        }
        Ok(())
    }
}
