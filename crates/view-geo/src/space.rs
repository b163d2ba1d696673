//! The spatial index: new items in memory, older ones in packed runs. Every version's items lie in one place: all in
//! memory, or all in one run, where older copies of them may lie dead.

use crate::cache::Cache;
use crate::item::{Item, ItemRef, Slot};
use crate::memory::Memory;
use crate::merge::{Merge, Merged, Origin};
use crate::packed::{Source, Stream, Window};
use crate::page::Builder;
use crate::rows;
use crate::run::{self, Cached, Descriptor, Run, Which};
use crate::sorted::Sorted;
use crate::sweep::{Sweep, leftovers};
use kappadb_core::codec;
use kappadb_store::{Overlay, Tree, prefix_range};
use kappadb_view::{ViewError, tiers};
use std::sync::Arc;

/// Pages kept in memory: 64 MiB of them.
const CACHED_PAGES: usize = 16_384;

/// Pieces in which as much is merged as the memory holds: some 10 ms each.
const PIECES: usize = 4;

const USED_UP: ViewError = ViewError::Inconsistent("the map index has no number left for a run");
const LOST: ViewError = ViewError::Inconsistent("a box of the map index is not where it was put");
const GONE: ViewError = ViewError::Inconsistent("a run of the map index is gone that was being merged");

#[derive(Debug)]
pub struct Space {
    limit: usize,
    memory: Memory,
    /// In no order that matters.
    runs: Vec<Run>,
    /// The next run's id.
    next: u32,
    /// Ids of runs of which nothing is left but rows that nobody reads.
    leftovers: Vec<u32>,
    cache: Cache,
}

impl Space {
    /// Reads what is not packed, and of the runs just that they are there and what is dead in them.
    pub fn load(tree: &dyn Tree, limit: usize) -> Result<Self, ViewError> {
        let runs = prefix_range(tree, &[rows::RUNS]).map(|row| {
            let (key, value) = row?;
            Run::load(tree, &key, &value)
        });
        let runs = runs.collect::<Result<Vec<Run>, ViewError>>()?;
        let leftovers = leftovers(tree, &runs.iter().map(|run| run.id).collect())?;
        let last = runs.iter().map(|run| run.id).chain(leftovers.iter().copied()).max();
        let next = last.map_or(Some(0), |last| last.checked_add(1)).ok_or(USED_UP)?;
        let (memory, cache) = (Memory::load(tree)?, Cache::new(CACHED_PAGES));
        Ok(Space { limit, memory, runs, next, leftovers, cache })
    }

    /// Items in memory.
    pub fn in_memory(&self) -> usize {
        self.memory.len()
    }

    /// The packed runs.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Adds an item of a version that is not here yet.
    pub fn insert(&mut self, item: Item) {
        self.memory.insert(item);
    }

    /// Takes a version's items out, wherever they are.
    pub fn remove(&mut self, slot: Slot, items: &[Item], tree: &dyn Tree) -> Result<(), ViewError> {
        let Some(first) = items.first() else { return Ok(()) };
        if self.memory.remove(slot, items)? {
            return Ok(());
        }
        for run in self.runs.iter_mut().rev() {
            if run.holds(tree, &self.cache, first)? {
                run.bury((slot, u8::try_from(items.len()).unwrap_or(u8::MAX)));
                return Ok(());
            }
        }
        Err(LOST)
    }

    /// Writes down what the present batch did, and packs the memory if it is full. Called once a batch, after its last change:
    /// new pages can be read when the batch is written.
    pub fn settle(&mut self, rows: &mut Overlay<'_>) -> Result<(), ViewError> {
        self.runs.iter_mut().for_each(|run| run.mark(rows));
        if self.memory.len() >= self.limit {
            self.pack(rows)?;
        }
        self.memory.log(rows);
        Ok(())
    }

    fn pack(&mut self, rows: &mut Overlay<'_>) -> Result<(), ViewError> {
        // A number that was a run's since the index was opened must not be another's: its pages may be cached.
        let id = self.next;
        self.next = id.checked_add(1).ok_or(USED_UP)?;
        let mut tree = |which, sorted: &Sorted| {
            let sink = &mut |level, number, page: Vec<u8>| {
                rows.put(run::page_key(id, which, level, number), page);
                Ok(())
            };
            let mut builder = Builder::default();
            sorted.iter().try_for_each(|(rank, item)| builder.push(&item.borrowed(), rank, sink))?;
            builder.finish(sink)
        };
        let places = tree(Which::Places, &self.memory.places)?;
        let past = tree(Which::Past, &self.memory.past)?;
        self.memory.clear(rows);
        self.add(Run::new(id, Descriptor { places, past }), rows);
        Ok(())
    }

    fn add(&mut self, run: Run, rows: &mut Overlay<'_>) {
        rows.put(run::descriptor_key(run.id), codec::encode(&run.descriptor));
        self.runs.push(run);
    }

    /// What is left of a run and should be swept, if anything.
    pub fn sweep(&mut self, tree: &Arc<dyn Tree>) -> Option<Sweep> {
        self.leftovers.last().map(|run| Sweep::new(tree.clone(), *run))
    }

    /// The merge that is due, if any.
    pub fn merge(&mut self, tree: &Arc<dyn Tree>, idle: bool) -> Option<Merge> {
        let due = due(&self.runs, self.limit, idle);
        let origin =
            |run: &Run| Origin { run: run.id, descriptor: run.descriptor.clone(), marks: run.marks() };
        let origins: Vec<Origin> = self.runs.iter().filter(|run| due.contains(&run.id)).map(origin).collect();
        if origins.is_empty() {
            return None;
        }
        let id = self.next;
        self.next = id.checked_add(1)?;
        Some(Merge::new(tree.clone(), id, origins, self.limit.div_ceil(PIECES)))
    }

    /// Puts a merged run in the place of those that it was merged from.
    pub fn install(
        &mut self,
        merged: Merged,
        tree: &dyn Tree,
        rows: &mut Overlay<'_>,
    ) -> Result<(), ViewError> {
        let mut run = Run::new(merged.id, merged.descriptor);
        for origin in merged.origins {
            let at = self.runs.iter().position(|run| run.id == origin.run).ok_or(GONE)?;
            let old = self.runs.swap_remove(at);
            // What died meanwhile was copied while it lived.
            let died = run::marks(tree, old.id, origin.marks..old.marks())?;
            died.into_iter().for_each(|mark| run.bury(mark));
            rows.delete(run::descriptor_key(old.id));
            self.leftovers.push(old.id);
        }
        if run.items() > 0 {
            run.mark(rows);
            self.add(run, rows);
        }
        Ok(())
    }

    /// Nothing is left of a run.
    pub fn swept(&mut self, run: u32) {
        self.leftovers.retain(|left| *left != run);
    }

    /// Calls `visit` with every item that is wanted, also past ones if `past`.
    pub fn search(
        &self,
        tree: &dyn Tree,
        window: &Window<'_>,
        past: bool,
        visit: &mut dyn FnMut(ItemRef<'_>) -> Result<(), ViewError>,
    ) -> Result<(), ViewError> {
        self.memory.search(window, past, visit)?;
        let which = if past { &Which::BOTH[..] } else { &[Which::Places] };
        let pairs = self.runs.iter().flat_map(|run| which.iter().map(move |which| (run, *which)));
        pairs.into_iter().try_for_each(|(run, which)| run.search(which, (tree, &self.cache), window, visit))
    }

    /// The places that are wanted, in order, from each part of the index.
    pub fn ordered<'a>(
        &'a self,
        tree: &'a dyn Tree,
        window: &Window<'a>,
    ) -> Result<Vec<Box<dyn Source + 'a>>, ViewError> {
        let mut sources: Vec<Box<dyn Source + 'a>> = vec![Box::new(self.memory.places.source(window))];
        for run in &self.runs {
            let pages = run.cached(Which::Places, tree, &self.cache);
            let mut reading =
                Reading { stream: Stream::new(&run.descriptor.places), run, pages, window: *window };
            reading.advance()?;
            sources.push(Box::new(reading));
        }
        Ok(sources)
    }

    /// Calls `visit` with every item, and looks at every page. False if the pages do not fit their items, or there are rows too
    /// many. For a space that was just loaded, this is what the rows say.
    pub fn audit(&self, tree: &dyn Tree, visit: &mut dyn FnMut(ItemRef<'_>)) -> Result<bool, ViewError> {
        let Memory { places, past, .. } = &self.memory;
        places.iter().chain(past.iter()).for_each(|(_, item)| visit(item.borrowed()));
        self.runs.iter().try_fold(true, |fits, run| Ok(run.audit(tree, visit)? && fits))
    }
}

/// A run's places, read in order.
struct Reading<'a> {
    stream: Stream,
    run: &'a Run,
    pages: Cached<'a>,
    window: Window<'a>,
}

impl Source for Reading<'_> {
    fn head(&self) -> Option<(crate::rank::Rank, ItemRef<'_>)> {
        self.stream.head()
    }

    fn advance(&mut self) -> Result<(), ViewError> {
        self.stream.advance(&self.run.packed(Which::Places, &self.pages), &self.window)
    }
}

/// The runs to be merged next; one alone, if too much of it is dead.
fn due(runs: &[Run], limit: usize, idle: bool) -> Vec<u32> {
    if let Some(stale) = runs.iter().find(|run| run.is_stale()) {
        return vec![stale.id];
    }
    let sizes: Vec<(u64, u32)> = runs.iter().map(|run| (run.items(), run.id)).collect();
    tiers::due(&sizes, limit as u64, idle)
}
