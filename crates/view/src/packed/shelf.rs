//! A set of keys in runs: what a batch adds is a run of its own, small ones are merged at once, large ones in the background.

use super::finder::Finder;
use super::merged::Merged;
use super::page::BAD;
use super::run::{Area, Reader, RunId, Writer, number_of};
use crate::{ViewError, tiers};
use kappadb_store::{Batch, Overlay, Tree, prefix_range};
use std::cmp::Reverse;
use std::ops::Bound;
use std::sync::Arc;

/// Rows copied in one piece of a merge.
const PIECE: usize = 32_768;

/// A run that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Its number among those of its area.
    pub number: u64,
    /// Rows in it.
    pub items: u64,
    /// The number of the newest run that it was made of, or its own.
    pub age: u64,
}

impl Run {
    /// One that was made of no others, or whose age is of no matter.
    pub const fn new(number: u64, items: u64) -> Run {
        Run { number, items, age: number }
    }

    /// Says that it counts.
    pub(super) fn write(&self, area: Area, rows: &mut Overlay<'_>) {
        let descriptor = RunId { area, number: self.number }.descriptor();
        rows.put(descriptor.to_vec(), [self.items.to_le_bytes(), self.age.to_le_bytes()].concat());
    }
}

/// Runs of one area. Keys have no values.
pub struct Shelf {
    tree: Arc<dyn Tree>,
    area: Area,
    /// Rows of a run that is merged in the background only.
    few: u64,
    runs: Vec<Run>,
    /// The number of the next run: above all that have rows.
    next: u64,
    /// Runs that are being merged.
    busy: Vec<u64>,
    finder: Finder,
}

/// The runs of an area that count, and the next free number.
pub fn load_runs(tree: &dyn Tree, area: Area) -> Result<(Vec<Run>, u64), ViewError> {
    let mut runs = Vec::new();
    for row in prefix_range(tree, &area.descriptors()) {
        let (key, value) = row?;
        let number_at = |at| value.get(at..)?.first_chunk().copied().map(u64::from_le_bytes);
        let (Some(number), Some(items)) = (number_of(&key), number_at(0)) else { return Err(BAD) };
        runs.push(Run { number, items, age: number_at(8).unwrap_or(number) });
    }
    let written = last_written(tree, area)?;
    let next = runs.iter().map(|run| run.number).chain(written).max();
    Ok((runs, next.map_or(0, |last| last.saturating_add(1))))
}

fn last_written(tree: &dyn Tree, area: Area) -> Result<Option<u64>, ViewError> {
    let (first, end) = area.pages();
    let row = tree.range(Bound::Included(&first), Bound::Excluded(&end)).next_back().transpose()?;
    Ok(row.and_then(|(key, _)| number_of(&key)))
}

impl Shelf {
    /// Opens what lies in `tree`. From `few` rows on a run is merged in the background only.
    pub fn load(tree: Arc<dyn Tree>, area: Area, few: u64) -> Result<Shelf, ViewError> {
        let (runs, next) = load_runs(&*tree, area)?;
        let finder = Finder::new(tree.clone());
        Ok(Shelf { tree, area, few, runs, next, busy: Vec::new(), finder })
    }

    fn id(&self, number: u64) -> RunId {
        RunId { area: self.area, number }
    }

    /// The runs that count, in no order.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Rows from `from` on (included) to `to` (excluded).
    pub fn range(&self, from: &[u8], to: Option<&[u8]>, backwards: bool) -> Result<Merged<'_>, ViewError> {
        let reader = |run: &Run| self.finder.read(self.id(run.number), run, from, to, backwards);
        Merged::new(self.runs.iter().map(reader).collect::<Result<_, _>>()?, backwards)
    }

    /// Rows that begin so, ascending.
    pub fn with_prefix(&self, prefix: &[u8]) -> Result<Merged<'_>, ViewError> {
        self.range(prefix, after(prefix).as_deref(), false)
    }

    /// A sentence for each run that has another number of rows than it should.
    pub fn audit(&self) -> Result<Vec<String>, ViewError> {
        audit(&*self.tree, self.area, &self.runs)
    }

    /// Adds keys, in any order. Each is copied at once as often as it takes for its run to become large by doubling.
    pub fn add(&mut self, mut keys: Vec<Vec<u8>>, rows: &mut Overlay<'_>) -> Result<(), ViewError> {
        if keys.is_empty() {
            return Ok(());
        }
        self.absorb(&mut keys, rows)?;
        keys.sort_unstable();
        keys.dedup();
        let id = self.id(self.next);
        self.next = self.next.saturating_add(1);
        let mut writer = Writer::new(id);
        let put = &mut |key, page| rows.put(key, page);
        keys.iter().try_for_each(|key| writer.push(key, &[], put))?;
        let run = Run::new(id.number, writer.finish(put));
        run.write(self.area, rows);
        self.runs.push(run);
        Ok(())
    }

    /// Takes small runs in, as long as they are no larger than what there is.
    fn absorb(&mut self, keys: &mut Vec<Vec<u8>>, rows: &mut Overlay<'_>) -> Result<(), ViewError> {
        let mut small: Vec<Run> =
            self.runs.iter().copied().filter(|run| !self.busy.contains(&run.number)).collect();
        small.sort_unstable_by_key(|run| run.items);
        for run in small {
            let len = keys.len() as u64;
            if run.items > len || len + run.items > self.few {
                break;
            }
            self.take(self.id(run.number), keys, rows)?;
            self.remove(run.number, rows);
        }
        Ok(())
    }

    /// Takes the rows out of a run.
    fn take(&self, id: RunId, keys: &mut Vec<Vec<u8>>, rows: &mut Overlay<'_>) -> Result<(), ViewError> {
        let mut reader = Reader::new(&*self.tree, id, &[], None, false)?;
        while reader.advance()? {
            keys.push(reader.key().to_vec());
        }
        for row in prefix_range(&*self.tree, &id.pages()) {
            rows.delete(row?.0);
        }
        Ok(())
    }

    fn remove(&mut self, number: u64, rows: &mut Overlay<'_>) {
        self.runs.retain(|run| run.number != number);
        self.finder.keep(&self.runs);
        rows.delete(self.id(number).descriptor().to_vec());
    }

    /// The merge that is due, if any.
    pub fn due(&mut self, idle: bool) -> Option<Merge> {
        let sizes: Vec<(u64, u64)> = self.runs.iter().map(|run| (run.items, run.number)).collect();
        let origins = tiers::due(&sizes, self.few, idle);
        if origins.is_empty() {
            return None;
        }
        let runs: Vec<Run> = self.runs.iter().filter(|run| origins.contains(&run.number)).copied().collect();
        let merge = Merge::new(self.tree.clone(), self.id(self.next), &runs, false);
        (self.busy, self.next) = (origins, self.next.saturating_add(1));
        Some(merge)
    }

    /// Puts a finished merge in the place of what it was made from, whose pages are swept later.
    pub fn install(&mut self, merge: Merge, rows: &mut Overlay<'_>) {
        merge.install(&mut self.runs, rows);
        self.finder.keep(&self.runs);
        self.busy.clear();
    }
}

/// One more than every key that begins so; none if there is no such key.
pub fn after(prefix: &[u8]) -> Option<Vec<u8>> {
    let kept = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let (last, front) = prefix.get(..=kept)?.split_last()?;
    Some([front, &[last + 1]].concat())
}

/// A sentence for each run that has another number of rows than it should.
pub(super) fn audit(tree: &dyn Tree, area: Area, runs: &[Run]) -> Result<Vec<String>, ViewError> {
    let mut wrong = Vec::new();
    for Run { number, items, .. } in runs {
        let (mut reader, mut rows) =
            (Reader::new(tree, RunId { area, number: *number }, &[], None, false)?, 0);
        while reader.advance()? {
            rows += 1;
        }
        if rows != *items {
            wrong.push(format!("run {number} has {rows} rows, and should have {items}"));
        }
    }
    Ok(wrong)
}

/// A merge under way: it reads what never changes and writes pages that nobody reads yet.
pub struct Merge {
    tree: Arc<dyn Tree>,
    into: RunId,
    /// The newest first.
    origins: Vec<Run>,
    /// Rows without a value say that there is none, and nothing older is left.
    drops_empty: bool,
    /// The last key copied.
    at: Vec<u8>,
    writer: Writer,
    items: u64,
}

impl Merge {
    /// Of runs, into one with a number of its own. Of rows with one key the newest run's is kept; if `drops_empty`, only if it has a value.
    pub(super) fn new(tree: Arc<dyn Tree>, into: RunId, origins: &[Run], drops_empty: bool) -> Merge {
        let mut origins = origins.to_vec();
        origins.sort_unstable_by_key(|run| Reverse(run.age));
        Merge { tree, into, origins, drops_empty, at: Vec::new(), writer: Writer::new(into), items: 0 }
    }

    /// What it is made from, and is to be swept once it is installed.
    pub fn origins(&self) -> impl Iterator<Item = RunId> + '_ {
        self.origins.iter().map(|run| RunId { number: run.number, ..self.into })
    }

    /// Copies some rows. True if there are more.
    pub fn work(&mut self) -> Result<bool, ViewError> {
        let tree = self.tree.clone();
        let reader = |run: RunId| Reader::new(&*tree, run, &self.at, None, false);
        let mut merged = Merged::new(self.origins().map(reader).collect::<Result<_, _>>()?, false)?;
        let (mut batch, mut more, begun) = (Batch::new(), true, !self.at.is_empty());
        let put = &mut |key: Vec<u8>, page: Vec<u8>| batch.put(key, page);
        for _ in 0..PIECE {
            more = merged.advance()?;
            if !more {
                self.items = self.writer.finish(put);
                break;
            }
            if begun && merged.key() == self.at {
                continue;
            }
            let value = merged.value()?;
            if !self.drops_empty || !value.is_empty() {
                self.writer.push(merged.key(), value, put)?;
            }
            self.at.clear();
            self.at.extend_from_slice(merged.key());
        }
        self.tree.apply(&batch)?;
        Ok(more)
    }

    /// Puts the new run in the place of those that it was made from.
    pub(super) fn install(self, runs: &mut Vec<Run>, rows: &mut Overlay<'_>) {
        self.origins().for_each(|run| rows.delete(run.descriptor().to_vec()));
        runs.retain(|run| self.origins.iter().all(|origin| origin.number != run.number));
        let newest = self.origins.first().map_or(self.into.number, |run| run.age);
        let run = Run { number: self.into.number, items: self.items, age: newest };
        if run.items > 0 {
            run.write(self.into.area, rows);
            runs.push(run);
        }
    }
}
