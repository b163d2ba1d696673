//! Giving the disk back: segments of the journal are written anew without the payloads that were cleared and the blocks of
//! feeds that were dropped, and small neighbours become one.
//!
//! One segment after the other is rewritten while others read and append; if something goes from the last one, another is begun first.
//! Only when a new file takes the place of old ones nobody reads: the file's name and the rows that say where
//! records lie change together. A crash between the two leaves rows that speak of another layout of the journal than it
//! has; the next opening makes them anew.

use crate::blocks::Blocks;
use crate::feeds::Shared;
use crate::index::Index;
use crate::rows::{self, Came, Forgotten, Location};
use crate::state::{FeedState, run};
use crate::writer::Writer;
use crate::{CommitError, CompactError, Compacted, ReadError};
use kappadb_core::{FeedKey, Lseq, RangeSet, Seq, StoredBlock, codec};
use kappadb_journal::{Journal, Located, Position, Reader, Record, Rewrite, RewriteError};
use kappadb_store::StoreError;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

/// Bytes for which a segment is written anew though nothing is in it that should go: a page of the disk.
const LEAST_GAIN: u64 = 4096;

/// Where a record with blocks lay.
struct Place {
    at: Position,
    first_lseq: Lseq,
    feed: FeedKey,
    ranges: RangeSet,
    gone: bool,
}

/// What is known of all feeds when a segment is rewritten.
struct Picture<'a> {
    feeds: BTreeMap<FeedKey, Arc<FeedState>>,
    forgotten: BTreeMap<FeedKey, Forgotten>,
    blocks: &'a Blocks,
    places: Vec<Place>,
    /// Something goes that must not stay on the disk.
    changed: bool,
    failed: Option<ReadError>,
}

pub(crate) fn compact(
    shared: &Shared,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Compacted, CompactError> {
    let _one = shared.compacting.lock().unwrap_or_else(PoisonError::into_inner);
    let (reader, (before, files_before)) = shared.write(Writer::begin_compaction)?;
    let mut compaction = Compaction { shared, reader, lacking: 0, full: None };
    compaction.run(progress)?;
    let (after, files_after) = size(shared.writer().journal()?);
    match compaction.full {
        Some(error) if after >= before && files_after >= files_before => Err(error),
        _ => Ok(Compacted { before, after, files_before, files_after, lacking: compaction.lacking }),
    }
}

fn size(journal: &Journal) -> (u64, u64) {
    (journal.disk_bytes(), journal.files())
}

/// A compaction under way.
struct Compaction<'a> {
    shared: &'a Shared,
    reader: Reader,
    /// How many segments stay as they are for want of room, and how that was said.
    lacking: u64,
    full: Option<CompactError>,
}

impl Compaction<'_> {
    fn run(&mut self, progress: &mut dyn FnMut(u64, u64)) -> Result<(), CompactError> {
        // The last segment can be written anew once another follows it.
        if self.is_worth_it(self.reader.durable().segment)? {
            self.unless_full(1, self.shared.write(Writer::begin_segment))?;
        }
        let segments = self.shared.writer().journal()?.sealed();
        self.shorten(segments, progress)?;
        let groups = self.shared.writer().journal()?.joinable();
        groups.iter().try_for_each(|group| self.join(group))
    }

    /// The smallest first: what one gives back may be the room that the next one needs.
    fn shorten(
        &mut self,
        mut segments: Vec<(u32, u64)>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), CompactError> {
        let total = segments.len() as u64;
        segments.sort_unstable_by_key(|(segment, bytes)| (*bytes, *segment));
        while !segments.is_empty() {
            let (mut lacking, mut full) = (Vec::new(), None);
            for (n, (segment, bytes)) in (total - segments.len() as u64..).zip(segments.clone()) {
                progress(n, total);
                match self.is_worth_it(segment).and_then(|worth_it| self.write_anew_if(worth_it, segment)) {
                    Err(error) if error.is_full() => {
                        lacking.push((segment, bytes));
                        full = Some(error);
                    }
                    done => done?,
                }
            }
            match full {
                Some(error) if lacking.len() == segments.len() => {
                    return self.unless_full(lacking.len() as u64, Err(error));
                }
                _ => segments = lacking,
            }
        }
        progress(total, total);
        Ok(())
    }

    fn write_anew_if(&self, worth_it: bool, segment: u32) -> Result<(), CompactError> {
        if worth_it { self.write_anew(&[segment]) } else { Ok(()) }
    }

    /// Looked through first: where nothing goes, nothing is written, and no room is needed. A damaged segment stays as it is.
    fn is_worth_it(&self, segment: u32) -> Result<bool, CompactError> {
        let mut picture = Picture::of(self.shared);
        let gain = self.reader.gain(segment, &mut |located| picture.keep(located));
        if let Some(error) = picture.failed {
            return Err(error.into());
        }
        match gain {
            Err(RewriteError::Damaged(at)) => {
                tracing::warn!(%at, "a damaged part of the journal is not compacted");
                Ok(false)
            }
            gain => Ok(gain? >= LEAST_GAIN || picture.changed),
        }
    }

    /// Makes one segment of neighbours. Those on the two sides of damage stay apart.
    fn join(&mut self, group: &[u32]) -> Result<(), CompactError> {
        if group.len() < 2 {
            return Ok(());
        }
        match self.write_anew(group) {
            Err(CompactError::Rewrite(RewriteError::Damaged(at))) => {
                let split = group.iter().position(|segment| *segment == at.segment).unwrap_or_default();
                self.join(group.get(..split).unwrap_or_default())?;
                self.join(group.get(split.max(1)..).unwrap_or_default())
            }
            done => self.unless_full(group.len() as u64, done),
        }
    }

    fn unless_full(
        &mut self,
        segments: u64,
        done: Result<(), impl Into<CompactError>>,
    ) -> Result<(), CompactError> {
        match done.map_err(Into::into) {
            Err(error) if error.is_full() => {
                self.lacking += segments;
                self.full = Some(error);
                Ok(())
            }
            done => done,
        }
    }

    /// Puts one segment in the place of these, without what is not needed.
    fn write_anew(&self, segments: &[u32]) -> Result<(), CompactError> {
        let mut picture = Picture::of(self.shared);
        let rewritten = self.reader.rewrite(segments, &mut |located| picture.keep(located));
        if let Some(error) = picture.failed {
            return Err(error.into());
        }
        let rewrite = rewritten?;
        let layout = self.shared.layout.write().unwrap_or_else(PoisonError::into_inner);
        self.shared.write(|writer| writer.switch(rewrite, &picture.places))?;
        drop(layout);
        // A crash from here on finds file and rows in step. Without room for that the next opening makes the rows anew.
        match self.shared.store.flush() {
            Ok(()) | Err(StoreError::DiskFull { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl<'a> Picture<'a> {
    fn of(shared: &'a Shared) -> Picture<'a> {
        let (feeds, forgotten) = shared.look(|visible| (visible.feeds.clone(), visible.forgotten.clone()));
        Picture { feeds, forgotten, blocks: &shared.blocks, places: Vec::new(), changed: false, failed: None }
    }
}

impl Picture<'_> {
    fn keep(&mut self, located: Located) -> Option<Record> {
        let Located { at, first_lseq, record, .. } = located;
        match record {
            Record::Blocks { feed, first, blocks } => {
                let ranges = run(first..first.saturating_add(blocks.len() as u64));
                match self.note(at, first_lseq, feed, &ranges) {
                    true => Some(Record::Gone { feed, blocks: blocks.len() as u64 }),
                    false => {
                        Some(Record::Blocks { feed, first, blocks: self.as_held(at, &feed, &ranges, blocks) })
                    }
                }
            }
            Record::Fetched { feed, head, ranges, nodes, blocks } => {
                match self.note(at, first_lseq, feed, &ranges) {
                    // That none are left would say something else.
                    true if blocks.is_empty() => None,
                    true => Some(Record::Gone { feed, blocks: blocks.len() as u64 }),
                    false => {
                        let blocks = self.as_held(at, &feed, &ranges, blocks);
                        Some(Record::Fetched { feed, head, ranges, nodes, blocks })
                    }
                }
            }
            Record::Filled { feed, ranges, blocks } => match self.note(at, first_lseq, feed, &ranges) {
                true => None,
                false => {
                    let blocks = self.as_held(at, &feed, &ranges, blocks);
                    Some(Record::Filled { feed, ranges, blocks })
                }
            },
            Record::Head { feed, .. } | Record::Clear { feed, .. } if self.is_gone(&feed, first_lseq) => None,
            record => Some(record),
        }
    }

    fn is_gone(&self, feed: &FeedKey, first_lseq: Lseq) -> bool {
        self.forgotten.get(feed).is_some_and(|forgotten| first_lseq < forgotten.before)
    }

    fn note(&mut self, at: Position, first_lseq: Lseq, feed: FeedKey, ranges: &RangeSet) -> bool {
        let gone = self.is_gone(&feed, first_lseq);
        self.changed |= gone;
        self.places.push(Place { at, first_lseq, feed, ranges: ranges.clone(), gone });
        gone
    }

    /// Without payloads that were cleared, or that lie elsewhere since they were filled in again.
    fn as_held(
        &mut self,
        at: Position,
        feed: &FeedKey,
        ranges: &RangeSet,
        blocks: Vec<StoredBlock>,
    ) -> Vec<StoredBlock> {
        let Some(state) = self.feeds.get(feed) else { return blocks };
        let mut cleared = state.cleared.intersection(ranges);
        match self.blocks.elsewhere(state.number, ranges, at) {
            Ok(elsewhere) => cleared.union_with(&elsewhere),
            Err(error) => drop(self.failed.get_or_insert(error)),
        }
        if cleared.is_empty() {
            return blocks;
        }
        let without = |(seq, block): (Seq, &StoredBlock)| {
            let left = cleared.contains(seq).then(|| kappadb_entry::clear_block(block)).flatten();
            left.unwrap_or_else(|| block.clone())
        };
        let held: Vec<_> = ranges.iter().zip(&blocks).map(without).collect();
        self.changed |= held != blocks;
        held
    }
}

impl Writer {
    /// Forgets dropped feeds. The journal's bytes and files are those before that.
    fn begin_compaction(&mut self) -> Result<(Reader, (u64, u64)), CommitError> {
        self.commit()?;
        let before = size(self.journal()?);
        for feed in &self.index.dropped() {
            let held = self.index.with(feed, |state| state.newest.is_some() || !state.held.is_empty());
            if held == Some(true) {
                let before = self.write(&Record::Gone { feed: *feed, blocks: 0 })?.first_lseq;
                self.index.forget(feed, before).map_err(|error| self.derived_failed(error))?;
            }
        }
        self.commit()?;
        Ok((self.journal()?.reader(), before))
    }

    fn begin_segment(&mut self) -> Result<(), CommitError> {
        let begun = self.journal()?.begin_segment();
        begun.map_err(|error| self.not_taken(error))?;
        self.dirty = true;
        self.commit()
    }

    /// Puts a segment that was written anew in its place, and the rows that lead into it in order. Nobody reads meanwhile.
    fn switch(&mut self, rewrite: Rewrite, places: &[Place]) -> Result<(), CompactError> {
        self.commit()?;
        let installed = self.journal()?.install(rewrite);
        let rewrite = installed.inspect_err(|_| self.broken = true)?;
        self.index.blocks.forget();
        let moved = places.iter().try_for_each(|place| self.index.relocate(place, &rewrite));
        moved.map_err(|error| self.derived_failed(error))?;
        self.anchor = self.anchor.and_then(|(at, signature)| Some((rewrite.moved(at)?, signature)));
        self.dirty = true;
        Ok(self.commit()?)
    }
}

impl Index {
    /// Changes the rows that lead to a record which was moved, or is gone.
    fn relocate(&mut self, place: &Place, rewrite: &Rewrite) -> Result<(), ReadError> {
        let Some(number) = self.with(&place.feed, |state| state.number) else { return Ok(()) };
        let to = rewrite.moved(place.at).filter(|_| !place.gone);
        for run in place.ranges.ranges() {
            for (seqs, location) in self.locations(number, run)? {
                if location.at == place.at {
                    let row = to.map(|at| codec::encode(&Location { at, ..location }));
                    self.replace(rows::location_key(number, seqs.start), row);
                }
            }
        }
        let key = rows::arrival_key(place.first_lseq);
        if let Some(row) = self.blocks.tree.get(&key)? {
            let came: Came = rows::decode(&row)?;
            if came.at == place.at {
                self.replace(key, to.map(|at| codec::encode(&Came { at, ..came })));
            }
        }
        Ok(())
    }
}
