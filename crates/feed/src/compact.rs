//! Giving the disk back: segments of the journal are written anew without the payloads that were cleared and the blocks of
//! feeds that were dropped.
//!
//! Everything so far is first put behind a new segment, then one segment after the other is rewritten while others read and
//! append. Only when a new file takes the place of the old one nobody reads: the file's name and the rows that say where
//! records lie change together. A crash between the two leaves rows that speak of another layout of the journal than it
//! has; the next opening makes them anew.

use crate::blocks::Blocks;
use crate::feeds::Shared;
use crate::index::Index;
use crate::rows::{self, Came, Forgotten, Location};
use crate::state::{FeedState, run};
use crate::writer::Writer;
use crate::{CompactError, Compacted, ReadError};
use kappadb_core::{FeedKey, Lseq, RangeSet, Seq, StoredBlock, codec};
use kappadb_journal::{Located, Position, Reader, Record, Rewrite, RewriteError};
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
    let (mut segments, reader, before) = shared.write(Writer::begin_compaction)?;
    let total = segments.len() as u64;
    // The smallest first: what one gives back may be the room that the next one needs.
    segments.sort_unstable_by_key(|(segment, bytes)| (*bytes, *segment));
    while !segments.is_empty() {
        let (mut lacking, mut full) = (Vec::new(), None);
        for (n, (segment, bytes)) in (total - segments.len() as u64..).zip(segments.clone()) {
            progress(n, total);
            match compact_segment(shared, &reader, segment) {
                Err(error) if error.is_full() => {
                    lacking.push((segment, bytes));
                    full = Some(error);
                }
                done => done?,
            }
        }
        match full {
            Some(error) if lacking.len() == segments.len() => return Err(error),
            _ => segments = lacking,
        }
    }
    progress(total, total);
    let after = shared.writer().journal()?.disk_bytes();
    Ok(Compacted { before, after })
}

fn compact_segment(shared: &Shared, reader: &Reader, segment: u32) -> Result<(), CompactError> {
    let Some((rewrite, places)) = rewritten(shared, reader, segment)? else { return Ok(()) };
    let layout = shared.layout.write().unwrap_or_else(PoisonError::into_inner);
    shared.write(|writer| writer.switch(rewrite, &places))?;
    drop(layout);
    // A crash from here on finds file and rows in step. Without room for that the next opening makes the rows anew.
    match shared.store.flush() {
        Ok(()) | Err(StoreError::DiskFull { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The segment without what is not needed; none if that gains nothing, or if it is damaged and so stays as it is.
fn rewritten(
    shared: &Shared,
    reader: &Reader,
    segment: u32,
) -> Result<Option<(Rewrite, Vec<Place>)>, CompactError> {
    let (feeds, forgotten) = shared.look(|visible| (visible.feeds.clone(), visible.forgotten.clone()));
    let (blocks, places, changed, failed) = (&*shared.blocks, Vec::new(), false, None);
    let mut picture = Picture { feeds, forgotten, blocks, places, changed, failed };
    // Looked through first: where nothing goes, nothing is written, and no room is needed.
    let gain = reader.gain(segment, &mut |located| picture.keep(located));
    let worth_it = picture.changed || gain.as_ref().is_ok_and(|gain| *gain >= LEAST_GAIN);
    let rewritten = match (gain, worth_it) {
        (Ok(_), true) => {
            picture.places.clear();
            Some(reader.rewrite(segment, &mut |located| picture.keep(located))).transpose()
        }
        (gain, _) => gain.map(|_| None),
    };
    if let Some(error) = picture.failed {
        return Err(error.into());
    }
    match rewritten {
        Err(RewriteError::Damaged(at)) => {
            tracing::warn!(%at, "a damaged part of the journal is not compacted");
            Ok(None)
        }
        Err(error) => Err(error.into()),
        Ok(rewrite) => Ok(rewrite.map(|rewrite| (rewrite, picture.places))),
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

type Begun = (Vec<(u32, u64)>, Reader, u64);

impl Writer {
    /// Forgets dropped feeds, and begins a segment, so that all before it can be rewritten.
    fn begin_compaction(&mut self) -> Result<Begun, CompactError> {
        self.commit()?;
        let before = self.journal()?.disk_bytes();
        for feed in &self.index.dropped() {
            let held = self.index.with(feed, |state| state.newest.is_some() || !state.held.is_empty());
            if held == Some(true) {
                let before = self.write(&Record::Gone { feed: *feed, blocks: 0 })?.first_lseq;
                self.index.forget(feed, before).map_err(|error| self.derived_failed(error))?;
            }
        }
        self.commit()?;
        let begun = self.journal()?.begin_segment();
        begun.map_err(|error| self.not_taken(error))?;
        self.dirty = true;
        self.commit()?;
        let journal = self.journal()?;
        Ok((journal.sealed(), journal.reader(), before))
    }

    /// Puts the rewritten segment in its place, and the rows that lead into it in order. Nobody reads meanwhile.
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
