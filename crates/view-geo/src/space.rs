//! The spatial index: new items in memory, older ones in packed runs. Every version's items lie in one place: all in
//! memory, or all in one run, where older copies of them may lie dead.

use crate::item::{Item, ItemRef, Slot};
use crate::memory::Memory;
use crate::merge::{Merge, Merged, Origin, Outcome};
use crate::packed::{Source, Stream, Window};
use crate::page::Builder;
use crate::run::{self, AREA, Cache, Cached, Descriptor, Run, RunWriter, Which};
use crate::sorted::Sorted;
use kappadb_store::{Overlay, Tree};
use kappadb_view::packed::{load_runs, remove_others, unless_full};
use kappadb_view::{ViewError, tiers};
use std::sync::Arc;

/// Pages kept in memory: 64 MiB of them.
const CACHED_PAGES: usize = 16_384;

/// Pieces in which as much is merged as the memory holds: some 10 ms each.
const PIECES: usize = 4;

const LOST: ViewError = ViewError::Inconsistent("a box of the map index is not where it was put");
const GONE: ViewError = ViewError::Inconsistent("a run of the map index is gone that was being merged");

#[derive(Debug)]
pub struct Space {
    /// Items of a small run.
    limit: usize,
    /// Items in memory before they are packed: more than else after the disk was full.
    most: usize,
    memory: Memory,
    /// In no order that matters.
    runs: Vec<Run>,
    /// The next run's number. What was a run's since the index was opened must not be another's: its pages may be cached.
    next: u64,
    /// The disk was full when runs were to be merged: not again before something could be packed.
    is_full: bool,
    cache: Cache,
}

impl Space {
    /// Reads what is not packed, and of the runs what is in them and what is dead there. Nobody else may have it open.
    pub fn open(tree: &dyn Tree, limit: usize) -> Result<Self, ViewError> {
        let space = Space::load(tree, limit)?;
        remove_others(tree, AREA, space.runs.iter().map(Run::number))?;
        Ok(space)
    }

    /// The same, to look at what is there only.
    pub fn load(tree: &dyn Tree, limit: usize) -> Result<Self, ViewError> {
        let (runs, next) = load_runs(tree, AREA)?;
        let runs =
            runs.into_iter().map(|run| Run::load(tree, run)).collect::<Result<Vec<Run>, ViewError>>()?;
        let (memory, cache) = (Memory::load(tree)?, Cache::new(CACHED_PAGES));
        Ok(Space { limit, most: limit, memory, runs, next, is_full: false, cache })
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
    pub fn remove(&mut self, slot: Slot, items: &[Item]) -> Result<(), ViewError> {
        let Some(first) = items.first() else { return Ok(()) };
        if self.memory.remove(slot, items)? {
            return Ok(());
        }
        for run in self.runs.iter_mut().rev() {
            if run.holds(&self.cache, first)? {
                run.bury((slot, u8::try_from(items.len()).unwrap_or(u8::MAX)));
                return Ok(());
            }
        }
        Err(LOST)
    }

    /// Writes down what the present batch did, and packs the memory if it is full. Called once a batch, after its last change.
    pub fn settle(&mut self, tree: &dyn Tree, rows: &mut Overlay<'_>) -> Result<(), ViewError> {
        self.runs.iter_mut().for_each(|run| run.mark(rows));
        if self.memory.len() >= self.most {
            self.pack(tree, rows)?;
        }
        self.memory.log(rows);
        Ok(())
    }

    fn pack(&mut self, tree: &dyn Tree, rows: &mut Overlay<'_>) -> Result<(), ViewError> {
        let number = self.number();
        let Some(run) = unless_full(self.write(tree, number))? else {
            self.most = self.memory.len().saturating_add(self.limit);
            return Ok(());
        };
        self.memory.clear(rows);
        (self.most, self.is_full) = (self.limit, false);
        run.into_iter().for_each(|run| self.add(run, rows));
        Ok(())
    }

    fn write(&self, tree: &dyn Tree, number: u64) -> Result<Option<Run>, ViewError> {
        let mut writer = RunWriter::new(tree, number)?;
        let mut pages = |which, sorted: &Sorted| {
            let sink = &mut |level, number, page: Vec<u8>| writer.put(which, level, number, page);
            let mut builder = Builder::default();
            sorted.iter().try_for_each(|(rank, item)| builder.push(&item.borrowed(), rank, sink))?;
            let shape = builder.finish(sink)?;
            writer.end_tree().map(|()| shape)
        };
        let places = pages(Which::Places, &self.memory.places)?;
        let past = pages(Which::Past, &self.memory.past)?;
        writer.finish(Descriptor { places, past })
    }

    fn number(&mut self) -> u64 {
        let number = self.next;
        self.next = number.saturating_add(1);
        number
    }

    fn add(&mut self, run: Run, rows: &mut Overlay<'_>) {
        run.packed.write(AREA, rows);
        self.runs.push(run);
    }

    /// The merge that is due, if any.
    pub fn merge(&mut self, tree: &Arc<dyn Tree>, idle: bool) -> Option<Merge> {
        let due = if self.is_full { Vec::new() } else { due(&self.runs, self.limit, idle) };
        let origin = |run: &Run| Origin {
            packed: run.packed.clone(),
            descriptor: run.descriptor.clone(),
            marks: run.marks(),
        };
        let origins: Vec<Origin> =
            self.runs.iter().filter(|run| due.contains(&run.number())).map(origin).collect();
        if origins.is_empty() {
            return None;
        }
        let number = self.number();
        Some(Merge::new(tree.clone(), number, origins, self.limit.div_ceil(PIECES)))
    }

    /// Puts a merged run in the place of those that it was merged from.
    pub fn install(
        &mut self,
        merged: Merged,
        tree: &dyn Tree,
        rows: &mut Overlay<'_>,
    ) -> Result<(), ViewError> {
        let mut run = match merged.outcome {
            Outcome::Run(run) => Some(run),
            Outcome::Nothing => None,
            Outcome::Full => {
                self.is_full = true;
                return Ok(());
            }
        };
        for origin in merged.origins {
            let number = origin.packed.number;
            let at = self.runs.iter().position(|run| run.number() == number).ok_or(GONE)?;
            let old = self.runs.swap_remove(at);
            // What died meanwhile was copied while it lived.
            let died = run::marks(tree, number, origin.marks..old.marks())?;
            run.iter_mut().for_each(|run| died.iter().for_each(|mark| run.bury(*mark)));
            old.remove(rows);
        }
        if let Some(mut run) = run {
            run.mark(rows);
            self.add(run, rows);
        }
        Ok(())
    }

    /// Calls `visit` with every item that is wanted, also past ones if `past`.
    pub fn search(
        &self,
        window: &Window<'_>,
        past: bool,
        visit: &mut dyn FnMut(ItemRef<'_>) -> Result<(), ViewError>,
    ) -> Result<(), ViewError> {
        self.memory.search(window, past, visit)?;
        let which = if past { &Which::BOTH[..] } else { &[Which::Places] };
        let pairs = self.runs.iter().flat_map(|run| which.iter().map(move |which| (run, *which)));
        pairs.into_iter().try_for_each(|(run, which)| run.search(which, &self.cache, window, visit))
    }

    /// The places that are wanted, in order, from each part of the index.
    pub fn ordered<'a>(&'a self, window: &Window<'a>) -> Result<Vec<Box<dyn Source + 'a>>, ViewError> {
        let mut sources: Vec<Box<dyn Source + 'a>> = vec![Box::new(self.memory.places.source(window))];
        for run in &self.runs {
            let pages = run.cached(Which::Places, &self.cache);
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
        self.stream.advance(&self.run.tree(Which::Places, &self.pages), &self.window)
    }
}

/// The runs to be merged next; one alone, if too much of it is dead.
fn due(runs: &[Run], limit: usize, idle: bool) -> Vec<u64> {
    if let Some(stale) = runs.iter().find(|run| run.is_stale()) {
        return vec![stale.number()];
    }
    let sizes: Vec<(u64, u64)> = runs.iter().map(|run| (run.items(), run.number())).collect();
    tiers::due(&sizes, limit as u64, idle)
}
