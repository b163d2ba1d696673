//! Reading blocks: from location row to journal record to block.

use crate::ReadError;
use crate::cache::Cache;
use crate::rows::{self, Came, Location};
use crate::runs::Runs;
use crate::state::{FeedState, run};
use bytes::Bytes;
use kappadb_core::{Form, Lseq, RangeSet, Seq, StoredBlock};
use kappadb_journal::{Located, Position, Reader, Record};
use kappadb_store::Tree;
use std::ops::{Bound, Range};
use std::sync::{Arc, Mutex, PoisonError};

/// The durable blocks of all feeds.
pub(crate) struct Blocks {
    pub tree: Arc<dyn Tree>,
    pub reader: Reader,
    cache: Mutex<Cache>,
}

/// A run of blocks found in a record.
pub(crate) struct Run {
    pub seqs: Range<Seq>,
    pub skip: u64,
    pub record: Arc<Located>,
}

/// What lies in the record in which a block was found.
pub(crate) struct Around<'a>(&'a Run);

impl Blocks {
    pub fn new(tree: Arc<dyn Tree>, reader: Reader) -> Self {
        Blocks { tree, reader, cache: Mutex::default() }
    }

    /// Forgets what was read: the next read goes to the disk.
    pub fn forget(&self) {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The record at `at`.
    pub fn record(&self, at: Position) -> Result<Arc<Located>, ReadError> {
        let cached = self.cache.lock().unwrap_or_else(PoisonError::into_inner).get(at);
        if let Some(located) = cached {
            return Ok(located);
        }
        let located = Arc::new(self.reader.read(at)?);
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).insert(&located);
        Ok(located)
    }

    /// Tells `visit` of each block of `ranges` that lies here, ascending, until it says false.
    pub fn read(
        &self,
        number: u32,
        ranges: &RangeSet,
        visit: &mut dyn FnMut(Seq, &StoredBlock) -> bool,
    ) -> Result<(), ReadError> {
        self.read_around(number, ranges, &mut |seq, block, _| visit(seq, block))
    }

    /// The same, with what lies around the block.
    pub fn read_around(
        &self,
        number: u32,
        ranges: &RangeSet,
        visit: &mut dyn FnMut(Seq, &StoredBlock, &Around<'_>) -> bool,
    ) -> Result<(), ReadError> {
        let mut runs = Runs::new(self, number);
        for range in ranges.ranges() {
            let mut seq = range.start;
            while seq < range.end {
                let Some(run) = runs.next(seq, range.end)? else { break };
                let end = run.seqs.end.min(range.end);
                for seq in run.seqs.start.max(seq)..end {
                    let at = run.record.at;
                    if !visit(seq, run.block(seq).ok_or(ReadError::Misplaced(at))?, &Around(run)) {
                        return Ok(());
                    }
                }
                // An empty run, which only a damaged row makes, must not hold us up.
                seq = end.max(seq + 1);
            }
        }
        Ok(())
    }

    /// All blocks of `ranges` that lie here.
    pub fn collect(&self, number: u32, ranges: &RangeSet) -> Result<Vec<(Seq, StoredBlock)>, ReadError> {
        let mut found = Vec::new();
        self.read(number, ranges, &mut |seq, block| {
            found.push((seq, block.clone()));
            true
        })?;
        Ok(found)
    }

    /// A block, as it came, in the form in which it is held now: its payload may have been cleared since, or lie elsewhere.
    pub fn as_held(
        &self,
        state: &FeedState,
        seq: Seq,
        block: &StoredBlock,
    ) -> Result<StoredBlock, ReadError> {
        let filled = block.form == Form::Cleared && state.held.contains(seq) && !state.cleared.contains(seq);
        let found = if filled { self.collect(state.number, &run(seq..seq + 1))?.pop() } else { None };
        Ok(found.map_or_else(|| state.as_held(seq, block), |(_, block)| block))
    }

    /// Of `ranges`, what lies here and not in the record at `at`.
    pub fn elsewhere(&self, number: u32, ranges: &RangeSet, at: Position) -> Result<RangeSet, ReadError> {
        let mut elsewhere = RangeSet::new();
        for range in ranges.ranges() {
            let [zero, first, end] = [0, range.start, range.end].map(|seq| rows::location_key(number, seq));
            let before = self.tree.range(Bound::Included(&zero), Bound::Included(&first)).next_back();
            let within = self.tree.range(Bound::Excluded(&first), Bound::Excluded(&end));
            for row in before.into_iter().chain(within) {
                let (seqs, location) = run_of(&row?)?;
                if location.at != at {
                    elsewhere.insert(seqs);
                }
            }
        }
        Ok(elsewhere.intersection(ranges))
    }

    /// Records with visible blocks that reach beyond `from` and begin before `end`, in the order of arrival.
    pub fn records_from(
        &self,
        from: Lseq,
        end: Lseq,
    ) -> Result<impl Iterator<Item = Result<Arc<Located>, ReadError>> + '_, ReadError> {
        let (zero, here, last) = (rows::arrival_key(0), rows::arrival_key(from), rows::arrival_key(end));
        // The record that `from` lies in begins at or before it.
        let before =
            self.tree.range(Bound::Included(&zero), Bound::Included(&here)).next_back().transpose()?;
        let start = before.map_or(here, |(key, _)| key.to_vec());
        let rows = self.tree.range(Bound::Included(&start), Bound::Excluded(&last));
        Ok(rows.map(|row| self.record(rows::decode::<Came>(&row?.1)?.at)))
    }
}

impl Run {
    fn block(&self, seq: Seq) -> Option<&StoredBlock> {
        self.slice(&(seq..seq.checked_add(1)?))?.first()
    }

    fn slice(&self, seqs: &Range<Seq>) -> Option<&[StoredBlock]> {
        let blocks = match &self.record.record {
            Record::Blocks { blocks, .. }
            | Record::Fetched { blocks, .. }
            | Record::Filled { blocks, .. } => blocks,
            _ => return None,
        };
        let at = |seq: Seq| usize::try_from(seq.checked_sub(self.seqs.start)?.checked_add(self.skip)?).ok();
        blocks.get(at(seqs.start)?..at(seqs.end)?)
    }
}

impl Around<'_> {
    /// Where the record is.
    pub fn at(&self) -> Position {
        self.0.record.at
    }

    /// These blocks, if all of them lie in the same run.
    pub fn run(&self, seqs: &Range<Seq>) -> Option<&[StoredBlock]> {
        let within = self.0.seqs.start <= seqs.start && seqs.end <= self.0.seqs.end;
        if within { self.0.slice(seqs) } else { None }
    }
}

/// The blocks that a row of places is about, and where they lie.
pub(crate) fn run_of((key, value): &(Bytes, Bytes)) -> Result<(Range<Seq>, Location), ReadError> {
    let first = rows::number_at_end(key).unwrap_or_default();
    let location: Location = rows::decode(value)?;
    Ok((first..first.saturating_add(location.count), location))
}
