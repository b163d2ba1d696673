//! Runs: files of rows that belong together, and which of them count.

use super::cursor::Cursor;
use super::pack::{Pack, PackWriter, PageCache};
use super::page::BAD;
use crate::ViewError;
use kappadb_store::{Batch, FileId, Overlay, Tree, prefix_range};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The second byte of rows: that a run counts.
const RUNS: u8 = 1;
/// The numbers of a feed's entries that were withdrawn.
pub(super) const WITHDRAWN: u8 = 2;
/// What a batch changed that is in no run yet.
const LOG: u8 = 3;

/// Runs that belong together: rows of one sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Area {
    /// What all of its keys begin with: a byte of the view.
    pub prefix: u8,
    /// What sort of rows it has, among those under this byte.
    pub sort: u8,
}

impl Area {
    /// The row that says that a run counts.
    fn descriptor(self, number: u64) -> Vec<u8> {
        [&[self.prefix, RUNS, self.sort], &number.to_be_bytes()[..]].concat()
    }

    /// What the rows of its log begin with.
    pub(super) fn log(self) -> [u8; 3] {
        [self.prefix, LOG, self.sort]
    }

    /// The file of a run.
    pub fn file(self, number: u64) -> FileId {
        FileId { group: u16::from_be_bytes([self.prefix, self.sort]), number }
    }
}

/// A run that counts.
#[derive(Debug, Clone)]
pub struct Run {
    /// Its number among those of its area.
    pub number: u64,
    /// The number of the newest run that it was made of, or its own.
    pub age: u64,
    /// What is in it.
    pub pack: Arc<Pack>,
    check: u64,
}

impl Run {
    /// Rows in it.
    pub fn items(&self) -> u64 {
        self.pack.rows()
    }

    /// Keeps its pages beside those of the other runs of a table.
    pub(super) fn share(&mut self, pages: &Arc<PageCache>) {
        // Nobody else has it yet.
        if let Some(pack) = Arc::get_mut(&mut self.pack) {
            pack.share(self.number, pages);
        }
    }

    /// Rows from `from` on (included) to `to` (excluded).
    pub fn range(&self, from: &[u8], to: Option<&[u8]>, backwards: bool) -> Result<Cursor, ViewError> {
        Cursor::new(&self.pack, from, to, backwards)
    }

    /// A sentence if it is not on the disk as it was written.
    pub fn audit(&self, tree: &dyn Tree, area: Area) -> Result<Option<String>, ViewError> {
        let read = || {
            let again = Arc::new(open(tree, area, self.number, self.check)?);
            again.read_filter()?;
            let (mut rows, mut count) = (Cursor::new(&again, &[], None, false)?, 0_u64);
            while rows.advance()? {
                count += 1;
            }
            Ok(count)
        };
        let (number, items) = (self.number, self.items());
        match read() {
            Ok(count) if count == items => Ok(None),
            Ok(count) => Ok(Some(format!("run {number} has {count} rows, and should have {items}"))),
            Err(ViewError::Inconsistent(_)) => Ok(Some(format!("run {number} is missing or cannot be read"))),
            Err(error) => Err(error),
        }
    }

    /// Says that it counts.
    pub fn write(&self, area: Area, rows: &mut Overlay<'_>) {
        let numbers = [self.items(), self.age, self.check].map(u64::to_le_bytes);
        rows.put(area.descriptor(self.number), numbers.concat());
    }

    /// Says that it counts no more.
    pub fn remove(&self, area: Area, rows: &mut Overlay<'_>) {
        rows.delete(area.descriptor(self.number));
        rows.remove_file(area.file(self.number));
    }

    fn load(tree: &dyn Tree, area: Area, key: &[u8], row: &[u8]) -> Result<Run, ViewError> {
        let number_at = |at| row.get(at..)?.first_chunk().copied().map(u64::from_le_bytes);
        let number = key.get(3..).and_then(|number| number.try_into().ok()).map(u64::from_be_bytes);
        let (Some(number), Some(items), Some(age), Some(check)) =
            (number, number_at(0), number_at(8), number_at(16))
        else {
            return Err(BAD);
        };
        let run = Run { number, age, pack: Arc::new(open(tree, area, number, check)?), check };
        if run.items() == items { Ok(run) } else { Err(BAD) }
    }
}

fn open(tree: &dyn Tree, area: Area, number: u64, check: u64) -> Result<Pack, ViewError> {
    match tree.open_file(area.file(number))? {
        Some(file) => Pack::open(file, check),
        None => Err(BAD),
    }
}

/// The runs of an area that count, and the next free number.
pub fn load_runs(tree: &dyn Tree, area: Area) -> Result<(Vec<Run>, u64), ViewError> {
    let mut runs = Vec::new();
    for row in prefix_range(tree, &[area.prefix, RUNS, area.sort]) {
        let (key, row) = row?;
        runs.push(Run::load(tree, area, &key, &row)?);
    }
    let written = tree.files(area.file(0).group)?.last().copied();
    let last = runs.iter().map(|run: &Run| run.number).chain(written).max();
    Ok((runs, last.map_or(0, |last| last.saturating_add(1))))
}

/// Removes the files of an area that are of none of the runs with these numbers: what was merged into others before a crash, and what was never
/// finished. Nobody may be writing one.
pub fn remove_others(
    tree: &dyn Tree,
    area: Area,
    runs: impl IntoIterator<Item = u64>,
) -> Result<(), ViewError> {
    let runs: BTreeSet<u64> = runs.into_iter().collect();
    let mut batch = Batch::new();
    for number in tree.files(area.file(0).group)? {
        if !runs.contains(&number) {
            batch.remove_file(area.file(number));
        }
    }
    if batch.is_empty() { Ok(()) } else { Ok(tree.apply(&batch)?) }
}

/// Writes a run, in order.
pub struct Writer {
    number: u64,
    pack: PackWriter,
}

impl Writer {
    /// Begins its file.
    pub fn new(tree: &dyn Tree, area: Area, number: u64) -> Result<Writer, ViewError> {
        Ok(Writer { number, pack: PackWriter::new(tree.new_file(area.file(number))?) })
    }

    /// Adds a row; its key is above all that were added.
    ///
    /// # Errors
    /// As [`PackWriter::push`].
    pub fn push(&mut self, key: &[u8], value: &[u8]) -> Result<(), ViewError> {
        self.pack.push(key, value)
    }

    /// Ends it. It counts once [`Run::write`] says so. None if it has no rows.
    pub fn finish(self) -> Result<Option<Run>, ViewError> {
        let finished = self.pack.finish()?;
        Ok(finished.map(|(pack, check)| Run {
            number: self.number,
            age: self.number,
            pack: Arc::new(pack),
            check,
        }))
    }
}
