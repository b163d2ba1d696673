//! Rows with values, of which the newest of each key counts: the latest in memory and in a log of batches, all others in runs.

use super::finder::Finder;
use super::merged::Merged;
use super::page::{BAD, Page};
use super::run::{Area, RunId, Writer};
use super::shelf::{Merge, Run, load_runs};
use super::sweep::{Leftovers, Sweep};
use crate::{ViewError, tiers};
use bytes::Bytes;
use kappadb_store::{Overlay, Tree, prefix_range};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

/// Rows of the log, at most: opening reads them, and packing removes them.
const LOGGED: u64 = 4_096;
/// Rows in memory are packed when nothing else is to be done if there are more than one of so many parts of what memory may have.
const IDLE_PART: usize = 8;

/// Rows with values. An empty value says that there is no row.
pub struct Table {
    tree: Arc<dyn Tree>,
    area: Area,
    /// Rows in memory before they are packed, and of a small run.
    few: usize,
    memory: BTreeMap<Bytes, Bytes>,
    /// What of it is in no row of the log yet.
    changed: BTreeSet<Bytes>,
    /// Rows of the log: their numbers are those below.
    logged: u64,
    /// The newest first.
    runs: Vec<Run>,
    /// The number of the next run: above all that have rows.
    next: u64,
    finder: Finder,
    leftovers: Leftovers,
}

/// Work in the background.
pub enum TableJob {
    /// The newest runs are made one.
    Merge(Merge),
    /// What is left of runs that were merged goes.
    Sweep(Sweep),
    /// What is in memory becomes a run.
    Pack,
}

impl TableJob {
    /// Does a piece of it. True if there is more.
    pub fn work(&mut self) -> Result<bool, ViewError> {
        match self {
            TableJob::Merge(merge) => merge.work(),
            TableJob::Sweep(sweep) => sweep.work(),
            TableJob::Pack => Ok(false),
        }
    }
}

fn newest_first(runs: &mut [Run]) {
    runs.sort_unstable_by_key(|run| std::cmp::Reverse(run.age));
}

fn filled(value: Bytes) -> Option<Bytes> {
    (!value.is_empty()).then_some(value)
}

impl Table {
    /// Opens what lies in `tree`. With `few` rows in memory they are packed.
    pub fn load(tree: Arc<dyn Tree>, area: Area, few: usize) -> Result<Table, ViewError> {
        let (mut runs, next) = load_runs(&*tree, area)?;
        newest_first(&mut runs);
        let leftovers = Leftovers::find(&*tree, &[(area, &runs)])?;
        let (memory, logged) = read_log(&*tree, area)?;
        let finder = Finder::new(tree.clone());
        Ok(Table {
            finder,
            tree,
            area,
            few: few.max(1),
            memory,
            changed: BTreeSet::new(),
            logged,
            runs,
            next,
            leftovers,
        })
    }

    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ViewError> {
        if let Some(value) = self.memory.get(key) {
            return Ok(filled(value.clone()));
        }
        for run in &self.runs {
            let page = self.finder.page(self.id(run.number), run, key)?;
            if let Some(value) = page.map_or(Ok(None), |page| Page::read(page)?.value(key))? {
                return Ok(filled(value));
            }
        }
        Ok(None)
    }

    /// Sets the value of a key, or removes it. It counts at once; [`Table::log`] writes it down.
    pub fn put(&mut self, key: &[u8], value: Option<Vec<u8>>) {
        let key = Bytes::copy_from_slice(key);
        self.changed.insert(key.clone());
        self.memory.insert(key, value.map(Bytes::from).unwrap_or_default());
    }

    /// Writes down what the present batch changed.
    pub fn log(&mut self, rows: &mut Overlay<'_>) -> Result<(), ViewError> {
        if self.changed.is_empty() {
            return Ok(());
        }
        if self.memory.len() >= self.few || self.logged >= LOGGED {
            return self.pack(rows);
        }
        let mut row = Vec::new();
        for key in std::mem::take(&mut self.changed) {
            push(&key, &mut row);
            push(self.memory.get(&key).map_or(&[], |value| value), &mut row);
        }
        rows.put(self.log_key(self.logged), row);
        self.logged += 1;
        Ok(())
    }

    /// Makes a run of what is in memory.
    fn pack(&mut self, rows: &mut Overlay<'_>) -> Result<(), ViewError> {
        let run = self.id(self.next);
        self.next = self.next.saturating_add(1);
        let is_first = self.runs.is_empty();
        let mut writer = Writer::new(run);
        let put = &mut |key, page| rows.put(key, page);
        for (key, value) in &self.memory {
            if !is_first || !value.is_empty() {
                writer.push(key, value, put)?;
            }
        }
        let items = writer.finish(put);
        if items > 0 {
            let run = Run::new(run.number, items);
            run.write(self.area, rows);
            self.runs.insert(0, run);
        }
        for number in 0..self.logged {
            rows.delete(self.log_key(number));
        }
        self.logged = 0;
        self.memory.clear();
        self.changed.clear();
        Ok(())
    }

    /// The rows from `from` on (included) to `to` (excluded), from either end.
    pub fn range(&self, from: &[u8], to: Option<&[u8]>, backwards: bool) -> Result<TableRows<'_>, ViewError> {
        let to = to.map(|to| to.max(from));
        let bounds = (Bound::Included(from), to.map_or(Bound::Unbounded, Bound::Excluded));
        let memory = self.memory.range::<[u8], _>(bounds);
        let memory: MemoryRows<'_> = match backwards {
            true => Box::new(memory.rev()),
            false => Box::new(memory),
        };
        let reader = |run: &Run| self.finder.read(self.id(run.number), run, from, to, backwards);
        let runs = self.runs.iter().map(reader).collect::<Result<_, _>>()?;
        let mut runs = Merged::new(runs, backwards)?;
        let has_run = runs.advance()?;
        Ok(TableRows { memory: memory.peekable(), runs, has_run })
    }

    /// True if there is no row.
    pub fn is_empty(&self) -> Result<bool, ViewError> {
        Ok(self.range(&[], None, false)?.next().transpose()?.is_none())
    }

    /// The job that is due, if any, unless one is under way.
    pub fn due(&mut self, idle: bool) -> Option<TableJob> {
        if let Some(sweep) = self.leftovers.sweep(&self.tree) {
            return Some(TableJob::Sweep(sweep));
        }
        let sizes: Vec<u64> = self.runs.iter().map(|run| run.items).collect();
        let count = tiers::newest_due(&sizes, self.few as u64, idle);
        if let Some(newest) = self.runs.get(..count).filter(|newest| !newest.is_empty()) {
            let into = self.id(self.next);
            self.next = self.next.saturating_add(1);
            let is_last = count == self.runs.len();
            return Some(TableJob::Merge(Merge::new(self.tree.clone(), into, newest, is_last)));
        }
        (idle && self.memory.len() > self.few / IDLE_PART).then_some(TableJob::Pack)
    }

    /// Puts a finished job in place.
    pub fn install(&mut self, job: TableJob, rows: &mut Overlay<'_>) -> Result<(), ViewError> {
        match job {
            TableJob::Sweep(sweep) => self.leftovers.swept(&sweep),
            TableJob::Merge(merge) => {
                self.leftovers.add(merge.origins());
                merge.install(&mut self.runs, rows);
                newest_first(&mut self.runs);
                self.finder.keep(&self.runs);
            }
            TableJob::Pack => self.pack(rows)?,
        }
        Ok(())
    }

    /// A sentence for each run that has another number of rows than it should, and if the log does not say what is in memory.
    pub fn audit(&self) -> Result<Vec<String>, ViewError> {
        let mut wrong = super::shelf::audit(&*self.tree, self.area, &self.runs)?;
        if read_log(&*self.tree, self.area)?.0 != self.memory {
            wrong.push(
                "the log of rows that are not packed yet says something else than what is in memory"
                    .to_owned(),
            );
        }
        Ok(wrong)
    }

    fn id(&self, number: u64) -> RunId {
        RunId { area: self.area, number }
    }

    fn log_key(&self, number: u64) -> Vec<u8> {
        [&self.area.log()[..], &number.to_be_bytes()].concat()
    }
}

type MemoryRows<'a> = Box<dyn Iterator<Item = (&'a Bytes, &'a Bytes)> + 'a>;

/// Rows of a table in order. After an error it ends.
pub struct TableRows<'a> {
    memory: std::iter::Peekable<MemoryRows<'a>>,
    runs: Merged<'a>,
    /// The runs stand at a row.
    has_run: bool,
}

impl TableRows<'_> {
    fn step(&mut self) -> Result<Option<(Bytes, Bytes)>, ViewError> {
        loop {
            // Where the runs stand, seen from memory.
            let order = match self.memory.peek() {
                None if !self.has_run => return Ok(None),
                None => Ordering::Less,
                Some(_) if !self.has_run => Ordering::Greater,
                Some((key, _)) => self.runs.cmp_key(key),
            };
            let of_runs = || {
                let value = Bytes::copy_from_slice(self.runs.value()?);
                Ok::<_, ViewError>((Bytes::copy_from_slice(self.runs.key()), value))
            };
            let row = if order.is_lt() { Some(of_runs()?) } else { None };
            if order.is_le() {
                self.has_run = self.runs.advance()?;
            }
            let row = row.or_else(|| self.memory.next().map(|(key, value)| (key.clone(), value.clone())));
            if let Some((key, value)) = row.filter(|(_, value)| !value.is_empty()) {
                return Ok(Some((key, value)));
            }
        }
    }
}

impl Iterator for TableRows<'_> {
    type Item = Result<(Bytes, Bytes), ViewError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.step();
        if row.is_err() {
            let none: MemoryRows<'_> = Box::new(std::iter::empty());
            (self.memory, self.has_run) = (none.peekable(), false);
        }
        row.transpose()
    }
}

/// What the log says, and how many rows it has.
fn read_log(tree: &dyn Tree, area: Area) -> Result<(BTreeMap<Bytes, Bytes>, u64), ViewError> {
    let (mut memory, mut logged) = (BTreeMap::new(), 0_u64);
    for row in prefix_range(tree, &area.log()) {
        let (key, mut row) = row?;
        if key.get(3..) != Some(&logged.to_be_bytes()) {
            return Err(BAD);
        }
        logged += 1;
        while !row.is_empty() {
            let (key, value) = (take(&mut row).ok_or(BAD)?, take(&mut row).ok_or(BAD)?);
            memory.insert(key, value);
        }
    }
    Ok((memory, logged))
}

/// Appends a length as u32 little-endian, and the bytes.
fn push(bytes: &[u8], out: &mut Vec<u8>) {
    // Headers bound what versions have.
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Takes what [`push`] wrote.
fn take(from: &mut Bytes) -> Option<Bytes> {
    let len = usize::try_from(u32::from_le_bytes(*from.first_chunk()?)).ok()?;
    let end = len.checked_add(4).filter(|end| *end <= from.len())?;
    Some(from.split_to(end).slice(4..))
}
