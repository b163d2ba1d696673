//! Rows of which the newest of each key counts: the latest in memory and in a log of batches, all others in runs.

use super::cache::Cache;
use super::layers::{Layers, Memory};
use super::merge::{Merge, Outcome, Rewrite, unless_full};
use super::merged::Merged;
use super::pack::PageCache;
use super::page::BAD;
use super::row::Row;
use super::run::{Area, Run, Writer, load_runs, remove_others};
use crate::{ViewError, tiers};
use kappadb_store::{Overlay, Tree, prefix_range};
use std::cmp::Reverse;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Rows of the log, at most: opening reads them, and packing removes them.
const LOGGED: u64 = 4_096;
/// Rows in memory are packed when nothing else is to be done if there are more than one of so many parts of what memory may have.
const IDLE_PART: usize = 8;
/// The value of a key that has none to say.
const PRESENT: &[u8] = &[1];

/// Pages of all runs that are kept, at most: of 8 KiB each.
const CACHED: usize = 2_048;

/// Rows with values. An empty value says that there is no row.
pub struct Table {
    tree: Arc<dyn Tree>,
    area: Area,
    layers: Layers,
    pages: Arc<PageCache>,
    /// Rows of a small run.
    few: usize,
    /// Rows in memory, or in the log, before they are packed: more than else after the disk was full.
    most: usize,
    most_logged: u64,
    /// The next row of the log: what the present batch changed.
    changed: Vec<u8>,
    /// Rows of the log: their numbers are those below.
    logged: u64,
    /// The number of the next run: above all that have files.
    next: u64,
    /// The disk was full when runs were to be merged: not again before something could be packed.
    is_full: bool,
    /// Every row is to be written anew.
    rewrite: Mutex<Option<Rewrite>>,
}

/// Work in the background.
pub enum TableJob {
    /// The newest runs are made one.
    Merge(Box<Merge>),
    /// What is in memory becomes a run.
    Pack,
}

impl TableJob {
    /// Does a piece of it. True if there is more.
    pub fn work(&mut self) -> Result<bool, ViewError> {
        match self {
            TableJob::Merge(merge) => merge.work(),
            TableJob::Pack => Ok(false),
        }
    }
}

fn newest_first(runs: &mut [Run]) {
    runs.sort_unstable_by_key(|run| Reverse(run.age));
}

impl Table {
    /// Opens what lies in `tree`. With `few` rows in memory they are packed. Nobody else may have it open.
    pub fn load(tree: Arc<dyn Tree>, area: Area, few: usize) -> Result<Table, ViewError> {
        let (mut runs, next) = load_runs(&*tree, area)?;
        remove_others(&*tree, area, runs.iter().map(|run| run.number))?;
        newest_first(&mut runs);
        let pages = Arc::new(Cache::new(CACHED));
        runs.iter_mut().for_each(|run| run.share(&pages));
        let (memory, logged) = read_log(&*tree, area)?;
        let few = few.max(1);
        Ok(Table {
            tree,
            area,
            layers: Layers { memory: Arc::new(memory), runs },
            pages,
            few,
            most: few,
            most_logged: LOGGED,
            changed: Vec::new(),
            logged,
            next,
            is_full: false,
            rewrite: Mutex::default(),
        })
    }

    /// The runs that count, the newest first.
    pub fn runs(&self) -> &[Run] {
        &self.layers.runs
    }

    /// What it says now. A clone of that goes on saying so.
    pub fn read(&self) -> &Layers {
        &self.layers
    }

    /// [`Layers::range`] of what it says now.
    pub fn range(&self, from: &[u8], to: Option<&[u8]>, backwards: bool) -> Result<Merged<'_>, ViewError> {
        self.layers.range(from, to, backwards)
    }

    /// [`Layers::with_prefix`] of what it says now.
    pub fn with_prefix(&self, prefix: &[u8]) -> Result<Merged<'_>, ViewError> {
        self.layers.with_prefix(prefix)
    }

    /// Sets the value of a key, or removes it. It counts at once; [`Table::log`] writes it down.
    pub fn put(&mut self, key: &[u8], value: Option<&[u8]>) {
        let value = value.unwrap_or_default();
        push(key, &mut self.changed);
        push(value, &mut self.changed);
        Arc::make_mut(&mut self.layers.memory).replace(Row::new(key, value));
    }

    /// Adds a key that has no value.
    pub fn add(&mut self, key: &[u8]) {
        self.put(key, Some(PRESENT));
    }

    /// Writes down what the present batch changed.
    pub fn log(&mut self, rows: &mut Overlay<'_>) -> Result<(), ViewError> {
        if self.changed.is_empty() {
            return Ok(());
        }
        if (self.layers.memory.len() >= self.most || self.logged >= self.most_logged) && self.pack(rows)? {
            return Ok(());
        }
        rows.put(self.log_key(self.logged), std::mem::take(&mut self.changed));
        self.logged += 1;
        Ok(())
    }

    /// Makes a run of what is in memory. False if the disk is full: it stays there.
    fn pack(&mut self, rows: &mut Overlay<'_>) -> Result<bool, ViewError> {
        let number = self.number();
        let Some(run) = unless_full(self.write(number))? else {
            self.most = self.layers.memory.len().saturating_add(self.few);
            self.most_logged = self.logged.saturating_add(LOGGED);
            *self.rewriting() = None;
            return Ok(false);
        };
        if let Some(mut run) = run {
            run.share(&self.pages);
            run.write(self.area, rows);
            self.layers.runs.insert(0, run);
        }
        for number in 0..self.logged {
            rows.delete(self.log_key(number));
        }
        self.layers.memory = Arc::default();
        self.changed.clear();
        (self.logged, self.most, self.most_logged, self.is_full) = (0, self.few, LOGGED, false);
        Ok(true)
    }

    fn write(&self, number: u64) -> Result<Option<Run>, ViewError> {
        let is_first = self.layers.runs.is_empty();
        let mut writer = Writer::new(&*self.tree, self.area, number)?;
        for row in &*self.layers.memory {
            if !is_first || !row.value().is_empty() {
                writer.push(row.key(), row.value())?;
            }
        }
        writer.finish()
    }

    /// Has every value that is written down now written anew, as `rewrite` makes it, and what it replaced go: by the jobs that come next. It must
    /// not change what the table says. On a full disk, or if it is closed before, nothing comes of it.
    pub fn rewrite(&self, rewrite: Rewrite) {
        *self.rewriting() = Some(rewrite);
    }

    fn rewriting(&self) -> MutexGuard<'_, Option<Rewrite>> {
        self.rewrite.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is in memory is packed first, and then all is merged.
    fn due_rewriting(&mut self) -> Option<TableJob> {
        let mut rewriting = self.rewriting();
        if rewriting.is_some() && !self.layers.memory.is_empty() {
            return Some(TableJob::Pack);
        }
        let rewrite = rewriting.take()?;
        drop(rewriting);
        let origins = self.layers.runs.clone();
        if origins.is_empty() {
            return None;
        }
        let merge = Merge::new(self.tree.clone(), self.area, self.number(), origins, true);
        Some(TableJob::Merge(Box::new(merge.rewriting(rewrite))))
    }

    /// The job that is due, if any, unless one is under way.
    pub fn due(&mut self, idle: bool) -> Option<TableJob> {
        if let Some(job) = self.due_rewriting() {
            return Some(job);
        }
        let sizes: Vec<u64> = self.layers.runs.iter().map(Run::items).collect();
        let count = if self.is_full { 0 } else { tiers::newest_due(&sizes, self.few as u64, idle) };
        if let Some(newest) = self.layers.runs.get(..count).filter(|newest| !newest.is_empty()) {
            let (origins, is_last) = (newest.to_vec(), count == self.layers.runs.len());
            let merge = Merge::new(self.tree.clone(), self.area, self.number(), origins, is_last);
            return Some(TableJob::Merge(Box::new(merge)));
        }
        let is_worth_it = self.most == self.few && self.layers.memory.len() > self.few / IDLE_PART;
        (idle && is_worth_it).then_some(TableJob::Pack)
    }

    /// Puts a finished job in place.
    pub fn install(&mut self, job: TableJob, rows: &mut Overlay<'_>) -> Result<(), ViewError> {
        match job {
            TableJob::Merge(merge) => self.replace(*merge, rows),
            TableJob::Pack => drop(self.pack(rows)?),
        }
        Ok(())
    }

    fn replace(&mut self, Merge { origins, outcome, .. }: Merge, rows: &mut Overlay<'_>) {
        let merged = match outcome {
            Outcome::Run(run) => Some(run),
            Outcome::Nothing => None,
            Outcome::Full | Outcome::None => {
                self.is_full = true;
                return;
            }
        };
        origins.iter().for_each(|run| run.remove(self.area, rows));
        self.layers.runs.retain(|run| origins.iter().all(|origin| origin.number != run.number));
        if let Some(mut run) = merged {
            run.age = origins.iter().map(|run| run.age).max().unwrap_or(run.number);
            run.share(&self.pages);
            run.write(self.area, rows);
            self.layers.runs.push(run);
        }
        newest_first(&mut self.layers.runs);
    }

    /// A sentence for each run that is not as it was written, and if the log does not say what is in memory.
    pub fn audit(&self) -> Result<Vec<String>, ViewError> {
        let mut wrong = Vec::new();
        for run in &self.layers.runs {
            wrong.extend(run.audit(&*self.tree, self.area)?);
        }
        let logged = read_log(&*self.tree, self.area)?.0;
        let mut both = logged.iter().zip(&*self.layers.memory);
        if logged.len() != self.layers.memory.len() || !both.all(|(a, b)| a.is_same(b)) {
            wrong.push(
                "the log of rows that are not packed yet says something else than what is in memory"
                    .to_owned(),
            );
        }
        Ok(wrong)
    }

    fn number(&mut self) -> u64 {
        let number = self.next;
        self.next = number.saturating_add(1);
        number
    }

    fn log_key(&self, number: u64) -> Vec<u8> {
        [&self.area.log()[..], &number.to_be_bytes()].concat()
    }
}

/// What the log says, and how many rows it has.
fn read_log(tree: &dyn Tree, area: Area) -> Result<(Memory, u64), ViewError> {
    let (mut memory, mut logged) = (Memory::new(), 0_u64);
    for row in prefix_range(tree, &area.log()) {
        let (key, row) = row?;
        if key.get(3..) != Some(&logged.to_be_bytes()) {
            return Err(BAD);
        }
        logged += 1;
        let mut row = &row[..];
        while !row.is_empty() {
            let (Some(key), Some(value)) = (take(&mut row), take(&mut row)) else { return Err(BAD) };
            memory.replace(Row::new(key, value));
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
fn take<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, rest) = from.split_first_chunk()?;
    let (bytes, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*len)).ok()?)?;
    *from = rest;
    Some(bytes)
}
